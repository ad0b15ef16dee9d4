//! DeleteRecords (key 21): moves the start of partitions' logs (KIP-107).

use watershed_protocol_derive::Message;

/// Offsets below which records go.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 21, kind = "request", versions = "0-2", flexible = "2+")]
pub struct DeleteRecordsRequest {
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<DeleteRecordsTopic>,
    /// How long the broker may take, in milliseconds.
    #[field(versions = "0+")]
    pub timeout_ms: i32,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteRecordsTopic {
    /// The topic's name.
    #[field(versions = "0+")]
    pub name: String,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<DeleteRecordsPartition>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteRecordsPartition {
    /// The partition.
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// The new start of the log; -1 for the high watermark.
    #[field(versions = "0+")]
    pub offset: i64,
}

/// The new starts of the logs.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 21, kind = "response", versions = "0-2", flexible = "2+")]
pub struct DeleteRecordsResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<DeleteRecordsTopicResult>,
}

/// One topic's results.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteRecordsTopicResult {
    /// The topic's name.
    #[field(versions = "0+")]
    pub name: String,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<DeleteRecordsPartitionResult>,
}

/// One partition's result.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteRecordsPartitionResult {
    /// The partition.
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// The start of the log now; -1 with an error.
    #[field(versions = "0+")]
    pub low_watermark: i64,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
}
