//! Picks the members that get and give partitions of a topic, so that its subscribers become even.
//!
//! The subscribers are sorted by how many partitions they have. Those with the fewest are a range at the left, those with the
//! most a range at the right; whoever is next in a range gets (gives) one, and when all of the range had their turn its level
//! rises (falls) by one and the range widens over those who are at this level. As Kafka's `MemberAssignmentBalancer`.

/// The two ranges over sorted members.
#[derive(Debug, Default)]
pub(super) struct Balancer {
    sorted: Vec<u32>,
    /// The members with the fewest: `sorted[..low_end]`.
    low_end: usize,
    /// How many partitions each of them had before this turn.
    low_level: i64,
    low_next: usize,
    /// The members with the most: `sorted[high_start..high_end]`. Behind them are those that have nothing to give.
    high_start: usize,
    high_end: usize,
    high_level: i64,
    /// One beyond who gives next; 0 when there is none.
    high_next: usize,
}

impl Balancer {
    /// Begins with these members (at least one). Returns by how much the one with the most exceeds the one with the fewest.
    pub(super) fn start(&mut self, members: &[u32], sizes: &[u32]) -> u32 {
        self.sorted.clear();
        self.sorted.extend(members);
        self.sorted.sort_unstable_by_key(|member| (sizes[*member as usize], *member));
        let size = |at: usize| sizes[self.sorted[at] as usize];
        let (fewest, most) = (size(0), size(self.sorted.len() - 1));
        self.low_end = 0;
        self.low_level = i64::from(fewest) - 1;
        self.low_next = 0;
        self.high_start = self.sorted.len();
        self.high_end = self.sorted.len();
        self.high_level = i64::from(most) + 1;
        self.high_next = self.sorted.len();
        most - fewest
    }

    fn size(&self, at: usize, sizes: &[u32]) -> i64 {
        i64::from(sizes[self.sorted[at] as usize])
    }

    /// The member that gets a partition next.
    pub(super) fn next_low(&mut self, sizes: &[u32]) -> u32 {
        if self.low_next >= self.low_end {
            self.low_level += 1;
            while self.low_end < self.sorted.len() && self.size(self.low_end, sizes) == self.low_level {
                self.low_end += 1;
            }
            self.low_next = 0;
        }
        self.low_next += 1;
        self.sorted[self.low_next - 1]
    }

    /// The member that gives a partition next, if any can.
    pub(super) fn next_high(&mut self, sizes: &[u32]) -> Option<u32> {
        if self.high_next <= self.high_start {
            if self.high_end <= self.high_start && self.high_start > 0 {
                // All of the range had nothing to give: it begins anew with whoever is left of it.
                self.high_level = self.size(self.high_start - 1, sizes);
            } else {
                self.high_level -= 1;
            }
            while self.high_start > 0 && self.size(self.high_start - 1, sizes) == self.high_level {
                self.high_start -= 1;
            }
            self.high_next = self.high_end;
        }
        self.high_next = self.high_next.checked_sub(1)?;
        Some(self.sorted[self.high_next])
    }

    /// The member that [`Self::next_high`] gave last has nothing to give: it leaves the range.
    pub(super) fn exclude_high(&mut self) {
        self.sorted.swap(self.high_next, self.high_end - 1);
        self.high_end -= 1;
    }

    /// Whether another move would change nothing for the better.
    pub(super) fn is_even(&self) -> bool {
        self.high_level - self.low_level <= 1
    }
}
