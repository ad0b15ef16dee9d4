//! TxnOffsetCommit (key 28): offsets that become valid when a transaction commits (KIP-98).

use watershed_protocol_derive::Message;

use crate::StrBytes;

/// The transaction and the offsets.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 28, kind = "request", versions = "0-5", flexible = "3+")]
pub struct TxnOffsetCommitRequest {
    /// The transactional id.
    #[field(versions = "0+")]
    pub transactional_id: StrBytes,
    /// The group.
    #[field(versions = "0+")]
    pub group_id: StrBytes,
    /// The producer.
    #[field(versions = "0+")]
    pub producer_id: i64,
    /// The producer's epoch.
    #[field(versions = "0+")]
    pub producer_epoch: i16,
    /// The generation of a classic group, the epoch of a member of a consumer group; -1 without a member.
    #[field(versions = "3+", default = -1)]
    pub generation_id: i32,
    /// The member's id; empty without one.
    #[field(versions = "3+")]
    pub member_id: StrBytes,
    /// The name of a static member (KIP-345); null for a dynamic one.
    #[field(versions = "3+", nullable = "3+", default = null)]
    pub group_instance_id: Option<StrBytes>,
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<TxnOffsetCommitRequestTopic>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TxnOffsetCommitRequestTopic {
    /// The name.
    #[field(versions = "0+")]
    pub name: StrBytes,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<TxnOffsetCommitRequestPartition>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TxnOffsetCommitRequestPartition {
    /// The partition.
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// The offset of the next record to consume; -1 if there is none.
    #[field(versions = "0+")]
    pub committed_offset: i64,
    /// The leader epoch of the last record that was consumed; -1 if unknown.
    #[field(versions = "2+", default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// What the client keeps beside the offset.
    #[field(versions = "0+", nullable = "0+")]
    pub committed_metadata: Option<StrBytes>,
}

/// An error for each partition.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 28, kind = "response", versions = "0-5", flexible = "3+")]
pub struct TxnOffsetCommitResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<TxnOffsetCommitResponseTopic>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TxnOffsetCommitResponseTopic {
    /// The name.
    #[field(versions = "0+")]
    pub name: StrBytes,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<TxnOffsetCommitResponsePartition>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TxnOffsetCommitResponsePartition {
    /// The partition.
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
}
