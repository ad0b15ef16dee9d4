//! DescribeQuorum.

use watershed_model::TopicId;
use watershed_protocol_derive::Message;

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 55, kind = "request", versions = "0-2", flexible = "0+")]
pub struct DescribeQuorumRequest {
    /// .
    #[field(versions = "0+")]
    pub topics: Vec<TopicData>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TopicData {
    /// .
    #[field(versions = "0+")]
    pub topic_name: String,
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
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 55, kind = "response", versions = "0-2", flexible = "0+")]
pub struct DescribeQuorumResponse {
    /// .
    #[field(versions = "0+")]
    pub error_code: i16,
    /// .
    #[field(versions = "2+", nullable = "2+", ignorable)]
    pub error_message: Option<String>,
    /// .
    #[field(versions = "0+")]
    pub topics: Vec<TopicDataResponse>,
    /// .
    #[field(versions = "2+")]
    pub nodes: Vec<Node>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(name = "TopicData")]
pub struct TopicDataResponse {
    /// .
    #[field(versions = "0+")]
    pub topic_name: String,
    /// .
    #[field(versions = "0+")]
    pub partitions: Vec<PartitionDataResponse>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(name = "PartitionData")]
pub struct PartitionDataResponse {
    /// .
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// .
    #[field(versions = "0+")]
    pub error_code: i16,
    /// .
    #[field(versions = "2+", nullable = "2+", ignorable)]
    pub error_message: Option<String>,
    /// .
    #[field(versions = "0+")]
    pub leader_id: i32,
    /// .
    #[field(versions = "0+")]
    pub leader_epoch: i32,
    /// .
    #[field(versions = "0+")]
    pub high_watermark: i64,
    /// .
    #[field(versions = "0+")]
    pub current_voters: Vec<ReplicaState>,
    /// .
    #[field(versions = "0+")]
    pub observers: Vec<ReplicaState>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ReplicaState {
    /// .
    #[field(versions = "0+")]
    pub replica_id: i32,
    /// .
    #[field(versions = "2+")]
    pub replica_directory_id: TopicId,
    /// .
    #[field(versions = "0+")]
    pub log_end_offset: i64,
    /// .
    #[field(versions = "1+", default = -1, ignorable)]
    pub last_fetch_timestamp: i64,
    /// .
    #[field(versions = "1+", default = -1, ignorable)]
    pub last_caught_up_timestamp: i64,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct Node {
    /// .
    #[field(versions = "2+")]
    pub node_id: i32,
    /// .
    #[field(versions = "2+")]
    pub listeners: Vec<Listener>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct Listener {
    /// .
    #[field(versions = "2+")]
    pub name: String,
    /// .
    #[field(versions = "2+")]
    pub host: String,
    /// .
    #[field(versions = "2+")]
    pub port: u16,
}
