//! Metadata (key 3): brokers, topics, partitions and their leaders; may create topics.
//!
//! Version 10 added topic ids to responses, 12 to requests (KIP-516), 13 an error for the whole response (KIP-1102).

use watershed_model::TopicId;
use watershed_protocol_derive::Message;

/// The topics to describe, or all.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 3, kind = "request", versions = "0-13", flexible = "9+")]
pub struct MetadataRequest {
    /// The topics; null asks for all, as the empty list does in version 0.
    #[field(versions = "0+", nullable = "1+")]
    pub topics: Option<Vec<MetadataRequestTopic>>,
    /// Whether a topic that does not exist may be created.
    #[field(versions = "4+", default = true)]
    pub allow_auto_topic_creation: bool,
    /// Whether to say what the client may do with the cluster.
    #[field(versions = "8-10")]
    pub include_cluster_authorized_operations: bool,
    /// Whether to say what the client may do with each topic.
    #[field(versions = "8+")]
    pub include_topic_authorized_operations: bool,
}

/// A topic by name, or by id.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct MetadataRequestTopic {
    /// The id; zero where the name is given.
    #[field(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// The name; null where the id is given.
    #[field(versions = "0+", nullable = "10+")]
    pub name: Option<String>,
}

/// The cluster and its topics.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 3, kind = "response", versions = "0-13", flexible = "9+")]
pub struct MetadataResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "3+", ignorable)]
    pub throttle_time_ms: i32,
    /// The brokers.
    #[field(versions = "0+")]
    pub brokers: Vec<MetadataResponseBroker>,
    /// The cluster's id.
    #[field(versions = "2+", nullable = "2+", default = null, ignorable)]
    pub cluster_id: Option<String>,
    /// A broker that takes requests for the controller; -1 if there is none.
    #[field(versions = "1+", default = -1, ignorable)]
    pub controller_id: i32,
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<MetadataResponseTopic>,
    /// What the client may do with the cluster, a bit per operation; `i32::MIN` if not asked.
    #[field(versions = "8-10", default = i32::MIN)]
    pub cluster_authorized_operations: i32,
    /// The error, 0 if none.
    #[field(versions = "13+", ignorable)]
    pub error_code: i16,
}

/// A broker.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct MetadataResponseBroker {
    /// The broker's id.
    #[field(versions = "0+")]
    pub node_id: i32,
    /// Its host name.
    #[field(versions = "0+")]
    pub host: String,
    /// Its port.
    #[field(versions = "0+")]
    pub port: i32,
    /// Its rack, if it has one.
    #[field(versions = "1+", nullable = "1+", default = null, ignorable)]
    pub rack: Option<String>,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct MetadataResponseTopic {
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The name; null for an id that does not exist.
    #[field(versions = "0+", nullable = "12+")]
    pub name: Option<String>,
    /// The id; zero for a name that does not exist.
    #[field(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// Whether it is one of the brokers' own topics.
    #[field(versions = "1+", ignorable)]
    pub is_internal: bool,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<MetadataResponsePartition>,
    /// What the client may do with the topic, a bit per operation; `i32::MIN` if not asked.
    #[field(versions = "8+", default = i32::MIN)]
    pub topic_authorized_operations: i32,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct MetadataResponsePartition {
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The partition.
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// The leader, -1 if there is none.
    #[field(versions = "0+")]
    pub leader_id: i32,
    /// The leader's epoch, -1 if unknown.
    #[field(versions = "7+", default = -1, ignorable)]
    pub leader_epoch: i32,
    /// The brokers with a replica, the preferred leader first.
    #[field(versions = "0+")]
    pub replica_nodes: Vec<i32>,
    /// Those in sync.
    #[field(versions = "0+")]
    pub isr_nodes: Vec<i32>,
    /// Those that are down.
    #[field(versions = "5+", ignorable)]
    pub offline_replicas: Vec<i32>,
}
