//! The group coordinator: one partition of `__consumer_offsets`.
//!
//! - `machine.rs`: which handler takes what. `request.rs`: what is asked and answered, in the protocol's own messages.
//! - `group.rs`: a group is classic or a consumer group (KIP-848); what both can be asked.
//! - `classic/`: joins, syncs, heartbeats and leaves of classic groups (KIP-62, KIP-345, KIP-394, KIP-429, KIP-559, KIP-800, KIP-814).
//! - `consumer/`: heartbeats of consumer groups, targets and reconciliation, classic members among them, up- and downgrade.
//! - `offsets/`: commits, fetches, deletion and expiry of offsets.
//! - `admin.rs`: listing, describing and deleting groups. `protocol.rs`: what consumers tell each other.
//! - `assignor.rs`: asks the hook. `question.rs`: where that is a plugin, outside the coordinator.
//! - `counters.rs`: what metrics read.
//!
//! Semantics are those of Kafka 4.2.0's `GroupCoordinatorShard`, `GroupMetadataManager` and `OffsetMetadataManager`.
//!
//! Invariants: handlers decide on the newest state and change durable state only by records (`runtime::Output::write`); the state of
//! a classic rebalance, which Kafka keeps in memory only, changes at once.

mod admin;
mod assignor;
mod classic;
mod consumer;
mod counters;
mod group;
mod machine;
mod offsets;
mod protocol;
mod question;
mod request;
mod status;

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use watershed_metadata::MetadataImage;
use watershed_model::Timestamp;

use crate::runtime::Now;
use watershed_metadata::configs::{GroupRules, GroupSettings};

pub use assignor::Assignors;
pub use classic::{ClassicGroup, ClassicState, Rebalance, RebalanceReason};
pub use consumer::{ConsumerGroup, ConsumerGroupState, ConsumerMember, Partitions};
pub use counters::{BrokerAssignment, GroupCounters};
pub use group::{Committer, Group, GroupError};
pub use offsets::{CommittedOffset, ExpirationBase, GroupOffsets, OffsetOf, Offsets, TopicOffsets};
pub use question::{ANSWER_PATIENCE_MS, Answer, Question};
pub use request::{GroupReply, GroupRequest, GroupTimer, GroupToken};
pub use status::{CommittedAt, GroupStatus};

/// Sixteen random bytes at a time, for member ids.
pub type Random = Arc<dyn Fn() -> [u8; 16] + Send + Sync>;

/// The output of an event of this machine.
pub type Output = crate::runtime::Output<GroupCoordinator>;

/// The groups and offsets of one partition of `__consumer_offsets`.
pub struct GroupCoordinator {
    settings: Arc<GroupSettings>,
    rules: Arc<GroupRules>,
    assignors: Arc<Assignors>,
    random: Random,
    image: Arc<MetadataImage>,
    groups: HashMap<Arc<str>, Group>,
    offsets: Offsets,
    counters: GroupCounters,
    /// Assignments of a plugin that were replaced by the built-in's.
    failed_assignments: Cell<u64>,
    /// Counts the questions to assignors outside.
    questions: u64,
    /// The time of the event at work.
    now: Now,
    /// What the next epoch of a consumer group stands for.
    rebalance_note: Option<(Arc<str>, Rebalance)>,
    /// Counts the changes of the set of topics.
    topics_version: i64,
    /// Records are those of its own events from now on.
    is_loaded: bool,
}

impl fmt::Debug for GroupCoordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupCoordinator").field("groups", &self.groups.len()).finish_non_exhaustive()
    }
}

impl GroupCoordinator {
    /// An empty one.
    #[must_use]
    pub fn new(
        settings: Arc<GroupSettings>,
        rules: Arc<GroupRules>,
        assignors: Arc<Assignors>,
        random: Random,
    ) -> Self {
        Self {
            settings,
            rules,
            assignors,
            random,
            image: Arc::default(),
            groups: HashMap::new(),
            offsets: Offsets::default(),
            counters: GroupCounters::default(),
            failed_assignments: Cell::new(0),
            questions: 0,
            now: Now { elapsed_ms: 0, wall: Timestamp(0) },
            rebalance_note: None,
            topics_version: 0,
            is_loaded: false,
        }
    }

    /// Takes other settings; they hold from the next event on.
    pub fn configure(&mut self, settings: Arc<GroupSettings>) {
        self.settings = settings;
    }

    /// The groups.
    #[must_use]
    pub fn groups(&self) -> &HashMap<Arc<str>, Group> {
        &self.groups
    }

    /// What has happened since it was loaded.
    pub fn counters(&mut self) -> &mut GroupCounters {
        self.counters.failed_assignments = self.failed_assignments.get();
        &mut self.counters
    }
}
