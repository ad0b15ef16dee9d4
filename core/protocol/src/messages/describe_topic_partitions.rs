//! DescribeTopicPartitions (key 75): topics in pages, with eligible leader replicas (KIP-966).

use watershed_model::TopicId;
use watershed_protocol_derive::Message;

/// The topics, and where to go on.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 75, kind = "request", versions = "0", flexible = "0+")]
pub struct DescribeTopicPartitionsRequest {
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<TopicRequest>,
    /// The most partitions in a page.
    #[field(versions = "0+", default = 2000)]
    pub response_partition_limit: i32,
    /// Where to go on; null to begin.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub cursor: Option<Cursor>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TopicRequest {
    /// The topic's name.
    #[field(versions = "0+")]
    pub name: String,
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct Cursor {
    /// The first topic.
    #[field(versions = "0+")]
    pub topic_name: String,
    /// Its first partition.
    #[field(versions = "0+")]
    pub partition_index: i32,
}

/// A page of topics.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 75, kind = "response", versions = "0", flexible = "0+")]
pub struct DescribeTopicPartitionsResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "0+", ignorable)]
    pub throttle_time_ms: i32,
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<DescribeTopicPartitionsResponseTopic>,
    /// Where the next page begins; null after the last.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub next_cursor: Option<Cursor>,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeTopicPartitionsResponseTopic {
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The topic's name.
    #[field(versions = "0+", nullable = "0+")]
    pub name: Option<String>,
    /// The topic's id.
    #[field(versions = "0+", ignorable)]
    pub topic_id: TopicId,
    /// Whether it is one of the brokers' own topics.
    #[field(versions = "0+", ignorable)]
    pub is_internal: bool,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<DescribeTopicPartitionsResponsePartition>,
    /// What the client may do with the topic, a bit per operation; `i32::MIN` if not asked.
    #[field(versions = "0+", default = i32::MIN)]
    pub topic_authorized_operations: i32,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeTopicPartitionsResponsePartition {
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The partition.
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// The leader, -1 if there is none.
    #[field(versions = "0+")]
    pub leader_id: i32,
    /// The leader's epoch, -1 if unknown.
    #[field(versions = "0+", default = -1, ignorable)]
    pub leader_epoch: i32,
    /// The brokers with a replica, the preferred leader first.
    #[field(versions = "0+")]
    pub replica_nodes: Vec<i32>,
    /// Those in sync.
    #[field(versions = "0+")]
    pub isr_nodes: Vec<i32>,
    /// Replicas that could lead without loss (KIP-966).
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub eligible_leader_replicas: Option<Vec<i32>>,
    /// The last of those, where there are none now.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub last_known_elr: Option<Vec<i32>>,
    /// Those that are down.
    #[field(versions = "0+", ignorable)]
    pub offline_replicas: Vec<i32>,
}
