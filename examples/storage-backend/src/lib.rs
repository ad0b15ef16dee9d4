//! A storage backend as a stranger would write it: plain files, one thread, public crates only.
//!
//! A directory per partition. In it: `<base offset>.log`, the frames of a segment one after the other;
//! `<kind>-<offset>.blob`; `start`, the log's start offset; `clean`, there only while the log is closed. The index of
//! frames lives in memory and is rebuilt at open by walking the files.
//!
//! - `files`: writing small files so that they survive a power cut.
//! - `segment`: one file of frames, and the walk through it.
//! - `log`: the `PartitionLog`; `state` what is behind its lock.
//! - `rewrite`: a sealed segment that is written anew.
//! - `flusher`: the thread that syncs and ripens tickets.
//!
//! The README says what this backend leaves out.

mod files;
mod flusher;
mod log;
mod rewrite;
mod segment;
mod state;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::watch;
use watershed_model::{Clock, TopicIdPartition};
use watershed_storage::{
    Caps, Framing, Fut, Health, LogStorage, PartitionLog, PlaceHealth, RecoveryReport, SegmentConfig, StorageError,
};

use flusher::Flusher;
use log::FileLog;

/// What a destroyed partition's directory is renamed to, in front of its name, before it is deleted.
const DESTROYED: &str = "destroyed.";

/// The backend: a directory of partition directories.
#[derive(Debug)]
pub struct FileStorage {
    root: PathBuf,
    clock: Arc<dyn Clock>,
    flusher: Flusher,
    health: Arc<watch::Sender<Health>>,
    logs: Mutex<Logs>,
    /// Locked as long as this process uses the directory.
    _lock: File,
}

#[derive(Debug, Default)]
struct Logs {
    closed: bool,
    open: HashMap<TopicIdPartition, Weak<FileLog>>,
}

impl FileStorage {
    /// Opens (or makes) the directory `root` and takes its lock. `clock` dates the segments.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] when another process has it; [`StorageError::Io`].
    pub fn open(root: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Result<Self, StorageError> {
        let root = root.into();
        let failed = |e| StorageError::io(format!("opening the storage directory {}", root.display()), e);
        fs::create_dir_all(&root).map_err(failed)?;
        let lock = File::create(root.join("lock")).map_err(failed)?;
        lock.try_lock().map_err(|e| match e {
            fs::TryLockError::WouldBlock => {
                StorageError::Invalid(format!("{} is in use by another process", root.display()))
            }
            fs::TryLockError::Error(e) => failed(e),
        })?;
        for name in names(&root).map_err(failed)?.iter().filter(|name| name.starts_with(DESTROYED)) {
            fs::remove_dir_all(root.join(name)).map_err(failed)?;
        }
        let place = PlaceHealth {
            path: root.display().to_string(),
            offline: None,
            full: false,
            total_bytes: None,
            usable_bytes: None,
        };
        let health = Arc::new(watch::Sender::new(Health { places: vec![place] }));
        let flusher = Flusher::start().map_err(failed)?;
        Ok(Self { root, clock, flusher, health, logs: Mutex::default(), _lock: lock })
    }

    fn dir(&self, tp: TopicIdPartition) -> PathBuf {
        self.root.join(tp.to_string())
    }

    fn open_now(
        &self,
        tp: TopicIdPartition,
        config: SegmentConfig,
        framing: &dyn Framing,
    ) -> Result<(Arc<dyn PartitionLog>, RecoveryReport), StorageError> {
        let mut logs = self.logs.lock();
        if logs.closed {
            return Err(StorageError::Invalid(format!("{tp} cannot be opened: the storage is closed")));
        }
        if logs.open.get(&tp).and_then(Weak::upgrade).is_some_and(|log| log.is_open()) {
            return Err(StorageError::Invalid(format!("{tp} is open already; close it first")));
        }
        let (flusher, health) = (self.flusher.clone(), self.health.clone());
        let (log, report) = FileLog::open(self.dir(tp), config, framing, self.clock.clone(), flusher, health)?;
        logs.open.insert(tp, Arc::downgrade(&log));
        Ok((log, report))
    }

    fn destroy_now(&self, tp: TopicIdPartition) -> Result<(), StorageError> {
        let mut logs = self.logs.lock();
        if let Some(log) = logs.open.remove(&tp).and_then(|log| log.upgrade()) {
            log.end();
        }
        let failed = |e| StorageError::io(format!("deleting {tp}"), e);
        // The name goes first and at once, so that half a log never comes back.
        let gone = self.root.join(format!("{DESTROYED}{tp}"));
        match fs::rename(self.dir(tp), &gone) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed.map_err(failed)?,
        }
        files::sync_dir(&self.root).map_err(failed)?;
        fs::remove_dir_all(&gone).map_err(failed)
    }
}

/// The names in a directory.
fn names(dir: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// This backend does its work on the caller's thread, so that its futures are ready when they are made.
fn done<'a, T: Send + 'a>(result: Result<T, StorageError>) -> Fut<'a, T> {
    Box::pin(std::future::ready(result))
}

impl LogStorage for FileStorage {
    fn caps(&self) -> Caps {
        Caps { name: "files", file_pieces: true, survives_restart: true, survives_power_loss: true }
    }

    fn list(&self) -> Fut<'_, Vec<TopicIdPartition>> {
        let listed = names(&self.root).map_err(|e| StorageError::io(format!("listing {}", self.root.display()), e));
        done(listed.map(|names| names.iter().filter_map(|name| name.parse().ok()).collect()))
    }

    fn open(
        &self,
        tp: TopicIdPartition,
        config: SegmentConfig,
        framing: Arc<dyn Framing>,
    ) -> Fut<'_, (Arc<dyn PartitionLog>, RecoveryReport)> {
        done(self.open_now(tp, config, &*framing))
    }

    fn destroy(&self, tp: TopicIdPartition) -> Fut<'_, ()> {
        done(self.destroy_now(tp))
    }

    fn room(&self) -> Option<Fut<'_, ()>> {
        // Nothing is buffered here: a write that the page cache has no room for waits in `append` itself.
        None
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    fn close(&self) -> Fut<'_, ()> {
        let mut logs = self.logs.lock();
        logs.closed = true;
        // All of them, even if one fails; the first failure is told.
        let closed: Vec<_> =
            logs.open.drain().filter_map(|(_, log)| log.upgrade()).map(|log| log.close_now()).collect();
        done(closed.into_iter().collect())
    }
}
