//! Fetch (key 1): reads record batches, for consumers and follower replicas.
//!
//! The records of a response are pieces that the connection sends as they are. Version 7 added sessions (KIP-227),
//! 12 divergence of epochs (KIP-595), 13 topic ids (KIP-516), 15 the replica's state (KIP-903), 18 its high watermark.

use watershed_model::TopicId;
use watershed_protocol_derive::Message;

use crate::{Records, StrBytes};

/// What to read, how much of it, and how long to wait for it.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 1, kind = "request", versions = "4-18", flexible = "12+")]
pub struct FetchRequest {
    /// The cluster that the follower belongs to, if it says so.
    #[field(versions = "12+", nullable = "12+", tag = 0, tagged = "12+", default = null, ignorable)]
    pub cluster_id: Option<String>,
    /// The follower; -1 for a consumer. From version 15 in `replica_state`.
    #[field(versions = "0-14", default = -1)]
    pub replica_id: i32,
    /// The follower.
    #[field(versions = "15+", tag = 1, tagged = "15+")]
    pub replica_state: ReplicaState,
    /// How long to wait for `min_bytes`, in milliseconds.
    #[field(versions = "0+")]
    pub max_wait_ms: i32,
    /// How many bytes are worth an answer before that time is over.
    #[field(versions = "0+")]
    pub min_bytes: i32,
    /// The most bytes of records; the first batch may exceed it (KIP-74).
    #[field(versions = "3+", default = i32::MAX, ignorable)]
    pub max_bytes: i32,
    /// 0 reads all records, 1 those of committed transactions only.
    #[field(versions = "4+", ignorable)]
    pub isolation_level: i8,
    /// The fetch session; 0 for none (KIP-227).
    #[field(versions = "7+", ignorable)]
    pub session_id: i32,
    /// The position in the session: 0 opens one, -1 is outside of any.
    #[field(versions = "7+", default = -1, ignorable)]
    pub session_epoch: i32,
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<FetchTopic>,
    /// What leaves the session.
    #[field(versions = "7+")]
    pub forgotten_topics_data: Vec<ForgottenTopic>,
    /// The consumer's rack, for reading from a near replica (KIP-392).
    #[field(versions = "11+", ignorable)]
    pub rack_id: String,
}

/// The follower that fetches.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ReplicaState {
    /// The follower; -1 for a consumer.
    #[field(versions = "15+", default = -1)]
    pub replica_id: i32,
    /// Its registration's epoch; -1 if unknown.
    #[field(versions = "15+", default = -1)]
    pub replica_epoch: i64,
}

/// One topic to read.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct FetchTopic {
    /// The topic's name.
    #[field(versions = "0-12", ignorable)]
    pub topic: StrBytes,
    /// The topic's id.
    #[field(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<FetchPartition>,
}

/// One partition to read.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct FetchPartition {
    /// The partition.
    #[field(versions = "0+")]
    pub partition: i32,
    /// The epoch in which the client takes the broker for the leader; -1 leaves the check out (KIP-320).
    #[field(versions = "9+", default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// The first offset to read.
    #[field(versions = "0+")]
    pub fetch_offset: i64,
    /// The epoch of the last record the reader has; -1 for none (KIP-595).
    #[field(versions = "12+", default = -1)]
    pub last_fetched_epoch: i32,
    /// The start of the follower's log; -1 for a consumer.
    #[field(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    /// The most bytes from this partition; the first batch of a response may exceed it.
    #[field(versions = "0+")]
    pub partition_max_bytes: i32,
    /// The directory that holds the replica.
    #[field(versions = "17+", tag = 0, tagged = "17+", ignorable)]
    pub replica_directory_id: TopicId,
    /// The high watermark the follower knows; `i64::MAX` where it does not say.
    #[field(versions = "18+", tag = 1, tagged = "18+", default = i64::MAX, ignorable)]
    pub high_watermark: i64,
}

/// Partitions of one topic that leave the session.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ForgottenTopic {
    /// The topic's name.
    #[field(versions = "7-12", ignorable)]
    pub topic: StrBytes,
    /// The topic's id.
    #[field(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions.
    #[field(versions = "7+")]
    pub partitions: Vec<i32>,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 1, kind = "response", versions = "4-18", flexible = "12+")]
pub struct FetchResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// The error, 0 if none.
    #[field(versions = "7+", ignorable)]
    pub error_code: i16,
    /// The fetch session; 0 for none (KIP-227).
    #[field(versions = "7+")]
    pub session_id: i32,
    /// The topics.
    #[field(versions = "0+")]
    pub responses: Vec<FetchableTopicResponse>,
    /// Where to reach the leaders that `current_leader` names.
    #[field(versions = "16+", tag = 0, tagged = "16+")]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// One topic's partitions.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct FetchableTopicResponse {
    /// The topic's name.
    #[field(versions = "0-12", ignorable)]
    pub topic: StrBytes,
    /// The topic's id.
    #[field(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<PartitionData>,
}

/// One partition's records.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct PartitionData {
    /// The partition.
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The high watermark; -1 with an error.
    #[field(versions = "0+")]
    pub high_watermark: i64,
    /// The end of what is decided of all transactions; -1 if unknown.
    #[field(versions = "4+", default = -1, ignorable)]
    pub last_stable_offset: i64,
    /// The start of the partition's log; -1 if unknown.
    #[field(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    /// Where the reader's log and ours part, if they do.
    #[field(versions = "12+", tag = 0, tagged = "12+")]
    pub diverging_epoch: EpochEndOffset,
    /// The leader, where this broker is not it.
    #[field(versions = "12+", tag = 1, tagged = "12+")]
    pub current_leader: LeaderIdAndEpoch,
    /// The snapshot to begin from, where the log starts later than asked.
    #[field(versions = "12+", tag = 2, tagged = "12+")]
    pub snapshot_id: SnapshotId,
    /// The aborted transactions within the records; none unless committed records are read.
    #[field(versions = "4+", nullable = "4+", ignorable)]
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// The replica to read from instead; -1 for this one.
    #[field(versions = "11+", default = -1)]
    pub preferred_read_replica: i32,
    /// The record batches. Empty, never null, where there are none.
    #[field(versions = "0+", nullable = "0+")]
    pub records: Records,
}

/// Where the last epoch that both sides share ends.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct EpochEndOffset {
    /// The epoch.
    #[field(versions = "12+", default = -1)]
    pub epoch: i32,
    /// Its end.
    #[field(versions = "12+", default = -1)]
    pub end_offset: i64,
}

/// A leader and its epoch, both -1 if unknown.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct LeaderIdAndEpoch {
    /// The leader, -1 if there is none.
    #[field(versions = "12+", default = -1)]
    pub leader_id: i32,
    /// The leader's epoch, -1 if unknown.
    #[field(versions = "12+", default = -1)]
    pub leader_epoch: i32,
}

/// A snapshot of the metadata log.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct SnapshotId {
    /// The offset after its last record.
    #[field(versions = "0+", default = -1)]
    pub end_offset: i64,
    /// The epoch of its last record.
    #[field(versions = "0+", default = -1)]
    pub epoch: i32,
}

/// A transaction whose records a consumer of committed records skips.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AbortedTransaction {
    /// Its producer.
    #[field(versions = "4+")]
    pub producer_id: i64,
    /// Its first record.
    #[field(versions = "4+")]
    pub first_offset: i64,
}

/// Where to reach a leader named in this response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct NodeEndpoint {
    /// The broker's id.
    #[field(versions = "16+")]
    pub node_id: i32,
    /// Its host name.
    #[field(versions = "16+")]
    pub host: String,
    /// Its port.
    #[field(versions = "16+")]
    pub port: i32,
    /// Its rack, if it has one.
    #[field(versions = "16+", nullable = "16+", default = null)]
    pub rack: Option<String>,
}
