//! OffsetForLeaderEpoch (key 23): where a leader epoch ends, for finding truncation (KIP-101, KIP-320).

use watershed_protocol_derive::Message;

/// Epochs to find the ends of.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 23, kind = "request", versions = "2-4", flexible = "4+")]
pub struct OffsetForLeaderEpochRequest {
    /// The follower; -1 for a consumer, -2 where the version does not say.
    #[field(versions = "3+", default = -2, ignorable)]
    pub replica_id: i32,
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<OffsetForLeaderTopic>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetForLeaderTopic {
    /// The topic's name.
    #[field(versions = "0+")]
    pub topic: String,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<OffsetForLeaderPartition>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetForLeaderPartition {
    /// The partition.
    #[field(versions = "0+")]
    pub partition: i32,
    /// The epoch in which the client takes the broker for the leader; -1 leaves the check out (KIP-320).
    #[field(versions = "2+", default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// The epoch whose end is asked for.
    #[field(versions = "0+")]
    pub leader_epoch: i32,
}

/// The ends of the epochs.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 23, kind = "response", versions = "2-4", flexible = "4+")]
pub struct OffsetForLeaderEpochResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<OffsetForLeaderTopicResult>,
}

/// One topic's results.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetForLeaderTopicResult {
    /// The topic's name.
    #[field(versions = "0+")]
    pub topic: String,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<EpochEndOffset>,
}

/// One partition's result; epoch and offset are -1 if unknown.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct EpochEndOffset {
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The partition.
    #[field(versions = "0+")]
    pub partition: i32,
    /// The largest epoch not above the one asked for.
    #[field(versions = "1+", default = -1, ignorable)]
    pub leader_epoch: i32,
    /// The offset after its last record.
    #[field(versions = "0+", default = -1)]
    pub end_offset: i64,
}
