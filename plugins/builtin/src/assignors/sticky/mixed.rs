//! `sticky` where subscriptions differ.
//!
//! Everybody keeps what it owns; what is free goes to the subscriber with the fewest partitions. Then, as long as somebody has
//! two more than another, and partitions can wander from the one to the other (directly, or each to the next along a chain of
//! members that share topics), they do. Afterwards no assignment is more even: this is the optimal semi-matching of Harvey,
//! Ladner, Lovász and Tamir (2003). Chains that move the fewest owned partitions go first; where one link is as good as any chain,
//! `lightest.rs` finds it without a search.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use watershed_hooks::{GroupAssignment, GroupSpec, TopicPartition};

use super::super::racks::Racks;
use super::super::subscribers;
use super::lightest::Lightest;
use super::near;
use super::search::{Aim, Link, Search};

/// The most steps from member to topic or from topic to member that all searches for chains may take together: some hundred
/// milliseconds. What is found by then stands.
const SEARCH_STEPS_MAX: u64 = 20_000_000;

/// An assignment in the making.
pub(super) struct Builder<'g> {
    racks: Option<&'g Racks>,
    /// For each topic and partition, who owned it before, or `FREE`.
    owners: Vec<Vec<u32>>,
    /// For each topic, its subscribers.
    pub(super) subscribers: Vec<Vec<u32>>,
    /// For each member, the partitions it has of each topic. No topic is empty.
    pub(super) held: Vec<BTreeMap<u32, Vec<u32>>>,
    /// For each member, how many partitions it has.
    pub(super) loads: Vec<u32>,
}

pub(super) fn assign(group: &GroupSpec<'_>, racks: Option<&Racks>) -> GroupAssignment {
    let members = group.members().len();
    let mut builder = Builder {
        racks,
        owners: super::owners(group),
        subscribers: subscribers(group, &(0..members as u32).collect::<Vec<_>>()),
        held: vec![BTreeMap::new(); members],
        loads: vec![0; members],
    };
    let free = builder.keep_owned();
    builder.give_free(&free);
    builder.even_out(Lightest::of(group, &builder.loads));
    builder.bring_home();
    builder.finish()
}

impl Builder<'_> {
    /// Whether a member owned the partition before.
    pub(super) fn owned(&self, member: u32, topic: u32, partition: u32) -> bool {
        self.owners[topic as usize][partition as usize] == member
    }

    /// Lets everybody keep what it may; returns what is free of each topic.
    fn keep_owned(&mut self) -> Vec<Vec<u32>> {
        let mut free = vec![Vec::new(); self.owners.len()];
        for topic in 0..self.owners.len() as u32 {
            for partition in 0..self.owners[topic as usize].len() as u32 {
                let owner = self.owners[topic as usize][partition as usize];
                let place = TopicPartition { topic, partition };
                let subscribes = self.subscribers[topic as usize].binary_search(&owner).is_ok();
                if subscribes && near(self.racks, owner, place) {
                    self.give(owner, place);
                } else {
                    free[topic as usize].push(partition);
                }
            }
        }
        free
    }

    fn give(&mut self, member: u32, place: TopicPartition) {
        self.held[member as usize].entry(place.topic).or_default().push(place.partition);
        self.loads[member as usize] += 1;
    }

    /// Gives every free partition to the subscriber with the fewest, of those nearby if there are any; the topics with the
    /// fewest subscribers first.
    fn give_free(&mut self, free: &[Vec<u32>]) {
        let subscribers = |topic: &u32| self.subscribers[*topic as usize].len();
        let mut topics: Vec<u32> = (0..free.len() as u32).filter(|topic| subscribers(topic) > 0).collect();
        topics.sort_by_key(subscribers);
        for topic in topics.into_iter().filter(|topic| !free[*topic as usize].is_empty()) {
            let of_topic = &self.subscribers[topic as usize];
            let mut by_load: BTreeSet<(u32, u32)> =
                of_topic.iter().map(|member| (self.loads[*member as usize], *member)).collect();
            for partition in &free[topic as usize] {
                let place = TopicPartition { topic, partition: *partition };
                let (load, member) = self.taker(&by_load, place);
                by_load.remove(&(load, member));
                by_load.insert((load + 1, member));
                self.give(member, place);
            }
        }
    }

    /// Who of these members gets a free partition.
    fn taker(&self, by_load: &BTreeSet<(u32, u32)>, place: TopicPartition) -> (u32, u32) {
        if let Some(racks) = self.racks {
            let is_near = |member| racks.member(member).is_some() && racks.matches(member, place);
            if let Some(nearest) = by_load.iter().find(|(_, member)| is_near(*member)) {
                return *nearest;
            }
        }
        let fewest = *by_load.first().expect("the topic has subscribers");
        let owner = (fewest.0, self.owners[place.topic as usize][place.partition as usize]);
        if by_load.contains(&owner) { owner } else { fewest }
    }

    /// Moves partitions along chains until nothing becomes more even. The members with the most partitions go first: what
    /// one of them cannot improve, nobody reached from there can, so those members are done.
    fn even_out(&mut self, mut lightest: Option<Lightest<'_>>) {
        let mut search = Search::new(self.loads.len(), self.subscribers.len());
        let mut heavy: BinaryHeap<(u32, u32)> = self.loads.iter().copied().zip(0..).collect();
        while let Some((load, giver)) = heavy.pop() {
            if self.loads[giver as usize] != load || search.is_done(giver) {
                continue;
            }
            let link = lightest.as_ref().and_then(|lightest| self.direct(giver, lightest));
            let chain = match link {
                Some(link) => vec![link],
                None if search.steps() >= SEARCH_STEPS_MAX => return,
                None => match search.chain(self, giver, Aim::Lighter) {
                    Some(chain) => chain,
                    None => continue,
                },
            };
            let taker = self.shift_along(giver, &chain);
            for member in [giver, taker] {
                let now = self.loads[member as usize];
                let before = if member == giver { now + 1 } else { now - 1 };
                if let Some(lightest) = &mut lightest {
                    lightest.moved(member, before, now);
                }
                heavy.push((now, member));
            }
        }
    }

    /// The link to the lightest member that shares a topic with the giver and has at least two partitions less, if no chain can cost
    /// less: it moves nothing that the giver owned before, or all that the giver holds it owned.
    fn direct(&self, giver: u32, lightest: &Lightest<'_>) -> Option<Link> {
        let mut best = None;
        let mut all_owned = true;
        for (topic, held) in &self.held[giver as usize] {
            let moves_owned = held.iter().all(|partition| self.owned(giver, *topic, *partition));
            all_owned &= moves_owned;
            if let Some((load, taker)) = lightest.of_topic(*topic) {
                best = best.into_iter().chain([(moves_owned, load, taker, *topic)]).min();
            }
        }
        let (moves_owned, load, taker, topic) = best?;
        let is_best = load + 2 <= self.loads[giver as usize] && (!moves_owned || all_owned);
        is_best.then_some((giver, topic, taker))
    }

    /// Gives partitions back to those who owned them, where others who did not own theirs can make up for it.
    fn bring_home(&mut self) {
        let mut search = Search::new(self.loads.len(), self.subscribers.len());
        let mut abroad = Vec::new();
        for (holder, held) in (0u32..).zip(&self.held) {
            for (topic, partition) in
                held.iter().flat_map(|(topic, of)| of.iter().map(move |partition| (*topic, *partition)))
            {
                let owner = self.owners[topic as usize][partition as usize];
                let place = TopicPartition { topic, partition };
                let subscribes = self.subscribers[topic as usize].binary_search(&owner).is_ok();
                if owner != holder && subscribes && near(self.racks, owner, place) {
                    abroad.push((holder, owner, place));
                }
            }
        }
        for (holder, owner, place) in abroad {
            let held = self.held[holder as usize].get(&place.topic);
            let Some(at) = held.and_then(|of| of.iter().position(|partition| *partition == place.partition)) else {
                // It went on with an earlier one.
                continue;
            };
            if search.steps() >= SEARCH_STEPS_MAX {
                return;
            }
            let Some(chain) = search.chain(self, owner, Aim::InPlaceOf(holder)) else { continue };
            self.take(holder, place.topic, at);
            self.loads[holder as usize] -= 1;
            self.shift_along(owner, &chain);
            self.give(owner, place);
        }
    }

    /// Moves a partition over each link; returns who has one more now. The giver has one less.
    fn shift_along(&mut self, giver: u32, chain: &[Link]) -> u32 {
        for (from, topic, to) in chain {
            self.shift(*topic, *from, *to);
        }
        let taker = chain.first().map_or(giver, |(_, _, to)| *to);
        self.loads[giver as usize] -= 1;
        self.loads[taker as usize] += 1;
        taker
    }

    /// Moves the best suited partition of a topic: one that its holder did not own, that the taker did, that is near to it.
    fn shift(&mut self, topic: u32, from: u32, to: u32) {
        let fitness = |partition: u32| {
            let place = TopicPartition { topic, partition };
            (self.owned(from, topic, partition), !self.owned(to, topic, partition), !near(self.racks, to, place))
        };
        let held = &self.held[from as usize][&topic];
        let best = (0..held.len()).rev().min_by_key(|at| fitness(held[*at])).expect("no topic is empty");
        let partition = self.take(from, topic, best);
        self.held[to as usize].entry(topic).or_default().push(partition);
    }

    /// Takes a partition from a member's list of a topic.
    fn take(&mut self, member: u32, topic: u32, at: usize) -> u32 {
        let held = self.held[member as usize].get_mut(&topic).expect("no topic is empty");
        let partition = held.swap_remove(at);
        if held.is_empty() {
            self.held[member as usize].remove(&topic);
        }
        partition
    }

    fn finish(self) -> GroupAssignment {
        let of_topic = |(topic, partitions): (u32, Vec<u32>)| {
            partitions.into_iter().map(move |partition| TopicPartition { topic, partition })
        };
        let members = self.held.into_iter().map(|held| held.into_iter().flat_map(of_topic).collect()).collect();
        GroupAssignment { members }
    }
}
