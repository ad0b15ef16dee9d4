//! Reading and writing packed columns.

use alloc::vec::Vec;

use crate::watershed::plugin::types::{Column, HeaderColumns, Pick};

/// The value of a record; `None` where it is null, or there is no such record.
pub(crate) fn get(column: &Column, i: usize) -> Option<&[u8]> {
    let end = *column.ends.get(i)? as usize;
    let begin = if i == 0 { 0 } else { column.ends[i - 1] as usize };
    let valid = column.valid.get(i / 8).is_none_or(|byte| byte & (1 << (i % 8)) != 0);
    valid.then(|| &column.data[begin..end])
}

/// The headers of a record.
pub(crate) fn headers_of(headers: &HeaderColumns, i: usize) -> impl DoubleEndedIterator<Item = (&[u8], Option<&[u8]>)> {
    let begin = if i == 0 { 0 } else { headers.ends[i - 1] as usize };
    (begin..headers.ends[i] as usize).map(|h| (get(&headers.names, h).unwrap_or_default(), get(&headers.values, h)))
}

/// One header of a record.
pub(crate) fn header<'h>(headers: &'h HeaderColumns, i: usize, name: &[u8], which: Pick) -> Option<&'h [u8]> {
    let mut found = headers_of(headers, i).filter(|(known, _)| *known == name);
    match which {
        Pick::First => found.next()?.1,
        Pick::Last => found.next_back()?.1,
    }
}

/// A column on its way out.
#[derive(Default)]
pub(crate) struct Builder {
    data: Vec<u8>,
    ends: Vec<u32>,
    valid: Vec<u8>,
}

impl Builder {
    /// Adds a value, or null.
    pub(crate) fn push(&mut self, value: Option<&[u8]>) {
        let i = self.ends.len();
        if i % 8 == 0 {
            self.valid.push(0);
        }
        if let Some(value) = value {
            self.valid[i / 8] |= 1 << (i % 8);
            self.data.extend_from_slice(value);
        }
        self.ends.push(self.data.len() as u32);
    }

    /// The column.
    pub(crate) fn finish(self) -> Column {
        Column { data: self.data, ends: self.ends, valid: self.valid }
    }
}

/// The headers of several records on their way out.
#[derive(Default)]
pub(crate) struct HeaderBuilder {
    ends: Vec<u32>,
    names: Builder,
    values: Builder,
}

impl HeaderBuilder {
    /// Adds the headers of a record.
    pub(crate) fn push<'h>(&mut self, headers: impl Iterator<Item = (&'h [u8], Option<&'h [u8]>)>) {
        for (name, value) in headers {
            self.names.push(Some(name));
            self.values.push(value);
        }
        self.ends.push(self.names.ends.len() as u32);
    }

    /// The headers.
    pub(crate) fn finish(self) -> HeaderColumns {
        HeaderColumns { ends: self.ends, names: self.names.finish(), values: self.values.finish() }
    }
}

/// The hash by which Kafka's Java client chooses partitions. The helper of the same name says the same; for keys it costs more
/// to call it than to do it.
pub(crate) fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let k = u32::from_le_bytes(*word).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (k ^ (k >> 24)).wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (i, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}
