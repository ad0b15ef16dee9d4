//! `range`: each topic is cut into ranges, one for each subscriber; as Kafka's `RangeAssignor` on both sides.
//!
//! Topics of equally many partitions and the same subscribers are cut alike, so that a member has the same partitions of each
//! (co-partitioning). Where racks matter, partitions first go to members in a rack of theirs, as far as ranges of the same
//! sizes allow, and equally large topics still alike (KIP-881). Without racks this is Kafka's own server-side `range`.

use std::collections::BTreeMap;

use watershed_hooks::{Assignor, Failure, GroupAssignment, GroupSpec, TopicPartition};

use super::java;
use super::racks::Racks;

/// The assignor `range`.
#[derive(Clone, Copy, Debug)]
pub struct Range;

impl Assignor for Range {
    fn assign(&mut self, group: &GroupSpec<'_>) -> Result<GroupAssignment, Failure> {
        let subscribers = super::subscribers(group, &java::member_order(group));
        let mut topics: Vec<Topic> = (0..).zip(subscribers).map(|(topic, of)| Topic::new(topic, of, group)).collect();
        let mut assignment = GroupAssignment::empty(group.members().len());
        if let Some(racks) = Racks::of(group) {
            let matter = |topic: &Topic| racks.matter(&topic.subscribers, &[topic.topic]);
            if topics.iter().any(matter) {
                assign_within_racks(&mut topics, &racks, &mut assignment);
            }
        }
        topics.iter_mut().for_each(|topic| topic.assign_ranges(|_, _| true, &mut assignment));
        Ok(assignment)
    }
}

/// What remains to be assigned of a topic.
struct Topic {
    topic: u32,
    /// Who gets ranges, in this order.
    subscribers: Vec<u32>,
    /// For each subscriber, how many it has.
    assigned: Vec<u32>,
    /// The shares of all subscribers, but for the remainder of the division.
    share: u32,
    /// How many subscribers may still get one more than the share.
    extra: u32,
    taken: Vec<bool>,
    /// All partitions before it are taken.
    first_free: usize,
}

impl Topic {
    fn new(topic: u32, subscribers: Vec<u32>, group: &GroupSpec<'_>) -> Self {
        let partitions = group.topics()[topic as usize].partitions;
        let members = subscribers.len() as u32;
        Self {
            topic,
            assigned: vec![0; subscribers.len()],
            share: partitions.checked_div(members).unwrap_or(0),
            extra: partitions.checked_rem(members).unwrap_or(0),
            taken: vec![false; partitions as usize],
            first_free: 0,
            subscribers,
        }
    }

    /// How many more a subscriber may get.
    fn room(&self, subscriber: usize) -> u32 {
        (self.share + u32::from(self.extra > 0)).saturating_sub(self.assigned[subscriber])
    }

    fn assign(&mut self, subscriber: usize, partition: u32, assignment: &mut GroupAssignment) {
        self.taken[partition as usize] = true;
        self.assigned[subscriber] += 1;
        if self.assigned[subscriber] > self.share {
            self.extra -= 1;
        }
        let to = &mut assignment.members[self.subscribers[subscriber] as usize];
        to.push(TopicPartition { topic: self.topic, partition });
    }

    /// Gives each subscriber as much as it may get, of the first free partitions that are allowed for it.
    fn assign_ranges(&mut self, allowed: impl Fn(u32, TopicPartition) -> bool, assignment: &mut GroupAssignment) {
        for subscriber in 0..self.subscribers.len() {
            let member = self.subscribers[subscriber];
            let mut room = self.room(subscriber);
            while self.taken.get(self.first_free).is_some_and(|taken| *taken) {
                self.first_free += 1;
            }
            for partition in self.first_free..self.taken.len() {
                if room == 0 {
                    break;
                }
                let place = TopicPartition { topic: self.topic, partition: partition as u32 };
                if !self.taken[partition] && allowed(member, place) {
                    self.assign(subscriber, place.partition, assignment);
                    room -= 1;
                }
            }
        }
    }
}

/// Assigns what can be assigned within racks, topics of the same subscribers and size together.
fn assign_within_racks(topics: &mut [Topic], racks: &Racks, assignment: &mut GroupAssignment) {
    let mut alike: BTreeMap<(&[u32], usize), Vec<usize>> = BTreeMap::new();
    for (index, topic) in topics.iter().enumerate().filter(|(_, topic)| racks.any_member(&topic.subscribers)) {
        alike.entry((&topic.subscribers, topic.taken.len())).or_default().push(index);
    }
    let alike: Vec<Vec<usize>> = alike.into_values().collect();
    for indexes in alike {
        if let [only] = indexes[..] {
            let topic = &mut topics[only];
            if racks.matter(&topic.subscribers, &[topic.topic]) {
                topic.assign_ranges(|member, place| racks.matches(member, place), assignment);
            }
        } else {
            assign_alike(topics, &indexes, racks, assignment);
        }
    }
}

/// Gives a partition of all these topics to the first subscriber that has room and is in a rack of it in every topic.
fn assign_alike(topics: &mut [Topic], indexes: &[usize], racks: &Racks, assignment: &mut GroupAssignment) {
    let (count, partitions) = (topics[indexes[0]].subscribers.len(), topics[indexes[0]].taken.len());
    let mut remaining: Vec<usize> = (0..count).collect();
    for partition in 0..partitions as u32 {
        let fits = |topic: &Topic, subscriber: usize| {
            let place = TopicPartition { topic: topic.topic, partition };
            racks.matches(topic.subscribers[subscriber], place) && topic.room(subscriber) > 0
        };
        let mut candidates = remaining.iter().copied().enumerate();
        let found = candidates.find(|(_, subscriber)| indexes.iter().all(|index| fits(&topics[*index], *subscriber)));
        let Some((at, subscriber)) = found else { continue };
        indexes.iter().for_each(|index| topics[*index].assign(subscriber, partition, assignment));
        if indexes.iter().all(|index| topics[*index].room(subscriber) == 0) {
            remaining.remove(at);
        }
    }
}
