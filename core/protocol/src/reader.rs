//! Reads the protocol's primitive types from one message's bytes.
//!
//! Invariants: no method panics or allocates on the word of the bytes alone. A length is compared with the bytes
//! that remain, and the memory of arrays is charged to a budget in proportion to the frame, because an element of
//! one byte on the wire can be a struct of a hundred in memory.

use bytes::Bytes;
use watershed_model::TopicId;
use watershed_model::limits::{DECODED_MEMORY_MIN, DECODED_MEMORY_PER_BYTE_MAX};

use crate::wire::{Context, Wire};
use crate::{DecodeError, DecodeErrorKind, StrBytes};

/// A position in one message's bytes.
#[derive(Debug)]
pub struct Reader {
    bytes: Bytes,
    pos: usize,
    end: usize,
    memory_left: usize,
    message: &'static str,
    version: i16,
    owner: &'static str,
    field: &'static str,
}

type Result<T> = std::result::Result<T, DecodeError>;

impl Reader {
    /// Starts at the first of `bytes`. The message's name and version are for errors.
    #[must_use]
    pub fn new(bytes: Bytes, message: &'static str, version: i16) -> Self {
        let end = bytes.len();
        let memory_left = end.saturating_mul(DECODED_MEMORY_PER_BYTE_MAX).max(DECODED_MEMORY_MIN);
        Self { bytes, pos: 0, end, memory_left, message, version, owner: "", field: "" }
    }

    /// How many bytes remain.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.end - self.pos
    }

    /// How many bytes were read.
    #[must_use]
    pub fn position(&self) -> usize {
        self.pos
    }

    /// Says which field is read next, for errors.
    #[inline]
    pub fn at(&mut self, owner: &'static str, field: &'static str) {
        (self.owner, self.field) = (owner, field);
    }

    #[cold]
    fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::new((self.message, self.version), (self.owner, self.field), self.pos, kind)
    }

    /// Says which version follows, where the bytes themselves tell it; for errors.
    pub(crate) fn begin(&mut self, version: i16) {
        self.version = version;
    }

    /// The error for a version that does not exist.
    #[must_use]
    pub fn unsupported_version(&self) -> DecodeError {
        self.error(DecodeErrorKind::UnsupportedVersion)
    }

    /// The error for a null that is not allowed.
    #[must_use]
    pub fn unexpected_null(&self) -> DecodeError {
        self.error(DecodeErrorKind::UnexpectedNull)
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// If bytes remain.
    pub fn finish(mut self) -> Result<()> {
        if self.remaining() == 0 {
            return Ok(());
        }
        self.at("", "");
        Err(self.error(DecodeErrorKind::TrailingBytes(self.remaining())))
    }

    fn need(&self, needed: usize) -> Result<()> {
        if needed <= self.remaining() {
            return Ok(());
        }
        Err(self.error(DecodeErrorKind::Truncated { needed, remaining: self.remaining() }))
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.bytes[self.pos..self.end].first_chunk::<N>() {
            Some(chunk) => {
                self.pos += N;
                Ok(*chunk)
            }
            None => Err(self.error(DecodeErrorKind::Truncated { needed: N, remaining: self.remaining() })),
        }
    }

    /// The next `length` bytes, sharing the message's memory.
    ///
    /// # Errors
    /// If fewer remain.
    pub fn slice(&mut self, length: usize) -> Result<Bytes> {
        self.need(length)?;
        let slice = self.bytes.slice(self.pos..self.pos + length);
        self.pos += length;
        Ok(slice)
    }

    fn skip(&mut self, length: usize) -> Result<()> {
        self.need(length)?;
        self.pos += length;
        Ok(())
    }

    /// A truth value: one byte, any but zero is true.
    ///
    /// # Errors
    /// If no byte remains.
    pub fn bool(&mut self) -> Result<bool> {
        Ok(self.take::<1>()?[0] != 0)
    }

    /// One byte.
    ///
    /// # Errors
    /// If too few bytes remain; so do all that follow.
    pub fn i8(&mut self) -> Result<i8> {
        self.take().map(i8::from_be_bytes)
    }

    /// Two bytes, the most significant first, as in all that follow.
    ///
    /// # Errors
    /// If too few bytes remain.
    pub fn i16(&mut self) -> Result<i16> {
        self.take().map(i16::from_be_bytes)
    }

    /// Two bytes, unsigned.
    ///
    /// # Errors
    /// If too few bytes remain.
    pub fn u16(&mut self) -> Result<u16> {
        self.take().map(u16::from_be_bytes)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// If too few bytes remain.
    pub fn i32(&mut self) -> Result<i32> {
        self.take().map(i32::from_be_bytes)
    }

    /// Four bytes, unsigned.
    ///
    /// # Errors
    /// If too few bytes remain.
    pub fn u32(&mut self) -> Result<u32> {
        self.take().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// If too few bytes remain.
    pub fn i64(&mut self) -> Result<i64> {
        self.take().map(i64::from_be_bytes)
    }

    /// Eight bytes, IEEE 754.
    ///
    /// # Errors
    /// If too few bytes remain.
    pub fn f64(&mut self) -> Result<f64> {
        self.take().map(f64::from_be_bytes)
    }

    /// Sixteen bytes.
    ///
    /// # Errors
    /// If too few bytes remain.
    pub fn uuid(&mut self) -> Result<TopicId> {
        self.take().map(TopicId)
    }

    /// A number of up to 32 bits in groups of seven, the least significant first (KIP-482).
    ///
    /// # Errors
    /// If it does not end, or has more than 32 bits.
    pub fn unsigned_varint(&mut self) -> Result<u32> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let byte = self.take::<1>()?[0];
            let group = u32::from(byte & 0x7f);
            if shift == 28 && group > 0x0f {
                break;
            }
            value |= group << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.error(DecodeErrorKind::BadVarint))
    }

    /// A compact length: 0 is null, else one more than the length.
    fn compact_length(&mut self) -> Result<Option<usize>> {
        Ok(self.unsigned_varint()?.checked_sub(1).map(|n| n as usize))
    }

    fn length(&self, length: i32) -> Result<Option<usize>> {
        match length {
            -1 => Ok(None),
            n => match usize::try_from(n) {
                Ok(n) => Ok(Some(n)),
                Err(_) => Err(self.error(DecodeErrorKind::NegativeLength(n))),
            },
        }
    }

    /// No text is longer than the older form can say, also where the form could.
    fn string_length(&mut self, context: Context) -> Result<Option<usize>> {
        if context.flexible() {
            let length = self.compact_length()?;
            return match length {
                Some(n) if n > i16::MAX as usize => Err(self.error(DecodeErrorKind::TextTooLong(n))),
                length => Ok(length),
            };
        }
        let length = self.i16()?;
        self.length(i32::from(length))
    }

    fn bytes_length(&mut self, context: Context) -> Result<Option<usize>> {
        if context.flexible() {
            return self.compact_length();
        }
        let length = self.i32()?;
        self.length(length)
    }

    /// A text or null, copied out of the message.
    ///
    /// # Errors
    /// If it goes past the end or is not UTF-8.
    pub fn string(&mut self, context: Context) -> Result<Option<String>> {
        let Some(length) = self.string_length(context)? else {
            return Ok(None);
        };
        self.need(length)?;
        let bytes = &self.bytes[self.pos..self.pos + length];
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => return Err(self.error(DecodeErrorKind::BadText)),
        };
        self.pos += length;
        Ok(Some(text))
    }

    /// A text or null, sharing the message's memory.
    ///
    /// # Errors
    /// If it goes past the end or is not UTF-8.
    pub fn str_bytes(&mut self, context: Context) -> Result<Option<StrBytes>> {
        let Some(length) = self.string_length(context)? else {
            return Ok(None);
        };
        let bytes = self.slice(length)?;
        match StrBytes::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(self.error(DecodeErrorKind::BadText)),
        }
    }

    /// A byte string or null, sharing the message's memory.
    ///
    /// # Errors
    /// If it goes past the end.
    pub fn bytes(&mut self, context: Context) -> Result<Option<Bytes>> {
        match self.bytes_length(context)? {
            Some(length) => self.slice(length).map(Some),
            None => Ok(None),
        }
    }

    /// The number of elements of an array, or null; as many as returned can be in the bytes that remain, and their
    /// memory is within the message's budget.
    ///
    /// # Errors
    /// If there cannot be that many elements.
    pub fn array_count<T: Wire>(&mut self, context: Context) -> Result<Option<usize>> {
        let Some(count) = self.bytes_length(context)? else {
            return Ok(None);
        };
        let remaining = self.remaining();
        if count > remaining / T::min_size(context).max(1) {
            return Err(self.error(DecodeErrorKind::TooManyElements { count, remaining }));
        }
        let needed = count.saturating_mul(size_of::<T>());
        match self.memory_left.checked_sub(needed) {
            Some(left) => self.memory_left = left,
            None => {
                return Err(self.error(DecodeErrorKind::TooMuchMemory { needed, budget: self.memory_left }));
            }
        }
        Ok(Some(count))
    }

    /// A struct after a byte that is negative for null.
    ///
    /// # Errors
    /// If the bytes are not such a struct.
    pub fn nullable_struct<T: Wire>(&mut self, context: Context) -> Result<Option<T>> {
        if self.i8()? < 0 { Ok(None) } else { T::read(self, context).map(Some) }
    }

    /// The tagged fields at the end of a struct. `known` reads the field of a tag and says whether it knows it;
    /// the others are skipped, as the protocol demands. Like Kafka's own reader it does not insist on the tags' order.
    ///
    /// # Errors
    /// If a field goes past the end or `known` left some of it.
    pub fn tagged_fields(
        &mut self,
        owner: &'static str,
        mut known: impl FnMut(&mut Self, u32) -> Result<bool>,
    ) -> Result<()> {
        self.at(owner, "tagged fields");
        let count = self.unsigned_varint()?;
        for _ in 0..count {
            self.at(owner, "tagged fields");
            let tag = self.unsigned_varint()?;
            let size = self.unsigned_varint()? as usize;
            self.need(size)?;
            let outer = std::mem::replace(&mut self.end, self.pos + size);
            if !known(self, tag)? {
                self.skip(size)?;
            }
            if self.remaining() != 0 {
                return Err(self.error(DecodeErrorKind::TaggedFieldTooLong(self.remaining())));
            }
            self.end = outer;
        }
        Ok(())
    }

    /// The tagged fields of a struct that knows none.
    ///
    /// # Errors
    /// If they go past the end.
    pub fn skip_tagged_fields(&mut self, owner: &'static str) -> Result<()> {
        self.tagged_fields(owner, |_, _| Ok(false))
    }
}
