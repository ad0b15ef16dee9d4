//! Who has the fewest partitions among the subscribers of each topic.

use std::collections::BTreeSet;

use watershed_hooks::GroupSpec;

/// With more subscriptions than this in a group, keeping the order costs more than it saves.
const SUBSCRIPTIONS_MAX: usize = 1_000_000;

/// The subscribers of every topic, in the order of their loads.
pub(super) struct Lightest<'g> {
    group: &'g GroupSpec<'g>,
    /// For each topic, loads and members.
    by_load: Vec<BTreeSet<(u32, u32)>>,
}

impl<'g> Lightest<'g> {
    /// The order of these loads; `None` for groups with too many subscriptions.
    pub(super) fn of(group: &'g GroupSpec<'g>, loads: &[u32]) -> Option<Self> {
        let subscriptions: usize = group.members().iter().map(|member| member.topics.len()).sum();
        if subscriptions > SUBSCRIPTIONS_MAX {
            return None;
        }
        let mut by_load = vec![Vec::new(); group.topics().len()];
        for ((member, load), spec) in (0..).zip(loads).zip(group.members()) {
            spec.topics.iter().for_each(|topic| by_load[*topic as usize].push((*load, member)));
        }
        Some(Self { group, by_load: by_load.into_iter().map(BTreeSet::from_iter).collect() })
    }

    /// The subscriber with the fewest partitions, and how many these are.
    pub(super) fn of_topic(&self, topic: u32) -> Option<(u32, u32)> {
        self.by_load[topic as usize].first().copied()
    }

    /// A member has more or fewer partitions than before.
    pub(super) fn moved(&mut self, member: u32, before: u32, now: u32) {
        for topic in &self.group.members()[member as usize].topics {
            let by_load = &mut self.by_load[*topic as usize];
            by_load.remove(&(before, member));
            by_load.insert((now, member));
        }
    }
}
