//! Writes the protocol's primitive types, into one buffer with records put between its parts.
//!
//! Invariant: everything except records goes into one growing buffer; a run of records is remembered with the
//! position it belongs to and is never copied. So a response without records is one buffer, and the size in front of
//! a frame can be filled in at the end.

use bytes::{BufMut, Bytes, BytesMut};
use watershed_model::Piece;

use crate::wire::{Context, Wire};
use crate::{EncodeError, EncodeErrorKind, Records};

/// Records up to this size, in bytes, are copied into the buffer: cheaper than another element in a vectored write.
const RECORDS_COPIED_MAX: usize = 256;

/// A new buffer's capacity, in bytes: most responses fit.
const CAPACITY: usize = 256;

/// A message on its way out.
#[derive(Debug)]
pub struct Writer {
    buffer: BytesMut,
    /// What goes between the buffer's bytes: before the byte at that position.
    inserts: Vec<(usize, Piece)>,
    inserted_bytes: usize,
    message: &'static str,
    version: i16,
    owner: &'static str,
    field: &'static str,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

type Result<T> = std::result::Result<T, EncodeError>;

impl Writer {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    /// An empty one with room for so many bytes, records not counted.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            buffer: BytesMut::with_capacity(capacity),
            inserts: Vec::new(),
            inserted_bytes: 0,
            message: "",
            version: 0,
            owner: "",
            field: "",
        }
    }

    /// Says which message is written next, for errors.
    pub fn begin(&mut self, message: &'static str, version: i16) {
        (self.message, self.version) = (message, version);
        self.at("", "");
    }

    /// Says which field is written next, for errors.
    #[inline]
    pub fn at(&mut self, owner: &'static str, field: &'static str) {
        (self.owner, self.field) = (owner, field);
    }

    /// How many bytes were written, records included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len() + self.inserted_bytes
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[cold]
    fn error(&self, kind: EncodeErrorKind) -> EncodeError {
        EncodeError::new((self.message, self.version), (self.owner, self.field), self.len(), kind)
    }

    /// The error for a version that does not exist.
    #[must_use]
    pub fn unsupported_version(&self) -> EncodeError {
        self.error(EncodeErrorKind::UnsupportedVersion)
    }

    /// The error for a value that the version has no place for.
    #[must_use]
    pub fn field_not_in_version(&self) -> EncodeError {
        self.error(EncodeErrorKind::FieldNotInVersion)
    }

    /// The error for more bytes or elements than the protocol can say.
    pub(crate) fn too_long(&self, length: usize, max: usize) -> EncodeError {
        self.error(EncodeErrorKind::TooLong { length, max })
    }

    /// The value, where the version has no null.
    ///
    /// # Errors
    /// If it is null.
    pub fn not_null<'a, T>(&self, value: Option<&'a T>) -> Result<&'a T> {
        value.ok_or_else(|| self.error(EncodeErrorKind::UnexpectedNull))
    }

    /// Bytes as they are.
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.buffer.put_slice(bytes);
    }

    /// A truth value, one byte.
    pub fn put_bool(&mut self, value: bool) {
        self.buffer.put_u8(u8::from(value));
    }

    /// One byte.
    pub fn put_i8(&mut self, value: i8) {
        self.buffer.put_i8(value);
    }

    /// Two bytes, the most significant first, as in all that follow.
    pub fn put_i16(&mut self, value: i16) {
        self.buffer.put_i16(value);
    }

    /// Two bytes, unsigned.
    pub fn put_u16(&mut self, value: u16) {
        self.buffer.put_u16(value);
    }

    /// Four bytes.
    pub fn put_i32(&mut self, value: i32) {
        self.buffer.put_i32(value);
    }

    /// Four bytes, unsigned.
    pub fn put_u32(&mut self, value: u32) {
        self.buffer.put_u32(value);
    }

    /// Eight bytes.
    pub fn put_i64(&mut self, value: i64) {
        self.buffer.put_i64(value);
    }

    /// Eight bytes, IEEE 754.
    pub fn put_f64(&mut self, value: f64) {
        self.buffer.put_f64(value);
    }

    /// A number in groups of seven bits, the least significant first (KIP-482).
    pub fn put_unsigned_varint(&mut self, value: u32) {
        let (bytes, length) = unsigned_varint(value);
        self.buffer.put_slice(&bytes[..length]);
    }

    /// A length, or null, of at most `max`.
    fn put_length(&mut self, length: Option<usize>, max: usize) -> Result<()> {
        match length {
            None => self.put_i32(-1),
            Some(n) if n <= max => self.put_i32(n as i32),
            Some(n) => return Err(self.too_long(n, max)),
        }
        Ok(())
    }

    /// A compact length, or null, of at most `max`.
    fn put_compact_length(&mut self, length: Option<usize>, max: usize) -> Result<()> {
        match length {
            None => self.put_unsigned_varint(0),
            Some(n) if n <= max => self.put_unsigned_varint(n as u32 + 1),
            Some(n) => return Err(self.too_long(n, max)),
        }
        Ok(())
    }

    fn put_bytes_length(&mut self, length: Option<usize>, context: Context) -> Result<()> {
        let max = i32::MAX as usize;
        if context.flexible() { self.put_compact_length(length, max) } else { self.put_length(length, max) }
    }

    /// A text or null.
    ///
    /// # Errors
    /// If it is longer than 32767 bytes.
    pub fn put_string(&mut self, text: Option<&str>, context: Context) -> Result<()> {
        let max = i16::MAX as usize;
        let length = text.map(str::len);
        match length {
            _ if context.flexible() => self.put_compact_length(length, max)?,
            None => self.put_i16(-1),
            Some(n) if n <= max => self.put_i16(n as i16),
            Some(n) => return Err(self.too_long(n, max)),
        }
        self.put_slice(text.unwrap_or_default().as_bytes());
        Ok(())
    }

    /// A byte string or null.
    ///
    /// # Errors
    /// If it is longer than 2 GiB.
    pub fn put_bytes(&mut self, bytes: Option<&Bytes>, context: Context) -> Result<()> {
        self.put_bytes_length(bytes.map(Bytes::len), context)?;
        self.put_slice(bytes.map(|b| &b[..]).unwrap_or_default());
        Ok(())
    }

    /// Records that are in memory, or null.
    ///
    /// # Errors
    /// If they are longer than 2 GiB.
    pub fn put_record_bytes(&mut self, bytes: Option<&Bytes>, context: Context) -> Result<()> {
        self.put_bytes_length(bytes.map(Bytes::len), context)?;
        if let Some(bytes) = bytes {
            self.put_piece(&Piece::Bytes(bytes.clone()));
        }
        Ok(())
    }

    /// Records, never null.
    ///
    /// # Errors
    /// If they are longer than 2 GiB.
    pub fn put_records(&mut self, records: &Records, context: Context) -> Result<()> {
        self.put_bytes_length(Some(records.len()), context)?;
        for piece in records.pieces() {
            self.put_piece(piece);
        }
        Ok(())
    }

    /// A run of bytes, without copying unless it is short.
    pub fn put_piece(&mut self, piece: &Piece) {
        match piece {
            Piece::Bytes(bytes) if bytes.len() <= RECORDS_COPIED_MAX => self.put_slice(bytes),
            piece if piece.is_empty() => {}
            piece => {
                self.inserted_bytes += piece.len();
                self.inserts.push((self.buffer.len(), piece.clone()));
            }
        }
    }

    /// The number of elements of an array, or null.
    ///
    /// # Errors
    /// If there are more than the protocol can say.
    pub fn put_array_count(&mut self, count: Option<usize>, context: Context) -> Result<()> {
        self.put_bytes_length(count, context)
    }

    /// A struct after a byte that says whether it is there.
    ///
    /// # Errors
    /// If this version cannot carry it.
    pub fn nullable_struct<T: Wire>(&mut self, value: Option<&T>, context: Context) -> Result<()> {
        match value {
            None => {
                self.put_i8(-1);
                Ok(())
            }
            Some(value) => {
                self.put_i8(1);
                value.write(self, context)
            }
        }
    }

    /// One tagged field: tag, size, content. The size is put in front of the content once that is known; no tagged
    /// field holds records, so the content is at the buffer's end.
    ///
    /// # Errors
    /// If this version cannot carry it.
    pub fn tagged_field(&mut self, tag: u32, content: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.put_unsigned_varint(tag);
        let start = self.buffer.len();
        self.buffer.put_u8(0);
        content(self)?;
        let size = self.buffer.len() - start - 1;
        let max = i32::MAX as usize;
        if size > max {
            return Err(self.too_long(size, max));
        }
        let (bytes, length) = unsigned_varint(size as u32);
        self.buffer.put_bytes(0, length - 1);
        self.buffer.copy_within(start + 1..start + 1 + size, start + length);
        self.buffer[start..start + length].copy_from_slice(&bytes[..length]);
        Ok(())
    }

    /// Overwrites four bytes that were written before any records, at `position`.
    pub(crate) fn patch_i32(&mut self, position: usize, value: i32) {
        self.buffer[position..position + 4].copy_from_slice(&value.to_be_bytes());
    }

    /// What was written: the buffer's parts with the records between them. One piece if there are none.
    #[must_use]
    pub fn finish(self) -> Vec<Piece> {
        let mut rest = self.buffer.freeze();
        let mut pieces = Vec::with_capacity(2 * self.inserts.len() + 1);
        let mut done = 0;
        for (position, piece) in self.inserts {
            if position > done {
                pieces.push(Piece::Bytes(rest.split_to(position - done)));
                done = position;
            }
            pieces.push(piece);
        }
        if !rest.is_empty() {
            pieces.push(Piece::Bytes(rest));
        }
        pieces
    }

    /// What was written as one run of bytes; records are copied into it. For clients and tests.
    ///
    /// # Errors
    /// If a range of a file was written: those go to sockets only.
    pub fn into_bytes(self) -> Result<Bytes> {
        if self.inserts.is_empty() {
            return Ok(self.buffer.freeze());
        }
        if self.inserts.iter().any(|(_, piece)| matches!(piece, Piece::File { .. })) {
            return Err(self.error(EncodeErrorKind::FileRange));
        }
        let mut all = BytesMut::with_capacity(self.len());
        for piece in self.finish() {
            if let Piece::Bytes(bytes) = piece {
                all.put_slice(&bytes);
            }
        }
        Ok(all.freeze())
    }
}

/// The groups of seven bits and how many there are.
fn unsigned_varint(mut value: u32) -> ([u8; 5], usize) {
    let mut bytes = [0; 5];
    let mut length = 0;
    while value >= 0x80 {
        bytes[length] = value as u8 | 0x80;
        value >>= 7;
        length += 1;
    }
    bytes[length] = value as u8;
    (bytes, length + 1)
}
