//! One record inside a batch.
//!
//! Layout (KIP-98): size varint (of what follows), attributes i8 (unused), timestamp delta varlong, offset delta varint, key,
//! value (length varint, -1 for null), header count varint, then per header a key (never null) and a value. A [`Record`] is
//! a view: its parts are slices of the batch, and headers are taken apart only when somebody looks.

use bytes::Bytes;

use super::RecordError;
use super::varint::{self, Cursor};
use crate::limits::RECORD_HEADERS_MAX;

/// A view of one record. Deltas count from the batch's base offset and base timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The attribute byte; no bit of it has a meaning yet.
    pub attributes: i8,
    /// Milliseconds after the batch's base timestamp.
    pub timestamp_delta: i64,
    /// Records after the batch's base offset.
    pub offset_delta: i32,
    /// The key; `None` for null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` for null (a tombstone in a compacted topic).
    pub value: Option<&'a [u8]>,
    /// The headers, in order, duplicates included.
    pub headers: Headers<'a>,
}

/// The headers of one record: checked bytes that are taken apart on iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The headers one by one. Keys are UTF-8 by convention only, so they stay bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut cursor = Cursor::new(self.bytes);
        (0..self.count).map(move |_| read_header(&mut cursor).expect("headers were checked when the record was parsed"))
    }
}

#[inline]
fn read_header<'a>(cursor: &mut Cursor<'a>) -> Result<(&'a [u8], Option<&'a [u8]>), RecordError> {
    let key = cursor.nullable_bytes()?.ok_or(RecordError::NullHeaderKey)?;
    Ok((key, cursor.nullable_bytes()?))
}

impl<'a> Record<'a> {
    /// Parses what follows the size varint; `body` is exactly as long as that size says.
    #[inline]
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, RecordError> {
        let mut cursor = Cursor::new(body);
        let attributes = cursor.byte()? as i8;
        let timestamp_delta = cursor.varlong()?;
        let offset_delta = cursor.varint()?;
        let key = cursor.nullable_bytes()?;
        let value = cursor.nullable_bytes()?;
        let claimed = cursor.varint()?;
        // A header takes two bytes at least.
        let count = usize::try_from(claimed).ok().filter(|n| *n <= RECORD_HEADERS_MAX && *n <= cursor.remaining() / 2);
        let count = count.ok_or(RecordError::HeaderCount(claimed))?;
        let bytes = cursor.rest();
        for _ in 0..count {
            read_header(&mut cursor)?;
        }
        if cursor.remaining() != 0 {
            return Err(RecordError::Leftover(cursor.remaining()));
        }
        Ok(Self { attributes, timestamp_delta, offset_delta, key, value, headers: Headers { count, bytes } })
    }

    /// Appends the record as another batch holds it, with that batch's deltas. The headers' bytes are copied as they are.
    pub(crate) fn encode(&self, out: &mut Vec<u8>, timestamp_delta: i64, offset_delta: i32) {
        let body = 1
            + varint::len(timestamp_delta)
            + varint::len(i64::from(offset_delta))
            + nullable_len(self.key)
            + nullable_len(self.value)
            + varint::len(self.headers.count as i64)
            + self.headers.bytes.len();
        out.reserve(body + varint::VARINT_BYTES_MAX);
        varint::put(out, body as i64);
        out.push(self.attributes as u8);
        varint::put(out, timestamp_delta);
        varint::put(out, i64::from(offset_delta));
        put_nullable(out, self.key);
        put_nullable(out, self.value);
        varint::put(out, self.headers.count as i64);
        out.extend_from_slice(self.headers.bytes);
    }
}

/// What a producer puts in: the parts of a record, borrowed.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewRecord<'a> {
    /// The key; `None` for null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` for null.
    pub value: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
}

fn nullable_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |b| varint::len(b.len() as i64) + b.len())
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            varint::put(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
        None => varint::put(out, -1),
    }
}

impl NewRecord<'_> {
    fn body_len(&self, timestamp_delta: i64, offset_delta: i32) -> usize {
        let headers: usize = self.headers.iter().map(|(k, v)| nullable_len(Some(k)) + nullable_len(*v)).sum();
        1 + varint::len(timestamp_delta)
            + varint::len(i64::from(offset_delta))
            + nullable_len(self.key)
            + nullable_len(self.value)
            + varint::len(self.headers.len() as i64)
            + headers
    }

    /// How many bytes the record takes in a batch, its own size field included.
    #[must_use]
    pub fn encoded_len(&self, timestamp_delta: i64, offset_delta: i32) -> usize {
        let body = self.body_len(timestamp_delta, offset_delta);
        varint::len(body as i64) + body
    }

    /// Appends the record as a batch holds it, its size in front.
    pub fn encode(&self, out: &mut Vec<u8>, timestamp_delta: i64, offset_delta: i32) {
        let body = self.body_len(timestamp_delta, offset_delta);
        out.reserve(body + varint::VARINT_BYTES_MAX);
        varint::put(out, body as i64);
        out.push(0);
        varint::put(out, timestamp_delta);
        varint::put(out, i64::from(offset_delta));
        put_nullable(out, self.key);
        put_nullable(out, self.value);
        varint::put(out, self.headers.len() as i64);
        for (key, value) in self.headers {
            put_nullable(out, Some(key));
            put_nullable(out, *value);
        }
    }
}

/// Appends a record without headers as the first of a batch, its value given in two parts.
pub fn put_record(out: &mut Vec<u8>, key: &[u8], value: [&[u8]; 2]) {
    let len = value[0].len() + value[1].len();
    let body = 1 + 1 + 1 + nullable_len(Some(key)) + varint::len(len as i64) + len + 1;
    out.reserve(body + varint::VARINT_BYTES_MAX);
    varint::put(out, body as i64);
    out.extend_from_slice(&[0, 0, 0]);
    put_nullable(out, Some(key));
    varint::put(out, len as i64);
    out.extend_from_slice(value[0]);
    out.extend_from_slice(value[1]);
    out.push(0);
}

/// A record that owns its parts: what a consumer takes away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRecord {
    /// The record's offset in its partition.
    pub offset: crate::Offset,
    /// The record's timestamp: its own, or the batch's where the broker set it.
    pub timestamp: crate::Timestamp,
    /// The key; `None` for null.
    pub key: Option<Bytes>,
    /// The value; `None` for null.
    pub value: Option<Bytes>,
    /// The headers, in order, duplicates included.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}
