//! A file system in memory that keeps page cache and medium apart, for tests of power cuts and failures.
//!
//! Every file has a content as the process sees it, a content as the medium holds it, and the writes between the two;
//! every directory likewise with its entries. [`RecordingFs::crash`] makes one of the states that a power cut may leave: of
//! the writes that no sync covered any subset, page by page; of the names that no directory sync covered any subset, a
//! rename whole or not at all (`crash.rs`). [`RecordingFs::kill`] makes what the death of the process alone leaves. A fuse
//! cuts the power before the n-th change; calls can be made to fail, to wait, or to lie: report success and do nothing.

mod crash;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, IoSlice};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::{DirEntry, Fs, FsFile, LockGuard, OpenMode, Space};

pub use crash::{State, States};

/// The kinds of calls that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// [`FsFile::write_at`].
    Write,
    /// [`FsFile::read_at`].
    Read,
    /// [`FsFile::sync_data`].
    Sync,
    /// [`FsFile::set_len`].
    SetLen,
    /// [`Fs::sync_dir`].
    SyncDir,
    /// [`Fs::rename`].
    Rename,
    /// [`Fs::unlink`].
    Unlink,
    /// [`Fs::open`] that makes a file, and [`Fs::mkdir`].
    Make,
}

#[derive(Clone)]
enum FileOp {
    Write { pos: usize, bytes: Vec<u8> },
    SetLen(usize),
}

#[derive(Clone)]
enum DirOp {
    Link(String, usize),
    Unlink(String),
    Rename { from: String, to: String, id: usize },
}

#[derive(Clone)]
enum Node {
    File { cache: Vec<u8>, durable: Vec<u8>, pending: Vec<FileOp> },
    Dir { cache: BTreeMap<String, usize>, durable: BTreeMap<String, usize>, pending: Vec<DirOp> },
}

struct Fault {
    call: Call,
    path_has: String,
    error: io::ErrorKind,
    times: usize,
}

/// Which calls report success and do nothing.
struct Lie {
    call: Call,
    about: Box<dyn Fn(&Path) -> bool + Send + Sync>,
}

/// Calls that wait, and who waits.
#[derive(Default)]
struct Gate {
    closed: Mutex<HashMap<Call, usize>>,
    opened: Condvar,
}

#[derive(Default)]
struct Disk {
    nodes: Vec<Node>,
    changes: u64,
    fuse: Option<u64>,
    room: Option<u64>,
    faults: Vec<Fault>,
    lies: Vec<Lie>,
    gate: Arc<Gate>,
    locks: HashSet<PathBuf>,
}

/// The file system. Clones share it.
#[derive(Clone)]
pub struct RecordingFs(Arc<Mutex<Disk>>);

fn put(content: &mut Vec<u8>, pos: usize, bytes: &[u8]) {
    if content.len() < pos + bytes.len() {
        content.resize(pos + bytes.len(), 0);
    }
    content[pos..pos + bytes.len()].copy_from_slice(bytes);
}

fn apply_dir(entries: &mut BTreeMap<String, usize>, op: &DirOp) {
    match op {
        DirOp::Link(name, id) => {
            entries.insert(name.clone(), *id);
        }
        DirOp::Unlink(name) => {
            entries.remove(name);
        }
        DirOp::Rename { from, to, id } => {
            entries.remove(from);
            entries.insert(to.clone(), *id);
        }
    }
}

impl Node {
    fn dir() -> Self {
        Self::Dir { cache: BTreeMap::new(), durable: BTreeMap::new(), pending: Vec::new() }
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk {
    fn lookup(&self, path: &Path) -> io::Result<usize> {
        let mut at = 0;
        for part in path.components() {
            if let Component::Normal(name) = part {
                let Node::Dir { cache, .. } = &self.nodes[at] else {
                    return Err(io::ErrorKind::NotADirectory.into());
                };
                at = *cache.get(name.to_str().unwrap_or_default()).ok_or_else(not_found)?;
            }
        }
        Ok(at)
    }

    fn parent(&self, path: &Path) -> io::Result<(usize, String)> {
        let parent = path.parent().ok_or_else(not_found)?;
        let name = path.file_name().and_then(|n| n.to_str()).ok_or_else(not_found)?;
        Ok((self.lookup(parent)?, name.into()))
    }

    /// Counts a change; fails it where a fault or the fuse says so.
    fn change(&mut self, call: Call, path: &Path) -> io::Result<()> {
        if self.fuse.is_some_and(|fuse| self.changes >= fuse) {
            return Err(io::Error::other("the power is off"));
        }
        self.fault(call, path)?;
        self.changes += 1;
        Ok(())
    }

    fn is_lie(&self, call: Call, path: &Path) -> bool {
        self.lies.iter().any(|lie| lie.call == call && (lie.about)(path))
    }

    fn fault(&mut self, call: Call, path: &Path) -> io::Result<()> {
        let text = path.to_string_lossy();
        let hit = self.faults.iter_mut().find(|f| f.times > 0 && f.call == call && text.contains(&f.path_has));
        match hit {
            Some(fault) => {
                fault.times -= 1;
                Err(fault.error.into())
            }
            None => Ok(()),
        }
    }

    fn dir_op(&mut self, dir: usize, op: DirOp) -> io::Result<()> {
        let Node::Dir { cache, pending, .. } = &mut self.nodes[dir] else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        apply_dir(cache, &op);
        pending.push(op);
        Ok(())
    }

    fn is_dir(&self, id: usize) -> bool {
        matches!(self.nodes[id], Node::Dir { .. })
    }
}

impl Default for RecordingFs {
    fn default() -> Self {
        Self::new()
    }
}

impl RecordingFs {
    /// An empty file system.
    #[must_use]
    pub fn new() -> Self {
        let disk = Disk { nodes: vec![Node::dir()], ..Disk::default() };
        Self(Arc::new(Mutex::new(disk)))
    }

    /// What the death of the process at this moment leaves: everything, but no more durable than before.
    #[must_use]
    pub fn kill(&self) -> Self {
        let nodes = self.0.lock().nodes.clone();
        Self(Arc::new(Mutex::new(Disk { nodes, ..Disk::default() })))
    }

    /// How many changes were made so far.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.0.lock().changes
    }

    /// Fails every change from the `n`-th on.
    pub fn set_fuse(&self, n: u64) {
        self.0.lock().fuse = Some(n);
    }

    /// Makes the next `times` calls of a kind fail, on paths that contain `path_has`.
    pub fn fail(&self, call: Call, path_has: &str, error: io::ErrorKind, times: usize) {
        self.0.lock().faults.push(Fault { call, path_has: path_has.into(), error, times });
    }

    /// From now on calls of a kind report success and do nothing where `about` holds for the path; what
    /// [`RecordingFs::crash`] and [`RecordingFs::kill`] make of it is honest again. For [`Call::Sync`] and
    /// [`Call::SyncDir`] only: how a test of power cuts shows that it would notice a sync that is not there.
    pub fn lie(&self, call: Call, about: impl Fn(&Path) -> bool + Send + Sync + 'static) {
        self.0.lock().lies.push(Lie { call, about: Box::new(about) });
    }

    /// Calls of a kind wait from now on, as on a disk that stalls, until [`RecordingFs::go_on`].
    pub fn stall(&self, call: Call) {
        self.0.lock().gate.closed.lock().entry(call).or_default();
    }

    /// How many calls of a kind wait now.
    #[must_use]
    pub fn waiting(&self, call: Call) -> usize {
        self.0.lock().gate.closed.lock().get(&call).copied().unwrap_or(0)
    }

    /// Whatever waits goes on.
    pub fn go_on(&self) {
        let disk = self.0.lock();
        disk.gate.closed.lock().clear();
        disk.gate.opened.notify_all();
    }

    /// Limits the bytes that may still be written; `None`: no limit.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.0.lock().room = bytes;
    }

    /// Changes a byte of a file behind everyone's back, as a bad medium does. Returns whether there is such a byte.
    pub fn flip(&self, path: &Path, pos: usize, mask: u8) -> bool {
        let mut disk = self.0.lock();
        let Ok(id) = disk.lookup(path) else {
            return false;
        };
        let Node::File { cache, durable, .. } = &mut disk.nodes[id] else {
            return false;
        };
        if let Some(byte) = durable.get_mut(pos) {
            *byte ^= mask;
        }
        cache.get_mut(pos).map(|byte| *byte ^= mask).is_some()
    }

    /// Cuts a file behind everyone's back.
    pub fn chop(&self, path: &Path, len: usize) {
        let mut disk = self.0.lock();
        if let Ok(id) = disk.lookup(path)
            && let Node::File { cache, durable, .. } = &mut disk.nodes[id]
        {
            cache.truncate(len);
            durable.truncate(len);
        }
    }
}

/// Waits while calls of this kind are stalled.
fn pass(disk: &Mutex<Disk>, call: Call) {
    let gate = Arc::clone(&disk.lock().gate);
    let mut closed = gate.closed.lock();
    if let Some(waiting) = closed.get_mut(&call) {
        *waiting += 1;
        while closed.contains_key(&call) {
            gate.opened.wait(&mut closed);
        }
    }
}

struct RecordedFile {
    disk: Arc<Mutex<Disk>>,
    id: usize,
    path: PathBuf,
}

impl RecordedFile {
    fn with<T>(
        &self,
        disk: &mut Disk,
        act: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>, &mut Vec<FileOp>) -> T,
    ) -> io::Result<T> {
        match &mut disk.nodes[self.id] {
            Node::File { cache, durable, pending } => Ok(act(cache, durable, pending)),
            Node::Dir { .. } => Err(io::ErrorKind::IsADirectory.into()),
        }
    }
}

impl FsFile for RecordedFile {
    fn write_at(&self, pos: u64, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        pass(&self.disk, Call::Write);
        let mut disk = self.disk.lock();
        disk.change(Call::Write, &self.path)?;
        let mut bytes: Vec<u8> = bufs.iter().flat_map(|b| b.iter().copied()).collect();
        if let Some(room) = &mut disk.room {
            let fits = usize::try_from(*room).unwrap_or(usize::MAX).min(bytes.len());
            if fits == 0 && !bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *room -= fits as u64;
            bytes.truncate(fits);
        }
        let pos = usize::try_from(pos).map_err(io::Error::other)?;
        self.with(&mut disk, |cache, _, pending| {
            put(cache, pos, &bytes);
            let len = bytes.len();
            pending.push(FileOp::Write { pos, bytes });
            len
        })
    }

    fn read_at(&self, pos: u64, buf: &mut [u8]) -> io::Result<usize> {
        pass(&self.disk, Call::Read);
        let mut disk = self.disk.lock();
        disk.fault(Call::Read, &self.path)?;
        let pos = usize::try_from(pos).map_err(io::Error::other)?;
        self.with(&mut disk, |cache, _, _| {
            let from = cache.get(pos..).unwrap_or_default();
            let len = from.len().min(buf.len());
            buf[..len].copy_from_slice(&from[..len]);
            len
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        pass(&self.disk, Call::Sync);
        let mut disk = self.disk.lock();
        disk.change(Call::Sync, &self.path)?;
        if disk.is_lie(Call::Sync, &self.path) {
            return Ok(());
        }
        self.with(&mut disk, |cache, durable, pending| {
            durable.clone_from(cache);
            pending.clear();
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        pass(&self.disk, Call::SetLen);
        let mut disk = self.disk.lock();
        disk.change(Call::SetLen, &self.path)?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.with(&mut disk, |cache, _, pending| {
            cache.resize(len, 0);
            pending.push(FileOp::SetLen(len));
        })
    }

    fn size(&self) -> io::Result<u64> {
        let mut disk = self.disk.lock();
        self.with(&mut disk, |cache, _, _| cache.len() as u64)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn start_writeback(&self, _pos: u64, _len: u64) {}

    fn real(&self) -> Option<Arc<File>> {
        None
    }
}

struct RecordedLock {
    disk: Arc<Mutex<Disk>>,
    path: PathBuf,
}

impl Drop for RecordedLock {
    fn drop(&mut self) {
        self.disk.lock().locks.remove(&self.path);
    }
}

impl Fs for RecordingFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        let mut disk = self.0.lock();
        let id = match disk.lookup(path) {
            Ok(id) if disk.is_dir(id) => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(id) => id,
            Err(_) if matches!(mode, OpenMode::Create | OpenMode::Truncate) => {
                let (dir, name) = disk.parent(path)?;
                disk.change(Call::Make, path)?;
                let id = disk.nodes.len();
                disk.nodes.push(Node::File { cache: Vec::new(), durable: Vec::new(), pending: Vec::new() });
                disk.dir_op(dir, DirOp::Link(name, id))?;
                id
            }
            Err(e) => return Err(e),
        };
        let file = RecordedFile { disk: Arc::clone(&self.0), id, path: path.into() };
        drop(disk);
        if mode == OpenMode::Truncate && file.size()? > 0 {
            file.set_len(0)?;
        }
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        pass(&self.0, Call::Rename);
        let mut disk = self.0.lock();
        let id = disk.lookup(from)?;
        let (dir, name) = disk.parent(from)?;
        let (to_dir, to_name) = disk.parent(to)?;
        if dir != to_dir {
            return Err(io::Error::other("renames between directories are not recorded"));
        }
        if let Ok(over) = disk.lookup(to)
            && let Node::Dir { cache, .. } = &disk.nodes[over]
            && !cache.is_empty()
        {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        disk.change(Call::Rename, from)?;
        disk.dir_op(dir, DirOp::Rename { from: name, to: to_name, id })
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        pass(&self.0, Call::Unlink);
        let mut disk = self.0.lock();
        let id = disk.lookup(path)?;
        if disk.is_dir(id) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let (dir, name) = disk.parent(path)?;
        disk.change(Call::Unlink, path)?;
        disk.dir_op(dir, DirOp::Unlink(name))
    }

    fn mkdir(&self, path: &Path) -> io::Result<()> {
        pass(&self.0, Call::Make);
        let mut disk = self.0.lock();
        if disk.lookup(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let (dir, name) = disk.parent(path)?;
        disk.change(Call::Make, path)?;
        let id = disk.nodes.len();
        disk.nodes.push(Node::dir());
        disk.dir_op(dir, DirOp::Link(name, id))
    }

    fn rmdir(&self, path: &Path) -> io::Result<()> {
        pass(&self.0, Call::Unlink);
        let mut disk = self.0.lock();
        let id = disk.lookup(path)?;
        match &disk.nodes[id] {
            Node::Dir { cache, .. } if cache.is_empty() => {}
            _ => return Err(io::ErrorKind::DirectoryNotEmpty.into()),
        }
        let (dir, name) = disk.parent(path)?;
        disk.change(Call::Unlink, path)?;
        disk.dir_op(dir, DirOp::Unlink(name))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        pass(&self.0, Call::SyncDir);
        let mut disk = self.0.lock();
        let id = disk.lookup(path)?;
        disk.change(Call::SyncDir, path)?;
        if disk.is_lie(Call::SyncDir, path) {
            return Ok(());
        }
        if let Node::Dir { cache, durable, pending } = &mut disk.nodes[id] {
            durable.clone_from(cache);
            pending.clear();
        }
        Ok(())
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let disk = self.0.lock();
        let id = disk.lookup(path)?;
        let Node::Dir { cache, .. } = &disk.nodes[id] else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        Ok(cache.iter().map(|(name, id)| DirEntry { name: name.clone(), dir: disk.is_dir(*id) }).collect())
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        let room = self.0.lock().room.unwrap_or(1 << 40);
        Ok(Space { total_bytes: 1 << 40, usable_bytes: room })
    }

    fn lock(&self, path: &Path, _text: &str) -> io::Result<Result<LockGuard, String>> {
        let mut disk = self.0.lock();
        if !disk.locks.insert(path.into()) {
            return Ok(Err("a test".into()));
        }
        Ok(Ok(Box::new(RecordedLock { disk: Arc::clone(&self.0), path: path.into() })))
    }

    fn lock_existing(&self, path: &Path) -> io::Result<Result<LockGuard, String>> {
        self.lock(path, "")
    }
}

#[cfg(test)]
mod tests;
