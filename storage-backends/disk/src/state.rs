//! The state file of a partition: everything that a start must know without scanning, and the blobs of one checkpoint.
//!
//! Each checkpoint, truncation or move of the log start writes a new file `<sequence, 20 digits>.state`: the whole
//! manifest (log start, recovery point, facts of the segments below it, where every kept blob lies) and behind it the
//! blobs of that checkpoint. One file, so blobs and the recovery point that relies on them become durable in one step.
//! The newest valid file counts. Older ones stay only while they hold a blob that is still kept.
//!
//! Layout: manifest length u32 (checksum included), manifest (magic, numbers, CRC-32C), then the blobs' bytes, each with
//! its own CRC-32C in the manifest's table.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use watershed_model::{LeaderEpoch, Offset, Timestamp};
use watershed_storage::FrameMeta;

use crate::codec::{Reader, Writer};
use crate::fs::{Fs, OpenMode, read_full};
use crate::index::{Before, NO_TIME};

const MAGIC: &[u8; 8] = b"WSSTATE2";
const SEGMENT_BYTES: usize = 66;
const GONE_BYTES: usize = 8;
const BLOB_BYTES: usize = 33;
/// The largest manifest that is believed, in bytes.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;
/// The length field in front of the manifest.
pub(crate) const PREFIX_BYTES: usize = 4;

/// What is known of a segment, or of its part below the recovery point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Its first offset.
    pub(crate) base: Offset,
    /// The offset after its last frame.
    pub(crate) end: Offset,
    /// Its frames' bytes: also the position of the next frame.
    pub(crate) bytes: u64,
    /// Its frames' records.
    pub(crate) records: u64,
    /// How often it was written anew: in the names of its files.
    pub(crate) rewrites: u32,
    /// The largest timestamp of its first frame.
    pub(crate) first_timestamp: Option<Timestamp>,
    /// The largest timestamp.
    pub(crate) max_timestamp: Option<Timestamp>,
    /// When it was last appended to.
    pub(crate) modified: Timestamp,
    /// The epoch of its last frame (or of the last one before it).
    pub(crate) last_epoch: LeaderEpoch,
    /// Closed for appends.
    pub(crate) sealed: bool,
}

impl Facts {
    /// An empty segment.
    pub(crate) fn empty(base: Offset, last_epoch: LeaderEpoch, now: Timestamp) -> Self {
        Self {
            base,
            end: base,
            bytes: 0,
            records: 0,
            rewrites: 0,
            first_timestamp: None,
            max_timestamp: None,
            modified: now,
            last_epoch,
            sealed: false,
        }
    }

    /// What can come behind it at the earliest: it begins where this ends, in no earlier epoch.
    pub(crate) fn behind(&self) -> FrameMeta {
        FrameMeta { base: self.end, last: self.end, epoch: self.last_epoch, max_timestamp: NO_TIME, len: 0, records: 0 }
    }

    /// What comes before the next frame.
    pub(crate) fn before(&self) -> Before {
        Before { time: self.max_timestamp.unwrap_or(NO_TIME), records: self.records }
    }

    /// Takes note of a frame that follows.
    pub(crate) fn add(&mut self, meta: &FrameMeta) {
        self.end = meta.last.plus(1);
        self.bytes += u64::from(meta.len);
        self.records += u64::from(meta.records);
        self.first_timestamp.get_or_insert(meta.max_timestamp);
        self.max_timestamp = self.max_timestamp.max(Some(meta.max_timestamp));
        self.last_epoch = meta.epoch;
    }
}

/// Where a kept blob lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlobRef {
    /// In the numbering of the layer above.
    pub(crate) kind: u8,
    /// Its position in the log.
    pub(crate) at: Offset,
    /// The state file that holds it.
    pub(crate) seq: u64,
    /// Where in the file its bytes begin, counted from the end of the manifest.
    pub(crate) pos: u64,
    /// Their number.
    pub(crate) len: u32,
    /// Their CRC-32C.
    pub(crate) crc: u32,
}

/// The content of a state file, blobs' bytes apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// The file's number.
    pub(crate) seq: u64,
    /// Counts truncations and resets over the life of the partition, so that older knowledge of synced ends is told apart.
    pub(crate) cuts: u64,
    /// The log start offset.
    pub(crate) start: Offset,
    /// Everything below was durable when the file was written.
    pub(crate) recovery_point: Offset,
    /// The segments below the recovery point, ascending; the last may be listed in part.
    pub(crate) segments: Vec<Facts>,
    /// Segments that a rewrite left nothing of: files of theirs that are still there do not count.
    pub(crate) gone: Vec<Offset>,
    /// The kept blobs.
    pub(crate) blobs: Vec<BlobRef>,
}

fn time(t: Option<Timestamp>) -> i64 {
    t.map_or(i64::MIN, |t| t.0)
}

impl Manifest {
    /// The name of the file with this number.
    pub(crate) fn name(seq: u64) -> String {
        format!("{seq:020}.state")
    }

    /// Prefix and manifest, as they stand at the beginning of the file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(MAGIC);
        w.u64(self.seq);
        w.u64(self.cuts);
        w.i64(self.start.0);
        w.i64(self.recovery_point.0);
        w.u32(u32::try_from(self.segments.len()).unwrap_or(u32::MAX));
        for s in &self.segments {
            w.i64(s.base.0);
            w.i64(s.end.0);
            w.u64(s.bytes);
            w.i64(time(s.first_timestamp));
            w.i64(time(s.max_timestamp));
            w.i64(s.modified.0);
            w.i32(s.last_epoch.0);
            w.u8(u8::from(s.sealed));
            w.u8(0);
            w.u64(s.records);
            w.u32(s.rewrites);
        }
        w.u32(u32::try_from(self.gone.len()).unwrap_or(u32::MAX));
        self.gone.iter().for_each(|base| w.i64(base.0));
        w.u32(u32::try_from(self.blobs.len()).unwrap_or(u32::MAX));
        for b in &self.blobs {
            w.u8(b.kind);
            w.i64(b.at.0);
            w.u64(b.seq);
            w.u64(b.pos);
            w.u32(b.len);
            w.u32(b.crc);
        }
        let manifest = w.finish();
        let len = u32::try_from(manifest.len()).unwrap_or(u32::MAX);
        let mut out = len.to_be_bytes().to_vec();
        out.extend_from_slice(&manifest);
        out
    }

    /// Where the blobs' bytes begin in the file that `bytes` begin.
    pub(crate) fn blobs_at(bytes: &[u8]) -> Option<u64> {
        let len = u32::from_be_bytes(*bytes.first_chunk::<PREFIX_BYTES>()?);
        Some(u64::from(len) + PREFIX_BYTES as u64)
    }

    /// Reads a state file's manifest from the file's first bytes (all of them, or at least those of the manifest).
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let short = || "it ends early".to_owned();
        let end = Self::blobs_at(bytes).ok_or_else(short)?;
        let end = usize::try_from(end).map_err(|e| e.to_string())?;
        let manifest = bytes.get(PREFIX_BYTES..end).ok_or_else(short)?;
        Self::parse(Reader::open(manifest, MAGIC)?).ok_or_else(short)
    }

    /// Reads a state file's manifest: the outer error is the medium's, the inner one the content's.
    pub(crate) fn read(fs: &dyn Fs, dir: &Path, seq: u64) -> io::Result<Result<Self, String>> {
        let file = fs.open(&dir.join(Self::name(seq)), OpenMode::Read)?;
        let mut prefix = [0; PREFIX_BYTES];
        let read = read_full(&*file, 0, &mut prefix)?;
        let Some(len) = Self::blobs_at(&prefix[..read]) else {
            return Ok(Err("it ends early".into()));
        };
        if len > MANIFEST_BYTES_MAX || len > file.size()? {
            return Ok(Err("its length is impossible".into()));
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        let read = read_full(&*file, 0, &mut bytes)?;
        let manifest = Self::decode(&bytes[..read]);
        Ok(manifest.and_then(|m| if m.seq == seq { Ok(m) } else { Err("it is another file's content".into()) }))
    }

    /// Which of the files of the segment `base` counts, by their counts of rewrites; without a manifest the newest, as a file
    /// gets its name only when it is whole.
    pub(crate) fn which(manifest: Option<&Self>, base: i64, there: &BTreeSet<u32>) -> Option<u32> {
        let Some(manifest) = manifest else { return there.last().copied() };
        if manifest.gone.contains(&Offset(base)) {
            return None;
        }
        // What the state file does not know was appended since.
        let listed = manifest.segments.iter().find(|s| s.base.0 == base).map_or(0, |s| s.rewrites);
        there.get(&listed).copied()
    }

    fn parse(mut r: Reader<'_>) -> Option<Self> {
        let stamp = |t: i64| (t != i64::MIN).then_some(Timestamp(t));
        let (seq, cuts) = (r.u64()?, r.u64()?);
        let (start, recovery_point) = (Offset(r.i64()?), Offset(r.i64()?));
        let count = r.count(SEGMENT_BYTES)?;
        let mut segments = Vec::with_capacity(count);
        for _ in 0..count {
            let mut facts = Facts {
                base: Offset(r.i64()?),
                end: Offset(r.i64()?),
                bytes: r.u64()?,
                records: 0,
                rewrites: 0,
                first_timestamp: stamp(r.i64()?),
                max_timestamp: stamp(r.i64()?),
                modified: Timestamp(r.i64()?),
                last_epoch: LeaderEpoch(r.i32()?),
                sealed: r.u8()? == 1,
            };
            r.u8()?;
            (facts.records, facts.rewrites) = (r.u64()?, r.u32()?);
            segments.push(facts);
        }
        let count = r.count(GONE_BYTES)?;
        let mut gone = Vec::with_capacity(count);
        for _ in 0..count {
            gone.push(Offset(r.i64()?));
        }
        let count = r.count(BLOB_BYTES)?;
        let mut blobs = Vec::with_capacity(count);
        for _ in 0..count {
            blobs.push(BlobRef {
                kind: r.u8()?,
                at: Offset(r.i64()?),
                seq: r.u64()?,
                pos: r.u64()?,
                len: r.u32()?,
                crc: r.u32()?,
            });
        }
        r.is_empty().then_some(Self { seq, cuts, start, recovery_point, segments, gone, blobs })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn manifest() -> Manifest {
        let mut facts = Facts::empty(Offset(5), LeaderEpoch(2), Timestamp(77));
        facts.bytes = 123;
        (facts.records, facts.rewrites) = (17, 3);
        facts.sealed = true;
        facts.max_timestamp = Some(Timestamp(-1));
        Manifest {
            seq: 9,
            cuts: 3,
            start: Offset(5),
            recovery_point: Offset(70),
            segments: vec![facts, Facts::empty(Offset(70), LeaderEpoch(2), Timestamp(1))],
            gone: vec![Offset(7), Offset(9)],
            blobs: vec![BlobRef { kind: 2, at: Offset(70), seq: 8, pos: 0, len: 10, crc: 0xdead_beef }],
        }
    }

    #[test]
    fn a_manifest_reads_back_with_anything_behind_it() {
        let mut bytes = manifest().encode();
        assert_eq!(Manifest::decode(&bytes).unwrap(), manifest());
        bytes.extend_from_slice(b"blob");
        assert_eq!(Manifest::decode(&bytes).unwrap(), manifest());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let bytes = manifest().encode();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&bad).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..len]).is_err(), "cut at {len}");
        }
    }
}
