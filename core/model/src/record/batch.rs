//! A whole batch as it lies in a log or in a request: a parsed header and the bytes, shared, not copied.

use bytes::Bytes;

use super::{BatchHeader, HEADER_BYTES, OwnedRecord, Record, RecordError, Records, TimestampType};
use crate::limits::DECOMPRESSED_BATCH_BYTES_MAX;
use crate::{Offset, Timestamp};

/// A view of one batch. Only the header was parsed: the CRC and the records are looked at when asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordBatch {
    /// The header.
    pub header: BatchHeader,
    bytes: Bytes,
}

impl RecordBatch {
    /// Splits the first batch off the front of `bytes`.
    ///
    /// # Errors
    /// [`RecordError::Header`] when no header is there, [`RecordError::BatchLength`] when the batch is longer than `bytes`.
    pub fn split_from(bytes: &mut Bytes) -> Result<Self, RecordError> {
        let header = BatchHeader::parse(bytes)?;
        if header.total_bytes as usize > bytes.len() {
            return Err(RecordError::BatchLength { claimed: header.total_bytes, remain: bytes.len() });
        }
        Ok(Self { header, bytes: bytes.split_to(header.total_bytes as usize) })
    }

    /// The whole batch, header included.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What follows the header: the records, compressed or not.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.bytes.slice(HEADER_BYTES..)
    }

    /// Whether the CRC in the header is the one of the bytes.
    #[must_use]
    pub fn crc_is_valid(&self) -> bool {
        self.header.crc == self.header.compute_crc(&self.bytes[HEADER_BYTES..])
    }

    /// The records, decompressed as the walk goes, to at most [`DECOMPRESSED_BATCH_BYTES_MAX`].
    ///
    /// # Errors
    /// A negative record count or an unknown codec.
    pub fn records(&self) -> Result<Records, RecordError> {
        Records::new(&self.header, self.body(), DECOMPRESSED_BATCH_BYTES_MAX)
    }

    /// The offset of one of this batch's records.
    #[must_use]
    pub fn offset_of(&self, record: &Record<'_>) -> Offset {
        self.header.base_offset.plus(i64::from(record.offset_delta))
    }

    /// The timestamp of one of this batch's records: its own, or the batch's where the broker set it.
    #[must_use]
    pub fn timestamp_of(&self, record: &Record<'_>) -> Timestamp {
        self.header.timestamp_at(record.timestamp_delta)
    }

    /// Copies every record out. Meant for consumers and tests; the broker walks [`RecordBatch::records`].
    ///
    /// # Errors
    /// Those of [`Records::next`].
    pub fn owned_records(&self) -> Result<Vec<OwnedRecord>, RecordError> {
        let mut out = Vec::new();
        let mut records = self.records()?;
        while let Some(record) = records.next()? {
            out.push(OwnedRecord {
                offset: self.offset_of(&record),
                timestamp: self.timestamp_of(&record),
                key: record.key.map(Bytes::copy_from_slice),
                value: record.value.map(Bytes::copy_from_slice),
                headers: record
                    .headers
                    .iter()
                    .map(|(k, v)| (Bytes::copy_from_slice(k), v.map(Bytes::copy_from_slice)))
                    .collect(),
            });
        }
        Ok(out)
    }
}

impl BatchHeader {
    /// The timestamp of a record with this delta: base plus delta, or the batch's where the broker set it.
    #[must_use]
    pub fn timestamp_at(&self, delta: i64) -> Timestamp {
        match self.timestamp_type() {
            // Wraps like every client does, so that what is checked here is what they will see.
            TimestampType::CreateTime => Timestamp(self.base_timestamp.0.wrapping_add(delta)),
            TimestampType::LogAppendTime => self.max_timestamp,
        }
    }
}

/// The batches in a run of bytes, one after another.
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
}

/// Iterates over the batches in `bytes`. A batch that is cut off or malformed is an error and ends the iteration.
#[must_use]
pub const fn batches(bytes: Bytes) -> Batches {
    Batches { rest: bytes }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let batch = RecordBatch::split_from(&mut self.rest);
        if batch.is_err() {
            self.rest = Bytes::new();
        }
        Some(batch)
    }
}
