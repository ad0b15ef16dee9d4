//! What the group coordinator is asked and answers: the protocol's messages, split by group where a request names several.

use std::sync::Arc;

use watershed_protocol::messages::consumer_group_describe::DescribedGroup as ConsumerGroupDescription;
use watershed_protocol::messages::delete_groups::DeletableGroupResult;
use watershed_protocol::messages::describe_groups::DescribedGroup;
use watershed_protocol::messages::list_groups::ListedGroup;
use watershed_protocol::messages::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchResponseGroup};
use watershed_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, HeartbeatRequest, HeartbeatResponse,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, SyncGroupRequest, SyncGroupResponse,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

use super::Answer;

/// A request.
#[derive(Clone, Debug)]
pub enum GroupRequest {
    /// JoinGroup.
    JoinGroup(JoinGroupRequest),
    /// SyncGroup.
    SyncGroup(SyncGroupRequest),
    /// Heartbeat.
    Heartbeat(HeartbeatRequest),
    /// LeaveGroup.
    LeaveGroup(LeaveGroupRequest),
    /// ConsumerGroupHeartbeat.
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeatRequest),
    /// OffsetCommit. The broker has answered unknown topics and partitions itself: these exist.
    OffsetCommit(OffsetCommitRequest),
    /// TxnOffsetCommit.
    TxnOffsetCommit(TxnOffsetCommitRequest),
    /// OffsetFetch for one group.
    OffsetFetch {
        /// The group and its topics; `None`: all of them.
        group: OffsetFetchRequestGroup,
        /// Whether offsets that a transaction is about to change are an error (KIP-447).
        require_stable: bool,
    },
    /// OffsetDelete.
    OffsetDelete(OffsetDeleteRequest),
    /// DeleteGroups, for the groups of this partition.
    DeleteGroups(Vec<String>),
    /// DescribeGroups, for the groups of this partition.
    DescribeGroups(Vec<String>),
    /// ConsumerGroupDescribe, for the groups of this partition.
    ConsumerGroupDescribe(Vec<String>),
    /// ListGroups: only groups in these states and of these types; an empty list is all.
    ListGroups {
        /// `states_filter`.
        states: Vec<String>,
        /// `types_filter`.
        types: Vec<String>,
    },
    /// Topics are gone: every group forgets their offsets.
    TopicsDeleted(Vec<Arc<str>>),
    /// An assignor outside has answered a [`Question`](super::Question).
    Assigned(Answer),
}

/// A reply, by the request it answers.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupReply {
    /// JoinGroup.
    JoinGroup(JoinGroupResponse),
    /// SyncGroup.
    SyncGroup(SyncGroupResponse),
    /// Heartbeat.
    Heartbeat(HeartbeatResponse),
    /// LeaveGroup.
    LeaveGroup(LeaveGroupResponse),
    /// ConsumerGroupHeartbeat.
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeatResponse),
    /// OffsetCommit.
    OffsetCommit(OffsetCommitResponse),
    /// TxnOffsetCommit.
    TxnOffsetCommit(TxnOffsetCommitResponse),
    /// OffsetFetch for one group.
    OffsetFetch(OffsetFetchResponseGroup),
    /// OffsetDelete.
    OffsetDelete(OffsetDeleteResponse),
    /// DeleteGroups.
    DeleteGroups(Vec<DeletableGroupResult>),
    /// DescribeGroups.
    DescribeGroups(Vec<DescribedGroup>),
    /// ConsumerGroupDescribe.
    ConsumerGroupDescribe(Vec<ConsumerGroupDescription>),
    /// ListGroups.
    ListGroups(Vec<ListedGroup>),
    /// TopicsDeleted.
    TopicsDeleted,
    /// Assigned.
    Assigned,
}

/// A timer. Group and member ids are shared texts, because heartbeats set these all the time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupTimer {
    /// A classic member was not heard of for its session timeout, or did not come back with the id it was given.
    ClassicHeartbeat(Arc<str>, Arc<str>),
    /// A classic group's join phase ends (initial delay or rebalance timeout).
    ClassicJoin(Arc<str>),
    /// Members of a classic group that owe a SyncGroup.
    ClassicSync(Arc<str>),
    /// A consumer-group member was not heard of for its session timeout.
    ConsumerSession(Arc<str>, Arc<str>),
    /// A consumer-group member has not given up partitions within its rebalance timeout.
    ConsumerRebalance(Arc<str>, Arc<str>),
    /// A classic member of a consumer group owes a JoinGroup.
    ConsumerJoin(Arc<str>, Arc<str>),
    /// A classic member of a consumer group owes a SyncGroup.
    ConsumerSync(Arc<str>, Arc<str>),
    /// An assignor outside has not answered a group.
    Answer(Arc<str>),
    /// Offsets and empty groups are looked through for what has expired.
    Expiry,
}

/// An event whose records' fate matters to a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupToken {
    /// A leader's assignment was written: it is given to the members once it is durable (SyncGroup).
    ClassicAssignment {
        /// The group.
        group: Arc<str>,
        /// The generation that it belongs to.
        generation: i32,
    },
    /// A static member's new id was written: its JoinGroup is answered once that is durable.
    ClassicStaticMember {
        /// The group.
        group: Arc<str>,
        /// The member's new id.
        member: Arc<str>,
        /// The id it replaces.
        replaced: Arc<str>,
    },
    /// A classic group without members was written down: its JoinGroups go on once that is durable.
    ClassicEmpty {
        /// The group.
        group: Arc<str>,
        /// The generation that it belongs to.
        generation: i32,
    },
    /// The epoch of a consumer group was raised: its assignor outside is asked once that is durable.
    ConsumerEpoch {
        /// The group.
        group: Arc<str>,
    },
}
