//! A batch without some of its records, or with others in their place.
//!
//! What leaves keeps its place: the records that stay keep their offsets and sequence numbers, and the batch still covers all of
//! them, as a compacted batch does (KIP-98). That is why idempotent producers stay exactly-once.

use bytes::Bytes;
use watershed_hooks::Replacement;
use watershed_model::Timestamp;
use watershed_model::record::{
    BatchHeader, Compression, HEADER_BYTES, Level, NewRecord, Record, RecordError, Records, TimestampType, compress,
};

/// What becomes of a record that does not stay as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes.
    Gone,
    /// It goes into the dead-letter topic.
    Dead {
        topic: String,
        plugin: String,
        reason: String,
        /// What interceptors before had put in its place.
        changed: Option<Replacement>,
    },
    /// It stays, changed.
    Changed(Replacement),
}

/// A batch that cannot be written anew.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// Its records cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It would have more bytes than can be counted.
    #[error("the plugins made a batch of more than 2 GiB")]
    TooLong,
}

/// The batch with these fates of records, by their index and in order. `dead` is given each record that is to be a dead letter.
pub(crate) fn rewrite(
    header: &BatchHeader,
    body: &Bytes,
    level: Level,
    decompressed_max: usize,
    fates: &[(i32, Fate)],
    mut dead: impl FnMut(&Record<'_>, &Fate),
) -> Result<(BatchHeader, Bytes), RewriteError> {
    let mut records = Records::new(header, body.clone(), decompressed_max)?;
    let mut plain = Vec::with_capacity(body.len());
    let (mut count, mut max_timestamp) = (0, Timestamp::NONE);
    let mut fates = fates.iter().peekable();
    let mut index = 0;
    while let Some(record) = records.next()? {
        let fate = fates.next_if(|(of, _)| *of == index).map(|(_, fate)| fate);
        index += 1;
        let changed = match fate {
            None => None,
            Some(Fate::Gone) => continue,
            Some(fate @ Fate::Dead { .. }) => {
                dead(&record, fate);
                continue;
            }
            Some(Fate::Changed(replacement)) => Some(replacement),
        };
        put(&mut plain, &record, changed);
        count += 1;
        max_timestamp = max_timestamp.max(Timestamp(header.base_timestamp.0.wrapping_add(record.timestamp_delta)));
    }
    finish(header, level, &plain, count, max_timestamp)
}

fn put(out: &mut Vec<u8>, record: &Record<'_>, changed: Option<&Replacement>) {
    let value = match changed.and_then(|new| new.value.as_ref()) {
        Some(value) => value.as_deref(),
        None => record.value,
    };
    let headers: Vec<_> = match changed.and_then(|new| new.headers.as_ref()) {
        Some(headers) => headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref())).collect(),
        None => record.headers.iter().collect(),
    };
    NewRecord { key: record.key, value, headers: &headers }.encode(out, record.timestamp_delta, record.offset_delta);
}

fn finish(
    header: &BatchHeader,
    level: Level,
    plain: &[u8],
    count: i32,
    max_timestamp: Timestamp,
) -> Result<(BatchHeader, Bytes), RewriteError> {
    let mut header = *header;
    header.record_count = count;
    if count == 0 {
        // As Kafka's own empty batches: no codec has to make sense of no bytes.
        header.set_compression(Compression::None);
    } else if header.timestamp_type() == TimestampType::CreateTime {
        header.max_timestamp = max_timestamp;
    }
    let codec = header.compression().expect("its records were just read with it");
    let mut body = Vec::new();
    compress(codec, level, plain, &mut body)?;
    let bytes = i32::try_from(HEADER_BYTES + body.len()).map_err(|_| RewriteError::TooLong)?;
    header.total_bytes = bytes.unsigned_abs();
    header.crc = header.compute_crc(&body);
    Ok((header, body.into()))
}
