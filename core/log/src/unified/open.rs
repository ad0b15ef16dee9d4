//! Opening: the newest saved producers and epochs, then the batches after them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use watershed_model::limits::REPLAY_READ_BYTES;
use watershed_model::record::{RecordBatch, batches};
use watershed_model::{Offset, Timestamp, TopicIdPartition};
use watershed_storage::framing::BatchFraming;
use watershed_storage::{Ends, LogStorage, PartitionLog, RecoveryReport, StorageError};

use super::{Active, BLOB_EPOCHS, BLOB_PRODUCERS, BLOB_VACANCIES, LogContext, State, UnifiedLog};
use crate::marks::Marks;
use crate::producers::{ProducerStates, snapshot};
use crate::vacancies::Vacancies;
use crate::{LeaderEpochCache, LogConfig};

/// An opened log and what opening it took.
#[derive(Debug)]
pub struct Opened {
    /// The log.
    pub log: Arc<UnifiedLog>,
    /// What the backend found.
    pub report: RecoveryReport,
    /// How many batches were read again for the producers' and epochs' sake.
    pub replayed_batches: u64,
}

impl UnifiedLog {
    /// Opens (or makes) a partition's log.
    ///
    /// # Errors
    /// What the backend meets; [`StorageError::Corrupt`] when stored batches cannot be read.
    pub async fn open(
        storage: &dyn LogStorage,
        tp: TopicIdPartition,
        config: LogConfig,
        context: LogContext,
    ) -> Result<Opened, StorageError> {
        let (log, report) = storage.open(tp, config.segment_config(), Arc::new(BatchFraming)).await?;
        let ends = log.ends();
        let now = context.clock.now();
        let Recovered { mut producers, mut epochs, vacancies, replayed_batches } =
            recover(&*log, tp, &ends, now).await?;
        producers.expire(now, config.producer_id_expiration_ms);
        // A log that is opened by its only replica: everything promised is below the high watermark.
        producers.high_watermark_reached(ends.promised);
        epochs.truncate_from_start(ends.start);
        epochs.truncate_from_end(ends.end);
        let marks = Marks::new(ends.start, ends.promised, ends.end, ends.generation);
        let due = marks.set_first_unstable(producers.first_unstable());
        marks.call(due);
        let state = State {
            producers,
            epochs,
            vacancies,
            end: ends.end,
            generation: ends.generation,
            active: Active::of(&log.segments(), ends.end, now),
            unsaved_bytes: 0,
            unsaved_since_ms: None,
            cutting: false,
            clients_refused: false,
        };
        let log = Arc::new(Self {
            tp,
            context,
            log,
            config: ArcSwap::from_pointee(config),
            marks,
            state: Mutex::new(state),
            sole_replica: AtomicBool::new(true),
        });
        Ok(Opened { log, report, replayed_batches })
    }
}

/// What a log knows at its end.
pub(super) struct Recovered {
    pub(super) producers: ProducerStates,
    pub(super) epochs: LeaderEpochCache,
    pub(super) vacancies: Vacancies,
    pub(super) replayed_batches: u64,
}

/// The state at the log's end: saved blobs, then every batch after the older of the two.
pub(super) async fn recover(
    log: &dyn PartitionLog,
    tp: TopicIdPartition,
    ends: &Ends,
    now: Timestamp,
) -> Result<Recovered, StorageError> {
    let saved = log.blob(BLOB_PRODUCERS, ends.end).await?;
    let (mut producers, mut producers_at) = (ProducerStates::default(), ends.start);
    if let Some(blob) = saved.filter(|b| b.at >= ends.start) {
        match snapshot::decode(&blob.bytes) {
            Some(states) => (producers, producers_at) = (states, blob.at),
            None => {
                tracing::warn!(partition = %tp, at = %blob.at, "unreadable producer snapshot; replaying the whole log")
            }
        }
    }
    let (mut epochs, mut epochs_at) = (LeaderEpochCache::default(), ends.start);
    if let Some(blob) = log.blob(BLOB_EPOCHS, ends.end).await? {
        match LeaderEpochCache::decode(&blob.bytes) {
            Some(cache) => (epochs, epochs_at) = (cache, blob.at.max(ends.start)),
            None => tracing::warn!(partition = %tp, at = %blob.at, "unreadable leader epochs; replaying the whole log"),
        }
    }
    let mut vacancies = saved_vacancies(log, tp, ends).await?;
    let mut replayed_batches = 0;
    let mut at = producers_at.min(epochs_at);
    let mut seen_to = at;
    while at < ends.end {
        let bytes = log.load(at, ends.end, REPLAY_READ_BYTES, true).await?;
        let Some(next) = replay(tp, bytes, |batch| {
            replayed_batches += 1;
            // Between batches there is no record: they were rewritten.
            vacancies.learn(seen_to, batch.header.base_offset, batch.header.base_offset.0 - seen_to.0);
            vacancies.saw(&batch.header);
            seen_to = batch.header.next_offset();
            // The first batch may begin below what was asked for.
            if batch.header.base_offset >= producers_at {
                producers.replay(batch, now).map_err(|e| corrupt(tp, batch.header.base_offset, &e))?;
            }
            if batch.header.base_offset >= epochs_at {
                epochs.assign(batch.header.leader_epoch, batch.header.base_offset);
            }
            Ok(())
        })?
        else {
            break;
        };
        at = next;
    }
    Ok(Recovered { producers, epochs, vacancies, replayed_batches })
}

/// Which offsets were known to hold no record when that was saved last. It is not worth a replay: what is forgotten makes a lag look
/// longer, no more.
async fn saved_vacancies(log: &dyn PartitionLog, tp: TopicIdPartition, ends: &Ends) -> Result<Vacancies, StorageError> {
    let Some(blob) = log.blob(BLOB_VACANCIES, ends.end).await? else { return Ok(Vacancies::default()) };
    let mut vacancies = Vacancies::decode(&blob.bytes).unwrap_or_else(|| {
        tracing::warn!(partition = %tp, at = %blob.at, "unreadable notes of offsets without a record; lags may look longer");
        Vacancies::default()
    });
    vacancies.truncate_from_start(ends.start);
    vacancies.truncate_from_end(ends.end);
    Ok(vacancies)
}

pub(super) fn corrupt(tp: TopicIdPartition, at: Offset, reason: &dyn std::fmt::Display) -> StorageError {
    StorageError::Corrupt { place: format!("{tp} at offset {at}"), reason: reason.to_string() }
}

/// Shows every batch in `bytes` and gives the offset after the last; `None` if there is none.
pub(super) fn replay(
    tp: TopicIdPartition,
    bytes: Bytes,
    mut each: impl FnMut(&RecordBatch) -> Result<(), StorageError>,
) -> Result<Option<Offset>, StorageError> {
    let mut next = None;
    for batch in batches(bytes) {
        let batch = batch.map_err(|e| corrupt(tp, next.unwrap_or(Offset(-1)), &e))?;
        each(&batch)?;
        next = Some(batch.header.next_offset());
    }
    Ok(next)
}
