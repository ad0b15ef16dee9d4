//! ConsumerGroupHeartbeat (key 68): a member of a consumer group joins, stays, changes or leaves (KIP-848).

use watershed_model::TopicId;
use watershed_protocol_derive::Message;

/// The member, and what has changed about it: null or -1 stands for "nothing".
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 68, kind = "request", versions = "0-1", flexible = "0+")]
pub struct ConsumerGroupHeartbeatRequest {
    /// The group.
    #[field(versions = "0+")]
    pub group_id: String,
    /// The member's id, which it makes itself; before version 1 empty when it joins.
    #[field(versions = "0+")]
    pub member_id: String,
    /// The member's epoch; 0 to join, -1 to leave, -2 for a static member that will be back.
    #[field(versions = "0+")]
    pub member_epoch: i32,
    /// The name of a static member; null for a dynamic one.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub instance_id: Option<String>,
    /// The member's rack, if it has one.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub rack_id: Option<String>,
    /// How long the member may take to give up partitions, in milliseconds.
    #[field(versions = "0+", default = -1)]
    pub rebalance_timeout_ms: i32,
    /// The topics it subscribes to.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub subscribed_topic_names: Option<Vec<String>>,
    /// The regular expression of topics it subscribes to.
    #[field(versions = "1+", nullable = "1+", default = null)]
    pub subscribed_topic_regex: Option<String>,
    /// The assignor that the member prefers.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub server_assignor: Option<String>,
    /// The partitions that the member owns, by topic.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub topic_partitions: Option<Vec<TopicPartitions>>,
}

/// The partitions of one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TopicPartitions {
    /// The topic's id.
    #[field(versions = "0+")]
    pub topic_id: TopicId,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<i32>,
}

/// The member's epoch, and its assignment when that is news.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 68, kind = "response", versions = "0-1", flexible = "0+")]
pub struct ConsumerGroupHeartbeatResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The error in words, if there is one.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub error_message: Option<String>,
    /// The member's id.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub member_id: Option<String>,
    /// The member's epoch.
    #[field(versions = "0+")]
    pub member_epoch: i32,
    /// How often the member should send a heartbeat, in milliseconds.
    #[field(versions = "0+")]
    pub heartbeat_interval_ms: i32,
    /// What it is to own; null if it knows.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub assignment: Option<Assignment>,
}

/// The partitions of a member.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct Assignment {
    /// The partitions, by topic.
    #[field(versions = "0+")]
    pub topic_partitions: Vec<TopicPartitionsResponse>,
}

/// The partitions of one topic.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(name = "TopicPartitions")]
pub struct TopicPartitionsResponse {
    /// The topic's id.
    #[field(versions = "0+")]
    pub topic_id: TopicId,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<i32>,
}
