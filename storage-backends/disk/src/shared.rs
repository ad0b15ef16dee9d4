//! What all partitions of a data directory share: threads, the bound on unsynced bytes, health.
//!
//! Lock order, for the whole crate: a log's `writer`, `round`, `book`, `state`; then anything here. Nobody holds a
//! `state` while taking another log's.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use watershed_model::{Clock, TopicIdPartition};
use watershed_storage::{Health, PlaceHealth, StorageError};

use crate::config::DiskConfig;
use crate::ends::SyncedEnds;
use crate::fs::{Fs, is_full};
use crate::log::Log;
use crate::metrics;
use crate::pool::Pool;
use crate::segment::FileCache;
use crate::sync::SyncQueue;

/// A partition's place among the open ones.
pub(crate) enum Place {
    /// Being opened, closed or destroyed.
    Busy,
    /// Open until it is closed or destroyed, whether or not somebody holds a handle.
    Open(Arc<Log>),
}

/// Metric handles that the hot path uses, looked up once.
pub(crate) struct Meters {
    pub(crate) appended: ::metrics::Counter,
    pub(crate) rounds: ::metrics::Counter,
    pub(crate) fsync: ::metrics::Histogram,
    pub(crate) reads_cache: ::metrics::Counter,
    pub(crate) reads_medium: ::metrics::Counter,
}

impl Meters {
    fn new() -> Self {
        Self {
            appended: ::metrics::counter!(metrics::APPENDED_BYTES),
            rounds: ::metrics::counter!(metrics::FSYNC_ROUNDS),
            fsync: ::metrics::histogram!(metrics::FSYNC_SECONDS),
            reads_cache: ::metrics::counter!(metrics::READS, "from" => "cache"),
            reads_medium: ::metrics::counter!(metrics::READS, "from" => "medium"),
        }
    }
}

pub(crate) struct Shared {
    pub(crate) config: DiskConfig,
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) topics_dir: PathBuf,
    pub(crate) files: FileCache,
    pub(crate) ends: SyncedEnds,
    pub(crate) sync: SyncQueue,
    pub(crate) reads: Pool,
    pub(crate) work: Pool,
    pub(crate) meters: Meters,
    pub(crate) logs: Mutex<HashMap<TopicIdPartition, Place>>,
    /// Bytes appended to any log since the start: the age of cached pages is measured in it.
    pub(crate) appended: AtomicU64,
    /// The previous process left the clean mark.
    pub(crate) was_clean: bool,
    health: watch::Sender<Health>,
    offline: AtomicBool,
    full: AtomicBool,
    closed: AtomicBool,
    unsynced: AtomicU64,
    room: Notify,
    /// Files that are to be unlinked, and when. Held by the janitor.
    pub(crate) doomed: Mutex<Vec<(Duration, PathBuf)>>,
    doom_count: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        config: DiskConfig,
        fs: Arc<dyn Fs>,
        ends: SyncedEnds,
        open_files_max: usize,
        was_clean: bool,
    ) -> io::Result<Self> {
        let health = Health {
            places: vec![PlaceHealth {
                path: config.data_dir.display().to_string(),
                offline: None,
                full: false,
                total_bytes: None,
                usable_bytes: None,
            }],
        };
        let shared = Self {
            topics_dir: config.data_dir.join("topics"),
            files: FileCache::new(Arc::clone(&fs), open_files_max),
            ends,
            sync: SyncQueue::default(),
            reads: Pool::start("ws-read", config.read_threads)?,
            work: Pool::start("ws-disk", config.work_threads)?,
            meters: Meters::new(),
            logs: Mutex::default(),
            appended: AtomicU64::new(0),
            was_clean,
            health: watch::Sender::new(health),
            offline: AtomicBool::new(false),
            full: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            unsynced: AtomicU64::new(0),
            room: Notify::new(),
            doomed: Mutex::default(),
            doom_count: AtomicU64::new(0),
            config,
            fs,
        };
        shared.measure();
        Ok(shared)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.config.clock.elapsed()
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.config.clock
    }

    fn place(&self) -> String {
        self.config.data_dir.display().to_string()
    }

    /// Fails once the directory is offline.
    pub(crate) fn check_online(&self) -> Result<(), StorageError> {
        if self.offline.load(Ordering::Acquire) {
            return Err(self.offline_error());
        }
        Ok(())
    }

    /// The same, and fails once the storage is closing.
    pub(crate) fn check(&self) -> Result<(), StorageError> {
        self.check_online()?;
        if self.closed.load(Ordering::Acquire) {
            return Err(StorageError::Gone);
        }
        Ok(())
    }

    /// The same, and fails while there is no room.
    pub(crate) fn check_room(&self) -> Result<(), StorageError> {
        self.check()?;
        if self.full.load(Ordering::Acquire) {
            return Err(StorageError::Full { place: self.place() });
        }
        Ok(())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    pub(crate) fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Acquire)
    }

    pub(crate) fn offline_error(&self) -> StorageError {
        let reason = self.health.borrow().places[0].offline.clone();
        StorageError::Offline { place: self.place(), reason: reason.unwrap_or_else(|| "unknown".into()) }
    }

    /// Takes the directory out of service for the life of the process.
    pub(crate) fn go_offline(&self, action: &str, error: &io::Error) -> StorageError {
        let first = self.health.send_if_modified(|health| {
            let place = &mut health.places[0];
            let first = place.offline.is_none();
            if first {
                place.offline = Some(format!("{action} failed: {error}"));
            }
            first
        });
        self.offline.store(true, Ordering::Release);
        let failure = self.offline_error();
        if first {
            tracing::error!(dir = %self.place(), "{failure}");
            ::metrics::gauge!(metrics::OFFLINE).set(1.0);
            self.room.notify_waiters();
            let logs: Vec<_> = self
                .logs
                .lock()
                .values()
                .filter_map(|place| match place {
                    Place::Open(log) => Some(Arc::clone(log)),
                    Place::Busy => None,
                })
                .collect();
            for log in logs {
                log.fail_waiters(&failure);
            }
        }
        failure
    }

    /// What a failed write or create means: no room is told apart, the rest is reported as it is.
    pub(crate) fn write_error(&self, action: String, error: io::Error) -> StorageError {
        if !is_full(&error) {
            return StorageError::io(action, error);
        }
        if !self.full.swap(true, Ordering::AcqRel) {
            tracing::error!(dir = %self.place(), "no space left: {action}");
            ::metrics::gauge!(metrics::FULL).set(1.0);
            self.health.send_modify(|health| health.places[0].full = true);
        }
        StorageError::Full { place: self.place() }
    }

    /// There is room again.
    pub(crate) fn has_room_again(&self) {
        if self.full.swap(false, Ordering::AcqRel) {
            tracing::info!(dir = %self.place(), "there is space again, writes resume");
            ::metrics::gauge!(metrics::FULL).set(0.0);
            self.health.send_modify(|health| health.places[0].full = false);
        }
    }

    /// Asks the file system for its room and publishes it; `None` when it cannot say.
    pub(crate) fn measure(&self) -> Option<u64> {
        let space = self.fs.space(&self.config.data_dir).ok()?;
        self.health.send_if_modified(|health| {
            let place = &mut health.places[0];
            let new = (Some(space.total_bytes), Some(space.usable_bytes));
            let changed = (place.total_bytes, place.usable_bytes) != new;
            (place.total_bytes, place.usable_bytes) = new;
            changed
        });
        Some(space.usable_bytes)
    }

    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    pub(crate) fn set_closed(&self) -> bool {
        self.closed.swap(true, Ordering::AcqRel)
    }

    /// Counts appended bytes; returns the position of their end in the directory's whole stream of appends.
    pub(crate) fn count_append(&self, bytes: u64) -> u64 {
        self.unsynced.fetch_add(bytes, Ordering::AcqRel);
        self.meters.appended.increment(bytes);
        self.appended.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    /// Whether bytes with this stamp are recent enough to be in the page cache.
    pub(crate) fn is_hot(&self, stamp: u64) -> bool {
        self.appended.load(Ordering::Relaxed).saturating_sub(stamp) <= self.config.hot_bytes
    }

    /// Bytes that wait for the medium no more (or never will).
    pub(crate) fn release(&self, bytes: u64) {
        let before = self.unsynced.fetch_sub(bytes, Ordering::AcqRel);
        let max = self.config.unsynced_bytes_max;
        if before >= max && before - bytes < max {
            self.room.notify_waiters();
        }
    }

    pub(crate) fn unsynced(&self) -> u64 {
        self.unsynced.load(Ordering::Acquire)
    }

    /// Whether relaxed data should be synced at once, to stay within the bound.
    pub(crate) fn in_a_hurry(&self) -> bool {
        self.unsynced() > self.config.unsynced_bytes_max / 2
    }

    pub(crate) fn has_room(&self) -> bool {
        self.unsynced() < self.config.unsynced_bytes_max || self.check().is_err()
    }

    /// Waits for [`Shared::has_room`].
    pub(crate) async fn wait_for_room(&self) {
        loop {
            let notified = self.room.notified();
            tokio::pin!(notified);
            // Registered before the look, so that no wake-up falls between.
            notified.as_mut().enable();
            if self.has_room() {
                return;
            }
            notified.await;
        }
    }

    /// Renames a file or directory to a name that marks it as deleted; `None` when it is not there.
    fn set_aside(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let now = self.clock().now();
        loop {
            let n = self.doom_count.fetch_add(1, Ordering::Relaxed);
            let mut name = path.file_name().unwrap_or_default().to_os_string();
            // The time tells it apart from what an earlier process left.
            name.push(format!(".{now}-{n}{DELETED_SUFFIX}"));
            let doomed = path.with_file_name(name);
            match self.fs.rename(path, &doomed) {
                Ok(()) => return Ok(Some(doomed)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
                // Unless the clock went back to the very same millisecond.
                Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Takes a file out of the way; it is removed after `delay`.
    pub(crate) fn doom(&self, path: &Path, delay: Duration) {
        match self.set_aside(path) {
            Ok(Some(doomed)) => self.doom_later(doomed, delay),
            Ok(None) => {}
            // It is below the log start, so the next opening of the log removes it.
            Err(e) => tracing::warn!(path = %path.display(), "cannot set a file aside: {e}"),
        }
    }

    /// Queues what is set aside already.
    pub(crate) fn doom_later(&self, path: PathBuf, delay: Duration) {
        self.doomed.lock().push((self.elapsed() + delay, path));
    }

    /// Takes a partition's directory out of the way, durable on return; its files go after `delay`.
    pub(crate) fn remove_partition(&self, tp: TopicIdPartition, delay: Duration) -> Result<(), StorageError> {
        self.check_online()?;
        self.ends.remove(tp).map_err(|e| self.go_offline("freeing the slot of a synced end", &e))?;
        let dir = self.topics_dir.join(tp.to_string());
        let doomed = self.set_aside(&dir).map_err(|e| self.write_error(format!("removing {}", dir.display()), e))?;
        if let Some(doomed) = doomed {
            self.fs.sync_dir(&self.topics_dir).map_err(|e| {
                let action = format!("syncing directory {}", self.topics_dir.display());
                self.go_offline(&action, &e)
            })?;
            self.doom_later(doomed, delay);
        }
        Ok(())
    }
}

/// The ending of what waits for its removal.
pub(crate) const DELETED_SUFFIX: &str = ".deleted";
