//! The 61 bytes in front of every batch (KIP-98's message format, magic 2).
//!
//! Layout, big-endian: base offset i64, length i32 (bytes that follow it), partition leader epoch i32, magic i8,
//! CRC-32C u32 (of everything after itself), attributes i16, last offset delta i32, base timestamp i64, max timestamp
//! i64, producer id i64, producer epoch i16, base sequence i32, record count i32. The CRC covers neither the base
//! offset nor the leader epoch, so both can be patched in place.

use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

/// The header's length in bytes; the records follow it.
pub const HEADER_BYTES: usize = 61;

/// Bytes in front of those that the length field counts: the base offset and the length itself.
const LENGTH_PREFIX_BYTES: usize = 12;

const ATTRIBUTES_AT: usize = 21;
const COMPRESSION_MASK: i16 = 0x07;
const LOG_APPEND_TIME_BIT: i16 = 0x08;
const TRANSACTIONAL_BIT: i16 = 0x10;
const CONTROL_BIT: i16 = 0x20;
const DELETE_HORIZON_BIT: i16 = 0x40;

/// How a batch's records are compressed. The numbers are those of the attributes' low three bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Compression {
    /// As they are.
    #[default]
    None = 0,
    /// gzip.
    Gzip = 1,
    /// Snappy, in xerial's framing (Java) or raw (librdkafka).
    Snappy = 2,
    /// The lz4 frame format.
    Lz4 = 3,
    /// zstd (KIP-110).
    Zstd = 4,
}

impl Compression {
    /// The codec with this number; `None` for 5, 6 and 7, which nobody defined.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// What a batch's timestamps mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer set them.
    CreateTime,
    /// The broker set one for the whole batch.
    LogAppendTime,
}

/// Bytes that cannot be the header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Fewer than [`HEADER_BYTES`] bytes.
    #[error("a batch header has 61 bytes, here are {0}")]
    Short(usize),
    /// The length field is smaller than a header.
    #[error("the batch's length field says {0}, less than its own header")]
    Length(i32),
    /// Not magic 2.
    #[error("the batch has magic {0}; only 2 is stored and accepted")]
    Magic(i8),
}

/// A parsed batch header. Plain numbers: nothing but length and magic was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The first record's offset.
    pub base_offset: Offset,
    /// The whole batch's length in bytes, header included.
    pub total_bytes: u32,
    /// The epoch of the leader that appended it.
    pub leader_epoch: LeaderEpoch,
    /// CRC-32C of everything after the field.
    pub crc: u32,
    /// The attribute bits.
    pub attributes: i16,
    /// The last record's offset less the first's; kept by compaction even when records go.
    pub last_offset_delta: i32,
    /// The timestamp that records' deltas count from (or the delete horizon).
    pub base_timestamp: Timestamp,
    /// The largest timestamp in the batch.
    pub max_timestamp: Timestamp,
    /// The producer, or none.
    pub producer_id: ProducerId,
    /// The producer's epoch.
    pub producer_epoch: ProducerEpoch,
    /// The first record's sequence number, or -1.
    pub base_sequence: i32,
    /// How many records the batch says it has.
    pub record_count: i32,
}

fn read<const N: usize>(head: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&head[at..at + N]);
    out
}

impl BatchHeader {
    /// Reads a header from the first 61 bytes of `bytes`; more may follow.
    ///
    /// # Errors
    /// [`HeaderError`] when there are fewer, the length field is impossible or the magic is not 2.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let head: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(HeaderError::Short(bytes.len()))?;
        let length = i32::from_be_bytes(read(head, 8));
        let magic = i8::from_be_bytes(read(head, 16));
        if magic != 2 {
            return Err(HeaderError::Magic(magic));
        }
        let rest = u32::try_from(length).map_err(|_| HeaderError::Length(length))?;
        if (rest as usize) < HEADER_BYTES - LENGTH_PREFIX_BYTES {
            return Err(HeaderError::Length(length));
        }
        Ok(Self {
            base_offset: Offset(i64::from_be_bytes(read(head, 0))),
            total_bytes: rest + LENGTH_PREFIX_BYTES as u32,
            leader_epoch: LeaderEpoch(i32::from_be_bytes(read(head, 12))),
            crc: u32::from_be_bytes(read(head, 17)),
            attributes: i16::from_be_bytes(read(head, ATTRIBUTES_AT)),
            last_offset_delta: i32::from_be_bytes(read(head, 23)),
            base_timestamp: Timestamp(i64::from_be_bytes(read(head, 27))),
            max_timestamp: Timestamp(i64::from_be_bytes(read(head, 35))),
            producer_id: ProducerId(i64::from_be_bytes(read(head, 43))),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(read(head, 51))),
            base_sequence: i32::from_be_bytes(read(head, 53)),
            record_count: i32::from_be_bytes(read(head, 57)),
        })
    }

    /// The header as bytes, the CRC as it stands in [`BatchHeader::crc`].
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..8].copy_from_slice(&self.base_offset.0.to_be_bytes());
        out[8..12].copy_from_slice(&(self.total_bytes - LENGTH_PREFIX_BYTES as u32).to_be_bytes());
        out[12..16].copy_from_slice(&self.leader_epoch.0.to_be_bytes());
        out[16] = 2;
        out[17..21].copy_from_slice(&self.crc.to_be_bytes());
        out[21..23].copy_from_slice(&self.attributes.to_be_bytes());
        out[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        out[27..35].copy_from_slice(&self.base_timestamp.0.to_be_bytes());
        out[35..43].copy_from_slice(&self.max_timestamp.0.to_be_bytes());
        out[43..51].copy_from_slice(&self.producer_id.0.to_be_bytes());
        out[51..53].copy_from_slice(&self.producer_epoch.0.to_be_bytes());
        out[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        out[57..61].copy_from_slice(&self.record_count.to_be_bytes());
        out
    }

    /// The CRC that the header and `body` (everything after the 61 bytes) should carry.
    #[must_use]
    pub fn compute_crc(&self, body: &[u8]) -> u32 {
        let head = self.to_bytes();
        crc32c::crc32c_append(crc32c::crc32c(&head[ATTRIBUTES_AT..]), body)
    }

    /// The CRC after covered header fields changed from `self` (whose CRC is right) to `new`, without another pass over
    /// the `body_bytes` that follow: a CRC is linear, so only the difference has to be carried past them.
    #[must_use]
    pub fn crc_after_change(&self, new: &Self, body_bytes: usize) -> u32 {
        let covered = |header: &Self| crc32c::crc32c(&header.to_bytes()[ATTRIBUTES_AT..]);
        self.crc ^ super::crc::shift(covered(self) ^ covered(new), body_bytes)
    }

    /// The CRC-32C of the `body_bytes` behind this header, whose CRC is right, without another pass over them.
    #[must_use]
    pub fn body_crc(&self, body_bytes: usize) -> u32 {
        let covered = crc32c::crc32c(&self.to_bytes()[ATTRIBUTES_AT..]);
        self.crc ^ super::crc::shift(covered, body_bytes)
    }

    /// The CRC of this header and a body of three parts, of which the second is given by its CRC and its length in bytes.
    #[must_use]
    pub fn compute_crc_around(&self, before: &[u8], (crc, bytes): (u32, usize), behind: &[u8]) -> u32 {
        crc32c::crc32c_append(super::crc::shift(self.compute_crc(before), bytes) ^ crc, behind)
    }

    /// The last record's offset.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta))
    }

    /// The offset after the last record's.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.last_offset().plus(1)
    }

    /// The last record's sequence number (wraps from 2^31-1 to 0); -1 where the batch has none.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        let sum = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        (sum & i64::from(i32::MAX)) as i32
    }

    /// The codec; `None` for the three numbers that nobody defined.
    #[must_use]
    pub fn compression(&self) -> Option<Compression> {
        Compression::from_bits((self.attributes & COMPRESSION_MASK) as u8)
    }

    /// Sets the codec's bits.
    pub fn set_compression(&mut self, compression: Compression) {
        self.attributes = (self.attributes & !COMPRESSION_MASK) | compression as i16;
    }

    /// What the timestamps mean.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Sets what the timestamps mean.
    pub fn set_timestamp_type(&mut self, kind: TimestampType) {
        match kind {
            TimestampType::CreateTime => self.attributes &= !LOG_APPEND_TIME_BIT,
            TimestampType::LogAppendTime => self.attributes |= LOG_APPEND_TIME_BIT,
        }
    }

    /// Whether the batch belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Sets whether the batch belongs to a transaction.
    pub fn set_transactional(&mut self, yes: bool) {
        self.attributes = if yes { self.attributes | TRANSACTIONAL_BIT } else { self.attributes & !TRANSACTIONAL_BIT };
    }

    /// Sets whether the batch is a control batch.
    pub fn set_control(&mut self, yes: bool) {
        self.attributes = if yes { self.attributes | CONTROL_BIT } else { self.attributes & !CONTROL_BIT };
    }

    /// Whether the batch is a control batch (a transaction marker), which no client may produce.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// Whether the base timestamp is a delete horizon (KIP-534).
    #[must_use]
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON_BIT != 0
    }

    /// Whether the batch carries a producer id.
    #[must_use]
    pub fn has_producer_id(&self) -> bool {
        self.producer_id.0 > ProducerId::NONE.0
    }
}
