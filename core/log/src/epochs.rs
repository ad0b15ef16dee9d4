//! Which leader epoch began at which offset (KIP-101, KIP-279).
//!
//! Entries rise in epoch and in start offset. The cache answers "where did this epoch end?", by which followers and clients find
//! out what was cut from a log behind their back. It is kept as a blob beside the log, and batches replayed on open bring it
//! up to date, so losing the newest blob costs nothing.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use watershed_model::{LeaderEpoch, Offset};

/// The first offset of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// The offset of its first record (or of the next one, where it has none yet).
    pub start: Offset,
}

/// The epochs of one log, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderEpochCache {
    entries: Vec<EpochEntry>,
}

const VERSION: u8 = 1;
const ENTRY_BYTES: usize = 12;

impl LeaderEpochCache {
    /// Every entry, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The newest epoch.
    #[must_use]
    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    /// Notes that `epoch` begins at `start`; true if that was news. A contradicting older entry (of the same or a later epoch,
    /// or one that begins at or after `start`) gives way: the log is right. A negative epoch is "unknown" and ignored.
    pub fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        if epoch.0 < 0 {
            return false;
        }
        if self.latest().is_some_and(|last| last.epoch == epoch && last.start <= start) {
            return false;
        }
        while self.latest().is_some_and(|last| last.epoch >= epoch || last.start >= start) {
            self.entries.pop();
        }
        self.entries.push(EpochEntry { epoch, start });
        true
    }

    /// Where `epoch` ended in a log that ends at `log_end`, with the epoch that the answer is about: the newest epoch ends with
    /// the log; an older one where its successor began; one that this log never saw is answered with the nearest older
    /// one. `None` for an epoch above the newest, and for -1, which is none.
    #[must_use]
    pub fn end_offset_for(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        if epoch.0 == -1 {
            return None;
        }
        if self.latest().is_some_and(|last| last.epoch == epoch) {
            return Some((epoch, log_end));
        }
        let above = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let successor = self.entries.get(above)?;
        let floor = above.checked_sub(1).map_or(epoch, |i| self.entries[i].epoch);
        Some((floor, successor.start))
    }

    /// The epoch of the record at `offset`; `None` below the oldest entry.
    #[must_use]
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let above = self.entries.partition_point(|entry| entry.start <= offset);
        above.checked_sub(1).map(|i| self.entries[i].epoch)
    }

    /// Forgets what lies below `start`; the epoch in force there begins at `start` from now on.
    pub fn truncate_from_start(&mut self, start: Offset) {
        let above = self.entries.partition_point(|entry| entry.start <= start);
        if let Some(in_force) = above.checked_sub(1) {
            self.entries.drain(..in_force);
            self.entries[0].start = start;
        }
    }

    /// Forgets epochs that begin at or after `end`.
    pub fn truncate_from_end(&mut self, end: Offset) {
        let keep = self.entries.partition_point(|entry| entry.start < end);
        self.entries.truncate(keep);
    }

    /// The content of the blob.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(1 + self.entries.len() * ENTRY_BYTES + 4);
        out.put_u8(VERSION);
        for entry in &self.entries {
            out.put_i32(entry.epoch.0);
            out.put_i64(entry.start.0);
        }
        let sum = crc32c::crc32c(&out);
        out.put_u32(sum);
        out.freeze()
    }

    /// Reads what [`LeaderEpochCache::encode`] wrote; `None` if the bytes are anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (mut content, sum) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(content) != u32::from_be_bytes(*sum) || content.first() != Some(&VERSION) {
            return None;
        }
        content.advance(1);
        if content.len() % ENTRY_BYTES != 0 {
            return None;
        }
        let mut cache = Self::default();
        while content.has_remaining() {
            cache.assign(LeaderEpoch(content.get_i32()), Offset(content.get_i64()));
        }
        Some(cache)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    fn cache(entries: &[(i32, i64)]) -> LeaderEpochCache {
        let mut cache = LeaderEpochCache::default();
        for (epoch, start) in entries {
            cache.assign(LeaderEpoch(*epoch), Offset(*start));
        }
        cache
    }

    fn list(cache: &LeaderEpochCache) -> Vec<(i32, i64)> {
        cache.entries().iter().map(|e| (e.epoch.0, e.start.0)).collect()
    }

    #[test]
    fn assigning() {
        type Entries<'a> = &'a [(i32, i64)];
        let cases: [(Entries<'_>, Entries<'_>); 6] = [
            (&[(-1, 0)], &[]),
            (&[(0, 0), (0, 5)], &[(0, 0)]),
            (&[(0, 0), (2, 10)], &[(0, 0), (2, 10)]),
            // An epoch without a record gives way to the next one.
            (&[(0, 0), (1, 10), (2, 10)], &[(0, 0), (2, 10)]),
            // The log contradicts what was believed.
            (&[(0, 0), (3, 10), (2, 12)], &[(0, 0), (2, 12)]),
            (&[(0, 0), (1, 10), (2, 20), (3, 5)], &[(0, 0), (3, 5)]),
        ];
        for (input, expect) in cases {
            assert_eq!(list(&cache(input)), expect, "{input:?}");
        }
    }

    #[test]
    fn ends_of_epochs() {
        let cache = cache(&[(2, 10), (4, 20), (7, 30)]);
        let end = |epoch| cache.end_offset_for(LeaderEpoch(epoch), Offset(40)).map(|(e, o)| (e.0, o.0));
        assert_eq!((end(-1), end(-2)), (None, Some((-2, 10))));
        assert_eq!(end(0), Some((0, 10)));
        assert_eq!(end(2), Some((2, 20)));
        assert_eq!(end(3), Some((2, 20)));
        assert_eq!(end(6), Some((4, 30)));
        assert_eq!(end(7), Some((7, 40)));
        assert_eq!(end(8), None);
        assert_eq!(LeaderEpochCache::default().end_offset_for(LeaderEpoch(0), Offset(0)), None);
    }

    #[test]
    fn truncating() {
        let full = cache(&[(2, 10), (4, 20), (7, 30)]);
        for (start, expect) in [
            (5, vec![(2, 10), (4, 20), (7, 30)]),
            (20, vec![(4, 20), (7, 30)]),
            (25, vec![(4, 25), (7, 30)]),
            (99, vec![(7, 99)]),
        ] {
            let mut cache = full.clone();
            cache.truncate_from_start(Offset(start));
            assert_eq!(list(&cache), expect);
        }
        for (end, expect) in [(31, vec![(2, 10), (4, 20), (7, 30)]), (30, vec![(2, 10), (4, 20)]), (0, vec![])] {
            let mut cache = full.clone();
            cache.truncate_from_end(Offset(end));
            assert_eq!(list(&cache), expect);
        }
        assert_eq!(full.epoch_at(Offset(9)), None);
        assert_eq!(full.epoch_at(Offset(29)), Some(LeaderEpoch(4)));
    }

    proptest! {
        #[test]
        fn blobs_come_back_and_nothing_else_does(input in prop::collection::vec((0..50i32, 0..100i64), 0..20), at: prop::sample::Index) {
            let cache = cache(&input);
            let blob = cache.encode();
            prop_assert_eq!(LeaderEpochCache::decode(&blob), Some(cache.clone()));
            let mut bad = blob.to_vec();
            let at = at.index(bad.len());
            bad[at] ^= 1;
            prop_assert_eq!(LeaderEpochCache::decode(&bad), None);
            prop_assert_eq!(LeaderEpochCache::decode(&blob[..blob.len() - 1]), None);
            // Rising in both.
            prop_assert!(cache.entries().windows(2).all(|w| w[0].epoch < w[1].epoch && w[0].start < w[1].start));
        }
    }
}
