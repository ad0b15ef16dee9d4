//! Targets that an assignor outside the coordinator computes (`groups/question.rs`).
//!
//! A group's epoch is raised as ever; the target stays that of an earlier epoch until the answer comes, the group is `Assigning`, and its
//! members keep what they have or go on towards that earlier target. An answer is written as the target of the epoch it was asked
//! for, and members hear of it with their next heartbeats, for which they are told not to wait long.

use std::sync::Arc;

use super::group::ConsumerGroup;
use super::member::ConsumerMember;
use super::target::write_target;
use crate::groups::question::{Shown, ShownMember};
use crate::groups::{Answer, Group, GroupCoordinator, GroupTimer, Output};
use crate::runtime::Now;

/// The interval of heartbeats while a target is waited for, in milliseconds: as long as a plugin may take by default.
pub(super) const ASSIGNING_INTERVAL_MS: i32 = 500;

impl GroupCoordinator {
    /// Whether a target for the group, with a member as it is now, is asked for outside.
    pub(super) fn asks_outside(&self, group: &ConsumerGroup, updated: &ConsumerMember) -> bool {
        self.assignors.has_outside() && self.assignors.is_outside(&self.assignor_of(group, Some(updated)))
    }

    /// Asks for the target of a group as it is, if one is due that is computed outside and nobody has asked yet.
    pub(in crate::groups) fn ask_for_target(&mut self, group_id: &Arc<str>, now: Now, out: &mut Output) {
        let Some(Group::Consumer(group)) = self.groups.get(group_id) else { return };
        if !self.assignors.has_outside() || group.asked.is_some() {
            return;
        }
        let assignor = self.assignor_of(group, None);
        if group.epoch <= group.target_epoch || group.is_empty() || !self.assignors.is_outside(&assignor) {
            // Nothing is waited for any more; what is due is computed at the next heartbeat.
            return out.cancel(GroupTimer::Answer(Arc::clone(group_id)));
        }
        let (epoch, shown) = (group.epoch, self.shown(group));
        let asked = self.ask_outside((group_id, epoch), &assignor, shown, now, out);
        if let Some(Group::Consumer(group)) = self.groups.get_mut(group_id) {
            group.asked = Some(asked);
        }
    }

    /// An answer has come, or is overdue.
    pub(in crate::groups) fn consumer_answered(
        &mut self,
        answer: Answer,
        is_overdue: bool,
        now: Now,
        out: &mut Output,
    ) {
        let Some(Group::Consumer(group)) = self.groups.get_mut(&answer.group) else { return };
        let Some(asked) = group.asked.take_if(|asked| asked.is(answer.number)) else { return };
        let Some(Group::Consumer(group)) = self.groups.get(&answer.group) else { return };
        let (group_id, shown) = (&answer.group, self.shown(group));
        let is_due = group.epoch > group.target_epoch && !group.is_empty();
        if !is_due || (!is_overdue && !asked.is_about(group.epoch, &shown)) {
            tracing::debug!(group = %group_id, assignor = %asked.assignor, "the group has moved on from an assignor's question");
            return self.ask_for_target(group_id, now, out);
        }
        out.cancel(GroupTimer::Answer(Arc::clone(group_id)));
        let target = answer
            .outcome
            .or_else(|reason| self.assign_instead(group_id, &asked.assignor, &reason, &shown.candidates()));
        match target {
            Ok(target) => write_target(group, group.epoch, &target, out),
            // The next heartbeat asks again.
            Err(reason) => tracing::error!(group = %group_id, reason, "no assignor could assign"),
        }
    }

    fn shown(&self, group: &ConsumerGroup) -> Shown {
        let member = |member: &ConsumerMember| ShownMember {
            member_id: Arc::clone(&member.member_id),
            instance_id: member.about.instance_id.clone(),
            rack: member.about.rack_id.clone(),
            topics: Arc::clone(&member.about.topics),
            matched: member.regex().and_then(|regex| group.resolved.get(regex)).map(|all| Arc::clone(&all.topics)),
            owned: group.targets.get(&member.member_id).cloned().unwrap_or_default(),
            user_data: bytes::Bytes::new(),
        };
        Shown::new(&self.image, group.members().map(member).collect())
    }
}

impl ConsumerGroup {
    /// Whether it ever had a target.
    pub(super) fn has_target(&self) -> bool {
        self.target_epoch > 0
    }

    /// The epoch to which a member with the classic protocol is asked to come by joining again: that of the target while the next one is
    /// waited for, because until then there is nothing to come to.
    pub(super) fn epoch_to_join(&self) -> i32 {
        if self.asked.is_some() { self.target_epoch } else { self.epoch }
    }
}
