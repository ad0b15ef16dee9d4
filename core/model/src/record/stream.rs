//! A batch's records, one by one, without taking the batch apart first.
//!
//! [`Records`] lends each record until the next is asked for. Uncompressed records are slices of the batch; compressed ones are
//! decompressed as far as the walk goes, into one buffer that grows only as bytes really arrive and never beyond a bound. A
//! count, size or length that a hostile batch claims is never allocated on its word.

use bytes::Bytes;

use super::compress::Decompressor;
use super::varint::{Cursor, VARINT_BYTES_MAX};
use super::{BatchHeader, Compression, Record, RecordError};

/// How much is decompressed at a time, in bytes.
const CHUNK_BYTES: usize = 16 * 1024;

/// The records of one batch, lent one at a time.
pub struct Records {
    source: Source,
    left: i32,
    count: i32,
}

enum Source {
    Plain { body: Bytes, at: usize },
    Compressed(Box<Inflating>),
}

struct Inflating {
    reader: Decompressor,
    /// Decompressed bytes; `at..end` is not consumed yet.
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    limit: usize,
    walked: u64,
}

impl Records {
    /// Starts at the first record of the batch with this header; `body` is everything after the header's 61 bytes.
    ///
    /// # Errors
    /// A negative record count or an unknown codec.
    pub fn new(header: &BatchHeader, body: Bytes, limit: usize) -> Result<Self, RecordError> {
        if header.record_count < 0 {
            return Err(RecordError::RecordCount(header.record_count));
        }
        let bits = (header.attributes & 0x07) as u8;
        let source = match header.compression().ok_or(RecordError::UnknownCodec(bits))? {
            Compression::None => Source::Plain { body, at: 0 },
            codec => {
                let reader = Decompressor::new(codec, body, limit)?;
                Source::Compressed(Box::new(Inflating { reader, buffer: Vec::new(), at: 0, end: 0, walked: 0, limit }))
            }
        };
        Ok(Self { source, left: header.record_count, count: header.record_count })
    }

    /// The next record; `None` after as many as the header counts.
    ///
    /// # Errors
    /// [`RecordError`] when a record is not one, when fewer are there than the header counts, or when bytes follow the last.
    /// After an error the walk is over.
    // Not an Iterator: the record borrows the buffer that the next call overwrites.
    #[allow(clippy::should_implement_trait)]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, RecordError> {
        if self.left == 0 {
            return if self.is_drained()? { Ok(None) } else { Err(RecordError::MoreThanCounted(self.count)) };
        }
        self.left -= 1;
        match &mut self.source {
            Source::Plain { body, at } => {
                let mut cursor = Cursor::new(&body[*at..]);
                let size = cursor.varint()?;
                let len = usize::try_from(size).map_err(|_| RecordError::RecordSize(size))?;
                let record = cursor.take(len)?;
                *at = body.len() - cursor.remaining();
                Record::parse(record).map(Some)
            }
            Source::Compressed(inflating) => inflating.next().map(Some),
        }
    }

    /// How many bytes of records, uncompressed, the walk has passed so far.
    #[must_use]
    pub fn bytes_walked(&self) -> u64 {
        match &self.source {
            Source::Plain { at, .. } => *at as u64,
            Source::Compressed(inflating) => inflating.walked,
        }
    }

    fn is_drained(&mut self) -> Result<bool, RecordError> {
        match &mut self.source {
            Source::Plain { body, at } => Ok(*at == body.len()),
            Source::Compressed(inflating) => Ok(!inflating.want(1)?),
        }
    }
}

impl Inflating {
    /// Decompresses until `len` unread bytes are in the buffer; false when the stream ends before.
    fn want(&mut self, len: usize) -> Result<bool, RecordError> {
        while self.end - self.at < len {
            if self.end == self.buffer.len() {
                self.make_room();
            }
            match self.reader.fill(&mut self.buffer[self.end..])? {
                0 => return Ok(false),
                n => self.end += n,
            }
        }
        Ok(true)
    }

    /// Moves what is unread to the front; doubles the buffer when that gives too little.
    fn make_room(&mut self) {
        self.buffer.copy_within(self.at..self.end, 0);
        self.end -= self.at;
        self.at = 0;
        if self.buffer.len() - self.end < CHUNK_BYTES {
            self.buffer.resize((self.buffer.len() * 2).max(CHUNK_BYTES), 0);
        }
    }

    fn next(&mut self) -> Result<Record<'_>, RecordError> {
        // The size may be shorter than the longest varint, so running out here is not yet an error.
        self.want(VARINT_BYTES_MAX)?;
        let mut cursor = Cursor::new(&self.buffer[self.at..self.end]);
        let size = cursor.varint()?;
        let len = usize::try_from(size).ok().filter(|n| *n <= self.limit).ok_or(RecordError::RecordSize(size))?;
        let size_bytes = self.end - cursor.remaining() - self.at;
        self.at += size_bytes;
        if !self.want(len)? {
            return Err(RecordError::Truncated);
        }
        let from = self.at;
        self.at += len;
        self.walked += (len + size_bytes) as u64;
        Record::parse(&self.buffer[from..from + len])
    }
}
