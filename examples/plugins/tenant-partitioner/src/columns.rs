//! Packed columns: all values one behind the other, where each ends, and a bit for each that is not null.
#![allow(dead_code, reason = "not every plugin uses all of it")]

use alloc::vec::Vec;

use crate::watershed::plugin::types::{Column, HeaderColumns};

/// The value of record `i`; `None` where it is null.
pub(crate) fn get(column: &Column, i: usize) -> Option<&[u8]> {
    let end = *column.ends.get(i)? as usize;
    let begin = if i == 0 { 0 } else { column.ends[i - 1] as usize };
    let is_valid = column.valid.is_empty() || column.valid[i / 8] >> (i % 8) & 1 == 1;
    is_valid.then(|| &column.data[begin..end])
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
        if i.is_multiple_of(8) {
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

/// No headers of no records.
pub(crate) fn no_headers() -> HeaderColumns {
    let empty = || Builder::default().finish();
    HeaderColumns { ends: Vec::new(), names: empty(), values: empty() }
}
