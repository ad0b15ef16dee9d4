//! Producer states as a blob, version 1, big-endian: version u8, count u32, per producer id i64, epoch i16, coordinator epoch
//! i32, last timestamp i64, active at i64, transaction start i64 (-1 for none), batches u8 and per batch last sequence i32, last
//! offset i64, offset delta i32, timestamp i64; per ended transaction that waits (count u32) first offset i64 and marker i64; then
//! the CRC-32C of all of it. All five batches are kept, so that a restart does not shorten the duplicate window.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use watershed_model::limits::PRODUCER_BATCHES_REMEMBERED;
use watershed_model::{Offset, ProducerEpoch, ProducerId, Timestamp};

use super::{BatchMeta, Entry, ProducerStates};

const VERSION: u8 = 1;
const ENTRY_BYTES: usize = 8 + 2 + 4 + 8 + 8 + 8 + 1;
const BATCH_BYTES: usize = 4 + 8 + 4 + 8;

/// Writes the states.
pub(crate) fn encode(states: &ProducerStates) -> Bytes {
    let mut out = BytesMut::with_capacity(64 + states.len() * (ENTRY_BYTES + BATCH_BYTES));
    out.put_u8(VERSION);
    out.put_u32(u32::try_from(states.len()).expect("memory ends long before 2^32 producers"));
    for (id, entry) in states.iter() {
        out.put_i64(id.0);
        out.put_i16(entry.epoch.0);
        out.put_i32(entry.coordinator_epoch);
        out.put_i64(entry.last_timestamp.0);
        out.put_i64(entry.active_at.0);
        out.put_i64(entry.transaction_start.map_or(-1, |o| o.0));
        out.put_u8(entry.batches().count() as u8);
        for meta in entry.batches() {
            out.put_i32(meta.last_sequence);
            out.put_i64(meta.last_offset.0);
            out.put_i32(meta.offset_delta);
            out.put_i64(meta.timestamp.0);
        }
    }
    out.put_u32(u32::try_from(states.ended.len()).expect("memory ends long before 2^32 transactions"));
    for (first, marker) in &states.ended {
        out.put_i64(first.0);
        out.put_i64(marker.0);
    }
    let sum = crc32c::crc32c(&out);
    out.put_u32(sum);
    out.freeze()
}

/// Reads what [`encode`] wrote; `None` if the bytes are anything else.
pub(crate) fn decode(bytes: &[u8]) -> Option<ProducerStates> {
    let (content, sum) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(content) != u32::from_be_bytes(*sum) {
        return None;
    }
    let mut rest = content;
    if rest.try_get_u8().ok()? != VERSION {
        return None;
    }
    let mut states = ProducerStates::default();
    for _ in 0..rest.try_get_u32().ok()? {
        let (id, entry) = decode_entry(&mut rest)?;
        states.insert(id, entry);
    }
    for _ in 0..rest.try_get_u32().ok()? {
        states.ended.insert(Offset(rest.try_get_i64().ok()?), Offset(rest.try_get_i64().ok()?));
    }
    rest.is_empty().then_some(states)
}

fn decode_entry(rest: &mut &[u8]) -> Option<(ProducerId, Entry)> {
    let id = ProducerId(rest.try_get_i64().ok()?);
    let mut entry = Entry::new(ProducerEpoch(rest.try_get_i16().ok()?));
    entry.coordinator_epoch = rest.try_get_i32().ok()?;
    entry.last_timestamp = Timestamp(rest.try_get_i64().ok()?);
    entry.active_at = Timestamp(rest.try_get_i64().ok()?);
    entry.transaction_start = Some(rest.try_get_i64().ok()?).filter(|o| *o >= 0).map(Offset);
    let batches = usize::from(rest.try_get_u8().ok()?);
    if batches > PRODUCER_BATCHES_REMEMBERED {
        return None;
    }
    for _ in 0..batches {
        entry.push(BatchMeta {
            last_sequence: rest.try_get_i32().ok()?,
            last_offset: Offset(rest.try_get_i64().ok()?),
            offset_delta: rest.try_get_i32().ok()?,
            timestamp: Timestamp(rest.try_get_i64().ok()?),
        });
    }
    Some((id, entry))
}
