//! A coordinator with its log in memory, a clock that stands still, and an assignor that gives what the script says.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use watershed_hooks::{Assignor, Failure, GroupAssignment, GroupMember, GroupSpec, TopicPartition};
use watershed_metadata::configs::{Assignment as Decides, BrokerConfig, GroupRule, GroupRules};
use watershed_metadata::{BrokerRegistered, ConfigResource, MetadataImage, MetadataRecord, PartitionRun};
use watershed_model::{BrokerId, LeaderEpoch, Offset, Timestamp, TopicId};
use watershed_protocol::ErrorCode;

use crate::groups::{Assignors, GroupCoordinator, GroupReply, GroupRequest, GroupTimer, Output, Question};
use crate::records::GroupRecord;
use crate::runtime::{Call, Now, Position, RequestId, StateMachine, TimerChange};

/// What each member is to get, as `topic-partition`.
type Plan = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

/// Gives what the plan says, and what it leaves out to the first member that subscribes.
struct Planned(Plan);

/// The same as a plugin, which answers with nothing if `!` is planned.
struct Plugin(Plan);

impl Assignor for Plugin {
    fn assign(&mut self, group: &GroupSpec<'_>) -> Result<GroupAssignment, Failure> {
        if self.0.lock().contains_key("!") {
            return Ok(GroupAssignment::empty(group.members().len()));
        }
        Planned(Arc::clone(&self.0)).assign(group)
    }
}

impl Assignor for Planned {
    fn assign(&mut self, group: &GroupSpec<'_>) -> Result<GroupAssignment, Failure> {
        let plan = self.0.lock();
        let planned = |member: &GroupMember<'_>, place: &String| {
            plan.get(member.member_id).is_some_and(|all| all.contains(place))
        };
        let mut assignment = GroupAssignment::empty(group.members().len());
        for (index, topic) in (0..).zip(group.topics()) {
            let subscribed: Vec<_> =
                group.members().iter().enumerate().filter(|(_, member)| member.topics.contains(&index)).collect();
            for partition in 0..topic.partitions {
                let place = format!("{}-{partition}", topic.name);
                let owner = subscribed.iter().find(|(_, member)| planned(member, &place)).or(subscribed.first());
                let Some((owner, _)) = owner else { continue };
                assignment.members[*owner].push(TopicPartition { topic: index, partition });
            }
        }
        Ok(assignment)
    }
}

/// Everything.
pub(super) struct World {
    pub(super) machine: GroupCoordinator,
    pub(super) image: Arc<MetadataImage>,
    setting: Setting,
    plan: Plan,
    /// What assignors outside were asked, and have not answered.
    pub(super) questions: Vec<Question>,
    /// How many of these were shown.
    pub(super) questions_shown: Cell<usize>,
    records: Vec<GroupRecord>,
    pub(super) timers: BTreeMap<GroupTimer, u64>,
    pub(super) is_refusing: bool,
    now_ms: u64,
    requests: u64,
}

/// What the operator says.
struct Setting {
    config: BrokerConfig,
    rules: Arc<GroupRules>,
    outside: Option<String>,
}

impl Setting {
    /// Kafka's settings; `outside` is an assignor that is asked outside, and by a rule that of all groups.
    fn new(settings: &[(&str, &str)]) -> Self {
        let (own, kafkas): (Vec<_>, Vec<_>) = settings.iter().copied().partition(|(name, _)| *name == "outside");
        let kafkas = kafkas.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let outside = own.first().map(|(_, name)| (*name).to_owned());
        let rule = |name: &String| GroupRule {
            pattern: "*".parse().unwrap(),
            assignor: Some(name.clone()),
            assignment: Decides::Client,
        };
        let rules = Arc::new(GroupRules { rules: outside.iter().map(rule).collect() });
        Self { config: BrokerConfig::new(kafkas).unwrap(), rules, outside }
    }
}

/// The id of a topic of this name; one that is made again under its name gets another.
pub(super) fn topic_id(name: &str, times: u8) -> TopicId {
    let mut id = [times; 16];
    id[..name.len()].copy_from_slice(name.as_bytes());
    TopicId(id)
}

/// Partitions on one broker.
pub(super) fn runs(count: u32, broker: i32) -> Vec<PartitionRun> {
    let (replicas, leader) = (vec![BrokerId(broker)], BrokerId(broker));
    vec![PartitionRun { count, replicas, isr: None, leader, leader_epoch: LeaderEpoch(0) }]
}

/// A broker in a rack.
pub(super) fn broker(id: i32, rack: &str) -> MetadataRecord {
    let rack = (rack != "-").then(|| rack.to_owned());
    let (incarnation, listeners, features) = ([0; 16], Vec::new(), Vec::new());
    MetadataRecord::BrokerRegistered(BrokerRegistered { broker: BrokerId(id), incarnation, listeners, rack, features })
}

impl World {
    /// The topic `t` has three partitions, `u` two.
    pub(super) fn new(settings: &[(&str, &str)]) -> Self {
        let setting = Setting::new(settings);
        let plan = Plan::default();
        let topics = [("t", 3), ("u", 2)].map(|(name, count)| MetadataRecord::TopicCreated {
            topic: topic_id(name, 1),
            name: name.to_owned(),
            partitions: runs(count, 1),
        });
        let image = Arc::new(MetadataImage::default().apply_batch(&topics).unwrap().0);
        let mut world = Self {
            machine: machine(&setting, &plan, &image),
            image,
            setting,
            plan,
            questions: Vec::new(),
            questions_shown: Cell::new(0),
            records: Vec::new(),
            timers: BTreeMap::new(),
            is_refusing: false,
            now_ms: 0,
            requests: 0,
        };
        world.start();
        world
    }

    /// Everything is loaded.
    fn start(&mut self) {
        self.timers.clear();
        let (now, mut out) = (self.now(), Output::default());
        self.machine.loaded(now, &mut out);
        self.take(out);
    }

    fn now(&self) -> Now {
        Now { elapsed_ms: self.now_ms, wall: Timestamp(self.now_ms as i64) }
    }

    pub(super) fn plan(&mut self, plan: BTreeMap<String, Vec<String>>) {
        *self.plan.lock() = plan;
    }

    /// Takes an output as the runtime does; gives its replies and its records.
    fn take(&mut self, mut out: Output) -> (Vec<GroupReply>, Vec<GroupRecord>) {
        for (timer, change) in out.timers().to_vec() {
            match change {
                TimerChange::At(at) => drop(self.timers.insert(timer, at)),
                TimerChange::AtIfAbsent(at) => drop(self.timers.entry(timer).or_insert(at)),
                TimerChange::Cancelled => drop(self.timers.remove(&timer)),
            }
        }
        if self.is_refusing && !out.writes().is_empty() {
            return self.settle(&out, Err(ErrorCode::NotEnoughReplicas));
        }
        let mut written = Vec::new();
        for write in out.writes() {
            let (key, value) = GroupCoordinator::encode(&write.record).unwrap();
            let record = GroupCoordinator::decode(&key, value.as_ref()).unwrap().unwrap();
            assert_eq!(record, write.record);
            self.records.push(record.clone());
            written.push(record.clone());
            if write.apply {
                self.machine.apply(record, Position { offset: Offset(0), producer: None });
            }
        }
        let (settled, later) = self.settle(&out, Ok(()));
        written.extend(later);
        self.questions.extend(out.take_sends());
        (out.replies().iter().map(|(_, reply)| reply.clone()).chain(settled).collect(), written)
    }

    /// Every record is durable at once, or never.
    fn settle(&mut self, out: &Output, outcome: Result<(), ErrorCode>) -> (Vec<GroupReply>, Vec<GroupRecord>) {
        let Some(token) = out.token().cloned() else { return (Vec::new(), Vec::new()) };
        let (now, mut out) = (self.now(), Output::default());
        self.machine.settled(token, outcome, now, &mut out);
        self.take(out)
    }

    /// Asks; gives all replies that this brought about (none: the log refused the records, or the request waits) and the records.
    pub(super) fn ask(&mut self, version: i16, request: GroupRequest) -> (Vec<GroupReply>, Vec<GroupRecord>) {
        self.requests += 1;
        let (client_id, client_host) = ("client".to_owned(), "/127.0.0.1".to_owned());
        let call = Call { id: RequestId(self.requests), version, client_id, client_host };
        let (now, mut out) = (self.now(), Output::default());
        self.machine.request(call, request, now, &mut out);
        self.take(out)
    }

    /// A question is answered, the first one or another; gives the records.
    pub(super) fn answer(&mut self, at: usize, failure: Option<&str>) -> Vec<GroupRecord> {
        let question = self.questions.remove(at);
        self.questions_shown.set(self.questions_shown.get() - 1);
        let answer = failure.map_or_else(|| question.ask(), |reason| question.unanswered(reason));
        self.ask(0, GroupRequest::Assigned(answer)).1
    }

    /// Lets time go by; gives the records that timers made.
    pub(super) fn advance(&mut self, by_ms: u64) -> Vec<GroupRecord> {
        let end = self.now_ms + by_ms;
        let mut written = Vec::new();
        while let Some((timer, at)) = self.timers.iter().min_by_key(|(_, at)| **at).map(|(t, at)| (t.clone(), *at)) {
            if at > end {
                break;
            }
            self.now_ms = self.now_ms.max(at);
            self.timers.remove(&timer);
            let (now, mut out) = (self.now(), Output::default());
            self.machine.timer(timer.clone(), now, &mut out);
            let is_refused = self.is_refusing && !out.writes().is_empty();
            written.extend(self.take(out).1);
            if is_refused && GroupCoordinator::is_repeated(&timer) {
                self.timers.entry(timer).or_insert(self.now_ms + 500);
            }
        }
        self.now_ms = end;
        written
    }

    pub(super) fn change(&mut self, record: &MetadataRecord) {
        Arc::make_mut(&mut self.image).apply(record).unwrap();
        let now = self.now();
        self.machine.metadata(&self.image, now, &mut Output::default());
    }

    pub(super) fn set_group_config(&mut self, name: &str, value: Option<&str>) {
        self.change(&MetadataRecord::ConfigChanged {
            resource: ConfigResource::Group("g".to_owned()),
            name: name.to_owned(),
            value: value.map(str::to_owned),
        });
    }

    /// The coordinator moves: what it has is what the log says.
    pub(super) fn reload(&mut self) {
        self.machine = machine(&self.setting, &self.plan, &self.image);
        self.questions.clear();
        self.questions_shown.set(0);
        for record in self.records.clone() {
            self.machine.apply(record, Position { offset: Offset(0), producer: None });
        }
        self.start();
    }

    /// The member timers that are set, and in how many milliseconds they fire.
    pub(super) fn member_timers(&self) -> Vec<String> {
        let shown = self.timers.iter().filter_map(|(timer, at)| {
            let (name, member) = match timer {
                GroupTimer::ConsumerSession(_, member) => ("session", member),
                GroupTimer::ConsumerRebalance(_, member) => ("rebalance", member),
                GroupTimer::Answer(group) => ("answer", group),
                _ => return None,
            };
            Some(format!("{name} {member} in {}", at - self.now_ms))
        });
        shown.collect()
    }
}

fn machine(setting: &Setting, plan: &Plan, image: &Arc<MetadataImage>) -> GroupCoordinator {
    let settings = Arc::new(setting.config.settings().groups.clone());
    let planned = |name: &str| (name.to_owned(), Box::new(Planned(Arc::clone(plan))) as Box<dyn Assignor>);
    let plugin = |name: &String| (name.clone(), Box::new(Plugin(Arc::clone(plan))) as Box<dyn Assignor>);
    let assignors = Assignors::new(["uniform", "range"].map(planned), setting.outside.iter().map(plugin));
    let rules = Arc::clone(&setting.rules);
    let mut machine = GroupCoordinator::new(settings, rules, Arc::new(assignors), Arc::new(|| [7; 16]));
    let now = Now { elapsed_ms: 0, wall: Timestamp(0) };
    machine.metadata(image, now, &mut Output::default());
    machine
}
