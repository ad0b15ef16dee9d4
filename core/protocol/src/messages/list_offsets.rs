//! ListOffsets.

use watershed_protocol_derive::Message;

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 2, kind = "request", versions = "1-11", flexible = "6+")]
pub struct ListOffsetsRequest {
    /// .
    #[field(versions = "0+")]
    pub replica_id: i32,
    /// .
    #[field(versions = "2+")]
    pub isolation_level: i8,
    /// .
    #[field(versions = "0+")]
    pub topics: Vec<ListOffsetsTopic>,
    /// .
    #[field(versions = "10+", ignorable)]
    pub timeout_ms: i32,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListOffsetsTopic {
    /// .
    #[field(versions = "0+")]
    pub name: String,
    /// .
    #[field(versions = "0+")]
    pub partitions: Vec<ListOffsetsPartition>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListOffsetsPartition {
    /// .
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// .
    #[field(versions = "4+", default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// .
    #[field(versions = "0+")]
    pub timestamp: i64,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 2, kind = "response", versions = "1-11", flexible = "6+")]
pub struct ListOffsetsResponse {
    /// .
    #[field(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    /// .
    #[field(versions = "0+")]
    pub topics: Vec<ListOffsetsTopicResponse>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListOffsetsTopicResponse {
    /// .
    #[field(versions = "0+")]
    pub name: String,
    /// .
    #[field(versions = "0+")]
    pub partitions: Vec<ListOffsetsPartitionResponse>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListOffsetsPartitionResponse {
    /// .
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// .
    #[field(versions = "0+")]
    pub error_code: i16,
    /// .
    #[field(versions = "1+", default = -1)]
    pub timestamp: i64,
    /// .
    #[field(versions = "1+", default = -1)]
    pub offset: i64,
    /// .
    #[field(versions = "4+", default = -1)]
    pub leader_epoch: i32,
}
