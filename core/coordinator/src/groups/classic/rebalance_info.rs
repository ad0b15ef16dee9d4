//! Why a classic group rebalances, and how long it takes: for people and metrics.

use watershed_model::Timestamp;

use crate::runtime::Now;

/// The longest text that is kept of a reason, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// What made a group rebalance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RebalanceReason {
    /// A new member.
    MemberJoined,
    /// A member left, or was removed by an administrator.
    MemberLeft,
    /// A member was silent for longer than its session timeout.
    MemberTimedOut,
    /// Members did not fetch their assignment within the rebalance timeout.
    SyncTimedOut,
    /// A member subscribes to something else, owns something else, or can use other protocols.
    MetadataChanged,
    /// The leader joined again: it has noticed new partitions, for example.
    LeaderRejoined,
    /// A static member came back under a new member id and could not simply take its old place.
    StaticMemberReplaced,
    /// The assignment could not be written down.
    AssignmentNotStored,
    /// The group has more members than are allowed now.
    GroupTooLarge,
    /// The group was a consumer group (KIP-848) before.
    ProtocolDowngraded,
}

impl RebalanceReason {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::MemberJoined,
        Self::MemberLeft,
        Self::MemberTimedOut,
        Self::SyncTimedOut,
        Self::MetadataChanged,
        Self::LeaderRejoined,
        Self::StaticMemberReplaced,
        Self::AssignmentNotStored,
        Self::GroupTooLarge,
        Self::ProtocolDowngraded,
    ];

    /// Its name in metrics and descriptions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MemberJoined => "member_joined",
            Self::MemberLeft => "member_left",
            Self::MemberTimedOut => "member_timed_out",
            Self::SyncTimedOut => "sync_timed_out",
            Self::MetadataChanged => "metadata_changed",
            Self::LeaderRejoined => "leader_rejoined",
            Self::StaticMemberReplaced => "static_member_replaced",
            Self::AssignmentNotStored => "assignment_not_stored",
            Self::GroupTooLarge => "group_too_large",
            Self::ProtocolDowngraded => "protocol_downgraded",
        }
    }
}

/// A rebalance: the last one, or the one that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebalance {
    /// What began it.
    pub reason: RebalanceReason,
    /// In words: who, and what the client said (KIP-800). At most 256 bytes.
    pub text: String,
    /// When it began.
    pub started: Timestamp,
    /// How long it took until the assignment was known or the group was empty, in milliseconds; `None` while it goes on. What
    /// began while it went on belongs to it.
    pub duration_ms: Option<u64>,
    started_elapsed_ms: u64,
}

impl Rebalance {
    /// One that begins now.
    pub(in crate::groups) fn begin(reason: RebalanceReason, mut text: String, now: Now) -> Self {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        Self { reason, text, started: now.wall, duration_ms: None, started_elapsed_ms: now.elapsed_ms }
    }

    /// It ends now, unless it has ended; returns how long it took, in milliseconds.
    pub(in crate::groups) fn end(&mut self, now: Now) -> Option<u64> {
        if self.duration_ms.is_some() {
            return None;
        }
        self.duration_ms = Some(now.elapsed_ms.saturating_sub(self.started_elapsed_ms));
        self.duration_ms
    }
}
