//! [`Fs`] over the machine's file system, through rustix.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustix::fs::{FallocateFlags, FlockOperation};

use super::{DirEntry, Fs, FsFile, LockGuard, OpenMode, Space, read_full, write_all};

/// The machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFs;

struct RealFile(Arc<File>);

/// How much of a lock file is read to name its holder, in bytes.
const LOCK_TEXT_BYTES_MAX: usize = 256;

/// `/dev/null`, opened once.
fn nowhere() -> io::Result<&'static File> {
    static NOWHERE: OnceLock<File> = OnceLock::new();
    if let Some(file) = NOWHERE.get() {
        return Ok(file);
    }
    let file = OpenOptions::new().write(true).open("/dev/null")?;
    Ok(NOWHERE.get_or_init(|| file))
}

impl FsFile for RealFile {
    fn write_at(&self, pos: u64, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(rustix::io::pwritev(&*self.0, bufs, pos)?)
    }

    fn read_at(&self, pos: u64, buf: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(&*self.0, buf, pos)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&*self.0)?)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        Ok(rustix::fs::fallocate(&*self.0, FallocateFlags::empty(), 0, len)?)
    }

    fn start_writeback(&self, pos: u64, len: u64) {
        let (Ok(pos), Ok(len)) = (i64::try_from(pos), i64::try_from(len)) else {
            return;
        };
        // SAFETY: the call takes a descriptor, which `self` keeps open, and plain numbers; it touches no memory of ours.
        // Its result is ignored because it is a hint: the next `sync_data` reports every failure.
        unsafe {
            libc::sync_file_range(self.0.as_raw_fd(), pos, len, libc::SYNC_FILE_RANGE_WRITE);
        }
    }

    fn fetch(&self, pos: u64, len: u64) -> io::Result<()> {
        // Only a hint: a file system without it costs latency, not correctness.
        let _ = rustix::fs::fadvise(&*self.0, pos, std::num::NonZeroU64::new(len), rustix::fs::Advice::WillNeed);
        // Sending to /dev/null waits for the pages and hands over references to them; nothing is copied.
        let nowhere = nowhere()?;
        let (mut at, end) = (pos, pos.saturating_add(len));
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(usize::MAX);
            match rustix::fs::sendfile(nowhere, &*self.0, Some(&mut at), want) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn real(&self) -> Option<Arc<File>> {
        Some(Arc::clone(&self.0))
    }
}

impl Fs for RealFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FsFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(mode != OpenMode::Read)
            .create(matches!(mode, OpenMode::Create | OpenMode::Truncate))
            .truncate(mode == OpenMode::Truncate)
            .open(path)?;
        Ok(Arc::new(RealFile(Arc::new(file))))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn mkdir(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir(path)
    }

    fn rmdir(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let dir = entry.file_type()?.is_dir();
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(DirEntry { name, dir });
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Space {
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            usable_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }

    fn lock(&self, path: &Path, text: &str) -> io::Result<Result<LockGuard, String>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let locked = try_lock(RealFile(Arc::new(file)))?;
        Ok(match locked {
            Ok(file) => {
                file.set_len(0)?;
                write_all(&file, 0, text.as_bytes())?;
                Ok(Box::new(file))
            }
            Err(holder) => Err(holder),
        })
    }

    fn lock_existing(&self, path: &Path) -> io::Result<Result<LockGuard, String>> {
        let locked = try_lock(RealFile(Arc::new(File::open(path)?)))?;
        Ok(locked.map(|file| Box::new(file) as LockGuard))
    }
}

/// Locks an open file, or says what its holder wrote into it.
fn try_lock(file: RealFile) -> io::Result<Result<RealFile, String>> {
    match rustix::fs::flock(&*file.0, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Ok(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = [0; LOCK_TEXT_BYTES_MAX];
            let read = read_full(&file, 0, &mut holder)?;
            Ok(Err(String::from_utf8_lossy(&holder[..read]).trim().into()))
        }
        Err(e) => Err(e.into()),
    }
}
