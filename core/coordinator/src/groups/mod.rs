//! The group coordinator: one partition of `__consumer_offsets`.
//!
//! - `request.rs`: what is asked and answered, in the protocol's own messages; `settings.rs`: what the operator chose.
//! - `group.rs`: a group is classic or a consumer group (KIP-848); what both can be asked.
//! - `classic/`: joins, syncs, heartbeats and leaves of classic groups (KIP-62, KIP-345, KIP-394, KIP-429, KIP-559, KIP-800, KIP-814).
//! - `consumer/`: heartbeats of consumer groups, targets and reconciliation, classic members among them, up- and downgrade.
//! - `offsets/`: commits, fetches, deletion and expiry of offsets.
//! - `admin.rs`: listing, describing and deleting groups.
//!
//! Semantics are those of Kafka 4.2.0's `GroupCoordinatorShard`, `GroupMetadataManager` and `OffsetMetadataManager`.
//!
//! Invariants: handlers decide on the newest state and change durable state only by records (`runtime::Output::write`); the state of
//! a classic rebalance, which Kafka keeps in memory only, changes at once.

mod group;
mod request;
mod settings;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use watershed_metadata::MetadataImage;

pub use group::{Group, GroupError};
pub use request::{GroupReply, GroupRequest, GroupTimer, GroupToken};
pub use settings::{GroupSettings, MigrationPolicy};

/// Sixteen random bytes at a time, for member ids.
pub type Random = Arc<dyn Fn() -> [u8; 16] + Send + Sync>;

/// The output of an event of this machine.
pub type Output = crate::runtime::Output<GroupCoordinator>;

/// The groups and offsets of one partition of `__consumer_offsets`.
pub struct GroupCoordinator {
    settings: Arc<GroupSettings>,
    random: Random,
    image: Arc<MetadataImage>,
    groups: HashMap<Arc<str>, Group>,
}

impl fmt::Debug for GroupCoordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupCoordinator").field("groups", &self.groups.len()).finish_non_exhaustive()
    }
}

impl GroupCoordinator {
    /// An empty one.
    #[must_use]
    pub fn new(settings: Arc<GroupSettings>, random: Random) -> Self {
        Self { settings, random, image: Arc::default(), groups: HashMap::new() }
    }

    /// Takes other settings; they hold from the next event on.
    pub fn configure(&mut self, settings: Arc<GroupSettings>) {
        self.settings = settings;
    }
}
