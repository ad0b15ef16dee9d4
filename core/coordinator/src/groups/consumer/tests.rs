//! Consumer groups against random histories: heartbeats in any order, lost replies, silence, reloads, growing topics, a wall clock that
//! jumps.
//!
//! Invariants: no partition is owned by two members at once, as the members see it; once nothing changes any more and the members go on
//! sending heartbeats, every partition has an owner and the group is stable; what is loaded from the records is what was there.
#![allow(clippy::unwrap_used)]

mod heavy;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use watershed_hooks::{Assignor, Failure, GroupAssignment, GroupSpec, TopicPartition};
use watershed_metadata::configs::{Assignment, BrokerConfig, GroupRule, GroupRules};
use watershed_metadata::{MetadataImage, MetadataRecord, PartitionRun};
use watershed_model::{BrokerId, LeaderEpoch, Offset, Timestamp, TopicId};
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::ConsumerGroupHeartbeatRequest;
use watershed_protocol::messages::consumer_group_heartbeat::TopicPartitions;

use super::*;
use crate::groups::{Assignors, GroupReply, GroupRequest, Question};
use crate::records::GroupRecord;
use crate::runtime::{Call, Now, Position, RequestId, StateMachine, TimerChange};

/// Deals partitions out in turn, and lets members keep what they have where that is fair.
struct InTurn;

impl Assignor for InTurn {
    fn assign(&mut self, group: &GroupSpec<'_>) -> Result<GroupAssignment, Failure> {
        let mut assignment = GroupAssignment::empty(group.members().len());
        for (index, topic) in (0..).zip(group.topics()) {
            let members: Vec<usize> =
                (0..group.members().len()).filter(|m| group.members()[*m].topics.contains(&index)).collect();
            if members.is_empty() {
                continue;
            }
            let fair = (topic.partitions as usize).div_ceil(members.len());
            for partition in 0..topic.partitions {
                let place = TopicPartition { topic: index, partition };
                let count = |m: &usize| assignment.members[*m].iter().filter(|p| p.topic == index).count();
                let owner = members.iter().find(|m| group.members()[**m].owned.contains(&place) && count(m) < fair);
                let owner = owner.or_else(|| members.iter().min_by_key(|m| count(m))).copied().unwrap();
                assignment.members[owner].push(place);
            }
        }
        Ok(assignment)
    }
}

/// What a client believes.
#[derive(Clone, Debug, Default)]
struct Client {
    epoch: i32,
    owned: BTreeSet<(TopicId, i32)>,
    topics: Vec<String>,
    is_alive: bool,
    /// A reply did not come: it says everything again, to hear everything again.
    is_unsure: bool,
}

struct World {
    machine: GroupCoordinator,
    /// The assignor is asked outside.
    is_outside: bool,
    /// What it was asked, and has not answered.
    questions: Vec<Question>,
    image: Arc<MetadataImage>,
    records: Vec<GroupRecord>,
    timers: BTreeMap<GroupTimer, u64>,
    clients: BTreeMap<String, Client>,
    now_ms: u64,
    /// By how much the wall clock has jumped.
    skew_ms: i64,
    next: u64,
}

fn machine(image: &Arc<MetadataImage>, is_outside: bool) -> GroupCoordinator {
    let settings = BrokerConfig::default().settings().groups.clone();
    let named = |name: &str| (name.to_owned(), Box::new(InTurn) as Box<dyn Assignor>);
    let assignors = Assignors::new([named("uniform")], is_outside.then(|| named("plugin")));
    let rule = || GroupRule {
        pattern: "*".parse().unwrap(),
        assignor: Some("plugin".to_owned()),
        assignment: Assignment::Client,
    };
    let rules = Arc::new(GroupRules { rules: is_outside.then(rule).into_iter().collect() });
    let mut machine = GroupCoordinator::new(Arc::new(settings), rules, Arc::new(assignors), Arc::new(|| [7; 16]));
    let now = Now { elapsed_ms: 0, wall: Timestamp(0) };
    machine.metadata(image, now, &mut Output::default());
    machine
}

fn topic_id(name: &str) -> TopicId {
    let mut id = [1; 16];
    id[..name.len()].copy_from_slice(name.as_bytes());
    TopicId(id)
}

fn runs(count: u32) -> Vec<PartitionRun> {
    let (replicas, leader) = (vec![BrokerId(1)], BrokerId(1));
    vec![PartitionRun { count, replicas, isr: None, leader, leader_epoch: LeaderEpoch(0) }]
}

impl World {
    fn new(is_outside: bool) -> Self {
        let mut image = MetadataImage::default();
        for (name, partitions) in [("a", 4), ("b", 3)] {
            let record = MetadataRecord::TopicCreated {
                topic: topic_id(name),
                name: name.to_owned(),
                partitions: runs(partitions),
            };
            image.apply(&record).unwrap();
        }
        let image = Arc::new(image);
        Self {
            machine: machine(&image, is_outside),
            is_outside,
            questions: Vec::new(),
            image,
            records: Vec::new(),
            timers: BTreeMap::new(),
            clients: BTreeMap::new(),
            now_ms: 0,
            skew_ms: 0,
            next: 0,
        }
    }

    fn now(&self) -> Now {
        Now { elapsed_ms: self.now_ms, wall: Timestamp(self.now_ms as i64 + self.skew_ms) }
    }

    /// Takes an output as the runtime does, unless the log refuses the records.
    fn take(&mut self, mut out: Output, is_refused: bool) -> Vec<GroupReply> {
        for (timer, change) in out.timers().to_vec() {
            match change {
                TimerChange::At(at) => drop(self.timers.insert(timer, at)),
                TimerChange::AtIfAbsent(at) => drop(self.timers.entry(timer).or_insert(at)),
                TimerChange::Cancelled => drop(self.timers.remove(&timer)),
            }
        }
        if is_refused && !out.writes().is_empty() {
            return Vec::new();
        }
        for write in out.writes() {
            let (key, value) = GroupCoordinator::encode(&write.record).unwrap();
            let record = GroupCoordinator::decode(&key, value.as_ref()).unwrap().unwrap();
            assert_eq!(record, write.record);
            self.records.push(record.clone());
            if write.apply {
                self.machine.apply(record, Position { offset: Offset(0), producer: None });
            }
        }
        self.questions.extend(out.take_sends());
        if let Some(token) = out.token().cloned() {
            let (now, mut out) = (self.now(), Output::default());
            self.machine.settled(token, Ok(()), now, &mut out);
            self.take(out, false);
        }
        out.replies().iter().map(|(_, reply)| reply.clone()).collect()
    }

    /// The assignor outside answers a question, or fails, or its answer is lost.
    fn answer(&mut self, how: Answers) {
        if self.questions.is_empty() {
            return;
        }
        let question = self.questions.remove(0);
        let (answer, is_refused) = match how {
            Answers::Well => (question.ask(), false),
            Answers::Badly => (question.unanswered("trap"), false),
            Answers::IntoARefusal => (question.ask(), true),
            Answers::Never => return,
        };
        self.request(GroupRequest::Assigned(answer), is_refused);
    }

    fn heartbeat(&mut self, who: &str, is_full: bool, is_lost: bool, is_refused: bool) {
        let client = self.clients.get(who).unwrap().clone();
        let mut owned: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in &client.owned {
            owned.entry(*topic).or_default().push(*partition);
        }
        let owned = owned.into_iter().map(|(topic_id, partitions)| TopicPartitions { topic_id, partitions });
        let joins = client.epoch == 0;
        let is_full = is_full || client.is_unsure;
        self.clients.get_mut(who).unwrap().is_unsure = true;
        let request = ConsumerGroupHeartbeatRequest {
            group_id: "g".to_owned(),
            member_id: who.to_owned(),
            member_epoch: client.epoch,
            rebalance_timeout_ms: if joins || is_full { 60_000 } else { -1 },
            subscribed_topic_names: (joins || is_full).then(|| client.topics.clone()),
            topic_partitions: Some(if joins { Vec::new() } else { owned.collect() }),
            ..Default::default()
        };
        let answer = self.ask(request, is_refused);
        let Some(GroupReply::ConsumerGroupHeartbeat(reply)) = answer else { return };
        if is_lost {
            return;
        }
        let client = self.clients.get_mut(who).unwrap();
        client.is_unsure = false;
        match reply.error_code {
            0 => {
                client.epoch = reply.member_epoch;
                if let Some(assignment) = reply.assignment {
                    let told = assignment.topic_partitions.iter();
                    client.owned = told.flat_map(|t| t.partitions.iter().map(|p| (t.topic_id, *p))).collect();
                }
            }
            code if code == i16::from(ErrorCode::FencedMemberEpoch)
                || code == i16::from(ErrorCode::UnknownMemberId) =>
            {
                client.epoch = 0;
                client.owned.clear();
            }
            code => panic!("{who}: {code} {:?}", reply.error_message),
        }
        self.nothing_is_owned_twice();
    }

    fn ask(&mut self, request: ConsumerGroupHeartbeatRequest, is_refused: bool) -> Option<GroupReply> {
        self.request(GroupRequest::ConsumerGroupHeartbeat(request), is_refused)
    }

    fn request(&mut self, request: GroupRequest, is_refused: bool) -> Option<GroupReply> {
        self.next += 1;
        let call =
            Call { id: RequestId(self.next), version: 1, client_id: "c".to_owned(), client_host: "/h".to_owned() };
        let (now, mut out) = (self.now(), Output::default());
        self.machine.request(call, request, now, &mut out);
        self.take(out, is_refused).pop()
    }

    fn leave(&mut self, who: &str) {
        let request = ConsumerGroupHeartbeatRequest {
            group_id: "g".to_owned(),
            member_id: who.to_owned(),
            member_epoch: -1,
            ..Default::default()
        };
        // A client that leaves has let go of everything before.
        let client = self.clients.get_mut(who).unwrap();
        *client = Client { topics: client.topics.clone(), ..Client::default() };
        self.ask(request, false);
    }

    fn advance(&mut self, by_ms: u64) {
        let end = self.now_ms + by_ms;
        while let Some((timer, at)) = self.timers.iter().min_by_key(|(_, at)| **at).map(|(t, at)| (t.clone(), *at)) {
            if at > end {
                break;
            }
            self.now_ms = self.now_ms.max(at);
            self.timers.remove(&timer);
            // A member that was not heard of for so long has given up what it had (its own session has ended as well).
            if let GroupTimer::ConsumerSession(_, member) | GroupTimer::ConsumerRebalance(_, member) = &timer
                && let Some(client) = self.clients.get_mut(&**member)
            {
                client.epoch = 0;
                client.owned.clear();
            }
            let (now, mut out) = (self.now(), Output::default());
            self.machine.timer(timer, now, &mut out);
            self.take(out, false);
        }
        self.now_ms = end;
    }

    fn grow(&mut self) {
        let first = self.image.topic_by_name("a").unwrap().partition_count();
        let more = MetadataRecord::PartitionsAdded { topic: topic_id("a"), first, partitions: runs(1) };
        Arc::make_mut(&mut self.image).apply(&more).unwrap();
        let now = self.now();
        self.machine.metadata(&self.image, now, &mut Output::default());
    }

    /// The coordinator moves: what it has is what the log says.
    fn reload(&mut self) {
        let before = format!("{:?}", self.shape());
        self.machine = machine(&self.image, self.is_outside);
        self.questions.clear();
        for record in self.records.clone() {
            self.machine.apply(record, Position { offset: Offset(0), producer: None });
        }
        assert_eq!(format!("{:?}", self.shape()), before);
        self.timers.clear();
        let (now, mut out) = (self.now(), Output::default());
        self.machine.loaded(now, &mut out);
        self.take(out, false);
        self.snapshot_is_the_same();
    }

    fn snapshot_is_the_same(&self) {
        let mut copy = machine(&self.image, self.is_outside);
        self.machine.snapshot(&mut |record, position| copy.apply(record, position));
        let (Some(Group::Consumer(a)), Some(Group::Consumer(b))) = (self.machine.groups.get("g"), copy.groups.get("g"))
        else {
            return;
        };
        assert_eq!(
            (a.epoch, a.target_epoch, &a.members, &a.targets),
            (b.epoch, b.target_epoch, &b.members, &b.targets)
        );
    }

    fn shape(&self) -> Option<(i32, i32, Vec<ConsumerMember>)> {
        match self.machine.groups.get("g")? {
            Group::Consumer(group) => Some((group.epoch, group.target_epoch, group.members().cloned().collect())),
            Group::Classic(_) => None,
        }
    }

    fn nothing_is_owned_twice(&self) {
        let mut owners = BTreeMap::new();
        for (who, client) in &self.clients {
            for place in &client.owned {
                let other = owners.insert(*place, who);
                assert!(other.is_none(), "{place:?} is owned by {other:?} and {who}");
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..20 {
            for who in self.clients.keys().cloned().collect::<Vec<_>>() {
                if self.clients[&who].is_alive {
                    self.heartbeat(&who, false, false, false);
                }
            }
            while !self.questions.is_empty() {
                self.answer(Answers::Well);
            }
            self.advance(3_000);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Join(u8, u8),
    Heartbeat {
        who: u8,
        is_full: bool,
        is_lost: bool,
        is_refused: bool,
    },
    Subscribe(u8, u8),
    Leave(u8),
    Die(u8),
    Advance(u16),
    /// The wall clock jumps by so many seconds.
    Jump(i32),
    Grow,
    Reload,
    Answer(Answers),
}

#[derive(Clone, Copy, Debug)]
enum Answers {
    Well,
    Badly,
    /// The log refuses what it leads to.
    IntoARefusal,
    Never,
}

fn topics(choice: u8) -> Vec<String> {
    [vec!["a"], vec!["b"], vec!["a", "b"], vec!["a", "missing"]][usize::from(choice % 4)]
        .iter()
        .map(|name| (*name).to_owned())
        .collect()
}

fn step() -> impl Strategy<Value = Step> {
    let heartbeat = (0..5u8, any::<bool>(), 0..4u8, 0..8u8).prop_map(|(who, is_full, lost, refused)| Step::Heartbeat {
        who,
        is_full,
        is_lost: lost == 0,
        is_refused: refused == 0,
    });
    prop_oneof![
        3 => (0..5u8, any::<u8>()).prop_map(|(who, topics)| Step::Join(who, topics)),
        10 => heartbeat,
        1 => (0..5u8, any::<u8>()).prop_map(|(who, topics)| Step::Subscribe(who, topics)),
        1 => (0..5u8).prop_map(Step::Leave),
        1 => (0..5u8).prop_map(Step::Die),
        2 => (0..50_000u16).prop_map(Step::Advance),
        1 => (-1_000_000..1_000_000).prop_map(Step::Jump),
        1 => Just(Step::Grow),
        1 => Just(Step::Reload),
        4 => Just(Step::Answer(Answers::Well)),
        1 => prop::sample::select(vec![Answers::Badly, Answers::IntoARefusal, Answers::Never]).prop_map(Step::Answer),
    ]
}

fn run(steps: Vec<Step>, is_outside: bool) {
    let mut world = World::new(is_outside);
    let name = |who: u8| format!("m{who}");
    for step in steps {
        match step {
            Step::Join(who, choice) => {
                let client = world.clients.entry(name(who)).or_default();
                client.is_alive = true;
                client.topics = topics(choice);
                world.heartbeat(&name(who), true, false, false);
            }
            Step::Heartbeat { who, is_full, is_lost, is_refused } => {
                if world.clients.get(&name(who)).is_some_and(|client| client.is_alive) {
                    world.heartbeat(&name(who), is_full, is_lost, is_refused);
                }
            }
            Step::Subscribe(who, choice) => {
                if let Some(client) = world.clients.get_mut(&name(who)).filter(|client| client.is_alive) {
                    client.topics = topics(choice);
                    world.heartbeat(&name(who), true, false, false);
                }
            }
            Step::Leave(who) => {
                if world.clients.get(&name(who)).is_some_and(|client| client.is_alive) {
                    world.leave(&name(who));
                    world.clients.get_mut(&name(who)).unwrap().is_alive = false;
                }
            }
            Step::Die(who) => {
                if let Some(client) = world.clients.get_mut(&name(who)) {
                    client.is_alive = false;
                }
            }
            Step::Advance(ms) => world.advance(u64::from(ms)),
            Step::Jump(seconds) => world.skew_ms += i64::from(seconds) * 1_000,
            Step::Grow => world.grow(),
            Step::Reload => world.reload(),
            Step::Answer(how) => world.answer(how),
        }
    }
    // The dead are found out, the living come to rest.
    for _ in 0..20 {
        world.settle();
    }
    world.reload();
    let Some((epoch, target_epoch, members)) = world.shape() else { return };
    // Without members nobody asks for a target.
    assert!(epoch == target_epoch || members.is_empty());
    let living: BTreeSet<&str> =
        world.clients.iter().filter(|(_, client)| client.is_alive).map(|(who, _)| who.as_str()).collect();
    assert_eq!(members.iter().map(|member| &*member.member_id).collect::<BTreeSet<_>>(), living);
    let mut owned = 0;
    for member in &members {
        assert!(member.has_reached(target_epoch), "{member:?}");
        let client = &world.clients[&*member.member_id];
        assert_eq!(member.assigned.iter().collect::<BTreeSet<_>>(), client.owned);
        owned += client.owned.len();
    }
    let wanted: BTreeSet<&str> = members.iter().flat_map(|m| m.about.topics.iter().map(String::as_str)).collect();
    let partitions = wanted.iter().filter_map(|name| world.image.topic_by_name(name)).map(|t| t.partition_count());
    assert_eq!(owned, usize::try_from(partitions.sum::<i32>()).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn partitions_have_one_owner_and_groups_come_to_rest(steps in prop::collection::vec(step(), 0..60)) {
        run(steps, false);
    }

    #[test]
    fn so_it_is_with_an_assignor_outside(steps in prop::collection::vec(step(), 0..60)) {
        run(steps, true);
    }
}
