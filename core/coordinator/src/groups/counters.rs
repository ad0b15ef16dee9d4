//! What the broker's metrics read of a group coordinator.

use std::collections::BTreeMap;

use super::classic::RebalanceReason;

/// The most durations that are kept until they are taken; later ones are only counted.
const DURATIONS_MAX: usize = 1024;

/// Who decided the assignment of a classic group that is under the rule `assignment = "broker"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BrokerAssignment {
    /// The broker.
    Computed,
    /// The leader: its members are no consumers.
    NotConsumers,
    /// The leader: the members share a protocol that is none of those known to mean no more than partitions.
    UnknownProtocol,
    /// The leader: a member's subscription cannot be read.
    UnreadableSubscription,
    /// The leader: no assignor gave an assignment.
    NoAssignor,
}

impl BrokerAssignment {
    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Computed => "computed",
            Self::NotConsumers => "not_consumers",
            Self::UnknownProtocol => "unknown_protocol",
            Self::UnreadableSubscription => "unreadable_subscription",
            Self::NoAssignor => "no_assignor",
        }
    }
}

/// Counts since the coordinator was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupCounters {
    /// Assignments of a plugin that the built-in had to replace.
    pub failed_assignments: u64,
    /// Rebalances of consumer groups that ended with every member at the target.
    pub consumer_rebalances_completed: u64,
    /// Rebalances of consumer groups that began, by what began them.
    pub consumer_rebalances: BTreeMap<RebalanceReason, u64>,
    /// Rebalances of classic groups that began, by what began them.
    pub classic_rebalances: BTreeMap<RebalanceReason, u64>,
    /// Rebalances of classic groups that ended with an assignment or without members.
    pub classic_rebalances_completed: u64,
    /// Assignments of classic groups under the rule `assignment = "broker"`, by who made them.
    pub broker_assignments: BTreeMap<BrokerAssignment, u64>,
    /// Offsets that were committed.
    pub offset_commits: u64,
    /// Offsets that were removed because someone asked for it, or because their topic is gone.
    pub offset_deletions: u64,
    /// Offsets that were removed because of their age.
    pub offset_expirations: u64,
    classic_rebalance_durations_ms: Vec<u64>,
}

impl GroupCounters {
    pub(super) fn classic_rebalance_began(&mut self, reason: RebalanceReason) {
        *self.classic_rebalances.entry(reason).or_default() += 1;
    }

    pub(super) fn consumer_rebalance_began(&mut self, reason: RebalanceReason) {
        *self.consumer_rebalances.entry(reason).or_default() += 1;
    }

    pub(super) fn classic_rebalance_ended(&mut self, duration_ms: u64) {
        self.classic_rebalances_completed += 1;
        if self.classic_rebalance_durations_ms.len() < DURATIONS_MAX {
            self.classic_rebalance_durations_ms.push(duration_ms);
        }
    }

    pub(super) fn broker_assignment(&mut self, outcome: BrokerAssignment) {
        *self.broker_assignments.entry(outcome).or_default() += 1;
    }

    /// How long rebalances of classic groups took that ended since the last call, in milliseconds: at most 1,024.
    #[must_use]
    pub fn take_classic_rebalance_durations_ms(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.classic_rebalance_durations_ms)
    }
}
