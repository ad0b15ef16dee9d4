//! Fetch.

use watershed_model::TopicId;
use watershed_protocol_derive::Message;

use crate::{Records, StrBytes};

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 1, kind = "request", versions = "4-18", flexible = "12+")]
pub struct FetchRequest {
    /// .
    #[field(versions = "12+", nullable = "12+", tag = 0, tagged = "12+", default = null, ignorable)]
    pub cluster_id: Option<String>,
    /// .
    #[field(versions = "0-14", default = -1)]
    pub replica_id: i32,
    /// .
    #[field(versions = "15+", tag = 1, tagged = "15+")]
    pub replica_state: ReplicaState,
    /// .
    #[field(versions = "0+")]
    pub max_wait_ms: i32,
    /// .
    #[field(versions = "0+")]
    pub min_bytes: i32,
    /// .
    #[field(versions = "3+", default = i32::MAX, ignorable)]
    pub max_bytes: i32,
    /// .
    #[field(versions = "4+", ignorable)]
    pub isolation_level: i8,
    /// .
    #[field(versions = "7+", ignorable)]
    pub session_id: i32,
    /// .
    #[field(versions = "7+", default = -1, ignorable)]
    pub session_epoch: i32,
    /// .
    #[field(versions = "0+")]
    pub topics: Vec<FetchTopic>,
    /// .
    #[field(versions = "7+")]
    pub forgotten_topics_data: Vec<ForgottenTopic>,
    /// .
    #[field(versions = "11+", ignorable)]
    pub rack_id: String,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ReplicaState {
    /// .
    #[field(versions = "15+", default = -1)]
    pub replica_id: i32,
    /// .
    #[field(versions = "15+", default = -1)]
    pub replica_epoch: i64,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct FetchTopic {
    /// .
    #[field(versions = "0-12", ignorable)]
    pub topic: StrBytes,
    /// .
    #[field(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// .
    #[field(versions = "0+")]
    pub partitions: Vec<FetchPartition>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct FetchPartition {
    /// .
    #[field(versions = "0+")]
    pub partition: i32,
    /// .
    #[field(versions = "9+", default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// .
    #[field(versions = "0+")]
    pub fetch_offset: i64,
    /// .
    #[field(versions = "12+", default = -1)]
    pub last_fetched_epoch: i32,
    /// .
    #[field(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    /// .
    #[field(versions = "0+")]
    pub partition_max_bytes: i32,
    /// .
    #[field(versions = "17+", tag = 0, tagged = "17+", ignorable)]
    pub replica_directory_id: TopicId,
    /// .
    #[field(versions = "18+", tag = 1, tagged = "18+", default = i64::MAX, ignorable)]
    pub high_watermark: i64,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ForgottenTopic {
    /// .
    #[field(versions = "7-12", ignorable)]
    pub topic: StrBytes,
    /// .
    #[field(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// .
    #[field(versions = "7+")]
    pub partitions: Vec<i32>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 1, kind = "response", versions = "4-18", flexible = "12+")]
pub struct FetchResponse {
    /// .
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// .
    #[field(versions = "7+", ignorable)]
    pub error_code: i16,
    /// .
    #[field(versions = "7+")]
    pub session_id: i32,
    /// .
    #[field(versions = "0+")]
    pub responses: Vec<FetchableTopicResponse>,
    /// .
    #[field(versions = "16+", tag = 0, tagged = "16+")]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct FetchableTopicResponse {
    /// .
    #[field(versions = "0-12", ignorable)]
    pub topic: StrBytes,
    /// .
    #[field(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// .
    #[field(versions = "0+")]
    pub partitions: Vec<PartitionData>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct PartitionData {
    /// .
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// .
    #[field(versions = "0+")]
    pub error_code: i16,
    /// .
    #[field(versions = "0+")]
    pub high_watermark: i64,
    /// .
    #[field(versions = "4+", default = -1, ignorable)]
    pub last_stable_offset: i64,
    /// .
    #[field(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    /// .
    #[field(versions = "12+", tag = 0, tagged = "12+")]
    pub diverging_epoch: EpochEndOffset,
    /// .
    #[field(versions = "12+", tag = 1, tagged = "12+")]
    pub current_leader: LeaderIdAndEpoch,
    /// .
    #[field(versions = "12+", tag = 2, tagged = "12+")]
    pub snapshot_id: SnapshotId,
    /// .
    #[field(versions = "4+", nullable = "4+", ignorable)]
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// .
    #[field(versions = "11+", default = -1)]
    pub preferred_read_replica: i32,
    /// .
    #[field(versions = "0+", nullable = "0+")]
    pub records: Records,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct EpochEndOffset {
    /// .
    #[field(versions = "12+", default = -1)]
    pub epoch: i32,
    /// .
    #[field(versions = "12+", default = -1)]
    pub end_offset: i64,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct LeaderIdAndEpoch {
    /// .
    #[field(versions = "12+", default = -1)]
    pub leader_id: i32,
    /// .
    #[field(versions = "12+", default = -1)]
    pub leader_epoch: i32,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct SnapshotId {
    /// .
    #[field(versions = "0+", default = -1)]
    pub end_offset: i64,
    /// .
    #[field(versions = "0+", default = -1)]
    pub epoch: i32,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AbortedTransaction {
    /// .
    #[field(versions = "4+")]
    pub producer_id: i64,
    /// .
    #[field(versions = "4+")]
    pub first_offset: i64,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct NodeEndpoint {
    /// .
    #[field(versions = "16+")]
    pub node_id: i32,
    /// .
    #[field(versions = "16+")]
    pub host: String,
    /// .
    #[field(versions = "16+")]
    pub port: i32,
    /// .
    #[field(versions = "16+", nullable = "16+", default = null)]
    pub rack: Option<String>,
}
