//! One partition's handle: locking, the states open, closed and destroyed, and the watch that tells of progress.
//!
//! Invariants: the watch is told inside the write lock, so that its values never go back out of order; a handle that is
//! closed or destroyed answers [`StorageError::Gone`] and holds no bytes once someone took or dropped them.

use std::future::ready;
use std::mem;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::RwLock;
use tokio::sync::watch;
use watershed_model::{Clock, Offset, Timestamp};
use watershed_storage::{
    Blob, Ends, Frame, FrameMeta, Fut, PartitionLog, Piece, Read, SegmentConfig, SegmentMeta, SegmentRewrite,
    StorageError, Ticket,
};

use crate::budget::Budget;
use crate::contents::{Contents, Rewritten};

#[derive(Debug)]
pub(crate) struct MemoryLog {
    clock: Arc<dyn Clock>,
    budget: Arc<Budget>,
    state: RwLock<State>,
    /// Kept apart from `state` for receivers that ask after the end.
    last: watch::Receiver<Ends>,
}

#[derive(Debug)]
struct State {
    /// The sender exists as long as the handle is open.
    progress: Option<watch::Sender<Ends>>,
    /// Destroyed, or taken over by a later handle.
    emptied: bool,
    contents: Contents,
}

impl MemoryLog {
    pub(crate) fn new(contents: Contents, clock: Arc<dyn Clock>, budget: Arc<Budget>) -> Self {
        let (progress, last) = watch::channel(contents.ends());
        let state = State { progress: Some(progress), emptied: false, contents };
        Self { clock, budget, state: RwLock::new(state), last }
    }

    /// The contents of a closed handle, for the handle that replaces it; `None` while it is open.
    pub(crate) fn take_closed(&self) -> Option<Contents> {
        let mut state = self.state.write();
        if state.progress.is_some() {
            return None;
        }
        state.emptied = true;
        let empty = Contents::new(self.clock.now());
        Some(mem::replace(&mut state.contents, empty))
    }

    /// Closes the handle; what it holds stays for the next.
    pub(crate) fn shut(&self) {
        self.state.write().progress = None;
    }

    /// Closes the handle and frees what it held.
    pub(crate) fn destroy(&self) {
        let mut state = self.state.write();
        state.progress = None;
        if !mem::replace(&mut state.emptied, true) {
            let empty = Contents::new(self.clock.now());
            let held = mem::replace(&mut state.contents, empty);
            self.budget.release(held.charged_bytes());
        }
    }

    /// Changes the contents and tells the watch.
    fn change<T>(&self, change: impl FnOnce(&mut Contents) -> Result<T, StorageError>) -> Result<T, StorageError> {
        let mut state = self.state.write();
        let state = &mut *state;
        let progress = state.progress.as_ref().ok_or(StorageError::Gone)?;
        let before = state.contents.ends();
        let done = change(&mut state.contents)?;
        let after = state.contents.ends();
        if before != after {
            progress.send_replace(after);
        }
        Ok(done)
    }

    /// The same for what can only shrink the log or change blobs: the budget follows the difference.
    fn reshape<T>(&self, change: impl FnOnce(&mut Contents) -> Result<T, StorageError>) -> Result<T, StorageError> {
        self.change(|contents| {
            let before = contents.charged_bytes();
            let done = change(contents)?;
            let after = contents.charged_bytes();
            self.budget.charge(after.saturating_sub(before));
            self.budget.release(before.saturating_sub(after));
            Ok(done)
        })
    }

    fn look<T>(&self, look: impl FnOnce(&Contents) -> Result<T, StorageError>) -> Result<T, StorageError> {
        let state = self.state.read();
        if state.progress.is_none() {
            return Err(StorageError::Gone);
        }
        look(&state.contents)
    }
}

fn done<'a, T: Send + 'a>(result: Result<T, StorageError>) -> Fut<'a, T> {
    Box::pin(ready(result))
}

fn join(pieces: Vec<Bytes>) -> Bytes {
    match <[Bytes; 1]>::try_from(pieces) {
        Ok([one]) => one,
        Err(pieces) => {
            let mut joined = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
            for piece in &pieces {
                joined.extend_from_slice(piece);
            }
            joined.freeze()
        }
    }
}

impl PartitionLog for MemoryLog {
    fn configure(&self, _config: SegmentConfig) {
        // No setting changes what RAM does: see `MemoryStorage::open`.
    }

    fn append(&self, frames: Vec<Frame>) -> Result<Ticket, StorageError> {
        let now = self.clock.now();
        self.change(|contents| {
            let begin = contents.check_appendable(&frames)?;
            self.budget.reserve(Contents::charge_of(&frames))?;
            contents.append(frames, now);
            Ok(Ticket::ripe(begin..contents.ends().end))
        })
    }

    fn ends(&self) -> Ends {
        *self.last.borrow()
    }

    fn progress(&self) -> watch::Receiver<Ends> {
        let mut receiver = self.last.clone();
        receiver.mark_unchanged();
        receiver
    }

    fn read(&self, from: Offset, upto: Offset, max_bytes: u32, min_one: bool) -> Read<'_> {
        match self.look(|contents| contents.read(from, upto, max_bytes, min_one)) {
            Ok(pieces) => Read::Now(pieces.into_iter().map(Piece::Bytes).collect()),
            Err(error) => Read::Later(done(Err(error))),
        }
    }

    fn load(&self, from: Offset, upto: Offset, max_bytes: u32, min_one: bool) -> Fut<'_, Bytes> {
        done(self.look(|contents| contents.read(from, upto, max_bytes, min_one)).map(join))
    }

    fn frame_at_time(&self, at: Timestamp) -> Fut<'_, Option<FrameMeta>> {
        done(self.look(|contents| Ok(contents.frame_at_time(at))))
    }

    fn roll(&self, blobs: Vec<Blob>) -> Result<Ticket, StorageError> {
        let now = self.clock.now();
        self.reshape(|contents| {
            contents.keep(blobs);
            contents.roll(now);
            let end = contents.ends().end;
            Ok(Ticket::ripe(end..end))
        })
    }

    fn checkpoint(&self, blobs: Vec<Blob>) -> Result<Ticket, StorageError> {
        self.reshape(|contents| {
            contents.keep(blobs);
            let end = contents.ends().end;
            Ok(Ticket::ripe(end..end))
        })
    }

    fn blob(&self, kind: u8, upto: Offset) -> Fut<'_, Option<Blob>> {
        done(self.look(|contents| Ok(contents.blob(kind, upto))))
    }

    fn truncate(&self, end: Offset) -> Fut<'_, ()> {
        done(self.reshape(|contents| contents.truncate(end)))
    }

    fn reset(&self, next: Offset, blobs: Vec<Blob>) -> Fut<'_, ()> {
        let now = self.clock.now();
        done(self.reshape(|contents| {
            contents.reset(next, now)?;
            contents.keep(blobs);
            Ok(())
        }))
    }

    fn advance_start(&self, to: Offset) -> Fut<'_, ()> {
        let now = self.clock.now();
        done(self.reshape(|contents| {
            contents.advance_start(to, now);
            Ok(())
        }))
    }

    fn rewrite(self: Arc<Self>, base: Offset) -> Fut<'static, Box<dyn SegmentRewrite>> {
        let begun = self.look(|contents| contents.rewrite(base, self.clock.now()));
        done(
            begun.map(|new| {
                Box::new(MemoryRewrite { log: self, new: Some(new), reserved: 0 }) as Box<dyn SegmentRewrite>
            }),
        )
    }

    fn segments(&self) -> Vec<SegmentMeta> {
        self.state.read().contents.segments()
    }

    fn bytes(&self) -> u64 {
        self.state.read().contents.bytes()
    }

    fn close(&self) -> Fut<'_, ()> {
        self.shut();
        done(Ok(()))
    }
}

/// A segment that is being written anew. Until it takes the old one's place, both count against the limit.
struct MemoryRewrite {
    log: Arc<MemoryLog>,
    /// `None` once it is committed.
    new: Option<Rewritten>,
    reserved: u64,
}

impl SegmentRewrite for MemoryRewrite {
    fn write(&mut self, frames: Vec<Frame>) -> Fut<'_, ()> {
        let bytes = Contents::charge_of(&frames);
        done(self.log.budget.reserve(bytes).and_then(|()| {
            self.reserved += bytes;
            self.new.as_mut().ok_or(StorageError::Gone)?.write(frames)
        }))
    }

    fn commit(mut self: Box<Self>) -> Fut<'static, ()> {
        let Some(new) = self.new.take() else { return done(Err(StorageError::Gone)) };
        // What `reshape` counts is the difference of old and new; what was reserved for the new one goes with `self`.
        done(self.log.reshape(|contents| contents.replace(new)))
    }
}

impl Drop for MemoryRewrite {
    fn drop(&mut self) {
        self.log.budget.release(self.reserved);
    }
}
