//! A log's settings, typed. The broker fills them from the topic's configuration; names and meanings are Kafka's.

use std::time::Duration;

use watershed_model::record::{Compression, Level, TimestampType};
use watershed_storage::{FlushMode, SegmentConfig};

/// What the broker does to a batch's compression (`compression.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompressionPolicy {
    /// Keep what the producer sent.
    #[default]
    Producer,
    /// Store with this codec ([`Compression::None`] is `uncompressed`) at this level; a batch that has the codec already is
    /// kept as it is.
    Codec(Compression, Level),
}

/// What happens to old records (`cleanup.policy`). Both may be set; with neither nothing is ever deleted by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Segments go by time and size.
    pub delete: bool,
    /// Only the newest record of each key is kept; records without a key are refused.
    pub compact: bool,
}

/// The settings of one partition's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The size at which a segment is closed, in bytes (`segment.bytes`).
    pub segment_bytes: u32,
    /// The age at which a segment is closed, in milliseconds between its first record and the one to be appended
    /// (`segment.ms`).
    pub segment_ms: i64,
    /// Segments close earlier by up to this many milliseconds, so that not all do at once (`segment.jitter.ms`).
    pub segment_jitter_ms: i64,
    /// Segments whose newest record is older go, in milliseconds; `None` for never (`retention.ms`).
    pub retention_ms: Option<i64>,
    /// The oldest segments go while the log stays at or above this, in bytes; `None` for no bound (`retention.bytes`).
    pub retention_bytes: Option<u64>,
    /// What happens to old records.
    pub cleanup: CleanupPolicy,
    /// The longest time a record waits for compaction, in milliseconds; bounds a segment's age in compacted topics
    /// (`max.compaction.lag.ms`).
    pub max_compaction_lag_ms: i64,
    /// The largest batch, header included, in bytes (`max.message.bytes`).
    pub max_message_bytes: u32,
    /// What the broker does to compression.
    pub compression: CompressionPolicy,
    /// Whose timestamps count (`message.timestamp.type`).
    pub timestamp_type: TimestampType,
    /// How far a producer's timestamp may lie in the past, in milliseconds (`message.timestamp.before.max.ms`).
    pub timestamp_before_max_ms: i64,
    /// How far a producer's timestamp may lie in the future, in milliseconds (`message.timestamp.after.max.ms`).
    pub timestamp_after_max_ms: i64,
    /// One index entry for about so many bytes (`index.interval.bytes`).
    pub index_interval_bytes: u32,
    /// When an append is promised (`watershed.flush`).
    pub flush: FlushMode,
    /// How long the files of deleted segments stay (`file.delete.delay.ms`).
    pub delete_delay: Duration,
    /// How long a producer that writes nothing is remembered, in milliseconds (`producer.id.expiration.ms`).
    pub producer_id_expiration_ms: i64,
}

impl Default for LogConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        const WEEK_MS: i64 = 7 * 24 * 60 * 60 * 1000;
        Self {
            segment_bytes: 1 << 30,
            segment_ms: WEEK_MS,
            segment_jitter_ms: 0,
            retention_ms: Some(WEEK_MS),
            retention_bytes: None,
            cleanup: CleanupPolicy { delete: true, compact: false },
            max_compaction_lag_ms: i64::MAX,
            max_message_bytes: 1_048_588,
            compression: CompressionPolicy::Producer,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 60 * 60 * 1000,
            index_interval_bytes: 4096,
            flush: FlushMode::Sync,
            delete_delay: Duration::from_secs(60),
            producer_id_expiration_ms: 24 * 60 * 60 * 1000,
        }
    }
}

impl LogConfig {
    /// The part that the storage backend acts on.
    #[must_use]
    pub fn segment_config(&self) -> SegmentConfig {
        SegmentConfig {
            segment_bytes: self.segment_bytes,
            index_interval_bytes: self.index_interval_bytes,
            flush: self.flush,
            delete_delay: self.delete_delay,
        }
    }

    /// The age at which a segment is closed, in milliseconds, before jitter.
    pub(crate) fn segment_age_max_ms(&self) -> i64 {
        if self.cleanup.compact && self.max_compaction_lag_ms > 0 {
            self.segment_ms.min(self.max_compaction_lag_ms)
        } else {
            self.segment_ms
        }
    }
}
