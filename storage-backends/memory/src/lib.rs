//! The storage backend `memory`: partitions' logs in RAM, gone with the process.
//!
//! For topics whose records are worth less than the wait for a disk, and for tests. An append is promised at once, so
//! every ticket is born ripe and `synced = promised = end` always holds. Reads hand out the stored bytes themselves.
//!
//! - `budget` counts bytes against the limit and publishes the backend's health.
//! - `log` is one partition: handles, locking, errors.
//! - `contents` is what a partition holds: segments, frames, blobs; pure data, no locks.
//!
//! Invariant: nothing here reads a clock of its own, blocks or spawns.

mod budget;
mod contents;
mod log;

use std::collections::HashMap;
use std::future::ready;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use watershed_model::{Clock, TopicIdPartition};
use watershed_storage::{
    Caps, Framing, Fut, Health, LogStorage, PartitionLog, RecoveryReport, SegmentConfig, StorageError,
};

use budget::Budget;
use contents::Contents;
use log::MemoryLog;

/// The backend. Cheap to share; all methods may be called from any thread.
#[derive(Debug)]
pub struct MemoryStorage {
    clock: Arc<dyn Clock>,
    budget: Arc<Budget>,
    logs: Mutex<Logs>,
}

#[derive(Debug, Default)]
struct Logs {
    closed: bool,
    by_partition: HashMap<TopicIdPartition, Arc<MemoryLog>>,
}

impl MemoryStorage {
    /// A backend that holds at most `bytes_max` bytes of frames (bookkeeping counted in); `None` is no limit.
    /// Appends beyond it fail with [`StorageError::Full`] until something is deleted. `clock` dates the segments.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, bytes_max: Option<u64>) -> Self {
        Self { clock, budget: Arc::new(Budget::new(bytes_max)), logs: Mutex::default() }
    }

    fn open_now(&self, tp: TopicIdPartition) -> Result<(Arc<dyn PartitionLog>, RecoveryReport), StorageError> {
        let mut logs = self.logs.lock();
        if logs.closed {
            return Err(StorageError::Invalid(format!("{tp} cannot be opened: the memory backend is closed")));
        }
        let contents = match logs.by_partition.get(&tp) {
            None => Contents::new(self.clock.now()),
            // A handle that was closed leaves what it held for the next one.
            Some(previous) => previous
                .take_closed()
                .ok_or_else(|| StorageError::Invalid(format!("{tp} is open already; close it first")))?,
        };
        let log = Arc::new(MemoryLog::new(contents, self.clock.clone(), self.budget.clone()));
        logs.by_partition.insert(tp, log.clone());
        let report = RecoveryReport { clean: true, ..RecoveryReport::default() };
        Ok((log, report))
    }
}

impl LogStorage for MemoryStorage {
    fn caps(&self) -> Caps {
        Caps { name: "memory", file_pieces: false, survives_restart: false, survives_power_loss: false }
    }

    fn list(&self) -> Fut<'_, Vec<TopicIdPartition>> {
        let mut all: Vec<_> = self.logs.lock().by_partition.keys().copied().collect();
        all.sort_unstable();
        Box::pin(ready(Ok(all)))
    }

    fn open(
        &self,
        tp: TopicIdPartition,
        _config: SegmentConfig,
        _framing: Arc<dyn Framing>,
    ) -> Fut<'_, (Arc<dyn PartitionLog>, RecoveryReport)> {
        // Neither is needed: there are no indexes to size, no flush to choose, and nothing to scan after a start.
        Box::pin(ready(self.open_now(tp)))
    }

    fn destroy(&self, tp: TopicIdPartition) -> Fut<'_, ()> {
        let removed = self.logs.lock().by_partition.remove(&tp);
        if let Some(log) = removed {
            log.destroy();
        }
        Box::pin(ready(Ok(())))
    }

    fn room(&self) -> Option<Fut<'_, ()>> {
        None
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.budget.health()
    }

    fn close(&self) -> Fut<'_, ()> {
        let mut logs = self.logs.lock();
        logs.closed = true;
        for log in logs.by_partition.values() {
            log.shut();
        }
        Box::pin(ready(Ok(())))
    }
}

#[cfg(test)]
mod tests;
