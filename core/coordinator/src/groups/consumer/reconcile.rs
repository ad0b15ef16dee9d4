//! A member's next step towards its target: give up first, then take (KIP-848).
//!
//! A member owns `assigned`, was told to give up `pending_revocation`, and gets from its target only what nobody holds. So a
//! partition never has two owners, whatever heartbeats are lost.

use std::collections::BTreeSet;

use watershed_metadata::MetadataImage;
use watershed_model::TopicId;
use watershed_protocol::ErrorCode;

use super::group::ConsumerGroup;
use super::member::{ConsumerMember, MemberState};
use super::partitions::Partitions;
use crate::groups::GroupError;

/// What a member's next step depends on.
pub(super) struct Reconcile<'a> {
    pub(super) group: &'a ConsumerGroup,
    pub(super) target_epoch: i32,
    pub(super) target: &'a Partitions,
    /// The topics that the member subscribes to.
    pub(super) topics: &'a BTreeSet<TopicId>,
    /// Its subscription has changed: what it owns must go with it at once.
    pub(super) has_subscription_changed: bool,
    /// What the member says that it owns; `None`: it does not say.
    pub(super) owned: Option<&'a Partitions>,
}

impl Reconcile<'_> {
    /// The member after the step.
    ///
    /// # Errors
    /// FENCED_MEMBER_EPOCH for a member in a state that this version does not know: it must join anew.
    pub(super) fn step(&self, member: &ConsumerMember) -> Result<ConsumerMember, GroupError> {
        Ok(match member.state {
            MemberState::Stable if member.epoch != self.target_epoch => self.next(member, member.epoch),
            MemberState::Stable if self.has_subscription_changed => self.restricted(member),
            MemberState::Stable => member.clone(),
            MemberState::UnrevokedPartitions if self.owns_any(&member.pending_revocation) => {
                if self.has_subscription_changed { self.restricted(member) } else { member.clone() }
            }
            MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => self.next(member, member.epoch),
            MemberState::Unknown => {
                if !self.owned.is_some_and(Partitions::is_empty) {
                    let message = "The consumer group member is in a unknown state. The member must abandon all its \
                                   partitions and rejoin.";
                    return Err(GroupError::new(ErrorCode::FencedMemberEpoch, message));
                }
                self.next(member, self.target_epoch)
            }
        })
    }

    /// A member that does not say what it owns may own all of it.
    fn owns_any(&self, partitions: &Partitions) -> bool {
        self.owned.is_none_or(|owned| owned.iter().any(|(topic, partition)| partitions.contains(topic, partition)))
    }

    /// Gives up what the member does not subscribe to any more, without moving to another epoch.
    fn restricted(&self, member: &ConsumerMember) -> ConsumerMember {
        let assigned = member.assigned.filter(|topic, _| self.topics.contains(&topic));
        if assigned == member.assigned {
            return member.clone();
        }
        let dropped = member.assigned.filter(|topic, _| !self.topics.contains(&topic));
        let pending_revocation = dropped.union(&member.pending_revocation);
        let mut next = ConsumerMember { assigned, ..member.clone() };
        if self.owns_any(&pending_revocation) {
            next.state = MemberState::UnrevokedPartitions;
            next.pending_revocation = pending_revocation;
        }
        next
    }

    fn next(&self, member: &ConsumerMember, epoch: i32) -> ConsumerMember {
        let target = self.target.filter(|topic, _| self.topics.contains(&topic));
        let kept = member.assigned.filter(|topic, partition| target.contains(topic, partition));
        let to_revoke = member.assigned.filter(|topic, partition| !kept.contains(topic, partition));
        if !to_revoke.is_empty() && self.owns_any(&to_revoke) {
            let mut next = member.clone();
            next.move_to(epoch);
            next.state = MemberState::UnrevokedPartitions;
            next.assigned = kept;
            next.pending_revocation = to_revoke;
            return next;
        }
        let wanted = target.filter(|topic, partition| !kept.contains(topic, partition));
        // What the member itself still had to give up is its own: only one member can hold a partition.
        let free = wanted.filter(|topic, partition| {
            self.group.partition_epoch(topic, partition).is_none()
                || member.pending_revocation.contains(topic, partition)
        });
        let is_waiting = free.count() < wanted.count();
        let mut next = member.clone();
        next.move_to(self.target_epoch);
        next.state = if is_waiting { MemberState::UnreleasedPartitions } else { MemberState::Stable };
        next.assigned = kept.union(&free);
        next.pending_revocation = Partitions::NONE;
        next
    }
}

/// The ids of the topics that a member subscribes to, by name and by regular expression; one that is not resolved matches nothing.
pub(super) fn subscribed_topics(
    member: &ConsumerMember,
    group: &ConsumerGroup,
    image: &MetadataImage,
) -> BTreeSet<TopicId> {
    let resolved = member.regex().and_then(|regex| group.resolved.get(regex));
    let by_regex = resolved.into_iter().flat_map(|resolved| resolved.topics.iter());
    let names = member.about.topics.iter().chain(by_regex);
    names.filter_map(|name| image.topic_by_name(name)).map(|topic| topic.id()).collect()
}
