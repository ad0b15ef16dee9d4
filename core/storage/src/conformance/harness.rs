//! Frames for the checks, and what a log of them should answer. Public so that a backend's own tests can use them.
//!
//! The frames are well-formed batches (header, lengths, checksum) whose bodies are noise, because no backend may look
//! inside.

use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use watershed_model::record::{BatchHeader, HEADER_BYTES};
use watershed_model::{LeaderEpoch, Offset, Piece, ProducerEpoch, ProducerId, Timestamp, TopicId, TopicIdPartition};

use super::{Broken, Says, Subject, broken, holds};
use crate::framing::BatchFraming;
use crate::{Ends, FlushMode, Frame, FrameMeta, Framing, LogStorage, PartitionLog, SegmentConfig};

/// A well-formed frame of `count` records from `base`, with a body of `body_bytes` bytes of noise.
///
/// # Panics
/// When `count` is 0 or does not fit the header.
#[must_use]
pub fn frame(base: i64, count: i32, epoch: i32, timestamp: i64, body_bytes: usize) -> Frame {
    assert!(count > 0, "a frame holds at least one record");
    let body = noise(base as u64 ^ ((epoch as u64) << 48), body_bytes);
    let mut header = BatchHeader {
        base_offset: Offset(base),
        total_bytes: u32::try_from(HEADER_BYTES + body_bytes).expect("a test's frame is small"),
        leader_epoch: LeaderEpoch(epoch),
        crc: 0,
        attributes: 0,
        last_offset_delta: count - 1,
        base_timestamp: Timestamp(timestamp),
        max_timestamp: Timestamp(timestamp),
        producer_id: ProducerId::NONE,
        producer_epoch: ProducerEpoch::NONE,
        base_sequence: -1,
        record_count: count,
    };
    header.crc = header.compute_crc(&body);
    let meta = FrameMeta {
        base: header.base_offset,
        last: header.last_offset(),
        epoch: header.leader_epoch,
        max_timestamp: header.max_timestamp,
        len: header.total_bytes,
        records: count.unsigned_abs(),
    };
    Frame { meta, head: header.to_bytes(), body }
}

fn noise(seed: u64, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        // xorshift64: enough to tell one frame's bytes from another's.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    Bytes::from(out)
}

/// One-record frames of 100 bytes and more at the offsets `from..to`.
#[must_use]
pub fn frames(from: i64, to: i64) -> Vec<Frame> {
    (from..to).map(|at| frame(at, 1, 0, 1_000 + at, 39 + at as usize % 50)).collect()
}

/// The frames as a reader sees them.
#[must_use]
pub fn wire<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Vec<u8> {
    let mut out = Vec::new();
    for Frame { head, body, .. } in frames {
        out.extend_from_slice(head);
        out.extend_from_slice(body);
    }
    out
}

/// The content of pieces, read from memory or file.
///
/// # Errors
/// What reading a file met.
pub fn gather(pieces: &[Piece]) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => out.extend_from_slice(bytes),
            Piece::File { file, pos, len, .. } => {
                let at = out.len();
                out.resize(at + *len as usize, 0);
                file.read_exact_at(&mut out[at..], *pos)?;
            }
        }
    }
    Ok(out)
}

/// The frames in a run of bytes.
///
/// # Errors
/// Bytes that are not whole, intact frames.
pub fn parse(mut bytes: &[u8]) -> Result<Vec<FrameMeta>, String> {
    let mut metas = Vec::new();
    while !bytes.is_empty() {
        let meta = BatchFraming.parse(bytes).map_err(|e| e.to_string())?;
        let frame = bytes.get(..meta.len as usize).ok_or_else(|| format!("the frame at {} is cut", meta.base))?;
        BatchFraming.verify(frame).map_err(|e| e.to_string())?;
        metas.push(meta);
        bytes = &bytes[frame.len()..];
    }
    Ok(metas)
}

/// The `n`-th partition that the checks use.
#[must_use]
pub fn partition(n: i32) -> TopicIdPartition {
    TopicIdPartition { topic: TopicId([0x5a; 16]), partition: n }
}

/// The settings that the checks use.
#[must_use]
pub fn config() -> SegmentConfig {
    SegmentConfig {
        segment_bytes: 16 << 20,
        // Small, so that even small logs have several index entries.
        index_interval_bytes: 256,
        flush: FlushMode::Sync,
        delete_delay: Duration::ZERO,
    }
}

/// Everything a log holds, for a comparison before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) start: Offset,
    pub(super) end: Offset,
    pub(super) content: Vec<u8>,
}

/// An open log with the calls that most checks make.
pub(super) struct Log {
    pub(super) log: Arc<dyn PartitionLog>,
    file_pieces: bool,
}

impl Subject {
    pub(super) async fn open(&self, n: i32) -> Result<Log, Broken> {
        open(&*self.storage, n).await
    }
}

pub(super) async fn open(storage: &dyn LogStorage, n: i32) -> Result<Log, Broken> {
    let opened = storage.open(partition(n), config(), Arc::new(BatchFraming));
    let (log, _) = opened.await.says("Opens a partition's log, making an empty one at offset 0 where there is none")?;
    let file_pieces = storage.caps().file_pieces;
    Ok(Log { log, file_pieces })
}

impl Log {
    /// The ends, after checking what always holds of them.
    pub(super) fn ends(&self) -> Result<Ends, Broken> {
        let ends = self.log.ends();
        let Ends { start, synced, promised, end, .. } = ends;
        holds!(start <= end, "start <= end", "{ends:?}");
        holds!(synced <= promised && promised <= end, "synced <= promised <= end", "{ends:?}");
        Ok(ends)
    }

    /// Appends and waits for the promise.
    pub(super) async fn append(&self, frames: &[Frame]) -> Result<(), Broken> {
        let ticket = self.log.append(frames.to_vec());
        ticket
            .says("Appends frames whose `meta.base` is at or above the end")?
            .await
            .says("the ticket ripens when they are promised")?;
        Ok(())
    }

    /// A read, by both ways, which must agree.
    pub(super) async fn read(&self, from: i64, upto: i64, max_bytes: u32, min_one: bool) -> Result<Vec<u8>, Broken> {
        let (from, upto) = (Offset(from), Offset(upto));
        let what = format!("read({from}, {upto}, {max_bytes}, {min_one})");
        let pieces = self.log.read(from, upto, max_bytes, min_one).wait().await;
        let pieces = pieces.says(&format!("{what} inside the log succeeds"))?;
        let in_files = pieces.iter().any(|p| matches!(p, Piece::File { .. }));
        holds!(
            self.file_pieces || !in_files,
            "Reads may return `Piece::File` (only with `caps.file_pieces`)",
            "{what} returned one"
        );
        let bytes = gather(&pieces).map_err(|e| broken("a piece is readable", format!("{what}: reading it: {e}")))?;
        let loaded = self.log.load(from, upto, max_bytes, min_one).await;
        let loaded = loaded.says(&format!("load as {what} inside the log succeeds"))?;
        holds!(
            loaded == bytes,
            "load: the same read, into memory",
            "{what} has {} bytes, load has {}",
            bytes.len(),
            loaded.len()
        );
        Ok(bytes)
    }

    /// Everything from the start to the end.
    pub(super) async fn held(&self) -> Result<Held, Broken> {
        let Ends { start, end, .. } = self.ends()?;
        let content = self.read(start.0, end.0, u32::MAX, false).await?;
        Ok(Held { start, end, content })
    }

    /// Checks that the log holds exactly these frames.
    pub(super) async fn holds<'a>(
        &self,
        frames: impl IntoIterator<Item = &'a Frame>,
        sentence: &str,
    ) -> Result<(), Broken> {
        let held = self.held().await?;
        let want = wire(frames);
        if held.content == want {
            return Ok(());
        }
        let list = |bytes: &[u8]| match parse(bytes) {
            Ok(metas) => {
                let offsets = metas.iter().map(|m| format!("{}..={}/{}", m.base, m.last, m.epoch));
                offsets.collect::<Vec<_>>().join(" ")
            }
            Err(e) => format!("{} bytes that are not frames: {e}", bytes.len()),
        };
        let (seen, want) = (list(&held.content), list(&want));
        Err(broken(sentence, format!("the log holds {seen}; expected {want}")))
    }

    /// Appends, rolls after each group, so that the log has a segment per group and an empty active one.
    pub(super) async fn append_segments(&self, groups: &[&[Frame]]) -> Result<(), Broken> {
        for group in groups {
            self.append(group).await?;
            self.roll(vec![]).await?;
        }
        Ok(())
    }

    pub(super) async fn roll(&self, blobs: Vec<crate::Blob>) -> Result<(), Broken> {
        let ticket = self.log.roll(blobs).says("roll seals the active segment and returns a ticket")?;
        ticket.await.says("the ticket ripens when segment, indexes and blobs are durable")?;
        Ok(())
    }

    pub(super) async fn checkpoint(&self, blobs: Vec<crate::Blob>) -> Result<(), Broken> {
        let ticket = self.log.checkpoint(blobs).says("checkpoint returns a ticket")?;
        ticket.await.says("checkpoint makes everything appended so far, and the blobs, durable")?;
        Ok(())
    }

    pub(super) async fn close(&self) -> Result<(), Broken> {
        self.log.close().await.says("close makes everything durable and closes the log's handles")
    }
}

/// A blob whose content follows from kind and position.
pub(super) fn blob(kind: u8, at: i64) -> crate::Blob {
    crate::Blob { kind, at: Offset(at), bytes: Bytes::from(format!("blob of kind {kind} at {at}")) }
}
