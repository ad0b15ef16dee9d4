//! ConsumerGroupDescribe (key 69): members, epochs and assignments of consumer groups (KIP-848).

use watershed_model::TopicId;
use watershed_protocol_derive::Message;

/// The groups asked about.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 69, kind = "request", versions = "0-1", flexible = "0+")]
pub struct ConsumerGroupDescribeRequest {
    /// The groups.
    #[field(versions = "0+")]
    pub group_ids: Vec<String>,
    /// Whether to tell what the client may do with the groups.
    #[field(versions = "0+")]
    pub include_authorized_operations: bool,
}

/// The groups.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 69, kind = "response", versions = "0-1", flexible = "0+")]
pub struct ConsumerGroupDescribeResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// The groups.
    #[field(versions = "0+")]
    pub groups: Vec<DescribedGroup>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribedGroup {
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The error in words, if there is one.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub error_message: Option<String>,
    /// The group.
    #[field(versions = "0+")]
    pub group_id: String,
    /// The state of the group.
    #[field(versions = "0+")]
    pub group_state: String,
    /// The epoch of the group.
    #[field(versions = "0+")]
    pub group_epoch: i32,
    /// The epoch of the target assignment.
    #[field(versions = "0+")]
    pub assignment_epoch: i32,
    /// The assignor in use.
    #[field(versions = "0+")]
    pub assignor_name: String,
    /// The members.
    #[field(versions = "0+")]
    pub members: Vec<Member>,
    /// What the client may do with the group, as bits; the smallest number if it did not ask.
    #[field(versions = "0+", default = i32::MIN)]
    pub authorized_operations: i32,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct Member {
    /// The member's id.
    #[field(versions = "0+")]
    pub member_id: String,
    /// The name of a static member; null for a dynamic one.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub instance_id: Option<String>,
    /// The member's rack.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub rack_id: Option<String>,
    /// The member's epoch.
    #[field(versions = "0+")]
    pub member_epoch: i32,
    /// What the client calls itself.
    #[field(versions = "0+")]
    pub client_id: String,
    /// The client's address.
    #[field(versions = "0+")]
    pub client_host: String,
    /// The topics it subscribes to.
    #[field(versions = "0+")]
    pub subscribed_topic_names: Vec<String>,
    /// The regular expression of topics it subscribes to.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub subscribed_topic_regex: Option<String>,
    /// What it owns.
    #[field(versions = "0+")]
    pub assignment: Assignment,
    /// What it is to own.
    #[field(versions = "0+")]
    pub target_assignment: Assignment,
    /// -1 for unknown, 0 for classic, 1 for consumer.
    #[field(versions = "1+", default = -1, ignorable)]
    pub member_type: i8,
}

/// The partitions of a member.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct Assignment {
    /// The partitions, by topic.
    #[field(versions = "0+")]
    pub topic_partitions: Vec<TopicPartitions>,
}

/// The partitions of one topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TopicPartitions {
    /// The topic's id.
    #[field(versions = "0+")]
    pub topic_id: TopicId,
    /// The topic's name.
    #[field(versions = "0+")]
    pub topic_name: String,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<i32>,
}
