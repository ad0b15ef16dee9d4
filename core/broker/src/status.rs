//! What the broker knows of itself beyond Kafka's protocol: for the HTTP API, health and sampled metrics.

use std::sync::Arc;

use watershed_hooks::HookKind;
use watershed_metadata::Topic;
use watershed_storage::PlaceHealth;

use crate::Broker;
use crate::metrics::{sample_ingress, sample_partition, sample_place};
use crate::topic::{bindings, topic_config};

/// How the names of the configs begin that bind plugins.
const PLUGIN_CONFIGS: &str = "watershed.";

/// A topic.
#[derive(Clone, Debug)]
pub struct TopicStatus {
    /// The name.
    pub name: String,
    /// The id, as text.
    pub id: String,
    /// The storage backend that holds it.
    pub storage: String,
    /// Log compaction is asked for and not built yet, so the topic only grows.
    pub not_cleaned_yet: bool,
    /// Its partitions that are open.
    pub partitions: Vec<PartitionStatus>,
}

/// A partition that is open.
#[derive(Clone, Debug)]
pub struct PartitionStatus {
    /// Its number.
    pub partition: i32,
    /// The first offset.
    pub log_start_offset: i64,
    /// Up to where consumers may read.
    pub high_watermark: i64,
    /// The offset of the next record.
    pub log_end_offset: i64,
    /// Bytes that readers can reach.
    pub bytes: u64,
    /// How many segments they are in.
    pub segments: usize,
}

/// A topic that is bound to a plugin that is not loaded, so that the hook fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingPlugin {
    /// The topic.
    pub topic: String,
    /// The hook.
    pub hook: HookKind,
    /// The plugin's name.
    pub plugin: String,
}

/// Bindings to plugins that are not loaded and that are to have effect, of all topics.
pub(crate) fn missing_plugins(broker: &Broker) -> Vec<MissingPlugin> {
    let (image, config) = (broker.image(), broker.config());
    let mut missing = Vec::new();
    // Plugins are bound by a topic's own configs only, and most topics have none of them.
    let may_bind = |topic: &&Arc<Topic>| topic.configs().keys().any(|name| name.starts_with(PLUGIN_CONFIGS));
    for topic in image.topics().filter(may_bind) {
        let bindings = bindings(&topic_config(topic, &config), &broker.plugins);
        let of_topic = bindings.iter().flat_map(|bindings| bindings.missing()).filter(|binding| !binding.is_shadow());
        missing.extend(of_topic.map(|binding| MissingPlugin {
            topic: topic.name().to_string(),
            hook: binding.hook(),
            plugin: binding.name().to_owned(),
        }));
    }
    missing
}

pub(crate) fn topics(broker: &Broker) -> Vec<TopicStatus> {
    let (image, config) = (broker.image(), broker.config());
    let one = |topic: &Arc<Topic>| {
        let open = (0..topic.partition_count()).filter_map(|index| broker.replicas.open_partition(topic.id(), index));
        TopicStatus {
            name: topic.name().to_string(),
            id: topic.id().to_string(),
            storage: broker.replicas.storage_of(topic, &config),
            not_cleaned_yet: topic_config(topic, &config).cleanup_policy.compact,
            partitions: open
                .map(|partition| PartitionStatus {
                    partition: partition.tp.partition,
                    log_start_offset: partition.log.start().0,
                    high_watermark: partition.log.high_watermark().0,
                    log_end_offset: partition.log.end().0,
                    bytes: partition.log.size_bytes(),
                    segments: partition.log.segments().len(),
                })
                .collect(),
        }
    };
    image.topics().map(one).collect()
}

pub(crate) fn sample(broker: &Broker) {
    let (image, config) = (broker.image(), broker.config());
    let not_cleaned = image.topics().filter(|topic| topic_config(topic, &config).cleanup_policy.compact).count();
    broker.metrics.sample(broker.produce_budget.used_bytes(), broker.sessions.len(), not_cleaned);
    broker.metrics.sample_plugins(missing_plugins(broker).len());
    for place in places(broker) {
        sample_place(&place.path, place.offline.is_some(), place.full);
    }
    for partition in broker.replicas.open_partitions() {
        let (log, number) = (&partition.log, partition.tp.partition);
        let (start, end, high_watermark) = (log.start().0, log.end().0, log.high_watermark().0);
        sample_partition(&partition.topic.name, number, log.size_bytes(), start, end, high_watermark);
        if let Some(ingress) = partition.opened_ingress() {
            sample_ingress(&partition.topic.name, number, ingress.waiting_records());
        }
    }
}

pub(crate) fn is_healthy(broker: &Broker) -> bool {
    places(broker).iter().all(|place| place.offline.is_none())
}

fn places(broker: &Broker) -> Vec<PlaceHealth> {
    broker.replicas.storages().values().flat_map(|storage| storage.health().borrow().places.clone()).collect()
}

/// Resolves when some backend has no place left that works: its records cannot be served or kept.
pub(crate) async fn failed(broker: &Broker) -> String {
    let watches = broker.replicas.storages().values().map(|storage| {
        let mut health = storage.health();
        Box::pin(async move {
            loop {
                let reason = {
                    let now = health.borrow_and_update();
                    let dead = !now.places.is_empty() && now.places.iter().all(|place| place.offline.is_some());
                    dead.then(|| {
                        now.places.iter().filter_map(|place| place.offline.clone()).collect::<Vec<_>>().join("; ")
                    })
                };
                if let Some(reason) = reason {
                    return reason;
                }
                if health.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        })
    });
    let watches: Vec<_> = watches.collect();
    if watches.is_empty() {
        return std::future::pending().await;
    }
    futures_util::future::select_all(watches).await.0
}
