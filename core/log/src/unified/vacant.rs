//! Which offsets hold no record: for those who count records.
//!
//! The log learns it of each batch that it appends, of those that it replays when it is opened, and from who reads or rewrites it.
//! It is saved with producers and epochs. An ingress log knows it of its entries, not of the records in them.

use watershed_model::Offset;
use watershed_model::record::BatchHeader;

use super::UnifiedLog;

impl UnifiedLog {
    /// How many records there are at most from `from` to below `to`: the offsets, less those that are known to hold none.
    #[must_use]
    pub fn records_between(&self, from: Offset, to: Offset) -> i64 {
        let from = from.max(self.start());
        (to.0 - from.0).max(0) - self.state.lock().vacancies.between(from, to)
    }

    /// The first offset at or behind `from` that may hold a record.
    #[must_use]
    pub fn occupied_from(&self, from: Offset) -> Offset {
        let from = from.max(self.start());
        self.state.lock().vacancies.occupied_from(from)
    }

    /// Takes note of batches that somebody read in this log.
    pub fn saw<'a>(&self, headers: impl IntoIterator<Item = &'a BatchHeader>) {
        let mut state = self.state.lock();
        for header in headers {
            // Since it was read the log may have been cut.
            if header.next_offset() <= state.end {
                state.vacancies.saw(header);
            }
        }
    }

    /// Takes note that the offsets from `from` to below `to` hold `records` records and no more: somebody rewrote their segments.
    pub(super) fn counted(&self, from: Offset, to: Offset, records: u64) {
        let mut state = self.state.lock();
        let records = i64::try_from(records).unwrap_or(i64::MAX);
        if to <= state.end && !state.cutting {
            state.vacancies.counted(from, to, (to.0 - from.0).saturating_sub(records));
        }
    }
}
