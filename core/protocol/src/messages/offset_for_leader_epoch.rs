//! OffsetForLeaderEpoch.

use watershed_protocol_derive::Message;

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 23, kind = "request", versions = "2-4", flexible = "4+")]
pub struct OffsetForLeaderEpochRequest {
    /// .
    #[field(versions = "3+", default = -2, ignorable)]
    pub replica_id: i32,
    /// .
    #[field(versions = "0+")]
    pub topics: Vec<OffsetForLeaderTopic>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetForLeaderTopic {
    /// .
    #[field(versions = "0+")]
    pub topic: String,
    /// .
    #[field(versions = "0+")]
    pub partitions: Vec<OffsetForLeaderPartition>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetForLeaderPartition {
    /// .
    #[field(versions = "0+")]
    pub partition: i32,
    /// .
    #[field(versions = "2+", default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// .
    #[field(versions = "0+")]
    pub leader_epoch: i32,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 23, kind = "response", versions = "2-4", flexible = "4+")]
pub struct OffsetForLeaderEpochResponse {
    /// .
    #[field(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    /// .
    #[field(versions = "0+")]
    pub topics: Vec<OffsetForLeaderTopicResult>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetForLeaderTopicResult {
    /// .
    #[field(versions = "0+")]
    pub topic: String,
    /// .
    #[field(versions = "0+")]
    pub partitions: Vec<EpochEndOffset>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct EpochEndOffset {
    /// .
    #[field(versions = "0+")]
    pub error_code: i16,
    /// .
    #[field(versions = "0+")]
    pub partition: i32,
    /// .
    #[field(versions = "1+", default = -1, ignorable)]
    pub leader_epoch: i32,
    /// .
    #[field(versions = "0+", default = -1)]
    pub end_offset: i64,
}
