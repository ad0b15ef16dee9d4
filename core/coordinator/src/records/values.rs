//! The values, as Kafka 4.2.0's coordinator writes them and as older ones did.

use bytes::Bytes;
use watershed_model::TopicId;
use watershed_protocol_derive::Message;

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(kind = "data", versions = "0-4", flexible = "4+")]
pub struct OffsetCommitValue {
    /// The offset of the next record to consume.
    #[field(versions = "0+")]
    pub offset: i64,
    /// The leader epoch of the last record that was consumed; -1 if unknown.
    #[field(versions = "3+", default = -1, ignorable)]
    pub leader_epoch: i32,
    /// What the client keeps beside the offset.
    #[field(versions = "0+")]
    pub metadata: String,
    /// When it was committed, in milliseconds since the epoch.
    #[field(versions = "0+")]
    pub commit_timestamp: i64,
    /// When it expires, in milliseconds since the epoch; -1: by the broker's retention.
    #[field(versions = "1", default = -1, ignorable)]
    pub expire_timestamp: i64,
    /// The topic's id.
    #[field(versions = "4+", tag = 0, tagged = "4+", ignorable)]
    pub topic_id: TopicId,
}

/// A classic group after a rebalance.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(kind = "data", versions = "0-4", flexible = "4+")]
pub struct GroupMetadataValue {
    /// The kind of protocol: `consumer` for consumers; empty without members.
    #[field(versions = "0+")]
    pub protocol_type: String,
    /// The generation.
    #[field(versions = "0+")]
    pub generation: i32,
    /// The protocol that the members share.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub protocol: Option<String>,
    /// The leader's member id.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub leader: Option<String>,
    /// When its state last changed, in milliseconds since the epoch; -1 if unknown.
    #[field(versions = "2+", default = -1, ignorable)]
    pub current_state_timestamp: i64,
    /// The members.
    #[field(versions = "0+")]
    pub members: Vec<MemberMetadata>,
}

/// A member of a classic group.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
pub struct MemberMetadata {
    /// The member's id.
    #[field(versions = "0+")]
    pub member_id: String,
    /// The name of a static member (KIP-345).
    #[field(versions = "3+", nullable = "3+", default = null, ignorable)]
    pub group_instance_id: Option<String>,
    /// What the client calls itself.
    #[field(versions = "0+")]
    pub client_id: String,
    /// The client's address.
    #[field(versions = "0+")]
    pub client_host: String,
    /// How long it may take to join again, in milliseconds; -1 if unknown.
    #[field(versions = "1+", default = -1, ignorable)]
    pub rebalance_timeout: i32,
    /// How long it may be silent, in milliseconds.
    #[field(versions = "0+")]
    pub session_timeout: i32,
    /// What it said when it joined, in the terms of the protocol.
    #[field(versions = "0+")]
    pub subscription: Bytes,
    /// What it was assigned, in the terms of the protocol.
    #[field(versions = "0+")]
    pub assignment: Bytes,
}

/// A consumer group's epoch.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(kind = "data", versions = "0", flexible = "0+")]
pub struct ConsumerGroupMetadataValue {
    /// The epoch.
    #[field(versions = "0+")]
    pub epoch: i32,
    /// A hash of the topics that the group subscribes to.
    #[field(versions = "0+", tag = 0, tagged = "0+")]
    pub metadata_hash: i64,
}

/// The partitions of the topics that a consumer group subscribes to. Older brokers wrote it; what is written now is its removal.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(kind = "data", versions = "0", flexible = "0+")]
pub struct ConsumerGroupPartitionMetadataValue {
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<TopicMetadata>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
pub struct TopicMetadata {
    /// The topic's id.
    #[field(versions = "0+")]
    pub topic_id: TopicId,
    /// The topic's name.
    #[field(versions = "0+")]
    pub topic_name: String,
    /// How many partitions it has.
    #[field(versions = "0+")]
    pub num_partitions: i32,
    /// Not used since Kafka 4.0.
    #[field(versions = "0+")]
    pub partition_metadata: Vec<PartitionMetadata>,
}

/// The racks of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
pub struct PartitionMetadata {
    /// The partition.
    #[field(versions = "0+")]
    pub partition: i32,
    /// The racks.
    #[field(versions = "0+")]
    pub racks: Vec<String>,
}

/// What a member of a consumer group said of itself.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(kind = "data", versions = "0", flexible = "0+")]
pub struct ConsumerGroupMemberMetadataValue {
    /// The name of a static member.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub instance_id: Option<String>,
    /// Its rack.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub rack_id: Option<String>,
    /// What the client calls itself.
    #[field(versions = "0+")]
    pub client_id: String,
    /// The client's address.
    #[field(versions = "0+")]
    pub client_host: String,
    /// The topics it subscribes to, by name.
    #[field(versions = "0+")]
    pub subscribed_topic_names: Vec<String>,
    /// The regular expression of topics it subscribes to.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub subscribed_topic_regex: Option<String>,
    /// How long it may take to give up partitions, in milliseconds.
    #[field(versions = "0+", default = -1)]
    pub rebalance_timeout_ms: i32,
    /// The assignor that it prefers.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub server_assignor: Option<String>,
    /// What a member that uses the classic protocol said when it joined.
    #[field(versions = "0+", nullable = "0+", tag = 0, tagged = "0+", default = null)]
    pub classic_member_metadata: Option<ClassicMemberMetadata>,
}

/// A member of a consumer group that uses the classic protocol.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
pub struct ClassicMemberMetadata {
    /// How long it may be silent, in milliseconds.
    #[field(versions = "0+")]
    pub session_timeout_ms: i32,
    /// What it supports.
    #[field(versions = "0+")]
    pub supported_protocols: Vec<ClassicProtocol>,
}

/// A protocol, and what the member said in its terms.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
pub struct ClassicProtocol {
    /// The protocol's name.
    #[field(versions = "0+")]
    pub name: String,
    /// The member's metadata.
    #[field(versions = "0+")]
    pub metadata: Bytes,
}

/// The epoch of a consumer group's target assignment.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(kind = "data", versions = "0", flexible = "0+")]
pub struct ConsumerGroupTargetAssignmentMetadataValue {
    /// The epoch.
    #[field(versions = "0+")]
    pub assignment_epoch: i32,
}

/// What a member of a consumer group is to own.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(kind = "data", versions = "0", flexible = "0+")]
pub struct ConsumerGroupTargetAssignmentMemberValue {
    /// The partitions, by topic.
    #[field(versions = "0+")]
    pub topic_partitions: Vec<TopicPartitions>,
}

/// Where a member of a consumer group stands.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(kind = "data", versions = "0", flexible = "0+")]
pub struct ConsumerGroupCurrentMemberAssignmentValue {
    /// Its epoch.
    #[field(versions = "0+")]
    pub member_epoch: i32,
    /// The epoch before: the member may not have heard of the newer one.
    #[field(versions = "0+")]
    pub previous_member_epoch: i32,
    /// Its state, as Kafka numbers them.
    #[field(versions = "0+")]
    pub state: i8,
    /// What it owns.
    #[field(versions = "0+")]
    pub assigned_partitions: Vec<TopicPartitions>,
    /// What it has to give up first.
    #[field(versions = "0+")]
    pub partitions_pending_revocation: Vec<TopicPartitions>,
}

/// Partitions of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
pub struct TopicPartitions {
    /// The topic's id.
    #[field(versions = "0+")]
    pub topic_id: TopicId,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<i32>,
}

/// The topics that a regular expression matched.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(kind = "data", versions = "0", flexible = "0+")]
pub struct ConsumerGroupRegularExpressionValue {
    /// The topics' names.
    #[field(versions = "0+")]
    pub topics: Vec<String>,
    /// The version of the metadata that they were looked up in.
    #[field(versions = "0+")]
    pub version: i64,
    /// When they were looked up, in milliseconds since the epoch.
    #[field(versions = "0+")]
    pub timestamp: i64,
}
