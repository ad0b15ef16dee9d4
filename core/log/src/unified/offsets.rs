//! Which offset? By time (ListOffsets) and by leader epoch (OffsetForLeaderEpoch).

use watershed_model::limits::REPLAY_READ_BYTES;
use watershed_model::record::{RecordBatch, RecordError, batches};
use watershed_model::{LeaderEpoch, Offset, Timestamp};
use watershed_storage::StorageError;

use super::{Bound, UnifiedLog};
use crate::LogError;

/// What ListOffsets asks for. The negative numbers are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// -1: where a reader with this bound would wait for the next record.
    Latest,
    /// -2: the log start offset.
    Earliest,
    /// -3: the record with the largest timestamp (KIP-734).
    MaxTimestamp,
    /// -4: the first offset that lies on this broker (KIP-405); without tiering the log start.
    EarliestLocal,
    /// -5: the last offset in remote storage (KIP-1005); without tiering there is none.
    LatestTiered,
    /// -6: the first offset that is not in remote storage yet (KIP-1023); without tiering there is none.
    EarliestPendingUpload,
    /// The first record at or after this time.
    At(Timestamp),
}

impl OffsetSpec {
    /// From the protocol's number; `None` for a negative one that has no meaning.
    #[must_use]
    pub const fn from_wire(timestamp: i64) -> Option<Self> {
        match timestamp {
            -1 => Some(Self::Latest),
            -2 => Some(Self::Earliest),
            -3 => Some(Self::MaxTimestamp),
            -4 => Some(Self::EarliestLocal),
            -5 => Some(Self::LatestTiered),
            -6 => Some(Self::EarliestPendingUpload),
            0.. => Some(Self::At(Timestamp(timestamp))),
            _ => None,
        }
    }
}

/// An offset that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetAtTime {
    /// The record's timestamp; -1 where the answer is not about a record.
    pub timestamp: Timestamp,
    /// The offset.
    pub offset: Offset,
    /// The leader epoch at that offset; `None` where the log does not know it.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl UnifiedLog {
    /// Answers ListOffsets for a reader with this bound; `None` where nothing matches below it.
    ///
    /// # Errors
    /// [`LogError::Storage`].
    pub async fn offset_for(&self, spec: OffsetSpec, bound: Bound) -> Result<Option<OffsetAtTime>, LogError> {
        let upto = match bound {
            Bound::HighWatermark => self.high_watermark(),
            Bound::LastStable => self.last_stable_offset(),
            Bound::LogEnd => self.end(),
        };
        let found = match spec {
            OffsetSpec::Latest => Some(self.position(upto, self.latest_epoch().map(|e| e.epoch))),
            OffsetSpec::Earliest | OffsetSpec::EarliestLocal => {
                let start = self.start();
                Some(self.position(start, self.state.lock().epochs.epoch_at(start)))
            }
            OffsetSpec::LatestTiered | OffsetSpec::EarliestPendingUpload => None,
            OffsetSpec::MaxTimestamp => {
                let largest = self.log.segments().iter().filter_map(|s| s.max_timestamp).max();
                match largest.filter(|t| t.0 >= 0) {
                    Some(largest) => self.first_record_at(largest, upto).await?,
                    None => None,
                }
            }
            OffsetSpec::At(time) => self.first_record_at(time, upto).await?,
        };
        Ok(found)
    }

    fn position(&self, offset: Offset, leader_epoch: Option<LeaderEpoch>) -> OffsetAtTime {
        OffsetAtTime { timestamp: Timestamp::NONE, offset, leader_epoch }
    }

    /// The first record below `upto` with a timestamp at or after `time`. The backend finds the batch, the records decide.
    async fn first_record_at(&self, time: Timestamp, upto: Offset) -> Result<Option<OffsetAtTime>, LogError> {
        let Some(frame) = self.log.frame_at_time(time).await? else { return Ok(None) };
        let mut at = frame.base.max(self.start());
        while at < upto {
            // One batch is nearly always enough: the next ones are read only if the log starts in the middle of the first.
            let bytes = match self.log.load(at, upto, REPLAY_READ_BYTES, true).await {
                // Retention has overtaken the search.
                Err(StorageError::OutOfRange { start, .. }) if start > at => {
                    at = start;
                    continue;
                }
                other => other?,
            };
            let mut next = None;
            for batch in batches(bytes) {
                let batch = batch.map_err(|e| self.unreadable(at, &e))?;
                next = Some(batch.header.next_offset());
                let found = self.record_in(&batch, time).map_err(|e| self.unreadable(batch.header.base_offset, &e))?;
                if found.is_some() {
                    return Ok(found.filter(|f| f.offset < upto));
                }
            }
            match next {
                Some(next) => at = next,
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    fn record_in(&self, batch: &RecordBatch, time: Timestamp) -> Result<Option<OffsetAtTime>, RecordError> {
        let header = &batch.header;
        if header.max_timestamp < time {
            return Ok(None);
        }
        let start = self.start();
        let mut records = batch.records()?;
        while let Some(record) = records.next()? {
            let (offset, timestamp) = (batch.offset_of(&record), batch.timestamp_of(&record));
            if timestamp >= time && offset >= start {
                let leader_epoch = Some(header.leader_epoch).filter(|e| e.0 >= 0);
                return Ok(Some(OffsetAtTime { timestamp, offset, leader_epoch }));
            }
        }
        Ok(None)
    }

    fn unreadable(&self, at: Offset, reason: &RecordError) -> LogError {
        StorageError::Corrupt { place: format!("{} at offset {at}", self.tp), reason: reason.to_string() }.into()
    }

    /// Answers OffsetForLeaderEpoch: where `epoch` ended in this log, with the epoch that the answer is about (the newest
    /// one at or below). `None` for an epoch above the newest.
    #[must_use]
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let state = self.state.lock();
        state.epochs.end_offset_for(epoch, state.end)
    }
}
