//! A machine's state as bytes, so that loading it need not read the whole log.
//!
//! Layout: magic, then for each record of [`StateMachine::snapshot`] its offset (i64), producer id (i64, -1 for none) and epoch (i16),
//! the lengths of key and value (u32; `u32::MAX` for no value), and both. Numbers are big-endian. The storage that keeps it has
//! its own checksum. Persisted: a change of the layout takes another magic.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use watershed_model::{Offset, ProducerEpoch, ProducerId};

use super::{Position, StateMachine};

const MAGIC: &[u8; 8] = b"WSCOORD1";
const NO_VALUE: u32 = u32::MAX;
/// Offset, producer, epoch and two lengths.
const ENTRY_BYTES: usize = 8 + 8 + 2 + 4 + 4;

pub(super) fn encode<M: StateMachine>(machine: &M) -> Result<Bytes, String> {
    let mut out = BytesMut::new();
    out.put_slice(MAGIC);
    let mut failure = None;
    machine.snapshot(&mut |record, position| {
        let (key, value) = match M::encode(&record) {
            Ok(encoded) => encoded,
            Err(reason) => {
                failure = Some(reason);
                return;
            }
        };
        let (id, epoch) = position.producer.unwrap_or((ProducerId::NONE, ProducerEpoch::NONE));
        let length = |bytes: &Bytes| u32::try_from(bytes.len()).expect("a record is below 2 GiB");
        out.reserve(ENTRY_BYTES + key.len() + value.as_ref().map_or(0, Bytes::len));
        out.put_i64(position.offset.0);
        out.put_i64(id.0);
        out.put_i16(epoch.0);
        out.put_u32(length(&key));
        out.put_u32(value.as_ref().map_or(NO_VALUE, length));
        out.put_slice(&key);
        out.put_slice(value.as_deref().unwrap_or_default());
    });
    failure.map_or_else(|| Ok(out.freeze()), Err)
}

pub(super) fn decode<M: StateMachine>(bytes: &Bytes, machine: &mut M) -> Result<(), String> {
    if !bytes.starts_with(MAGIC) {
        return Err("it is not a snapshot of a coordinator".to_owned());
    }
    let mut rest = bytes.slice(MAGIC.len()..);
    while !rest.is_empty() {
        if rest.len() < ENTRY_BYTES {
            return Err("it ends early".to_owned());
        }
        let offset = Offset(rest.get_i64());
        let producer = (ProducerId(rest.get_i64()), ProducerEpoch(rest.get_i16()));
        let (key, value) = (rest.get_u32(), rest.get_u32());
        let value_bytes = if value == NO_VALUE { 0 } else { value as usize };
        if (key as usize).saturating_add(value_bytes) > rest.len() {
            return Err("it ends early".to_owned());
        }
        let key = rest.split_to(key as usize);
        // Copied, so that what the machine keeps of a record does not hold the whole snapshot in memory.
        let text = Bytes::copy_from_slice(&rest.split_to(value_bytes));
        let value = (value != NO_VALUE).then_some(&text);
        let producer = Some(producer).filter(|(id, _)| *id != ProducerId::NONE);
        if let Some(record) = M::decode(&key, value)? {
            machine.apply(record, Position { offset, producer });
        }
    }
    Ok(())
}
