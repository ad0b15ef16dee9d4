//! A group: classic, or a consumer group of KIP-848; and what both can be asked.

use std::sync::Arc;

use watershed_protocol::ErrorCode;

use super::classic::ClassicGroup;
use super::consumer::ConsumerGroup;
use super::{ExpirationBase, GroupCoordinator, Output};
use crate::runtime::Now;

/// A request that a group refuses: the code, and words for the versions that carry them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct GroupError {
    /// The code.
    pub code: ErrorCode,
    /// The reason, for people.
    pub message: String,
}

impl GroupError {
    /// A refusal.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// There is no such group.
    #[must_use]
    pub fn not_found(group_id: &str) -> Self {
        Self::new(ErrorCode::GroupIdNotFound, format!("Group {group_id} not found."))
    }
}

/// Who commits offsets.
#[derive(Clone, Copy, Debug)]
pub struct Committer<'a> {
    /// The member; empty without a group.
    pub member_id: &'a str,
    /// The name of a static member.
    pub instance_id: Option<&'a str>,
    /// The generation of a classic group, or the epoch of a member of a consumer group; negative without a group.
    pub generation: i32,
    /// Whether it is a producer that does.
    pub is_transactional: bool,
    /// The version of its request.
    pub version: i16,
}

/// A group.
#[derive(Debug)]
pub enum Group {
    /// Its members, led by one of them, share out the partitions.
    Classic(ClassicGroup),
    /// The coordinator shares out the partitions.
    Consumer(ConsumerGroup),
}

impl Group {
    /// Kafka's name of its type.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Classic(_) => "classic",
            Self::Consumer(_) => "consumer",
        }
    }

    /// Kafka's name of its state.
    #[must_use]
    pub fn state_name(&self) -> &'static str {
        match self {
            Self::Classic(group) => group.state().name(),
            Self::Consumer(group) => group.state().name(),
        }
    }

    /// What its members do: `consumer` for consumers; empty where nobody has said.
    #[must_use]
    pub fn protocol_type(&self) -> String {
        match self {
            Self::Classic(group) => group.protocol_type.as_deref().unwrap_or_default().to_owned(),
            Self::Consumer(_) => super::protocol::PROTOCOL_TYPE.to_owned(),
        }
    }

    /// Whether it has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_empty(),
            Self::Consumer(group) => group.is_empty(),
        }
    }

    /// How many members it has.
    #[must_use]
    pub fn member_count(&self) -> usize {
        match self {
            Self::Classic(group) => group.members().len(),
            Self::Consumer(group) => group.members().len(),
        }
    }

    pub(super) fn check_commit(&self, committer: &Committer<'_>) -> Result<(), GroupError> {
        match self {
            Self::Classic(group) => group.check_commit(committer),
            Self::Consumer(group) => group.check_commit(committer),
        }
    }

    pub(super) fn check_offset_fetch(&self, member_id: Option<&str>, member_epoch: i32) -> Result<(), GroupError> {
        match self {
            // Classic members are not known to OffsetFetch.
            Self::Classic(group) => group.check_offset_fetch(),
            Self::Consumer(group) => group.check_offset_fetch(member_id, member_epoch),
        }
    }

    pub(super) fn check_offset_delete(&self) -> Result<(), GroupError> {
        match self {
            Self::Classic(group) => group.check_offset_delete(),
            // Topics that it subscribes to are refused one by one.
            Self::Consumer(_) => Ok(()),
        }
    }

    pub(super) fn check_delete(&self) -> Result<(), GroupError> {
        match self {
            Self::Classic(group) => group.check_delete(),
            Self::Consumer(group) => group.check_delete(),
        }
    }

    /// Whether a member consumes the topic.
    #[must_use]
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        match self {
            Self::Classic(group) => group.is_subscribed_to(topic),
            Self::Consumer(group) => group.is_subscribed_to(topic),
        }
    }

    /// From when on the age of its offsets counts; `None` while they do not expire.
    pub(super) fn offset_expiration(&self) -> Option<ExpirationBase> {
        match self {
            Self::Classic(group) => group.offset_expiration(),
            Self::Consumer(_) => Some(ExpirationBase::Commit),
        }
    }

    /// Writes the records that remove it, and takes its timers back.
    pub(super) fn remove(&self, out: &mut Output) {
        match self {
            Self::Classic(group) => {
                group.write_tombstones(out);
                group.cancel_timers(out);
            }
            Self::Consumer(group) => {
                group.write_tombstones(out);
                group.cancel_timers(out);
            }
        }
    }
}

impl GroupCoordinator {
    pub(super) fn group(&self, group_id: &str) -> Result<&Group, GroupError> {
        self.groups.get(group_id).ok_or_else(|| GroupError::not_found(group_id))
    }

    /// A group that only holds offsets, as a commit without a group makes it.
    pub(super) fn simple_group(&self, group_id: &str, now: Now) -> Group {
        Group::Classic(ClassicGroup::new(Arc::from(group_id), now))
    }

    /// Makes such a group where there is none: an offset's record has come.
    pub(super) fn ensure_simple_group(&mut self, group_id: &str) {
        if !self.groups.contains_key(group_id) {
            let group_id: Arc<str> = Arc::from(group_id);
            self.groups.insert(Arc::clone(&group_id), Group::Classic(ClassicGroup::simple(group_id)));
        }
    }
}
