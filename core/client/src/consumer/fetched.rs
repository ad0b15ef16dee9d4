//! Records of one partition as one fetch brought them: whole batches, from which the caller reads what it asked for.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use watershed_model::record::{HeaderError, OwnedRecord, Record, RecordBatch, RecordError};
use watershed_model::{Offset, Timestamp};
use watershed_protocol::messages::fetch::AbortedTransaction;

use super::IsolationLevel;
use crate::ClientError;

/// What a fetch brought of one partition.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset that was asked for; the first batch may begin before it.
    pub from: Offset,
    /// The end of what consumers may see.
    pub high_watermark: Offset,
    /// The first offset that is still there; -1 where the broker is too old to say.
    pub log_start: Offset,
    /// The batches, whole.
    pub batches: Vec<RecordBatch>,
    /// Their length, in bytes as they came.
    pub bytes: usize,
    pub(super) aborted: Vec<AbortedTransaction>,
    pub(super) isolation: IsolationLevel,
}

impl Fetched {
    /// Where to go on: the offset after the last batch.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.batches.last().map_or(self.from, |b| b.header.next_offset()).max(self.from)
    }

    /// Gives every visible record to `each`, in order, until it answers `false`: not the ones before the offset asked for,
    /// not markers, and not those of aborted transactions where only committed ones are read.
    ///
    /// # Errors
    /// [`ClientError::Records`] if a batch cannot be read.
    pub fn for_each(&self, mut each: impl FnMut(Offset, Timestamp, &Record<'_>) -> bool) -> Result<(), ClientError> {
        let mut aborted: Vec<_> = self.aborted.iter().collect();
        aborted.sort_by_key(|a| a.first_offset);
        let mut aborted = aborted.into_iter().peekable();
        let mut open = HashSet::new();
        for batch in &self.batches {
            let fail = |source| ClientError::Records {
                what: format!("{}-{}, batch at offset {}", self.topic, self.partition, batch.header.base_offset),
                source,
            };
            if self.isolation == IsolationLevel::ReadCommitted {
                let last = batch.header.last_offset().0;
                while let Some(a) = aborted.next_if(|a| a.first_offset <= last) {
                    open.insert(a.producer_id);
                }
            }
            let producer = batch.header.producer_id.0;
            if batch.header.is_control() {
                if is_abort_marker(batch).map_err(fail)? {
                    open.remove(&producer);
                }
                continue;
            }
            if batch.header.is_transactional() && open.contains(&producer) {
                continue;
            }
            let mut records = batch.records().map_err(fail)?;
            while let Some(record) = records.next().map_err(fail)? {
                let offset = batch.offset_of(&record);
                if offset >= self.from && !each(offset, batch.timestamp_of(&record), &record) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Copies the visible records out.
    ///
    /// # Errors
    /// [`ClientError::Records`] if a batch cannot be read.
    pub fn records(&self) -> Result<Vec<OwnedRecord>, ClientError> {
        let mut out = Vec::new();
        let copy = Bytes::copy_from_slice;
        self.for_each(|offset, timestamp, record| {
            out.push(OwnedRecord {
                offset,
                timestamp,
                key: record.key.map(copy),
                value: record.value.map(copy),
                headers: record.headers.iter().map(|(k, v)| (copy(k), v.map(copy))).collect(),
            });
            true
        })?;
        Ok(out)
    }
}

/// The batches in an answer; a cut one at the end is left out, since brokers stop where the size limit is.
pub(super) fn whole_batches(mut records: Bytes) -> Result<Vec<RecordBatch>, RecordError> {
    let mut batches = Vec::new();
    while !records.is_empty() {
        match RecordBatch::split_from(&mut records) {
            Ok(batch) => batches.push(batch),
            Err(RecordError::BatchLength { .. } | RecordError::Header(HeaderError::Short(_)))
                if !batches.is_empty() =>
            {
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(batches)
}

pub(super) fn check_crcs(batches: &[RecordBatch], what: &impl Fn() -> String) -> Result<(), ClientError> {
    match batches.iter().find(|b| !b.crc_is_valid()) {
        None => Ok(()),
        Some(batch) => {
            Err(ClientError::Crc { what: format!("{}, batch at offset {}", what(), batch.header.base_offset) })
        }
    }
}

/// A marker's key is a version (i16) and a kind (i16): 0 aborts, 1 commits.
fn is_abort_marker(batch: &RecordBatch) -> Result<bool, RecordError> {
    let mut records = batch.records()?;
    let marker = records.next()?;
    let key = marker.and_then(|m| m.key);
    Ok(key.is_some_and(|k| k.len() >= 4 && k[2..4] == [0, 0]))
}
