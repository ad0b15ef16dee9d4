//! CreateTopics (key 19).
//!
//! Version 5 returns the topic's configuration (KIP-525), 7 its id (KIP-516).

use watershed_model::TopicId;
use watershed_protocol_derive::Message;

/// Topics to create.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 19, kind = "request", versions = "2-7", flexible = "5+")]
pub struct CreateTopicsRequest {
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<CreatableTopic>,
    /// How long the broker may take, in milliseconds.
    #[field(versions = "0+", default = 60000)]
    pub timeout_ms: i32,
    /// Whether only to check, and change nothing.
    #[field(versions = "1+")]
    pub validate_only: bool,
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct CreatableTopic {
    /// The topic's name.
    #[field(versions = "0+")]
    pub name: String,
    /// How many partitions; -1 for the default or with `assignments`.
    #[field(versions = "0+")]
    pub num_partitions: i32,
    /// How many replicas of each; -1 for the default or with `assignments`.
    #[field(versions = "0+")]
    pub replication_factor: i16,
    /// The replicas of each partition, where the client chooses them.
    #[field(versions = "0+")]
    pub assignments: Vec<CreatableReplicaAssignment>,
    /// The configurations.
    #[field(versions = "0+")]
    pub configs: Vec<CreatableTopicConfig>,
}

/// The replicas of one partition, chosen by the client.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct CreatableReplicaAssignment {
    /// The partition.
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// The brokers, the preferred leader first.
    #[field(versions = "0+")]
    pub broker_ids: Vec<i32>,
}

/// A configuration of the new topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct CreatableTopicConfig {
    /// The configuration's name.
    #[field(versions = "0+")]
    pub name: String,
    /// Its value; null for the default.
    #[field(versions = "0+", nullable = "0+")]
    pub value: Option<String>,
}

/// What became of each topic.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 19, kind = "response", versions = "2-7", flexible = "5+")]
pub struct CreateTopicsResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<CreatableTopicResult>,
}

/// One topic's result.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct CreatableTopicResult {
    /// The topic's name.
    #[field(versions = "0+")]
    pub name: String,
    /// The topic's id.
    #[field(versions = "7+", ignorable)]
    pub topic_id: TopicId,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The error in words, if there is one.
    #[field(versions = "1+", nullable = "0+", ignorable)]
    pub error_message: Option<String>,
    /// Why `configs` is null, if it is.
    #[field(versions = "5+", tag = 0, tagged = "5+", ignorable)]
    pub topic_config_error_code: i16,
    /// How many partitions it has; -1 if not told.
    #[field(versions = "5+", default = -1, ignorable)]
    pub num_partitions: i32,
    /// How many replicas each has; -1 if not told.
    #[field(versions = "5+", default = -1, ignorable)]
    pub replication_factor: i16,
    /// Its configuration; null if the client may not see it.
    #[field(versions = "5+", nullable = "5+", ignorable)]
    pub configs: Option<Vec<CreatableTopicConfigs>>,
}

/// A configuration that the new topic has.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct CreatableTopicConfigs {
    /// The configuration's name.
    #[field(versions = "5+")]
    pub name: String,
    /// Its value; null if it has none or it is a secret.
    #[field(versions = "5+", nullable = "5+")]
    pub value: Option<String>,
    /// Whether it cannot be changed while the broker runs.
    #[field(versions = "5+")]
    pub read_only: bool,
    /// Where the value comes from: 1 topic, 2 broker, 3 brokers' default, 4 broker's file, 5 built-in default, 6 broker logger.
    #[field(versions = "5+", default = -1, ignorable)]
    pub config_source: i8,
    /// Whether it is a secret.
    #[field(versions = "5+")]
    pub is_sensitive: bool,
}
