//! Zigzag varints, as records use them (the encoding of Protocol Buffers' `sint32` and `sint64`).
//!
//! Small magnitudes of either sign take few bytes: the sign moves into the lowest bit, then seven bits go into each byte,
//! lowest first, and the top bit says that another follows.

use super::RecordError;

/// The most bytes a 32-bit varint takes.
pub(crate) const VARINT_BYTES_MAX: usize = 5;

/// Reads forward through a slice; every length is checked against what remains.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, RecordError> {
        let (first, rest) = self.rest.split_first().ok_or(RecordError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(RecordError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A 32-bit varint.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<i32, RecordError> {
        match self.rest {
            [a, rest @ ..] if *a < 0x80 => {
                self.rest = rest;
                Ok(unzigzag32(u32::from(*a)))
            }
            [a, b, rest @ ..] if *b < 0x80 => {
                self.rest = rest;
                Ok(unzigzag32(u32::from(*a & 0x7f) | u32::from(*b) << 7))
            }
            _ => self.varint_long_form(),
        }
    }

    fn varint_long_form(&mut self) -> Result<i32, RecordError> {
        let mut value = 0u32;
        for i in 0..VARINT_BYTES_MAX {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return Ok(unzigzag32(value));
            }
        }
        Err(RecordError::Varint)
    }

    /// A 64-bit varint.
    #[inline]
    pub(crate) fn varlong(&mut self) -> Result<i64, RecordError> {
        let mut value = 0u64;
        for i in 0..10 {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(RecordError::Varint)
    }

    /// A length and that many bytes; a negative length stands for null.
    #[inline]
    pub(crate) fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>, RecordError> {
        match usize::try_from(self.varint()?) {
            Ok(len) => self.take(len).map(Some),
            Err(_) => Ok(None),
        }
    }
}

#[inline]
const fn unzigzag32(value: u32) -> i32 {
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

/// Appends a varint of up to 64 bits. A 32-bit number has the same bytes in both widths.
pub(crate) fn put(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// How many bytes [`put`] writes.
pub(crate) const fn len(value: i64) -> usize {
    let bits = 64 - (((value << 1) ^ (value >> 63)) as u64).leading_zeros() as usize;
    if bits == 0 { 1 } else { bits.div_ceil(7) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_encodings() {
        let cases: [(i64, &[u8]); 7] = [
            (0, &[0]),
            (-1, &[1]),
            (1, &[2]),
            (63, &[0x7e]),
            (64, &[0x80, 1]),
            (-65, &[0x81, 1]),
            (i64::from(i32::MAX), &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
        ];
        for (value, bytes) in cases {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!(out, bytes, "{value}");
            assert_eq!(len(value), bytes.len(), "{value}");
            assert_eq!(Cursor::new(bytes).varint(), Ok(value as i32));
        }
    }

    #[test]
    fn too_long_and_cut_varints_are_errors() {
        assert_eq!(Cursor::new(&[0xff; 5]).varint(), Err(RecordError::Varint));
        assert_eq!(Cursor::new(&[0xff; 4]).varint(), Err(RecordError::Truncated));
        assert_eq!(Cursor::new(&[0xff; 10]).varlong(), Err(RecordError::Varint));
        assert_eq!(Cursor::new(&[]).varlong(), Err(RecordError::Truncated));
    }

    proptest! {
        #[test]
        fn every_number_comes_back(value: i64) {
            let mut out = Vec::new();
            put(&mut out, value);
            prop_assert_eq!(out.len(), len(value));
            prop_assert_eq!(Cursor::new(&out).varlong(), Ok(value));
            let mut out = Vec::new();
            put(&mut out, i64::from(value as i32));
            prop_assert_eq!(Cursor::new(&out).varint(), Ok(value as i32));
        }
    }
}
