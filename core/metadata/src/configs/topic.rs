//! A topic's configuration as the log and the storage need it: typed, complete, resolved once per change.
//!
//! [`TopicConfig::resolve`] takes the topic's own settings and the broker's and leaves nothing to look up later.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::broker::{BrokerConfig, check_parts};
use super::error::{ConfigError, nearest};
use super::plugins::{self, PartitionerMode, PluginBinding, TopicPlugins};
use super::topic_table::{
    BACKLOG_CONFIG, ENFORCE_GRACE_CONFIG, FETCH_FILTER_CONFIG, FLUSH_CONFIG, INTERCEPTORS_CONFIG, ORDERING_KEY_CONFIG,
    PARTITIONER_CONFIG, PARTITIONER_MODE_CONFIG, RECORD_RETENTION_CONFIG, RETENTION_POLICY_CONFIG, STORAGE_CONFIG,
    topic_config_def, topic_config_defs,
};
use super::value::Value;

/// What becomes of old records (`cleanup.policy`). Neither: everything stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Segments are deleted by age and size.
    pub delete: bool,
    /// The newest record per key stays.
    pub compact: bool,
}

/// Whose time a record carries (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's at the append.
    LogAppendTime,
}

/// The codec batches are stored with (`compression.type`), with its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionType {
    /// As the producer sent them.
    Producer,
    /// Not compressed.
    Uncompressed,
    /// gzip at this level, -1 for the codec's default.
    Gzip(i32),
    /// Snappy, which has no levels.
    Snappy,
    /// LZ4 at this level.
    Lz4(i32),
    /// Zstandard at this level.
    Zstd(i32),
}

/// When a record on disk counts as written (`watershed.flush`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// When it is on the medium.
    Sync,
    /// When the operating system has it.
    Relaxed,
}

/// The size of an offset index's entry in Kafka, by which `segment.index.bytes` counts.
const INDEX_ENTRY_BYTES: i64 = 8;

/// Every value of one topic's configuration. Times are in milliseconds, sizes in bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// `segment.bytes`, or `internal.segment.bytes` where that is set; lower where the segment's offset index would
    /// outgrow `segment.index.bytes` before.
    pub segment_bytes: u32,
    /// `segment.ms`; see [`TopicConfig::segment_ms_max`].
    pub segment_ms: u64,
    /// `segment.jitter.ms`.
    pub segment_jitter_ms: u64,
    /// `segment.index.bytes`.
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u32,
    /// `retention.bytes`; `None`: no limit.
    pub retention_bytes: Option<u64>,
    /// `retention.ms`; `None`: no limit.
    pub retention_ms: Option<u64>,
    /// `file.delete.delay.ms`.
    pub file_delete_delay_ms: u64,
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `delete.retention.ms`.
    pub delete_retention_ms: u64,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: u64,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag_ms: u64,
    /// `min.cleanable.dirty.ratio`, from 0 to 1.
    pub min_cleanable_dirty_ratio: f64,
    /// `max.message.bytes`: the largest batch as stored.
    pub max_message_bytes: u32,
    /// `compression.type` with the level that belongs to it.
    pub compression_type: CompressionType,
    /// `message.timestamp.type`.
    pub message_timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub message_timestamp_before_max_ms: u64,
    /// `message.timestamp.after.max.ms`.
    pub message_timestamp_after_max_ms: u64,
    /// `min.insync.replicas`.
    pub min_insync_replicas: u32,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election_enable: bool,
    /// `watershed.storage`: the backend's name.
    pub storage: Arc<str>,
    /// `watershed.flush`.
    pub flush: Flush,
    /// The plugins.
    pub plugins: TopicPlugins,
}

impl TopicConfig {
    /// The configuration of a topic with these settings of its own on this broker.
    ///
    /// # Errors
    /// [`ConfigError`] where a setting cannot be read; settings that passed [`validate_topic_all`] always can.
    pub fn resolve(broker: &BrokerConfig, overrides: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let read = Reader { broker, overrides };
        let policy = read.list("cleanup.policy")?;
        let has = |name: &str| policy.iter().any(|item| item == name);
        let segment_bytes = match read.value("internal.segment.bytes")? {
            Some(value) => value.number(),
            None => read.number("segment.bytes")?,
        };
        let index_bytes = read.number("segment.index.bytes")?;
        let interval = read.number("index.interval.bytes")?;
        Ok(Self {
            segment_bytes: size(segment_bytes.min(indexed_bytes(index_bytes, interval))),
            segment_ms: read.time("segment.ms")?,
            segment_jitter_ms: read.time("segment.jitter.ms")?,
            segment_index_bytes: size(index_bytes),
            index_interval_bytes: size(interval),
            retention_bytes: u64::try_from(read.number("retention.bytes")?).ok(),
            retention_ms: u64::try_from(read.number("retention.ms")?).ok(),
            file_delete_delay_ms: read.time("file.delete.delay.ms")?,
            cleanup_policy: CleanupPolicy { delete: has("delete"), compact: has("compact") },
            delete_retention_ms: read.time("delete.retention.ms")?,
            min_compaction_lag_ms: read.time("min.compaction.lag.ms")?,
            max_compaction_lag_ms: read.time("max.compaction.lag.ms")?,
            min_cleanable_dirty_ratio: match read.value("min.cleanable.dirty.ratio")? {
                Some(Value::Double(ratio)) => ratio,
                _ => 0.5,
            },
            max_message_bytes: size(read.number("max.message.bytes")?),
            compression_type: read.compression()?,
            message_timestamp_type: match read.text("message.timestamp.type")?.as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            message_timestamp_before_max_ms: read.time("message.timestamp.before.max.ms")?,
            message_timestamp_after_max_ms: read.time("message.timestamp.after.max.ms")?,
            min_insync_replicas: size(read.number("min.insync.replicas")?),
            unclean_leader_election_enable: read.value("unclean.leader.election.enable")? == Some(Value::Bool(true)),
            storage: read.text(STORAGE_CONFIG)?.into(),
            flush: match read.text(FLUSH_CONFIG)?.as_str() {
                "relaxed" => Flush::Relaxed,
                _ => Flush::Sync,
            },
            plugins: TopicPlugins {
                interceptors: read
                    .list(INTERCEPTORS_CONFIG)?
                    .iter()
                    .filter_map(|text| PluginBinding::parse(text))
                    .collect(),
                ordering_key: read.plugin(ORDERING_KEY_CONFIG)?,
                partitioner: read.plugin(PARTITIONER_CONFIG)?,
                partitioner_mode: match read.text(PARTITIONER_MODE_CONFIG)?.as_str() {
                    "enforce" => PartitionerMode::Enforce,
                    "broker" => PartitionerMode::Broker,
                    _ => PartitionerMode::Client,
                },
                enforce_grace_ms: read.time(ENFORCE_GRACE_CONFIG)?,
                partitioner_backlog_bytes: read.time(BACKLOG_CONFIG)?,
                fetch_filter: read.plugin(FETCH_FILTER_CONFIG)?,
                retention_policy: read.plugin(RETENTION_POLICY_CONFIG)?,
                record_retention: read.plugin(RECORD_RETENTION_CONFIG)?,
            },
        })
    }

    /// The age at which a segment is closed: a compacted topic's may not outlive `max.compaction.lag.ms` (KIP-354).
    #[must_use]
    pub fn segment_ms_max(&self) -> u64 {
        if self.cleanup_policy.compact { self.segment_ms.min(self.max_compaction_lag_ms) } else { self.segment_ms }
    }
}

impl Default for TopicConfig {
    /// The configuration of a topic nobody configured on a broker nobody configured.
    fn default() -> Self {
        Self::resolve(&BrokerConfig::default(), &BTreeMap::new()).expect("the defaults are valid, a test says so")
    }
}

/// How many bytes of records an index of this size covers, at least: an entry takes eight bytes, and there is one
/// for so many bytes of records.
fn indexed_bytes(index_bytes: i64, interval: i64) -> i64 {
    (index_bytes / INDEX_ENTRY_BYTES).max(1).saturating_mul(interval.max(1))
}

/// The numbers that go through here are not negative and fit 32 bits, by the rules of the table.
fn size(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(if number < 0 { 0 } else { u32::MAX })
}

struct Reader<'a> {
    broker: &'a BrokerConfig,
    overrides: &'a BTreeMap<String, String>,
}

impl Reader<'_> {
    fn value(&self, name: &str) -> Result<Option<Value>, ConfigError> {
        topic_value(self.broker, self.overrides, name)
    }

    fn number(&self, name: &str) -> Result<i64, ConfigError> {
        Ok(self.value(name)?.map_or(0, |value| value.number()))
    }

    fn time(&self, name: &str) -> Result<u64, ConfigError> {
        Ok(u64::try_from(self.number(name)?).unwrap_or(0))
    }

    fn text(&self, name: &str) -> Result<String, ConfigError> {
        Ok(self.value(name)?.map(|value| value.to_string()).unwrap_or_default())
    }

    fn plugin(&self, name: &str) -> Result<Option<PluginBinding>, ConfigError> {
        Ok(PluginBinding::parse(&self.text(name)?))
    }

    fn list(&self, name: &str) -> Result<Vec<String>, ConfigError> {
        match self.value(name)? {
            Some(Value::List(items)) => Ok(items),
            _ => Ok(Vec::new()),
        }
    }

    fn compression(&self) -> Result<CompressionType, ConfigError> {
        let level = |name: &str| Ok(i32::try_from(self.number(name)?).unwrap_or(-1));
        Ok(match self.text("compression.type")?.as_str() {
            "uncompressed" => CompressionType::Uncompressed,
            "gzip" => CompressionType::Gzip(level("compression.gzip.level")?),
            "snappy" => CompressionType::Snappy,
            "lz4" => CompressionType::Lz4(level("compression.lz4.level")?),
            "zstd" => CompressionType::Zstd(level("compression.zstd.level")?),
            _ => CompressionType::Producer,
        })
    }
}

/// One value of a topic's configuration in force; `None` is Kafka's null.
///
/// # Errors
/// [`ConfigError::Unknown`] for a name that is not a topic config, [`ConfigError::Invalid`] for a stored value
/// that cannot be read.
pub fn topic_value(
    broker: &BrokerConfig,
    overrides: &BTreeMap<String, String>,
    name: &str,
) -> Result<Option<Value>, ConfigError> {
    let def = topic_config_def(name).ok_or_else(|| unknown(name))?;
    match overrides.get(name) {
        Some(text) => def.parse(text).map(Some),
        None => Ok(broker.inherited(def)),
    }
}

fn unknown(name: &str) -> ConfigError {
    let known = topic_config_defs().iter().map(|def| def.name);
    ConfigError::Unknown { scope: "topic", name: name.to_owned(), nearest: nearest(name, known) }
}

/// Checks one topic setting by itself; [`validate_topic_all`] checks what only shows in company.
///
/// # Errors
/// [`ConfigError::Unknown`] with the nearest known name, [`ConfigError::Invalid`] for its value or because it
/// cannot be honoured.
pub fn validate_topic(name: &str, value: &str) -> Result<(), ConfigError> {
    topic_config_def(name).ok_or_else(|| unknown(name))?.check(value)?;
    Ok(())
}

/// Checks all settings of one topic on this broker: each by itself, and those that depend on one another.
///
/// # Errors
/// Everything that is wrong, not only the first.
pub fn validate_topic_all(broker: &BrokerConfig, overrides: &BTreeMap<String, String>) -> Result<(), Vec<ConfigError>> {
    let mut errors = Vec::new();
    for (name, value) in overrides {
        if let Err(error) = validate_topic(name, value) {
            errors.push(error);
        } else if let Some(def) = topic_config_def(name) {
            errors.extend(check_parts(def, value, broker.parts()).err());
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let config = TopicConfig::resolve(broker, overrides).map_err(|error| vec![error])?;
    if config.min_compaction_lag_ms > config.max_compaction_lag_ms {
        errors.push(ConfigError::Conflict {
            name: "min.compaction.lag.ms",
            other: "max.compaction.lag.ms",
            problem: format!("{} is larger than {}", config.min_compaction_lag_ms, config.max_compaction_lag_ms),
        });
    }
    plugins::check_together(broker, &config, &mut errors);
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}
