//! Which offsets are known to hold no record, so that a group's lag counts records.
//!
//! Offsets without a record come from batches that lost some of theirs before they were appended (a plugin dropped them) and from
//! segments that were rewritten. [`Vacancies`] knows ranges of offsets and how many in each are vacant. It may forget, and never
//! claims more than there are: where only a part of a range is asked about, the vacant offsets are taken to lie in the other part
//! as far as they fit there.
//!
//! As a blob, version 1, big-endian: version u8, and per range its first offset i64, the offset behind it i64, and the number of
//! vacant ones i64; then the CRC-32C of all of it.
//!
//! Invariants: ranges are in order and do not overlap; each has at least one vacant offset and at most as many as it is wide;
//! there are at most [`VACANT_RANGES_MAX`].

use bytes::{Buf, BufMut, Bytes, BytesMut};
use watershed_model::Offset;
use watershed_model::limits::VACANT_RANGES_MAX;
use watershed_model::record::BatchHeader;

const VERSION: u8 = 1;
const RANGE_BYTES: usize = 8 + 8 + 8;

/// When room is made, a range may become as wide as its distance from the newest one divided by this; if that does not give room
/// enough, by half of it, and so on.
const DISTANCE_PER_WIDTH: i64 = 64;

/// Offsets from `from` to below `to`, of which `vacant` hold no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    from: i64,
    to: i64,
    vacant: i64,
}

impl Range {
    fn width(&self) -> i64 {
        self.to - self.from
    }

    fn is_empty(&self) -> bool {
        self.vacant == self.width()
    }

    /// What is certain of the part that lies between `from` and `to`.
    fn part(&self, from: i64, to: i64) -> Option<Self> {
        let (from, to) = (from.max(self.from), to.min(self.to));
        let vacant = self.vacant - (self.width() - (to - from));
        (from < to && vacant > 0).then_some(Self { from, to, vacant })
    }
}

/// Offsets of one log that are known to hold no record.
#[derive(Debug, Default)]
pub(crate) struct Vacancies {
    ranges: Vec<Range>,
}

impl Vacancies {
    /// How many offsets from `from` to below `to` are known to be vacant.
    pub(crate) fn between(&self, from: Offset, to: Offset) -> i64 {
        let first = self.ranges.partition_point(|range| range.to <= from.0);
        let touched = self.ranges[first..].iter().take_while(|range| range.from < to.0);
        touched.filter_map(|range| range.part(from.0, to.0)).map(|part| part.vacant).sum()
    }

    /// The first offset at or behind `from` that is not known to be vacant.
    pub(crate) fn occupied_from(&self, from: Offset) -> Offset {
        let first = self.ranges.partition_point(|range| range.to <= from.0);
        let mut at = from.0;
        for range in &self.ranges[first..] {
            if range.from > at || !range.is_empty() {
                break;
            }
            at = range.to;
        }
        Offset(at)
    }

    /// Learns of a batch in the log; what is known of its offsets already stays.
    pub(crate) fn saw(&mut self, header: &BatchHeader) {
        let (from, to) = (header.base_offset, header.next_offset());
        let vacant = to.0.saturating_sub(from.0).saturating_sub(header.record_count.into());
        self.learn(from, to, vacant);
    }

    /// Learns that `vacant` of the offsets from `from` to below `to` hold no record; what is known of some of them already stays.
    pub(crate) fn learn(&mut self, from: Offset, to: Offset, vacant: i64) {
        let new = Range { from: from.0, to: to.0, vacant };
        if new.from >= new.to || vacant <= 0 || vacant > new.width() {
            return;
        }
        let first = self.ranges.partition_point(|range| range.to <= new.from);
        let known: Vec<Range> = self.ranges[first..].iter().take_while(|range| range.from < new.to).copied().collect();
        if known.is_empty() {
            self.insert(first, new);
        } else if new.is_empty() {
            // Each part of it is vacant too.
            let begins = std::iter::once(new.from).chain(known.iter().map(|range| range.to));
            let ends = known.iter().map(|range| range.from).chain([new.to]);
            for (from, to) in begins.zip(ends) {
                if from < to {
                    self.learn(Offset(from), Offset(to), to - from);
                }
            }
        }
    }

    /// The offsets from `from` to below `to` were counted: exactly `vacant` of them hold no record. Older knowledge of them goes.
    pub(crate) fn counted(&mut self, from: Offset, to: Offset, vacant: i64) {
        let first = self.ranges.partition_point(|range| range.to <= from.0);
        let behind = self.ranges.partition_point(|range| range.from < to.0).max(first);
        let old: Vec<Range> = self.ranges.drain(first..behind).collect();
        let before = old.first().and_then(|range| range.part(range.from, from.0));
        let after = old.last().and_then(|range| range.part(to.0, range.to));
        self.ranges.splice(first..first, before.into_iter().chain(after));
        self.make_room();
        self.learn(from, to, vacant);
    }

    /// Forgets what lies below `start`.
    pub(crate) fn truncate_from_start(&mut self, start: Offset) {
        let gone = self.ranges.partition_point(|range| range.to <= start.0);
        self.ranges.drain(..gone);
    }

    /// Forgets what lies at or above `end`.
    pub(crate) fn truncate_from_end(&mut self, end: Offset) {
        let kept = self.ranges.partition_point(|range| range.from < end.0);
        self.ranges.truncate(kept);
        if let Some(last) = self.ranges.pop() {
            self.ranges.extend(last.part(last.from, end.0));
        }
    }

    /// Whether nothing is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// What is known, to be kept beside the log.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(1 + self.ranges.len() * RANGE_BYTES + 4);
        out.put_u8(VERSION);
        for range in &self.ranges {
            out.put_i64(range.from);
            out.put_i64(range.to);
            out.put_i64(range.vacant);
        }
        let sum = crc32c::crc32c(&out);
        out.put_u32(sum);
        out.freeze()
    }

    /// Reads what [`Vacancies::encode`] wrote; `None` if the bytes are anything else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (mut content, sum) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(content) != u32::from_be_bytes(*sum) || content.first() != Some(&VERSION) {
            return None;
        }
        content.advance(1);
        if content.len() % RANGE_BYTES != 0 {
            return None;
        }
        let mut vacancies = Self::default();
        while content.has_remaining() {
            vacancies.learn(Offset(content.get_i64()), Offset(content.get_i64()), content.get_i64());
        }
        Some(vacancies)
    }

    fn insert(&mut self, at: usize, new: Range) {
        let before = at.checked_sub(1).map(|before| self.ranges[before]);
        let joins_before = new.is_empty() && before.is_some_and(|range| range.to == new.from && range.is_empty());
        let joins_after =
            new.is_empty() && self.ranges.get(at).is_some_and(|range| range.from == new.to && range.is_empty());
        match (joins_before, joins_after) {
            (true, true) => {
                self.ranges[at - 1] = join(join(self.ranges[at - 1], new), self.ranges[at]);
                self.ranges.remove(at);
            }
            (true, false) => self.ranges[at - 1] = join(self.ranges[at - 1], new),
            (false, true) => self.ranges[at] = join(new, self.ranges[at]),
            (false, false) => {
                self.ranges.insert(at, new);
                self.make_room();
            }
        }
    }

    /// Joins neighbours, the more the further they are from the newest: most groups are near the end.
    fn make_room(&mut self) {
        if self.ranges.len() <= VACANT_RANGES_MAX {
            return;
        }
        let newest = self.ranges.last().map_or(0, |range| range.to);
        let mut distance_per_width = DISTANCE_PER_WIDTH;
        while self.ranges.len() > VACANT_RANGES_MAX * 3 / 4 {
            let mut joined: Vec<Range> = Vec::with_capacity(VACANT_RANGES_MAX + 1);
            for range in &self.ranges {
                let near = |last: &Range| {
                    let width_max = (newest - range.to).checked_div(distance_per_width).unwrap_or(i64::MAX);
                    range.to - last.from <= width_max
                };
                match joined.last_mut() {
                    Some(last) if near(last) => *last = join(*last, *range),
                    _ => joined.push(*range),
                }
            }
            self.ranges = joined;
            distance_per_width /= 2;
        }
    }
}

fn join(first: Range, second: Range) -> Range {
    Range { from: first.from, to: second.to, vacant: first.vacant + second.vacant }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn learned(ranges: &[(i64, i64, i64)]) -> Vacancies {
        let mut vacancies = Vacancies::default();
        for (from, to, vacant) in ranges {
            vacancies.learn(Offset(*from), Offset(*to), *vacant);
        }
        vacancies
    }

    fn known(vacancies: &Vacancies) -> Vec<(i64, i64, i64)> {
        vacancies.ranges.iter().map(|range| (range.from, range.to, range.vacant)).collect()
    }

    #[test]
    fn what_is_certain_is_counted() {
        let vacancies = learned(&[(10, 20, 10), (30, 40, 4), (40, 41, 1)]);
        for (from, to, expected) in [
            (0, 100, 15),
            (0, 10, 0),
            (20, 30, 0),
            (12, 15, 3),
            (15, 35, 5),
            (30, 39, 3),
            (34, 40, 0),
            (33, 40, 1),
            (34, 41, 1),
            (41, 99, 0),
            (50, 40, 0),
        ] {
            assert_eq!(vacancies.between(Offset(from), Offset(to)), expected, "{from}..{to}");
        }
        for (from, expected) in [(0, 0), (10, 20), (19, 20), (20, 20), (30, 30), (40, 41), (41, 41)] {
            assert_eq!(vacancies.occupied_from(Offset(from)), Offset(expected), "{from}");
        }
    }

    #[test]
    fn what_was_known_stays_and_what_was_counted_holds() {
        let mut vacancies =
            learned(&[(0, 10, 10), (10, 20, 10), (30, 40, 5), (35, 45, 10), (15, 50, 35), (60, 60, 1), (61, 62, 2)]);
        assert_eq!(known(&vacancies), [(0, 30, 30), (30, 40, 5), (40, 50, 10)]);
        vacancies.counted(Offset(20), Offset(38), 7);
        assert_eq!(known(&vacancies), [(0, 20, 20), (20, 38, 7), (40, 50, 10)], "of 38 and 39 nothing is certain");
        vacancies.counted(Offset(22), Offset(24), 0);
        assert_eq!(known(&vacancies), [(0, 20, 20), (24, 38, 3), (40, 50, 10)]);
        vacancies.truncate_from_end(Offset(45));
        vacancies.truncate_from_start(Offset(20));
        assert_eq!(known(&vacancies), [(24, 38, 3), (40, 45, 5)]);
        vacancies.truncate_from_end(Offset(34));
        assert_eq!(known(&vacancies), []);
    }

    #[test]
    fn a_long_history_is_known_by_and_large() {
        // Half of each batch of 200 was dropped.
        let mut vacancies = Vacancies::default();
        let batches = 100_000;
        for n in 0..batches {
            vacancies.learn(Offset(n * 200), Offset(n * 200 + 200), 100);
            assert!(vacancies.ranges.len() <= VACANT_RANGES_MAX);
        }
        let end = batches * 200;
        for behind in [1, 7, 100, 1_000, 33_333, 90_000] {
            let seen = vacancies.between(Offset(end - behind * 200), Offset(end));
            let real = behind * 100;
            assert!(seen <= real && real - seen <= 200 + real / 8, "{behind}: {seen} of {real}");
        }
        assert_eq!(vacancies.between(Offset(0), Offset(end)), batches * 100);
    }

    #[test]
    fn what_is_kept_is_read_again_and_nothing_else() {
        let ranges = [(0, 10, 10), (20, 40, 1), (1 << 40, (1 << 40) + 5, 5)];
        let bytes = learned(&ranges).encode();
        assert_eq!(known(&Vacancies::decode(&bytes).unwrap()), ranges);
        for cut in 0..bytes.len() {
            assert!(Vacancies::decode(&bytes[..cut]).is_none(), "{cut}");
        }
        let mut damaged = bytes.to_vec();
        damaged[5] ^= 1;
        assert!(Vacancies::decode(&damaged).is_none());
    }

    #[derive(Clone, Debug)]
    enum Act {
        Append(i64, i64),
        See(i64, i64),
        Count(i64, i64),
        Start(i64),
        End(i64),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            6 => (1..6i64, 0..6i64).prop_map(|(n, records)| Act::Append(n, records.min(n))),
            2 => (0..200i64, 1..6i64).prop_map(|(at, n)| Act::See(at, n)),
            1 => (0..200i64, 1..40i64).prop_map(|(at, n)| Act::Count(at, n)),
            1 => (0..40i64).prop_map(Act::Start),
            1 => (0..300i64).prop_map(Act::End),
        ]
    }

    proptest! {
        /// Against a log that knows of each offset whether it holds a record.
        #[test]
        fn never_more_than_there_are(acts in prop::collection::vec(act(), 1..80), asked in prop::collection::vec((0..300i64, 0..300i64), 20)) {
            let (mut vacancies, mut log) = (Vacancies::default(), Vec::<bool>::new());
            for act in acts {
                let end = log.len() as i64;
                let vacant_in = |log: &[bool], from: i64, to: i64| {
                    log[from as usize..to as usize].iter().filter(|record| !**record).count() as i64
                };
                match act {
                    Act::Append(n, records) => {
                        // The first ones are dropped.
                        log.extend((0..n).map(|i| i >= n - records));
                        vacancies.learn(Offset(end), Offset(end + n), n - records);
                    }
                    Act::See(at, n) if at + n <= end && vacant_in(&log, at, at + n) == n => {
                        vacancies.learn(Offset(at), Offset(at + n), n);
                        prop_assert!(vacancies.between(Offset(at), Offset(at + n)) >= 0);
                    }
                    Act::Count(at, n) if at + n <= end => {
                        // A rewriting takes every second record away.
                        (at..at + n).step_by(2).for_each(|i| log[i as usize] = false);
                        let vacant = vacant_in(&log, at, at + n);
                        vacancies.counted(Offset(at), Offset(at + n), vacant);
                        prop_assert_eq!(vacancies.between(Offset(at), Offset(at + n)), vacant);
                    }
                    Act::Start(start) => vacancies.truncate_from_start(Offset(start)),
                    Act::End(to) if to <= end => {
                        log.truncate(to as usize);
                        vacancies.truncate_from_end(Offset(to));
                    }
                    _ => {}
                }
                for (from, to) in &asked {
                    let (from, to) = (*from.min(&(log.len() as i64)), *to.min(&(log.len() as i64)));
                    let real = if from < to { vacant_in(&log, from, to) } else { 0 };
                    prop_assert!(vacancies.between(Offset(from), Offset(to)) <= real, "{}..{} of {:?}", from, to, &vacancies);
                    let occupied = vacancies.occupied_from(Offset(from)).0;
                    prop_assert!(vacant_in(&log, from, occupied) == occupied - from);
                }
                prop_assert!(vacancies.ranges.is_sorted_by(|a, b| a.to <= b.from));
                prop_assert!(vacancies.ranges.iter().all(|range| 0 < range.vacant && range.vacant <= range.width()));
            }
        }
    }
}
