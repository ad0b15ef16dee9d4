//! Group-commit rounds: sync what was appended, then publish how far the log is durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use watershed_storage::{Promise, StorageError};

use super::append::st_is_urgent;
use super::{Log, State};
use crate::segment::Segment;
use crate::state::Facts;

/// What a round is about, taken before its first sync.
struct Capture {
    generation: u64,
    bytes: u64,
    dir_fresh: bool,
    segments: Vec<Dirty>,
}

struct Dirty {
    segment: Arc<Segment>,
    facts: Facts,
    fresh: bool,
}

impl State {
    fn capture(&mut self) -> Option<Capture> {
        // Dirty segments are the last ones; walking from the back finds them without looking at the rest.
        let first =
            self.segments.len() - self.segments.iter().rev().take_while(|e| e.dirty || e.facts.bytes == 0).count();
        let mut segments = Vec::new();
        for entry in self.segments.range_mut(first..).filter(|e| e.dirty) {
            entry.dirty = false;
            segments.push(Dirty { segment: Arc::clone(&entry.segment), facts: entry.facts, fresh: entry.fresh });
        }
        if segments.is_empty() {
            return None;
        }
        Some(Capture {
            generation: self.ends.generation,
            bytes: std::mem::take(&mut self.dirty_bytes),
            dir_fresh: self.dir_fresh,
            segments,
        })
    }
}

impl Log {
    /// What a sync thread does for a queued partition.
    pub(crate) fn run_queued_round(self: &Arc<Self>) {
        {
            let mut st = self.state.lock();
            st.queued = None;
            if st.in_flight {
                // Another thread has it and looks again when it is done.
                return;
            }
            st.in_flight = true;
            st.last_round = self.shared.elapsed();
        }
        // A failure has reached every ticket by now.
        let failed = self.sync_round().is_err();
        let mut st = self.state.lock();
        st.in_flight = false;
        if !failed && st.segments.iter().rev().take(2).any(|e| e.dirty) {
            self.schedule(&mut st, st_is_urgent);
        }
    }

    /// Makes everything appended so far durable and publishes it. Returns when that is so.
    pub(super) fn sync_round(self: &Arc<Self>) -> Result<(), StorageError> {
        let _round = self.round.lock();
        self.sync_locked()
    }

    /// The same, for a caller that holds `round`.
    pub(super) fn sync_locked(self: &Arc<Self>) -> Result<(), StorageError> {
        self.shared.check_online()?;
        let capture = {
            let mut st = self.state.lock();
            if st.gone {
                return Ok(());
            }
            match st.capture() {
                Some(capture) => capture,
                None => return Ok(()),
            }
        };
        let outcome = self.sync_captured(&capture);
        self.shared.release(capture.bytes);
        self.shared.meters.rounds.increment(1);
        outcome
    }

    fn sync_captured(self: &Arc<Self>, capture: &Capture) -> Result<(), StorageError> {
        let mut named = false;
        for dirty in &capture.segments {
            if dirty.fresh && !named {
                self.sync_names(capture.dir_fresh)?;
                named = true;
            }
            // The flag falls before the sync: an append meanwhile raises it again.
            let file = self.file(&dirty.segment);
            dirty.segment.dirty.store(false, Ordering::Release);
            let began = self.shared.elapsed();
            let synced = file.and_then(|file| file.sync_data());
            if let Err(e) = synced {
                let action = format!("syncing {}", dirty.segment.path().display());
                return Err(self.shared.go_offline(&action, &e));
            }
            let took = self.shared.elapsed().saturating_sub(began);
            self.shared.meters.fsync.record(took.as_secs_f64());
            self.publish_synced(capture.generation, dirty);
        }
        Ok(())
    }

    /// Makes the names of new files durable, and the directory's own where that is new.
    pub(super) fn sync_names(&self, dir_fresh: bool) -> Result<(), StorageError> {
        if dir_fresh {
            self.sync_dir(&self.shared.topics_dir)?;
            self.state.lock().dir_fresh = false;
        }
        self.sync_dir(&self.dir)
    }

    fn sync_dir(&self, dir: &std::path::Path) -> Result<(), StorageError> {
        self.shared.fs.sync_dir(dir).map_err(|e| {
            let action = format!("syncing directory {}", dir.display());
            self.shared.go_offline(&action, &e)
        })
    }

    fn publish_synced(self: &Arc<Self>, generation: u64, dirty: &Dirty) {
        let mut kept: Vec<Promise> = Vec::new();
        let known = {
            let mut st = self.state.lock();
            if st.gone || st.ends.generation != generation {
                return;
            }
            let at = st.segments.partition_point(|e| e.facts.base < dirty.facts.base);
            if let Some(entry) = st.segments.get_mut(at) {
                entry.fresh = false;
            }
            if dirty.facts.end > st.ends.synced {
                st.ends.synced = dirty.facts.end;
                st.synced = dirty.facts;
            }
            st.ends.promised = st.ends.promised.max(st.ends.synced);
            let promised = st.ends.promised;
            while st.promises.front().is_some_and(|p| p.end() <= promised) {
                kept.extend(st.promises.pop_front());
            }
            st.publish();
            let synced = st.ends.synced;
            if st.checkpoints.front().is_some_and(|c| c.end <= synced) {
                self.start_checkpoints(&mut st);
            }
            st.known()
        };
        kept.into_iter().for_each(Promise::keep);
        self.note_ends(known);
    }
}
