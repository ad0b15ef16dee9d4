//! A sealed segment that is written anew: with some of its frames, or with smaller ones in their places.
//!
//! The new file has a name of its own, with a count of rewrites in it. It is written beside the old one, made durable, and
//! named; then a state file that lists it is what makes it count, in one step and for the next start too, and then the old one
//! goes, for good before anything else changes. A power cut leaves one of the two, and whichever file the state file does not list is removed at the start. A segment
//! of which nothing is left is listed as gone until its file's removal is durable.
//!
//! Readers that found a place in the old file go on in it: an open file stays readable, and who comes too late to open it
//! looks again.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use watershed_model::{LeaderEpoch, Offset};
use watershed_storage::{Frame, Fut, SegmentRewrite, StorageError, check_rewritten};

use super::append::write_frames;
use super::checkpoint::Snapshot;
use super::{Entry, Log, State, meta_of};
use crate::codec::TEMP_SUFFIX;
use crate::fs::{FsFile, OpenMode};
use crate::index::Index;
use crate::segment::Segment;
use crate::state::Facts;

/// A rewrite as the layer above holds it.
struct DiskRewrite(Arc<Mutex<Rewrite>>);

struct Rewrite {
    log: Arc<Log>,
    /// The segment as it was, and the log's count of truncations then.
    old: Entry,
    generation: u64,
    interval: u32,
    segment: Arc<Segment>,
    facts: Facts,
    index: Index,
    behind: (Offset, LeaderEpoch),
    temp: PathBuf,
    /// Made at the first frame.
    file: Option<Arc<dyn FsFile>>,
    /// A write failed: what the file holds is unknown.
    failed: bool,
}

impl Log {
    pub(super) fn begin_rewrite(self: &Arc<Self>, base: Offset) -> Result<Box<dyn SegmentRewrite>, StorageError> {
        self.shared.check()?;
        let mut st = self.state.lock();
        st.check()?;
        let found = st.segments.iter().find(|e| e.facts.base == base);
        let Some(old) = found.filter(|e| e.facts.sealed && e.facts.end <= st.ends.synced).cloned() else {
            return Err(StorageError::Invalid(format!("there is no segment at {base} that is sealed and synced")));
        };
        if std::mem::replace(&mut st.rewriting, true) {
            return Err(StorageError::Invalid("another segment of the log is being rewritten".into()));
        }
        let epoch = st.segments.iter().take_while(|e| e.facts.base < base).last().map(|e| e.facts.last_epoch);
        let mut facts = Facts::empty(base, epoch.unwrap_or(LeaderEpoch::NONE), old.facts.modified);
        (facts.rewrites, facts.sealed) = (old.facts.rewrites + 1, true);
        let segment = Segment::new(&self.dir, base, facts.rewrites);
        let mut temp = segment.path().as_os_str().to_owned();
        temp.push(TEMP_SUFFIX);
        let rewrite = Rewrite {
            log: Arc::clone(self),
            old,
            generation: st.ends.generation,
            interval: st.config.index_interval_bytes,
            segment,
            facts,
            index: Index::starting_at(0),
            behind: (base, facts.last_epoch),
            temp: temp.into(),
            file: None,
            failed: false,
        };
        drop(st);
        Ok(Box::new(DiskRewrite(Arc::new(Mutex::new(rewrite)))))
    }
}

impl SegmentRewrite for DiskRewrite {
    fn write(&mut self, frames: Vec<Frame>) -> Fut<'_, ()> {
        let rewrite = Arc::clone(&self.0);
        let log = Arc::clone(&self.0.lock().log);
        log.shared.work.run(move || rewrite.lock().write(&frames))
    }

    fn commit(self: Box<Self>) -> Fut<'static, ()> {
        let rewrite = self.0;
        let log = Arc::clone(&rewrite.lock().log);
        log.shared.work.run(move || rewrite.lock().commit())
    }
}

impl Drop for Rewrite {
    fn drop(&mut self) {
        if self.file.is_some() {
            // Removing the leftover is a courtesy; the next start does it too.
            let _ = self.log.shared.fs.unlink(&self.temp);
        }
        self.log.state.lock().rewriting = false;
    }
}

impl Rewrite {
    fn write(&mut self, frames: &[Frame]) -> Result<(), StorageError> {
        let shared = &self.log.shared;
        shared.check_room()?;
        if self.failed {
            return Err(StorageError::Invalid("an earlier write of this rewrite failed".into()));
        }
        self.failed = true;
        self.behind = check_rewritten(&meta_of(&self.old.facts), self.behind, frames)?;
        let action = || format!("writing {}", self.temp.display());
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => shared.fs.open(&self.temp, OpenMode::Truncate).map_err(|e| shared.write_error(action(), e))?,
        };
        let file = self.file.insert(file);
        let begin = self.facts.bytes;
        write_frames(&**file, begin, frames).map_err(|e| shared.write_error(action(), e))?;
        for frame in frames {
            self.index.add(&frame.meta, self.facts.bytes, self.facts.before(), self.interval);
            self.facts.add(&frame.meta);
        }
        // So that dirty pages never pile up.
        file.start_writeback(begin, self.facts.bytes - begin);
        self.failed = false;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StorageError> {
        let log = Arc::clone(&self.log);
        log.shared.check_room()?;
        if self.failed {
            return Err(StorageError::Invalid("an earlier write of this rewrite failed".into()));
        }
        let file = self.file.take().filter(|_| self.facts.bytes > 0);
        if let Some(file) = &file {
            file.sync_data().map_err(|e| log.shared.go_offline(&format!("syncing {}", self.temp.display()), &e))?;
        }
        // Whoever makes the log shorter holds it, too.
        let mut book = log.book.lock();
        let snapshot = {
            let st = log.state.lock();
            st.check()?;
            self.check(&st)?;
            self.snapshot(&st)
        };
        if file.is_some() {
            self.name_files(&log)?;
        }
        if let Err(e) = log.write_state(&mut book, snapshot, &[]) {
            // After a failed sync the state file may be there, and list them.
            if !matches!(e, StorageError::Offline { .. }) {
                self.remove_files(&log);
            }
            return Err(e);
        }
        let delay = {
            let mut st = log.state.lock();
            self.swap(&mut st);
            st.config.delete_delay
        };
        log.shared.doom(self.old.segment.path(), delay);
        log.shared.doom(self.old.segment.index_path(), delay);
        // Until then it is this state file that says that the old files do not count, and a later one need not.
        log.sync_names(false)
    }

    /// Fails if the segment is not what it was.
    fn check(&self, st: &State) -> Result<(), StorageError> {
        let same = st.ends.generation == self.generation && st.is_current(&self.old.segment);
        let base = self.facts.base;
        same.then_some(()).ok_or_else(|| StorageError::Invalid(format!("the segment at {base} has changed meanwhile")))
    }

    /// What the state file is to say.
    fn snapshot(&self, st: &State) -> Snapshot {
        let mut snapshot = st.snapshot();
        if self.facts.bytes == 0 {
            snapshot.segments.retain(|s| s.base != self.facts.base);
            snapshot.gone.push(self.facts.base);
        } else if let Some(listed) = snapshot.segments.iter_mut().find(|s| s.base == self.facts.base) {
            *listed = self.facts;
        }
        snapshot
    }

    /// Gives the new files their names, durable on return: before a state file lists them.
    fn name_files(&self, log: &Log) -> Result<(), StorageError> {
        let named = log.shared.fs.rename(&self.temp, self.segment.path());
        named.map_err(|e| log.shared.write_error(format!("naming {}", self.segment.path().display()), e))?;
        if let Err(e) = log.save_index(&self.segment, &self.index).and_then(|()| log.sync_names(false)) {
            self.remove_files(log);
            return Err(e);
        }
        Ok(())
    }

    /// Nothing came of it. What cannot be removed, the next start removes.
    fn remove_files(&self, log: &Log) {
        for path in [self.segment.path(), self.segment.index_path()] {
            let _ = log.shared.fs.unlink(path);
        }
    }

    /// Puts the new segment in the place of the old one, in memory.
    fn swap(&self, st: &mut State) {
        let base = self.facts.base;
        let at = st.segments.partition_point(|e| e.facts.base < base);
        let empty = self.facts.bytes == 0;
        if empty {
            st.segments.remove(at);
        } else {
            let mut entry = Entry::new(Arc::clone(&self.segment), self.facts);
            entry.index_saved = true;
            st.segments[at] = entry;
        }
        if st.synced.base == base {
            // It was the last that is synced; what comes behind it is not yet.
            let next = st.segments[at].facts;
            st.synced =
                if empty { Facts::empty(next.base, self.old.facts.last_epoch, next.modified) } else { self.facts };
        }
        // Of what is remembered, nothing may be missing in the middle.
        while st.recents.front().is_some_and(|r| r.segment <= base) {
            st.recents.pop_front();
        }
        st.cursors.retain(|c| c.segment != base);
    }
}
