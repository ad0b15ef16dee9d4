//! The partitions of this broker: opened when first used, changed as the metadata says, closed at the end.
//!
//! A partition's log is opened on its first use, or at start if its storage holds data for it, since then it has
//! something to recover. What to do follows from the metadata alone: [`ReplicaManager::apply`] takes its deltas in order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::RwLock;
use tokio::sync::mpsc;
use watershed_log::{LogContext, LogError, UnifiedLog};
use watershed_metadata::configs::BrokerConfig;
use watershed_metadata::{Change, MetadataDelta, MetadataImage, Topic};
use watershed_model::{BrokerId, Clock, LeaderEpoch, Offset, TopicId, TopicIdPartition};
use watershed_policy::PluginSet;
use watershed_protocol::ErrorCode;
use watershed_storage::{Damage, LogStorage, StorageError};

use crate::budget::Budget;
use crate::errors::log_code;
use crate::partition::Partition;
use crate::routing::{self, Ingress};
use crate::topic::{Settings, TopicEntry, topic_config};

/// How many partitions are opened at once at start.
const OPEN_AT_ONCE: usize = 16;

/// How many are closed at once at the end, so that they share the device's flushes.
const CLOSE_AT_ONCE: usize = 64;

/// Where partitions live and how they are found.
pub(crate) struct ReplicaManager {
    node_id: BrokerId,
    clock: Arc<dyn Clock>,
    storages: BTreeMap<String, Arc<dyn LogStorage>>,
    context: LogContext,
    /// Topics whose data was found at start, by the storage that has it: it stays there whatever the settings say.
    found: HashMap<TopicId, String>,
    /// Partitions whose ingress logs were found at start.
    found_ingresses: HashMap<TopicId, Vec<i32>>,
    routing: mpsc::UnboundedSender<routing::Event>,
    recent_entries: Budget,
    topics: RwLock<HashMap<TopicId, Arc<TopicEntry>>>,
    plugins: Arc<PluginSet>,
    /// Topics that grew while the broker ran: their number of partitions before, and when.
    grown: RwLock<HashMap<TopicId, (u32, Duration)>>,
}

impl ReplicaManager {
    pub(crate) fn new(
        node_id: BrokerId,
        clock: Arc<dyn Clock>,
        storages: BTreeMap<String, Arc<dyn LogStorage>>,
        plugins: Arc<PluginSet>,
        routing: mpsc::UnboundedSender<routing::Event>,
    ) -> Self {
        let context = LogContext { clock: Arc::clone(&clock) };
        let (topics, grown) = (RwLock::default(), RwLock::default());
        let (found, found_ingresses) = (HashMap::new(), HashMap::new());
        let recent_entries = routing::recent_entries();
        Self {
            node_id,
            clock,
            storages,
            plugins,
            context,
            found,
            found_ingresses,
            routing,
            recent_entries,
            topics,
            grown,
        }
    }

    /// How many partitions a topic had until partitions were added, and how long ago that was.
    pub(crate) fn growth(&self, topic: TopicId) -> Option<(u32, Duration)> {
        let (before, at) = self.grown.read().get(&topic).copied()?;
        Some((before, self.clock.elapsed().saturating_sub(at)))
    }

    /// The backends by name.
    pub(crate) fn storages(&self) -> &BTreeMap<String, Arc<dyn LogStorage>> {
        &self.storages
    }

    /// Opens and recovers everything that the storages hold; destroys what belongs to no topic any more (a deletion that
    /// a crash cut short).
    pub(crate) async fn start(
        &mut self,
        image: &Arc<MetadataImage>,
        config: &BrokerConfig,
    ) -> Result<(), StorageError> {
        let mut to_open = Vec::new();
        for (name, storage) in &self.storages {
            for tp in storage.list().await? {
                let of = tp.ingress_of().unwrap_or(tp);
                let known = image.topic_by_id(&tp.topic).is_some_and(|topic| of.partition < topic.partition_count());
                if known {
                    self.found.insert(tp.topic, name.clone());
                    if tp == of {
                        to_open.push(tp);
                    } else {
                        self.found_ingresses.entry(tp.topic).or_default().push(of.partition);
                    }
                } else {
                    tracing::info!(partition = %tp, storage = %name, "finishing the deletion of a partition");
                    storage.destroy(tp).await?;
                }
            }
        }
        let began = self.clock.elapsed();
        let count = to_open.len();
        let this = &*self;
        let mut opening = futures_util::stream::iter(to_open.into_iter().map(|tp| this.open_found(image, config, tp)))
            .buffer_unordered(OPEN_AT_ONCE);
        while let Some(opened) = opening.next().await {
            opened?;
        }
        drop(opening);
        // What was acknowledged goes on to where it belongs, whether somebody asks for the topic or not.
        for topic in self.found_ingresses.keys().filter_map(|id| image.topic_by_id(id)) {
            self.entry(topic, config)?;
        }
        if count > 0 {
            let seconds = (self.clock.elapsed() - began).as_secs_f64();
            tracing::info!(partitions = count, seconds, "opened the partitions that hold data");
        }
        Ok(())
    }

    async fn open_found(
        &self,
        image: &Arc<MetadataImage>,
        config: &BrokerConfig,
        tp: TopicIdPartition,
    ) -> Result<(), StorageError> {
        let Some(topic) = image.topic_by_id(&tp.topic) else { return Ok(()) };
        let entry = self.entry(topic, config)?;
        match self.open(&entry, image, tp).await {
            Ok(_) => Ok(()),
            Err(LogError::Storage(error @ StorageError::Offline { .. })) => Err(error),
            Err(error) => {
                // One damaged partition does not keep the others from serving; its clients get KAFKA_STORAGE_ERROR.
                tracing::error!(topic = %entry.name, partition = tp.partition, %error, "cannot open a partition");
                Ok(())
            }
        }
    }

    /// The partition, opened if this is its first use.
    ///
    /// # Errors
    /// The code to answer with: the partition does not exist, another broker leads it, or its log cannot be opened.
    pub(crate) async fn partition(
        &self,
        image: &Arc<MetadataImage>,
        config: &BrokerConfig,
        topic: &Topic,
        partition: i32,
    ) -> Result<Arc<Partition>, ErrorCode> {
        if let Some(open) = self.open_partition(topic.id(), partition) {
            return Ok(open);
        }
        let tp = TopicIdPartition { topic: topic.id(), partition };
        let known = image.partition(&tp.topic, partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if known.leader != self.node_id {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        let opened = match self.entry(topic, config) {
            Ok(entry) => self.open(&entry, image, tp).await,
            Err(error) => Err(error.into()),
        };
        opened.map_err(|error| {
            tracing::error!(topic = %topic.name(), partition, %error, "cannot open a partition");
            log_code(&error)
        })
    }

    /// The partition if it is open: the quick way.
    pub(crate) fn open_partition(&self, topic: TopicId, partition: i32) -> Option<Arc<Partition>> {
        self.topics.read().get(&topic)?.open_partition(partition)
    }

    /// Every open partition.
    pub(crate) fn open_partitions(&self) -> Vec<Arc<Partition>> {
        let topics: Vec<_> = self.topics.read().values().cloned().collect();
        topics.iter().flat_map(|topic| topic.open_partitions()).collect()
    }

    /// The name of the storage that holds a topic.
    pub(crate) fn storage_of(&self, topic: &Topic, config: &BrokerConfig) -> String {
        let configured = || topic_config(topic, config).storage.to_string();
        self.found.get(&topic.id()).cloned().unwrap_or_else(configured)
    }

    fn entry(&self, topic: &Topic, config: &BrokerConfig) -> Result<Arc<TopicEntry>, StorageError> {
        if let Some(entry) = self.topics.read().get(&topic.id()) {
            return Ok(Arc::clone(entry));
        }
        let name = self.storage_of(topic, config);
        // Never another backend in its place: that would hide the records, and take new ones where nobody looks for them.
        let missing = || StorageError::Offline {
            place: name.clone(),
            reason: "the topic is stored there, and this broker was built without that storage backend".to_owned(),
        };
        let storage = self.storages.get(&name).cloned().ok_or_else(missing)?;
        let mut topics = self.topics.write();
        let settings = Settings { broker: config, plugins: &self.plugins };
        let entry = topics.entry(topic.id()).or_insert_with(|| {
            let ingresses = self.found_ingresses.get(&topic.id()).cloned().unwrap_or_default();
            let entry = Arc::new(TopicEntry::new(topic, storage, settings, ingresses));
            self.care(&entry);
            entry
        });
        Ok(Arc::clone(entry))
    }

    /// Has the topic's routing seen to, if there is anything to see to.
    fn care(&self, entry: &Arc<TopicEntry>) {
        if entry.routing.needs_care(entry.is_routed()) {
            // Nobody listens once the broker stops.
            let _ = self.routing.send(routing::Event::Topic(Arc::clone(entry)));
        }
    }

    /// The ingress log of a partition, opened if this is its first use.
    ///
    /// # Errors
    /// What opening it meets.
    pub(crate) async fn ingress(&self, partition: &Arc<Partition>) -> Result<Arc<Ingress>, LogError> {
        partition.ingress(self.open_ingress(partition)).await
    }

    async fn open_ingress(&self, partition: &Partition) -> Result<Arc<Ingress>, LogError> {
        let (entry, tp) = (&partition.topic, partition.tp.ingress());
        let config = Ingress::config(&entry.config());
        let opened = UnifiedLog::open(&*entry.storage, tp, config, self.context.clone()).await?;
        for damage in &opened.report.damage {
            report(&entry.name, tp.partition, damage);
        }
        let epoch = partition.leader_epoch();
        opened.log.assign_epoch(epoch);
        // The topic's logs may know of more than this one holds, where its end was lost: its offsets go on behind that.
        let number = partition.tp.partition;
        let targets = entry.open_partitions();
        let copied = targets.iter().filter_map(|target| target.log.copied_from(number, Offset(1 << 46))).max();
        if let Some(next) = copied.map(|copied| copied.plus(1)).filter(|next| *next > opened.log.end()) {
            if opened.log.start() == opened.log.end() {
                opened.log.start_over_at(next).await?;
            } else {
                opened.log.skip_to(next, epoch).await?;
            }
        }
        let recent = self.recent_entries.clone();
        let ingress = Arc::new(Ingress::new(Arc::clone(entry), partition.tp, opened.log, epoch, recent));
        let _ = self.routing.send(routing::Event::Opened(Arc::clone(&ingress)));
        Ok(ingress)
    }

    async fn open(
        &self,
        entry: &Arc<TopicEntry>,
        image: &Arc<MetadataImage>,
        tp: TopicIdPartition,
    ) -> Result<Arc<Partition>, LogError> {
        let slot = entry.slot(tp.partition);
        let opened = slot.get_or_try_init(|| self.open_log(entry, image, tp)).await?;
        entry.routing.settle(opened, || {});
        Ok(Arc::clone(opened))
    }

    async fn open_log(
        &self,
        entry: &Arc<TopicEntry>,
        image: &Arc<MetadataImage>,
        tp: TopicIdPartition,
    ) -> Result<Arc<Partition>, LogError> {
        let config = entry.config();
        let opened = UnifiedLog::open(&*entry.storage, tp, (*config).clone(), self.context.clone()).await?;
        let log = opened.log;
        for damage in &opened.report.damage {
            report(&entry.name, tp.partition, damage);
        }
        let volatile = !entry.storage.caps().survives_restart;
        let reserved = volatile.then(|| image.reserved_offset(&tp).unwrap_or_default());
        if let Some(next) = reserved.filter(|next| *next > log.end()) {
            log.start_over_at(next).await?;
        }
        let epoch = image.partition(&tp.topic, tp.partition).map_or(LeaderEpoch(0), |partition| partition.leader_epoch);
        log.assign_epoch(epoch);
        Ok(Arc::new(Partition::new(tp, Arc::clone(entry), log, epoch, reserved)))
    }

    /// Follows a change of the metadata.
    pub(crate) fn apply(&self, delta: &MetadataDelta, config: &BrokerConfig) {
        for change in &delta.changes {
            match change {
                Change::TopicDeleted { topic, name, partitions } => self.delete(*topic, name, *partitions),
                Change::TopicConfigs(topic) => self.reconfigure(&delta.image, config, Some(*topic)),
                Change::BrokerConfigs(_) | Change::Everything => self.reconfigure(&delta.image, config, None),
                Change::PartitionsAdded { topic, first } => {
                    let before = u32::try_from(*first).unwrap_or(0);
                    self.grown.write().insert(*topic, (before, self.clock.elapsed()));
                }
                Change::TopicCreated(_)
                | Change::GroupConfigs(_)
                | Change::BrokerRegistered(_)
                | Change::BrokerStarted(_)
                | Change::Features
                | Change::ProducerIds
                | Change::OffsetsReserved(_)
                | Change::Cluster => {}
            }
        }
    }

    /// Forgets a topic at once and removes its data in the background: the metadata goes on meanwhile. What a crash leaves
    /// over is removed by the next start, which finds it without a topic. Calling it again is harmless.
    pub(crate) fn delete(&self, topic: TopicId, name: &Arc<str>, partitions: i32) {
        let entry = self.topics.write().remove(&topic);
        self.grown.write().remove(&topic);
        if let Some(entry) = &entry {
            entry.routing.end();
        }
        for partition in entry.iter().flat_map(|entry| entry.open_partitions()) {
            partition.log.abandon();
            if let Some(ingress) = partition.opened_ingress() {
                ingress.log.abandon();
            }
        }
        let (storages, name) = (self.storages.clone(), Arc::clone(name));
        tokio::spawn(async move {
            for (storage_name, storage) in &storages {
                let logs = (0..partitions).map(|partition| TopicIdPartition { topic, partition });
                for tp in logs.flat_map(|tp| [tp, tp.ingress()]) {
                    if let Err(error) = storage.destroy(tp).await {
                        tracing::error!(topic = %name, partition = tp.partition, storage = %storage_name, %error,
                            "cannot delete a partition; the next start tries again");
                    }
                }
            }
        });
    }

    fn reconfigure(&self, image: &MetadataImage, config: &BrokerConfig, only: Option<TopicId>) {
        let entries: Vec<_> = match only {
            Some(id) => self.topics.read().get(&id).cloned().into_iter().collect(),
            None => self.topics.read().values().cloned().collect(),
        };
        for entry in entries {
            let Some(topic) = image.topic_by_id(&entry.id) else { continue };
            entry.reconfigure(topic, Settings { broker: config, plugins: &self.plugins });
            self.care(&entry);
        }
    }

    /// Closes every log: producer snapshots are written, then the storages sync and leave their clean marks.
    pub(crate) async fn close(&self) -> Result<(), StorageError> {
        let closing = self.open_partitions().into_iter().map(|partition| async move {
            let ingress = match partition.opened_ingress() {
                Some(ingress) => ingress.log.close().await,
                None => Ok(()),
            };
            if let Err(error) = partition.log.close().await.and(ingress) {
                let (topic, number) = (&partition.topic.name, partition.tp.partition);
                tracing::warn!(%topic, partition = number, %error, "a log was not closed cleanly; the next start recovers it");
            }
        });
        futures_util::stream::iter(closing).buffer_unordered(CLOSE_AT_ONCE).collect::<()>().await;
        for storage in self.storages.values() {
            storage.close().await?;
        }
        Ok(())
    }
}

/// Says what recovery found: promised records that are unusable are for people to act on, a torn tail is not.
fn report(topic: &str, partition: i32, damage: &Damage) {
    let Damage { offsets, bytes, reason, promised } = damage;
    let (from, to) = (offsets.start, offsets.end);
    if *promised {
        tracing::error!(topic, partition, %from, %to, bytes, reason,
            "stored records are damaged: they were set aside and cannot be read any more; what lies beside them is served");
    } else {
        tracing::warn!(topic, partition, %from, %to, bytes, reason, "cut a torn tail that nobody was promised");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use watershed_metadata::{MetadataRecord, PartitionRun};
    use watershed_model::{ManualClock, Timestamp};
    use watershed_storage_memory::MemoryStorage;

    use super::*;

    #[tokio::test]
    async fn a_topic_whose_storage_is_missing_goes_nowhere_else() {
        let node = BrokerId(1);
        let run =
            PartitionRun { count: 1, replicas: vec![node], isr: None, leader: node, leader_epoch: LeaderEpoch(0) };
        let topic = TopicId([7; 16]);
        let created = MetadataRecord::TopicCreated { topic, name: "t".to_owned(), partitions: vec![run] };
        let (image, _) = MetadataImage::default().apply_batch(&[created]).unwrap();
        let (image, config) = (Arc::new(image), BrokerConfig::default());
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp(0)));
        let memory: Arc<dyn LogStorage> = Arc::new(MemoryStorage::new(Arc::clone(&clock), None));
        let found = image.topic_by_id(&topic).unwrap();
        for (name, code) in [("memory", Some(ErrorCode::KafkaStorageError)), ("disk", None)] {
            let storages = BTreeMap::from([(name.to_owned(), Arc::clone(&memory))]);
            let replicas =
                ReplicaManager::new(node, Arc::clone(&clock), storages, Arc::default(), mpsc::unbounded_channel().0);
            assert_eq!(replicas.partition(&image, &config, found, 0).await.err(), code, "the topic is stored on disk");
        }
    }
}
