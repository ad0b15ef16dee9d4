//! DescribeQuorum (key 55): the state of the metadata quorum (KIP-595, KIP-836).

use watershed_model::TopicId;
use watershed_protocol_derive::Message;

/// The partitions asked about: `__cluster_metadata-0`.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 55, kind = "request", versions = "0-2", flexible = "0+")]
pub struct DescribeQuorumRequest {
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<TopicData>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TopicData {
    /// The topic's name.
    #[field(versions = "0+")]
    pub topic_name: String,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<PartitionData>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct PartitionData {
    /// The partition.
    #[field(versions = "0+")]
    pub partition_index: i32,
}

/// The state of the quorum.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 55, kind = "response", versions = "0-2", flexible = "0+")]
pub struct DescribeQuorumResponse {
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The error in words, if there is one.
    #[field(versions = "2+", nullable = "2+", ignorable)]
    pub error_message: Option<String>,
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<TopicDataResponse>,
    /// The nodes.
    #[field(versions = "2+")]
    pub nodes: Vec<Node>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(name = "TopicData")]
pub struct TopicDataResponse {
    /// The topic's name.
    #[field(versions = "0+")]
    pub topic_name: String,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<PartitionDataResponse>,
}

/// One partition's leader and replicas.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(name = "PartitionData")]
pub struct PartitionDataResponse {
    /// The partition.
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The error in words, if there is one.
    #[field(versions = "2+", nullable = "2+", ignorable)]
    pub error_message: Option<String>,
    /// The leader, -1 if there is none.
    #[field(versions = "0+")]
    pub leader_id: i32,
    /// The leader's epoch, -1 if unknown.
    #[field(versions = "0+")]
    pub leader_epoch: i32,
    /// The high watermark; -1 with an error.
    #[field(versions = "0+")]
    pub high_watermark: i64,
    /// The voters.
    #[field(versions = "0+")]
    pub current_voters: Vec<ReplicaState>,
    /// The replicas without a vote.
    #[field(versions = "0+")]
    pub observers: Vec<ReplicaState>,
}

/// A voter or observer and how far it has come.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ReplicaState {
    /// The replica's broker.
    #[field(versions = "0+")]
    pub replica_id: i32,
    /// The directory that holds the replica.
    #[field(versions = "2+")]
    pub replica_directory_id: TopicId,
    /// The end of its log; -1 if unknown.
    #[field(versions = "0+")]
    pub log_end_offset: i64,
    /// When it last fetched, in milliseconds; -1 for the leader or if unknown.
    #[field(versions = "1+", default = -1, ignorable)]
    pub last_fetch_timestamp: i64,
    /// Up to when it has everything, in milliseconds; -1 if unknown.
    #[field(versions = "1+", default = -1, ignorable)]
    pub last_caught_up_timestamp: i64,
}

/// A node of the quorum.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct Node {
    /// The node's id.
    #[field(versions = "2+")]
    pub node_id: i32,
    /// Where to reach it.
    #[field(versions = "2+")]
    pub listeners: Vec<Listener>,
}

/// Where to reach a node.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct Listener {
    /// The listener's name.
    #[field(versions = "2+")]
    pub name: String,
    /// Its host name.
    #[field(versions = "2+")]
    pub host: String,
    /// Its port.
    #[field(versions = "2+")]
    pub port: u16,
}
