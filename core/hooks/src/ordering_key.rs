//! The hook `ordering-key`: what defines the order of a record.

use crate::verdict::complete;
use crate::{Batch, Column, Failure, Reads};

/// Says which bytes define a record's order, in place of its key: records that share them belong together, in order.
///
/// An instance is used by one thread at a time. The answer should follow from the record alone. It does no I/O and does not
/// block.
pub trait OrderingKey: Send {
    /// Which columns it reads.
    fn reads(&self) -> &Reads;

    /// Appends one ordering key a record, in the records' order, to `ordering_keys` (which is empty); null where the
    /// record's own key stands.
    ///
    /// # Errors
    /// [`Failure`]; what was appended is ignored then.
    fn ordering_keys(&mut self, batch: &Batch<'_>, ordering_keys: &mut Column) -> Result<(), Failure>;
}

/// Asks for ordering keys, replacing what `ordering_keys` held, and checks the answer.
///
/// # Errors
/// The plugin's own [`Failure`], or a wrong answer.
pub fn order(plugin: &mut dyn OrderingKey, batch: &Batch<'_>, ordering_keys: &mut Column) -> Result<(), Failure> {
    ordering_keys.clear();
    plugin.ordering_keys(batch, ordering_keys)?;
    complete("ordering key", ordering_keys.len(), batch.len())
}
