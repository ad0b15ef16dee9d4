//! A batch, a slice at a time: as many records as a hook is asked about at once.

use bytes::Bytes;
use watershed_hooks::{Reads, Records as Columns};
use watershed_model::limits::{DECOMPRESSED_BATCH_BYTES_MAX, SLICE_BYTES_MAX, SLICE_RECORDS_MAX};
use watershed_model::record::{BatchHeader, Records, TimestampType};

use crate::produce::Refusal;
use crate::rewrite::RewriteError;

/// Walks a batch once. `each` gets the index of a slice's first record and the slice's columns, those that are read.
pub(crate) fn slices(
    header: &BatchHeader,
    body: &Bytes,
    reads: Reads,
    mut each: impl FnMut(i32, &mut Columns) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut columns = Columns::new(reads);
    let mut records = Records::new(header, body.clone(), DECOMPRESSED_BATCH_BYTES_MAX)?;
    let mut first = 0;
    while let Some(record) = records.next()? {
        let bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        if columns.len() == SLICE_RECORDS_MAX || (!columns.is_empty() && columns.bytes() + bytes > SLICE_BYTES_MAX) {
            each(first, &mut columns)?;
            first += i32::try_from(columns.len()).expect("a slice is short");
            columns.clear();
        }
        let timestamp = match header.timestamp_type() {
            TimestampType::CreateTime => header.base_timestamp.0.wrapping_add(record.timestamp_delta),
            TimestampType::LogAppendTime => header.max_timestamp.0,
        };
        let pushed = columns.push(record.key, record.value, timestamp, record.headers.iter());
        pushed.map_err(|_| RewriteError::TooLong)?;
    }
    if columns.is_empty() { Ok(()) } else { each(first, &mut columns) }
}
