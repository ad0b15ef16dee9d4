//! `uniform` where subscriptions differ; as Kafka's `UniformHeterogeneousAssignmentBuilder`.
//!
//! Each member keeps what it owns and subscribes to. What is left goes, topic by topic, to the subscribers that have the fewest
//! partitions. Then topic after topic is evened out, until a whole round changes nothing or the rounds are used up.

use watershed_hooks::{GroupAssignment, GroupSpec, TopicPartition};

use super::super::{FREE, per_partition};
use super::balancer::Balancer;
use super::java;

/// The most rounds of evening out over all topics, as in Kafka.
const ROUNDS_MAX: usize = 16;

/// An assignment in the making. Members are meant by their place in Kafka's order, which breaks ties.
struct Builder<'g, 'a> {
    group: &'g GroupSpec<'a>,
    /// Place to member.
    order: Vec<u32>,
    /// For each topic, the places of its subscribers, ascending.
    subscribers: Vec<Vec<u32>>,
    /// For each topic and partition, the place of who has it, or [`FREE`].
    owners: Vec<Vec<u32>>,
    /// For each place, how many partitions it has.
    sizes: Vec<u32>,
    balancer: Balancer,
}

pub(super) fn assign(group: &GroupSpec<'_>) -> GroupAssignment {
    let mut builder = Builder::new(group);
    builder.keep_owned();
    let topics = builder.sorted_topics();
    builder.assign_free(&topics);
    builder.even_out(&topics);
    builder.finish()
}

impl<'g, 'a> Builder<'g, 'a> {
    fn new(group: &'g GroupSpec<'a>) -> Self {
        let order = super::member_order(group);
        let mut subscribers = vec![Vec::new(); group.topics().len()];
        for (place, member) in (0..).zip(&order) {
            for topic in &group.members()[*member as usize].topics {
                subscribers[*topic as usize].push(place);
            }
        }
        let (owners, sizes) = (per_partition(group, FREE), vec![0; order.len()]);
        Self { group, order, subscribers, owners, sizes, balancer: Balancer::default() }
    }

    fn keep_owned(&mut self) {
        for (place, index) in (0..).zip(&self.order) {
            let member = &self.group.members()[*index as usize];
            for owned in member.owned.iter().filter(|owned| member.topics.binary_search(&owned.topic).is_ok()) {
                self.owners[owned.topic as usize][owned.partition as usize] = place;
                self.sizes[place as usize] += 1;
            }
        }
    }

    /// The topics with subscribers: those with most partitions for each subscriber first, then those with fewest
    /// subscribers, then by id.
    fn sorted_topics(&self) -> Vec<u32> {
        let topics = self.group.topics();
        let subscribers = |topic: u32| self.subscribers[topic as usize].len();
        let load = |topic: u32| f64::from(topics[topic as usize].partitions) / subscribers(topic) as f64;
        let mut sorted: Vec<u32> = (0..topics.len() as u32).filter(|topic| subscribers(*topic) > 0).collect();
        sorted.sort_by(|a, b| {
            let by_subscribers = || subscribers(*a).cmp(&subscribers(*b));
            let by_id = || java::compare_topics(topics[*a as usize].id, topics[*b as usize].id);
            load(*b).total_cmp(&load(*a)).then_with(by_subscribers).then_with(by_id)
        });
        sorted
    }

    fn assign(&mut self, topic: u32, partition: u32, place: u32) {
        let owner = &mut self.owners[topic as usize][partition as usize];
        if *owner != FREE {
            self.sizes[*owner as usize] -= 1;
        }
        *owner = place;
        self.sizes[place as usize] += 1;
    }

    fn assign_free(&mut self, topics: &[u32]) {
        for topic in topics {
            self.balancer.start(&self.subscribers[*topic as usize], &self.sizes);
            for partition in 0..self.group.topics()[*topic as usize].partitions {
                if self.owners[*topic as usize][partition as usize] == FREE {
                    let place = self.balancer.next_low(&self.sizes);
                    self.assign(*topic, partition, place);
                }
            }
        }
    }

    fn even_out(&mut self, topics: &[u32]) {
        let movable = |topic: &u32| self.subscribers[*topic as usize].len() >= 2;
        let topics: Vec<u32> = topics.iter().copied().filter(movable).collect();
        let mut last_changed = None;
        for _ in 0..ROUNDS_MAX {
            for topic in &topics {
                if last_changed == Some(*topic) {
                    // Once around all topics, and nothing moved.
                    return;
                }
                if self.even_out_topic(*topic) || last_changed.is_none() {
                    last_changed = Some(*topic);
                }
            }
        }
    }

    /// Moves partitions of a topic from the subscribers with the most partitions to those with the fewest. Returns whether
    /// any moved.
    fn even_out_topic(&mut self, topic: u32) -> bool {
        if self.balancer.start(&self.subscribers[topic as usize], &self.sizes) <= 1 {
            return false;
        }
        let mut held: Vec<Vec<u32>> = vec![Vec::new(); self.order.len()];
        for (partition, owner) in (0..).zip(&self.owners[topic as usize]) {
            held[*owner as usize].push(partition);
        }
        let mut changed = false;
        while !self.balancer.is_even() {
            let Some(giver) = self.balancer.next_high(&self.sizes) else { break };
            let Some(partition) = held[giver as usize].pop() else {
                self.balancer.exclude_high();
                continue;
            };
            let taker = self.balancer.next_low(&self.sizes);
            if self.balancer.is_even() {
                break;
            }
            self.assign(topic, partition, taker);
            changed = true;
        }
        changed
    }

    fn finish(self) -> GroupAssignment {
        let mut assignment = GroupAssignment::empty(self.order.len());
        for (topic, owners) in (0..).zip(&self.owners) {
            for (partition, owner) in (0..).zip(owners).filter(|(_, owner)| **owner != FREE) {
                let member = self.order[*owner as usize];
                assignment.members[member as usize].push(TopicPartition { topic, partition });
            }
        }
        assignment
    }
}
