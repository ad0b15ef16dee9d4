//! Group commit: which partition is synced when, by which thread.
//!
//! A partition is in the queue at most about once; a thread takes the one that is due first, runs its round
//! ([`Log::sync_round`]) and looks again. Appends that arrive during a round form the next one, so the device's own
//! latency makes the batch. Partitions with much to write may hold half of the threads at most, so that small ones do not
//! wait behind them; a partition begins a round at most every `round_interval`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::log::Log;
use crate::shared::Shared;

struct Due {
    at: Duration,
    number: u64,
    log: Arc<Log>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[derive(Default)]
struct Heaps {
    small: BinaryHeap<Reverse<Due>>,
    bulk: BinaryHeap<Reverse<Due>>,
    bulk_running: usize,
    count: u64,
    stopped: bool,
}

/// The queue.
#[derive(Default)]
pub(crate) struct SyncQueue {
    heaps: Mutex<Heaps>,
    ready: Condvar,
}

impl SyncQueue {
    /// Queues a partition's round for `at`.
    pub(crate) fn push(&self, log: Arc<Log>, at: Duration, bulk: bool) {
        let mut heaps = self.heaps.lock();
        if heaps.stopped {
            return;
        }
        heaps.count += 1;
        let due = Reverse(Due { at, number: heaps.count, log });
        if bulk {
            heaps.bulk.push(due);
        } else {
            heaps.small.push(due);
        }
        self.ready.notify_one();
    }

    /// Ends the threads; what is queued is dropped.
    pub(crate) fn stop(&self) {
        let dropped = {
            let mut heaps = self.heaps.lock();
            heaps.stopped = true;
            self.ready.notify_all();
            (std::mem::take(&mut heaps.small), std::mem::take(&mut heaps.bulk))
        };
        drop(dropped);
    }

    /// The next partition to sync, and whether it counts as bulk; `None` when the threads are to end.
    fn next(&self, shared: &Shared, bulk_max: usize) -> Option<(Arc<Log>, bool)> {
        let mut heaps = self.heaps.lock();
        // After a full wait the entry is due whatever the clock says: it may be one that stands still.
        let mut waited = false;
        loop {
            if heaps.stopped {
                return None;
            }
            let small = heaps.small.peek().map(|d| (d.0.at, d.0.number));
            let may_bulk = heaps.bulk_running < bulk_max;
            let bulk = heaps.bulk.peek().map(|d| (d.0.at, d.0.number));
            let bulk = bulk.filter(|_| may_bulk);
            let is_bulk = match (small, bulk) {
                (None, None) => {
                    self.ready.wait(&mut heaps);
                    waited = false;
                    continue;
                }
                (Some(small), Some(bulk)) => bulk < small,
                (None, Some(_)) => true,
                (Some(_), None) => false,
            };
            let at = if is_bulk { bulk } else { small }.map_or(Duration::ZERO, |(at, _)| at);
            let now = shared.elapsed();
            if at > now && !waited && !shared.in_a_hurry() {
                waited = self.ready.wait_for(&mut heaps, at - now).timed_out();
                continue;
            }
            let due = if is_bulk {
                heaps.bulk_running += 1;
                heaps.bulk.pop()
            } else {
                heaps.small.pop()
            };
            return due.map(|Reverse(due)| (due.log, is_bulk));
        }
    }
}

/// One sync thread's life.
pub(crate) fn work(shared: &Shared) {
    let bulk_max = (shared.config.sync_threads / 2).max(1);
    while let Some((log, bulk)) = shared.sync.next(shared, bulk_max) {
        log.run_queued_round();
        if bulk {
            shared.sync.heaps.lock().bulk_running -= 1;
            shared.sync.ready.notify_one();
        }
    }
}
