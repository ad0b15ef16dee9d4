//! A log's moving offsets, and those who wait for them.
//!
//! [`Marks`] holds the log start, promised end, high watermark, last stable offset and log end, readable without a lock. A parked
//! fetch or an ack registers a [`Listener`] for "this mark has passed X" and is called once, by the thread that moves the
//! mark: nobody polls, and a mark that passes nobody's threshold wakes nobody. When the log closes, everyone is called.
//!
//! Invariants: start <= last stable <= high watermark <= end; a listener is called exactly once, or never if its
//! [`Registration`] is dropped before.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use watershed_model::Offset;
use watershed_storage::{Ends, StorageError};

/// An offset of a log that moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// Everything below is promised by the storage backend here.
    Promised,
    /// Everything below is kept by every in-sync replica: what consumers may read.
    HighWatermark,
    /// Everything below is decided: what read_committed consumers may read.
    LastStable,
    /// The offset of the next record: what followers may read.
    End,
}

const MARKS: usize = 4;

/// Why a listener is called.
#[derive(Clone, Debug)]
pub enum Reached {
    /// The mark stands at this offset, above the threshold.
    Passed(Offset),
    /// Something else about the partition changed (leadership, settings, truncation): look again.
    Disturbed,
    /// The log is closed, destroyed or failed.
    Closed(StorageError),
}

/// Someone who waits. Called from the thread that moves the mark, with no lock held: it must not block.
pub trait Listener: Send + Sync {
    /// Called once per registration; `tag` is what was given there.
    fn reached(&self, tag: u64, what: Reached);
}

/// Listeners that are to be called, once no lock is held.
#[derive(Default)]
#[must_use = "the listeners are waiting"]
pub(crate) struct Due(Vec<(Waiting, Reached)>);

struct Waiting {
    listener: Arc<dyn Listener>,
    tag: u64,
}

#[derive(Default)]
struct Waiters {
    /// By threshold, then by a number that makes the key unique.
    by_mark: [BTreeMap<(Offset, u64), Waiting>; MARKS],
    next_id: u64,
    /// Counts truncations; a report from before the last one is stale.
    generation: u64,
    closed: Option<StorageError>,
}

/// The moving offsets of one log.
pub struct Marks {
    offsets: [AtomicI64; MARKS],
    start: AtomicI64,
    first_unstable: AtomicI64,
    waiters: Mutex<Waiters>,
    /// How many listeners are registered, for metrics.
    parked: AtomicU64,
}

/// Keeps a listener registered; dropping it takes the listener away.
#[must_use = "dropping it ends the wait"]
pub struct Registration {
    marks: Arc<Marks>,
    mark: Mark,
    key: (Offset, u64),
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut waiters = self.marks.waiters.lock();
        if waiters.by_mark[self.mark as usize].remove(&self.key).is_some() {
            self.marks.parked.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Marks {
    pub(crate) fn new(start: Offset, promised: Offset, end: Offset, generation: u64) -> Arc<Self> {
        let offsets = [promised, promised, promised, end].map(|o| AtomicI64::new(o.0));
        let waiters = Waiters { generation, ..Waiters::default() };
        Arc::new(Self {
            offsets,
            start: AtomicI64::new(start.0),
            first_unstable: AtomicI64::new(i64::MAX),
            waiters: Mutex::new(waiters),
            parked: AtomicU64::new(0),
        })
    }

    /// Where a mark stands.
    #[must_use]
    pub fn get(&self, mark: Mark) -> Offset {
        Offset(self.offsets[mark as usize].load(Ordering::Acquire))
    }

    /// The log start offset.
    #[must_use]
    pub fn start(&self) -> Offset {
        Offset(self.start.load(Ordering::Acquire))
    }

    pub(crate) fn advance_start(&self, to: Offset) {
        self.start.fetch_max(to.0, Ordering::AcqRel);
    }

    /// How many listeners are registered.
    #[must_use]
    pub fn parked(&self) -> u64 {
        self.parked.load(Ordering::Relaxed)
    }

    /// Asks for a call when `mark` stands above `threshold`. If it does already, or the log is closed, the answer comes at
    /// once as an `Err` and nothing is registered.
    ///
    /// # Errors
    /// What the listener would have been told.
    pub fn register(
        self: &Arc<Self>,
        mark: Mark,
        threshold: Offset,
        listener: Arc<dyn Listener>,
        tag: u64,
    ) -> Result<Registration, Reached> {
        let mut waiters = self.waiters.lock();
        if let Some(error) = &waiters.closed {
            return Err(Reached::Closed(error.clone()));
        }
        let now = self.get(mark);
        if now > threshold {
            return Err(Reached::Passed(now));
        }
        let key = (threshold, waiters.next_id);
        waiters.next_id += 1;
        waiters.by_mark[mark as usize].insert(key, Waiting { listener, tag });
        self.parked.fetch_add(1, Ordering::Relaxed);
        Ok(Registration { marks: Arc::clone(self), mark, key })
    }

    /// Waits until `mark` stands above `threshold` and gives where it stands then.
    pub fn passed(self: &Arc<Self>, mark: Mark, threshold: Offset) -> Passed {
        Passed { marks: Arc::clone(self), mark, threshold, state: PassedState::New }
    }

    /// Moves the high watermark forward, at most to the end, and the last stable offset with it.
    pub(crate) fn advance_high_watermark(&self, to: Offset) {
        let mut due = Due::default();
        {
            let mut waiters = self.waiters.lock();
            let to = to.min(self.get(Mark::End));
            self.raise(&mut waiters, Mark::HighWatermark, to, &mut due);
            self.follow_stable(&mut waiters, &mut due);
        }
        self.call(due);
    }

    /// The log has grown to `to`; ignored if that was before a truncation.
    pub(crate) fn grown(&self, to: Offset, generation: u64) {
        let mut due = Due::default();
        {
            let mut waiters = self.waiters.lock();
            if generation != waiters.generation {
                return;
            }
            self.raise(&mut waiters, Mark::End, to, &mut due);
        }
        self.call(due);
    }

    /// The backend reports what it has promised; ignored if it is from before a truncation.
    pub(crate) fn promised(&self, to: Offset, generation: u64, high_watermark_follows: bool) {
        let mut due = Due::default();
        {
            let mut waiters = self.waiters.lock();
            if generation != waiters.generation {
                return;
            }
            // The promise may be heard of before the append that it is about has returned.
            self.raise(&mut waiters, Mark::End, to, &mut due);
            self.raise(&mut waiters, Mark::Promised, to, &mut due);
            if high_watermark_follows {
                self.raise(&mut waiters, Mark::HighWatermark, to, &mut due);
                self.follow_stable(&mut waiters, &mut due);
            }
        }
        self.call(due);
    }

    /// Whether a transaction holds, or may hold, the last stable offset back.
    pub(crate) fn is_unstable(&self) -> bool {
        self.first_unstable.load(Ordering::Acquire) != i64::MAX
    }

    /// Sets where the first undecided transaction begins; `None` where everything is decided. The caller holds the lock
    /// that orders these calls, so whoever is to be told comes back and is called by [`Marks::call`] outside it.
    pub(crate) fn set_first_unstable(&self, first: Option<Offset>) -> Due {
        let first = first.map_or(i64::MAX, |o| o.0);
        let mut due = Due::default();
        if self.first_unstable.load(Ordering::Acquire) != first {
            let mut waiters = self.waiters.lock();
            self.first_unstable.store(first, Ordering::Release);
            self.follow_stable(&mut waiters, &mut due);
        }
        due
    }

    /// After a truncation: marks fall, waiters look again.
    pub(crate) fn truncated(&self, ends: &Ends) {
        let due = {
            let mut waiters = self.waiters.lock();
            waiters.generation = ends.generation;
            self.start.store(ends.start.0, Ordering::Release);
            self.offsets[Mark::End as usize].store(ends.end.0, Ordering::Release);
            self.offsets[Mark::Promised as usize].store(ends.promised.0, Ordering::Release);
            for mark in [Mark::HighWatermark, Mark::LastStable] {
                self.offsets[mark as usize].fetch_min(ends.end.0, Ordering::AcqRel);
                self.offsets[mark as usize].fetch_max(ends.start.0, Ordering::AcqRel);
            }
            self.take_all(&mut waiters)
        };
        let all = due.into_iter().map(|w| (w, Reached::Disturbed));
        self.call(Due(all.collect()));
    }

    /// Calls everyone: something about the partition changed.
    pub(crate) fn disturb(&self) {
        let due = self.take_all(&mut self.waiters.lock());
        self.call(Due(due.into_iter().map(|w| (w, Reached::Disturbed)).collect()));
    }

    /// Calls everyone with an error, now and in future.
    pub(crate) fn close(&self, error: &StorageError) {
        let due = {
            let mut waiters = self.waiters.lock();
            if waiters.closed.is_some() {
                return;
            }
            waiters.closed = Some(error.clone());
            self.take_all(&mut waiters)
        };
        let all = due.into_iter().map(|w| (w, Reached::Closed(error.clone())));
        self.call(Due(all.collect()));
    }

    fn take_all(&self, waiters: &mut Waiters) -> Vec<Waiting> {
        waiters.by_mark.iter_mut().flat_map(|map| std::mem::take(map).into_values()).collect()
    }

    fn follow_stable(&self, waiters: &mut Waiters, due: &mut Due) {
        let stable = self.get(Mark::HighWatermark).0.min(self.first_unstable.load(Ordering::Acquire));
        self.raise(waiters, Mark::LastStable, Offset(stable), due);
    }

    fn raise(&self, waiters: &mut Waiters, mark: Mark, to: Offset, due: &mut Due) {
        let before = self.offsets[mark as usize].fetch_max(to.0, Ordering::AcqRel);
        let map = &mut waiters.by_mark[mark as usize];
        if before >= to.0 || map.is_empty() {
            return;
        }
        // Thresholds below `to` are passed; those at or above it stay.
        let stay = map.split_off(&(to, 0));
        let passed = std::mem::replace(map, stay);
        due.0.extend(passed.into_values().map(|w| (w, Reached::Passed(to))));
    }

    /// Calls those whom a move of a mark concerns.
    pub(crate) fn call(&self, due: Due) {
        if due.0.is_empty() {
            return;
        }
        self.parked.fetch_sub(due.0.len() as u64, Ordering::Relaxed);
        for (waiting, what) in due.0 {
            waiting.listener.reached(waiting.tag, what);
        }
    }
}

/// Resolves when a mark has passed a threshold. Cancel-safe: dropping it ends the wait.
#[must_use = "futures do nothing unless polled"]
pub struct Passed {
    marks: Arc<Marks>,
    mark: Mark,
    threshold: Offset,
    state: PassedState,
}

enum PassedState {
    New,
    Waiting { receiver: oneshot::Receiver<Reached>, _registration: Registration },
    Done,
}

struct Once(Mutex<Option<oneshot::Sender<Reached>>>);

impl Listener for Once {
    fn reached(&self, _tag: u64, what: Reached) {
        if let Some(sender) = self.0.lock().take() {
            // The one who waited may have gone.
            let _ = sender.send(what);
        }
    }
}

impl Future for Passed {
    type Output = Result<Offset, StorageError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let reached = match &mut self.state {
                PassedState::New => {
                    let (sender, receiver) = oneshot::channel();
                    let listener = Arc::new(Once(Mutex::new(Some(sender))));
                    match self.marks.register(self.mark, self.threshold, listener, 0) {
                        Ok(registration) => {
                            self.state = PassedState::Waiting { receiver, _registration: registration };
                            continue;
                        }
                        Err(reached) => reached,
                    }
                }
                PassedState::Waiting { receiver, .. } => match Pin::new(receiver).poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(reached) => reached.unwrap_or(Reached::Closed(StorageError::Gone)),
                },
                PassedState::Done => return Poll::Ready(Err(StorageError::Gone)),
            };
            match reached {
                Reached::Passed(offset) => {
                    self.state = PassedState::Done;
                    return Poll::Ready(Ok(offset));
                }
                Reached::Disturbed => self.state = PassedState::New,
                Reached::Closed(error) => {
                    self.state = PassedState::Done;
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}
