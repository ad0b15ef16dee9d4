//! Finds the chain of members along which partitions can wander so that the group becomes more even.
//!
//! A member reaches the subscribers of every topic of which it holds a partition. A step costs 1 where that partition is one it
//! owned before, 0 otherwise; the search (breadth first with costs of 0 and 1) takes the cheapest chain.

use std::collections::VecDeque;

use super::mixed::Builder;

/// Not reached.
const FAR: u32 = u32::MAX;

/// What was reached: at which cost, and from whom.
#[derive(Clone, Copy, Debug)]
struct Reached {
    cost: u32,
    from: u32,
}

#[derive(Clone, Copy, Debug)]
enum Node {
    Member(u32),
    Topic(u32),
}

/// One giver's partition of a topic goes to a taker.
pub(super) type Link = (u32, u32, u32);

/// Whom a chain is to reach.
#[derive(Clone, Copy, Debug)]
pub(super) enum Aim {
    /// Somebody with at least two partitions less than the giver.
    Lighter,
    /// Somebody who may have one more if this member has one less, without moving what its holder owned before.
    InPlaceOf(u32),
}

/// The state of all searches in one group.
pub(super) struct Search {
    /// From topics.
    members: Vec<Reached>,
    /// From members.
    topics: Vec<Reached>,
    touched: Vec<Node>,
    queue: VecDeque<(u32, Node)>,
    done: Vec<bool>,
    steps: u64,
}

impl Search {
    pub(super) fn new(members: usize, topics: usize) -> Self {
        let far = Reached { cost: FAR, from: FAR };
        Self {
            members: vec![far; members],
            topics: vec![far; topics],
            touched: Vec::new(),
            queue: VecDeque::new(),
            done: vec![false; members],
            steps: 0,
        }
    }

    /// Whether nothing can be moved from this member for the better, now and later.
    pub(super) fn is_done(&self, member: u32) -> bool {
        self.done[member as usize]
    }

    /// How many steps all searches took.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// The cheapest chain from a member to one that is aimed at, the last link first; empty where the member itself is.
    ///
    /// If nobody lighter can be reached, everybody who was reached is done, provided that nobody who is not done has more
    /// than the giver.
    pub(super) fn chain(&mut self, builder: &Builder<'_>, giver: u32, aim: Aim) -> Option<Vec<Link>> {
        let found = self.walk(builder, giver, aim);
        let chain = found.map(|taker| self.links(giver, taker));
        let settles = chain.is_none() && matches!(aim, Aim::Lighter);
        let touched = std::mem::take(&mut self.touched);
        for node in touched {
            let reached = match node {
                Node::Topic(topic) => &mut self.topics[topic as usize],
                Node::Member(member) => {
                    self.done[member as usize] |= settles;
                    &mut self.members[member as usize]
                }
            };
            reached.cost = FAR;
        }
        self.queue.clear();
        chain
    }

    /// Reaches out until one of the cheapest takers is known; of those that were seen by then, the one with the fewest
    /// partitions.
    fn walk(&mut self, builder: &Builder<'_>, giver: u32, aim: Aim) -> Option<u32> {
        let loads = &builder.loads;
        let load = |member: u32| loads[member as usize];
        let is_aim = |member: u32| match aim {
            Aim::Lighter => load(member) + 2 <= load(giver),
            Aim::InPlaceOf(holder) => member == holder || load(member) < load(holder),
        };
        let mut best: Option<(u32, u32, u32)> = None;
        self.reach(Node::Member(giver), 0, FAR, 0);
        while let Some((cost, node)) = self.queue.pop_front() {
            let cost_max = match aim {
                Aim::Lighter => best.map_or(FAR, |(cost, ..)| cost),
                Aim::InPlaceOf(_) => 0,
            };
            if cost > cost_max {
                break;
            }
            match node {
                Node::Member(member) if self.members[member as usize].cost == cost => {
                    if is_aim(member) {
                        best = best.into_iter().chain([(cost, load(member), member)]).min();
                        continue;
                    }
                    if best.is_some() {
                        // Whoever is behind this member is not nearer than the one that is known.
                        continue;
                    }
                    for (topic, held) in &builder.held[member as usize] {
                        let moves_owned = held.iter().all(|partition| builder.owned(member, *topic, *partition));
                        self.reach(Node::Topic(*topic), cost, member, u32::from(moves_owned));
                    }
                }
                Node::Topic(topic) if self.topics[topic as usize].cost == cost => {
                    for member in &builder.subscribers[topic as usize] {
                        self.reach(Node::Member(*member), cost, topic, 0);
                    }
                }
                // Reached more cheaply since.
                Node::Member(_) | Node::Topic(_) => {}
            }
        }
        best.map(|(_, _, taker)| taker)
    }

    fn reach(&mut self, node: Node, cost: u32, from: u32, step: u32) {
        self.steps += 1;
        let reached = match node {
            Node::Member(member) if self.done[member as usize] => return,
            Node::Member(member) => &mut self.members[member as usize],
            Node::Topic(topic) => &mut self.topics[topic as usize],
        };
        let known = reached.cost != FAR;
        if cost + step >= reached.cost {
            return;
        }
        *reached = Reached { cost: cost + step, from };
        if !known {
            self.touched.push(node);
        }
        if step == 0 {
            self.queue.push_front((cost, node));
        } else {
            self.queue.push_back((cost + step, node));
        }
    }

    fn links(&self, giver: u32, taker: u32) -> Vec<Link> {
        let mut links = Vec::new();
        let mut to = taker;
        while to != giver {
            let topic = self.members[to as usize].from;
            let from = self.topics[topic as usize].from;
            links.push((from, topic, to));
            to = from;
        }
        links
    }
}
