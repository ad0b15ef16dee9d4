//! Entries that were appended a moment ago, kept so that the router need not read them from the log.

use std::collections::VecDeque;

use watershed_log::ingress::Entry;
use watershed_model::Offset;

use crate::budget::{Budget, Share};

/// How many bytes of entries the ingress logs of a broker keep together.
const ENTRIES_BYTES_MAX: usize = 32 << 20;

/// What all ingress logs of a broker share.
pub(crate) fn budget() -> Budget {
    Budget::new(ENTRIES_BYTES_MAX)
}

/// An entry of an ingress log, or what takes only offsets there.
pub(super) struct Step {
    /// The offset behind it.
    pub(super) end: Offset,
    /// What it takes in the log, in bytes.
    pub(super) bytes: u32,
    /// `None` where there are no records.
    pub(super) entry: Option<Entry>,
}

/// The newest entries of one ingress log, in order. What found no room is missing.
pub(super) struct Recent {
    budget: Budget,
    entries: VecDeque<Kept>,
}

struct Kept {
    entry: Entry,
    end: Offset,
    bytes: u32,
    _share: Share,
}

impl Recent {
    pub(super) fn new(budget: Budget) -> Self {
        Self { budget, entries: VecDeque::new() }
    }

    /// Keeps an entry that was just appended and ends at `end`, if there is room.
    pub(super) fn push(&mut self, entry: Entry, end: Offset, bytes: u32) {
        if let Some(share) = self.budget.try_take(bytes as usize) {
            self.entries.push_back(Kept { entry, end, bytes, _share: share });
        }
    }

    /// Forgets the entries that begin below `from`, and gives their room back.
    pub(super) fn forget_below(&mut self, from: Offset) {
        while self.entries.pop_front_if(|kept| kept.entry.base < from).is_some() {}
    }

    /// Takes the entries from `from` on that end at or below `below`, at most `bytes_max` of them but at least one; none if what
    /// comes at `from` is not here. Older ones are forgotten.
    pub(super) fn take(&mut self, from: Offset, below: Offset, bytes_max: u64) -> Vec<Step> {
        self.forget_below(from);
        let (mut steps, mut next, mut bytes_left) = (Vec::new(), from, bytes_max);
        let fits = |kept: &Kept, next, bytes_left, is_first: bool| {
            let has_room = is_first || u64::from(kept.bytes) <= bytes_left;
            kept.entry.base == next && kept.end <= below && has_room
        };
        while let Some(Kept { entry, end, bytes, .. }) =
            self.entries.pop_front_if(|kept| fits(kept, next, bytes_left, steps.is_empty()))
        {
            next = end;
            bytes_left = bytes_left.saturating_sub(bytes.into());
            steps.push(Step { end, bytes, entry: Some(entry) });
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use watershed_log::ingress::{unwrap, wrap};
    use watershed_log::{Origin, ValidatedBatch};
    use watershed_model::record::BatchBuilder;

    use super::*;

    /// Keeps an entry that claims to take so many bytes.
    fn push(recent: &mut Recent, base: i64, end: i64, bytes: u32) {
        let (header, body) = BatchBuilder::new().build_parts().unwrap();
        let origin = Origin::Client { produce_version: 12 };
        let batch = ValidatedBatch { header, body, log_append_time: None, origin, uncompressed_bytes: 0 };
        let mut wrapped = wrap(&batch, &[]).unwrap();
        wrapped.header.base_offset = Offset(base);
        recent.push(unwrap(&wrapped.header, &wrapped.body).unwrap(), Offset(end), bytes);
    }

    fn take(recent: &mut Recent, from: i64, below: i64, bytes_max: u64) -> Vec<i64> {
        recent.take(Offset(from), Offset(below), bytes_max).iter().map(|step| step.end.0).collect()
    }

    #[test]
    fn entries_come_back_in_order_as_far_as_they_follow_each_other() {
        let mut recent = Recent::new(Budget::new(64 << 10));
        for (base, end) in [(0, 5), (5, 6), (6, 10), (12, 14), (14, 20)] {
            push(&mut recent, base, end, 1000);
        }
        assert_eq!(take(&mut recent, 0, 5, 10_000), [5]);
        assert_eq!(take(&mut recent, 5, 9, 10_000), [6], "what is not promised stays");
        assert_eq!(take(&mut recent, 6, 99, 10), [10], "one at least");
        assert_eq!(take(&mut recent, 10, 99, 10_000), [] as [i64; 0], "what comes at 10 is not here");
        assert_eq!(take(&mut recent, 12, 99, 1500), [14]);
        assert_eq!(take(&mut recent, 15, 99, 1500), [] as [i64; 0], "the router has been beyond its beginning");
        push(&mut recent, 20, 21, 1000);
        assert_eq!(take(&mut recent, 20, 99, 1500), [21]);
    }

    #[test]
    fn what_finds_no_room_is_not_kept() {
        let budget = Budget::new(1024);
        let (mut one, mut other) = (Recent::new(budget.clone()), Recent::new(budget));
        push(&mut one, 0, 1, 1000);
        push(&mut other, 0, 1, 1000);
        assert_eq!(take(&mut other, 0, 9, 10_000), [] as [i64; 0]);
        one.forget_below(Offset(0));
        assert_eq!(take(&mut one, 0, 9, 10_000), [1]);
        push(&mut other, 1, 2, 1000);
        one.forget_below(Offset(9));
        push(&mut one, 1, 2, 1);
        assert_eq!(take(&mut one, 1, 9, 10_000), [] as [i64; 0]);
        other.forget_below(Offset(2));
        push(&mut one, 1, 2, 1000);
        assert_eq!(take(&mut one, 1, 9, 10_000), [2], "what was read from the log elsewhere gave its room back");
    }
}
