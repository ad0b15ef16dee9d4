//! CreatePartitions (key 37): gives topics more partitions (KIP-195).

use watershed_protocol_derive::Message;

/// Topics that should have more partitions.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 37, kind = "request", versions = "0-3", flexible = "2+")]
pub struct CreatePartitionsRequest {
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<CreatePartitionsTopic>,
    /// How long the broker may take, in milliseconds.
    #[field(versions = "0+")]
    pub timeout_ms: i32,
    /// Whether only to check, and change nothing.
    #[field(versions = "0+")]
    pub validate_only: bool,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct CreatePartitionsTopic {
    /// The topic's name.
    #[field(versions = "0+")]
    pub name: String,
    /// How many partitions it should have in the end.
    #[field(versions = "0+")]
    pub count: i32,
    /// The replicas of each new partition; null lets the cluster choose.
    #[field(versions = "0+", nullable = "0+")]
    pub assignments: Option<Vec<CreatePartitionsAssignment>>,
}

/// The replicas of one new partition, chosen by the client.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct CreatePartitionsAssignment {
    /// The brokers, the preferred leader first.
    #[field(versions = "0+")]
    pub broker_ids: Vec<i32>,
}

/// The results.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 37, kind = "response", versions = "0-3", flexible = "2+")]
pub struct CreatePartitionsResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// The results.
    #[field(versions = "0+")]
    pub results: Vec<CreatePartitionsTopicResult>,
}

/// One topic's result.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct CreatePartitionsTopicResult {
    /// The topic's name.
    #[field(versions = "0+")]
    pub name: String,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The error in words, if there is one.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub error_message: Option<String>,
}
