//! A partition's log over segment files.
//!
//! Invariants: `state` is locked for every change and for the writes that belong to it, so the files have the order of
//! the calls; only syncs of the flusher happen outside, and they count only if the generation is still the same.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use watershed_model::{Clock, Offset, Timestamp};
use watershed_storage::{
    Blob, Ends, FlushMode, Frame, FrameMeta, Framing, Fut, Health, PartitionLog, Piece, Read, RecoveryReport,
    SegmentConfig, SegmentMeta, SegmentRewrite, StorageError, Ticket,
};

use crate::flusher::Flusher;
use crate::rewrite::FileRewrite;
use crate::segment::Segment;
use crate::state::State;
use crate::{done, files, names};

/// How many blobs of a kind are kept: a few, so that a truncation still finds an older one.
const BLOBS_PER_KIND: usize = 3;

const START: &str = "start";
const CLEAN: &str = "clean";

#[derive(Debug)]
pub(crate) struct FileLog {
    pub(crate) dir: PathBuf,
    clock: Arc<dyn Clock>,
    flusher: Flusher,
    health: Arc<watch::Sender<Health>>,
    state: Mutex<State>,
    last: watch::Receiver<Ends>,
    this: Weak<Self>,
}

fn blob_name(kind: u8, at: Offset) -> String {
    format!("{kind}-{at}.blob")
}

fn blob_of(name: &str) -> Option<(u8, Offset)> {
    let (kind, at) = name.strip_suffix(".blob")?.split_once('-')?;
    Some((kind.parse().ok()?, Offset(at.parse().ok()?)))
}

impl FileLog {
    pub(crate) fn open(
        dir: PathBuf,
        config: SegmentConfig,
        framing: &dyn Framing,
        clock: Arc<dyn Clock>,
        flusher: Flusher,
        health: Arc<watch::Sender<Health>>,
    ) -> Result<(Arc<Self>, RecoveryReport), StorageError> {
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::InvalidData => {
                StorageError::Corrupt { place: dir.display().to_string(), reason: e.to_string() }
            }
            _ => StorageError::io(format!("opening {}", dir.display()), e),
        };
        fs::create_dir_all(&dir).map_err(failed)?;
        let found = names(&dir).map_err(failed)?;
        let clean = found.iter().any(|name| name == CLEAN);
        let start = files::read(&dir, START).map_err(failed)?;
        let start = start.and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_be_bytes);
        let mut bases: Vec<Offset> = found.iter().filter_map(|name| Segment::base_of(name)).collect();
        bases.sort_unstable();
        if bases.is_empty() {
            bases.push(Offset(start));
        }
        let mut report = RecoveryReport { clean, ..RecoveryReport::default() };
        let mut segments: Vec<Segment> = Vec::new();
        for base in &bases {
            let mut segment = Segment::open(&dir, *base, clock.now()).map_err(failed)?;
            let wrong = segment.walk(framing, !clean).map_err(failed)?;
            if !clean && segment.meta.bytes > 0 {
                report.scanned_bytes += segment.meta.bytes;
                // Bytes that only the page cache held must not be promised to anyone.
                segment.file.sync_all().map_err(failed)?;
            }
            segment.meta.sealed = base != bases.last().expect("there is at least one");
            if let Some(reason) = wrong {
                report.damage.push(segment.mend(reason)?);
            }
            segments.push(segment);
        }
        files::remove(&dir.join(CLEAN)).map_err(failed)?;
        files::sync_dir(&dir).map_err(failed)?;
        dir.parent().map_or(Ok(()), files::sync_dir).map_err(failed)?;

        let end = segments.last().map_or(start, |s| s.meta.end.0).max(start);
        let end = Offset(end);
        let ends = Ends { start: Offset(start), synced: end, promised: end, end, generation: 0 };
        let (progress, last) = watch::channel(ends);
        let state = State {
            progress: Some(progress),
            ends,
            flush: config.flush,
            segments,
            blobs: found.iter().filter_map(|name| blob_of(name)).filter(|(_, at)| *at <= end).collect(),
            waiting: Vec::new(),
            queued: false,
            failed: None,
        };
        let state = Mutex::new(state);
        let log = Arc::new_cyclic(|this| Self { dir, clock, flusher, health, state, last, this: this.clone() });
        Ok((log, report))
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state.lock().progress.is_some()
    }

    /// Ends the handle: nothing more is read or written through it.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        state.progress = None;
        state.waiting.clear();
    }

    pub(crate) fn close_now(&self) -> Result<(), StorageError> {
        let mut state = self.state.lock();
        if state.progress.is_none() {
            return Ok(());
        }
        if state.failed.is_none() {
            self.sync(&mut state)?;
            let marked = files::replace(&self.dir, CLEAN, b"").and_then(|()| files::sync_dir(&self.dir));
            marked.map_err(|e| self.io("marking as clean", e))?;
        }
        state.progress = None;
        Ok(())
    }

    pub(crate) fn io(&self, action: &str, error: io::Error) -> StorageError {
        let place = self.dir.display().to_string();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageError::Full { place },
            io::ErrorKind::InvalidData => StorageError::Corrupt { place, reason: error.to_string() },
            _ => StorageError::io(format!("{action} {place}"), error),
        }
    }

    fn offline(&self, reason: &str) -> StorageError {
        StorageError::Offline { place: self.dir.display().to_string(), reason: reason.to_owned() }
    }

    /// The state, if the log is open.
    pub(crate) fn readable(&self) -> Result<MutexGuard<'_, State>, StorageError> {
        let state = self.state.lock();
        if state.progress.is_some() { Ok(state) } else { Err(StorageError::Gone) }
    }

    /// The state, if the log takes changes.
    pub(crate) fn writable(&self) -> Result<MutexGuard<'_, State>, StorageError> {
        let state = self.readable()?;
        match &state.failed {
            None => Ok(state),
            Some(reason) => Err(self.offline(reason)),
        }
    }

    /// A failed sync is never tried again: its pages may be gone, and the next one would succeed without them.
    fn fail(&self, state: &mut State, error: &io::Error) -> StorageError {
        let reason = format!("a sync failed: {error}");
        let offline = self.offline(&reason);
        for promise in state.waiting.drain(..) {
            promise.fail(offline.clone());
        }
        self.health.send_modify(|health| health.places[0].offline = Some(reason.clone()));
        state.failed = Some(reason);
        offline
    }

    /// Syncs the active segment while everyone waits. The others were synced when they were sealed.
    fn sync(&self, state: &mut State) -> Result<(), StorageError> {
        match state.active().file.sync_data() {
            Ok(()) => {
                state.all_synced();
                Ok(())
            }
            Err(e) => Err(self.fail(state, &e)),
        }
    }

    /// One round of the flusher: everything appended before it is promised after it.
    pub(crate) fn sync_round(&self) {
        let mut state = self.state.lock();
        state.queued = false;
        if state.progress.is_none() || state.failed.is_some() {
            return;
        }
        let Ends { end, generation, .. } = state.ends;
        let file = state.active().file.clone();
        drop(state);
        let synced = file.sync_data();
        let mut state = self.state.lock();
        match synced {
            // A truncation has synced for itself, and what `end` was is cut.
            Ok(()) if state.ends.generation == generation => {
                state.ends.synced = state.ends.synced.max(end);
                state.ends.promised = state.ends.promised.max(end);
                state.publish();
            }
            Ok(()) => {}
            Err(e) => drop(self.fail(&mut state, &e)),
        }
    }

    /// Writes blobs and drops the oldest beyond [`BLOBS_PER_KIND`].
    fn keep(&self, state: &mut State, blobs: &[Blob]) -> Result<(), StorageError> {
        for blob in blobs {
            let kept = files::replace(&self.dir, &blob_name(blob.kind, blob.at), &blob.bytes);
            kept.map_err(|e| self.io("keeping a blob in", e))?;
            state.blobs.insert((blob.kind, blob.at));
            let of_kind = state.blobs.range((blob.kind, Offset(i64::MIN))..=(blob.kind, Offset(i64::MAX)));
            if of_kind.clone().count() > BLOBS_PER_KIND {
                let oldest = of_kind.min().copied();
                self.drop_blobs(state, |blob| Some(*blob) == oldest)?;
            }
        }
        files::sync_dir(&self.dir).map_err(|e| self.io("syncing", e))
    }

    fn drop_blobs(&self, state: &mut State, which: impl Fn(&(u8, Offset)) -> bool) -> Result<(), StorageError> {
        for (kind, at) in state.blobs.extract_if(.., which) {
            files::remove(&self.dir.join(blob_name(kind, at))).map_err(|e| self.io("dropping a blob of", e))?;
        }
        Ok(())
    }

    fn append_now(&self, frames: &[Frame]) -> Result<Ticket, StorageError> {
        let mut state = self.writable()?;
        let begin = frames.first().map_or(state.ends.end, |f| f.meta.base);
        let mut end = state.ends.end;
        for Frame { meta, head, body } in frames {
            if meta.base < end || meta.last < meta.base || meta.len as usize != head.len() + body.len() {
                return Err(StorageError::Invalid(format!("{meta:?} cannot follow a log that ends at {end}")));
            }
            end = meta.last.plus(1);
        }
        let now = self.clock.now();
        let written = state.active().append(frames, now).map_err(|e| self.io("appending to", e));
        let full = matches!(written, Err(StorageError::Full { .. }));
        self.health.send_if_modified(|health| std::mem::replace(&mut health.places[0].full, full) != full);
        written?;
        state.ends.end = end;
        let ticket = if state.flush == FlushMode::Relaxed {
            state.ends.promised = end;
            Ticket::ripe(begin..end)
        } else {
            let (ticket, promise) = Ticket::pending(begin..end);
            state.waiting.push(promise);
            ticket
        };
        state.publish();
        if !std::mem::replace(&mut state.queued, true)
            && let Some(this) = self.this.upgrade()
        {
            self.flusher.ask(this);
        }
        Ok(ticket)
    }

    fn seal(&self, blobs: &[Blob], roll: bool) -> Result<Ticket, StorageError> {
        let mut state = self.writable()?;
        self.sync(&mut state)?;
        let end = state.ends.end;
        if roll && !state.active().frames.is_empty() {
            let next = Segment::open(&self.dir, end, self.clock.now()).map_err(|e| self.io("rolling", e))?;
            state.active().meta.sealed = true;
            state.segments.push(next);
        }
        self.keep(&mut state, blobs)?;
        Ok(Ticket::ripe(end..end))
    }

    fn truncate_now(&self, end: Offset) -> Result<(), StorageError> {
        let mut state = self.writable()?;
        let Ends { start, end: before, .. } = state.ends;
        if end < start {
            return Err(StorageError::OutOfRange { offset: end, start, end: before });
        }
        if end >= before {
            return Ok(());
        }
        let failed = |e| self.io("truncating", e);
        // Highest first: whenever the power fails, what is left is the beginning of the log.
        while state.segments.len() > 1 && state.active().meta.base > end {
            state.active().delete().map_err(failed)?;
            state.segments.pop();
        }
        if state.active().meta.base > end {
            // Rewrites have left nothing below.
            state.active().delete().map_err(failed)?;
            *state.active() = Segment::open(&self.dir, end, self.clock.now()).map_err(failed)?;
        }
        files::sync_dir(&self.dir).map_err(failed)?;
        state.active().cut(end).map_err(failed)?;
        self.drop_blobs(&mut state, |(_, at)| *at > end)?;
        state.ends.generation += 1;
        state.ends.end = state.active().meta.end.max(start);
        let end = state.ends.end;
        state.waiting.extract_if(.., |promise| promise.end() > end).for_each(|p| p.fail(StorageError::Truncated));
        state.all_synced();
        Ok(())
    }

    fn write_start(&self, start: Offset) -> Result<(), StorageError> {
        let written = files::replace(&self.dir, START, &start.0.to_be_bytes());
        written.and_then(|()| files::sync_dir(&self.dir)).map_err(|e| self.io("moving the start of", e))
    }

    fn reset_now(&self, next: Offset, blobs: &[Blob]) -> Result<(), StorageError> {
        let mut state = self.writable()?;
        let failed = |e| self.io("resetting", e);
        for segment in state.segments.iter().rev() {
            segment.delete().map_err(failed)?;
        }
        self.drop_blobs(&mut state, |_| true)?;
        files::sync_dir(&self.dir).map_err(failed)?;
        self.write_start(next)?;
        state.segments = vec![Segment::open(&self.dir, next, self.clock.now()).map_err(failed)?];
        state.ends.generation += 1;
        (state.ends.start, state.ends.end) = (next, next);
        state.waiting.drain(..).for_each(|promise| promise.fail(StorageError::Truncated));
        state.all_synced();
        self.keep(&mut state, blobs)
    }

    fn advance_now(&self, to: Offset) -> Result<(), StorageError> {
        let mut state = self.writable()?;
        let to = to.min(state.ends.end);
        if to <= state.ends.start {
            return Ok(());
        }
        // The records below the new start must not be all that is durable of the log.
        self.sync(&mut state)?;
        self.write_start(to)?;
        state.ends.start = to;
        state.publish();
        while state.segments.len() > 1 && state.segments[0].meta.end <= to {
            state.segments[0].delete().map_err(|e| self.io("deleting a segment of", e))?;
            state.segments.remove(0);
        }
        Ok(())
    }

    fn find(&self, from: Offset, upto: Offset, max_bytes: u32, min_one: bool) -> Result<Vec<Piece>, StorageError> {
        let state = self.readable()?;
        let Ends { start, end, .. } = state.ends;
        if from < start || from > end {
            return Err(StorageError::OutOfRange { offset: from, start, end });
        }
        let mut pieces: Vec<Piece> = Vec::new();
        let mut room = max_bytes;
        for (segment, frame, at) in state.frames_from(from) {
            let forced = min_one && pieces.is_empty();
            if frame.last >= upto || (frame.len > room && !forced) {
                break;
            }
            room = room.saturating_sub(frame.len);
            match pieces.last_mut() {
                // Frames of one file lie side by side.
                Some(Piece::File { file, len, .. }) if Arc::ptr_eq(file, &segment.file) => *len += frame.len,
                _ => pieces.push(Piece::File { file: segment.file.clone(), pos: at, len: frame.len, hot: false }),
            }
        }
        Ok(pieces)
    }

    fn load_now(&self, from: Offset, upto: Offset, max_bytes: u32, min_one: bool) -> Result<Bytes, StorageError> {
        let mut out = BytesMut::new();
        for piece in self.find(from, upto, max_bytes, min_one)? {
            if let Piece::File { file, pos, len, .. } = piece {
                let at = out.len();
                out.resize(at + len as usize, 0);
                file.read_exact_at(&mut out[at..], pos).map_err(|e| self.io("reading", e))?;
            }
        }
        Ok(out.freeze())
    }

    fn blob_now(&self, kind: u8, upto: Offset) -> Result<Option<Blob>, StorageError> {
        let newest = self.readable()?.blobs.range((kind, Offset(i64::MIN))..=(kind, upto)).next_back().copied();
        let Some((kind, at)) = newest else { return Ok(None) };
        let read = files::read(&self.dir, &blob_name(kind, at)).map_err(|e| self.io("reading a blob of", e))?;
        Ok(read.map(|bytes| Blob { kind, at, bytes: bytes.into() }))
    }

    fn at_time(&self, at: Timestamp) -> Result<Option<FrameMeta>, StorageError> {
        let state = self.readable()?;
        let found = state.frames_from(state.ends.start).find(|(_, frame, _)| frame.max_timestamp >= at);
        Ok(found.map(|(_, frame, _)| frame))
    }
}

impl PartitionLog for FileLog {
    fn configure(&self, config: SegmentConfig) {
        self.state.lock().flush = config.flush;
    }

    fn append(&self, frames: Vec<Frame>) -> Result<Ticket, StorageError> {
        self.append_now(&frames)
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
        match self.find(from, upto, max_bytes, min_one) {
            Ok(pieces) => Read::Now(pieces),
            Err(error) => Read::Later(done(Err(error))),
        }
    }

    fn load(&self, from: Offset, upto: Offset, max_bytes: u32, min_one: bool) -> Fut<'_, Bytes> {
        done(self.load_now(from, upto, max_bytes, min_one))
    }

    fn frame_at_time(&self, at: Timestamp) -> Fut<'_, Option<FrameMeta>> {
        done(self.at_time(at))
    }

    fn roll(&self, blobs: Vec<Blob>) -> Result<Ticket, StorageError> {
        self.seal(&blobs, true)
    }

    fn checkpoint(&self, blobs: Vec<Blob>) -> Result<Ticket, StorageError> {
        self.seal(&blobs, false)
    }

    fn blob(&self, kind: u8, upto: Offset) -> Fut<'_, Option<Blob>> {
        done(self.blob_now(kind, upto))
    }

    fn truncate(&self, end: Offset) -> Fut<'_, ()> {
        done(self.truncate_now(end))
    }

    fn reset(&self, next: Offset, blobs: Vec<Blob>) -> Fut<'_, ()> {
        done(self.reset_now(next, &blobs))
    }

    fn advance_start(&self, to: Offset) -> Fut<'_, ()> {
        done(self.advance_now(to))
    }

    fn rewrite(self: Arc<Self>, base: Offset) -> Fut<'static, Box<dyn SegmentRewrite>> {
        done(FileRewrite::begin(self, base).map(|begun| Box::new(begun) as Box<dyn SegmentRewrite>))
    }

    fn segments(&self) -> Vec<SegmentMeta> {
        self.state.lock().segments.iter().map(|s| s.meta).collect()
    }

    fn bytes(&self) -> u64 {
        self.state.lock().segments.iter().map(|s| s.meta.bytes).sum()
    }

    fn close(&self) -> Fut<'_, ()> {
        done(self.close_now())
    }
}
