//! The phases of a rebalance: members join again, a generation begins, its assignment is waited for; and what happens when some of
//! them are not heard of.

use watershed_protocol::ErrorCode;

use super::group::{ClassicGroup, InitialDelay};
use super::rebalance_info::{Rebalance, RebalanceReason};
use super::state::ClassicState;
use super::{Step, replies};
use crate::groups::GroupTimer;

/// The settings are not negative; a member's timeouts are what it sent.
pub(super) fn milliseconds(timeout_ms: i32) -> u64 {
    u64::try_from(timeout_ms).unwrap_or(0)
}

impl ClassicGroup {
    /// Begins a rebalance or, if one has begun, goes on if nobody else is waited for.
    pub(super) fn prepare_or_complete(&mut self, reason: RebalanceReason, text: String, step: &mut Step<'_>) {
        if self.state.can_rebalance() {
            self.prepare_rebalance(reason, text, step);
        } else {
            self.maybe_complete_join(step);
        }
    }

    /// Begins a rebalance: from now on members are told to join again.
    pub(in crate::groups) fn prepare_rebalance(&mut self, reason: RebalanceReason, text: String, step: &mut Step<'_>) {
        if self.is_in(ClassicState::CompletingRebalance) {
            self.fail_assignment(ErrorCode::RebalanceInProgress, step);
        }
        self.storing = None;
        self.forget_question(step.out);
        self.pending_sync.clear();
        step.out.cancel(GroupTimer::ClassicSync(self.group_id.clone()));
        let is_initial = self.is_in(ClassicState::Empty);
        if is_initial {
            // Others are likely to follow: a moment for them saves a rebalance for each.
            let delay_ms = milliseconds(step.settings.classic_initial_rebalance_delay_ms);
            let remaining_ms = self.rebalance_timeout_ms().saturating_sub(delay_ms);
            self.initial_delay = Some(InitialDelay { delay_ms, remaining_ms });
            step.schedule(GroupTimer::ClassicJoin(self.group_id.clone()), delay_ms);
        }
        self.transition_to(ClassicState::PreparingRebalance, step.now);
        tracing::info!(
            group = %self.group_id, generation = self.generation, reason = reason.name(), text,
            "a classic group rebalances",
        );
        step.counters.classic_rebalance_began(reason);
        if self.rebalance.as_ref().is_none_or(|last| last.duration_ms.is_some()) {
            self.rebalance = Some(Rebalance::begin(reason, text, step.now));
        }
        if is_initial {
            return;
        }
        if self.has_all_members_joined() {
            self.complete_join(step);
        } else {
            let timeout_ms = self.rebalance_timeout_ms();
            step.schedule(GroupTimer::ClassicJoin(self.group_id.clone()), timeout_ms);
        }
    }

    /// Ends the join phase if nobody else is waited for. The first one of a group waits for its timer instead.
    pub(super) fn maybe_complete_join(&mut self, step: &mut Step<'_>) {
        let is_initial = self.previous_state == ClassicState::Empty;
        if self.is_in(ClassicState::PreparingRebalance) && !is_initial && self.has_all_members_joined() {
            self.complete_join(step);
        }
    }

    /// The join phase's timer: no longer is waited for, or once more if someone new came to a new group.
    pub(super) fn expire_join(&mut self, step: &mut Step<'_>) {
        if let Some(InitialDelay { delay_ms, remaining_ms }) = self.initial_delay
            && self.new_member_added
            && remaining_ms != 0
        {
            self.new_member_added = false;
            let next = InitialDelay {
                delay_ms: milliseconds(step.settings.classic_initial_rebalance_delay_ms).min(remaining_ms),
                remaining_ms: remaining_ms.saturating_sub(delay_ms),
            };
            self.initial_delay = Some(next);
            step.schedule(GroupTimer::ClassicJoin(self.group_id.clone()), next.delay_ms);
        } else if self.is_in(ClassicState::PreparingRebalance) {
            self.complete_join(step);
        }
    }

    /// Ends the join phase: who has not joined again is out, unless it is a static member; the others are the next generation.
    pub(super) fn complete_join(&mut self, step: &mut Step<'_>) {
        step.out.cancel(GroupTimer::ClassicJoin(self.group_id.clone()));
        self.initial_delay = None;
        let is_out = |member: &&super::ClassicMember| !member.is_awaiting_join() && !member.is_static();
        let out: Vec<_> = self.members().filter(is_out).map(|member| member.member_id.clone()).collect();
        for member_id in out {
            tracing::info!(group = %self.group_id, member = %member_id, "a member did not join again in time");
            step.out.cancel(GroupTimer::ClassicHeartbeat(self.group_id.clone(), member_id.clone()));
            self.remove(&member_id, step.out);
        }
        if !self.elect_joined_leader() && !self.members.is_empty() {
            // Only static members are left, and none has joined: they are waited for until their sessions end.
            let timeout_ms = self.rebalance_timeout_ms();
            step.schedule(GroupTimer::ClassicJoin(self.group_id.clone()), timeout_ms);
            return;
        }
        self.begin_generation(step.now);
        if self.is_in(ClassicState::Empty) {
            tracing::info!(group = %self.group_id, generation = self.generation, "a classic group is empty");
            self.write_present(step.out);
            self.end_rebalance(step);
        } else {
            self.answer_joins(step);
        }
    }

    fn answer_joins(&mut self, step: &mut Step<'_>) {
        let member_ids: Vec<_> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            if let Some(waiting) = self.take_join(&member_id) {
                self.reply_generation(waiting, &member_id, self.is_leader(&member_id), false, step.out);
            }
            if let Some(member) = self.members.get_mut(&member_id) {
                member.is_new = false;
            }
            self.schedule_heartbeat(&member_id, step);
            self.pending_sync.insert(member_id);
        }
        let timeout_ms = self.rebalance_timeout_ms();
        step.schedule(GroupTimer::ClassicSync(self.group_id.clone()), timeout_ms);
    }

    /// The rebalance is over.
    pub(super) fn end_rebalance(&mut self, step: &mut Step<'_>) {
        if let Some(duration_ms) = self.rebalance.as_mut().and_then(|rebalance| rebalance.end(step.now)) {
            step.counters.classic_rebalance_ended(duration_ms);
        }
    }

    /// There is no assignment for this generation: everyone who waits for it is told why.
    pub(super) fn fail_assignment(&mut self, error: ErrorCode, step: &mut Step<'_>) {
        let mut told = Vec::new();
        for (member_id, member) in &mut self.members {
            member.assignment.clear();
            if let Some(waiting) = member.awaiting_sync.take() {
                replies::sync_error(waiting, error, step.out);
                told.push(member_id.clone());
            }
        }
        // While they waited, silence was no sign that they had gone; from now on it is.
        for member_id in told {
            self.schedule_heartbeat(&member_id, step);
        }
    }

    /// A member has its session timeout from now on to be heard of again.
    pub(in crate::groups) fn schedule_heartbeat(&self, member_id: &str, step: &mut Step<'_>) {
        if let Some(member) = self.member(member_id) {
            let timer = GroupTimer::ClassicHeartbeat(self.group_id.clone(), member.member_id.clone());
            step.schedule(timer, milliseconds(member.session_timeout_ms));
        }
    }

    /// All members have their session timeouts from now on to be heard of again.
    pub(in crate::groups) fn schedule_heartbeats(&self, step: &mut Step<'_>) {
        for member_id in self.members.keys() {
            self.schedule_heartbeat(member_id, step);
        }
    }

    /// A member was not heard of for its session timeout, or has not come back with the id that it was given.
    pub(super) fn expire_heartbeat(&mut self, member_id: &str, step: &mut Step<'_>) {
        if self.pending_join.contains(member_id) {
            tracing::info!(group = %self.group_id, member = member_id, "a new member did not come back with its id");
            self.remove(member_id, step.out);
            if self.is_in(ClassicState::PreparingRebalance) && self.has_all_members_joined() {
                self.complete_join(step);
            }
        } else if self.member(member_id).is_some_and(|member| !member.has_satisfied_heartbeat()) {
            tracing::info!(group = %self.group_id, member = member_id, "a member was not heard of within its session timeout");
            self.remove(member_id, step.out);
            match self.state {
                ClassicState::Stable | ClassicState::CompletingRebalance => {
                    let text = format!("member {member_id} was not heard of within its session timeout");
                    self.prepare_rebalance(RebalanceReason::MemberTimedOut, text, step);
                }
                ClassicState::PreparingRebalance if self.has_all_members_joined() => self.complete_join(step),
                ClassicState::PreparingRebalance | ClassicState::Empty => {}
            }
        }
    }

    /// Members that owe a SyncGroup have taken too long: they are out.
    pub(super) fn expire_sync(&mut self, step: &mut Step<'_>) {
        if !matches!(self.state, ClassicState::CompletingRebalance | ClassicState::Stable)
            || self.pending_sync.is_empty()
        {
            return;
        }
        let members = std::mem::take(&mut self.pending_sync);
        let text =
            format!("{} of {} members did not fetch their assignment in time", members.len(), self.members.len());
        for member_id in members {
            self.remove(&member_id, step.out);
            step.out.cancel(GroupTimer::ClassicHeartbeat(self.group_id.clone(), member_id));
        }
        self.prepare_rebalance(RebalanceReason::SyncTimedOut, text, step);
    }
}
