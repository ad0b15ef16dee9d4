//! The log, the vote and the snapshots, in one redb file.
//!
//! Each append is one durable transaction (redb syncs the file before it returns), and so is a vote: openraft may
//! count on either once it is reported. The committed index is not worth a sync of its own: it rides along with
//! the next transaction, and a leader finds it again by itself. `quick_repair` makes the start after a crash as
//! fast as any other.
//!
//! A snapshot is written in pieces, so that appends come in between, and takes effect with the last transaction,
//! which also forgets the one before.
//!
//! After a failed write or sync nothing is retried: pages may be gone. The failure is published ([`Failure`]) and
//! the process ends.

use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io};

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{Entry, LogState, OptionalSend, RaftLogId, RaftLogReader, StorageIOError, Vote};
use parking_lot::Mutex;
use redb::{
    Builder, Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};
use tokio::sync::watch;
use watershed_model::BrokerId;
use watershed_model::limits::METADATA_CACHE_BYTES;

use super::codec::{CodecError, StoredEntry, StoredLogId, StoredSnapshot, StoredVote, seal, unseal};
use super::{LogId, OpenError, RaftTypes, StorageError};

/// Log entries by index.
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
/// Single values by name.
const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("state");
/// Pieces of snapshots by slot and number.
const SNAPSHOT: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("snapshot");

const KEY_FORMAT: &str = "format";
const KEY_NODE: &str = "node";
const KEY_VOTE: &str = "vote";
const KEY_COMMITTED: &str = "committed";
const KEY_PURGED: &str = "purged";
const KEY_SNAPSHOT: &str = "snapshot";

/// The format of this file: which tables there are and what they mean.
const FORMAT: u64 = 1;

/// The file's name in the metadata directory.
const FILE: &str = "quorum.redb";

/// Why the store failed, once it has; nothing before.
pub(crate) type Failure = watch::Receiver<Option<Arc<str>>>;

/// What can go wrong with the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error(transparent)]
    Redb(#[from] redb::Error),
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("the metadata log lacks entry {0}")]
    Hole(u64),
    #[error("the task that writes the metadata store was lost: {0}")]
    Task(String),
}

macro_rules! from_redb {
    ($($error:ty),*) => {
        $(impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::Redb(error.into())
            }
        })*
    };
}
from_redb!(redb::TransactionError, redb::TableError, redb::StorageError, redb::CommitError, redb::SetDurabilityError);

/// The open file. Shared by the log store and the state machine.
///
/// The fields are dropped in this order: who sees the end of `failed` knows that the file is closed and unlocked.
#[derive(Debug)]
pub(crate) struct Store {
    db: Database,
    path: PathBuf,
    /// The newest committed entry that the file does not know of yet.
    committed: Mutex<Option<LogId>>,
    /// Bytes of the entries appended since the last snapshot.
    log_bytes: Arc<AtomicU64>,
    /// The first failure, in the form it takes when it prevents the start.
    cause: Mutex<Option<OpenError>>,
    failed: watch::Sender<Option<Arc<str>>>,
}

impl Store {
    /// Opens the store in a directory, which is made if it is not there.
    pub(crate) fn open(dir: &Path, node: BrokerId) -> Result<Self, OpenError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        fs::create_dir_all(dir).map_err(io(dir))?;
        let path = dir.join(FILE);
        if !fs::exists(&path).map_err(io(&path))? {
            // Made under another name: a crash half-way leaves nothing that looks like a store.
            let new = dir.join(format!("{FILE}.new"));
            match fs::remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(&new)(error)),
                _ => {}
            }
            let made = builder().create(&new).map_err(|error| database_error(&new, error))?;
            Self::with_database(made, new.clone(), node)?;
            fs::File::open(&new).and_then(|file| file.sync_all()).map_err(io(&new))?;
            fs::rename(&new, &path).map_err(io(&path))?;
        }
        // Also where it was there: who made it may have been killed before its name was durable.
        for dir in [Some(dir), dir.parent()].into_iter().flatten() {
            sync_dir(dir).map_err(io(dir))?;
        }
        let db = builder().open(&path).map_err(|error| database_error(&path, error))?;
        Self::with_database(db, path, node)
    }

    /// Opens a store on any backend: how tests pull the plug.
    #[cfg(test)]
    pub(crate) fn with_backend(backend: impl redb::StorageBackend, node: BrokerId) -> Result<Self, OpenError> {
        let path = PathBuf::from("<backend>");
        let db = builder().create_with_backend(backend).map_err(|error| database_error(&path, error))?;
        Self::with_database(db, path, node)
    }

    fn with_database(db: Database, path: PathBuf, node: BrokerId) -> Result<Self, OpenError> {
        let store = Self {
            db,
            path,
            committed: Mutex::new(None),
            cause: Mutex::new(None),
            failed: watch::Sender::new(None),
            log_bytes: Arc::default(),
        };
        store.identify(node)?;
        let bytes = store.log_size().map_err(|error| store.open_error(&error))?;
        store.log_bytes.store(bytes, Ordering::Relaxed);
        Ok(store)
    }

    /// Checks the format and whose store this is, or writes both into a new one.
    fn identify(&self, node: BrokerId) -> Result<(), OpenError> {
        let read = || -> Result<_, StoreError> {
            let mut txn = self.db.begin_write()?;
            let known = {
                let mut state = txn.open_table(STATE)?;
                txn.open_table(LOG)?;
                txn.open_table(SNAPSHOT)?;
                let known = (get::<u64>(&state, KEY_FORMAT)?, get::<i32>(&state, KEY_NODE)?);
                if known == (None, None) {
                    state.insert(KEY_FORMAT, &*seal(&FORMAT))?;
                    state.insert(KEY_NODE, &*seal(&node.0))?;
                }
                known
            };
            if known == (None, None) {
                commit(&mut txn)?;
                txn.commit()?;
            } else {
                txn.abort()?;
            }
            Ok(known)
        };
        let path = self.path.clone();
        match read().map_err(|error| self.open_error(&error))? {
            (None, None) => Ok(()),
            (Some(FORMAT), Some(found)) if found == node.0 => Ok(()),
            (Some(FORMAT), Some(found)) => Err(OpenError::OtherNode { path, found: BrokerId(found), given: node }),
            (Some(found), _) => Err(OpenError::Format { path, found, known: FORMAT }),
            (None, Some(_)) => Err(OpenError::Corrupt { path, reason: "it does not say its format".to_owned() }),
        }
    }

    fn log_size(&self) -> Result<u64, StoreError> {
        let log = self.db.begin_read()?.open_table(LOG)?;
        let mut bytes = 0;
        for entry in log.iter()? {
            bytes += entry?.1.value().len() as u64;
        }
        Ok(bytes)
    }

    /// The file, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Tells when the store fails.
    pub(crate) fn failure(&self) -> Failure {
        self.failed.subscribe()
    }

    /// How many bytes the entries since the last snapshot have.
    pub(crate) fn log_bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.log_bytes)
    }

    /// The form a damaged or unreadable store takes when it is opened.
    pub(crate) fn open_error(&self, error: &StoreError) -> OpenError {
        let path = self.path.clone();
        match error {
            StoreError::Redb(redb::Error::Io(source)) => {
                OpenError::Io { path, source: io::Error::new(source.kind(), source.to_string()) }
            }
            error => OpenError::Corrupt { path, reason: error.to_string() },
        }
    }

    /// Why the store failed, if it has, for a start that it prevented.
    pub(crate) fn cause(&self) -> Option<OpenError> {
        self.cause.lock().take()
    }

    /// Publishes that the store is not to be used any more.
    pub(crate) fn fail(&self, what: &str, error: &StoreError) {
        self.cause.lock().get_or_insert_with(|| self.open_error(error));
        let text: Arc<str> = format!("{what} in {}: {error}", self.path.display()).into();
        tracing::error!(error = %text, "the metadata store failed");
        self.failed.send_modify(|failed| {
            failed.get_or_insert(text);
        });
    }

    /// Runs a write on a thread that may wait for the disk.
    pub(crate) async fn write(
        self: &Arc<Self>,
        what: &'static str,
        work: impl FnOnce(&Self) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let store = Arc::clone(self);
        let result = tokio::task::spawn_blocking(move || work(&store)).await;
        let result = result.unwrap_or_else(|error| Err(StoreError::Task(error.to_string())));
        if let Err(error) = &result {
            self.fail(what, error);
        }
        result
    }

    /// One durable transaction, which also carries the newest committed index.
    fn durably(&self, work: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut txn = self.db.begin_write()?;
        commit(&mut txn)?;
        work(&txn)?;
        let committed = self.committed.lock().take();
        if let Some(committed) = committed {
            txn.open_table(STATE)?.insert(KEY_COMMITTED, &*seal(&StoredLogId::from(committed)))?;
        }
        txn.commit()?;
        Ok(())
    }

    /// Remembers the newest committed entry until the next transaction.
    fn note_committed(&self, committed: Option<LogId>) {
        if committed.is_some() {
            *self.committed.lock() = committed;
        }
    }

    fn append(&self, entries: &[(u64, Vec<u8>)]) -> Result<(), StoreError> {
        self.durably(|txn| {
            let mut log = txn.open_table(LOG)?;
            for (index, bytes) in entries {
                log.insert(index, bytes.as_slice())?;
            }
            Ok(())
        })?;
        let bytes: usize = entries.iter().map(|(_, bytes)| bytes.len()).sum();
        self.log_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(())
    }

    fn remove(&self, range: impl RangeBounds<u64>, purged: Option<LogId>) -> Result<(), StoreError> {
        self.durably(|txn| {
            txn.open_table(LOG)?.retain_in::<u64, _>(range, |_, _| false)?;
            if let Some(purged) = purged {
                txn.open_table(STATE)?.insert(KEY_PURGED, &*seal(&StoredLogId::from(purged)))?;
            }
            Ok(())
        })
    }

    fn value<T: for<'b> minicbor::Decode<'b, ()>>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let state = self.db.begin_read()?.open_table(STATE)?;
        get(&state, key)
    }

    fn entries(&self, range: (Bound<u64>, Bound<u64>)) -> Result<Vec<Entry<RaftTypes>>, StoreError> {
        let log = self.db.begin_read()?.open_table(LOG)?;
        let mut entries: Vec<Entry<RaftTypes>> = Vec::new();
        for row in log.range::<u64>(range)? {
            let (index, bytes) = row?;
            let entry: Entry<RaftTypes> = unseal::<StoredEntry>(bytes.value())?.into();
            let expected = entries.last().map_or(index.value(), |last| last.log_id.index + 1);
            if entry.log_id.index != index.value() || index.value() != expected {
                return Err(StoreError::Hole(expected));
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    fn log_state(&self) -> Result<LogState<RaftTypes>, StoreError> {
        let txn = self.db.begin_read()?;
        let purged = get::<StoredLogId>(&txn.open_table(STATE)?, KEY_PURGED)?.map(LogId::from);
        let last = match txn.open_table(LOG)?.last()? {
            Some((_, bytes)) => Some(*Entry::<RaftTypes>::from(unseal::<StoredEntry>(bytes.value())?).get_log_id()),
            None => purged,
        };
        Ok(LogState { last_purged_log_id: purged, last_log_id: last })
    }

    /// Stores a snapshot, piece by piece, and makes it the current one.
    pub(crate) fn write_snapshot(
        &self,
        chunks: impl Iterator<Item = Vec<u8>>,
        describe: impl FnOnce(u64, u32) -> StoredSnapshot,
    ) -> Result<(), StoreError> {
        let before = self.value::<StoredSnapshot>(KEY_SNAPSHOT)?;
        let slot = before.map_or(0, |before| before.slot + 1);
        let mut count = 0;
        for chunk in chunks {
            let mut txn = self.db.begin_write()?;
            // Nobody looks at a piece before the last transaction, which is durable and makes these so too.
            txn.set_durability(Durability::None)?;
            txn.open_table(SNAPSHOT)?.insert((slot, count), chunk.as_slice())?;
            txn.commit()?;
            count += 1;
        }
        let described = seal(&describe(slot, count));
        self.durably(|txn| {
            txn.open_table(STATE)?.insert(KEY_SNAPSHOT, described.as_slice())?;
            txn.open_table(SNAPSHOT)?.retain(|(other, number), _| other == slot && number < count)?;
            Ok(())
        })?;
        self.log_bytes.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// The current snapshot, if there is one; its pieces go to `each` in order.
    pub(crate) fn read_snapshot(
        &self,
        mut each: impl FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<Option<StoredSnapshot>, StoreError> {
        let txn = self.db.begin_read()?;
        let Some(described) = get::<StoredSnapshot>(&txn.open_table(STATE)?, KEY_SNAPSHOT)? else {
            return Ok(None);
        };
        let pieces = txn.open_table(SNAPSHOT)?;
        for number in 0..described.chunks {
            let piece = pieces.get((described.slot, number))?;
            let piece = piece.ok_or_else(|| CodecError::Malformed(format!("snapshot piece {number} is missing")))?;
            each(piece.value())?;
        }
        Ok(Some(described))
    }

    /// The last entry that is in the log.
    #[cfg(test)]
    pub(crate) fn entry_count(&self) -> Result<usize, StoreError> {
        Ok(self.entries((Bound::Unbounded, Bound::Unbounded))?.len())
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(METADATA_CACHE_BYTES);
    // The file is small (the log is bounded), and a bit that turned over is to be found before anyone relies on it.
    builder.set_check_integrity_on_open(true);
    builder
}

/// Makes a transaction durable, and the start after a crash fast.
fn commit(txn: &mut WriteTransaction) -> Result<(), StoreError> {
    txn.set_durability(Durability::Immediate)?;
    txn.set_quick_repair(true);
    Ok(())
}

fn get<T: for<'b> minicbor::Decode<'b, ()>>(
    state: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &str,
) -> Result<Option<T>, StoreError> {
    state.get(key)?.map(|bytes| unseal(bytes.value())).transpose().map_err(Into::into)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    fs::File::open(dir)?.sync_all()
}

fn database_error(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path },
        DatabaseError::Storage(redb::StorageError::Io(source)) if source.kind() != io::ErrorKind::InvalidData => {
            OpenError::Io { path, source }
        }
        error => OpenError::Corrupt { path, reason: error.to_string() },
    }
}

/// The log, as openraft sees it.
#[derive(Clone, Debug)]
pub(crate) struct LogStore {
    store: Arc<Store>,
}

impl LogStore {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    #[allow(clippy::result_large_err, reason = "openraft's traits want this error by value")]
    fn read<T>(&self, what: &str, work: impl FnOnce(&Store) -> Result<T, StoreError>) -> Result<T, StorageError> {
        work(&self.store).map_err(|error| {
            self.store.fail(what, &error);
            StorageIOError::read(openraft::AnyError::new(&error)).into()
        })
    }
}

fn write_error(error: &StoreError) -> StorageError {
    StorageIOError::write_logs(openraft::AnyError::new(error)).into()
}

impl RaftLogReader<RaftTypes> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + std::fmt::Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry<RaftTypes>>, StorageError> {
        let bounds = (range.start_bound().cloned(), range.end_bound().cloned());
        self.read("reading the log", |store| store.entries(bounds))
    }
}

impl RaftLogStorage<RaftTypes> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<RaftTypes>, StorageError> {
        self.read("reading the log's ends", Store::log_state)
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<(), StorageError> {
        let bytes = seal(&StoredVote::from(vote));
        let work = move |store: &Store| {
            store.durably(|txn| {
                txn.open_table(STATE)?.insert(KEY_VOTE, bytes.as_slice())?;
                Ok(())
            })
        };
        let saved = self.store.write("saving the vote", work).await;
        saved.map_err(|error| StorageIOError::write_vote(openraft::AnyError::new(&error)).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>, StorageError> {
        let vote = self.read("reading the vote", |store| store.value::<StoredVote>(KEY_VOTE))?;
        Ok(vote.map(Into::into))
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.store.note_committed(committed);
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        let committed = self.read("reading the committed index", |store| store.value::<StoredLogId>(KEY_COMMITTED))?;
        Ok(committed.map(Into::into))
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<RaftTypes>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry<RaftTypes>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<(u64, Vec<u8>)> =
            entries.into_iter().map(|entry| (entry.log_id.index, seal(&StoredEntry::from(entry)))).collect();
        let appended = self.store.write("appending to the log", move |store| store.append(&entries)).await;
        match appended {
            Ok(()) => {
                callback.log_io_completed(Ok(()));
                Ok(())
            }
            Err(error) => {
                callback.log_io_completed(Err(io::Error::other(error.to_string())));
                Err(write_error(&error))
            }
        }
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let work = move |store: &Store| store.remove(log_id.index.., None);
        self.store.write("truncating the log", work).await.map_err(|error| write_error(&error))
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let work = move |store: &Store| store.remove(..=log_id.index, Some(log_id));
        self.store.write("purging the log", work).await.map_err(|error| write_error(&error))
    }
}
