//! One partition's ingress log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use watershed_log::{
    Appended, CleanupPolicy, CompressionPolicy, LogConfig, LogError, UnifiedLog, ValidatedBatch, ingress,
};
use watershed_model::{LeaderEpoch, Offset, TopicIdPartition};

use super::recent::{Recent, Step};
use crate::budget::Budget;
use crate::topic::TopicEntry;

/// The size at which a segment of an ingress log is closed, in bytes. What was copied goes by whole segments.
const SEGMENT_BYTES: u32 = 16 * 1024 * 1024;

/// How long the files of its deleted segments stay: nobody else reads them.
const DELETE_DELAY: Duration = Duration::from_secs(1);

/// The ingress log of a partition.
pub(crate) struct Ingress {
    pub(crate) topic: Arc<TopicEntry>,
    /// The partition that its records came in through.
    pub(crate) partition: TopicIdPartition,
    pub(crate) log: Arc<UnifiedLog>,
    epoch: LeaderEpoch,
    /// Locked while an entry is appended, so that entries are here in the log's order.
    recent: Mutex<Recent>,
    /// Entries below were there when it was opened; they do not count towards the backlog.
    opened_at: Offset,
    appended_bytes: AtomicU64,
    copied_bytes: AtomicU64,
    /// Everything below is durable where it belongs.
    copied: watch::Sender<Offset>,
}

impl Ingress {
    pub(crate) fn new(
        topic: Arc<TopicEntry>,
        partition: TopicIdPartition,
        log: Arc<UnifiedLog>,
        epoch: LeaderEpoch,
        recent: Budget,
    ) -> Self {
        let (opened_at, start) = (log.end(), log.start());
        Self {
            topic,
            partition,
            log,
            epoch,
            recent: Mutex::new(Recent::new(recent)),
            opened_at,
            appended_bytes: AtomicU64::new(0),
            copied_bytes: AtomicU64::new(0),
            copied: watch::Sender::new(start),
        }
    }

    /// The settings of an ingress log whose topic has these.
    pub(crate) fn config(topic: &LogConfig) -> LogConfig {
        LogConfig {
            segment_bytes: SEGMENT_BYTES,
            // Its records have the clients' timestamps, which say nothing of when they came in.
            segment_ms: i64::MAX,
            segment_jitter_ms: 0,
            retention_ms: None,
            retention_bytes: None,
            cleanup: CleanupPolicy { delete: true, compact: false },
            compression: CompressionPolicy::Producer,
            delete_delay: DELETE_DELAY,
            ..topic.clone()
        }
    }

    /// Bytes that have come in and are not all where they belong.
    pub(crate) fn backlog_bytes(&self) -> u64 {
        let copied = self.copied_bytes.load(Ordering::Acquire);
        self.appended_bytes.load(Ordering::Acquire).saturating_sub(copied)
    }

    /// How many records have come in and are not all where they belong.
    pub(crate) fn waiting_records(&self) -> i64 {
        self.log.end().0 - self.copied_to().0
    }

    /// Appends a batch and its plan.
    ///
    /// # Errors
    /// As [`UnifiedLog::append_as_leader`].
    pub(crate) fn append(&self, batch: &ValidatedBatch, plan: &[u32]) -> Result<Appended, LogError> {
        let entry = ingress::wrap(batch, plan)?;
        let (next, bytes) = (i64::from(entry.header.last_offset_delta) + 1, entry.header.total_bytes);
        // What cannot be read here cannot be read from the log either, and the router says so.
        let kept = ingress::unwrap(&entry.header, &entry.body).ok();
        let mut recent = self.recent.lock();
        let mut appended = self.log.append_as_leader(entry, self.epoch)?;
        if !appended.duplicate {
            if let Some(kept) = kept {
                let base = appended.base_offset;
                recent.push(ingress::Entry { base, ..kept }, base.plus(next), bytes);
            }
            self.appended_bytes.fetch_add(bytes.into(), Ordering::AcqRel);
            appended.log_append_time = batch.log_append_time;
        }
        Ok(appended)
    }

    /// Takes entries from `from` on that are promised, as far as they are in memory; see [`Recent::take`].
    pub(super) fn take_recent(&self, from: Offset, bytes_max: u64) -> Vec<Step> {
        let below = self.log.high_watermark();
        self.recent.lock().take(from, below, bytes_max)
    }

    /// Forgets what is in memory below `from`: it was read from the log.
    pub(super) fn forget_recent(&self, from: Offset) {
        self.recent.lock().forget_below(from);
    }

    /// Takes note that everything below `offset` is durable where it belongs; `bytes` are those of the entries that this is news of.
    pub(super) fn copied(&self, offset: Offset, bytes: u64) {
        self.copied_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.copied.send_replace(offset);
    }

    /// Up to where everything is durable where it belongs.
    pub(super) fn copied_to(&self) -> Offset {
        *self.copied.borrow()
    }

    /// How many bytes an entry that ends at `end` counts for in the backlog.
    pub(super) fn weight(&self, end: Offset, bytes: u32) -> u64 {
        if end <= self.opened_at { 0 } else { u64::from(bytes) }
    }

    /// Resolves when everything that has come in is durable where it belongs. Clients must be refused meanwhile.
    pub(super) async fn drained(&self) {
        let end = self.log.end();
        // The sender lives as long as we do.
        let _ = self.copied.subscribe().wait_for(|copied| *copied >= end).await;
    }
}
