//! Snappy in its two Kafka forms: xerial's framing (the Java clients, and what is written here) and one raw block (librdkafka).
//!
//! Xerial: 8 magic bytes, version i32, compatible version i32, then blocks of a big-endian i32 length and that many bytes of
//! raw snappy. It is not the framing format that snappy itself specifies, which no Kafka client writes.

use std::io::{self, Read};

use bytes::{Buf, Bytes};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const HEADER_BYTES: usize = 16;
const VERSION: i32 = 1;
/// The block size of the Java library, in bytes of input.
const BLOCK_BYTES: usize = 32 * 1024;
/// No snappy element expands more than this (a 3-byte copy gives 64 bytes), so a longer claim is a lie.
const RATIO_MAX: usize = 22;

/// Decompresses either form, a block at a time.
pub(crate) struct SnappyReader {
    rest: Bytes,
    started: bool,
    xerial: bool,
    block: Vec<u8>,
    at: usize,
    limit: usize,
}

impl SnappyReader {
    pub(crate) fn new(body: Bytes, limit: usize) -> Self {
        Self { rest: body, started: false, xerial: false, block: Vec::new(), at: 0, limit }
    }

    fn start(&mut self) {
        self.started = true;
        self.xerial = self.rest.len() >= HEADER_BYTES && self.rest.starts_with(&MAGIC);
        if self.xerial {
            self.rest.advance(HEADER_BYTES);
        }
    }

    /// Makes the next non-empty block current; false at the end.
    fn next_block(&mut self) -> io::Result<bool> {
        if !self.started {
            self.start();
        }
        while !self.rest.is_empty() {
            let block = if self.xerial { self.xerial_block()? } else { std::mem::take(&mut self.rest) };
            self.decompress(&block)?;
            if !self.block.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn xerial_block(&mut self) -> io::Result<Bytes> {
        if self.rest.len() < 4 {
            return Err(io::Error::other("it ends in a block's length"));
        }
        let claimed = self.rest.get_i32();
        match usize::try_from(claimed) {
            Ok(len) if len <= self.rest.len() => Ok(self.rest.split_to(len)),
            _ => Err(io::Error::other(format!("a block of {claimed} bytes where {} remain", self.rest.len()))),
        }
    }

    fn decompress(&mut self, block: &[u8]) -> io::Result<()> {
        let len = snap::raw::decompress_len(block).map_err(io::Error::other)?;
        if len > block.len().saturating_mul(RATIO_MAX) {
            return Err(io::Error::other(format!("{} bytes cannot hold the {len} that they claim", block.len())));
        }
        // The bound of the whole batch holds for each block; one byte more lets the caller name the real reason.
        if len > self.limit {
            return Err(io::Error::other(format!("a block of {len} bytes, above the bound of {}", self.limit)));
        }
        self.block.resize(len, 0);
        self.at = 0;
        let n = snap::raw::Decoder::new().decompress(block, &mut self.block).map_err(io::Error::other)?;
        self.block.truncate(n);
        Ok(())
    }
}

impl Read for SnappyReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len() && !self.next_block()? {
            return Ok(0);
        }
        let n = out.len().min(self.block.len() - self.at);
        out[..n].copy_from_slice(&self.block[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// Writes xerial's framing.
pub(crate) fn compress(body: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&VERSION.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in body.chunks(BLOCK_BYTES) {
        let at = out.len();
        out.resize(at + 4 + snap::raw::max_compress_len(block.len()), 0);
        let n = encoder.compress(block, &mut out[at + 4..]).map_err(io::Error::other)?;
        let len = i32::try_from(n).expect("a compressed block of 32 KiB is far below 2 GiB");
        out[at..at + 4].copy_from_slice(&len.to_be_bytes());
        out.truncate(at + 4 + n);
    }
    Ok(())
}
