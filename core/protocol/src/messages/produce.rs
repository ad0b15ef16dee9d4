//! Produce (key 0): appends record batches to partitions.
//!
//! The records of a request stay a slice of its frame. With `acks` 0 there is no response at all.
//! Version 10 added the new leader to errors (KIP-951), 13 topic ids (KIP-516).

use watershed_model::TopicId;
use watershed_protocol_derive::Message;

use crate::{RecordBytes, StrBytes};

/// Record batches for any number of partitions.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 0, kind = "request", versions = "3-13", flexible = "9+")]
pub struct ProduceRequest {
    /// The transactional id; none for a producer without transactions.
    #[field(versions = "3+", nullable = "3+", default = null)]
    pub transactional_id: Option<String>,
    /// How many replicas must have the records: 0 (and then no response), 1 (the leader) or -1 (all in sync).
    #[field(versions = "0+")]
    pub acks: i16,
    /// How long to wait for the replicas, in milliseconds.
    #[field(versions = "0+")]
    pub timeout_ms: i32,
    /// The topics.
    #[field(versions = "0+")]
    pub topic_data: Vec<TopicProduceData>,
}

/// One topic's batches.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TopicProduceData {
    /// The topic's name.
    #[field(versions = "0-12", ignorable)]
    pub name: StrBytes,
    /// The topic's id.
    #[field(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions.
    #[field(versions = "0+")]
    pub partition_data: Vec<PartitionProduceData>,
}

/// One partition's batch.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct PartitionProduceData {
    /// The partition.
    #[field(versions = "0+")]
    pub index: i32,
    /// One record batch, or none. It shares the memory of the request's frame.
    #[field(versions = "0+", nullable = "0+")]
    pub records: Option<RecordBytes>,
}

/// Where the batches went, partition by partition.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 0, kind = "response", versions = "3-13", flexible = "9+")]
pub struct ProduceResponse {
    /// The topics.
    #[field(versions = "0+")]
    pub responses: Vec<TopicProduceResponse>,
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// Where to reach the leaders that `current_leader` names.
    #[field(versions = "10+", tag = 0, tagged = "10+")]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// One topic's results.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TopicProduceResponse {
    /// The topic's name.
    #[field(versions = "0-12", ignorable)]
    pub name: StrBytes,
    /// The topic's id.
    #[field(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions.
    #[field(versions = "0+")]
    pub partition_responses: Vec<PartitionProduceResponse>,
}

/// One partition's result.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct PartitionProduceResponse {
    /// The partition.
    #[field(versions = "0+")]
    pub index: i32,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The offset of the first record; -1 with an error.
    #[field(versions = "0+")]
    pub base_offset: i64,
    /// The time the broker gave the records, in milliseconds; -1 where they keep the producer's.
    #[field(versions = "2+", default = -1, ignorable)]
    pub log_append_time_ms: i64,
    /// The start of the partition's log; -1 if unknown.
    #[field(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    /// The records that made the batch be refused.
    #[field(versions = "8+", ignorable)]
    pub record_errors: Vec<BatchIndexAndErrorMessage>,
    /// The error in words, if there is one.
    #[field(versions = "8+", nullable = "8+", default = null, ignorable)]
    pub error_message: Option<String>,
    /// The leader, where this broker is not it.
    #[field(versions = "10+", tag = 0, tagged = "10+")]
    pub current_leader: LeaderIdAndEpoch,
}

/// A record that was refused.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct BatchIndexAndErrorMessage {
    /// The record's number in its batch, from 0.
    #[field(versions = "8+")]
    pub batch_index: i32,
    /// What is wrong with it.
    #[field(versions = "8+", nullable = "8+", default = null)]
    pub batch_index_error_message: Option<String>,
}

/// A leader and its epoch, both -1 if unknown.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct LeaderIdAndEpoch {
    /// The leader, -1 if there is none.
    #[field(versions = "10+", default = -1)]
    pub leader_id: i32,
    /// The leader's epoch, -1 if unknown.
    #[field(versions = "10+", default = -1)]
    pub leader_epoch: i32,
}

/// Where to reach a leader named in this response.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct NodeEndpoint {
    /// The broker's id.
    #[field(versions = "10+")]
    pub node_id: i32,
    /// Its host name.
    #[field(versions = "10+")]
    pub host: String,
    /// Its port.
    #[field(versions = "10+")]
    pub port: i32,
    /// Its rack, if it has one.
    #[field(versions = "10+", nullable = "10+", default = null)]
    pub rack: Option<String>,
}
