//! Cooperative members of a group for which the broker assigns: they come and go and go on at their own pace, and keep what they own
//! while the group rebalances.
//!
//! What must hold: at no moment do two members own a partition; when nobody comes or goes any more, every partition has an owner.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::HeartbeatRequest;
use watershed_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use watershed_protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use watershed_protocol::messages::sync_group::SyncGroupRequest;

use super::world::World;
use crate::groups::protocol::{Assignment, Subscription, TopicPartitions};
use crate::groups::{GroupReply, GroupRequest};

const CLIENTS: usize = 4;
const PARTITIONS: usize = 5 + 3;
/// Until everyone has what it is to have, this many rounds of one request of each client are enough.
const ROUNDS_MAX: usize = 100;

type Owned = BTreeSet<(String, i32)>;

/// What a client does next.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Next {
    #[default]
    Away,
    Join,
    Sync,
    Heartbeat,
}

#[derive(Default)]
struct Member {
    next: Next,
    owned: Owned,
    /// The generation in which it got what it owns.
    generation: i32,
}

#[derive(Clone, Debug)]
enum Event {
    Come(usize),
    Leave(usize),
    Step(usize),
    /// The assignor outside answers, if there is one and it was asked; or it fails.
    Answer(Option<&'static str>),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => (0..CLIENTS).prop_map(Event::Come),
        1 => (0..CLIENTS).prop_map(Event::Leave),
        8 => (0..CLIENTS).prop_map(Event::Step),
        3 => Just(Event::Answer(None)),
        1 => Just(Event::Answer(Some("trap"))),
    ]
}

struct History {
    world: World,
    members: BTreeMap<usize, Member>,
}

impl History {
    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Come(client) => {
                let member = self.members.entry(client).or_default();
                if member.next == Next::Away {
                    *member = Member { next: Next::Join, owned: Owned::new(), generation: -1 };
                }
            }
            Event::Leave(client) => self.leave(client),
            Event::Step(client) => self.step(client),
            Event::Answer(failure) => drop(self.world.answer(failure)),
        }
        // Nobody waits for others to come, and nobody's session ends.
        self.world.advance(0);
        self.hear();
    }

    fn leave(&mut self, client: usize) {
        let Some(member) = self.members.get_mut(&client).filter(|member| member.next != Next::Away) else { return };
        *member = Member::default();
        let name = format!("c{client}");
        let member_id = self.world.clients.remove(&name).unwrap_or_default().member_id;
        let members = vec![MemberIdentity { member_id, ..MemberIdentity::default() }];
        let request = LeaveGroupRequest { group_id: "g".to_owned(), member_id: String::new(), members };
        self.world.send(&name, 5, GroupRequest::LeaveGroup(request));
    }

    /// One request at a time.
    fn step(&mut self, client: usize) {
        let name = format!("c{client}");
        let Some(member) = self.members.get(&client).filter(|_| !self.world.waits(&name)) else { return };
        let known = self.world.clients.get(&name).cloned().unwrap_or_default();
        let group_id = "g".to_owned();
        match member.next {
            Next::Away => {}
            Next::Join => {
                let subscription = Subscription {
                    version: 3,
                    topics: vec!["t".to_owned(), "u".to_owned()],
                    user_data: None,
                    owned_partitions: by_topic(&member.owned),
                    generation_id: member.generation,
                    rack_id: None,
                };
                let name_of_protocol = "cooperative-sticky".to_owned();
                let protocol = JoinGroupRequestProtocol { name: name_of_protocol, metadata: subscription.encode() };
                let request = JoinGroupRequest {
                    group_id,
                    session_timeout_ms: 10_000,
                    rebalance_timeout_ms: 60_000,
                    member_id: known.member_id,
                    protocol_type: "consumer".to_owned(),
                    protocols: vec![protocol],
                    ..JoinGroupRequest::default()
                };
                self.world.send(&name, 9, GroupRequest::JoinGroup(request));
            }
            Next::Sync => {
                let (generation_id, member_id) = (known.generation, known.member_id);
                let request = SyncGroupRequest { group_id, generation_id, member_id, ..SyncGroupRequest::default() };
                self.world.send(&name, 4, GroupRequest::SyncGroup(request));
            }
            Next::Heartbeat => {
                let request = HeartbeatRequest {
                    group_id: "g".into(),
                    generation_id: known.generation,
                    member_id: known.member_id.as_str().into(),
                    group_instance_id: None,
                };
                self.world.send(&name, 4, GroupRequest::Heartbeat(request));
            }
        }
    }

    fn hear(&mut self) {
        for (name, outcome) in self.world.replies() {
            let client: usize = name[1..].parse().unwrap();
            let Some(member) = self.members.get_mut(&client).filter(|member| member.next != Next::Away) else {
                // The answer to what it had asked before it left.
                self.world.clients.remove(&name);
                continue;
            };
            member.next = match outcome.unwrap() {
                GroupReply::JoinGroup(reply) if reply.error_code == 0 => Next::Sync,
                GroupReply::SyncGroup(reply) if reply.error_code == 0 => {
                    let assigned = partitions(&Assignment::decode(&reply.assignment).unwrap().partitions);
                    let gives_up = member.owned.difference(&assigned).next().is_some();
                    member.owned = assigned;
                    member.generation = self.world.clients[&name].generation;
                    if gives_up { Next::Join } else { Next::Heartbeat }
                }
                GroupReply::Heartbeat(reply) if reply.error_code == 0 => Next::Heartbeat,
                GroupReply::JoinGroup(reply) if reply.error_code == ErrorCode::UnknownMemberId.code() => {
                    member.owned.clear();
                    Next::Join
                }
                _ => Next::Join,
            };
        }
        self.check();
    }

    fn check(&self) {
        let mut owners = BTreeMap::new();
        for (client, member) in &self.members {
            for partition in &member.owned {
                let other = owners.insert(partition, client);
                assert_eq!(other, None, "{partition:?} belongs to {client} as well");
            }
        }
    }

    /// Everyone goes on until nobody has anything to do.
    fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            (0..CLIENTS).for_each(|client| self.happen(&Event::Step(client)));
            self.happen(&Event::Answer(None));
        }
    }
}

fn by_topic(owned: &Owned) -> Vec<TopicPartitions> {
    let partition =
        |(topic, partition): &(String, i32)| TopicPartitions { topic: topic.clone(), partitions: vec![*partition] };
    owned.iter().map(partition).collect()
}

fn partitions(by_topic: &[TopicPartitions]) -> Owned {
    let of = |of_topic: &TopicPartitions| {
        let topic = of_topic.topic.clone();
        of_topic.partitions.clone().into_iter().map(move |partition| (topic.clone(), partition))
    };
    by_topic.iter().flat_map(of).collect()
}

fn run(events: &[Event], settings: &[(&str, &str)]) {
    let mut all = vec![("topics", "t:5,u:3"), ("group.initial.rebalance.delay.ms", "0")];
    all.extend(settings);
    let mut history = History { world: World::new(&all), members: BTreeMap::new() };
    for event in events {
        history.happen(event);
    }
    history.settle();
    let present = history.members.values().filter(|member| member.next != Next::Away);
    let shares: Vec<usize> = present.map(|member| member.owned.len()).collect();
    if !shares.is_empty() {
        assert_eq!(shares.iter().sum::<usize>(), PARTITIONS, "{shares:?}");
        assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{shares:?}");
    }
}

proptest! {
    #[test]
    fn nothing_ever_has_two_owners(events in prop::collection::vec(event(), 1..150)) {
        run(&events, &[("broker", "sticky")]);
    }

    #[test]
    fn nothing_has_with_an_assignor_outside(events in prop::collection::vec(event(), 1..150)) {
        run(&events, &[("broker", "plugin"), ("outside", "plugin")]);
    }
}
