//! zstd with contexts that are used again: making one costs more (some 20 µs) than decompressing a small batch.

use std::cell::RefCell;
use std::io::{self, Read};

use bytes::{Buf, Bytes};
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

/// A context that has given more than this is dropped instead of kept, in bytes: its window may have grown as large.
const KEPT_OUTPUT_BYTES_MAX: u64 = 4 << 20;

thread_local! {
    /// One idle context a thread: a walk never has two open.
    static IDLE: RefCell<Option<Decoder<'static>>> = const { RefCell::new(None) };
}

/// Decompresses one frame after another.
pub(crate) struct ZstdReader {
    decoder: Option<Decoder<'static>>,
    rest: Bytes,
    /// Inside a frame: the input may not end here.
    open: bool,
    produced: u64,
}

impl ZstdReader {
    pub(crate) fn new(body: Bytes) -> io::Result<Self> {
        let decoder = match IDLE.with_borrow_mut(Option::take) {
            Some(mut decoder) => {
                decoder.reinit()?;
                decoder
            }
            None => Decoder::new()?,
        };
        Ok(Self { decoder: Some(decoder), rest: body, open: false, produced: 0 })
    }
}

impl Drop for ZstdReader {
    fn drop(&mut self) {
        if self.produced <= KEPT_OUTPUT_BYTES_MAX
            && let Some(decoder) = self.decoder.take()
        {
            // A thread that is ending keeps nothing.
            let _ = IDLE.try_with(|idle| idle.replace(Some(decoder)));
        }
    }
}

impl Read for ZstdReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let decoder = self.decoder.as_mut().expect("it is taken only on drop");
        loop {
            if out.is_empty() || (self.rest.is_empty() && !self.open) {
                return Ok(0);
            }
            let mut input = InBuffer::around(&self.rest);
            let mut output = OutBuffer::around(out);
            let hint = decoder.run(&mut input, &mut output)?;
            let (read, written) = (input.pos(), output.pos());
            self.rest.advance(read);
            self.open = hint != 0;
            self.produced += written as u64;
            if written > 0 {
                return Ok(written);
            }
            if self.open && read == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends inside a zstd frame"));
            }
        }
    }
}
