//! The data directory: opening it, its partitions, closing it.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::watch;
use watershed_model::TopicIdPartition;
use watershed_storage::{
    Caps, Framing, Fut, Health, LogStorage, PartitionLog, RecoveryReport, SegmentConfig, StorageError,
};

use crate::codec::{PutError, put_file};
use crate::config::DiskConfig;
use crate::ends::SyncedEnds;
use crate::fs::{Fs, LockGuard, RealFs};
use crate::janitor::{self, Stop, make_ballast};
use crate::log::{DiskLog, Log};
use crate::recovery::Recovery;
use crate::shared::{DELETED_SUFFIX, Place, Shared};
use crate::{metrics, sync};

/// The lock's name in the data directory.
pub(crate) const LOCK_NAME: &str = "lock";
/// The clean mark's name in the data directory.
const CLEAN_NAME: &str = "clean";
/// The directory of the partitions' directories.
pub(crate) const TOPICS_NAME: &str = "topics";

/// Why a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("data directory {dir} is in use by {holder}; stop that one or choose another directory")]
    Locked {
        /// The directory.
        dir: String,
        /// Who has it, as far as known.
        holder: String,
    },
    /// The system refused something.
    #[error("cannot open data directory {dir}: {action} failed: {source}; check its permissions and the device")]
    Io {
        /// The directory.
        dir: String,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// The disk backend over one data directory.
pub struct DiskStorage {
    pub(crate) shared: Arc<Shared>,
    stop: Arc<Stop>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Held until everything else has ended.
    lock: Mutex<Option<LockGuard>>,
}

impl std::fmt::Debug for DiskStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiskStorage").field("data_dir", &self.shared.config.data_dir).finish_non_exhaustive()
    }
}

/// Raises the limit of open files to the hard limit; returns what holds then.
fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(e) => {
            tracing::warn!("cannot raise the limit of open files: {e}");
            limit.current.unwrap_or(u64::MAX)
        }
    }
}

/// Makes a directory and those above it; the new names are durable on return.
fn make_dirs(fs: &dyn Fs, dir: &Path) -> io::Result<()> {
    if fs.read_dir(dir).is_ok() {
        return Ok(());
    }
    let parent = dir.parent().filter(|p| !p.as_os_str().is_empty());
    if let Some(parent) = parent {
        make_dirs(fs, parent)?;
    }
    match fs.mkdir(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    fs.sync_dir(parent.unwrap_or(Path::new(".")))
}

/// Makes the names of a directory and of those above it durable: a process that made them may have been killed before it did.
fn sync_above(fs: &dyn Fs, dir: &Path) -> io::Result<()> {
    for above in dir.ancestors().skip(1) {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match fs.sync_dir(above) {
            // Not ours, so not made by us; or a file system that keeps no names of its own.
            Err(e) if matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput) => {
                return Ok(());
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::Unsupported) => {
                return Ok(());
            }
            outcome => outcome?,
        }
    }
    Ok(())
}

impl DiskStorage {
    /// Opens a data directory on the machine's file system, makes it where there is none, and starts the threads.
    ///
    /// # Errors
    /// Another process has it, or the system refuses.
    pub fn open(config: DiskConfig) -> Result<Arc<Self>, OpenError> {
        let open_files_max = usize::try_from(raise_file_limit() / 2).unwrap_or(usize::MAX);
        let open_files_max = open_files_max.min(config.open_files_max);
        Self::open_on(config, Arc::new(RealFs), open_files_max).map(Arc::new)
    }

    /// The same on any file system.
    ///
    /// # Errors
    /// As [`DiskStorage::open`].
    pub fn open_on(config: DiskConfig, fs: Arc<dyn Fs>, open_files_max: usize) -> Result<Self, OpenError> {
        metrics::describe();
        let dir = config.data_dir.clone();
        let failed = |action: &'static str| {
            let dir = dir.display().to_string();
            move |source| OpenError::Io { dir, action, source }
        };
        make_dirs(&*fs, &dir).map_err(failed("making it"))?;
        let text = format!("process {}", std::process::id());
        let lock = fs.lock(&dir.join(LOCK_NAME), &text).map_err(failed("locking it"))?.map_err(|holder| {
            OpenError::Locked {
                dir: dir.display().to_string(),
                holder: if holder.is_empty() { "another process".into() } else { holder },
            }
        })?;
        let topics = dir.join(TOPICS_NAME);
        make_dirs(&*fs, &topics).map_err(failed("making its topics"))?;
        // From here on the directory is not as the last process left it.
        let clean = match fs.unlink(&dir.join(CLEAN_NAME)) {
            Ok(()) => true,
            Err(e) if e.kind() == io::ErrorKind::NotFound => false,
            Err(e) => return Err(failed("removing the clean mark")(e)),
        };
        let ends = SyncedEnds::open(&*fs, &dir).map_err(failed("reading the synced ends"))?;
        fs.sync_dir(&dir).map_err(failed("syncing it"))?;
        if !clean {
            // The directory itself, and what a destroyed or a new partition's name is now, may be in the cache only.
            sync_above(&*fs, &dir).map_err(failed("syncing the directories above it"))?;
            fs.sync_dir(&topics).map_err(failed("syncing its topics"))?;
        }
        let shared = Shared::new(config, fs, ends, open_files_max, clean).map_err(failed("starting threads"))?;
        let storage = Self {
            shared: Arc::new(shared),
            stop: Arc::default(),
            threads: Mutex::default(),
            lock: Mutex::new(Some(lock)),
        };
        storage.find_deleted(&topics).map_err(failed("listing its topics"))?;
        make_ballast(&storage.shared);
        storage.start().map_err(failed("starting threads"))?;
        Ok(storage)
    }

    /// Has removed what an earlier process had deleted.
    fn find_deleted(&self, topics: &Path) -> io::Result<()> {
        for entry in self.shared.fs.read_dir(topics)? {
            if entry.name.ends_with(DELETED_SUFFIX) {
                self.shared.doom_later(topics.join(entry.name), std::time::Duration::ZERO);
            }
        }
        Ok(())
    }

    fn start(&self) -> io::Result<()> {
        let mut threads = self.threads.lock();
        for n in 0..self.shared.config.sync_threads.max(1) {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name(format!("ws-sync-{n}"));
            threads.push(thread.spawn(move || sync::work(&shared))?);
        }
        let (shared, stop) = (Arc::clone(&self.shared), Arc::clone(&self.stop));
        let thread = std::thread::Builder::new().name("ws-janitor".into());
        threads.push(thread.spawn(move || janitor::work(&shared, &stop))?);
        Ok(())
    }

    /// Ends the threads. What is not durable yet stays as it is, as in a crash of the process.
    fn end_threads(&self) {
        self.shared.sync.stop();
        self.stop.stop();
        self.shared.reads.stop();
        self.shared.work.stop();
        let me = std::thread::current().id();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            if thread.thread().id() != me && thread.join().is_err() {
                tracing::error!("a storage thread had panicked");
            }
        }
        *self.lock.lock() = None;
    }
}

impl Drop for DiskStorage {
    fn drop(&mut self) {
        self.shared.set_closed();
        self.end_threads();
        // They hold the shared parts, and the shared parts hold them.
        let logs = std::mem::take(&mut *self.shared.logs.lock());
        drop(logs);
    }
}

/// Opens one partition; runs on a work thread.
fn open_log(
    shared: &Arc<Shared>,
    tp: TopicIdPartition,
    config: SegmentConfig,
    framing: Arc<dyn Framing>,
) -> Result<(Arc<Log>, RecoveryReport), StorageError> {
    shared.check()?;
    let (mut opened, report) = Recovery::new(shared, tp, config, &*framing).run()?;
    let bad = std::mem::take(&mut opened.bad_states);
    let log = Arc::new(Log::new(tp, Arc::clone(shared), config, framing, opened));
    match log.write_recovered() {
        // Only now: while it is the newest, no older one is believed.
        Ok(()) => Recovery::set_bad_states_aside(&log.dir, shared, &bad),
        // No room for the state file: the log is right all the same, and the next recovery reads more.
        Err(StorageError::Full { .. }) => {}
        Err(e) => return Err(e),
    }
    Ok((log, report))
}

impl Shared {
    /// Takes a partition's place for something that must be alone with it.
    fn take_place(&self, tp: TopicIdPartition) -> Result<Option<Arc<Log>>, StorageError> {
        let mut logs = self.logs.lock();
        match logs.get(&tp) {
            Some(Place::Busy) => {
                let text = format!("partition {tp} is being opened or deleted");
                Err(StorageError::Invalid(text))
            }
            Some(Place::Open(log)) => {
                let log = Some(Arc::clone(log));
                logs.insert(tp, Place::Busy);
                Ok(log)
            }
            None => {
                logs.insert(tp, Place::Busy);
                Ok(None)
            }
        }
    }

    fn set_place(&self, tp: TopicIdPartition, log: Option<&Arc<Log>>) {
        let mut logs = self.logs.lock();
        match log {
            Some(log) => logs.insert(tp, Place::Open(Arc::clone(log))),
            None => logs.remove(&tp),
        };
    }
}

impl LogStorage for DiskStorage {
    fn caps(&self) -> Caps {
        Caps { name: "disk", file_pieces: true, survives_restart: true, survives_power_loss: true }
    }

    fn list(&self) -> Fut<'_, Vec<TopicIdPartition>> {
        let shared = Arc::clone(&self.shared);
        self.shared.work.run(move || {
            let entries = shared
                .fs
                .read_dir(&shared.topics_dir)
                .map_err(|e| StorageError::io(format!("listing {}", shared.topics_dir.display()), e))?;
            let mut found: BTreeSet<TopicIdPartition> =
                entries.iter().filter(|e| e.dir).filter_map(|e| e.name.parse().ok()).collect();
            // Those without a record have no directory yet.
            let logs = shared.logs.lock();
            found.extend(logs.iter().filter_map(|(tp, place)| match place {
                Place::Open(_) => Some(*tp),
                Place::Busy => None,
            }));
            Ok(found.into_iter().collect())
        })
    }

    fn open(
        &self,
        tp: TopicIdPartition,
        config: SegmentConfig,
        framing: Arc<dyn Framing>,
    ) -> Fut<'_, (Arc<dyn PartitionLog>, RecoveryReport)> {
        let shared = Arc::clone(&self.shared);
        self.shared.work.run(move || {
            shared.check()?;
            if let Some(log) = shared.take_place(tp)? {
                shared.set_place(tp, Some(&log));
                return Err(StorageError::Invalid(format!("partition {tp} is open already")));
            }
            let opened = open_log(&shared, tp, config, framing);
            shared.set_place(tp, opened.as_ref().ok().map(|(log, _)| log));
            let (log, report) = opened?;
            Ok((Arc::new(DiskLog(log)) as Arc<dyn PartitionLog>, report))
        })
    }

    fn destroy(&self, tp: TopicIdPartition) -> Fut<'_, ()> {
        let shared = Arc::clone(&self.shared);
        self.shared.work.run(move || {
            let log = shared.take_place(tp)?;
            let outcome = match &log {
                Some(log) => log.destroy(),
                None => shared.remove_partition(tp, shared.config.delete_delay),
            };
            shared.set_place(tp, None);
            outcome
        })
    }

    fn room(&self) -> Option<Fut<'_, ()>> {
        if self.shared.has_room() {
            return None;
        }
        Some(Box::pin(async {
            self.shared.wait_for_room().await;
            Ok(())
        }))
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.shared.health()
    }

    fn close(&self) -> Fut<'_, ()> {
        Box::pin(async move {
            if self.shared.set_closed() {
                return Ok(());
            }
            let logs: Vec<Arc<Log>> = {
                let logs = self.shared.logs.lock();
                logs.values()
                    .filter_map(|place| match place {
                        Place::Open(log) => Some(Arc::clone(log)),
                        Place::Busy => None,
                    })
                    .collect()
            };
            let closing: Vec<_> = logs.into_iter().map(|log| self.shared.work.run(move || log.close())).collect();
            let mut outcome = Ok(());
            for closed in closing {
                outcome = closed.await.and(outcome);
            }
            if outcome.is_ok() {
                let shared = Arc::clone(&self.shared);
                outcome = self.shared.work.run(move || leave_clean_mark(&shared)).await;
            }
            self.end_threads();
            outcome
        })
    }
}

/// Says that every partition's state file is as new as its data. The last thing that is written.
fn leave_clean_mark(shared: &Shared) -> Result<(), StorageError> {
    shared.check_online()?;
    let dir = &shared.config.data_dir;
    let offline = |e: io::Error| shared.go_offline("leaving the clean mark", &e);
    shared.ends.sync().map_err(offline)?;
    put_file(&*shared.fs, dir, CLEAN_NAME, &[b"clean\n"]).map_err(|e| match e {
        PutError::Write(e) => shared.write_error("leaving the clean mark".into(), e),
        PutError::Sync(e) => offline(e),
    })?;
    shared.fs.sync_dir(dir).map_err(offline)
}
