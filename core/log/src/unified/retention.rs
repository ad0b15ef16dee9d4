//! Deleting: by time, by size, by policy, by request; and cutting the end off.

use watershed_model::{Offset, Timestamp};
use watershed_storage::{Ends, SegmentMeta, StorageError};

use super::open::{Recovered, recover};
use super::{Active, UnifiedLog};
use crate::producers::ProducerStates;
use crate::{LeaderEpochCache, LogConfig, LogError};

/// Why a segment went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletionReason {
    /// The log was larger than `retention.bytes`.
    Size,
    /// Its newest record was older than `retention.ms`.
    Time,
    /// The topic's own policy needs it no longer: [`UnifiedLog::delete_segments_before`].
    Policy,
}

/// What retention did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionOutcome {
    /// The segments that went, oldest first.
    pub deleted: Vec<(SegmentMeta, DeletionReason)>,
    /// Segments that stay only because they hold timestamps in the future.
    pub future: usize,
}

impl UnifiedLog {
    /// Deletes the oldest segments that the topic's settings no longer keep: Kafka's rules. Only a topic with
    /// `cleanup.policy=delete` loses anything, and never a record at or above the high watermark; the active segment goes only
    /// after it was closed.
    ///
    /// # Errors
    /// [`LogError::Storage`].
    pub async fn apply_retention(&self, now: Timestamp) -> Result<RetentionOutcome, LogError> {
        let config = self.config();
        if !config.cleanup.delete {
            return Ok(RetentionOutcome::default());
        }
        let segments = self.log.segments();
        let high_watermark = self.high_watermark();
        let mut outcome = expired(&segments, &config, high_watermark, now);
        let Some((last, _)) = outcome.deleted.last() else { return Ok(outcome) };
        let to = last.end;
        if !last.sealed {
            let rolled = {
                let mut state = self.state.lock();
                // Somebody appended since: the segment is not expired any more.
                if state.cutting || state.end != to { None } else { Some(self.roll_locked(&mut state, now)?) }
            };
            match rolled {
                Some(ticket) => {
                    ticket.await?;
                }
                None => {
                    outcome.deleted.pop();
                    let Some((last, _)) = outcome.deleted.last() else { return Ok(outcome) };
                    self.move_start(last.end).await?;
                    return Ok(outcome);
                }
            }
        }
        self.move_start(to).await?;
        Ok(outcome)
    }

    /// The segments that [`UnifiedLog::delete_segments_before`] would delete now, oldest first: those that lie as a whole below
    /// `before`, the high watermark, the last stable offset and the active segment.
    #[must_use]
    pub fn segments_before(&self, before: Offset) -> Vec<SegmentMeta> {
        // The segments first: the marks only rise, so that an old segment is judged by marks that are as new or newer.
        let mut segments = self.log.segments();
        let bound = before.min(self.high_watermark()).min(self.last_stable_offset());
        let whole = segments.iter().take_while(|segment| segment.sealed && segment.end <= bound).count();
        segments.truncate(whole);
        segments
    }

    /// Deletes the segments that lie as a whole below `before`, because the topic's own policy says so; an offset that makes no
    /// sense is no error. A segment is never cut. The active segment stays, and so does what is not replicated or belongs to an
    /// open transaction; only a topic with `cleanup.policy=delete` loses anything.
    ///
    /// # Errors
    /// [`LogError::Storage`].
    pub async fn delete_segments_before(&self, before: Offset) -> Result<RetentionOutcome, LogError> {
        if !self.config().cleanup.delete {
            return Ok(RetentionOutcome::default());
        }
        let segments = self.segments_before(before);
        // A sealed segment has a snapshot of its producers at its end: they outlive its records.
        if let Some(last) = segments.last() {
            self.move_start(last.end).await?;
        }
        let deleted = segments.into_iter().map(|segment| (segment, DeletionReason::Policy)).collect();
        Ok(RetentionOutcome { deleted, future: 0 })
    }

    /// DeleteRecords: makes everything below `before` unreadable, for ever; `None` means up to the high watermark. Gives the log
    /// start offset. Durable on return.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] above the high watermark, [`LogError::Policy`] where the topic only compacts,
    /// [`LogError::Storage`].
    pub async fn delete_records_before(&self, before: Option<Offset>) -> Result<Offset, LogError> {
        let cleanup = self.config.load().cleanup;
        if cleanup.compact && !cleanup.delete {
            return Err(LogError::Policy("records of a topic with cleanup.policy=compact cannot be deleted"));
        }
        let high_watermark = self.high_watermark();
        let to = before.unwrap_or(high_watermark);
        if to.0 < 0 || to > high_watermark {
            return Err(LogError::OffsetOutOfRange { offset: to, start: self.start(), end: high_watermark });
        }
        if to > self.start() {
            // What the deleted records say of their producers must outlive them.
            let saved = {
                let mut state = self.state.lock();
                if state.cutting {
                    return Err(StorageError::Gone.into());
                }
                self.checkpoint(&mut state)?
            };
            saved.await?;
            self.move_start(to).await?;
        }
        Ok(self.start())
    }

    async fn move_start(&self, to: Offset) -> Result<(), StorageError> {
        self.log.advance_start(to).await?;
        let start = self.log.ends().start;
        self.marks.advance_start(start);
        let mut state = self.state.lock();
        state.epochs.truncate_from_start(start);
        state.vacancies.truncate_from_start(start);
        Ok(())
    }

    /// Cuts the log so that it ends at or below `end` (at a batch boundary); durable on return. Producers and epochs go back to
    /// what they were there. For followers that have diverged from their leader; appends fail meanwhile.
    ///
    /// # Errors
    /// [`LogError::Storage`]; the log takes no appends after an error.
    pub async fn truncate_to(&self, end: Offset) -> Result<(), LogError> {
        self.state.lock().cutting = true;
        self.log.truncate(end).await?;
        let now = self.context.clock.now();
        let ends = self.log.ends();
        let Recovered { producers, mut epochs, .. } = recover(&*self.log, self.tp, &ends, now).await?;
        epochs.truncate_from_start(ends.start);
        epochs.truncate_from_end(ends.end);
        self.install(producers, epochs, &ends);
        Ok(())
    }

    /// Empties the log and lets it go on at `next`, above every offset it gave out before: how the log of a storage that
    /// forgets begins after a restart. Appends fail meanwhile.
    ///
    /// # Errors
    /// [`LogError::Storage`]; the log takes no appends after an error.
    pub async fn start_over_at(&self, next: Offset) -> Result<(), LogError> {
        self.state.lock().cutting = true;
        self.log.reset(next, Vec::new()).await?;
        self.install(ProducerStates::default(), LeaderEpochCache::default(), &self.log.ends());
        Ok(())
    }

    /// The log has other ends than before: takes over what is true there and goes on.
    fn install(&self, producers: ProducerStates, epochs: LeaderEpochCache, ends: &Ends) {
        let first_unstable = producers.first_unstable();
        let now = self.context.clock.now();
        {
            let mut state = self.state.lock();
            state.producers = producers;
            state.epochs = epochs;
            // What is left of the log holds what it held; an emptied one begins behind everything that is known.
            state.vacancies.truncate_from_end(ends.end);
            state.vacancies.truncate_from_start(ends.start);
            state.end = ends.end;
            state.generation = ends.generation;
            state.active = Active::of(&self.log.segments(), ends.end, now);
            state.cutting = false;
        }
        self.marks.truncated(ends);
        let due = self.marks.set_first_unstable(first_unstable);
        self.marks.call(due);
        self.promised_to(ends.promised, ends.generation);
    }
}

/// The prefix of segments that is to go.
fn expired(segments: &[SegmentMeta], config: &LogConfig, high_watermark: Offset, now: Timestamp) -> RetentionOutcome {
    let mut outcome = RetentionOutcome::default();
    let total: u64 = segments.iter().map(|s| s.bytes).sum();
    // What may go before the log falls below its bound.
    let mut excess = config.retention_bytes.map_or(0, |max| total.saturating_sub(max));
    let mut by_size = true;
    for segment in segments {
        let is_empty_tail = !segment.sealed && segment.bytes == 0;
        if is_empty_tail || segment.end > high_watermark {
            break;
        }
        by_size &= config.retention_bytes.is_some() && excess >= segment.bytes;
        let reason = if by_size {
            excess -= segment.bytes;
            DeletionReason::Size
        } else {
            let largest = segment.max_timestamp.filter(|t| t.0 >= 0).unwrap_or(segment.modified);
            outcome.future += usize::from(largest > now);
            match config.retention_ms {
                Some(max) if now.0.saturating_sub(largest.0) > max => DeletionReason::Time,
                _ => break,
            }
        };
        outcome.deleted.push((*segment, reason));
    }
    outcome
}
