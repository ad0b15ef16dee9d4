//! The four codecs, in the framing that Kafka's clients write.
//!
//! Reading is streamed and bounded: a few hostile bytes that would decompress to gigabytes cost an error. Everything that the
//! Java client and librdkafka write is read (snappy in xerial's framing and raw, lz4's standard frame, gzip with several
//! members, zstd); what is written here, the Java client reads. The codecs themselves are libraries.

mod snappy;
mod zstd_reader;

use std::io::{self, Read, Write};

use bytes::Bytes;

use super::{Compression, RecordError};

/// How hard to compress; `None` is the codec's own default (gzip 6, zstd 3). Snappy and lz4 have one level here.
pub type Level = Option<i32>;

/// A reader of one batch's decompressed bytes, bounded in output. Errors of the codec come as `io::Error` and are turned
/// into [`RecordError`] by [`Decompressor::fill`].
pub(crate) struct Decompressor {
    codec: Compression,
    reader: Reader,
    produced: usize,
    limit: usize,
}

enum Reader {
    Gzip(Box<flate2::bufread::MultiGzDecoder<io::Cursor<Bytes>>>),
    Snappy(snappy::SnappyReader),
    Lz4(Box<lz4_flex::frame::FrameDecoder<io::Cursor<Bytes>>>),
    Zstd(zstd_reader::ZstdReader),
}

impl Decompressor {
    /// Reads `body`, which is compressed with `codec` (not [`Compression::None`]), to at most `limit` bytes.
    pub(crate) fn new(codec: Compression, body: Bytes, limit: usize) -> Result<Self, RecordError> {
        let reader = match codec {
            Compression::None => {
                return Err(RecordError::Codec { codec, reason: "it is not compressed".into() });
            }
            Compression::Gzip => Reader::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(io::Cursor::new(body)))),
            Compression::Snappy => Reader::Snappy(snappy::SnappyReader::new(body, limit)),
            Compression::Lz4 => Reader::Lz4(Box::new(lz4_flex::frame::FrameDecoder::new(io::Cursor::new(body)))),
            Compression::Zstd => Reader::Zstd(zstd_reader::ZstdReader::new(body).map_err(|e| codec_error(codec, &e))?),
        };
        Ok(Self { codec, reader, produced: 0, limit })
    }

    /// Reads some bytes into `out`; 0 at the end.
    pub(crate) fn fill(&mut self, out: &mut [u8]) -> Result<usize, RecordError> {
        // One byte beyond the bound is asked for, so that a stream of exactly `limit` bytes still reaches its end.
        let room = (self.limit - self.produced).saturating_add(1).min(out.len());
        let out = &mut out[..room];
        let read = match &mut self.reader {
            Reader::Gzip(r) => r.read(out),
            Reader::Snappy(r) => r.read(out),
            Reader::Lz4(r) => r.read(out),
            Reader::Zstd(r) => r.read(out),
        };
        let n = read.map_err(|e| codec_error(self.codec, &e))?;
        if n > self.limit - self.produced {
            return Err(RecordError::DecompressedSize { limit: self.limit });
        }
        self.produced += n;
        Ok(n)
    }
}

fn codec_error(codec: Compression, error: &io::Error) -> RecordError {
    RecordError::Codec { codec, reason: error.to_string() }
}

/// Decompresses a batch's body (everything after its header).
///
/// # Errors
/// [`RecordError::Codec`] when it does not decompress, [`RecordError::DecompressedSize`] when it gives more than `limit` bytes.
pub fn decompress(codec: Compression, body: Bytes, limit: usize) -> Result<Bytes, RecordError> {
    if codec == Compression::None {
        return if body.len() > limit { Err(RecordError::DecompressedSize { limit }) } else { Ok(body) };
    }
    let mut out = vec![0; body.len().saturating_mul(4).clamp(4096, 1 << 20)];
    let mut len = 0;
    let mut reader = Decompressor::new(codec, body, limit)?;
    loop {
        if len == out.len() {
            out.resize(out.len() * 2, 0);
        }
        match reader.fill(&mut out[len..])? {
            0 => break,
            n => len += n,
        }
    }
    out.truncate(len);
    Ok(out.into())
}

/// Compresses a batch's body, appending to `out`.
///
/// # Errors
/// [`RecordError::Codec`] when the codec refuses, which it does for a level out of its range.
pub fn compress(codec: Compression, level: Level, body: &[u8], out: &mut Vec<u8>) -> Result<(), RecordError> {
    let result = match codec {
        Compression::None => {
            out.extend_from_slice(body);
            Ok(())
        }
        Compression::Gzip => gzip(level, body, out),
        Compression::Snappy => snappy::compress(body, out),
        Compression::Lz4 => lz4(body, out),
        Compression::Zstd => zstd_frame(level, body, out),
    };
    result.map_err(|e| codec_error(codec, &e))
}

fn gzip(level: Level, body: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let level = match level {
        None | Some(-1) => flate2::Compression::default(),
        Some(n @ 1..=9) => flate2::Compression::new(n.unsigned_abs()),
        Some(n) => return Err(io::Error::other(format!("gzip has levels 1 to 9, not {n}"))),
    };
    let mut encoder = flate2::write::GzEncoder::new(out, level);
    encoder.write_all(body)?;
    encoder.finish().map(drop)
}

/// The frame as the Java client writes it: independent blocks of 64 KiB, no checksums of blocks or content.
fn lz4(body: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let info = lz4_flex::frame::FrameInfo::new()
        .block_size(lz4_flex::frame::BlockSize::Max64KB)
        .block_mode(lz4_flex::frame::BlockMode::Independent);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, out);
    encoder.write_all(body)?;
    encoder.finish().map(drop).map_err(io::Error::other)
}

fn zstd_frame(level: Level, body: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut encoder = zstd::stream::write::Encoder::new(out, level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL))?;
    encoder.set_pledged_src_size(Some(body.len() as u64))?;
    encoder.write_all(body)?;
    encoder.finish().map(drop)
}
