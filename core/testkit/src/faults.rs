//! The remote control of a [`FaultyStorage`](crate::FaultyStorage): what goes wrong, from when to when.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::watch;
use watershed_model::TopicIdPartition;
use watershed_storage::{Health, StorageError};

use crate::faulty::FaultyLog;

/// A call that can be made to fail or wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// `LogStorage::open`.
    Open,
    /// `LogStorage::list`.
    List,
    /// `LogStorage::destroy`.
    Destroy,
    /// `PartitionLog::append`; it cannot wait (its ticket can: [`Faults::hold_tickets`]).
    Append,
    /// `PartitionLog::read` and `load`.
    Read,
    /// `PartitionLog::frame_at_time`.
    FrameAtTime,
    /// `PartitionLog::roll`; cannot wait, like an append.
    Roll,
    /// `PartitionLog::checkpoint`; cannot wait, like an append.
    Checkpoint,
    /// `PartitionLog::blob`.
    Blob,
    /// `PartitionLog::truncate`.
    Truncate,
    /// `PartitionLog::reset`.
    Reset,
    /// `PartitionLog::advance_start`.
    AdvanceStart,
    /// `PartitionLog::rewrite`, and the commit of one.
    Rewrite,
    /// `close` of a log or of the storage.
    Close,
}

impl Op {
    /// Whether a full medium refuses it.
    fn needs_space(self) -> bool {
        matches!(self, Self::Append | Self::Roll | Self::Checkpoint | Self::Rewrite)
    }

    /// Whether a dead device refuses it. What is in memory can still be read.
    fn writes(self) -> bool {
        self.needs_space() || matches!(self, Self::Truncate | Self::Reset | Self::AdvanceStart | Self::Destroy)
    }
}

/// Decides what goes wrong. Clones control the same storage.
#[derive(Clone)]
pub struct Faults {
    shared: Arc<Shared>,
}

struct Shared {
    script: Mutex<Script>,
    waiting: watch::Sender<HashSet<Op>>,
    inner_health: watch::Receiver<Health>,
    health: watch::Sender<Health>,
}

#[derive(Default)]
struct Script {
    /// Errors for the next calls, one each.
    next: HashMap<Op, VecDeque<StorageError>>,
    /// Errors for all calls until healed.
    always: HashMap<Op, StorageError>,
    full: bool,
    offline: Option<String>,
    holding: bool,
    calls: HashMap<Op, usize>,
    logs: HashMap<TopicIdPartition, Weak<FaultyLog>>,
}

impl Faults {
    pub(crate) fn new(inner_health: watch::Receiver<Health>) -> Self {
        let health = watch::Sender::new(inner_health.borrow().clone());
        let (script, waiting) = (Mutex::default(), watch::Sender::default());
        Self { shared: Arc::new(Shared { script, waiting, inner_health, health }) }
    }

    /// The next call of `op` that is not spoken for yet fails with `error`; several queue up.
    pub fn fail_next(&self, op: Op, error: StorageError) {
        self.shared.script.lock().next.entry(op).or_default().push_back(error);
    }

    /// Every call of `op` fails with `error`, until [`Faults::heal`].
    pub fn fail(&self, op: Op, error: StorageError) {
        self.shared.script.lock().always.insert(op, error);
    }

    /// No room: appends, rolls and checkpoints fail with [`StorageError::Full`], and health says so.
    pub fn set_full(&self, full: bool) {
        self.shared.script.lock().full = full;
        self.publish_health();
    }

    /// A dead device: everything that writes fails with [`StorageError::Offline`], and health says so.
    pub fn set_offline(&self, reason: &str) {
        self.shared.script.lock().offline = Some(reason.to_owned());
        self.publish_health();
    }

    /// Calls of `op` that give a future wait in it until [`Faults::heal`] or [`Faults::go_on`].
    ///
    /// # Panics
    /// For the calls that give none.
    pub fn stall(&self, op: Op) {
        assert!(!op.needs_space(), "{op:?} answers at once: hold its ticket instead");
        self.shared.waiting.send_modify(|waiting| {
            waiting.insert(op);
        });
    }

    /// Lets the stalled calls of `op` go on.
    pub fn go_on(&self, op: Op) {
        self.shared.waiting.send_modify(|waiting| {
            waiting.remove(&op);
        });
    }

    /// From now on tickets stay unripe, and `promised` and `synced` stand still.
    pub fn hold_tickets(&self) {
        self.shared.script.lock().holding = true;
    }

    /// Ripens the `count` oldest held tickets of a partition; later ones are still held. Answers how many there were.
    pub fn release(&self, tp: TopicIdPartition, count: usize) -> usize {
        self.log(tp).map_or(0, |log| log.release(count))
    }

    /// Fails the `count` oldest held tickets of a partition, as a failed fsync would. Answers how many there were.
    /// Their records stay in the log; `promised` goes past them only with [`Faults::release_all`].
    pub fn fail_held(&self, tp: TopicIdPartition, count: usize, error: &StorageError) -> usize {
        self.log(tp).map_or(0, |log| log.fail_held(count, error))
    }

    /// Ripens every held ticket and holds no more.
    pub fn release_all(&self) {
        let logs: Vec<_> = {
            let mut script = self.shared.script.lock();
            script.holding = false;
            script.logs.values().filter_map(Weak::upgrade).collect()
        };
        for log in logs {
            log.release_all();
        }
    }

    /// Everything works again: no errors, no stalls, room, the device back. Held tickets stay held.
    pub fn heal(&self) {
        let mut script = self.shared.script.lock();
        script.next.clear();
        script.always.clear();
        script.full = false;
        script.offline = None;
        drop(script);
        self.shared.waiting.send_modify(HashSet::clear);
        self.publish_health();
    }

    /// How many times `op` was called, failures included.
    #[must_use]
    pub fn calls(&self, op: Op) -> usize {
        self.shared.script.lock().calls.get(&op).copied().unwrap_or(0)
    }

    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    fn publish_health(&self) {
        let (full, offline) = {
            let script = self.shared.script.lock();
            (script.full, script.offline.clone())
        };
        let mut health = self.shared.inner_health.borrow().clone();
        for place in &mut health.places {
            place.full |= full;
            place.offline = place.offline.take().or_else(|| offline.clone());
        }
        self.shared.health.send_replace(health);
    }

    fn log(&self, tp: TopicIdPartition) -> Option<Arc<FaultyLog>> {
        self.shared.script.lock().logs.get(&tp).and_then(Weak::upgrade)
    }

    pub(crate) fn opened(&self, tp: TopicIdPartition, log: &Arc<FaultyLog>) {
        self.shared.script.lock().logs.insert(tp, Arc::downgrade(log));
    }

    pub(crate) fn holding(&self) -> bool {
        self.shared.script.lock().holding
    }

    /// Counts a call and says whether it may go on.
    pub(crate) fn admit(&self, op: Op) -> Result<(), StorageError> {
        const PLACE: &str = "faulty";
        let mut script = self.shared.script.lock();
        *script.calls.entry(op).or_default() += 1;
        if let Some(error) = script.next.get_mut(&op).and_then(VecDeque::pop_front) {
            return Err(error);
        }
        if let Some(error) = script.always.get(&op) {
            return Err(error.clone());
        }
        if let Some(reason) = script.offline.as_ref().filter(|_| op.writes()) {
            return Err(StorageError::Offline { place: PLACE.to_owned(), reason: reason.clone() });
        }
        if script.full && op.needs_space() {
            return Err(StorageError::Full { place: PLACE.to_owned() });
        }
        Ok(())
    }

    /// Whether `op` would wait now.
    pub(crate) fn stalled(&self, op: Op) -> bool {
        self.shared.waiting.borrow().contains(&op)
    }

    /// Waits as long as `op` is stalled, then says whether it may go on.
    pub(crate) async fn pass(&self, op: Op) -> Result<(), StorageError> {
        let mut waiting = self.shared.waiting.subscribe();
        // The sender lives as long as `self`.
        let _ = waiting.wait_for(|waiting| !waiting.contains(&op)).await;
        self.admit(op)
    }
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}
