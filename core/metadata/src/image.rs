//! The image: the whole metadata after a batch, immutable and shared.
//!
//! All maps are persistent (`imbl`): a batch costs what it changes, a clone costs a few reference counts, and a
//! reader keeps its image for as long as it likes. Everything is ordered, so that two replicas that applied the
//! same records list things in the same order.
//!
//! Where next: `image/apply.rs` for what each record does, `image/partitions.rs` for how a hundred thousand
//! partitions stay small, `image/snapshot.rs` for the way back from an image to records.

mod apply;
mod partitions;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;
use watershed_model::{BrokerId, ClusterId, LeaderEpoch, Offset, ProducerId, TopicId, TopicIdPartition};

use crate::{BrokerRegistered, Endpoint};
pub use apply::ApplyError;
use partitions::{PartitionTable, ReplicaSet};

/// Configs that were set, by name.
pub type ConfigMap = BTreeMap<String, String>;

/// The metadata after a committed batch.
#[derive(Clone, Debug, Default)]
pub struct MetadataImage {
    cluster_id: Option<ClusterId>,
    topics: OrdMap<TopicId, Arc<Topic>>,
    names: OrdMap<Arc<str>, TopicId>,
    /// Names that hold `.` or `_`, by the name with every `.` as `_`: metrics of two such topics would mix.
    unified_names: OrdMap<Arc<str>, Arc<str>>,
    partition_count: usize,
    brokers: OrdMap<BrokerId, Arc<BrokerRegistered>>,
    /// How often each broker started; kept for brokers that are gone, since leader epochs count from it.
    starts: OrdMap<BrokerId, i32>,
    broker_configs: OrdMap<Option<BrokerId>, Arc<ConfigMap>>,
    group_configs: OrdMap<Arc<str>, Arc<ConfigMap>>,
    features: OrdMap<Arc<str>, i16>,
    next_producer_id: ProducerId,
    reserved_offsets: OrdMap<TopicIdPartition, Offset>,
    /// One shared copy of each distinct replica list. It only grows while the process runs, by what ever
    /// existed; an image loaded from a snapshot starts with those in use.
    replica_sets: OrdMap<Arc<ReplicaSet>, ()>,
}

/// A topic. Its partitions are read through the image ([`MetadataImage::partitions`]), which knows their epochs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    id: TopicId,
    name: Arc<str>,
    partitions: PartitionTable,
    configs: Option<Arc<ConfigMap>>,
}

impl Topic {
    /// The identity.
    #[must_use]
    pub fn id(&self) -> TopicId {
        self.id
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How many partitions there are: they are numbered from 0.
    #[must_use]
    pub fn partition_count(&self) -> i32 {
        self.partitions.len()
    }

    /// The configs that were set on this topic; everything else has its default.
    #[must_use]
    pub fn configs(&self) -> &ConfigMap {
        self.configs.as_deref().unwrap_or(&EMPTY_CONFIGS)
    }
}

static EMPTY_CONFIGS: ConfigMap = ConfigMap::new();

/// One partition, as the image knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition<'a> {
    /// The brokers that hold it, the preferred leader first.
    pub replicas: &'a [BrokerId],
    /// The replicas in sync with the leader.
    pub isr: &'a [BrokerId],
    /// The leader.
    pub leader: BrokerId,
    /// Counts the leaderships; never falls for one topic id.
    pub leader_epoch: LeaderEpoch,
}

/// A broker that is registered.
pub type Broker = BrokerRegistered;

impl BrokerRegistered {
    /// The endpoint of the listener with this name.
    #[must_use]
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.listeners.iter().find(|endpoint| endpoint.name == listener)
    }
}

impl MetadataImage {
    /// The cluster's identity; none before the first batch.
    #[must_use]
    pub fn cluster_id(&self) -> Option<ClusterId> {
        self.cluster_id
    }

    /// The topic with this name.
    #[must_use]
    pub fn topic_by_name(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(self.names.get(name)?)
    }

    /// The topic with this id.
    #[must_use]
    pub fn topic_by_id(&self, id: &TopicId) -> Option<&Arc<Topic>> {
        self.topics.get(id)
    }

    /// An existing topic whose name differs from `name` only in `.` against `_`, or not at all.
    #[must_use]
    pub fn colliding_topic(&self, name: &str) -> Option<&Arc<str>> {
        if !name.contains(['.', '_']) {
            return None;
        }
        self.unified_names.get(name.replace('.', "_").as_str())
    }

    /// All topics, sorted by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.names.values().filter_map(|id| self.topics.get(id))
    }

    /// The topics whose name is `from` or comes after it, sorted by name.
    pub fn topics_from<'a>(&'a self, from: &str) -> impl Iterator<Item = &'a Arc<Topic>> + use<'a> {
        self.names.range::<_, str>((Bound::Included(from), Bound::Unbounded)).filter_map(|(_, id)| self.topics.get(id))
    }

    /// How many topics there are.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// How many partitions all topics have together.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// One partition.
    #[must_use]
    pub fn partition(&self, topic: &TopicId, partition: i32) -> Option<Partition<'_>> {
        let run = self.topics.get(topic)?.partitions.get(partition)?;
        Some(run.view(self.starts(run.leader)))
    }

    /// The partitions of a topic of this image, from 0 up.
    pub fn partitions<'a>(&'a self, topic: &'a Topic) -> impl Iterator<Item = (i32, Partition<'a>)> {
        let mut first = 0;
        topic.partitions.runs().iter().flat_map(move |run| {
            let numbers = first..run.end;
            first = run.end;
            let view = run.view(self.starts(run.leader));
            numbers.map(move |number| (number, view))
        })
    }

    /// The broker with this number.
    #[must_use]
    pub fn broker(&self, broker: BrokerId) -> Option<&Broker> {
        self.brokers.get(&broker).map(|broker| &**broker)
    }

    /// All registered brokers, sorted by number.
    pub fn brokers(&self) -> impl Iterator<Item = &Broker> {
        self.brokers.values().map(|broker| &**broker)
    }

    /// How many brokers are registered.
    #[must_use]
    pub fn broker_count(&self) -> usize {
        self.brokers.len()
    }

    /// The epoch of a broker's registration: higher with each of its processes. Zero if it never started.
    #[must_use]
    pub fn broker_epoch(&self, broker: BrokerId) -> i64 {
        i64::from(self.starts(broker))
    }

    /// The configs set for one broker or, with `None`, for all of them.
    #[must_use]
    pub fn broker_configs(&self, broker: Option<BrokerId>) -> &ConfigMap {
        self.broker_configs.get(&broker).map_or(&EMPTY_CONFIGS, |configs| configs)
    }

    /// The brokers (`None`: all of them) for which configs are set.
    pub fn brokers_with_configs(&self) -> impl Iterator<Item = Option<BrokerId>> {
        self.broker_configs.keys().copied()
    }

    /// The configs set for the group with this id.
    #[must_use]
    pub fn group_configs(&self, group_id: &str) -> &ConfigMap {
        self.group_configs.get(group_id).map_or(&EMPTY_CONFIGS, |configs| configs)
    }

    /// The ids of the groups for which configs are set, sorted.
    pub fn groups_with_configs(&self) -> impl Iterator<Item = &Arc<str>> {
        self.group_configs.keys()
    }

    /// The finalized feature levels, sorted by name.
    pub fn features(&self) -> impl Iterator<Item = (&str, i16)> {
        self.features.iter().map(|(name, level)| (&**name, *level))
    }

    /// The finalized level of a feature; zero when it has none.
    #[must_use]
    pub fn feature_level(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// The first producer id that no broker owns.
    #[must_use]
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }

    /// Below which offset a partition in volatile storage must not give out offsets again.
    #[must_use]
    pub fn reserved_offset(&self, tp: &TopicIdPartition) -> Option<Offset> {
        self.reserved_offsets.get(tp).copied()
    }

    /// How often a broker started.
    fn starts(&self, broker: BrokerId) -> i32 {
        self.starts.get(&broker).copied().unwrap_or(0)
    }
}

impl PartialEq for MetadataImage {
    /// Whether both say the same. The shared replica lists are not part of that.
    fn eq(&self, other: &Self) -> bool {
        self.cluster_id == other.cluster_id
            && self.topics == other.topics
            && self.names == other.names
            && self.unified_names == other.unified_names
            && self.partition_count == other.partition_count
            && self.brokers == other.brokers
            && self.starts == other.starts
            && self.broker_configs == other.broker_configs
            && self.group_configs == other.group_configs
            && self.features == other.features
            && self.next_producer_id == other.next_producer_id
            && self.reserved_offsets == other.reserved_offsets
    }
}

impl Eq for MetadataImage {}
