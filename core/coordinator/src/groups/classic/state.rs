//! The states of a classic group.
//!
//! Kafka has a fifth, Dead, for groups of a coordinator that is being unloaded. Here an unloaded coordinator is gone with its
//! groups, and the runtime answers whoever waited.

/// The state of a classic group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClassicState {
    /// No members. It stays until its offsets have expired.
    Empty,
    /// Members are asked to join again, and wait for each other.
    PreparingRebalance,
    /// A generation has begun; its members wait for the leader's assignment.
    CompletingRebalance,
    /// Every member can fetch its assignment.
    Stable,
}

impl ClassicState {
    /// Kafka's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }

    /// Whether a rebalance can begin in this state.
    pub(super) const fn can_rebalance(self) -> bool {
        !matches!(self, Self::PreparingRebalance)
    }

    /// Whether a group may go from one state to the next.
    pub(super) const fn may_become(self, next: Self) -> bool {
        match next {
            Self::Empty | Self::CompletingRebalance => matches!(self, Self::PreparingRebalance),
            Self::PreparingRebalance => self.can_rebalance(),
            Self::Stable => matches!(self, Self::CompletingRebalance),
        }
    }
}
