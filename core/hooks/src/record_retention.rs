//! The hook `record-retention`: which records a partition need not keep any longer.

use crate::verdict::complete;
use crate::{Batch, Failure, Reads};

/// What becomes of a record that is asked about again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stay {
    /// It stays.
    #[default]
    Keep,
    /// It goes, for ever; its offset stays taken.
    Drop,
}

/// Decides how long records stay, one by one. It is asked about the records of closed segments from time to time, oldest first,
/// and the segments are written anew without what it drops.
///
/// A record may be asked about again and again, and may never be asked about: the answer should follow from the record, the time
/// and its [rank](Batch::ranks) alone. An instance is used by one thread at a time. It does no I/O and does not block.
pub trait RecordRetention: Send {
    /// Which columns it reads.
    fn reads(&self) -> &Reads;

    /// Appends one [`Stay`] a record, in the records' order, to `stays` (which is empty). `now` is the time, in milliseconds
    /// since 1970.
    ///
    /// # Errors
    /// [`Failure`], of any kind: everything is kept, and asked about again later.
    fn retain(&mut self, batch: &Batch<'_>, now: i64, stays: &mut Vec<Stay>) -> Result<(), Failure>;
}

/// Asks which records stay, replacing what `stays` held, and checks the answer.
///
/// # Errors
/// The plugin's own [`Failure`], or a wrong answer.
pub fn retain(
    plugin: &mut dyn RecordRetention,
    batch: &Batch<'_>,
    now: i64,
    stays: &mut Vec<Stay>,
) -> Result<(), Failure> {
    stays.clear();
    plugin.retain(batch, now, stays)?;
    complete("record retention", stays.len(), batch.len())
}
