//! What hooks say of single records, and the hooks that say it: `interceptor` and `fetch-filter`.

use crate::{Batch, Failure, Reads};

/// A header: its name and its value, which may be null. Names are UTF-8 by convention only.
pub type Header = (Vec<u8>, Option<Vec<u8>>);

/// What a record shall hold instead of what it holds. Its key, timestamp and offset stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replacement {
    /// The new value, `Some(None)` for null; `None`: it stays.
    pub value: Option<Option<Vec<u8>>>,
    /// The new headers, all of them; `None`: they stay.
    pub headers: Option<Vec<Header>>,
}

/// What an interceptor says of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// It enters as it is.
    #[default]
    Keep,
    /// It does not enter, and its producer is told that it did.
    Drop,
    /// It does not enter, and with it its whole batch: the producer is told why.
    Reject(String),
    /// It goes to the dead-letter topic instead, with the reason in a header; its producer is told that it entered.
    DeadLetter(String),
    /// It enters with another value or other headers.
    Replace(Replacement),
}

/// Decides what enters a topic: called with the records of a batch before they are appended.
///
/// An instance is used by one thread at a time. It does no I/O and does not block.
pub trait Interceptor: Send {
    /// Which columns it reads.
    fn reads(&self) -> &Reads;

    /// Appends one [`Verdict`] a record, in the records' order, to `verdicts` (which is empty).
    ///
    /// # Errors
    /// [`Failure`]; what was appended is ignored then.
    fn intercept(&mut self, batch: &Batch<'_>, verdicts: &mut Vec<Verdict>) -> Result<(), Failure>;
}

/// Asks an interceptor, replacing what `verdicts` held, and checks its answer.
///
/// # Errors
/// The interceptor's own [`Failure`], or a wrong answer.
pub fn intercept(
    interceptor: &mut dyn Interceptor,
    batch: &Batch<'_>,
    verdicts: &mut Vec<Verdict>,
) -> Result<(), Failure> {
    verdicts.clear();
    interceptor.intercept(batch, verdicts)?;
    complete("interceptor", verdicts.len(), batch.len())
}

/// What a fetch filter says of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Visibility {
    /// The reader gets it as it is.
    #[default]
    Show,
    /// The reader does not get it; its offset stays taken.
    Hide,
    /// The reader gets it with another value or other headers.
    Redact(Replacement),
}

/// Decides what a consumer sees of a topic: called with the records of a response before it is sent.
///
/// An instance is used by one thread at a time. It does no I/O and does not block.
pub trait FetchFilter: Send {
    /// Which columns it reads.
    fn reads(&self) -> &Reads;

    /// Appends one [`Visibility`] a record, in the records' order, to `visibilities` (which is empty).
    ///
    /// # Errors
    /// [`Failure`]; what was appended is ignored then.
    fn filter(&mut self, batch: &Batch<'_>, visibilities: &mut Vec<Visibility>) -> Result<(), Failure>;
}

/// Asks a fetch filter, replacing what `visibilities` held, and checks its answer.
///
/// # Errors
/// The filter's own [`Failure`], or a wrong answer.
pub fn filter(
    filter: &mut dyn FetchFilter,
    batch: &Batch<'_>,
    visibilities: &mut Vec<Visibility>,
) -> Result<(), Failure> {
    visibilities.clear();
    filter.filter(batch, visibilities)?;
    complete("fetch filter", visibilities.len(), batch.len())
}

/// Every record has an answer, and every answer a record.
pub(crate) fn complete(what: &str, given: usize, asked: usize) -> Result<(), Failure> {
    if given == asked {
        return Ok(());
    }
    Err(Failure::wrong_answer(format!("the {what} answered for {given} of {asked} records")))
}
