//! The small set of file operations that the backend is made of.
//!
//! Everything the backend does to a disk goes through [`Fs`] and [`FsFile`], so that a test can fail any call, or keep
//! page cache and medium apart and cut the power between any two calls (`recording`). Nothing here retries and
//! nothing here decides: policy lives in the callers.

mod real;
#[cfg(any(test, feature = "recording"))]
pub mod recording;

use std::fs::File;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

pub use real::RealFs;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, to read.
    Read,
    /// An existing file, to read and write.
    Write,
    /// Read and write; made if it is not there, kept as it is otherwise.
    Create,
    /// Read and write; made anew, empty.
    Truncate,
}

/// The room on a medium.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Its size in bytes.
    pub total_bytes: u64,
    /// What an unprivileged writer may still use of it.
    pub usable_bytes: u64,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The name; entries whose names are not UTF-8 are not ours and are left out.
    pub name: String,
    /// Whether it is a directory.
    pub dir: bool,
}

/// Held for as long as a lock is.
pub type LockGuard = Box<dyn Send + Sync>;

/// An open file.
pub trait FsFile: Send + Sync {
    /// One gathered write at `pos` (`pwritev`); may write less than it was given.
    ///
    /// # Errors
    /// What the system said.
    fn write_at(&self, pos: u64, bufs: &[IoSlice<'_>]) -> io::Result<usize>;

    /// One read at `pos`; 0 at the end of the file.
    ///
    /// # Errors
    /// What the system said.
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Makes content and size durable (`fdatasync`). After an error the state of the pages is unknown: never retry.
    ///
    /// # Errors
    /// What the system said.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts or extends the file.
    ///
    /// # Errors
    /// What the system said.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// The size in bytes.
    ///
    /// # Errors
    /// What the system said.
    fn size(&self) -> io::Result<u64>;

    /// Reserves blocks up to `len` bytes (`fallocate`).
    ///
    /// # Errors
    /// What the system said.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Begins to write dirty pages back without waiting (`sync_file_range`). A hint; promises nothing.
    fn start_writeback(&self, pos: u64, len: u64);

    /// Waits until a range is in the page cache, without copying it. Nothing to do where there is no real file.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::UnexpectedEof`] where the file ends before the range does.
    fn fetch(&self, _pos: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }

    /// The real file, where there is one, for `sendfile`.
    fn real(&self) -> Option<Arc<File>>;
}

/// A file system.
pub trait Fs: Send + Sync {
    /// Opens a file.
    ///
    /// # Errors
    /// What the system said.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>>;

    /// Renames a file or directory, over an existing file.
    ///
    /// # Errors
    /// What the system said.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name.
    ///
    /// # Errors
    /// What the system said.
    fn unlink(&self, path: &Path) -> io::Result<()>;

    /// Makes one directory; its being there already is an error, as the system says.
    ///
    /// # Errors
    /// What the system said.
    fn mkdir(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// What the system said.
    fn rmdir(&self, path: &Path) -> io::Result<()>;

    /// Makes a directory's entries durable.
    ///
    /// # Errors
    /// What the system said.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// What the system said.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// The room on the medium that holds `path`.
    ///
    /// # Errors
    /// What the system said.
    fn space(&self, path: &Path) -> io::Result<Space>;

    /// Takes an exclusive lock on the file `path` (made if needed) and writes `text` into it. `Ok(Err(holder))` when
    /// another process has it, with the text that one wrote.
    ///
    /// # Errors
    /// What the system said.
    fn lock(&self, path: &Path, text: &str) -> io::Result<Result<LockGuard, String>>;

    /// The same on a lock file that must be there, and without writing to it.
    ///
    /// # Errors
    /// What the system said.
    fn lock_existing(&self, path: &Path) -> io::Result<Result<LockGuard, String>>;
}

/// Whether an error means that there is no room.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Reads until `buf` is full or the file ends; returns the bytes read.
///
/// # Errors
/// What the system said.
pub fn read_full(file: &dyn FsFile, pos: u64, buf: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match file.read_at(pos + done as u64, &mut buf[done..]) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Writes all of `bytes` at `pos`.
///
/// # Errors
/// What the system said; part of the bytes may be written then.
pub fn write_all(file: &dyn FsFile, mut pos: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(pos, &[IoSlice::new(bytes)]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                pos += n as u64;
                bytes = &bytes[n..];
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// A whole file's content, if it is no longer than `max` bytes.
///
/// # Errors
/// What the system said, or `FileTooLarge`.
pub fn read_file(fs: &dyn Fs, path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let file = fs.open(path, OpenMode::Read)?;
    let size = file.size()?;
    if size > max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(|_| io::ErrorKind::FileTooLarge)?];
    let read = read_full(&*file, 0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}
