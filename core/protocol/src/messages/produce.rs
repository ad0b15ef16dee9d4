//! Produce.

use watershed_model::TopicId;
use watershed_protocol_derive::Message;

use crate::{StrBytes, wire::RecordBytes};

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 0, kind = "request", versions = "3-13", flexible = "9+")]
pub struct ProduceRequest {
    /// .
    #[field(versions = "3+", nullable = "3+", default = null)]
    pub transactional_id: Option<String>,
    /// .
    #[field(versions = "0+")]
    pub acks: i16,
    /// .
    #[field(versions = "0+")]
    pub timeout_ms: i32,
    /// .
    #[field(versions = "0+")]
    pub topic_data: Vec<TopicProduceData>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TopicProduceData {
    /// .
    #[field(versions = "0-12", ignorable)]
    pub name: StrBytes,
    /// .
    #[field(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// .
    #[field(versions = "0+")]
    pub partition_data: Vec<PartitionProduceData>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct PartitionProduceData {
    /// .
    #[field(versions = "0+")]
    pub index: i32,
    /// .
    #[field(versions = "0+", nullable = "0+")]
    pub records: Option<RecordBytes>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 0, kind = "response", versions = "3-13", flexible = "9+")]
pub struct ProduceResponse {
    /// .
    #[field(versions = "0+")]
    pub responses: Vec<TopicProduceResponse>,
    /// .
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// .
    #[field(versions = "10+", tag = 0, tagged = "10+")]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TopicProduceResponse {
    /// .
    #[field(versions = "0-12", ignorable)]
    pub name: StrBytes,
    /// .
    #[field(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// .
    #[field(versions = "0+")]
    pub partition_responses: Vec<PartitionProduceResponse>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct PartitionProduceResponse {
    /// .
    #[field(versions = "0+")]
    pub index: i32,
    /// .
    #[field(versions = "0+")]
    pub error_code: i16,
    /// .
    #[field(versions = "0+")]
    pub base_offset: i64,
    /// .
    #[field(versions = "2+", default = -1, ignorable)]
    pub log_append_time_ms: i64,
    /// .
    #[field(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    /// .
    #[field(versions = "8+", ignorable)]
    pub record_errors: Vec<BatchIndexAndErrorMessage>,
    /// .
    #[field(versions = "8+", nullable = "8+", default = null, ignorable)]
    pub error_message: Option<String>,
    /// .
    #[field(versions = "10+", tag = 0, tagged = "10+")]
    pub current_leader: LeaderIdAndEpoch,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct BatchIndexAndErrorMessage {
    /// .
    #[field(versions = "8+")]
    pub batch_index: i32,
    /// .
    #[field(versions = "8+", nullable = "8+", default = null)]
    pub batch_index_error_message: Option<String>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct LeaderIdAndEpoch {
    /// .
    #[field(versions = "10+", default = -1)]
    pub leader_id: i32,
    /// .
    #[field(versions = "10+", default = -1)]
    pub leader_epoch: i32,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct NodeEndpoint {
    /// .
    #[field(versions = "10+")]
    pub node_id: i32,
    /// .
    #[field(versions = "10+")]
    pub host: String,
    /// .
    #[field(versions = "10+")]
    pub port: i32,
    /// .
    #[field(versions = "10+", nullable = "10+", default = null)]
    pub rack: Option<String>,
}
