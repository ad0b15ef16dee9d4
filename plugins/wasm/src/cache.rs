//! Compiled code, kept between starts.
//!
//! Compiled code is machine code: whoever can write it runs as the broker. So the directory must belong to the broker's user
//! and nobody else may enter it, which is checked on the open directory and not by its path; files are opened relative to
//! it, without following links, checked in the same way, and read into memory, so that what was checked is what is loaded.
//! A file holds the SHA-256 of what it should be; one that is damaged, cut short or of another engine is made anew.
//!
//! Invariant: what [`Cache::load`] returns was written by [`Cache::store`], under the same key, by the broker's user.

use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, fsync, mkdirat, openat, renameat, unlinkat};
use rustix::process::{geteuid, getpid};
use sha2::{Digest, Sha256};

/// How large a file may be, in bytes.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// What a file begins with; the number is that of its format.
const MAGIC: &[u8; 16] = b"watershed-wasm-1";

const DIGEST_BYTES: usize = 32;

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
    pub(crate) fn new(component: &[u8], engine: &wasmtime::Engine) -> Self {
        let mut hasher = Sha(Sha256::new_with_prefix(Sha256::digest(component)));
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
    pub(crate) fn load(&self, key: Key) -> Option<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = openat(&self.dir, key.file(), flags, Mode::empty()).ok()?;
        let stat = fstat(&file).ok()?;
        let is_ours = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && stat.st_uid == geteuid().as_raw()
            && stat.st_mode & 0o077 == 0;
        let bytes_max = u64::try_from(stat.st_size).ok().filter(|bytes| *bytes <= FILE_BYTES_MAX)?;
        if !is_ours {
            return None;
        }
        let (mut file, mut head) = (File::from(file), [0; MAGIC.len() + DIGEST_BYTES]);
        file.read_exact(&mut head).ok()?;
        let digest = head.strip_prefix(MAGIC)?;
        // Tens of MB: they go where they stay, without a copy.
        let mut code = Vec::with_capacity(usize::try_from(bytes_max).ok()?);
        file.take(FILE_BYTES_MAX).read_to_end(&mut code).ok()?;
        (digest == seal(key, &code)).then_some(code)
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

/// What tells that code is whole, and that it is the code of this key.
fn seal(key: Key, code: &[u8]) -> [u8; DIGEST_BYTES] {
    Sha256::new_with_prefix(key.0).chain_update(code).finalize().into()
}
