//! Where a frame begins and ends: the only thing a backend must be told about record batches.

use watershed_model::Timestamp;
use watershed_model::record::{BatchHeader, HEADER_BYTES};

use crate::FrameMeta;

/// Bytes that are not a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FramingError(pub String);

/// How frames are told apart and checked.
pub trait Framing: Send + Sync {
    /// How many bytes [`Framing::parse`] needs.
    fn head_bytes(&self) -> usize;

    /// Reads a frame's facts from its first bytes. Nothing but the header's own consistency is checked.
    ///
    /// # Errors
    /// The bytes cannot begin a frame.
    fn parse(&self, head: &[u8]) -> Result<FrameMeta, FramingError>;

    /// Checks a whole frame against its checksum.
    ///
    /// # Errors
    /// The frame is not what was written.
    fn verify(&self, frame: &[u8]) -> Result<FrameMeta, FramingError>;
}

/// Kafka's record batches, magic 2.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchFraming;

/// What a backend is to know of the batch with this header.
///
/// # Errors
/// It has no place in a log.
pub fn frame_meta(header: &BatchHeader) -> Result<FrameMeta, FramingError> {
    if header.base_offset.0 < 0 || header.last_offset_delta < 0 {
        let (base, delta) = (header.base_offset, header.last_offset_delta);
        return Err(FramingError(format!("base offset {base} with last offset delta {delta} is impossible")));
    }
    let records = u32::try_from(header.record_count).unwrap_or(0);
    Ok(FrameMeta {
        base: header.base_offset,
        last: header.last_offset(),
        epoch: header.leader_epoch,
        // The header of a batch that lost its records still has their timestamp, for its producer's sake.
        max_timestamp: if records == 0 { Timestamp::NONE } else { header.max_timestamp },
        len: header.total_bytes,
        records,
    })
}

impl Framing for BatchFraming {
    fn head_bytes(&self) -> usize {
        HEADER_BYTES
    }

    fn parse(&self, head: &[u8]) -> Result<FrameMeta, FramingError> {
        frame_meta(&BatchHeader::parse(head).map_err(|e| FramingError(e.to_string()))?)
    }

    fn verify(&self, frame: &[u8]) -> Result<FrameMeta, FramingError> {
        let header = BatchHeader::parse(frame).map_err(|e| FramingError(e.to_string()))?;
        let meta = frame_meta(&header)?;
        if frame.len() != meta.len as usize {
            return Err(FramingError(format!("a frame of {} bytes was cut at {}", meta.len, frame.len())));
        }
        // The stored bytes themselves are summed, not a re-encoded header, so that no bit escapes.
        let found = crc32c::crc32c(&frame[21..]);
        if found != header.crc {
            return Err(FramingError(format!("the checksum is {found:08x}, the header says {:08x}", header.crc)));
        }
        Ok(meta)
    }
}

#[cfg(test)]
mod tests;
