//! What makes a log shorter: truncation, reset, a later start; and its end: close and destroy.
//!
//! The state file goes first, so that a power cut in the middle is never taken for damage: it says that nothing above
//! the cut was promised. Then memory, then the files, the highest first.

use std::io;
use std::path::Path;
use std::sync::Arc;

use watershed_model::{LeaderEpoch, Offset, Timestamp};
use watershed_storage::{Blob, StorageError};

use super::checkpoint::Snapshot;
use super::{Book, Checkpoint, Entry, Log, State, new_entry};
use crate::index::Index;
use crate::shared::Place;
use crate::state::Facts;

impl State {
    fn out_of_range(&self, offset: Offset) -> StorageError {
        StorageError::OutOfRange { offset, start: self.ends.start, end: self.ends.end }
    }

    /// The segment in which a cut at `to` lies, which will be the last: how many are below it, itself, whether it is new (rewrites may
    /// have left nothing below the cut), and what it would be without a frame.
    fn segment_of_cut(&self, dir: &Path, to: Offset, now: Timestamp) -> (usize, Entry, bool, Facts) {
        let below = self.segments.partition_point(|e| e.facts.base <= to);
        let n = below.saturating_sub(1);
        let is_new = below == 0;
        let entry = if is_new { new_entry(dir, to, LeaderEpoch::NONE, now) } else { self.segments[n].clone() };
        let before = n.checked_sub(1).map(|before| &self.segments[before].facts);
        let epoch = before.map_or(LeaderEpoch::NONE, |before| before.last_epoch);
        let mut empty = Facts::empty(entry.facts.base, epoch, entry.facts.modified);
        empty.rewrites = entry.facts.rewrites;
        (n, entry, is_new, empty)
    }

    /// Takes note that the log ends at `end` now and everything above is no more. Returns what waited for it.
    fn end_at(&mut self, end: Offset, synced: Facts) -> Vec<Checkpoint> {
        self.ends.generation += 1;
        self.cuts += 1;
        self.ends.end = end;
        self.ends.synced = end;
        self.ends.promised = end;
        self.synced = synced;
        self.cursors.clear();
        while self.recents.back().is_some_and(|r| r.last >= end) {
            self.recents.pop_back();
        }
        let (stay, go) = std::mem::take(&mut self.checkpoints).into_iter().partition(|c| c.end <= end);
        self.checkpoints = stay;
        Vec::from(go)
    }
}

fn fail_truncated(checkpoints: Vec<Checkpoint>) {
    for checkpoint in checkpoints {
        checkpoint.promise.fail(StorageError::Truncated);
    }
}

impl Log {
    pub(super) fn truncate(self: &Arc<Self>, to: Offset) -> Result<(), StorageError> {
        self.shared.check()?;
        let mut writer = self.writer.lock();
        let _round = self.round.lock();
        // What stays must be durable before the state file says that it is.
        self.sync_locked()?;
        let mut book = self.book.lock();
        let (n, entry, is_new, before) = {
            let st = self.state.lock();
            st.check()?;
            if to >= st.ends.end {
                return Ok(());
            }
            if to < st.ends.start {
                return Err(st.out_of_range(to));
            }
            st.segment_of_cut(&self.dir, to, self.shared.clock().now())
        };
        let (mut at, index) = self.facts_at(&entry.segment, &entry.facts, before, to)?;
        // An empty segment is not listed, and the file of a rewritten one counts only where it is: the log goes on in another.
        let is_replaced = at.bytes == 0 && at.rewrites > 0;
        let entry = if is_replaced { new_entry(&self.dir, at.base, at.last_epoch, at.modified) } else { entry };
        at.rewrites = entry.facts.rewrites;
        let (snapshot, end) = {
            let st = self.state.lock();
            // A cut inside the frame that holds the start leaves nothing of the log, and the start where it is.
            let end = at.end.max(st.ends.start);
            let mut segments: Vec<Facts> = st.segments.range(..n).map(|e| e.facts).collect();
            if at.bytes > 0 {
                segments.push(at);
            }
            let (start, cuts) = (st.ends.start, st.cuts + 1);
            (Snapshot { start, recovery_point: end, segments, gone: Vec::new(), cuts }, end)
        };
        self.write_cut(&mut book, snapshot, end, &[])?;
        let (removed, failed, known) = {
            let mut st = self.state.lock();
            if is_new {
                st.segments.push_front(entry.clone());
            }
            let removed = st.segments.split_off(if is_replaced { n } else { n + 1 });
            if is_replaced {
                st.segments.push_back(entry.clone());
            }
            let active = st.active_mut();
            active.facts = at;
            active.dirty = false;
            active.index_saved = false;
            *active.segment.index.lock() = None;
            active.segment.unchecked.cut(at.bytes);
            st.active_index = index;
            let failed = st.end_at(end, at);
            st.publish();
            (removed, failed, st.known())
        };
        writer.hinted = at.bytes;
        fail_truncated(failed);
        self.note_ends(known);
        self.remove_now(removed.iter().rev())?;
        if entry.created {
            self.cut_file(&entry, at.bytes)?;
        }
        Ok(())
    }

    /// Writes the state file of a cut. Blobs above it are no more; they stay if the writing fails.
    fn write_cut(&self, book: &mut Book, snapshot: Snapshot, end: Offset, blobs: &[Blob]) -> Result<(), StorageError> {
        let saved = book.blobs.clone();
        book.blobs.retain(|b| b.at <= end);
        let written = self.write_state(book, snapshot, blobs);
        if written.is_err() {
            book.blobs = saved;
        }
        written
    }

    /// Removes segments' files for good; they are gone from the directory on return.
    fn remove_now<'a>(&self, highest_first: impl Iterator<Item = &'a Entry>) -> Result<(), StorageError> {
        for entry in highest_first {
            for path in [entry.segment.path(), entry.segment.index_path()] {
                match self.shared.fs.unlink(path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => {
                        // Left there, it would come back as part of the log.
                        let action = format!("removing {}", path.display());
                        return Err(self.shared.go_offline(&action, &e));
                    }
                    _ => {}
                }
            }
            // One by one: were a lower one gone and a higher one back after a power cut, the log would have a hole.
            self.sync_names(false)?;
        }
        Ok(())
    }

    /// Shortens a segment's file, durable on return, and drops its stored index.
    fn cut_file(&self, entry: &Entry, bytes: u64) -> Result<(), StorageError> {
        let index = entry.segment.index_path();
        match self.shared.fs.unlink(index) {
            Ok(()) => self.sync_names(false)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => {
                let action = format!("removing {}", index.display());
                return Err(self.shared.go_offline(&action, &e));
            }
        }
        let cut = self.file(&entry.segment).and_then(|file| {
            file.set_len(bytes)?;
            file.sync_data()
        });
        cut.map_err(|e| {
            let action = format!("cutting {} to {bytes}", entry.segment.path().display());
            self.shared.go_offline(&action, &e)
        })
    }

    pub(super) fn reset(self: &Arc<Self>, next: Offset, blobs: &[Blob]) -> Result<(), StorageError> {
        self.shared.check()?;
        if next < Offset::ZERO || blobs.iter().any(|b| b.at > next) {
            let text = format!("cannot begin again at {next} with blobs above it");
            return Err(StorageError::Invalid(text));
        }
        let mut writer = self.writer.lock();
        let _round = self.round.lock();
        let mut book = self.book.lock();
        let (start, cuts) = {
            let st = self.state.lock();
            st.check()?;
            (st.ends.start, st.cuts + 1)
        };
        let nothing =
            |start: Offset| Snapshot { start, recovery_point: start, segments: Vec::new(), gone: Vec::new(), cuts };
        // First: nothing above the old start is promised. Then the files go. Then the log begins elsewhere.
        self.write_cut(&mut book, nothing(start), Offset(-1), &[])?;
        let (removed, promises, failed, bytes) = {
            let mut st = self.state.lock();
            let active = new_entry(&self.dir, next, LeaderEpoch::NONE, self.shared.clock().now());
            let facts = active.facts;
            let removed = std::mem::take(&mut st.segments);
            st.segments.push_back(active);
            st.active_index = Index::starting_at(0);
            st.ends.start = next;
            let mut failed = st.end_at(next, facts);
            failed.extend(std::mem::take(&mut st.checkpoints));
            st.recents.clear();
            st.publish();
            let promises = std::mem::take(&mut st.promises);
            (removed, promises, failed, std::mem::take(&mut st.dirty_bytes))
        };
        writer.hinted = 0;
        self.shared.release(bytes);
        fail_truncated(failed);
        promises.into_iter().for_each(|p| p.fail(StorageError::Truncated));
        self.remove_now(removed.iter().rev())?;
        self.write_cut(&mut book, nothing(next), next, blobs)?;
        let known = self.state.lock().known();
        self.note_ends(known);
        Ok(())
    }

    pub(super) fn advance_start(self: &Arc<Self>, to: Offset) -> Result<(), StorageError> {
        self.shared.check()?;
        let (to, ahead) = {
            let st = self.state.lock();
            st.check()?;
            let to = to.min(st.ends.end);
            (to, to > st.ends.synced)
        };
        if ahead {
            // A start above what is durable would outlive the records below it.
            self.sync_round()?;
        }
        let mut book = self.book.lock();
        let snapshot = {
            let st = self.state.lock();
            st.check()?;
            if to <= st.ends.start {
                return Ok(());
            }
            if to > st.ends.synced {
                return Err(st.out_of_range(to));
            }
            let mut snapshot = st.snapshot();
            snapshot.start = to;
            let below = st.wholly_below(to);
            let first = st.segments[below].facts.base;
            snapshot.segments.retain(|s| s.base >= first);
            snapshot
        };
        self.write_state(&mut book, snapshot, &[])?;
        let (removed, delay, known) = {
            let mut st = self.state.lock();
            st.check()?;
            st.ends.start = to;
            let below = st.wholly_below(to);
            let rest = st.segments.split_off(below);
            let removed = std::mem::replace(&mut st.segments, rest);
            st.publish();
            (removed, st.config.delete_delay, st.known())
        };
        self.note_ends(known);
        for entry in removed {
            // Handles that are open stay usable; whoever still has to open it finds the log start moved.
            self.shared.doom(entry.segment.path(), delay);
            self.shared.doom(entry.segment.index_path(), delay);
        }
        Ok(())
    }

    /// Makes everything durable and lets go of the files.
    pub(crate) fn close(self: &Arc<Self>) -> Result<(), StorageError> {
        // Held to the end: an append that comes now finds the log gone.
        let _writer = self.writer.lock();
        if self.state.lock().gone {
            return Ok(());
        }
        let outcome = self.settle();
        let failure = outcome.clone().err().unwrap_or(StorageError::Gone);
        {
            let mut st = self.state.lock();
            st.gone = true;
            st.progress = None;
            st.recents.clear();
        }
        self.fail_waiters(&failure);
        self.forget();
        outcome
    }

    fn settle(self: &Arc<Self>) -> Result<(), StorageError> {
        self.sync_round()?;
        self.run_checkpoints();
        let mut book = self.book.lock();
        let (active, index) = {
            let st = self.state.lock();
            let active = st.active().clone();
            let whole = st.active_index.from_pos == 0 && active.facts.bytes > 0;
            let index = (whole && !active.index_saved).then(|| st.active_index.clone());
            (active, index)
        };
        if let Some(index) = index {
            self.save_index(&active.segment, &index)?;
        }
        let (snapshot, untouched) = {
            let st = self.state.lock();
            (st.snapshot(), !st.dir_made)
        };
        if untouched {
            return Ok(());
        }
        self.write_state(&mut book, snapshot, &[])
    }

    /// After opening: bounds the next recovery by what this one found.
    pub(crate) fn write_recovered(&self) -> Result<(), StorageError> {
        let mut book = self.book.lock();
        let (snapshot, known, made) = {
            let st = self.state.lock();
            (st.snapshot(), st.known(), st.dir_made)
        };
        if !made {
            return Ok(());
        }
        let end = snapshot.recovery_point;
        self.write_cut(&mut book, snapshot, end, &[])?;
        self.note_ends(known);
        Ok(())
    }

    /// Ends the log for good and takes its directory out of the way, durable on return.
    pub(crate) fn destroy(self: &Arc<Self>) -> Result<(), StorageError> {
        let _writer = self.writer.lock();
        let _round = self.round.lock();
        let _book = self.book.lock();
        let (delay, bytes) = {
            let mut st = self.state.lock();
            st.gone = true;
            st.progress = None;
            st.recents.clear();
            (st.config.delete_delay, std::mem::take(&mut st.dirty_bytes))
        };
        self.shared.release(bytes);
        self.fail_waiters(&StorageError::Gone);
        self.shared.remove_partition(self.tp, delay)
    }

    /// Leaves the list of open logs, unless another incarnation is in it.
    fn forget(self: &Arc<Self>) {
        let mut logs = self.shared.logs.lock();
        if let Some(Place::Open(log)) = logs.get(&self.tp)
            && Arc::ptr_eq(log, self)
        {
            logs.remove(&self.tp);
        }
    }
}

impl State {
    /// How many segments lie wholly below `start`; the active one never does.
    fn wholly_below(&self, start: Offset) -> usize {
        let below = self.segments.partition_point(|e| e.facts.end <= start);
        below.min(self.segments.len() - 1)
    }
}
