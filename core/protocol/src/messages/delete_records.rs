//! DeleteRecords.

use watershed_protocol_derive::Message;

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 21, kind = "request", versions = "0-2", flexible = "2+")]
pub struct DeleteRecordsRequest {
    /// .
    #[field(versions = "0+")]
    pub topics: Vec<DeleteRecordsTopic>,
    /// .
    #[field(versions = "0+")]
    pub timeout_ms: i32,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteRecordsTopic {
    /// .
    #[field(versions = "0+")]
    pub name: String,
    /// .
    #[field(versions = "0+")]
    pub partitions: Vec<DeleteRecordsPartition>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteRecordsPartition {
    /// .
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// .
    #[field(versions = "0+")]
    pub offset: i64,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 21, kind = "response", versions = "0-2", flexible = "2+")]
pub struct DeleteRecordsResponse {
    /// .
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// .
    #[field(versions = "0+")]
    pub topics: Vec<DeleteRecordsTopicResult>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteRecordsTopicResult {
    /// .
    #[field(versions = "0+")]
    pub name: String,
    /// .
    #[field(versions = "0+")]
    pub partitions: Vec<DeleteRecordsPartitionResult>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteRecordsPartitionResult {
    /// .
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// .
    #[field(versions = "0+")]
    pub low_watermark: i64,
    /// .
    #[field(versions = "0+")]
    pub error_code: i16,
}
