//! The hook `retention`: what a partition need not keep any longer.

use crate::Failure;

/// One segment of a partition's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSummary {
    /// The offset that it began with. Its first record may lie above that, where records were taken out.
    pub base_offset: i64,
    /// The offset behind its last record.
    pub end_offset: i64,
    /// Its size, in bytes.
    pub bytes: u64,
    /// How many records it holds.
    pub records: u64,
    /// The largest timestamp of its first batch, in milliseconds since 1970; -1 where that has none.
    pub first_timestamp: i64,
    /// The largest timestamp of its records, in milliseconds since 1970; -1 where it has none.
    pub max_timestamp: i64,
    /// Whether it is closed. The one that is still written to is the last, and is never deleted.
    pub sealed: bool,
}

/// A partition's log, from the oldest segment to the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSummary<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The partition's number.
    pub partition: u32,
    /// The time, in milliseconds since 1970.
    pub now: i64,
    /// The first offset that is still there.
    pub start_offset: i64,
    /// The offset below which records are replicated: nothing above it can be deleted.
    pub high_watermark: i64,
    /// Its segments, in order.
    pub segments: Vec<SegmentSummary>,
}

/// Decides how long records stay, by whole segments. It is asked from time to time, in addition to `retention.ms` and
/// `retention.bytes`.
///
/// An instance is used by one thread at a time. It does no I/O and does not block.
pub trait Retention: Send {
    /// The offset below which everything may go; `None` to keep all. The log deletes the segments that lie below it as a
    /// whole, and never what is not replicated, belongs to an open transaction or is still written to.
    ///
    /// # Errors
    /// [`Failure`], of any kind: everything is kept.
    fn delete_before(&mut self, log: &LogSummary<'_>) -> Result<Option<i64>, Failure>;
}
