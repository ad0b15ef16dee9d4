//! A machine of named counters tests the runtime: the order of events, what replies rest on, refusals, timers, heavy events, loading.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use watershed_metadata::MetadataImage;
use watershed_model::record::{BatchBuilder, NewRecord, ProducerSequence, RecordBatch};
use watershed_model::{ManualClock, Offset, ProducerEpoch, ProducerId, Timestamp};
use watershed_protocol::ErrorCode;

use super::*;

#[derive(Clone, Debug, PartialEq)]
struct Set {
    name: String,
    value: Option<i64>,
}

enum Ask {
    Add {
        name: &'static str,
        by: i64,
    },
    /// Adds to many counters, in as many batches as it takes.
    AddAll {
        count: usize,
    },
    Read {
        name: &'static str,
    },
    /// Answered by the timer.
    After {
        ms: u64,
    },
    /// Answered when the record is durable.
    Told {
        name: &'static str,
    },
    /// Adds to a counter and sends its name to others.
    Send {
        name: &'static str,
    },
    Heavy,
}

#[derive(Default)]
struct Counters {
    values: BTreeMap<String, i64>,
    pending: Vec<(ProducerId, Set)>,
    waiting: Vec<RequestId>,
}

impl StateMachine for Counters {
    type Record = Set;
    type Request = Ask;
    type Reply = i64;
    type Timer = u64;
    type Token = RequestId;
    type Send = &'static str;

    fn encode(record: &Set) -> Result<(Bytes, Option<Bytes>), String> {
        if record.name == "unwritable" {
            return Err("no log can hold this".to_owned());
        }
        let value = record.value.map(|value| Bytes::copy_from_slice(&value.to_be_bytes()));
        Ok((Bytes::copy_from_slice(record.name.as_bytes()), value))
    }

    fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Option<Set>, String> {
        let name = String::from_utf8(key.to_vec()).map_err(|e| e.to_string())?;
        if name.starts_with('?') {
            return Ok(None);
        }
        let number = |bytes: &Bytes| {
            <[u8; 8]>::try_from(&bytes[..]).map(i64::from_be_bytes).map_err(|_| "not a number".to_owned())
        };
        Ok(Some(Set { name, value: value.map(number).transpose()? }))
    }

    fn is_heavy(&self, request: &Ask) -> bool {
        matches!(request, Ask::Heavy)
    }

    fn request(&mut self, call: Call, request: Ask, now: Now, out: &mut Output<Self>) {
        let value = |name: &str| self.values.get(name).copied().unwrap_or(0);
        match request {
            Ask::Add { name, by } => {
                let value = value(name) + by;
                out.write(Set { name: name.to_owned(), value: Some(value) });
                out.reply(call.id, value);
            }
            Ask::AddAll { count } => {
                out.may_be_split();
                for n in 0..count {
                    out.write(Set { name: format!("{n:04}"), value: Some(1) });
                }
                out.reply(call.id, 0);
            }
            Ask::Read { name } => out.reply(call.id, value(name)),
            Ask::After { ms } => {
                self.waiting.push(call.id);
                out.schedule(ms, now.elapsed_ms + ms);
            }
            Ask::Told { name } => {
                out.write_only(Set { name: name.to_owned(), value: Some(7) });
                out.when_settled(call.id);
            }
            Ask::Send { name } => {
                out.write(Set { name: name.to_owned(), value: Some(value(name) + 1) });
                out.send(name);
                out.reply(call.id, 0);
            }
            Ask::Heavy => out.reply(call.id, 99),
        }
    }

    fn is_repeated(timer: &u64) -> bool {
        *timer < 100
    }

    /// Every timer counts how often it has fired.
    fn timer(&mut self, timer: u64, _: Now, out: &mut Output<Self>) {
        let name = format!("timer {timer}");
        let value = self.values.get(&name).map_or(1, |count| count + 1);
        out.write(Set { name, value: Some(value) });
        for id in self.waiting.drain(..) {
            out.reply(id, timer as i64);
        }
    }

    fn settled(&mut self, token: RequestId, outcome: Result<(), ErrorCode>, _: Now, out: &mut Output<Self>) {
        out.reply(token, outcome.map_or_else(|code| -i64::from(i16::from(code)), |()| 1));
    }

    fn metadata(&mut self, _: &Arc<MetadataImage>, _: Now, _: &mut Output<Self>) {}

    fn apply(&mut self, record: Set, position: Position) {
        match (position.producer, record.value) {
            (Some((id, _)), _) => self.pending.push((id, record)),
            (None, Some(value)) => drop(self.values.insert(record.name, value)),
            (None, None) => drop(self.values.remove(&record.name)),
        }
    }

    fn end_transaction(&mut self, producer: ProducerId, _: ProducerEpoch, committed: bool) {
        let (of_it, others) = std::mem::take(&mut self.pending).into_iter().partition(|(id, _)| *id == producer);
        self.pending = others;
        let decided: Vec<(ProducerId, Set)> = of_it;
        for (_, record) in decided.into_iter().filter(|_| committed) {
            self.apply(record, Position { offset: Offset(0), producer: None });
        }
    }

    fn loaded(&mut self, _: Now, _: &mut Output<Self>) {}

    fn snapshot(&self, emit: &mut dyn FnMut(Set, Position)) {
        for (name, value) in &self.values {
            emit(Set { name: name.clone(), value: Some(*value) }, Position { offset: Offset(1), producer: None });
        }
        for (id, record) in &self.pending {
            emit(record.clone(), Position { offset: Offset(2), producer: Some((*id, ProducerEpoch(0))) });
        }
    }
}

/// A log in memory whose durability the test moves, and a host that notes what it is told.
#[derive(Default)]
struct World {
    batches: Mutex<Vec<(i64, usize)>>,
    end: AtomicI64,
    durable: AtomicI64,
    refuses: AtomicBool,
    handed_over: AtomicU64,
    wake_at: AtomicU64,
    watched: Mutex<Vec<Offset>>,
    sent: Mutex<Vec<&'static str>>,
}

impl CoordinatorLog for World {
    fn append(&self, batch: NewBatch<'_>) -> Result<Offset, ErrorCode> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(ErrorCode::NotEnoughReplicas);
        }
        let base = self.end.fetch_add(batch.records.len() as i64, Ordering::SeqCst);
        self.batches.lock().push((base, batch.records.len()));
        Ok(Offset(base))
    }

    fn batch_bytes_max(&self) -> usize {
        1000
    }

    fn is_durable(&self, below: Offset) -> bool {
        self.durable.load(Ordering::SeqCst) >= below.0
    }
}

impl Host<&'static str> for World {
    fn wake_at(&self, at_ms: u64) {
        self.wake_at.store(at_ms, Ordering::SeqCst);
    }

    fn hand_over(&self) {
        self.handed_over.fetch_add(1, Ordering::SeqCst);
    }

    fn watch(&self, below: Offset) {
        self.watched.lock().push(below);
    }

    fn send(&self, request: &'static str) {
        self.sent.lock().push(request);
    }
}

struct Stage {
    world: Arc<World>,
    clock: Arc<ManualClock>,
    coordinator: Coordinator<Counters>,
}

fn stage() -> Stage {
    let (world, clock) = (Arc::new(World::default()), Arc::new(ManualClock::at(Timestamp(1000))));
    let coordinator = Coordinator::new(Counters::default(), Offset::ZERO, world.clone(), world.clone(), clock.clone());
    coordinator.start(0);
    Stage { world, clock, coordinator }
}

impl Stage {
    fn ask(&self, ask: Ask) -> Replies<i64> {
        self.coordinator.request(0, "client", "/host", ask).unwrap()
    }

    fn now(&self, ask: Ask) -> (Result<i64, ErrorCode>, i64) {
        let replied = self.ask(ask).try_recv().unwrap();
        (replied.outcome, replied.durable_below.0)
    }
}

#[test]
fn replies_rest_on_everything_before_them() {
    let stage = stage();
    assert_eq!(stage.now(Ask::Read { name: "a" }), (Ok(0), 0));
    assert_eq!(stage.now(Ask::Add { name: "a", by: 5 }), (Ok(5), 1));
    // A read sees the newest state and waits for what made it.
    assert_eq!(stage.now(Ask::Read { name: "a" }), (Ok(5), 1));
    assert_eq!(stage.now(Ask::Read { name: "b" }), (Ok(0), 1));
}

#[test]
fn a_refused_write_leaves_the_state_as_it_was() {
    let stage = stage();
    assert_eq!(stage.now(Ask::Add { name: "a", by: 5 }), (Ok(5), 1));
    stage.world.refuses.store(true, Ordering::SeqCst);
    assert_eq!(stage.now(Ask::Add { name: "a", by: 5 }), (Err(ErrorCode::NotEnoughReplicas), 1));
    assert_eq!(stage.now(Ask::Told { name: "a" }), (Err(ErrorCode::NotEnoughReplicas), 1));
    stage.world.refuses.store(false, Ordering::SeqCst);
    assert_eq!(stage.now(Ask::Read { name: "a" }), (Ok(5), 1));
    // So does one that the log's format cannot hold.
    assert_eq!(stage.now(Ask::Add { name: "unwritable", by: 5 }), (Err(ErrorCode::UnknownServerError), 1));
    assert_eq!(stage.now(Ask::Told { name: "unwritable" }), (Err(ErrorCode::UnknownServerError), 1));
    assert_eq!(stage.now(Ask::Read { name: "unwritable" }), (Ok(0), 1));
    assert_eq!(stage.coordinator.snapshot().map(|(at, _)| at), Ok(Offset(1)));
}

#[test]
fn what_a_refused_event_sends_is_not_sent() {
    let stage = stage();
    assert_eq!(stage.now(Ask::Send { name: "a" }), (Ok(0), 1));
    stage.world.refuses.store(true, Ordering::SeqCst);
    assert_eq!(stage.now(Ask::Send { name: "b" }), (Err(ErrorCode::NotEnoughReplicas), 1));
    stage.world.refuses.store(false, Ordering::SeqCst);
    assert_eq!(*stage.world.sent.lock(), ["a"]);
}

#[test]
fn what_may_be_split_goes_in_batches_that_fit() {
    let stage = stage();
    assert_eq!(stage.now(Ask::AddAll { count: 60 }), (Ok(0), 60));
    let batches = stage.world.batches.lock().clone();
    // 61 + n * (30 + 4 + 8) <= 1000
    assert_eq!(batches, [(0, 22), (22, 22), (44, 16)]);
    assert_eq!(stage.now(Ask::Read { name: "0059" }), (Ok(1), 60));
}

#[test]
fn timers_wake_the_host_and_answer() {
    let stage = stage();
    let mut reply = stage.ask(Ask::After { ms: 50 });
    assert_eq!(stage.world.wake_at.load(Ordering::SeqCst), 1050);
    stage.coordinator.tick();
    assert!(reply.try_recv().is_err());
    // An early tick forgets nothing: the host is told again.
    assert_eq!(stage.world.wake_at.load(Ordering::SeqCst), 1050);
    stage.clock.advance(Duration::from_millis(50));
    stage.coordinator.tick();
    assert_eq!(reply.try_recv().unwrap().outcome, Ok(50));
}

#[test]
fn a_timer_whose_records_are_refused_fires_again_where_the_machine_says_so() {
    let stage = stage();
    let _asked = [50, 100].map(|ms| stage.ask(Ask::After { ms }));
    stage.world.refuses.store(true, Ordering::SeqCst);
    stage.clock.advance(Duration::from_millis(100));
    stage.coordinator.tick();
    stage.world.refuses.store(false, Ordering::SeqCst);
    stage.clock.advance(Duration::from_millis(499));
    stage.coordinator.tick();
    assert_eq!(stage.now(Ask::Read { name: "timer 50" }).0, Ok(0));
    stage.clock.advance(Duration::from_millis(1));
    stage.coordinator.tick();
    assert_eq!(stage.now(Ask::Read { name: "timer 50" }).0, Ok(1));
    assert_eq!(stage.now(Ask::Read { name: "timer 100" }).0, Ok(0));
}

#[test]
fn a_token_comes_back_when_its_records_are_durable() {
    let stage = stage();
    let mut told = stage.ask(Ask::Told { name: "a" });
    assert_eq!(*stage.world.watched.lock(), [Offset(1)]);
    assert!(told.try_recv().is_err());
    stage.coordinator.settled(Ok(Offset(1)));
    assert_eq!(told.try_recv().unwrap().outcome, Ok(1));
    // Written only: the machine was not told to apply it.
    assert_eq!(stage.now(Ask::Read { name: "a" }), (Ok(0), 1));
    let mut lost = stage.ask(Ask::Told { name: "a" });
    stage.coordinator.settled(Err(ErrorCode::KafkaStorageError));
    assert_eq!(lost.try_recv().unwrap().outcome, Ok(-56));
    stage.world.durable.store(10, Ordering::SeqCst);
    assert_eq!(stage.now(Ask::Told { name: "a" }).0, Ok(1));
}

#[test]
fn heavy_events_are_handed_over_and_keep_their_place() {
    let stage = stage();
    let mut heavy = stage.ask(Ask::Heavy);
    let mut later = stage.ask(Ask::Add { name: "a", by: 1 });
    assert_eq!(stage.world.handed_over.load(Ordering::SeqCst), 1);
    assert!(heavy.try_recv().is_err() && later.try_recv().is_err());
    stage.coordinator.work();
    assert_eq!(heavy.try_recv().unwrap().outcome, Ok(99));
    assert_eq!(later.try_recv().unwrap().outcome, Ok(1));
    assert_eq!(stage.now(Ask::Read { name: "a" }).0, Ok(1));
}

#[test]
fn closing_answers_everyone_and_refuses_newcomers() {
    let stage = stage();
    let mut waiting = stage.ask(Ask::After { ms: 50 });
    stage.coordinator.close(ErrorCode::NotCoordinator);
    assert_eq!(waiting.try_recv().unwrap().outcome, Err(ErrorCode::NotCoordinator));
    let refused = stage.coordinator.request(0, "", "", Ask::Read { name: "a" });
    assert_eq!(refused.map(drop), Err(ErrorCode::NotCoordinator));
}

#[test]
fn many_threads_bring_events_and_none_is_lost() {
    let stage = stage();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let replied = stage.ask(Ask::Add { name: "a", by: 1 }).blocking_recv().unwrap();
                    assert!(replied.outcome.is_ok());
                }
            });
        }
    });
    assert_eq!(stage.now(Ask::Read { name: "a" }), (Ok(2000), 2000));
}

fn batch(base: i64, records: &[(&str, Option<i64>)], producer: Option<i64>, control: bool) -> RecordBatch {
    let mut builder = BatchBuilder::new().position(Offset(base), watershed_model::LeaderEpoch(0));
    if let Some(id) = producer {
        let sequence = ProducerSequence { id: ProducerId(id), epoch: ProducerEpoch(0), base_sequence: -1 };
        builder = builder.producer(sequence).transactional();
    }
    if control {
        builder = builder.control();
    }
    for (key, value) in records {
        let value = value.map(i64::to_be_bytes);
        let value = value.as_ref().map(|bytes| &bytes[..]);
        builder.push(Timestamp(1), NewRecord { key: Some(key.as_bytes()), value, headers: &[] });
    }
    RecordBatch::split_from(&mut builder.build().unwrap()).unwrap()
}

#[test]
fn loading_replays_records_markers_and_skips_what_it_does_not_know() {
    let mut loader = Loader::new(Counters::default(), Offset::ZERO);
    let (abort, commit) = ("\0\0\0\0", "\0\0\0\u{1}");
    for batch in [
        batch(0, &[("a", Some(1)), ("b", Some(2)), ("?", Some(3))], None, false),
        batch(3, &[("a", Some(10))], Some(1), false),
        batch(4, &[("a", Some(20)), ("c", Some(21))], Some(2), false),
        batch(6, &[(abort, None)], Some(1), true),
        batch(7, &[(commit, None)], Some(2), true),
        batch(8, &[("b", None)], None, false),
        batch(9, &[("d", Some(30))], Some(3), false),
    ] {
        loader.batch(&batch).unwrap();
    }
    assert_eq!(loader.next(), Offset(10));
    let (machine, end, records) = loader.finish();
    assert_eq!((end, records), (Offset(10), 10));
    let values: Vec<_> = machine.values.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(values, [("a", 20), ("c", 21)]);
    assert_eq!(machine.pending.len(), 1);

    // A snapshot carries all of that, the open transaction too.
    let bytes = snapshot::encode(&machine).unwrap();
    let mut again = Loader::new(Counters::default(), Offset::ZERO);
    again.snapshot(end, &bytes).unwrap();
    assert_eq!(again.next(), Offset(10));
    // What lies below it is known already.
    again.batch(&batch(8, &[("b", Some(5)), ("e", Some(6)), ("f", Some(7))], None, false)).unwrap();
    again.batch(&batch(11, &[(commit, None)], Some(3), true)).unwrap();
    let (machine, ..) = again.finish();
    let values: Vec<_> = machine.values.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(values, [("a", 20), ("c", 21), ("d", 30), ("f", 7)]);
}

#[test]
fn a_record_or_snapshot_that_cannot_be_read_is_an_error() {
    let mut loader = Loader::new(Counters::default(), Offset::ZERO);
    let mut builder = BatchBuilder::new();
    builder.push(Timestamp(1), NewRecord { key: Some(b"a"), value: Some(b"short"), headers: &[] });
    let wrong = RecordBatch::split_from(&mut builder.build().unwrap()).unwrap();
    let error = loader.batch(&wrong).unwrap_err();
    assert_eq!(error, LoadError::Record { at: Offset(0), reason: "not a number".to_owned() });

    let mut machine = Counters::default();
    machine.values.insert("unwritable".to_owned(), 1);
    assert_eq!(snapshot::encode(&machine), Err("no log can hold this".to_owned()));
    machine.values = [("a".to_owned(), 1)].into();
    let whole = snapshot::encode(&machine).unwrap();
    for cut in 0..whole.len() {
        let mut empty = Counters::default();
        let outcome = snapshot::decode(&whole.slice(..cut), &mut empty);
        assert!(outcome.is_err() || (cut == 8 && empty.values.is_empty()), "{cut}");
    }
}
