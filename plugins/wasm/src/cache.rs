//! Compiled code, kept between starts.
//!
//! Compiled code is machine code: whoever can write it runs as the broker. So the directory must belong to the broker's user
//! and nobody else may enter it, which is checked on the open directory and not by its path; files are opened relative to
//! it, without following links, checked in the same way, and copied into sealed memory, so that what was checked is what is
//! mapped, whatever becomes of the file. A file holds the SHA-256 of what it should be; one that is damaged, cut short or of
//! another engine is made anew.
//!
//! Invariant: what [`Cache::load`] returns was written by [`Cache::store`], under the same key, by the broker's user.

use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{
    AtFlags, FileType, MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, fstat, fsync, memfd_create, mkdirat,
    openat, renameat, unlinkat,
};
use rustix::process::{geteuid, getpid};
use sha2::{Digest, Sha256};

/// How large a file may be, in bytes.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// What a file begins with; the number is that of its format.
const MAGIC: &[u8; 16] = b"watershed-wasm-1";

const DIGEST_BYTES: usize = 32;

/// How much is hashed and copied at once, in bytes: what stays in a processor's cache.
const COPY_BYTES: usize = 128 << 10;

/// A directory that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the cache of compiled plugins, {}, cannot be used: {reason}", path.display())]
pub struct CacheError {
    /// The directory.
    pub path: PathBuf,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// The name under which compiled code is kept: what it was compiled from, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key([u8; DIGEST_BYTES]);

impl Key {
    /// The key of a component with this SHA-256.
    pub(crate) fn new(component: [u8; DIGEST_BYTES], engine: &wasmtime::Engine) -> Self {
        let mut hasher = Sha(Sha256::new_with_prefix(component));
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self(hasher.0.finalize().into())
    }

    fn file(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + ".code"
    }
}

/// A hasher that forgets nothing.
struct Sha(Sha256);

impl Hasher for Sha {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("the digest is taken instead")
    }
}

/// A directory of compiled code.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: OwnedFd,
}

impl Cache {
    /// Opens the directory, which is made if it is not there.
    pub(crate) fn open(path: &Path) -> Result<Self, CacheError> {
        let bad = |reason: String| CacheError { path: path.to_owned(), reason };
        match mkdirat(rustix::fs::CWD, path, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(bad(format!("it cannot be made: {error}"))),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let dir = openat(rustix::fs::CWD, path, flags, Mode::empty()).map_err(|error| bad(error.to_string()))?;
        let stat = fstat(&dir).map_err(|error| bad(error.to_string()))?;
        if stat.st_uid != geteuid().as_raw() {
            return Err(bad(format!("it belongs to user {}, and must belong to the broker's", stat.st_uid)));
        }
        let mode = stat.st_mode & 0o777;
        if mode & 0o077 != 0 {
            return Err(bad(format!("its mode is {mode:03o}, and nobody else may enter it: chmod 700")));
        }
        Ok(Self { dir })
    }

    /// The compiled code of a key, if it is there and whole.
    ///
    /// # Errors
    /// When the system gives no memory for it.
    pub(crate) fn load(&self, key: Key) -> io::Result<Option<Kept>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let Ok(file) = openat(&self.dir, key.file(), flags, Mode::empty()) else { return Ok(None) };
        let stat = fstat(&file)?;
        let is_ours = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && stat.st_uid == geteuid().as_raw()
            && stat.st_mode & 0o077 == 0;
        if !is_ours {
            return Ok(None);
        }
        let (mut file, mut head) = (File::from(file), [0; MAGIC.len() + DIGEST_BYTES]);
        if file.read_exact(&mut head).is_err() {
            return Ok(None);
        }
        let Some(digest) = head.strip_prefix(MAGIC) else { return Ok(None) };
        let (kept, found) = copy(file.take(FILE_BYTES_MAX), Sha256::new_with_prefix(key.0))?;
        Ok((digest == found).then_some(kept))
    }

    /// Keeps the compiled code of a key. Readers see all of it or nothing.
    pub(crate) fn store(&self, key: Key, code: &[u8]) -> io::Result<()> {
        static STORED: AtomicU64 = AtomicU64::new(0);
        let number = STORED.fetch_add(1, Ordering::Relaxed);
        let (name, temporary) = (key.file(), format!("{}.{}.{number}.tmp", key.file(), getpid().as_raw_nonzero()));
        // What an earlier process of this number left behind.
        let _ = unlinkat(&self.dir, &temporary, AtFlags::empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut file = File::from(openat(&self.dir, &temporary, flags, Mode::RUSR | Mode::WUSR)?);
        let written = [&MAGIC[..], &seal(key, code), code].iter().try_for_each(|part| file.write_all(part));
        let written = written.and_then(|()| Ok(fsync(&file)?));
        let kept = written.and_then(|()| Ok(renameat(&self.dir, &temporary, &self.dir, &name)?));
        if kept.is_err() {
            let _ = unlinkat(&self.dir, &temporary, AtFlags::empty());
        }
        kept
    }
}

/// Compiled code in memory that nobody can write to any more.
#[derive(Debug)]
pub(crate) struct Kept(OwnedFd);

impl Kept {
    /// By which it can be opened while this is there.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

/// Copies what is left of a file, and says what its digest is.
fn copy(mut from: impl Read, mut digest: Sha256) -> io::Result<(Kept, [u8; DIGEST_BYTES])> {
    let memory = memfd_create("compiled-plugin", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut memory = File::from(memory);
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        digest.update(&buffer[..read]);
        memory.write_all(&buffer[..read])?;
    }
    fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok((Kept(memory.into()), digest.finalize().into()))
}

/// What tells that code is whole, and that it is the code of this key.
fn seal(key: Key, code: &[u8]) -> [u8; DIGEST_BYTES] {
    Sha256::new_with_prefix(key.0).chain_update(code).finalize().into()
}
