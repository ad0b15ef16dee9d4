//! Making batches: what a producer does, for our own client, for internal topics and for tests.

use bytes::Bytes;

use super::compress::{Level, compress};
use super::{BatchHeader, Compression, HEADER_BYTES, NewRecord, Record, RecordError, TimestampType};
use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

/// Who produces a batch, for idempotence (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerSequence {
    /// The producer.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// The first record's sequence number, from 0.
    pub base_sequence: i32,
}

impl ProducerSequence {
    /// Not an idempotent producer.
    pub const NONE: Self = Self { id: ProducerId::NONE, epoch: ProducerEpoch::NONE, base_sequence: -1 };
}

/// Collects records and gives one batch, magic 2.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    header: BatchHeader,
    level: Level,
    body: Vec<u8>,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty, uncompressed batch at offset 0, with the producer's timestamps, that belongs to no producer id.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// The same, with room for so many bytes of records.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        let header = BatchHeader {
            base_offset: Offset::ZERO,
            total_bytes: HEADER_BYTES as u32,
            leader_epoch: LeaderEpoch::NONE,
            crc: 0,
            attributes: 0,
            last_offset_delta: -1,
            base_timestamp: Timestamp::NONE,
            max_timestamp: Timestamp::NONE,
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: -1,
            record_count: 0,
        };
        Self { header, level: None, body: Vec::with_capacity(bytes) }
    }

    /// Compresses with `codec`; `level` is the codec's default where `None`.
    #[must_use]
    pub fn compression(mut self, codec: Compression, level: Level) -> Self {
        self.header.set_compression(codec);
        self.level = level;
        self
    }

    /// Names the producer.
    #[must_use]
    pub fn producer(mut self, producer: ProducerSequence) -> Self {
        self.header.producer_id = producer.id;
        self.header.producer_epoch = producer.epoch;
        self.header.base_sequence = producer.base_sequence;
        self
    }

    /// Makes the batch part of a transaction.
    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.header.set_transactional(true);
        self
    }

    /// Makes it a control batch, which only a broker may write.
    #[must_use]
    pub fn control(mut self) -> Self {
        self.header.set_control(true);
        self
    }

    /// Where the batch lies; a broker overwrites both.
    #[must_use]
    pub fn position(mut self, base: Offset, epoch: LeaderEpoch) -> Self {
        self.header.base_offset = base;
        self.header.leader_epoch = epoch;
        self
    }

    /// Says that the broker set the timestamps.
    #[must_use]
    pub fn timestamp_type(mut self, kind: TimestampType) -> Self {
        self.header.set_timestamp_type(kind);
        self
    }

    /// How many records there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.header.record_count as usize
    }

    /// Whether there is no record yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.header.record_count == 0
    }

    /// The batch's length before compression, header included, in bytes.
    #[must_use]
    pub const fn uncompressed_len(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }

    /// Adds a record behind the others.
    pub fn push(&mut self, timestamp: Timestamp, record: NewRecord<'_>) -> &mut Self {
        let (timestamp_delta, offset_delta) = self.next(timestamp);
        record.encode(&mut self.body, timestamp_delta, offset_delta);
        self
    }

    /// Adds a record of another batch behind the others, as it is there but for its place and its timestamp.
    pub fn push_copy(&mut self, timestamp: Timestamp, record: &Record<'_>) -> &mut Self {
        let (timestamp_delta, offset_delta) = self.next(timestamp);
        record.encode(&mut self.body, timestamp_delta, offset_delta);
        self
    }

    /// Makes room for one more record; gives its deltas.
    fn next(&mut self, timestamp: Timestamp) -> (i64, i32) {
        let header = &mut self.header;
        if header.record_count == 0 {
            header.base_timestamp = timestamp;
        }
        header.max_timestamp = header.max_timestamp.max(timestamp);
        header.last_offset_delta += 1;
        header.record_count += 1;
        (timestamp.0.wrapping_sub(header.base_timestamp.0), header.last_offset_delta)
    }

    /// The finished batch.
    ///
    /// # Errors
    /// As [`BatchBuilder::build_parts`].
    pub fn build(self) -> Result<Bytes, RecordError> {
        let (header, body) = self.build_parts()?;
        let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
        out.extend_from_slice(&header.to_bytes());
        out.extend_from_slice(&body);
        Ok(out.into())
    }

    /// The finished batch as its header and what follows it; records that are not compressed are not copied.
    ///
    /// # Errors
    /// [`RecordError::Codec`] when the codec refuses its level, [`RecordError::BatchLength`] when the batch is beyond 2 GiB.
    pub fn build_parts(mut self) -> Result<(BatchHeader, Bytes), RecordError> {
        let codec = self.header.compression().expect("only a defined codec can be set");
        let body = if codec == Compression::None {
            self.body
        } else {
            let mut compressed = Vec::new();
            compress(codec, self.level, &self.body, &mut compressed)?;
            compressed
        };
        let bytes = HEADER_BYTES + body.len();
        let too_long = RecordError::BatchLength { claimed: u32::MAX, remain: bytes };
        self.header.total_bytes = i32::try_from(bytes).map_err(|_| too_long)?.unsigned_abs();
        self.header.crc = self.header.compute_crc(&body);
        Ok((self.header, body.into()))
    }
}
