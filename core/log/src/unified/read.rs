//! Reading: what a fetch gets.

use bytes::Bytes;
use watershed_model::Offset;
use watershed_storage::{Piece, Read, StorageError};

use super::UnifiedLog;
use crate::LogError;
use crate::marks::Mark;

/// How far a reader may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Up to the high watermark: consumers.
    HighWatermark,
    /// Up to the last stable offset: read_committed consumers.
    LastStable,
    /// Up to the log end: followers.
    LogEnd,
}

impl Bound {
    /// The mark whose movement lets such a reader read more.
    #[must_use]
    pub const fn mark(self) -> Mark {
        match self {
            Self::HighWatermark => Mark::HighWatermark,
            Self::LastStable => Mark::LastStable,
            Self::LogEnd => Mark::End,
        }
    }
}

/// A read, and where the marks stood before it.
pub struct LogRead<'a> {
    /// The log start offset.
    pub log_start: Offset,
    /// The high watermark.
    pub high_watermark: Offset,
    /// The last stable offset.
    pub last_stable: Offset,
    /// What the reader may read up to.
    pub upto: Offset,
    /// The pieces: whole batches, the first of which may begin below what was asked for.
    pub data: Read<'a>,
}

impl LogRead<'_> {
    /// Waits for the data.
    ///
    /// # Errors
    /// What the backend meets.
    pub async fn pieces(self) -> Result<Vec<Piece>, StorageError> {
        self.data.wait().await
    }
}

impl UnifiedLog {
    /// Reads whole batches from the one that holds `from`, up to `bound` and `max_bytes`; with `min_one` the first batch comes
    /// whole whatever its size. Between the bound and the log end there is nothing to read, which is no error.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] below the log start or above the log end, [`LogError::Storage`].
    pub fn read(&self, from: Offset, bound: Bound, max_bytes: u32, min_one: bool) -> Result<LogRead<'_>, LogError> {
        // The bound first: what is read below it then lies in the log whatever moves meanwhile.
        let high_watermark = self.high_watermark();
        let last_stable = self.last_stable_offset();
        let upto = match bound {
            Bound::HighWatermark => high_watermark,
            Bound::LastStable => last_stable,
            Bound::LogEnd => self.end(),
        };
        self.check_range(from)?;
        let data = if from < upto { self.log.read(from, upto, max_bytes, min_one) } else { Read::Now(Vec::new()) };
        Ok(LogRead { log_start: self.start(), high_watermark, last_stable, upto, data })
    }

    /// Whether `from` may be asked for at all.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`].
    pub fn check_range(&self, from: Offset) -> Result<(), LogError> {
        let (start, end) = (self.start(), self.end());
        if from < start || from > end {
            return Err(LogError::OffsetOutOfRange { offset: from, start, end });
        }
        Ok(())
    }

    /// Whole batches from the one that holds `from`, into memory; the first comes whole whatever its size. For those who take
    /// the batches apart.
    ///
    /// # Errors
    /// As [`UnifiedLog::read`].
    pub async fn load(&self, from: Offset, bound: Bound, max_bytes: u32) -> Result<Bytes, LogError> {
        let upto = self.marks.get(bound.mark());
        self.check_range(from)?;
        if from >= upto {
            return Ok(Bytes::new());
        }
        Ok(self.log.load(from, upto, max_bytes, true).await?)
    }
}
