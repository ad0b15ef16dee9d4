//! Appending: number a validated batch, hand it to the backend, remember it.
//!
//! Everything ordered happens under one short lock: producer check, roll, offsets, backend append, state. The promise comes
//! later: the thread that keeps the backend's promise moves the marks, then the ticket's holder is woken.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use watershed_model::limits::{CHECKPOINT_AGE_MS, CHECKPOINT_BYTES};
use watershed_model::record::BatchHeader;
use watershed_model::{LeaderEpoch, Offset, Timestamp};
use watershed_storage::framing::frame_meta;
use watershed_storage::{Frame, StorageError, Ticket};

use super::{Active, State, UnifiedLog};
use crate::marks::{Mark, Passed};
use crate::producers::{Admission, BatchMeta, TransactionGuard};
use crate::{LogConfig, LogError, Origin, ValidatedBatch};

/// What became of a batch.
#[derive(Debug)]
pub struct Appended {
    /// The first record's offset.
    pub base_offset: Offset,
    /// The last record's offset.
    pub last_offset: Offset,
    /// The time the broker gave the batch; `None` where the producer's timestamps are kept. Of a duplicate: the largest
    /// timestamp of the original, whoever gave it (Kafka's answer).
    pub log_append_time: Option<Timestamp>,
    /// The log start offset.
    pub log_start_offset: Offset,
    /// The batch was in the log already: the offsets are those of the original.
    pub duplicate: bool,
    /// Resolves when the batch (of a duplicate: the original) is promised by the backend here.
    pub ticket: AppendTicket,
}

/// Resolves when an append is promised. Dropping it is free; the append stands.
#[must_use = "an ack may be given only when the ticket has resolved"]
pub struct AppendTicket(Waiting);

enum Waiting {
    Ripe,
    Storage { ticket: Ticket, log: Arc<UnifiedLog> },
    Original(Passed),
}

impl std::fmt::Debug for AppendTicket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppendTicket").field("ripe", &self.is_ripe()).finish()
    }
}

impl AppendTicket {
    /// Whether the promise is known to hold without waiting.
    #[must_use]
    pub fn is_ripe(&self) -> bool {
        matches!(self.0, Waiting::Ripe)
    }
}

impl Future for AppendTicket {
    type Output = Result<(), StorageError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match &mut self.0 {
            Waiting::Ripe => return Poll::Ready(Ok(())),
            Waiting::Original(passed) => match Pin::new(passed).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(outcome) => outcome.map(drop),
            },
            Waiting::Storage { ticket, log } => match Pin::new(ticket).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(outcome) => {
                    // The marks have moved; this may take locks, so it waits until here.
                    log.settle_transactions();
                    outcome.map(drop)
                }
            },
        };
        if outcome.is_ok() {
            self.0 = Waiting::Ripe;
        }
        Poll::Ready(outcome)
    }
}

impl UnifiedLog {
    /// Appends a batch of a leader. On return it has its offsets and is readable up to the log end; it is promised when the
    /// ticket resolves. A batch that the producer sent before is not appended again.
    ///
    /// # Errors
    /// [`LogError::InvalidProducerEpoch`], [`LogError::OutOfOrderSequence`], [`LogError::InvalidTxnState`],
    /// [`LogError::StaleLeaderEpoch`], [`LogError::Diverted`], [`LogError::Storage`]. Nothing is remembered of a batch that was
    /// refused.
    pub fn append_as_leader(self: &Arc<Self>, batch: ValidatedBatch, epoch: LeaderEpoch) -> Result<Appended, LogError> {
        self.append_guarded(batch, epoch, TransactionGuard::default())
    }

    /// The same for a batch about which the transaction coordinator was asked.
    ///
    /// # Errors
    /// As [`UnifiedLog::append_as_leader`].
    pub fn append_guarded(
        self: &Arc<Self>,
        batch: ValidatedBatch,
        epoch: LeaderEpoch,
        guard: TransactionGuard,
    ) -> Result<Appended, LogError> {
        let config = self.config.load();
        let now = self.context.clock.now();
        let mut state = self.state.lock();
        self.check_open(&state, batch.origin, epoch)?;
        if let Admission::Duplicate(original) = state.producers.check(&batch.header, batch.origin, guard)? {
            drop(state);
            return Ok(self.duplicate(original));
        }
        self.roll_if_needed(&mut state, &config, &batch.header, now)?;

        let base = state.end;
        let mut header = batch.header;
        header.base_offset = base;
        header.leader_epoch = epoch;
        let ticket = self.append_frame(&state, &header, batch.body)?;

        // The backend has it: from here on nothing may fail.
        state.end = header.next_offset();
        state.producers.applied(&header, base, now);
        state.epochs.assign(epoch, base);
        state.vacancies.saw(&header);
        state.active.bytes += u64::from(header.total_bytes);
        state.active.first_timestamp.get_or_insert(header.max_timestamp);
        state.unsaved_bytes += u64::from(header.total_bytes);
        let elapsed = self.elapsed_ms();
        state.unsaved_since_ms.get_or_insert(elapsed);
        self.checkpoint_if_large(&mut state);
        let generation = state.generation;
        drop(state);

        self.marks.grown(header.next_offset(), generation);
        let ticket = self.watch_ticket(ticket, generation);
        Ok(Appended {
            base_offset: base,
            last_offset: header.last_offset(),
            log_append_time: batch.log_append_time,
            log_start_offset: self.start(),
            duplicate: false,
            ticket,
        })
    }

    /// What [`UnifiedLog::append_as_leader`] would say of a batch by its producer and sequence alone: that it is there already,
    /// or (`None`) that nothing speaks against it now.
    ///
    /// # Errors
    /// As [`UnifiedLog::append_as_leader`].
    pub fn find_duplicate(
        &self,
        header: &BatchHeader,
        origin: Origin,
        epoch: LeaderEpoch,
    ) -> Result<Option<Appended>, LogError> {
        let state = self.state.lock();
        self.check_open(&state, origin, epoch)?;
        let admission = state.producers.check(header, origin, TransactionGuard::default())?;
        drop(state);
        Ok(match admission {
            Admission::Duplicate(original) => Some(self.duplicate(original)),
            Admission::Append => None,
        })
    }

    fn check_open(&self, state: &State, origin: Origin, epoch: LeaderEpoch) -> Result<(), LogError> {
        if state.cutting {
            return Err(StorageError::Gone.into());
        }
        if state.clients_refused && matches!(origin, Origin::Client { .. }) {
            return Err(LogError::Diverted);
        }
        match state.epochs.latest() {
            Some(latest) if latest.epoch > epoch => {
                Err(LogError::StaleLeaderEpoch { found: epoch, current: latest.epoch })
            }
            _ => Ok(()),
        }
    }

    /// "It is there already" is an answer only once the original's own promise holds.
    pub(super) fn duplicate(&self, original: BatchMeta) -> Appended {
        let passed = if self.promised() > original.last_offset {
            Waiting::Ripe
        } else {
            Waiting::Original(self.marks.passed(Mark::Promised, original.last_offset))
        };
        Appended {
            base_offset: original.base_offset(),
            last_offset: original.last_offset,
            log_append_time: Some(original.timestamp),
            log_start_offset: self.start(),
            duplicate: true,
            ticket: AppendTicket(passed),
        }
    }

    /// Kafka's rules: the batch does not fit, the segment is old enough, or offsets would outgrow the index.
    fn roll_if_needed(
        &self,
        state: &mut State,
        config: &LogConfig,
        header: &BatchHeader,
        now: Timestamp,
    ) -> Result<(), LogError> {
        let active = &state.active;
        let is_full = active.bytes + u64::from(header.total_bytes) > u64::from(config.segment_bytes);
        let age = match active.first_timestamp {
            Some(first) if first.0 >= 0 => header.max_timestamp.0.saturating_sub(first.0),
            _ => now.0.saturating_sub(active.created.0),
        };
        let is_old = age > config.segment_age_max_ms().saturating_sub(self.jitter_ms(active.base, config));
        let last = state.end.plus(i64::from(header.last_offset_delta));
        let outgrows = last.0.saturating_sub(active.base.0) > i64::from(i32::MAX);
        if active.bytes > 0 && (is_full || is_old || outgrows) {
            self.roll_locked(state, now)?;
        }
        Ok(())
    }

    /// Seals the active segment; producers and epochs are saved with it.
    pub(super) fn roll_locked(&self, state: &mut State, now: Timestamp) -> Result<Ticket, StorageError> {
        let ticket = self.log.roll(self.blobs(state))?;
        state.active = Active { base: state.end, bytes: 0, first_timestamp: None, created: now };
        state.saved();
        Ok(ticket)
    }

    /// The same segment always has the same jitter, different ones differ: a hash stands in for randomness.
    fn jitter_ms(&self, base: Offset, config: &LogConfig) -> i64 {
        let span = config.segment_jitter_ms.min(config.segment_ms);
        if span <= 0 {
            return 0;
        }
        let mut sum = crc32c::crc32c(&self.tp.topic.0);
        sum = crc32c::crc32c_append(sum, &self.tp.partition.to_be_bytes());
        i64::from(crc32c::crc32c_append(sum, &base.0.to_be_bytes())) % span
    }

    fn checkpoint_if_large(&self, state: &mut State) {
        if state.unsaved_bytes < CHECKPOINT_BYTES {
            return;
        }
        // Nobody waits for it; what could not be saved is tried again after the next append.
        if let Err(error) = self.checkpoint(state) {
            tracing::warn!(partition = %self.tp, %error, "checkpoint failed; the next recovery will scan more");
        }
    }

    /// Asks the backend for a checkpoint with producers and epochs.
    pub(super) fn checkpoint(&self, state: &mut State) -> Result<Ticket, StorageError> {
        let ticket = self.log.checkpoint(self.blobs(state))?;
        state.saved();
        Ok(ticket)
    }

    /// Periodic care, to be called every few seconds: expired producers go, and what has waited for a minute is saved.
    ///
    /// # Errors
    /// What the backend says to the checkpoint.
    pub fn maintain(&self) -> Result<(), StorageError> {
        let now = self.context.clock.now();
        let elapsed = self.elapsed_ms();
        let idle_ms = self.config.load().producer_id_expiration_ms;
        let mut state = self.state.lock();
        if state.cutting {
            return Ok(());
        }
        state.producers.expire(now, idle_ms);
        if state.unsaved_since_ms.is_some_and(|since| elapsed.saturating_sub(since) >= CHECKPOINT_AGE_MS) {
            self.checkpoint(&mut state)?;
        }
        Ok(())
    }

    /// Hands the frame over. A transaction holds the last stable offset back before its first record can be read.
    fn append_frame(&self, state: &State, header: &BatchHeader, body: bytes::Bytes) -> Result<Ticket, StorageError> {
        let frame = frame(header, body)?;
        let first_unstable = state.producers.first_unstable();
        let begins = header.is_transactional() && first_unstable.is_none();
        if begins {
            let due = self.marks.set_first_unstable(Some(header.base_offset));
            self.marks.call(due);
        }
        let appended = self.log.append(vec![frame]);
        if begins && appended.is_err() {
            let due = self.marks.set_first_unstable(first_unstable);
            self.marks.call(due);
        }
        appended
    }

    fn watch_ticket(self: &Arc<Self>, ticket: Ticket, generation: u64) -> AppendTicket {
        let end = ticket.range().end;
        if ticket.is_ripe() {
            self.promised_to(end, generation);
            self.settle_transactions();
            return AppendTicket(Waiting::Ripe);
        }
        let log = Arc::downgrade(self);
        ticket.observe(move |outcome| {
            let Some(log) = log.upgrade() else { return };
            match outcome {
                Ok(()) => log.promised_to(end, generation),
                Err(error) => log.append_failed(error),
            }
        });
        AppendTicket(Waiting::Storage { ticket, log: Arc::clone(self) })
    }

    /// A promise was broken. After a truncation the log goes on; anything else ends it for those who wait.
    fn append_failed(&self, error: &StorageError) {
        if !matches!(error, StorageError::Truncated) {
            self.marks.close(error);
        }
    }
}

impl State {
    pub(super) fn saved(&mut self) {
        self.unsaved_bytes = 0;
        self.unsaved_since_ms = None;
    }
}

/// # Errors
/// The header has no place in a log.
pub(super) fn frame(header: &BatchHeader, body: bytes::Bytes) -> Result<Frame, StorageError> {
    let meta = frame_meta(header).map_err(|e| StorageError::Invalid(e.to_string()))?;
    Ok(Frame { meta, head: header.to_bytes(), body })
}
