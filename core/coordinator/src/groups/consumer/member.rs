//! A member of a consumer group.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::partitions::Partitions;
use crate::records::{
    ClassicMemberMetadata, ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataValue,
};

/// The epoch of a static member that has left for a while.
pub(super) const EPOCH_AWAY: i32 = -2;
/// The epoch with which a member says that it leaves.
pub(super) const EPOCH_LEAVES: i32 = -1;

/// How far a member has come on its way to its target. The numbers are Kafka's, and persisted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It owns what it is to own.
    Stable,
    /// It has to give up partitions first.
    UnrevokedPartitions,
    /// It waits for partitions that others have not given up yet.
    UnreleasedPartitions,
    /// A state of a newer version.
    Unknown,
}

impl MemberState {
    const fn number(self) -> i8 {
        match self {
            Self::Stable => 1,
            Self::UnrevokedPartitions => 2,
            Self::UnreleasedPartitions => 3,
            Self::Unknown => 127,
        }
    }

    const fn of(number: i8) -> Self {
        match number {
            1 => Self::Stable,
            2 => Self::UnrevokedPartitions,
            3 => Self::UnreleasedPartitions,
            _ => Self::Unknown,
        }
    }
}

/// A member.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerMember {
    /// Its id.
    pub member_id: Arc<str>,
    /// What it said of itself.
    pub about: About,
    /// Its epoch: that of the target it has reached or is on its way to.
    pub epoch: i32,
    /// The epoch before.
    pub previous_epoch: i32,
    /// How far it has come.
    pub state: MemberState,
    /// What it owns, or was told to.
    pub assigned: Partitions,
    /// What it was told to give up, and may still own.
    pub pending_revocation: Partitions,
}

/// What a member said of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// The name of a static member.
    pub instance_id: Option<Arc<str>>,
    /// Its rack.
    pub rack_id: Option<Arc<str>>,
    /// What the client calls itself.
    pub client_id: Arc<str>,
    /// The client's address.
    pub client_host: Arc<str>,
    /// How long it may take to give up partitions, in milliseconds; -1 if it has not said.
    pub rebalance_timeout_ms: i32,
    /// The topics it subscribes to, by name.
    pub topics: Arc<BTreeSet<String>>,
    /// The regular expression of topics it subscribes to; empty where it has none any more.
    pub regex: Option<Arc<str>>,
    /// The assignor it prefers.
    pub assignor: Option<Arc<str>>,
    /// What it said in a JoinGroup, if it uses the classic protocol.
    pub classic: Option<Arc<ClassicMemberMetadata>>,
}

impl ConsumerMember {
    /// One that has said nothing yet.
    pub(super) fn new(member_id: Arc<str>) -> Self {
        let nothing: Arc<str> = Arc::from("");
        let about = About {
            instance_id: None,
            rack_id: None,
            client_id: Arc::clone(&nothing),
            client_host: nothing,
            rebalance_timeout_ms: -1,
            topics: Arc::default(),
            regex: None,
            assignor: None,
            classic: None,
        };
        Self {
            member_id,
            about,
            epoch: 0,
            previous_epoch: 0,
            state: MemberState::Stable,
            assigned: Partitions::NONE,
            pending_revocation: Partitions::NONE,
        }
    }

    /// Whether it uses the classic protocol.
    pub(in crate::groups) fn is_classic(&self) -> bool {
        self.about.classic.is_some()
    }

    /// The regular expression it subscribes to, if it does.
    pub(super) fn regex(&self) -> Option<&Arc<str>> {
        self.about.regex.as_ref().filter(|regex| !regex.is_empty())
    }

    /// Whether it has come to the target of this epoch.
    pub(super) fn has_reached(&self, target_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == target_epoch
    }

    /// Takes a new epoch, if it is one; the old one may be what the member knows.
    pub(super) fn move_to(&mut self, epoch: i32) {
        self.previous_epoch = self.epoch;
        self.epoch = epoch;
    }

    /// The member's session timeout where it uses the classic protocol, in milliseconds.
    pub(super) fn classic_session_timeout_ms(&self) -> Option<i32> {
        self.about.classic.as_ref().map(|classic| classic.session_timeout_ms)
    }

    /// What it said in a JoinGroup for one protocol.
    pub(super) fn classic_metadata(&self, protocol: &str) -> Option<&Bytes> {
        let protocols = &self.about.classic.as_ref()?.supported_protocols;
        protocols.iter().find(|supported| supported.name == protocol).map(|supported| &supported.metadata)
    }

    pub(super) fn about_record(&self) -> ConsumerGroupMemberMetadataValue {
        let text = |text: &Option<Arc<str>>| text.as_ref().map(ToString::to_string);
        ConsumerGroupMemberMetadataValue {
            instance_id: text(&self.about.instance_id),
            rack_id: text(&self.about.rack_id),
            client_id: self.about.client_id.to_string(),
            client_host: self.about.client_host.to_string(),
            subscribed_topic_names: self.about.topics.iter().cloned().collect(),
            subscribed_topic_regex: text(&self.about.regex),
            rebalance_timeout_ms: self.about.rebalance_timeout_ms,
            server_assignor: text(&self.about.assignor),
            classic_member_metadata: self.about.classic.as_deref().cloned(),
        }
    }

    pub(super) fn current_record(&self) -> ConsumerGroupCurrentMemberAssignmentValue {
        ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: self.epoch,
            previous_member_epoch: self.previous_epoch,
            state: self.state.number(),
            assigned_partitions: self.assigned.to_record(),
            partitions_pending_revocation: self.pending_revocation.to_record(),
        }
    }

    pub(super) fn take_about(&mut self, record: ConsumerGroupMemberMetadataValue) {
        let text = |text: Option<String>| text.map(Arc::from);
        self.about = About {
            instance_id: text(record.instance_id),
            rack_id: text(record.rack_id),
            client_id: record.client_id.into(),
            client_host: record.client_host.into(),
            rebalance_timeout_ms: record.rebalance_timeout_ms,
            topics: Arc::new(record.subscribed_topic_names.into_iter().collect()),
            regex: text(record.subscribed_topic_regex),
            assignor: text(record.server_assignor),
            classic: record.classic_member_metadata.map(Arc::new),
        };
    }

    pub(super) fn take_current(&mut self, record: ConsumerGroupCurrentMemberAssignmentValue) {
        self.epoch = record.member_epoch;
        self.previous_epoch = record.previous_member_epoch;
        self.state = MemberState::of(record.state);
        self.assigned = record.assigned_partitions.into();
        self.pending_revocation = record.partitions_pending_revocation.into();
    }
}
