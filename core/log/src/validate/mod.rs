//! Is this what a producer may append? Pure, and outside any lock.
//!
//! [`validate`] takes the bytes of one partition of a Produce request and gives a [`ValidatedBatch`] that
//! [`UnifiedLog::append_as_leader`](crate::UnifiedLog::append_as_leader) only has to number. Every record is walked, streaming
//! (compressed batches too, with a bound on what they decompress to). A batch that needs no change keeps its bytes and its
//! checksum: what comes out is a parsed header and a slice of what came in. The checksum is rewritten only where covered bytes
//! change: the largest timestamp was wrong, the topic uses LogAppendTime, or the topic wants another codec.
//!
//! The rules are Kafka's (`LogValidator`, `ProduceRequest`), stricter in three points that no client trips over: offset deltas
//! must be 0, 1, 2…; bytes after the batch are refused instead of dropped; a batch that claims LogAppendTime is always refused.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use watershed_model::limits::{DECOMPRESSED_BATCH_BYTES_MAX, RECORD_ISSUES_MAX};
use watershed_model::record::{
    BatchHeader, Compression, HEADER_BYTES, HeaderError, RecordBatch, RecordError, Records, TimestampType, compress,
    decompress,
};
use watershed_model::{Offset, Timestamp};

use crate::{CompressionPolicy, LogConfig, LogError, RecordIssue};

/// The first Produce version that may carry zstd (KIP-110).
const ZSTD_PRODUCE_VERSION: i16 = 7;

/// Who appends, which decides what is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client's Produce request, with this version.
    Client {
        /// The version of the request.
        produce_version: i16,
    },
    /// One of the broker's own coordinators: may write without sequence numbers.
    Coordinator,
    /// What copies records from an ingress log to where they belong ([`crate::routed`]).
    Router,
}

/// A batch that may be appended: everything is decided but offset and leader epoch.
#[derive(Clone, Debug)]
pub struct ValidatedBatch {
    /// The header as it will be stored, base offset 0.
    pub header: BatchHeader,
    /// Everything after the header.
    pub body: Bytes,
    /// The time the broker gave the batch; `None` where the producer's timestamps are kept.
    pub log_append_time: Option<Timestamp>,
    /// Who appends.
    pub origin: Origin,
    /// The records' bytes before compression, for metrics.
    pub uncompressed_bytes: u64,
}

/// Checks the bytes of one partition of a Produce request against the topic's settings.
///
/// # Errors
/// [`LogError::Corrupt`], [`LogError::InvalidRecord`], [`LogError::InvalidTimestamp`], [`LogError::TooLarge`],
/// [`LogError::LargerThanSegment`], [`LogError::UnsupportedCompression`].
pub fn validate(
    records: Bytes,
    config: &LogConfig,
    origin: Origin,
    now: Timestamp,
) -> Result<ValidatedBatch, LogError> {
    let batch = only_batch(records)?;
    // Kafka's order: what does not need trust in the header, then the checksum, then what the header says.
    check_position(&batch, config)?;
    if !batch.crc_is_valid() {
        return Err(LogError::Corrupt("its CRC does not match its bytes".into()));
    }
    check_header(&batch.header, origin)?;
    let codec = check_codec(&batch.header, origin)?;
    let target = match config.compression {
        CompressionPolicy::Codec(target, level) if target != codec => Some((target, level)),
        _ => None,
    };
    let mut out = match target {
        None => keep(&batch, config, origin, now)?,
        Some((target, level)) => {
            let plain = decompress(codec, batch.body(), DECOMPRESSED_BATCH_BYTES_MAX).map_err(record_error)?;
            let mut plain_header = batch.header;
            plain_header.set_compression(Compression::None);
            let walk = walk(Records::new(&plain_header, plain.clone(), usize::MAX), &plain_header, config, now)?;
            let mut body = Vec::new();
            compress(target, level, &plain, &mut body).map_err(record_error)?;
            rebuilt(&batch, config, origin, now, &walk, target, body.into())?
        }
    };
    if config.timestamp_type == TimestampType::LogAppendTime {
        out.log_append_time = Some(now);
    }
    Ok(out)
}

fn only_batch(mut records: Bytes) -> Result<RecordBatch, LogError> {
    if records.is_empty() {
        return Err(LogError::not_one_batch("exactly one batch per partition is expected, there is none"));
    }
    let batch = match RecordBatch::split_from(&mut records) {
        Ok(batch) => batch,
        // Formats of old are refused for good; a number that no format has is damage, as in Kafka.
        Err(RecordError::Header(e @ HeaderError::Magic(0 | 1))) => return Err(LogError::not_one_batch(e.to_string())),
        Err(RecordError::Header(e @ HeaderError::Magic(_))) => return Err(LogError::Corrupt(e.to_string())),
        Err(RecordError::Header(e @ HeaderError::Length(_))) => return Err(LogError::Corrupt(e.to_string())),
        Err(e) => return Err(LogError::not_one_batch(e.to_string())),
    };
    if !records.is_empty() {
        return Err(LogError::not_one_batch(format!(
            "exactly one batch per partition is expected, {} bytes follow it",
            records.len()
        )));
    }
    Ok(batch)
}

fn check_position(batch: &RecordBatch, config: &LogConfig) -> Result<(), LogError> {
    let header = &batch.header;
    if header.base_offset != Offset::ZERO {
        return Err(LogError::invalid(format!("its base offset is {}, it must be 0", header.base_offset)));
    }
    check_size(u64::from(header.total_bytes), config)
}

fn check_size(bytes: u64, config: &LogConfig) -> Result<(), LogError> {
    if bytes > u64::from(config.max_message_bytes) {
        return Err(LogError::TooLarge { bytes, max: config.max_message_bytes });
    }
    if bytes > u64::from(config.segment_bytes) {
        return Err(LogError::LargerThanSegment { bytes, max: config.segment_bytes });
    }
    Ok(())
}

fn check_header(header: &BatchHeader, origin: Origin) -> Result<(), LogError> {
    if header.record_count <= 0 || i64::from(header.last_offset_delta) + 1 != i64::from(header.record_count) {
        return Err(LogError::invalid(format!(
            "it says it has {} records and a last offset delta of {}",
            header.record_count, header.last_offset_delta
        )));
    }
    if header.is_control() {
        return Err(LogError::invalid("control batches are written by the broker alone"));
    }
    if !matches!(origin, Origin::Client { .. }) {
        return Ok(());
    }
    if header.producer_id.is_routed() {
        return Err(LogError::invalid(format!("producer id {} is none that a client is given", header.producer_id)));
    }
    if header.has_producer_id() && header.base_sequence < 0 {
        return Err(LogError::invalid(format!(
            "producer {} sent base sequence {}",
            header.producer_id, header.base_sequence
        )));
    }
    Ok(())
}

fn check_codec(header: &BatchHeader, origin: Origin) -> Result<Compression, LogError> {
    let unknown = || LogError::UnsupportedCompression(format!("codec {} is not defined", header.attributes & 7));
    let codec = header.compression().ok_or_else(unknown)?;
    match origin {
        Origin::Client { produce_version } if codec == Compression::Zstd && produce_version < ZSTD_PRODUCE_VERSION => {
            let what = format!("zstd needs Produce version 7, the request has version {produce_version}");
            Err(LogError::UnsupportedCompression(what))
        }
        _ => Ok(codec),
    }
}

/// What a walk over the records found.
struct Walk {
    max_timestamp: Timestamp,
    uncompressed_bytes: u64,
}

/// Collects what is wrong with single records.
#[derive(Default)]
struct Issues {
    records: Vec<RecordIssue>,
    total: usize,
    timestamps: bool,
}

impl Issues {
    #[cold]
    fn add(&mut self, index: i32, is_timestamp: bool, message: impl FnOnce() -> String) {
        self.total += 1;
        self.timestamps |= is_timestamp;
        if self.records.len() < RECORD_ISSUES_MAX {
            self.records.push(RecordIssue { index, message: message() });
        }
    }

    fn into_result(self) -> Result<(), LogError> {
        if self.total == 0 {
            return Ok(());
        }
        let (records, message) = (self.records, format!("{} of its records are refused", self.total));
        if self.timestamps {
            let message = format!("{message}: their timestamps are out of the topic's range");
            Err(LogError::InvalidTimestamp { message, records })
        } else {
            let message = format!("{message}, the first because: {}", records[0].message);
            Err(LogError::InvalidRecord { message, records })
        }
    }
}

fn walk(
    records: Result<Records, RecordError>,
    header: &BatchHeader,
    config: &LogConfig,
    now: Timestamp,
) -> Result<Walk, LogError> {
    let mut records = records.map_err(record_error)?;
    let mut issues = Issues::default();
    let mut max_timestamp = Timestamp::NONE;
    let claims_append_time = header.timestamp_type() == TimestampType::LogAppendTime;
    let checks_time = config.timestamp_type == TimestampType::CreateTime;
    let mut index = 0;
    while let Some(record) = records.next().map_err(record_error)? {
        let timestamp = Timestamp(header.base_timestamp.0.wrapping_add(record.timestamp_delta));
        max_timestamp = max_timestamp.max(timestamp);
        if record.offset_delta != index {
            let found = record.offset_delta;
            issues.add(index, false, || format!("its offset delta is {found}, it must be {index}"));
        } else if config.cleanup.compact && record.key.is_none() {
            issues.add(index, false, || "a compacted topic takes no record without a key".into());
        } else if claims_append_time {
            issues.add(index, true, || "a producer may not set LogAppendTime".into());
        } else if checks_time && timestamp != Timestamp::NONE && out_of_range(timestamp, config, now) {
            issues.add(index, true, || range_message(timestamp, config, now));
        }
        index += 1;
    }
    issues.into_result()?;
    Ok(Walk { max_timestamp, uncompressed_bytes: records.bytes_walked() })
}

fn out_of_range(timestamp: Timestamp, config: &LogConfig, now: Timestamp) -> bool {
    let age = now.0.saturating_sub(timestamp.0);
    age > config.timestamp_before_max_ms || timestamp.0.saturating_sub(now.0) > config.timestamp_after_max_ms
}

fn range_message(timestamp: Timestamp, config: &LogConfig, now: Timestamp) -> String {
    let low = now.0.saturating_sub(config.timestamp_before_max_ms);
    let high = now.0.saturating_add(config.timestamp_after_max_ms);
    format!("timestamp {timestamp} is outside {low} to {high}")
}

/// A record that is not one is the producer's fault, and will be so again: the checksum was right.
fn record_error(error: RecordError) -> LogError {
    match error {
        RecordError::UnknownCodec(_) => LogError::UnsupportedCompression(error.to_string()),
        _ => LogError::invalid(error.to_string()),
    }
}

fn stamp(header: &mut BatchHeader, config: &LogConfig, now: Timestamp, max_timestamp: Timestamp) {
    header.set_timestamp_type(config.timestamp_type);
    header.max_timestamp = match config.timestamp_type {
        TimestampType::CreateTime => max_timestamp,
        TimestampType::LogAppendTime => now,
    };
}

/// The usual case: the body stays as it is.
fn keep(batch: &RecordBatch, config: &LogConfig, origin: Origin, now: Timestamp) -> Result<ValidatedBatch, LogError> {
    let walk = walk(batch.records(), &batch.header, config, now)?;
    let mut header = batch.header;
    stamp(&mut header, config, now, walk.max_timestamp);
    let body = batch.body();
    if header != batch.header {
        header.crc = batch.header.crc_after_change(&header, body.len());
    }
    Ok(ValidatedBatch { header, body, log_append_time: None, origin, uncompressed_bytes: walk.uncompressed_bytes })
}

/// The records in another codec. Their own bytes do not change, so that nothing a client put there is lost.
fn rebuilt(
    batch: &RecordBatch,
    config: &LogConfig,
    origin: Origin,
    now: Timestamp,
    walk: &Walk,
    codec: Compression,
    body: Bytes,
) -> Result<ValidatedBatch, LogError> {
    let bytes = (HEADER_BYTES + body.len()) as u64;
    check_size(bytes, config)?;
    let mut header = batch.header;
    stamp(&mut header, config, now, walk.max_timestamp);
    header.set_compression(codec);
    header.total_bytes = u32::try_from(bytes).expect("max.message.bytes bounds it");
    header.crc = header.compute_crc(&body);
    Ok(ValidatedBatch { header, body, log_append_time: None, origin, uncompressed_bytes: walk.uncompressed_bytes })
}
