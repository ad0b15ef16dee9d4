//! One partition's log with Kafka's semantics, above any storage backend.
//!
//! - [`open`](UnifiedLog::open) (`open.rs`) recovers what the log remembers: producers and leader epochs.
//! - `append.rs`: numbering batches under one short lock, rolling, checkpoints, promises.
//! - `read.rs`: reading; `offsets.rs`: ListOffsets and OffsetForLeaderEpoch.
//! - `retention.rs`: deleting by time, size and request; truncation.
//! - `vacant.rs`: which offsets hold no record.
//! - `routing.rs`: what topics need whose records are taken to their partitions by the broker.
//!
//! Invariants: producer state, epochs and end offset change only after the backend has accepted the append; the state lock
//! is never held across an await; marks move only forward except in a truncation.

mod append;
mod clean;
mod offsets;
mod open;
mod read;
mod retention;
mod routing;
#[cfg(test)]
mod tests;
mod vacant;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use watershed_model::{Clock, LeaderEpoch, Offset, Timestamp, TopicIdPartition};
use watershed_storage::{Blob, PartitionLog, SegmentMeta, StorageError, Ticket};

use crate::marks::{Mark, Marks};
use crate::producers::{ActiveProducer, ProducerStates, snapshot};
use crate::vacancies::Vacancies;
use crate::{EpochEntry, LeaderEpochCache, LogConfig};

pub use append::{AppendTicket, Appended};
pub use clean::{BatchFate, Cleaned, Judge, Judged};
pub use offsets::{OffsetAtTime, OffsetSpec};
pub use open::Opened;
pub use read::{Bound, LogRead};
pub use retention::{DeletionReason, RetentionOutcome};

/// The blob kind of producer snapshots. Persisted: never changes meaning.
pub(crate) const BLOB_PRODUCERS: u8 = 1;
/// The blob kind of leader epochs. Persisted: never changes meaning.
pub(crate) const BLOB_EPOCHS: u8 = 2;
/// The blob kind of a coordinator's state. Persisted: never changes meaning.
const BLOB_COORDINATOR: u8 = 3;
/// The blob kind of offsets without a record. Persisted: never changes meaning.
pub(crate) const BLOB_VACANCIES: u8 = 4;

/// What a log needs from the process it lives in.
#[derive(Clone)]
pub struct LogContext {
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for LogContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogContext").field("clock", &self.clock).finish_non_exhaustive()
    }
}

/// What changes with every append.
struct State {
    producers: ProducerStates,
    epochs: LeaderEpochCache,
    vacancies: Vacancies,
    end: Offset,
    /// The backend's count of truncations.
    generation: u64,
    active: Active,
    /// Bytes appended since the last checkpoint.
    unsaved_bytes: u64,
    /// When the oldest of them was appended, by [`Clock::elapsed`], in milliseconds; `None` while there is nothing to save.
    unsaved_since_ms: Option<u64>,
    /// A truncation or reset is under way; appends are refused.
    cutting: bool,
    /// What clients send is refused: it enters elsewhere.
    clients_refused: bool,
}

/// The segment that appends go to.
struct Active {
    base: Offset,
    bytes: u64,
    first_timestamp: Option<Timestamp>,
    created: Timestamp,
}

impl Active {
    fn of(segments: &[SegmentMeta], end: Offset, now: Timestamp) -> Self {
        match segments.last() {
            Some(last) if !last.sealed => Self {
                base: last.base,
                bytes: last.bytes,
                first_timestamp: last.first_timestamp,
                created: last.modified,
            },
            _ => Self { base: end, bytes: 0, first_timestamp: None, created: now },
        }
    }
}

/// One partition's log. Shared by reference count; every method may be called from any thread.
pub struct UnifiedLog {
    tp: TopicIdPartition,
    context: LogContext,
    log: Arc<dyn PartitionLog>,
    config: ArcSwap<LogConfig>,
    marks: Arc<Marks>,
    state: Mutex<State>,
    /// The high watermark is the promised end (a partition with one replica).
    sole_replica: AtomicBool,
}

impl fmt::Debug for UnifiedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnifiedLog").field("partition", &self.tp).field("end", &self.end()).finish_non_exhaustive()
    }
}

impl UnifiedLog {
    /// Which partition this is.
    #[must_use]
    pub fn partition(&self) -> TopicIdPartition {
        self.tp
    }

    /// The settings in force.
    #[must_use]
    pub fn config(&self) -> Arc<LogConfig> {
        self.config.load_full()
    }

    /// Takes new settings.
    pub fn configure(&self, config: LogConfig) {
        self.log.configure(config.segment_config());
        self.config.store(Arc::new(config));
    }

    /// The moving offsets, to read and to wait for.
    #[must_use]
    pub fn marks(&self) -> &Arc<Marks> {
        &self.marks
    }

    /// The first offset that may be read.
    #[must_use]
    pub fn start(&self) -> Offset {
        self.marks.start()
    }

    /// The offset that the next record gets.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.marks.get(Mark::End)
    }

    /// Everything below is kept by every in-sync replica.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.marks.get(Mark::HighWatermark)
    }

    /// Everything below is decided: the high watermark, or the start of the oldest transaction that is open below it.
    #[must_use]
    pub fn last_stable_offset(&self) -> Offset {
        self.marks.get(Mark::LastStable)
    }

    /// Everything below is promised by the backend here: what a follower reports, and what counts towards the high watermark.
    #[must_use]
    pub fn promised(&self) -> Offset {
        self.marks.get(Mark::Promised)
    }

    /// Whether the high watermark follows the promised end by itself, as it does from the start. An owner with other
    /// replicas turns it off and calls [`UnifiedLog::set_high_watermark`].
    pub fn set_sole_replica(&self, sole: bool) {
        self.sole_replica.store(sole, Ordering::Release);
        if sole {
            self.advance_high_watermark(self.promised());
        }
    }

    /// Moves the high watermark forward, at most to the end.
    pub fn set_high_watermark(&self, to: Offset) {
        self.advance_high_watermark(to);
    }

    fn advance_high_watermark(&self, to: Offset) {
        self.marks.advance_high_watermark(to);
        self.settle_transactions();
    }

    /// Ended transactions stop holding the last stable offset back once their markers are below the high watermark.
    fn settle_transactions(&self) {
        if !self.marks.is_unstable() {
            return;
        }
        let due = {
            let mut state = self.state.lock();
            state.producers.high_watermark_reached(self.high_watermark());
            self.marks.set_first_unstable(state.producers.first_unstable())
        };
        self.marks.call(due);
    }

    /// The backend has promised everything below `to`. Called by the backend's thread: takes no lock but that of the marks.
    fn promised_to(&self, to: Offset, generation: u64) {
        self.marks.promised(to, generation, self.sole_replica.load(Ordering::Acquire));
    }

    /// Takes note that this broker leads the partition from here on in `epoch` (KIP-101: the epoch has a start before it
    /// has a record).
    pub fn assign_epoch(&self, epoch: LeaderEpoch) {
        let mut state = self.state.lock();
        let end = state.end;
        state.epochs.assign(epoch, end);
    }

    /// The epochs that the log knows, oldest first.
    #[must_use]
    pub fn epochs(&self) -> Vec<EpochEntry> {
        self.state.lock().epochs.entries().to_vec()
    }

    /// The newest epoch in the log.
    #[must_use]
    pub fn latest_epoch(&self) -> Option<EpochEntry> {
        self.state.lock().epochs.latest()
    }

    /// The producers that the log remembers, in order of their ids (DescribeProducers, KIP-664).
    #[must_use]
    pub fn active_producers(&self) -> Vec<ActiveProducer> {
        self.state.lock().producers.describe()
    }

    /// The segments, oldest first.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentMeta> {
        self.log.segments()
    }

    /// Bytes that readers can reach.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.log.bytes()
    }

    /// Calls everyone who waits for one of the marks, because something about the partition changed.
    pub fn disturb(&self) {
        self.marks.disturb();
    }

    /// Wakes everyone who waits with [`StorageError::Gone`]: the partition is being deleted or moved. The backend's log is left
    /// as it is.
    pub fn abandon(&self) {
        self.marks.close(&StorageError::Gone);
    }

    /// Makes everything durable, saves producers and epochs so that the next open replays nothing, closes the backend's log and
    /// wakes everyone who waits.
    ///
    /// # Errors
    /// What the backend meets; the waiting are woken all the same.
    pub async fn close(&self) -> Result<(), StorageError> {
        let saved = {
            let mut state = self.state.lock();
            state.cutting = true;
            self.checkpoint(&mut state)
        };
        let saved = match saved {
            Ok(ticket) => ticket.await.map(drop),
            Err(error) => Err(error),
        };
        self.marks.close(&StorageError::Gone);
        let closed = self.log.close().await;
        saved.and(closed)
    }

    /// Keeps a coordinator's state as of `at` beside the log; durable, with everything below, when the ticket resolves.
    ///
    /// # Errors
    /// What the backend says to the checkpoint.
    pub fn save_coordinator(&self, at: Offset, bytes: Bytes) -> Result<Ticket, StorageError> {
        let mut state = self.state.lock();
        if state.cutting {
            return Err(StorageError::Gone);
        }
        let mut blobs = self.blobs(&state);
        blobs.push(Blob { kind: BLOB_COORDINATOR, at, bytes });
        let ticket = self.log.checkpoint(blobs)?;
        state.saved();
        Ok(ticket)
    }

    /// The newest state that [`UnifiedLog::save_coordinator`] kept, and its offset.
    ///
    /// # Errors
    /// What the backend meets.
    pub async fn saved_coordinator(&self) -> Result<Option<(Offset, Bytes)>, StorageError> {
        let blob = self.log.blob(BLOB_COORDINATOR, self.end()).await?;
        Ok(blob.map(|blob| (blob.at, blob.bytes)))
    }

    fn blobs(&self, state: &State) -> Vec<Blob> {
        let at = state.end;
        let mut blobs = vec![
            Blob { kind: BLOB_PRODUCERS, at, bytes: snapshot::encode(&state.producers) },
            Blob { kind: BLOB_EPOCHS, at, bytes: state.epochs.encode() },
        ];
        if !state.vacancies.is_empty() {
            blobs.push(Blob { kind: BLOB_VACANCIES, at, bytes: state.vacancies.encode() });
        }
        blobs
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.context.clock.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
