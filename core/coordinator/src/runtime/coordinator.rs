//! A coordinator at work: events in one order, each decided, appended, applied and answered before the next.
//!
//! Whoever brings an event puts it into the queue and, if nobody else is at it, works the queue off: no task of its own, no hop
//! between threads for a commit. Nobody ever waits for the machine's lock; who finds it taken leaves the event to the one who has
//! it. Events that are known to take long ([`StateMachine::is_heavy`]) are handed over to a thread that may be held.
//!
//! A reply carries the offset below which everything must be durable before it may leave ([`Replied::durable_below`]): the end of
//! the batch of its own event, or of the last one before it. So reads and replies without records never tell of what could still be
//! lost.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use watershed_metadata::MetadataImage;
use watershed_model::{Clock, Offset, ProducerEpoch, ProducerId};
use watershed_protocol::ErrorCode;

use super::timers::Timers;
use super::{Call, CoordinatorLog, Host, NewBatch, Now, Output, Position, RequestId, StateMachine, TimerChange, Write};

/// What a batch needs beside its records' keys and values, in bytes: its header, and lengths for each record.
const BATCH_OVERHEAD_BYTES: usize = 61;
/// The most that a record takes beside its key and value: seven variable-length numbers.
const RECORD_OVERHEAD_BYTES: usize = 30;

/// No timer is set.
const NEVER: u64 = u64::MAX;
/// After how long a timer fires again whose records the log has refused, in milliseconds; Kafka's backoff.
const REPEAT_TIMER_MS: u64 = 500;

/// A reply, and what it rests on.
#[derive(Debug)]
pub struct Replied<R> {
    /// The reply, or why the request failed.
    pub outcome: Result<R, ErrorCode>,
    /// It may leave once everything below this offset is durable.
    pub durable_below: Offset,
}

/// Resolves with the reply; with an error when the coordinator is gone.
pub type Replies<R> = oneshot::Receiver<Replied<R>>;

enum Event<M: StateMachine> {
    Request { call: Call, request: M::Request, waiter: Option<oneshot::Sender<Replied<M::Reply>>> },
    Tick,
    Settled(Result<Offset, ErrorCode>),
    Metadata(Arc<MetadataImage>),
    EndTransaction { producer: ProducerId, epoch: ProducerEpoch, committed: bool, end: Offset },
    With(Box<dyn FnOnce(&mut M) + Send>),
}

struct Queue<M: StateMachine> {
    events: VecDeque<Event<M>>,
    /// Heavy events were handed over: only a thread that may be held goes on.
    handed_over: bool,
    /// Why it is closed.
    closed: Option<ErrorCode>,
}

struct Core<M: StateMachine> {
    machine: M,
    waiters: HashMap<RequestId, oneshot::Sender<Replied<M::Reply>>>,
    timers: Timers<M::Timer>,
    /// Tokens by the end of their records, oldest first.
    tokens: VecDeque<(Offset, M::Token)>,
    /// The end of the last batch.
    end: Offset,
    records_since_snapshot: u64,
}

/// A coordinator of one partition. Shared by reference count.
pub struct Coordinator<M: StateMachine> {
    log: Arc<dyn CoordinatorLog>,
    host: Arc<dyn Host<M::Send>>,
    clock: Arc<dyn Clock>,
    queue: Mutex<Queue<M>>,
    core: Mutex<Core<M>>,
    next_request: AtomicU64,
    /// When the first timer is due, as last told to the host.
    deadline: AtomicU64,
}

impl<M: StateMachine> Coordinator<M> {
    /// A coordinator whose machine has been loaded up to `end`, all of it durable. [`Coordinator::start`] comes next.
    #[must_use]
    pub fn new(
        machine: M,
        end: Offset,
        log: Arc<dyn CoordinatorLog>,
        host: Arc<dyn Host<M::Send>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            log,
            host,
            clock,
            queue: Mutex::new(Queue { events: VecDeque::new(), handed_over: false, closed: None }),
            core: Mutex::new(Core {
                machine,
                waiters: HashMap::new(),
                timers: Timers::default(),
                tokens: VecDeque::new(),
                end,
                records_since_snapshot: 0,
            }),
            next_request: AtomicU64::new(1),
            deadline: AtomicU64::new(NEVER),
        }
    }

    /// Tells the machine that it is loaded; `replayed` records were read to get there.
    pub fn start(&self, replayed: u64) {
        let mut core = self.core.lock();
        let (now, mut out) = (self.now(), Output::default());
        core.machine.loaded(now, &mut out);
        self.carry_out(&mut core, out, now, &[]);
        core.records_since_snapshot += replayed;
        drop(core);
        self.work_queue(false);
    }

    fn now(&self) -> Now {
        let elapsed_ms = u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { elapsed_ms, wall: self.clock.now() }
    }

    /// Brings a request; its reply comes through what is returned.
    ///
    /// # Errors
    /// The coordinator is closed, with the code to answer.
    pub fn request(
        &self,
        version: i16,
        client_id: &str,
        client_host: &str,
        request: M::Request,
    ) -> Result<Replies<M::Reply>, ErrorCode> {
        let id = RequestId(self.next_request.fetch_add(1, Ordering::Relaxed));
        let call = Call { id, version, client_id: client_id.to_owned(), client_host: client_host.to_owned() };
        let (waiter, replies) = oneshot::channel();
        self.push(Event::Request { call, request, waiter: Some(waiter) })?;
        Ok(replies)
    }

    /// Fires the timers that are due.
    pub fn tick(&self) {
        self.deadline.store(NEVER, Ordering::Release);
        // A closed coordinator has no timers to fire.
        let _ = self.push(Event::Tick);
    }

    /// Everything below `Ok` is durable; or nothing more will be, for this reason.
    pub fn settled(&self, outcome: Result<Offset, ErrorCode>) {
        // Tokens of a closed coordinator are void: its requests were answered when it closed.
        let _ = self.push(Event::Settled(outcome));
    }

    /// The metadata changed.
    pub fn metadata(&self, image: Arc<MetadataImage>) {
        // A coordinator that is loaded again starts with the newest image.
        let _ = self.push(Event::Metadata(image));
    }

    /// A marker that ends a transaction was appended; `end` is the offset after it.
    ///
    /// # Errors
    /// The coordinator is closed, with the code to answer.
    pub fn end_transaction(
        &self,
        producer: ProducerId,
        epoch: ProducerEpoch,
        committed: bool,
        end: Offset,
    ) -> Result<(), ErrorCode> {
        self.push(Event::EndTransaction { producer, epoch, committed, end })
    }

    /// Has `look` see the machine between two events, for metrics and settings. It is dropped unused if the coordinator is closed.
    pub fn with(&self, look: impl FnOnce(&mut M) + Send + 'static) {
        let _ = self.push(Event::With(Box::new(look)));
    }

    /// Ends it: everyone who waits, and everyone who comes, gets this code.
    pub fn close(&self, code: ErrorCode) {
        {
            let mut queue = self.queue.lock();
            queue.closed.get_or_insert(code);
            queue.events.clear();
        }
        // Whoever has the lock ends soon: every event that would keep it is gone.
        let mut core = self.core.lock();
        for (_, waiter) in core.waiters.drain() {
            // The one who waited may have gone.
            let _ = waiter.send(Replied { outcome: Err(code), durable_below: Offset::ZERO });
        }
        core.timers = Timers::default();
        core.tokens.clear();
    }

    /// How many records were written or loaded since the last snapshot.
    #[must_use]
    pub fn records_since_snapshot(&self) -> u64 {
        self.core.lock().records_since_snapshot
    }

    /// The present state as bytes, and the offset up to which it goes; see [`Loader::snapshot`](super::Loader::snapshot).
    ///
    /// # Errors
    /// State that the log never accepted because its format cannot hold it, in words.
    pub fn snapshot(&self) -> Result<(Offset, bytes::Bytes), String> {
        let mut core = self.core.lock();
        core.records_since_snapshot = 0;
        Ok((core.end, super::snapshot::encode(&core.machine)?))
    }

    /// Works on the events that wait, the heavy ones too.
    pub fn work(&self) {
        self.queue.lock().handed_over = false;
        self.work_queue(true);
    }

    fn push(&self, event: Event<M>) -> Result<(), ErrorCode> {
        {
            let mut queue = self.queue.lock();
            if let Some(code) = queue.closed {
                return Err(code);
            }
            // Bounded by the connections, each of which waits for its reply.
            queue.events.push_back(event);
        }
        self.work_queue(false);
        Ok(())
    }

    fn work_queue(&self, may_be_held: bool) {
        loop {
            let Some(mut core) = self.core.try_lock() else { return };
            while let Some(event) = self.next_event(&core, may_be_held) {
                self.process(&mut core, event);
            }
            drop(core);
            // What came between the last look and the unlocking found the lock taken.
            let queue = self.queue.lock();
            if queue.events.is_empty() || (queue.handed_over && !may_be_held) {
                return;
            }
        }
    }

    fn next_event(&self, core: &Core<M>, may_be_held: bool) -> Option<Event<M>> {
        let mut queue = self.queue.lock();
        if queue.handed_over && !may_be_held {
            return None;
        }
        let is_heavy = match queue.events.front()? {
            Event::Request { request, .. } => !may_be_held && core.machine.is_heavy(request),
            Event::Tick | Event::Settled(_) | Event::Metadata(_) | Event::EndTransaction { .. } | Event::With(_) => {
                false
            }
        };
        if is_heavy {
            queue.handed_over = true;
            self.host.hand_over();
            return None;
        }
        queue.events.pop_front()
    }

    fn process(&self, core: &mut Core<M>, event: Event<M>) {
        let (now, mut out) = (self.now(), Output::default());
        match event {
            Event::Request { call, request, waiter } => {
                let id = call.id;
                if let Some(waiter) = waiter {
                    core.waiters.insert(id, waiter);
                }
                core.machine.request(call, request, now, &mut out);
                self.carry_out(core, out, now, &[id]);
            }
            Event::Tick => self.fire(core, now),
            Event::Settled(outcome) => self.settle(core, outcome, now),
            Event::Metadata(image) => {
                core.machine.metadata(&image, now, &mut out);
                self.carry_out(core, out, now, &[]);
            }
            Event::EndTransaction { producer, epoch, committed, end } => {
                core.machine.end_transaction(producer, epoch, committed);
                core.end = core.end.max(end);
            }
            Event::With(look) => look(&mut core.machine),
        }
    }

    fn fire(&self, core: &mut Core<M>, now: Now) {
        while let Some(timer) = core.timers.take_due(now.elapsed_ms) {
            let mut out = Output::default();
            core.machine.timer(timer.clone(), now, &mut out);
            let is_written = self.carry_out(core, out, now, &[]);
            if !is_written && M::is_repeated(&timer) {
                core.timers.set_if_absent(timer, now.elapsed_ms.saturating_add(REPEAT_TIMER_MS));
            }
        }
        self.tell_deadline(core);
    }

    fn settle(&self, core: &mut Core<M>, outcome: Result<Offset, ErrorCode>, now: Now) {
        let durable = outcome.unwrap_or(Offset(i64::MAX));
        while core.tokens.front().is_some_and(|(below, _)| *below <= durable) {
            let Some((_, token)) = core.tokens.pop_front() else { break };
            let mut out = Output::default();
            core.machine.settled(token, outcome.map(drop), now, &mut out);
            self.carry_out(core, out, now, &[]);
        }
    }

    /// Appends, applies, answers, sends and sets timers. `own` are the requests that get the error when the log refuses the records.
    /// Gives whether the log took the records.
    fn carry_out(&self, core: &mut Core<M>, out: Output<M>, now: Now, own: &[RequestId]) -> bool {
        let Output { writes, atomic, producer, replies, timers, token, sends } = out;
        for (timer, change) in timers {
            match change {
                TimerChange::At(at_ms) => core.timers.set(timer, at_ms),
                TimerChange::AtIfAbsent(at_ms) => core.timers.set_if_absent(timer, at_ms),
                TimerChange::Cancelled => core.timers.cancel(&timer),
            }
        }
        let written = if writes.is_empty() { Ok(()) } else { self.write(core, writes, atomic, producer) };
        let is_written = written.is_ok();
        match written {
            Ok(()) => {
                for (id, reply) in replies {
                    answer(core, id, Ok(reply));
                }
                sends.into_iter().for_each(|request| self.host.send(request));
                match token {
                    Some(token) if !self.log.is_durable(core.end) => {
                        let below = core.end;
                        core.tokens.push_back((below, token));
                        self.host.watch(below);
                    }
                    Some(token) => self.settle_now(core, token, Ok(()), now),
                    None => {}
                }
            }
            Err(code) => {
                for id in own.iter().copied().chain(replies.into_iter().map(|(id, _)| id)) {
                    answer(core, id, Err(code));
                }
                if let Some(token) = token {
                    self.settle_now(core, token, Err(code), now);
                }
            }
        }
        self.tell_deadline(core);
        is_written
    }

    fn settle_now(&self, core: &mut Core<M>, token: M::Token, outcome: Result<(), ErrorCode>, now: Now) {
        let mut out = Output::default();
        core.machine.settled(token, outcome, now, &mut out);
        self.carry_out(core, out, now, &[]);
    }

    /// One batch, or several where the event allows it.
    fn write(
        &self,
        core: &mut Core<M>,
        writes: Vec<Write<M::Record>>,
        atomic: bool,
        producer: Option<(ProducerId, ProducerEpoch)>,
    ) -> Result<(), ErrorCode> {
        let encoded = writes.iter().map(|write| M::encode(&write.record)).collect::<Result<Vec<_>, _>>();
        let encoded = encoded.map_err(|reason| {
            tracing::warn!(reason, "refused an event: one of its records cannot be written");
            ErrorCode::UnknownServerError
        })?;
        let bytes_max = if atomic { usize::MAX } else { self.log.batch_bytes_max() };
        let mut writes = writes.into_iter();
        let mut rest = &encoded[..];
        while !rest.is_empty() {
            let (records, later) = rest.split_at(fitting(rest, bytes_max));
            let base = self.log.append(NewBatch { records, producer })?;
            for (at, write) in (base.0..).zip(writes.by_ref().take(records.len())) {
                if write.apply {
                    core.machine.apply(write.record, Position { offset: Offset(at), producer });
                }
            }
            core.end = base.plus(records.len() as i64);
            core.records_since_snapshot += records.len() as u64;
            rest = later;
        }
        Ok(())
    }

    fn tell_deadline(&self, core: &Core<M>) {
        let first = core.timers.first_at().unwrap_or(NEVER);
        if first < self.deadline.load(Ordering::Acquire) {
            self.deadline.store(first, Ordering::Release);
            self.host.wake_at(first);
        }
    }
}

/// How many of the records fit into one batch; at least one.
fn fitting(records: &[(bytes::Bytes, Option<bytes::Bytes>)], bytes_max: usize) -> usize {
    let mut bytes = BATCH_OVERHEAD_BYTES;
    let fits = records.iter().take_while(|(key, value)| {
        bytes = bytes.saturating_add(RECORD_OVERHEAD_BYTES + key.len() + value.as_ref().map_or(0, bytes::Bytes::len));
        bytes <= bytes_max
    });
    fits.count().max(1)
}

fn answer<M: StateMachine>(core: &mut Core<M>, id: RequestId, outcome: Result<M::Reply, ErrorCode>) {
    if let Some(waiter) = core.waiters.remove(&id) {
        // The one who waited may have gone.
        let _ = waiter.send(Replied { outcome, durable_below: core.end });
    }
}
