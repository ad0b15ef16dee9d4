//! A coordinator with its log in memory, a clock that stands still, and clients that remember what they were told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot::error::TryRecvError;
use watershed_metadata::configs::{Assignment as Decides, BrokerConfig, GroupRule, GroupRules};
use watershed_metadata::{MetadataImage, MetadataRecord, PartitionRun};
use watershed_model::{BrokerId, LeaderEpoch, ManualClock, Offset, Timestamp, TopicId};
use watershed_protocol::ErrorCode;

use crate::groups::{GroupCoordinator, GroupReply, GroupRequest, Output, Question};
use crate::runtime::{Coordinator, CoordinatorLog, Host, NewBatch, Now, Position, Replied, Replies, StateMachine};

pub(super) const START_MS: i64 = 1_000_000;

/// The log and the host.
#[derive(Default)]
pub(super) struct Ground {
    pub(super) records: Mutex<Vec<(Bytes, Option<Bytes>)>>,
    /// What appends are answered with instead of being taken.
    pub(super) refuses: Mutex<Option<ErrorCode>>,
    /// Nothing becomes durable beyond this.
    durable: AtomicI64,
    wake_at: AtomicU64,
    /// What assignors outside were asked, and have not answered.
    pub(super) questions: Mutex<Vec<Question>>,
}

impl CoordinatorLog for Ground {
    fn append(&self, batch: NewBatch<'_>) -> Result<Offset, ErrorCode> {
        if let Some(code) = *self.refuses.lock() {
            return Err(code);
        }
        let mut records = self.records.lock();
        let base = Offset(records.len() as i64);
        records.extend_from_slice(batch.records);
        Ok(base)
    }

    fn batch_bytes_max(&self) -> usize {
        1_000_000
    }

    fn is_durable(&self, below: Offset) -> bool {
        self.durable.load(Ordering::SeqCst) >= below.0
    }
}

impl Host<Question> for Ground {
    fn wake_at(&self, at_ms: u64) {
        self.wake_at.fetch_min(at_ms, Ordering::SeqCst);
    }

    fn hand_over(&self) {}

    fn watch(&self, _: Offset) {}

    fn send(&self, question: Question) {
        self.questions.lock().push(question);
    }
}

/// What a client knows of itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    pub(super) member_id: String,
    pub(super) generation: i32,
    pub(super) instance_id: Option<String>,
    pub(super) is_leader: bool,
}

/// Everything.
pub(super) struct World {
    pub(super) ground: Arc<Ground>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) coordinator: Coordinator<GroupCoordinator>,
    setting: Setting,
    loads: u64,
    pub(super) clients: BTreeMap<String, Client>,
    waiting: Vec<(String, Replies<GroupReply>)>,
    /// Replies that wait for what they rest on.
    held: Vec<(String, Replied<GroupReply>)>,
}

impl World {
    pub(super) fn new(settings: &[(&str, &str)]) -> Self {
        let setting = Setting::new(settings);
        let ground = Arc::new(Ground { durable: AtomicI64::new(i64::MAX), ..Ground::default() });
        ground.wake_at.store(u64::MAX, Ordering::SeqCst);
        let clock = Arc::new(ManualClock::at(Timestamp(START_MS)));
        let coordinator = start(&setting, &ground, &clock, 0);
        Self {
            ground,
            clock,
            coordinator,
            setting,
            loads: 0,
            clients: BTreeMap::new(),
            waiting: Vec::new(),
            held: Vec::new(),
        }
    }

    /// Sends a request; its reply is among those of [`World::replies`] once it has come.
    pub(super) fn send(&mut self, client: &str, version: i16, request: GroupRequest) {
        let replies = self.coordinator.request(version, client, "/127.0.0.1", request).unwrap();
        self.waiting.push((client.to_owned(), replies));
    }

    /// The replies that have come, in the order of their requests.
    pub(super) fn replies(&mut self) -> Vec<(String, Result<GroupReply, ErrorCode>)> {
        for (client, mut replies) in std::mem::take(&mut self.waiting) {
            match replies.try_recv() {
                Ok(replied) => self.held.push((client, replied)),
                Err(TryRecvError::Empty) => self.waiting.push((client, replies)),
                Err(TryRecvError::Closed) => panic!("a request of {client} was forgotten"),
            }
        }
        let durable = |(_, replied): &mut (String, Replied<_>)| self.ground.is_durable(replied.durable_below);
        let come = self.held.extract_if(.., durable).map(|(client, replied)| (client, replied.outcome));
        let come: Vec<_> = come.collect();
        for (client, outcome) in &come {
            if let Ok(GroupReply::JoinGroup(reply)) = outcome {
                let client = self.clients.entry(client.clone()).or_default();
                if !reply.member_id.is_empty() || reply.error_code == ErrorCode::UnknownMemberId.code() {
                    client.member_id.clone_from(&reply.member_id);
                }
                client.generation = reply.generation_id;
                client.is_leader = reply.leader == reply.member_id && reply.error_code == 0;
            }
        }
        come
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len() + self.held.len()
    }

    /// Whether a request of this client waits.
    pub(super) fn waits(&self, client: &str) -> bool {
        self.waiting.iter().any(|(name, _)| name == client) || self.held.iter().any(|(name, _)| name == client)
    }

    /// Lets time go by, timer by timer.
    pub(super) fn advance(&mut self, by_ms: u64) {
        let end = self.elapsed_ms() + by_ms;
        loop {
            let due = self.ground.wake_at.swap(u64::MAX, Ordering::SeqCst);
            let at = due.min(end).max(self.elapsed_ms());
            self.clock.advance(Duration::from_millis(at - self.elapsed_ms()));
            if due > end {
                self.ground.wake_at.fetch_min(due, Ordering::SeqCst);
                return;
            }
            self.coordinator.tick();
        }
    }

    fn elapsed_ms(&self) -> u64 {
        use watershed_model::Clock;
        u64::try_from(self.clock.elapsed().as_millis()).unwrap()
    }

    /// From now on nothing becomes durable, or everything does.
    pub(super) fn hold(&mut self, hold: bool) {
        let end = self.ground.records.lock().len() as i64;
        self.ground.durable.store(if hold { end } else { i64::MAX }, Ordering::SeqCst);
        if !hold {
            self.coordinator.settled(Ok(Offset(end)));
        }
    }

    /// The coordinator goes away and is loaded again from its log; what is not durable is lost.
    pub(super) fn reload(&mut self, settings: &[(&str, &str)]) {
        self.coordinator.close(ErrorCode::NotCoordinator);
        let durable = usize::try_from(self.ground.durable.load(Ordering::SeqCst)).unwrap();
        self.ground.records.lock().truncate(durable);
        for (_, replied) in &mut self.held {
            if !self.ground.is_durable(replied.durable_below) {
                replied.outcome = Err(ErrorCode::NotCoordinator);
                replied.durable_below = Offset::ZERO;
            }
        }
        if !settings.is_empty() {
            self.setting = Setting::new(settings);
        }
        self.ground.wake_at.store(u64::MAX, Ordering::SeqCst);
        self.ground.questions.lock().clear();
        self.loads += 1;
        let random = 1000 * self.loads;
        self.coordinator = start(&self.setting, &self.ground, &self.clock, random);
    }

    /// An assignor outside answers the first question that waits, or says why it does not. Whether there is one.
    pub(super) fn answer(&self, failure: Option<&str>) -> bool {
        let mut questions = self.ground.questions.lock();
        if questions.is_empty() {
            return false;
        }
        let question = questions.remove(0);
        drop(questions);
        let answer = failure.map_or_else(|| question.ask(), |reason| question.unanswered(reason));
        drop(self.coordinator.request(0, "", "", GroupRequest::Assigned(answer)).unwrap());
        true
    }

    /// The metadata changes: a topic has one partition more.
    pub(super) fn grow(&mut self, name: &str) {
        let topic = self.setting.image.topic_by_name(name).unwrap();
        let more =
            MetadataRecord::PartitionsAdded { topic: topic.id(), first: topic.partition_count(), partitions: runs(1) };
        Arc::make_mut(&mut self.setting.image).apply(&more).unwrap();
        self.coordinator.metadata(Arc::clone(&self.setting.image));
    }

    /// Looks at a group.
    pub(super) fn with_groups<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut GroupCoordinator) -> T + Send + 'static,
    ) -> T {
        let seen = Arc::new(Mutex::new(None));
        let into = Arc::clone(&seen);
        self.coordinator.with(move |machine| *into.lock() = Some(look(machine)));
        let value = seen.lock().take();
        value.unwrap()
    }

    pub(super) fn client(&self, name: &str) -> Client {
        self.clients.get(name).cloned().unwrap_or_default()
    }
}

/// What the operator and the cluster say.
struct Setting {
    outside: Option<String>,
    config: BrokerConfig,
    rules: Arc<GroupRules>,
    image: Arc<MetadataImage>,
}

impl Setting {
    /// Kafka's settings; `broker` has the broker assign with that assignor (`-`: one like the members'); `outside` is an assignor that is
    /// asked outside; `topics` exist.
    fn new(settings: &[(&str, &str)]) -> Self {
        let own = |name: &str| settings.iter().find(|(own, _)| *own == name).map(|(_, value)| *value);
        let kafkas = settings.iter().filter(|(name, _)| !["broker", "outside", "topics"].contains(name));
        let kafkas = kafkas.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let rules = own("broker").map(|assignor| GroupRule {
            pattern: "*".parse().unwrap(),
            assignor: (assignor != "-").then(|| assignor.to_owned()),
            assignment: Decides::Broker,
        });
        let topics = own("topics").unwrap_or_default().split(',').filter_map(|topic| topic.split_once(':'));
        let records = topics.zip(1..).map(|((name, count), id)| MetadataRecord::TopicCreated {
            topic: TopicId([id; 16]),
            name: name.to_owned(),
            partitions: runs(count.parse().unwrap()),
        });
        let records: Vec<_> = records.collect();
        Self {
            outside: own("outside").map(str::to_owned),
            config: BrokerConfig::new(kafkas).unwrap(),
            rules: Arc::new(GroupRules { rules: rules.into_iter().collect() }),
            image: Arc::new(MetadataImage::default().apply_batch(&records).unwrap().0),
        }
    }
}

/// Partitions on one broker.
fn runs(count: u32) -> Vec<PartitionRun> {
    let (replicas, leader) = (vec![BrokerId(1)], BrokerId(1));
    vec![PartitionRun { count, replicas, isr: None, leader, leader_epoch: LeaderEpoch(0) }]
}

fn start(
    setting: &Setting,
    ground: &Arc<Ground>,
    clock: &Arc<ManualClock>,
    random: u64,
) -> Coordinator<GroupCoordinator> {
    let settings = Arc::new(setting.config.settings().groups.clone());
    let next = AtomicU64::new(random);
    let random = move || u128::from(next.fetch_add(1, Ordering::SeqCst) + 1).to_be_bytes();
    let assignors = Arc::new(super::assignors::assignors(setting.outside.as_deref()));
    let mut machine = GroupCoordinator::new(settings, setting.rules.clone(), assignors, Arc::new(random));
    let now = Now { elapsed_ms: 0, wall: Timestamp(START_MS) };
    machine.metadata(&setting.image, now, &mut Output::default());
    let records = ground.records.lock().clone();
    for (at, (key, value)) in (0..).zip(&records) {
        let record = GroupCoordinator::decode(key, value.as_ref()).unwrap().unwrap();
        machine.apply(record, Position { offset: Offset(at), producer: None });
    }
    let end = Offset(records.len() as i64);
    let coordinator = Coordinator::new(machine, end, ground.clone(), ground.clone(), clock.clone());
    coordinator.start(0);
    coordinator
}
