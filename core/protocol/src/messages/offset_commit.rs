//! OffsetCommit (key 8): how far a group, or a consumer without one, has come.
//!
//! From version 10 on topics are named by their ids (KIP-848).

use watershed_model::TopicId;
use watershed_protocol_derive::Message;

use crate::StrBytes;

/// The offsets to keep.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 8, kind = "request", versions = "2-10", flexible = "8+")]
pub struct OffsetCommitRequest {
    /// The group.
    #[field(versions = "0+")]
    pub group_id: StrBytes,
    /// The generation of a classic group, the epoch of a member of a consumer group; -1 without a group.
    #[field(versions = "1+", default = -1, ignorable)]
    pub generation_id_or_member_epoch: i32,
    /// The member's id; empty without a group.
    #[field(versions = "1+", ignorable)]
    pub member_id: StrBytes,
    /// The name of a static member (KIP-345); null for a dynamic one.
    #[field(versions = "7+", nullable = "7+", default = null)]
    pub group_instance_id: Option<StrBytes>,
    /// How long to keep the offsets, in milliseconds; -1 for as long as the broker does.
    #[field(versions = "2-4", default = -1, ignorable)]
    pub retention_time_ms: i64,
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<OffsetCommitRequestTopic>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetCommitRequestTopic {
    /// The name.
    #[field(versions = "0-9", ignorable)]
    pub name: StrBytes,
    /// The topic's id.
    #[field(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<OffsetCommitRequestPartition>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetCommitRequestPartition {
    /// The partition.
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// The offset of the next record to consume; -1 if there is none.
    #[field(versions = "0+")]
    pub committed_offset: i64,
    /// The leader epoch of the last record that was consumed; -1 if unknown.
    #[field(versions = "6+", default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// What the client keeps beside the offset.
    #[field(versions = "0+", nullable = "0+")]
    pub committed_metadata: Option<StrBytes>,
}

/// An error for each partition.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 8, kind = "response", versions = "2-10", flexible = "8+")]
pub struct OffsetCommitResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "3+", ignorable)]
    pub throttle_time_ms: i32,
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<OffsetCommitResponseTopic>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetCommitResponseTopic {
    /// The name.
    #[field(versions = "0-9", ignorable)]
    pub name: StrBytes,
    /// The topic's id.
    #[field(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<OffsetCommitResponsePartition>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetCommitResponsePartition {
    /// The partition.
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
}
