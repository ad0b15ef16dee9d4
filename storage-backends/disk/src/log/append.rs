//! Appending and rolling.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use watershed_model::Offset;
use watershed_model::record::HEADER_BYTES;
use watershed_storage::{Blob, FlushMode, Frame, StorageError, Ticket};

use super::{Checkpoint, Entry, Log, RECENT_FRAMES_MAX, Recent, State, Writer, new_entry};
use crate::fs::FsFile;
use crate::index::Index;

/// Slices given to one `pwritev`: the heads and bodies of 32 frames. More frames take more calls.
const SLICES_MAX: usize = 64;

/// Un-synced bytes from which a partition counts as bulk.
const BULK_BYTES: u64 = 8 << 20;

/// Un-synced bytes from which relaxed data is synced without waiting for its interval.
const RELAXED_BYTES: u64 = 4 << 20;

impl Log {
    pub(super) fn append(self: &Arc<Self>, frames: &[Frame]) -> Result<Ticket, StorageError> {
        self.shared.check_room()?;
        let mut writer = self.writer.lock();
        let (entry, bytes) = {
            let st = self.state.lock();
            st.check()?;
            let bytes = check_frames(&st, frames)?;
            if frames.is_empty() {
                return Ok(Ticket::ripe(st.ends.end..st.ends.end));
            }
            (st.active().clone(), bytes)
        };
        let pos = entry.facts.bytes;
        entry.segment.dirty.store(true, std::sync::atomic::Ordering::Release);
        let file = self.active_file(&entry)?;
        if let Err(e) = write_frames(&*file, pos, frames) {
            return Err(self.cut_back(&entry, &*file, pos, e));
        }
        self.hint(&mut writer, &*file, pos + bytes);
        self.admit(frames, bytes)
    }

    /// The active segment's file, made with its directory at the first append.
    fn active_file(&self, entry: &Entry) -> Result<Arc<dyn FsFile>, StorageError> {
        let action = || format!("opening {}", entry.segment.path().display());
        if entry.created {
            return self.file(&entry.segment).map_err(|e| self.shared.write_error(action(), e));
        }
        self.make_dir()?;
        let now = self.shared.elapsed();
        let file =
            self.shared.files.get(&entry.segment, now, true).map_err(|e| self.shared.write_error(action(), e))?;
        self.state.lock().active_mut().created = true;
        Ok(file)
    }

    /// Makes the partition's directory if it is not there.
    pub(super) fn make_dir(&self) -> Result<(), StorageError> {
        if self.state.lock().dir_made {
            return Ok(());
        }
        match self.shared.fs.mkdir(&self.dir) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                let action = format!("making {}", self.dir.display());
                return Err(self.shared.write_error(action, e));
            }
            _ => {}
        }
        let mut st = self.state.lock();
        st.dir_made = true;
        st.dir_fresh = true;
        Ok(())
    }

    /// Removes what a failed write left, so that nothing of it remains.
    fn cut_back(&self, entry: &Entry, file: &dyn FsFile, pos: u64, e: io::Error) -> StorageError {
        let path = entry.segment.path().display();
        if let Err(cut) = file.set_len(pos) {
            // Bytes of unknown content lie where the next append would go.
            let action = format!("cutting {path} back to {pos} after a failed write ({e})");
            return self.shared.go_offline(&action, &cut);
        }
        self.shared.write_error(format!("writing {path} at {pos}"), e)
    }

    /// Asks the kernel now and then to begin writing back, so that dirty pages never pile up.
    fn hint(&self, writer: &mut Writer, file: &dyn FsFile, end: u64) {
        let waiting = end.saturating_sub(writer.hinted);
        if waiting >= self.shared.config.writeback_bytes {
            file.start_writeback(writer.hinted, waiting);
            writer.hinted = end;
        }
    }

    /// Makes written frames part of the log.
    fn admit(self: &Arc<Self>, frames: &[Frame], bytes: u64) -> Result<Ticket, StorageError> {
        let now = self.shared.clock().now();
        let mut st = self.state.lock();
        st.check()?;
        // Under the lock: from here on a failure of the directory finds the promise and fails it.
        self.shared.check_online()?;
        let stamp = self.shared.count_append(bytes);
        let begin = frames.first().map_or(st.ends.end, |f| f.meta.base);
        for frame in frames {
            st.admit(frame, stamp);
        }
        let entry = st.active_mut();
        entry.facts.modified = now;
        entry.dirty = true;
        let end = entry.facts.end;
        st.ends.end = end;
        st.dirty_bytes += bytes;
        while st.recents.front().is_some_and(|r| st.recents.len() > RECENT_FRAMES_MAX || !self.shared.is_hot(r.stamp)) {
            st.recents.pop_front();
        }
        let ticket = match st.config.flush {
            FlushMode::Relaxed => {
                st.ends.promised = end;
                Ticket::ripe(begin..end)
            }
            FlushMode::Sync => {
                let (ticket, promise) = Ticket::pending(begin..end);
                st.promises.push_back(promise);
                ticket
            }
        };
        st.publish();
        self.schedule(&mut st, st_is_urgent);
        Ok(ticket)
    }

    /// Queues a round for what is dirty, unless one is queued or running.
    pub(super) fn schedule(self: &Arc<Self>, st: &mut State, urgent: fn(&State) -> bool) {
        if st.in_flight || st.gone {
            return;
        }
        let now = self.shared.elapsed();
        let earliest = st.last_round + self.shared.config.round_interval;
        let due = if urgent(st) || st.dirty_bytes >= RELAXED_BYTES || self.shared.in_a_hurry() {
            // A clock that was never moved must not hold the very first round back.
            if st.last_round == Duration::ZERO { now } else { now.max(earliest) }
        } else {
            now + self.shared.config.relaxed_sync_interval
        };
        if st.queued.is_some_and(|queued| queued <= due) {
            return;
        }
        st.queued = Some(due);
        let bulk = st.dirty_bytes >= BULK_BYTES;
        self.shared.sync.push(Arc::clone(self), due, bulk);
    }

    pub(super) fn roll(self: &Arc<Self>, blobs: Vec<Blob>) -> Result<Ticket, StorageError> {
        self.shared.check()?;
        let _writer = {
            let mut writer = self.writer.lock();
            let mut st = self.state.lock();
            st.check()?;
            if st.active().facts.bytes > 0 {
                writer.hinted = 0;
                st.seal(&self.dir, self.shared.clock().now());
            }
            drop(st);
            writer
        };
        self.add_checkpoint(blobs)
    }

    pub(super) fn checkpoint(self: &Arc<Self>, blobs: Vec<Blob>) -> Result<Ticket, StorageError> {
        self.shared.check()?;
        let _writer = self.writer.lock();
        self.add_checkpoint(blobs)
    }

    fn add_checkpoint(self: &Arc<Self>, blobs: Vec<Blob>) -> Result<Ticket, StorageError> {
        let mut st = self.state.lock();
        st.check()?;
        self.shared.check_online()?;
        let end = st.ends.end;
        if let Some(blob) = blobs.iter().find(|b| b.at > end || b.at < Offset::ZERO) {
            let at = blob.at;
            let text = format!("a blob at {at} is outside the log, which ends at {end}");
            return Err(StorageError::Invalid(text));
        }
        let (ticket, promise) = Ticket::pending(end..end);
        st.checkpoints.push_back(Checkpoint { end, blobs, promise });
        if st.ends.synced >= end {
            self.start_checkpoints(&mut st);
        } else {
            self.schedule(&mut st, |_| true);
        }
        Ok(ticket)
    }
}

/// Whether somebody waits for the next round.
pub(super) fn st_is_urgent(st: &State) -> bool {
    !st.promises.is_empty() || !st.checkpoints.is_empty()
}

impl State {
    fn admit(&mut self, frame: &Frame, stamp: u64) {
        let interval = self.config.index_interval_bytes;
        let entry = self.active_mut();
        let pos = entry.facts.bytes;
        let before = entry.facts.before();
        let segment = entry.facts.base;
        entry.facts.add(&frame.meta);
        self.active_index.add(&frame.meta, pos, before, interval);
        self.recents.push_back(Recent {
            base: frame.meta.base,
            last: frame.meta.last,
            segment,
            pos,
            len: frame.meta.len,
            stamp,
        });
    }

    /// Closes the active segment and begins the next.
    fn seal(&mut self, dir: &std::path::Path, now: watershed_model::Timestamp) {
        let index = std::mem::replace(&mut self.active_index, Index::starting_at(0));
        let entry = self.active_mut();
        entry.facts.sealed = true;
        if index.from_pos == 0 {
            *entry.segment.index.lock() = Some(Arc::new(index));
        }
        let (end, epoch) = (entry.facts.end, entry.facts.last_epoch);
        self.segments.push_back(new_entry(dir, end, epoch, now));
    }
}

/// Refuses frames that would make a log which recovery takes for damaged; returns their bytes.
fn check_frames(st: &State, frames: &[Frame]) -> Result<u64, StorageError> {
    let mut next = st.ends.end;
    let mut epoch = st.active().facts.last_epoch;
    let mut bytes = 0;
    for Frame { meta, body, .. } in frames {
        if meta.base < next || meta.last < meta.base || meta.last.0 == i64::MAX {
            let (base, last) = (meta.base, meta.last);
            let text = format!("a frame of offsets {base} to {last} cannot follow the end {next}");
            return Err(StorageError::Invalid(text));
        }
        if meta.epoch < epoch {
            let text = format!("leader epoch {} cannot follow {epoch}", meta.epoch);
            return Err(StorageError::Invalid(text));
        }
        if meta.len as usize != HEADER_BYTES + body.len() {
            let (len, has) = (meta.len, HEADER_BYTES + body.len());
            let text = format!("a frame says {len} bytes and has {has}");
            return Err(StorageError::Invalid(text));
        }
        next = meta.last.plus(1);
        epoch = meta.epoch;
        bytes += u64::from(meta.len);
    }
    Ok(bytes)
}

/// Writes frames one behind the other: one call for up to 32, without an allocation.
pub(super) fn write_frames(file: &dyn FsFile, mut pos: u64, frames: &[Frame]) -> io::Result<()> {
    for chunk in frames.chunks(SLICES_MAX / 2) {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        for (frame, pair) in chunk.iter().zip(slices.chunks_exact_mut(2)) {
            pair[0] = IoSlice::new(&frame.head);
            pair[1] = IoSlice::new(&frame.body);
        }
        let mut left = &mut slices[..chunk.len() * 2];
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match file.write_at(pos, left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    pos += n as u64;
                    IoSlice::advance_slices(&mut left, n);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(())
}
