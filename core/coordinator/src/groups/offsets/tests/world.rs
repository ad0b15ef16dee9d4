//! A coordinator with its log in memory, a clock that stands still, and the state of its log to be loaded again at any moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use watershed_metadata::MetadataImage;
use watershed_metadata::configs::BrokerConfig;
use watershed_model::{Clock, ManualClock, Offset, ProducerEpoch, ProducerId, Timestamp};
use watershed_protocol::ErrorCode;

use crate::groups::{Assignors, GroupCoordinator, GroupReply, GroupRequest, Output, Question};
use crate::records::GroupRecord;
use crate::runtime::{Coordinator, CoordinatorLog, Host, Loader, NewBatch, Now, Position, Replies, StateMachine};

pub(super) const START_MS: i64 = 1_000_000;

/// What lies at one offset of the log.
#[derive(Clone)]
pub(super) enum Entry {
    Record { key: Bytes, value: Option<Bytes>, producer: Option<(ProducerId, ProducerEpoch)> },
    Marker { producer: ProducerId, committed: bool },
}

/// The log and the host.
pub(super) struct Ground {
    pub(super) entries: Mutex<Vec<Entry>>,
    /// What appends are answered with instead of being taken.
    pub(super) refuses: Mutex<Option<ErrorCode>>,
    /// Nothing becomes durable beyond this.
    durable: AtomicI64,
    wake_at: AtomicU64,
    batch_bytes_max: usize,
    batches: AtomicU64,
    seen: AtomicUsize,
}

impl CoordinatorLog for Ground {
    fn append(&self, batch: NewBatch<'_>) -> Result<Offset, ErrorCode> {
        if let Some(code) = *self.refuses.lock() {
            return Err(code);
        }
        self.batches.fetch_add(1, Ordering::SeqCst);
        let mut entries = self.entries.lock();
        let base = Offset(entries.len() as i64);
        let producer = batch.producer;
        let record =
            |(key, value): &(Bytes, Option<Bytes>)| Entry::Record { key: key.clone(), value: value.clone(), producer };
        entries.extend(batch.records.iter().map(record));
        Ok(base)
    }

    fn batch_bytes_max(&self) -> usize {
        self.batch_bytes_max
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

    fn send(&self, _: Question) {}
}

/// A clock that stands still, and whose wall-clock time may jump.
#[derive(Debug)]
pub(super) struct JumpingClock {
    steady: ManualClock,
    ahead_ms: AtomicI64,
}

impl Clock for JumpingClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.steady.now().0 + self.ahead_ms.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        self.steady.elapsed()
    }
}

/// Everything.
pub(super) struct World {
    pub(super) ground: Arc<Ground>,
    clock: Arc<JumpingClock>,
    coordinator: Coordinator<GroupCoordinator>,
    config: BrokerConfig,
    pub(super) image: Arc<MetadataImage>,
    saved: Option<(Offset, Bytes)>,
}

impl World {
    pub(super) fn new(settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let config = BrokerConfig::new(settings).unwrap();
        let ground = Arc::new(Ground {
            entries: Mutex::default(),
            refuses: Mutex::default(),
            durable: AtomicI64::new(i64::MAX),
            wake_at: AtomicU64::new(u64::MAX),
            batch_bytes_max: 1000,
            batches: AtomicU64::new(0),
            seen: AtomicUsize::new(0),
        });
        let steady = ManualClock::at(Timestamp(START_MS));
        let clock = Arc::new(JumpingClock { steady, ahead_ms: AtomicI64::new(0) });
        let image = Arc::default();
        let coordinator = start(&config, &ground, &clock, &image, None);
        Self { ground, clock, coordinator, config, image, saved: None }
    }

    /// Sends a request and gives its reply, if that may leave already.
    pub(super) fn ask(&self, version: i16, request: GroupRequest) -> Option<Result<GroupReply, ErrorCode>> {
        let mut replies: Replies<GroupReply> =
            self.coordinator.request(version, "client", "/127.0.0.1", request).unwrap();
        let replied = replies.try_recv().ok()?;
        Some(replied.outcome)
    }

    /// A record from elsewhere: the next [`World::reload`] finds it.
    pub(super) fn find(&self, record: &GroupRecord) {
        let (key, value) = record.encode().unwrap();
        self.ground.entries.lock().push(Entry::Record { key, value, producer: None });
    }

    /// A transaction's end.
    pub(super) fn mark(&self, producer: i64, committed: bool) {
        let producer = ProducerId(producer);
        let end = {
            let mut entries = self.ground.entries.lock();
            entries.push(Entry::Marker { producer, committed });
            Offset(entries.len() as i64)
        };
        self.coordinator.end_transaction(producer, ProducerEpoch(0), committed, end).unwrap();
    }

    /// Lets time go by, timer by timer.
    pub(super) fn advance(&self, by_ms: u64) {
        let end = self.elapsed_ms() + by_ms;
        loop {
            let due = self.ground.wake_at.swap(u64::MAX, Ordering::SeqCst);
            let at = due.min(end).max(self.elapsed_ms());
            self.clock.steady.advance(Duration::from_millis(at - self.elapsed_ms()));
            if due > end {
                self.ground.wake_at.fetch_min(due, Ordering::SeqCst);
                return;
            }
            self.coordinator.tick();
        }
    }

    /// For how long no timer fires, in milliseconds.
    pub(super) fn until_timer(&self) -> u64 {
        self.ground.wake_at.load(Ordering::SeqCst) - self.elapsed_ms()
    }

    /// Lets time go by until the next timer fires.
    pub(super) fn advance_to_timer(&self) {
        self.advance(self.until_timer());
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap()
    }

    /// The clock of the machine is set.
    pub(super) fn jump(&self, by_ms: i64) {
        self.clock.ahead_ms.fetch_add(by_ms, Ordering::SeqCst);
    }

    pub(super) fn now(&self) -> i64 {
        self.clock.now().0
    }

    /// From now on nothing becomes durable, or everything does.
    pub(super) fn hold(&self, hold: bool) {
        let end = self.ground.entries.lock().len() as i64;
        self.ground.durable.store(if hold { end } else { i64::MAX }, Ordering::SeqCst);
    }

    /// How many entries of the log outlive the coordinator.
    pub(super) fn durable(&self) -> usize {
        let durable = usize::try_from(self.ground.durable.load(Ordering::SeqCst)).unwrap();
        durable.min(self.ground.entries.lock().len())
    }

    /// How many batches were appended since the last call.
    pub(super) fn take_batches(&self) -> u64 {
        self.ground.batches.swap(0, Ordering::SeqCst)
    }

    /// How long the log was at the last call.
    pub(super) fn take_seen(&self) -> usize {
        self.ground.seen.swap(self.ground.entries.lock().len(), Ordering::SeqCst)
    }

    /// Keeps the present state for [`World::reload`].
    pub(super) fn save(&mut self) {
        self.saved = Some(self.coordinator.snapshot().unwrap());
    }

    /// The coordinator goes away and is loaded again from what was saved and its log; what is not durable is lost.
    pub(super) fn reload(&mut self) {
        self.coordinator.close(ErrorCode::NotCoordinator);
        let durable = self.durable();
        self.ground.entries.lock().truncate(durable);
        self.ground.wake_at.store(u64::MAX, Ordering::SeqCst);
        self.coordinator = start(&self.config, &self.ground, &self.clock, &self.image, self.saved.as_ref());
    }

    /// Looks at the machine.
    pub(super) fn look<T: Send + 'static>(&self, look: impl FnOnce(&mut GroupCoordinator) -> T + Send + 'static) -> T {
        let seen = Arc::new(Mutex::new(None));
        let into = Arc::clone(&seen);
        self.coordinator.with(move |machine| *into.lock() = Some(look(machine)));
        let value = seen.lock().take();
        value.unwrap()
    }
}

fn start(
    config: &BrokerConfig,
    ground: &Arc<Ground>,
    clock: &Arc<JumpingClock>,
    image: &Arc<MetadataImage>,
    saved: Option<&(Offset, Bytes)>,
) -> Coordinator<GroupCoordinator> {
    let settings = Arc::new(config.settings().groups.clone());
    let next = AtomicU64::new(1);
    let random = move || u128::from(next.fetch_add(1, Ordering::SeqCst)).to_be_bytes();
    let mut machine = GroupCoordinator::new(settings, Arc::default(), Arc::new(Assignors::default()), Arc::new(random));
    let now = Now { elapsed_ms: 0, wall: clock.now() };
    machine.metadata(image, now, &mut Output::default());
    let mut loader = Loader::new(machine, Offset::ZERO);
    if let Some((at, bytes)) = saved {
        loader.snapshot(*at, bytes).unwrap();
    }
    let from = usize::try_from(loader.next().0).unwrap();
    let (mut machine, ..) = loader.finish();
    let entries = ground.entries.lock().clone();
    for (at, entry) in entries.iter().enumerate().skip(from) {
        match entry {
            Entry::Record { key, value, producer } => {
                let record = GroupCoordinator::decode(key, value.as_ref()).unwrap().unwrap();
                machine.apply(record, Position { offset: Offset(at as i64), producer: *producer });
            }
            Entry::Marker { producer, committed } => machine.end_transaction(*producer, ProducerEpoch(0), *committed),
        }
    }
    let end = Offset(entries.len() as i64);
    let coordinator = Coordinator::new(machine, end, ground.clone(), ground.clone(), clock.clone());
    coordinator.start(0);
    coordinator
}
