//! A segment's files: opened when needed, closed when idle, kept readable by whoever still holds a handle.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use watershed_model::Offset;

use crate::fs::{Fs, FsFile, OpenMode};
use crate::index::Index;
use crate::log::Unchecked;

/// The ending of segment files.
pub(crate) const LOG_SUFFIX: &str = ".log";
/// The ending of index files.
pub(crate) const INDEX_SUFFIX: &str = ".index";
/// Digits of the offset in file names, so that names sort as offsets do.
const NAME_DIGITS: usize = 20;

/// The name of a file of segment `base` with this ending. A segment that was rewritten has its count of rewrites in it, so that
/// no two contents ever share a name.
pub(crate) fn file_name(base: Offset, rewrites: u32, suffix: &str) -> String {
    match rewrites {
        0 => format!("{:020}{suffix}", base.0),
        n => format!("{:020}.{n}{suffix}", base.0),
    }
}

/// Base and count of rewrites in such a name, if it is one.
pub(crate) fn parse_file(name: &str, suffix: &str) -> Option<(i64, u32)> {
    if let Some(base) = parse_name(name, suffix) {
        return Some((base, 0));
    }
    let (base, n) = name.strip_suffix(suffix)?.split_once('.')?;
    let rewrites = n.parse().ok().filter(|n: &u32| *n > 0)?;
    // Only what we write ourselves: neither a sign nor leading zeros.
    (rewrites.to_string() == n).then_some((parse_name(base, "")?, rewrites))
}

/// The number that such a name begins with, if it is one.
pub(crate) fn parse_name(name: &str, suffix: &str) -> Option<i64> {
    let digits = name.strip_suffix(suffix)?;
    let right = digits.len() == NAME_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    right.then(|| digits.parse().ok()).flatten()
}

/// A segment as files.
pub(crate) struct Segment {
    pub(crate) base: Offset,
    path: PathBuf,
    index_path: PathBuf,
    handle: Mutex<Option<Arc<dyn FsFile>>>,
    /// When the file was last asked for, in milliseconds of the clock.
    used_ms: AtomicU64,
    /// Has bytes that no sync covered. Such a file is not closed: a failure of its writeback would be reported to nobody.
    pub(crate) dirty: AtomicBool,
    /// The index of a sealed segment, while it is needed.
    pub(crate) index: Mutex<Option<Arc<Index>>>,
    /// What must be checked before it is served.
    pub(crate) unchecked: Unchecked,
}

impl Segment {
    pub(crate) fn new(dir: &Path, base: Offset, rewrites: u32) -> Arc<Self> {
        Arc::new(Self {
            base,
            path: dir.join(file_name(base, rewrites, LOG_SUFFIX)),
            index_path: dir.join(file_name(base, rewrites, INDEX_SUFFIX)),
            handle: Mutex::new(None),
            used_ms: AtomicU64::new(0),
            dirty: AtomicBool::new(false),
            index: Mutex::new(None),
            unchecked: Unchecked::default(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn index_path(&self) -> &Path {
        &self.index_path
    }

    /// The open file, if it is open.
    pub(crate) fn opened(&self) -> Option<Arc<dyn FsFile>> {
        self.handle.lock().clone()
    }

    fn close_if_idle(&self, now_ms: u64, idle_ms: u64) -> bool {
        let idle = now_ms.saturating_sub(self.used_ms.load(Ordering::Relaxed)) >= idle_ms;
        if !idle || self.dirty.load(Ordering::Acquire) {
            return false;
        }
        *self.handle.lock() = None;
        *self.index.lock() = None;
        true
    }
}

/// Keeps count of the open segment files and closes those that nobody used for longest.
pub(crate) struct FileCache {
    fs: Arc<dyn Fs>,
    max: usize,
    open: Mutex<VecDeque<Weak<Segment>>>,
}

fn millis(t: Duration) -> u64 {
    u64::try_from(t.as_millis()).unwrap_or(u64::MAX)
}

impl FileCache {
    pub(crate) fn new(fs: Arc<dyn Fs>, max: usize) -> Self {
        Self { fs, max: max.max(1), open: Mutex::default() }
    }

    /// A segment's file; opened if it is not. `create` makes it anew.
    pub(crate) fn get(&self, segment: &Arc<Segment>, now: Duration, create: bool) -> io::Result<Arc<dyn FsFile>> {
        segment.used_ms.store(millis(now), Ordering::Relaxed);
        let file = {
            let mut handle = segment.handle.lock();
            if let Some(file) = handle.as_ref().filter(|_| !create) {
                return Ok(Arc::clone(file));
            }
            let mode = if create { OpenMode::Truncate } else { OpenMode::Write };
            let file = self.fs.open(&segment.path, mode)?;
            *handle = Some(Arc::clone(&file));
            file
        };
        let mut open = self.open.lock();
        open.push_back(Arc::downgrade(segment));
        if open.len() > self.max {
            // One full turn at most: the oldest that may be closed goes.
            for _ in 0..open.len() {
                let Some(oldest) = open.pop_front() else {
                    break;
                };
                let Some(live) = oldest.upgrade() else {
                    break;
                };
                if !Arc::ptr_eq(&live, segment) && live.close_if_idle(millis(now), 0) {
                    break;
                }
                open.push_back(oldest);
            }
        }
        Ok(file)
    }

    /// Closes what was idle for `idle`; returns how many stay open.
    pub(crate) fn sweep(&self, now: Duration, idle: Duration) -> usize {
        let mut open = self.open.lock();
        open.retain(|segment| {
            segment.upgrade().is_some_and(|s| s.opened().is_some() && !s.close_if_idle(millis(now), millis(idle)))
        });
        open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for (base, rewrites) in [(0, 0), (7, 1), (i64::MAX, 0), (12_345, u32::MAX)] {
            let name = file_name(Offset(base), rewrites, LOG_SUFFIX);
            assert_eq!(parse_file(&name, LOG_SUFFIX), Some((base, rewrites)), "{name}");
            assert_eq!(parse_file(&name, INDEX_SUFFIX), None, "{name}");
        }
        for rest in ["", ".0", ".01", ".+1", ".-1", ".1.2", ".x", ".99999999999", ".1.deleted"] {
            let name = format!("{:020}{rest}.log", 5);
            assert_eq!(parse_file(&name, LOG_SUFFIX).is_some(), rest.is_empty(), "{name}");
        }
    }
}
