//! A topic that this broker holds partitions of, and what its configuration comes to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::RwLock;
use tokio::sync::OnceCell;
use watershed_hooks::HookKind;
use watershed_log::LogConfig;
use watershed_metadata::Topic;
use watershed_metadata::configs::{self, BrokerConfig, PartitionerMode, PluginBinding, TopicConfig};
use watershed_model::TopicId;
use watershed_model::record::{Compression, TimestampType};
use watershed_policy::{Binding, BindingState, PluginSet, TopicBindings};
use watershed_storage::{FlushMode, LogStorage};

use crate::metrics::TopicMetrics;
use crate::partition::Partition;
use crate::routing::{Ingress, Routing};

/// What a topic's settings are resolved with.
#[derive(Clone, Copy)]
pub(crate) struct Settings<'a> {
    pub(crate) broker: &'a BrokerConfig,
    pub(crate) plugins: &'a PluginSet,
}

/// A topic that this broker holds partitions of.
pub(crate) struct TopicEntry {
    pub(crate) id: TopicId,
    pub(crate) name: Arc<str>,
    pub(crate) metrics: TopicMetrics,
    pub(crate) storage: Arc<dyn LogStorage>,
    config: ArcSwap<LogConfig>,
    /// The plugins; `None` where there are none, which is what most topics pay for.
    bindings: ArcSwapOption<TopicBindings>,
    /// How records enter, where the broker takes them to their partitions, or did.
    pub(crate) routing: Routing,
    partitions: RwLock<HashMap<i32, Arc<OnceCell<Arc<Partition>>>>>,
}

impl TopicEntry {
    /// A topic of which no partition is open. `ingresses` are the partitions whose ingress logs were found at start.
    pub(crate) fn new(
        topic: &Topic,
        storage: Arc<dyn LogStorage>,
        settings: Settings<'_>,
        ingresses: Vec<i32>,
    ) -> Self {
        let config = topic_config(topic, settings.broker);
        let bindings = bindings_of(topic, &config, settings.plugins);
        let routing = Routing::new(is_routed(bindings.as_deref()), ingresses);
        routing.set_backlog_max(config.plugins.partitioner_backlog_bytes);
        Self {
            routing,
            id: topic.id(),
            name: Arc::clone(topic.name()),
            metrics: TopicMetrics::new(topic.name()),
            storage,
            config: ArcSwap::from_pointee(log_config(&config, settings.broker)),
            bindings: ArcSwapOption::new(bindings),
            partitions: RwLock::default(),
        }
    }

    /// Takes the topic's settings as they are now.
    pub(crate) fn reconfigure(&self, topic: &Topic, settings: Settings<'_>) {
        let config = topic_config(topic, settings.broker);
        let new = log_config(&config, settings.broker);
        for partition in self.open_partitions() {
            partition.log.configure(new.clone());
            if let Some(ingress) = partition.opened_ingress() {
                ingress.log.configure(Ingress::config(&new));
            }
        }
        self.config.store(Arc::new(new));
        self.routing.set_backlog_max(config.plugins.partitioner_backlog_bytes);
        self.bindings.store(bindings_of(topic, &config, settings.plugins));
    }

    /// Whether the broker is to take the topic's records to their partitions.
    pub(crate) fn is_routed(&self) -> bool {
        is_routed(self.bindings.load().as_deref())
    }

    /// The topic's plugins, if it has any.
    pub(crate) fn bindings(&self) -> Option<Arc<TopicBindings>> {
        self.bindings.load_full()
    }

    /// The settings of its partitions' logs.
    pub(crate) fn config(&self) -> Arc<LogConfig> {
        self.config.load_full()
    }

    pub(crate) fn slot(&self, partition: i32) -> Arc<OnceCell<Arc<Partition>>> {
        if let Some(slot) = self.partitions.read().get(&partition) {
            return Arc::clone(slot);
        }
        Arc::clone(self.partitions.write().entry(partition).or_default())
    }

    /// The partition, if it is open.
    pub(crate) fn open_partition(&self, partition: i32) -> Option<Arc<Partition>> {
        self.partitions.read().get(&partition)?.get().cloned()
    }

    pub(crate) fn open_partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().values().filter_map(|slot| slot.get().cloned()).collect()
    }
}

fn is_routed(bindings: Option<&TopicBindings>) -> bool {
    bindings.is_some_and(|bindings| bindings.routed.is_some())
}

/// The backend of topics that do not choose one.
pub(crate) fn default_storage(config: &BrokerConfig) -> String {
    let plain = TopicConfig::resolve(config, &BTreeMap::new());
    plain.expect("the defaults were checked at start").storage.to_string()
}

/// A topic's configuration; a stored value that cannot be read any more falls back to the defaults, with a warning.
pub(crate) fn topic_config(topic: &Topic, config: &BrokerConfig) -> TopicConfig {
    TopicConfig::resolve(config, topic.configs()).unwrap_or_else(|error| {
        tracing::warn!(topic = %topic.name(), %error, "a stored topic config cannot be read; the defaults apply");
        TopicConfig::resolve(config, &BTreeMap::new()).expect("the defaults were checked at start")
    })
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

fn log_config(topic: &TopicConfig, broker: &BrokerConfig) -> LogConfig {
    use watershed_log::{CleanupPolicy, CompressionPolicy};
    use watershed_metadata::configs::{CompressionType as Wanted, Flush, TimestampType as Stamp};
    let compression = match topic.compression_type {
        Wanted::Producer => CompressionPolicy::Producer,
        Wanted::Uncompressed => CompressionPolicy::Codec(Compression::None, None),
        Wanted::Gzip(level) => CompressionPolicy::Codec(Compression::Gzip, Some(level).filter(|level| *level >= 0)),
        Wanted::Snappy => CompressionPolicy::Codec(Compression::Snappy, None),
        Wanted::Lz4(level) => CompressionPolicy::Codec(Compression::Lz4, Some(level)),
        Wanted::Zstd(level) => CompressionPolicy::Codec(Compression::Zstd, Some(level)),
    };
    LogConfig {
        segment_bytes: topic.segment_bytes,
        segment_ms: signed(topic.segment_ms),
        segment_jitter_ms: signed(topic.segment_jitter_ms),
        retention_ms: topic.retention_ms.map(signed),
        retention_bytes: topic.retention_bytes,
        cleanup: CleanupPolicy { delete: topic.cleanup_policy.delete, compact: topic.cleanup_policy.compact },
        max_compaction_lag_ms: signed(topic.max_compaction_lag_ms),
        max_message_bytes: topic.max_message_bytes,
        compression,
        timestamp_type: match topic.message_timestamp_type {
            Stamp::CreateTime => TimestampType::CreateTime,
            Stamp::LogAppendTime => TimestampType::LogAppendTime,
        },
        timestamp_before_max_ms: signed(topic.message_timestamp_before_max_ms),
        timestamp_after_max_ms: signed(topic.message_timestamp_after_max_ms),
        index_interval_bytes: topic.index_interval_bytes,
        flush: match topic.flush {
            Flush::Sync => FlushMode::Sync,
            Flush::Relaxed => FlushMode::Relaxed,
        },
        delete_delay: Duration::from_millis(topic.file_delete_delay_ms),
        producer_id_expiration_ms: signed(broker.settings().producer_id_expiration_ms),
    }
}

/// The plugins that a topic's configuration binds. One that is not loaded any more fails by its policy; the topic stays.
pub(crate) fn bindings(config: &TopicConfig, plugins: &PluginSet) -> Option<Arc<TopicBindings>> {
    let bind = |hook: HookKind, wanted: &PluginBinding| {
        let state = match wanted.state {
            configs::BindingState::On => BindingState::On,
            configs::BindingState::Shadow => BindingState::Shadow,
            configs::BindingState::Off => return None,
        };
        Some(match plugins.get(hook, &wanted.name) {
            Some(plugin) => Binding::new(Arc::clone(plugin), state),
            None => Binding::missing(hook, &wanted.name, state),
        })
    };
    let one = |hook: HookKind, wanted: &Option<PluginBinding>| wanted.as_ref().and_then(|wanted| bind(hook, wanted));
    let wanted = &config.plugins;
    let partitioner = one(HookKind::Partitioner, &wanted.partitioner);
    let (enforced, routed) = match wanted.partitioner_mode {
        PartitionerMode::Client => (None, None),
        PartitionerMode::Enforce => (partitioner, None),
        // In shadow the client's choice stands, and what would be moved is counted.
        PartitionerMode::Broker if partitioner.as_ref().is_some_and(Binding::is_shadow) => (partitioner, None),
        PartitionerMode::Broker => (None, partitioner),
    };
    let bindings = TopicBindings {
        interceptors: wanted.interceptors.iter().filter_map(|wanted| bind(HookKind::Interceptor, wanted)).collect(),
        ordering_key: one(HookKind::OrderingKey, &wanted.ordering_key),
        enforced,
        routed,
        enforce_grace: Duration::from_millis(wanted.enforce_grace_ms),
        fetch_filter: one(HookKind::FetchFilter, &wanted.fetch_filter),
        retention: one(HookKind::Retention, &wanted.retention_policy),
        record_retention: one(HookKind::RecordRetention, &wanted.record_retention),
    };
    (!bindings.is_empty()).then(|| Arc::new(bindings))
}

/// The same, and a warning of each that is not loaded.
fn bindings_of(topic: &Topic, config: &TopicConfig, plugins: &PluginSet) -> Option<Arc<TopicBindings>> {
    let bindings = bindings(config, plugins);
    for binding in bindings.iter().flat_map(|bindings| bindings.missing()) {
        tracing::warn!(topic = %topic.name(), hook = %binding.hook(), plugin = binding.name(),
            "a topic is bound to a plugin that is not loaded: what it should decide is refused");
    }
    bindings
}
