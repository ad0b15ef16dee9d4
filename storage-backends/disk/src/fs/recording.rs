//! A file system in memory that keeps page cache and medium apart, for tests of power cuts and failures.
//!
//! Every file has a content as the process sees it, a content as the medium holds it, and the writes between the two;
//! every directory likewise with its entries. [`RecordingFs::crash`] makes one of the states that a power cut may leave: of
//! the writes that no sync covered any subset, page by page; of the names that no directory sync covered any subset, a
//! rename whole or not at all. [`RecordingFs::kill`] makes what the death of the process alone leaves. A fuse cuts the power
//! before the n-th change, and calls can be made to fail.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, IoSlice};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{DirEntry, Fs, FsFile, LockGuard, OpenMode, Space};

/// What is written or lost as one, in bytes. Smaller than a page, so that small tests meet torn frames.
const PAGE_BYTES: usize = 512;

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

#[derive(Default)]
struct Disk {
    nodes: Vec<Node>,
    changes: u64,
    fuse: Option<u64>,
    room: Option<u64>,
    faults: Vec<Fault>,
    locks: HashSet<PathBuf>,
}

/// The file system. Clones share it.
#[derive(Clone)]
pub struct RecordingFs(Arc<Mutex<Disk>>);

/// A small generator, so that a seed names a crash state.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Which of the changes that no sync covered reach the medium.
enum Fate {
    None,
    All,
    Some { rng: Rng, in_256: u64 },
}

impl Fate {
    fn of(seed: u64) -> Self {
        match seed {
            0 => Self::None,
            1 => Self::All,
            _ => {
                let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
                let in_256 = 32 + rng.next() % 192;
                Self::Some { rng, in_256 }
            }
        }
    }

    fn survives(&mut self) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some { rng, in_256 } => rng.next() >> 24 & 255 < *in_256,
        }
    }
}

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

    /// The node after a power cut.
    fn crashed(&self, fate: &mut Fate) -> Self {
        match self {
            Self::File { durable, pending, .. } => {
                let mut content = durable.clone();
                for op in pending {
                    match op {
                        FileOp::SetLen(len) if fate.survives() => content.resize(*len, 0),
                        FileOp::SetLen(_) => {}
                        FileOp::Write { pos, bytes } => {
                            let mut at = 0;
                            while at < bytes.len() {
                                // Up to the next page boundary of the file.
                                let page = PAGE_BYTES - (pos + at) % PAGE_BYTES;
                                let len = page.min(bytes.len() - at);
                                if fate.survives() {
                                    put(&mut content, pos + at, &bytes[at..at + len]);
                                }
                                at += len;
                            }
                        }
                    }
                }
                Self::File { cache: content.clone(), durable: content, pending: Vec::new() }
            }
            Self::Dir { durable, pending, .. } => {
                let mut entries = durable.clone();
                for op in pending {
                    if fate.survives() {
                        apply_dir(&mut entries, op);
                    }
                }
                Self::Dir { cache: entries.clone(), durable: entries, pending: Vec::new() }
            }
        }
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

    /// What a power cut at this moment may leave. Seed 0: nothing that was not synced; seed 1: everything; any other: some.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let mut fate = Fate::of(seed);
        let nodes = self.0.lock().nodes.iter().map(|n| n.crashed(&mut fate)).collect();
        Self(Arc::new(Mutex::new(Disk { nodes, ..Disk::default() })))
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
        let mut disk = self.disk.lock();
        disk.change(Call::Sync, &self.path)?;
        self.with(&mut disk, |cache, durable, pending| {
            durable.clone_from(cache);
            pending.clear();
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
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
        let mut disk = self.0.lock();
        let id = disk.lookup(from)?;
        let (dir, name) = disk.parent(from)?;
        let (to_dir, to_name) = disk.parent(to)?;
        if dir != to_dir {
            return Err(io::Error::other("renames between directories are not recorded"));
        }
        disk.change(Call::Rename, from)?;
        disk.dir_op(dir, DirOp::Rename { from: name, to: to_name, id })
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
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
        let mut disk = self.0.lock();
        let id = disk.lookup(path)?;
        disk.change(Call::SyncDir, path)?;
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::fs::{read_file, write_all};

    #[test]
    fn what_no_sync_covered_may_be_lost_and_the_rest_may_not() {
        let fs = RecordingFs::new();
        let (dir, path) = (Path::new("/d"), Path::new("/d/f"));
        fs.mkdir(dir).unwrap();
        let file = fs.open(path, OpenMode::Create).unwrap();
        write_all(&*file, 0, b"old").unwrap();
        file.sync_data().unwrap();
        assert!(read_file(&fs.crash(0), path, 99).is_err(), "no name is durable yet");
        assert_eq!(read_file(&fs.crash(1), path, 99).unwrap(), b"old");
        fs.sync_dir(Path::new("/")).unwrap();
        fs.sync_dir(dir).unwrap();
        write_all(&*file, 0, &[b'n'; 2000]).unwrap();
        assert_eq!(read_file(&fs.crash(0), path, 9999).unwrap(), b"old");
        assert_eq!(read_file(&fs.kill(), path, 9999).unwrap(), [b'n'; 2000]);
        assert_eq!(read_file(&fs.kill().crash(0), path, 9999).unwrap(), b"old");
        let states: HashSet<Vec<u8>> = (0..200).map(|s| read_file(&fs.crash(s), path, 9999).unwrap()).collect();
        assert!(states.len() >= 12, "4 pages have 16 subsets, {} were seen", states.len());
        fs.rename(path, Path::new("/d/g")).unwrap();
        for seed in 0..50 {
            let names = fs.crash(seed).read_dir(dir).unwrap();
            assert!(names.len() == 1, "a rename is whole or not at all: {names:?}");
        }
    }
}
