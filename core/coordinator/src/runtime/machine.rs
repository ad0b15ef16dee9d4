//! What a coordinator is to the runtime: events in; records, replies and timers out.
//!
//! The life of an event: the machine looks at its newest state and *decides* ([`StateMachine::request`], [`StateMachine::timer`],
//! [`StateMachine::settled`]), writing everything into an [`Output`]; the runtime appends the records as one atomic batch; once the
//! log has accepted them, each is *applied* ([`StateMachine::apply`]), which is also how state is loaded. Replies are sent when the
//! records of this event and of all events before it are durable. When the log refuses the batch nothing is applied, and every
//! request that the event answers gets the error instead.

use std::sync::Arc;

use bytes::Bytes;
use watershed_metadata::MetadataImage;
use watershed_model::{Offset, ProducerEpoch, ProducerId, Timestamp};
use watershed_protocol::ErrorCode;

/// Names a request that waits for its reply; unique within a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// The time of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Since some fixed moment, in milliseconds; never goes back. For timers.
    pub elapsed_ms: u64,
    /// Wall-clock time, which may jump. For what is stored and shown.
    pub wall: Timestamp,
}

/// A request's surroundings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// To reply to it, now or in a later event.
    pub id: RequestId,
    /// The version of its API.
    pub version: i16,
    /// What the client calls itself (`client.id`).
    pub client_id: String,
    /// The client's address, as Kafka shows it: `/127.0.0.1`.
    pub client_host: String,
}

/// Where a record lies in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Its offset.
    pub offset: Offset,
    /// Who wrote it, where it belongs to a transaction that is not decided yet.
    pub producer: Option<(ProducerId, ProducerEpoch)>,
}

/// One record of an event's batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write<R> {
    /// The record.
    pub record: R,
    /// Whether it is applied once the log has accepted it. A classic group writes down what its memory holds already.
    pub apply: bool,
}

/// What becomes of a timer. Times are in [`Now::elapsed_ms`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerChange {
    /// It fires then, whatever was set before.
    At(u64),
    /// It fires then, unless it is set already.
    AtIfAbsent(u64),
    /// It does not fire.
    Cancelled,
}

/// What an event makes a machine say. The runtime hands over an empty one.
pub struct Output<M: StateMachine + ?Sized> {
    pub(super) writes: Vec<Write<M::Record>>,
    pub(super) atomic: bool,
    pub(super) producer: Option<(ProducerId, ProducerEpoch)>,
    pub(super) replies: Vec<(RequestId, M::Reply)>,
    pub(super) timers: Vec<(M::Timer, TimerChange)>,
    pub(super) token: Option<M::Token>,
    pub(super) sends: Vec<M::Send>,
}

impl<M: StateMachine + ?Sized> Default for Output<M> {
    fn default() -> Self {
        Self {
            writes: Vec::new(),
            atomic: true,
            producer: None,
            replies: Vec::new(),
            timers: Vec::new(),
            token: None,
            sends: Vec::new(),
        }
    }
}

impl<M: StateMachine + ?Sized> Output<M> {
    /// Appends a record and applies it.
    pub fn write(&mut self, record: M::Record) {
        self.writes.push(Write { record, apply: true });
    }

    /// Appends a record whose content the machine's memory holds already.
    pub fn write_only(&mut self, record: M::Record) {
        self.writes.push(Write { record, apply: false });
    }

    /// The records may be appended as several batches (expiry, which may concern any number).
    pub fn may_be_split(&mut self) {
        self.atomic = false;
    }

    /// The records belong to a transaction of this producer: they are applied as pending, and decided by its marker.
    pub fn in_transaction(&mut self, id: ProducerId, epoch: ProducerEpoch) {
        self.producer = Some((id, epoch));
    }

    /// Answers a request, this event's or an earlier one's that was left waiting.
    pub fn reply(&mut self, to: RequestId, reply: M::Reply) {
        self.replies.push((to, reply));
    }

    /// Sets a timer to fire at `at_ms` (in [`Now::elapsed_ms`]); replaces an earlier setting of the same timer.
    pub fn schedule(&mut self, timer: M::Timer, at_ms: u64) {
        self.timers.push((timer, TimerChange::At(at_ms)));
    }

    /// The same, but a timer that is set already stays as it is.
    pub fn schedule_if_absent(&mut self, timer: M::Timer, at_ms: u64) {
        self.timers.push((timer, TimerChange::AtIfAbsent(at_ms)));
    }

    /// Takes a timer back; one that is not set is no error.
    pub fn cancel(&mut self, timer: M::Timer) {
        self.timers.push((timer, TimerChange::Cancelled));
    }

    /// Asks to be told ([`StateMachine::settled`]) when the records of this event are durable, or why they are not.
    pub fn when_settled(&mut self, token: M::Token) {
        self.token = Some(token);
    }

    /// Asks to send a request to others; it is not sent if the log refuses the records of this event.
    pub fn send(&mut self, request: M::Send) {
        self.sends.push(request);
    }

    /// Says all that was said in `other` as well, after what was said here.
    pub fn append(&mut self, other: Self) {
        self.writes.extend(other.writes);
        self.atomic &= other.atomic;
        self.producer = other.producer.or(self.producer);
        self.replies.extend(other.replies);
        self.timers.extend(other.timers);
        self.token = other.token.or(self.token.take());
        self.sends.extend(other.sends);
    }

    /// The records so far.
    #[must_use]
    pub fn writes(&self) -> &[Write<M::Record>] {
        &self.writes
    }

    /// The replies so far.
    #[must_use]
    pub fn replies(&self) -> &[(RequestId, M::Reply)] {
        &self.replies
    }

    /// What was said of timers so far, in order.
    #[must_use]
    pub fn timers(&self) -> &[(M::Timer, TimerChange)] {
        &self.timers
    }

    /// Takes the requests to others.
    #[must_use]
    pub fn take_sends(&mut self) -> Vec<M::Send> {
        std::mem::take(&mut self.sends)
    }

    /// The token, if one was given.
    #[must_use]
    pub fn token(&self) -> Option<&M::Token> {
        self.token.as_ref()
    }
}

/// A coordinator of one partition: pure, single-threaded, deterministic.
pub trait StateMachine: Send + 'static {
    /// What the log holds.
    type Record: Send;
    /// What is asked of it.
    type Request: Send;
    /// What it answers.
    type Reply: Send;
    /// Names a timer.
    type Timer: Clone + Ord + Send;
    /// Names an event whose records' fate the machine wants to hear of.
    type Token: Send;
    /// A request to others, whose answer comes back as an event: a question to a plugin.
    type Send: Send;

    /// A record's key and value as the log holds them; no value is a tombstone.
    ///
    /// # Errors
    /// A record that the format cannot hold, in words: what clients send may be made into one. The event is refused then.
    fn encode(record: &Self::Record) -> Result<(Bytes, Option<Bytes>), String>;

    /// The way back. `None`: a kind of record that this version does not know, and skips.
    ///
    /// # Errors
    /// A record of a known kind that cannot be read, in words. Loading fails then: state must not silently miss a part.
    fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Option<Self::Record>, String>;

    /// Whether a request may take so long (milliseconds) that the calling thread should not be held by it.
    fn is_heavy(&self, request: &Self::Request) -> bool;

    /// A request. Its reply may come now or with a later event.
    fn request(&mut self, call: Call, request: Self::Request, now: Now, out: &mut Output<Self>);

    /// Whether a timer fires again after a short while when the log has refused what it led to. A machine whose memory has moved on
    /// already must not be told twice.
    fn is_repeated(timer: &Self::Timer) -> bool;

    /// A timer has fired; it is not set any more.
    fn timer(&mut self, timer: Self::Timer, now: Now, out: &mut Output<Self>);

    /// The records of an event that asked for it are durable, or were refused or lost with this error.
    fn settled(&mut self, token: Self::Token, outcome: Result<(), ErrorCode>, now: Now, out: &mut Output<Self>);

    /// The metadata changed; also called once before anything is loaded.
    fn metadata(&mut self, image: &Arc<MetadataImage>, now: Now, out: &mut Output<Self>);

    /// Takes a record that the log has accepted, or that is being loaded.
    fn apply(&mut self, record: Self::Record, position: Position);

    /// A transaction that wrote records here is decided (KIP-98's end marker).
    fn end_transaction(&mut self, producer: ProducerId, epoch: ProducerEpoch, committed: bool);

    /// Everything is loaded: timers are set, leftovers are dealt with.
    fn loaded(&mut self, now: Now, out: &mut Output<Self>);

    /// Gives the records from which the present state can be loaded, with their positions: what compaction would leave of the log.
    fn snapshot(&self, emit: &mut dyn FnMut(Self::Record, Position));
}
