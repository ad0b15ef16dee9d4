//! `sticky` where all members subscribe to the same topics.
//!
//! Everybody gets the same number of partitions, or one more. Who owns more than the share keeps the one more, so that as
//! little as possible moves; what is free goes to whoever has the fewest.

use std::collections::BTreeSet;

use watershed_hooks::{GroupAssignment, GroupMember, GroupSpec, TopicPartition};

use super::super::racks::Racks;
use super::super::{FREE, per_partition};
use super::near;

/// Members by how many partitions they have, the ones with the fewest first.
type ByLoad = BTreeSet<(usize, u32)>;

struct Builder<'g, 'a> {
    group: &'g GroupSpec<'a>,
    racks: Option<&'g Racks>,
    /// Everybody's share.
    share: usize,
    /// How many members may still exceed the share, by one.
    extra: usize,
    assignment: GroupAssignment,
    /// All members.
    by_load: ByLoad,
    /// The members of each rack.
    by_rack: Vec<ByLoad>,
}

pub(super) fn assign(group: &GroupSpec<'_>, racks: Option<&Racks>) -> GroupAssignment {
    let members = group.members();
    let Some(first) = members.first() else { return GroupAssignment::default() };
    let total: usize = first.topics.iter().map(|topic| group.topics()[*topic as usize].partitions as usize).sum();
    let mut builder = Builder {
        group,
        racks,
        share: total / members.len(),
        extra: total % members.len(),
        assignment: GroupAssignment::empty(members.len()),
        by_load: ByLoad::new(),
        by_rack: vec![ByLoad::new(); racks.map_or(0, Racks::count)],
    };
    builder.keep_owned();
    let mut free = builder.free(&first.topics);
    if let Some(racks) = racks {
        super::sort_by_neighbours(racks, members.len(), &mut free);
        free.retain(|place| !builder.give_nearby(racks, *place));
        let owners = super::owners(group);
        free.retain(|place| !builder.give_back(*place, owners[place.topic as usize][place.partition as usize]));
    }
    free.into_iter().for_each(|place| builder.give(place));
    builder.assignment
}

impl Builder<'_, '_> {
    /// Lets everybody keep what it owns up to its share, and those who own more than that one more while there are any.
    fn keep_owned(&mut self) {
        let members = self.group.members();
        let keeps = |(index, member): (u32, &GroupMember<'_>)| {
            let stays = |place: &TopicPartition| {
                member.topics.binary_search(&place.topic).is_ok() && near(self.racks, index, *place)
            };
            let mut kept: Vec<TopicPartition> = member.owned.iter().copied().filter(stays).collect();
            // The same partitions of all topics stay together.
            kept.sort_unstable_by_key(|place| (place.partition, place.topic));
            kept
        };
        let kept: Vec<Vec<TopicPartition>> = (0..).zip(members).map(keeps).collect();
        for (index, mut kept) in (0..).zip(kept) {
            let exceeds = kept.len() > self.share && self.extra > 0;
            kept.truncate(self.share + usize::from(exceeds));
            self.extra -= usize::from(exceeds);
            let entry = (kept.len(), index);
            self.by_load.insert(entry);
            if let Some(rack) = self.racks.and_then(|racks| racks.member(index)) {
                self.by_rack[rack as usize].insert(entry);
            }
            self.assignment.members[index as usize] = kept;
        }
    }

    /// What nobody keeps, topic by topic.
    fn free(&self, topics: &[u32]) -> Vec<TopicPartition> {
        let mut kept = per_partition(self.group, false);
        for place in self.assignment.members.iter().flatten() {
            kept[place.topic as usize][place.partition as usize] = true;
        }
        let mut free = Vec::new();
        for topic in topics {
            let of_topic = (0..).zip(&kept[*topic as usize]).filter(|(_, kept)| !**kept);
            free.extend(of_topic.map(|(partition, _)| TopicPartition { topic: *topic, partition }));
        }
        free
    }

    /// Whether a member that has that many may get one more.
    fn has_room(&self, load: usize) -> bool {
        load < self.share || load == self.share && self.extra > 0
    }

    fn give_to(&mut self, (load, member): (usize, u32), place: TopicPartition) {
        self.assignment.members[member as usize].push(place);
        self.extra -= usize::from(load == self.share);
        let rack = self.racks.and_then(|racks| racks.member(member));
        for by_load in
            [Some(&mut self.by_load), rack.map(|rack| &mut self.by_rack[rack as usize])].into_iter().flatten()
        {
            by_load.remove(&(load, member));
            by_load.insert((load + 1, member));
        }
    }

    /// Gives a partition to the member with the fewest of those nearby, if it has room.
    fn give_nearby(&mut self, racks: &Racks, place: TopicPartition) -> bool {
        let nearby = racks.partition(place).iter().filter_map(|rack| self.by_rack[*rack as usize].first());
        let Some(entry) = nearby.min().copied().filter(|(load, _)| self.has_room(*load)) else { return false };
        self.give_to(entry, place);
        true
    }

    /// Gives a partition that no member nearby has room for back to whoever owned it, if it has room.
    fn give_back(&mut self, place: TopicPartition, owner: u32) -> bool {
        if owner == FREE {
            return false;
        }
        let load = self.assignment.members[owner as usize].len();
        let has_room = self.has_room(load);
        if has_room {
            self.give_to((load, owner), place);
        }
        has_room
    }

    /// Gives a partition to whoever has the fewest.
    fn give(&mut self, place: TopicPartition) {
        let entry = *self.by_load.first().expect("the group has members");
        self.give_to(entry, place);
    }
}
