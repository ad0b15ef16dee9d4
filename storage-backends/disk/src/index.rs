//! The sparse index of a segment: where in the file some of its frames begin, and the largest timestamp before them.
//!
//! The active segment's index lives in memory and is written once, when the segment is sealed (or its log closed). It
//! is only a shortcut: a file that is missing or wrong is rebuilt from the frames' headers.

use watershed_model::{Offset, Timestamp};
use watershed_storage::FrameMeta;

use crate::codec::{Reader, Writer};

const MAGIC: &[u8; 8] = b"WSINDEX2";
const ENTRY_BYTES: usize = 32;

/// One indexed frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    /// The frame's first offset.
    pub(crate) offset: Offset,
    /// Where it begins in the file.
    pub(crate) pos: u64,
    /// What the frames before it come to.
    pub(crate) before: Before,
}

/// What the frames of a segment before some place come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Before {
    /// Their largest timestamp; [`NO_TIME`] where there is none.
    pub(crate) time: Timestamp,
    /// How many records they hold.
    pub(crate) records: u64,
}

impl Before {
    /// Before the first frame.
    pub(crate) const NOTHING: Self = Self { time: NO_TIME, records: 0 };

    /// Behind this frame.
    pub(crate) fn and(self, meta: &FrameMeta) -> Self {
        Self { time: self.time.max(meta.max_timestamp), records: self.records + u64::from(meta.records) }
    }
}

/// The index of a segment, or of the part of one that begins at `from_pos`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    /// The indexed part begins here. Not 0 only for an active segment that was opened without a scan of its beginning.
    pub(crate) from_pos: u64,
    /// The indexed part ends here.
    pub(crate) to_pos: u64,
    /// Ascending by offset and position.
    pub(crate) entries: Vec<IndexEntry>,
}

/// "Before everything", for [`Before::time`].
pub(crate) const NO_TIME: Timestamp = Timestamp(i64::MIN);

impl Index {
    /// An index of nothing that will grow from `pos`.
    pub(crate) fn starting_at(pos: u64) -> Self {
        Self { from_pos: pos, to_pos: pos, entries: Vec::new() }
    }

    /// Takes note of the frame at `pos`, the next one of the segment.
    pub(crate) fn add(&mut self, meta: &FrameMeta, pos: u64, before: Before, interval: u32) {
        let due = self.entries.last().is_none_or(|last| pos - last.pos >= u64::from(interval));
        if due {
            self.entries.push(IndexEntry { offset: meta.base, pos, before });
        }
        self.to_pos = pos + u64::from(meta.len);
    }

    /// Forgets what lies at or above `pos`.
    pub(crate) fn cut(&mut self, pos: u64) {
        let keep = self.entries.partition_point(|e| e.pos < pos);
        self.entries.truncate(keep);
        self.to_pos = self.to_pos.min(pos);
        self.from_pos = self.from_pos.min(pos);
    }

    /// Where to begin walking to find the frame that holds `offset`; `None` when the frame may lie before the indexed
    /// part.
    pub(crate) fn seek_offset(&self, offset: Offset) -> Option<u64> {
        match self.entries.partition_point(|e| e.offset <= offset) {
            0 if self.from_pos > 0 => None,
            0 => Some(0),
            n => Some(self.entries[n - 1].pos),
        }
    }

    /// Where to begin walking to find the first frame whose largest timestamp is at least `at`; `None` as above.
    pub(crate) fn seek_time(&self, at: Timestamp) -> Option<u64> {
        // Everything before an entry whose `before.time` is below `at` is too old.
        match self.entries.partition_point(|e| e.before.time < at) {
            0 if self.from_pos > 0 => None,
            0 => Some(0),
            // The first entry of a part that does not begin at 0 says what came before the part.
            n => Some(self.entries[n - 1].pos),
        }
    }

    /// Bytes of memory that it holds.
    pub(crate) fn encode(&self, base: Offset) -> Vec<u8> {
        let mut w = Writer::new(MAGIC);
        w.i64(base.0);
        w.u64(self.to_pos);
        w.u32(u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
        for e in &self.entries {
            w.i64(e.offset.0);
            w.u64(e.pos);
            w.i64(e.before.time.0);
            w.u64(e.before.records);
        }
        w.finish()
    }

    /// Reads the index file of the segment `base`.
    pub(crate) fn decode(bytes: &[u8], base: Offset) -> Result<Self, String> {
        let mut r = Reader::open(bytes, MAGIC)?;
        let short = || "it ends early".to_owned();
        if r.i64().ok_or_else(short)? != base.0 {
            return Err("it belongs to another segment".into());
        }
        let to_pos = r.u64().ok_or_else(short)?;
        let count = r.count(ENTRY_BYTES).ok_or_else(short)?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push(IndexEntry {
                offset: Offset(r.i64().ok_or_else(short)?),
                pos: r.u64().ok_or_else(short)?,
                before: Before { time: Timestamp(r.i64().ok_or_else(short)?), records: r.u64().ok_or_else(short)? },
            });
        }
        let ordered = entries.windows(2).all(|w| w[0].offset < w[1].offset && w[0].pos < w[1].pos);
        if !r.is_empty() || !ordered || entries.last().is_some_and(|e| e.pos >= to_pos) {
            return Err("its entries are out of order".into());
        }
        Ok(Self { from_pos: 0, to_pos, entries })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use watershed_model::LeaderEpoch;

    fn index() -> Index {
        let mut index = Index::starting_at(0);
        let mut before = Before::NOTHING;
        for n in 0..10 {
            let meta = FrameMeta {
                base: Offset(n * 10),
                last: Offset(n * 10 + 9),
                epoch: LeaderEpoch(0),
                max_timestamp: Timestamp(n * 100),
                len: 50,
                records: 10,
            };
            index.add(&meta, n as u64 * 50, before, 100);
            before = before.and(&meta);
        }
        index
    }

    #[test]
    fn lookups_land_at_or_before_the_frame() {
        let index = index();
        assert_eq!(index.entries.len(), 5);
        for (offset, pos) in [(0, 0), (9, 0), (19, 0), (20, 100), (39, 100), (99, 400), (500, 400)] {
            assert_eq!(index.seek_offset(Offset(offset)), Some(pos), "{offset}");
        }
        for (time, pos) in [(-1, 0), (0, 0), (100, 0), (101, 100), (200, 100), (900, 400)] {
            assert_eq!(index.seek_time(Timestamp(time)), Some(pos), "{time}");
        }
    }

    #[test]
    fn a_partial_index_knows_what_it_does_not_know() {
        let mut index = index();
        index.entries.drain(..2);
        index.from_pos = 200;
        assert_eq!(index.seek_offset(Offset(39)), None);
        assert_eq!(index.seek_offset(Offset(40)), Some(200));
        index.cut(300);
        assert_eq!((index.to_pos, index.entries.len()), (300, 1));
    }

    #[test]
    fn every_flipped_bit_of_an_index_file_is_seen() {
        let index = index();
        let bytes = index.encode(Offset(0));
        assert_eq!(Index::decode(&bytes, Offset(0)).unwrap(), index);
        assert!(Index::decode(&bytes, Offset(1)).is_err());
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Index::decode(&bad, Offset(0)).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(Index::decode(&bytes[..len], Offset(0)).is_err(), "cut at {len}");
        }
    }
}
