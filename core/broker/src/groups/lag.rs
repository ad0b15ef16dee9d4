//! How far groups are behind, in records and in time, without reading a record.
//!
//! A task looks at the high watermark of every partition that a group has committed an offset of, once a second, and remembers when it
//! moved how far: a *point*. The first record that a group has not consumed was appended in the second before the first point beyond
//! it, so its age is known to a second, as long as the points reach back that far. When there are many points, those that no group
//! needs any more go, and the others are thinned out: an age is then known to four seconds, which a day and a half of appends
//! without pause leave room for. What lies behind longer than that is known to a five-hundredth of its age.
//!
//! Offsets that were appended before the first look have no age: after a start they are unknown until they are consumed.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use watershed_model::{Offset, TopicIdPartition};

/// How often partitions are looked at, in milliseconds.
pub(super) const LOOK_INTERVAL_MS: u64 = 1_000;

/// After so many more points of a partition, room is made for others.
const POINTS_AT_ONCE: usize = 8_192;

/// The most points of one partition.
const POINTS_MAX: usize = 4 * POINTS_AT_ONCE;

/// How far apart points may be after thinning out, in milliseconds, if they are young.
const GAP_MS: u64 = 4_000;

/// How far apart points may be where there is no room for all that are nearer, as a part of their age.
const GAP_OF_AGE: u64 = 500;

/// How often rates are taken anew, in milliseconds.
const RATE_WINDOW_MS: u64 = 60_000;

/// The high watermark stood here at this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    offset: Offset,
    at_ms: u64,
}

/// What was seen of one partition.
#[derive(Debug, Default)]
pub(super) struct Points {
    points: VecDeque<Point>,
}

impl Points {
    /// The high watermark stands at `offset` now, and no group is behind `committed`.
    pub(super) fn look(&mut self, offset: Offset, committed: Offset, at_ms: u64) {
        match self.points.back() {
            // A log that was cut, or another one under the same name.
            Some(last) if last.offset > offset => self.points.clear(),
            Some(last) if last.offset == offset => return,
            Some(_) | None => {}
        }
        if self.points.len() >= POINTS_AT_ONCE && self.points.len().is_multiple_of(POINTS_AT_ONCE) {
            self.make_room(committed, at_ms);
        }
        self.points.push_back(Point { offset, at_ms });
    }

    fn make_room(&mut self, committed: Offset, now_ms: u64) {
        let needed = self.points.partition_point(|point| point.offset <= committed);
        self.points.drain(..needed.saturating_sub(1));
        self.thin_out(|_| GAP_MS);
        if self.points.len() >= POINTS_MAX {
            self.thin_out(|point| GAP_MS.max(now_ms.saturating_sub(point.at_ms) / GAP_OF_AGE));
        }
        if self.points.len() >= POINTS_MAX {
            self.points.pop_front();
        }
        self.points.shrink_to(self.points.len() + POINTS_AT_ONCE);
    }

    /// Leaves out the points whose neighbours are near enough to each other; what such a point told, the next one tells, a little
    /// later.
    fn thin_out(&mut self, gap_max_ms: impl Fn(&Point) -> u64) {
        let mut kept: VecDeque<Point> = VecDeque::with_capacity(self.points.len());
        for (index, point) in self.points.iter().enumerate() {
            // The first one stays: below it nothing is known.
            let is_needed = match (kept.back(), self.points.get(index + 1)) {
                (Some(last), Some(next)) => next.at_ms.saturating_sub(last.at_ms) > gap_max_ms(point),
                _ => true,
            };
            if is_needed {
                kept.push_back(*point);
            }
        }
        self.points = kept;
    }

    /// How long ago the record at `offset` was appended, in milliseconds.
    pub(super) fn age_ms(&self, offset: Offset, now_ms: u64) -> Option<u64> {
        let first = self.points.front()?;
        if offset < first.offset {
            return None;
        }
        let beyond = self.points.partition_point(|point| point.offset <= offset);
        // Beyond the last point it was appended since the last look.
        let at_ms = self.points.get(beyond).map_or(now_ms, |point| point.at_ms);
        Some(now_ms.saturating_sub(at_ms))
    }
}

/// How fast a group consumes a partition and producers fill it.
#[derive(Debug)]
struct Rates {
    begun_ms: u64,
    committed: i64,
    end: i64,
    /// Records a millisecond by which the group catches up; of the last whole window.
    catches_up: Option<f64>,
}

/// A partition as a group sees it, by the group's id.
type Consumed = (String, TopicIdPartition);

/// What was seen of all partitions.
#[derive(Debug, Default)]
pub(crate) struct Lags {
    points: Mutex<HashMap<TopicIdPartition, Points>>,
    rates: Mutex<HashMap<Consumed, Rates>>,
}

impl Lags {
    /// Looks at the partitions that groups consume, their high watermarks and the least committed offsets; the others are forgotten.
    pub(super) fn look(&self, partitions: impl Iterator<Item = (TopicIdPartition, Offset, Offset)>, now_ms: u64) {
        let mut points = self.points.lock();
        let mut known = std::mem::take(&mut *points);
        for (tp, offset, committed) in partitions {
            let mut of_partition = known.remove(&tp).or_else(|| points.remove(&tp)).unwrap_or_default();
            of_partition.look(offset, committed, now_ms);
            points.insert(tp, of_partition);
        }
    }

    /// The age of a partition's record in milliseconds, if it is known.
    pub(super) fn age_ms(&self, tp: &TopicIdPartition, offset: Offset, now_ms: u64) -> Option<u64> {
        self.points.lock().get(tp)?.age_ms(offset, now_ms)
    }

    /// In how many milliseconds a group will have caught up, if it goes on as in the last minute; `None` where it does not catch up,
    /// or nobody knows yet.
    pub(super) fn drain_ms(
        &self,
        group: &str,
        tp: TopicIdPartition,
        committed: i64,
        end: i64,
        now_ms: u64,
    ) -> Option<u64> {
        let mut rates = self.rates.lock();
        let new = || Rates { begun_ms: now_ms, committed, end, catches_up: None };
        let rates = rates.entry((group.to_owned(), tp)).or_insert_with(new);
        let took_ms = now_ms.saturating_sub(rates.begun_ms);
        if took_ms >= RATE_WINDOW_MS {
            let gained = (committed - rates.committed) - (end - rates.end);
            *rates = Rates { catches_up: Some(gained as f64 / took_ms as f64), ..new() };
        }
        let catches_up = rates.catches_up.filter(|rate| *rate > 0.0)?;
        Some(((end - committed).max(0) as f64 / catches_up) as u64)
    }

    /// Forgets groups and partitions that are gone.
    pub(super) fn keep_rates(&self, mut is_there: impl FnMut(&str, &TopicIdPartition) -> bool) {
        self.rates.lock().retain(|(group, tp), _| is_there(group, tp));
    }
}

#[cfg(test)]
mod tests {
    use watershed_model::TopicId;

    use super::*;

    #[test]
    fn ages_are_known_to_a_look() {
        let mut points = Points::default();
        // Ten records a second for an hour, with a pause of ten minutes.
        let appended_ms = |offset: u64| offset * 100 + if offset >= 18_000 { 600_000 } else { 0 };
        let end_at = |now_ms: u64| (0..36_000u64).take_while(|offset| appended_ms(*offset) <= now_ms).count() as i64;
        for second in 0..4_200u64 {
            points.look(Offset(end_at(second * 1000)), Offset(0), second * 1000);
        }
        let now_ms = 4_200_000;
        for offset in (1..36_000).step_by(37) {
            let age = points.age_ms(Offset(offset as i64), now_ms).unwrap_or_default();
            let real = now_ms - appended_ms(offset);
            assert!(real.abs_diff(age) <= 1_000, "{offset}: {real} {age}");
        }
        assert_eq!(points.age_ms(Offset(0), now_ms), None);
        assert_eq!(points.age_ms(Offset(36_000), now_ms), Some(0));
    }

    #[test]
    fn many_points_are_thinned_out_where_they_are_old() {
        for (days, error_of_age) in [(1, 0), (7, 1)] {
            let mut points = Points::default();
            let seconds = days * 24 * 3_600u64;
            for second in 0..seconds {
                points.look(Offset(second as i64), Offset(0), second * 1000);
            }
            assert!(points.points.len() <= POINTS_MAX);
            for offset in (1..seconds - 1).step_by(97) {
                let real = (seconds - 1 - offset) * 1000;
                let age = points.age_ms(Offset(offset as i64), (seconds - 1) * 1000).unwrap_or_default();
                let error_max = GAP_MS.max(error_of_age * real / GAP_OF_AGE);
                assert!(real.abs_diff(age) <= error_max, "{offset}: {real} {age}");
            }
        }
    }

    #[test]
    fn points_that_no_group_needs_make_room_first() {
        let mut points = Points::default();
        let seconds = 20 * POINTS_AT_ONCE as u64;
        for second in 0..seconds {
            points.look(Offset(second as i64), Offset(second as i64 - 60), second * 1000);
        }
        assert!(points.points.len() <= POINTS_AT_ONCE);
        assert_eq!(points.age_ms(Offset(seconds as i64 - 61), (seconds - 1) * 1000), Some(59_000));
    }

    #[test]
    fn a_log_that_was_cut_is_looked_at_anew() {
        let mut points = Points::default();
        points.look(Offset(100), Offset(0), 0);
        points.look(Offset(50), Offset(0), 1_000);
        points.look(Offset(60), Offset(0), 2_000);
        assert_eq!(points.age_ms(Offset(40), 3_000), None);
        assert_eq!(points.age_ms(Offset(55), 3_000), Some(1_000));
    }

    #[test]
    fn a_group_that_catches_up_has_an_end_in_sight() {
        let (lags, tp) = (Lags::default(), TopicIdPartition { topic: TopicId([1; 16]), partition: 0 });
        assert_eq!(lags.drain_ms("g", tp, 0, 6_000, 0), None);
        // In a minute it consumes 3,000 while 1,000 come: 5,000 less 1,000 are left... and so 4,000 at 2,000 a minute.
        assert_eq!(lags.drain_ms("g", tp, 3_000, 7_000, 60_000), Some(120_000));
        assert_eq!(lags.drain_ms("g", tp, 3_000, 9_000, 120_000), None);
        lags.keep_rates(|_, _| false);
        assert!(lags.rates.lock().is_empty());
    }
}
