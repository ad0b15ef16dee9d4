//! OffsetFetch (key 9): how far groups have come.
//!
//! Up to version 7 for one group, from 8 on for many (KIP-709), in other fields; from version 10 on topics are named by
//! their ids.

use watershed_model::TopicId;
use watershed_protocol_derive::Message;

use crate::StrBytes;

/// The groups and partitions asked about.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 9, kind = "request", versions = "1-10", flexible = "6+")]
pub struct OffsetFetchRequest {
    /// The group.
    #[field(versions = "0-7")]
    pub group_id: StrBytes,
    /// The topics; null for all of which the group has an offset.
    #[field(versions = "0-7", nullable = "2-7")]
    pub topics: Option<Vec<OffsetFetchRequestTopic>>,
    /// The groups.
    #[field(versions = "8+")]
    pub groups: Vec<OffsetFetchRequestGroup>,
    /// Whether offsets that a transaction is about to change are an error (KIP-447).
    #[field(versions = "7+")]
    pub require_stable: bool,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetFetchRequestTopic {
    /// The name.
    #[field(versions = "0-7")]
    pub name: StrBytes,
    /// The partitions.
    #[field(versions = "0-7")]
    pub partition_indexes: Vec<i32>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetFetchRequestGroup {
    /// The group.
    #[field(versions = "8+")]
    pub group_id: StrBytes,
    /// The member that asks, in a consumer group; null for a client that is no member.
    #[field(versions = "9+", nullable = "9+", default = null, ignorable)]
    pub member_id: Option<StrBytes>,
    /// Its epoch; -1 for a client that is no member.
    #[field(versions = "9+", default = -1, ignorable)]
    pub member_epoch: i32,
    /// The topics; null for all of which the group has an offset.
    #[field(versions = "8+", nullable = "8+")]
    pub topics: Option<Vec<OffsetFetchRequestTopics>>,
}

/// The partitions of one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetFetchRequestTopics {
    /// The name.
    #[field(versions = "8-9", ignorable)]
    pub name: StrBytes,
    /// The topic's id.
    #[field(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions.
    #[field(versions = "8+")]
    pub partition_indexes: Vec<i32>,
}

/// The offsets.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 9, kind = "response", versions = "1-10", flexible = "6+")]
pub struct OffsetFetchResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "3+", ignorable)]
    pub throttle_time_ms: i32,
    /// The topics.
    #[field(versions = "0-7")]
    pub topics: Vec<OffsetFetchResponseTopic>,
    /// The error, 0 if none.
    #[field(versions = "2-7", ignorable)]
    pub error_code: i16,
    /// The groups.
    #[field(versions = "8+")]
    pub groups: Vec<OffsetFetchResponseGroup>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetFetchResponseTopic {
    /// The name.
    #[field(versions = "0-7")]
    pub name: StrBytes,
    /// The partitions.
    #[field(versions = "0-7")]
    pub partitions: Vec<OffsetFetchResponsePartition>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetFetchResponsePartition {
    /// The partition.
    #[field(versions = "0-7")]
    pub partition_index: i32,
    /// The offset of the next record to consume; -1 if there is none.
    #[field(versions = "0-7")]
    pub committed_offset: i64,
    /// The leader epoch of the last record that was consumed; -1 if unknown.
    #[field(versions = "5-7", default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// What the client keeps beside the offset; empty if there is no offset.
    #[field(versions = "0-7", nullable = "0-7")]
    pub metadata: Option<StrBytes>,
    /// The error, 0 if none.
    #[field(versions = "0-7")]
    pub error_code: i16,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetFetchResponseGroup {
    /// The group.
    #[field(versions = "8+")]
    pub group_id: StrBytes,
    /// The topics.
    #[field(versions = "8+")]
    pub topics: Vec<OffsetFetchResponseTopics>,
    /// The error, 0 if none.
    #[field(versions = "8+")]
    pub error_code: i16,
}

/// The partitions of one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetFetchResponseTopics {
    /// The name.
    #[field(versions = "8-9", ignorable)]
    pub name: StrBytes,
    /// The topic's id.
    #[field(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions.
    #[field(versions = "8+")]
    pub partitions: Vec<OffsetFetchResponsePartitions>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetFetchResponsePartitions {
    /// The partition.
    #[field(versions = "8+")]
    pub partition_index: i32,
    /// The offset of the next record to consume; -1 if there is none.
    #[field(versions = "8+")]
    pub committed_offset: i64,
    /// The leader epoch of the last record that was consumed; -1 if unknown.
    #[field(versions = "8+", default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// What the client keeps beside the offset; empty if there is no offset.
    #[field(versions = "8+", nullable = "8+")]
    pub metadata: Option<StrBytes>,
    /// The error, 0 if none.
    #[field(versions = "8+")]
    pub error_code: i16,
}
