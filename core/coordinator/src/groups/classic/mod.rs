//! Classic groups: the members' leader assigns (KIP-62, KIP-345, KIP-394, KIP-559, KIP-800, KIP-814).
//!
//! - `group.rs`, `member.rs`, `state.rs`: what a group is; `election.rs`: its leader, protocol and generation.
//! - `join.rs`, `static_member.rs`, `sync.rs`, `heartbeat.rs`, `leave.rs`: the four requests; `rebalance.rs`: the phases between them, and timers.
//! - `records.rs`: what a restart finds; `queries.rs`: what offsets and administration ask.
//! - `broker_assignment.rs`: where the operator has the broker assign.
//! - `rebalance_info.rs`: why and how long, for people; `replies.rs`: the answers.
//!
//! Semantics are those of Kafka 4.2.0's `GroupMetadataManager.classicGroup*` and `ClassicGroup`. Unlike there, no request waits for
//! ever: one that is superseded by another of its member, or whose member is removed, is answered at once.
//!
//! Invariant: rebalances live in memory and change it at once; the log only sees generations whose assignment is decided. An
//! assignment is given out when its record is durable, so a generation has the same owners after a restart.

mod broker_assignment;
mod election;
mod group;
mod heartbeat;
mod join;
mod leave;
mod member;
mod queries;
mod rebalance;
mod rebalance_info;
mod records;
mod replies;
mod state;
mod static_member;
mod sync;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use watershed_protocol::ErrorCode;

pub use group::ClassicGroup;
pub(in crate::groups) use member::{ClassicMember, ClassicProtocol};
pub use rebalance_info::{Rebalance, RebalanceReason};
pub use state::ClassicState;

use watershed_metadata::configs::GroupSettings;

use super::{Group, GroupCoordinator, GroupCounters, GroupTimer, GroupToken, Output, Random};
use crate::runtime::Now;

/// What a step of a classic group works with beside the group.
pub(in crate::groups) struct Step<'a> {
    pub(in crate::groups) settings: &'a GroupSettings,
    pub(in crate::groups) random: &'a Random,
    pub(in crate::groups) counters: &'a mut GroupCounters,
    pub(in crate::groups) now: Now,
    pub(in crate::groups) out: &'a mut Output,
}

impl Step<'_> {
    /// Sets a timer to fire after a while.
    fn schedule(&mut self, timer: GroupTimer, after_ms: u64) {
        self.out.schedule(timer, self.now.elapsed_ms.saturating_add(after_ms));
    }
}

impl GroupCoordinator {
    /// A classic group, and what its steps need. `None` if there is no such group or it is of the other kind.
    pub(in crate::groups) fn classic<'a>(
        &'a mut self,
        group_id: &str,
        now: Now,
        out: &'a mut Output,
    ) -> Option<(&'a mut ClassicGroup, Step<'a>)> {
        match self.groups.get_mut(group_id)? {
            Group::Classic(group) => {
                let step =
                    Step { settings: &self.settings, random: &self.random, counters: &mut self.counters, now, out };
                Some((group, step))
            }
            Group::Consumer(_) => None,
        }
    }

    /// A member was not heard of. The timers of a group may have been set before it became a consumer group: then they mean nothing.
    pub(in crate::groups) fn classic_heartbeat_expired(
        &mut self,
        group_id: &str,
        member_id: &str,
        now: Now,
        out: &mut Output,
    ) {
        if let Some((group, mut step)) = self.classic(group_id, now, out) {
            group.expire_heartbeat(member_id, &mut step);
        }
    }

    /// A group's join phase has taken long enough.
    pub(in crate::groups) fn classic_join_timer(&mut self, group_id: &str, now: Now, out: &mut Output) {
        if let Some((group, mut step)) = self.classic(group_id, now, out) {
            group.expire_join(&mut step);
        }
    }

    /// Members have owed a SyncGroup for long enough.
    pub(in crate::groups) fn classic_sync_timer(&mut self, group_id: &str, now: Now, out: &mut Output) {
        if let Some((group, mut step)) = self.classic(group_id, now, out) {
            group.expire_sync(&mut step);
        }
    }

    /// A member that commits offsets is there: its session begins anew.
    pub(in crate::groups) fn keep_classic_session(
        &mut self,
        group_id: &str,
        member_id: &str,
        now: Now,
        out: &mut Output,
    ) {
        if let Some((group, mut step)) = self.classic(group_id, now, out) {
            group.schedule_heartbeat(member_id, &mut step);
        }
    }

    /// The record of a classic group is durable, or was refused.
    pub(in crate::groups) fn classic_settled(
        &mut self,
        token: GroupToken,
        outcome: Result<(), ErrorCode>,
        now: Now,
        out: &mut Output,
    ) {
        match token {
            GroupToken::ClassicAssignment { group, generation } => {
                if let Some((group, mut step)) = self.classic(&group, now, out) {
                    group.assignment_settled(generation, outcome, &mut step);
                }
            }
            GroupToken::ClassicStaticMember { group, member, .. } => {
                if let Some((group, mut step)) = self.classic(&group, now, out) {
                    group.static_member_settled(&member, outcome, &mut step);
                }
            }
            GroupToken::ClassicEmpty { group, generation } => {
                self.new_group_settled(&group, generation, outcome, now, out);
            }
            // Not of a classic group.
            GroupToken::ConsumerEpoch { .. } => {}
        }
    }

    /// The coordinator is loaded: members have their session timeout from now on to be heard of.
    pub(in crate::groups) fn classic_loaded(&mut self, group_id: &Arc<str>, now: Now, out: &mut Output) {
        let Some((group, mut step)) = self.classic(group_id, now, out) else { return };
        tracing::info!(group = %group.group_id, members = group.members.len(), "loaded a classic group");
        group.schedule_heartbeats(&mut step);
        let (size, size_max) = (group.members.len(), step.settings.classic_size_max);
        if size > size_max {
            let text = format!("the loaded group has {size} members, more than the {size_max} that are allowed now");
            group.prepare_rebalance(RebalanceReason::GroupTooLarge, text, &mut step);
        }
    }
}
