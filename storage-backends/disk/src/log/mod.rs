//! One partition's log.
//!
//! Who changes what:
//! - `writer` is held by whoever moves the end: append, roll, truncate, reset, close, destroy. An append holds it over its
//!   one `pwritev`, on the caller's thread: [`watershed_storage::LogStorage::room`] is what keeps callers from piling up
//!   dirty pages. Truncation holds it over its syncs, so an append in that time waits.
//! - `round` is held over a group-commit round, and by whoever must not meet one.
//! - `book` is held over the writing of a state file.
//! - `state` is held for moments only, never over a system call (opening a cached file apart).
//!
//! They are taken in this order. `append.rs` appends and rolls, `round.rs` syncs and publishes, `checkpoint.rs` writes
//! state files and serves blobs, `read.rs` reads, `time.rs` finds by time, `check.rs` checks what is read, `cut.rs` truncates, resets, moves the
//! start, closes and destroys, `rewrite.rs` puts a segment with fewer frames in another's place.

mod append;
mod check;
mod checkpoint;
mod cut;
mod read;
mod rewrite;
mod round;
mod time;

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::watch;
use watershed_model::{LeaderEpoch, Offset, Timestamp, TopicIdPartition};
use watershed_storage::{
    Blob, Ends, FlushMode, Frame, FrameMeta, Framing, Fut, PartitionLog, Promise, Read, SegmentConfig, SegmentMeta,
    SegmentRewrite, StorageError, Ticket,
};

pub(crate) use check::Unchecked;

use crate::ends::Known;
use crate::fs::FsFile;
use crate::index::Index;
use crate::segment::Segment;
use crate::shared::Shared;
use crate::state::{BlobRef, Facts, Manifest};

/// How many of the newest frames' positions are remembered, for reads at the tail.
const RECENT_FRAMES_MAX: usize = 512;
/// How many read positions are remembered, for readers that go on where they stopped.
const CURSORS_MAX: usize = 8;

/// A segment of the log.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) segment: Arc<Segment>,
    pub(crate) facts: Facts,
    /// Has bytes that no round has taken up yet.
    pub(crate) dirty: bool,
    /// Its name in the directory may not be durable.
    pub(crate) fresh: bool,
    /// Its file was made.
    pub(crate) created: bool,
    /// Its index file was written.
    pub(crate) index_saved: bool,
}

impl Entry {
    pub(crate) fn new(segment: Arc<Segment>, facts: Facts) -> Self {
        Self { segment, facts, dirty: false, fresh: false, created: true, index_saved: false }
    }
}

/// A frame whose position is remembered.
#[derive(Clone, Copy)]
struct Recent {
    base: Offset,
    last: Offset,
    segment: Offset,
    pos: u64,
    len: u32,
    /// See [`Shared::is_hot`].
    stamp: u64,
}

/// Where a read ended.
#[derive(Clone, Copy)]
struct Cursor {
    next: Offset,
    segment: Offset,
    pos: u64,
}

/// A roll or checkpoint that waits for its data and then for its state file.
struct Checkpoint {
    end: Offset,
    blobs: Vec<Blob>,
    promise: Promise,
}

pub(crate) struct State {
    pub(crate) config: SegmentConfig,
    gone: bool,
    pub(crate) ends: Ends,
    /// Never empty; the last is the active one.
    pub(crate) segments: VecDeque<Entry>,
    active_index: Index,
    /// `None` once the log is closed or destroyed.
    progress: Option<watch::Sender<Ends>>,
    recents: VecDeque<Recent>,
    cursors: VecDeque<Cursor>,
    promises: VecDeque<Promise>,
    checkpoints: VecDeque<Checkpoint>,
    checkpointing: bool,
    /// The segment that holds `ends.synced`, as far as it is synced.
    synced: Facts,
    /// Bytes that count against the bound and that no round has taken up yet.
    dirty_bytes: u64,
    queued: Option<Duration>,
    in_flight: bool,
    last_round: Duration,
    /// The partition's directory is there; its own name may not be durable.
    dir_made: bool,
    dir_fresh: bool,
    cuts: u64,
    /// A segment is being written anew.
    rewriting: bool,
}

/// What the state files hold.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) seq: u64,
    pub(crate) blobs: Vec<BlobRef>,
    /// The numbers of the files that are there.
    pub(crate) files: BTreeSet<u64>,
    /// What the newest says.
    pub(crate) newest: Option<Manifest>,
}

/// What opening a log found, to begin from.
pub(crate) struct Opened {
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    pub(crate) segments: VecDeque<Entry>,
    pub(crate) active_index: Index,
    pub(crate) book: Book,
    pub(crate) cuts: u64,
    pub(crate) dir_made: bool,
    /// State files that could not be read.
    pub(crate) bad_states: Vec<u64>,
}

pub(crate) struct Log {
    pub(crate) tp: TopicIdPartition,
    pub(crate) dir: PathBuf,
    pub(crate) shared: Arc<Shared>,
    framing: Arc<dyn Framing>,
    writer: Mutex<Writer>,
    round: Mutex<()>,
    book: Mutex<Book>,
    state: Mutex<State>,
}

/// What only appenders need.
#[derive(Default)]
struct Writer {
    /// Up to where the kernel was asked to write the active segment back.
    hinted: u64,
}

impl Log {
    pub(crate) fn new(
        tp: TopicIdPartition,
        shared: Arc<Shared>,
        config: SegmentConfig,
        framing: Arc<dyn Framing>,
        opened: Opened,
    ) -> Self {
        let dir = shared.topics_dir.join(tp.to_string());
        let mut segments = opened.segments;
        if segments.back().is_none_or(|last| last.facts.sealed) {
            let epoch = segments.back().map_or(LeaderEpoch::NONE, |e| e.facts.last_epoch);
            segments.push_back(new_entry(&dir, opened.end, epoch, shared.clock().now()));
        }
        let active = segments[segments.len() - 1].facts;
        let ends =
            Ends { start: opened.start, synced: opened.end, promised: opened.end, end: opened.end, generation: 0 };
        let state = State {
            config,
            gone: false,
            ends,
            segments,
            active_index: opened.active_index,
            progress: Some(watch::Sender::new(ends)),
            recents: VecDeque::new(),
            cursors: VecDeque::new(),
            promises: VecDeque::new(),
            checkpoints: VecDeque::new(),
            checkpointing: false,
            synced: active,
            dirty_bytes: 0,
            queued: None,
            in_flight: false,
            last_round: Duration::ZERO,
            dir_made: opened.dir_made,
            dir_fresh: false,
            cuts: opened.cuts,
            rewriting: false,
        };
        Self {
            tp,
            dir,
            framing,
            writer: Mutex::new(Writer { hinted: active.bytes }),
            round: Mutex::new(()),
            book: Mutex::new(opened.book),
            state: Mutex::new(state),
            shared,
        }
    }

    fn file(&self, segment: &Arc<Segment>) -> std::io::Result<Arc<dyn FsFile>> {
        self.shared.files.get(segment, self.shared.elapsed(), false)
    }

    /// Fails everyone who waits: the directory is offline, or the log is gone.
    pub(crate) fn fail_waiters(&self, error: &StorageError) {
        let (promises, checkpoints) = {
            let mut st = self.state.lock();
            (std::mem::take(&mut st.promises), std::mem::take(&mut st.checkpoints))
        };
        let waiting = checkpoints.into_iter().map(|c| c.promise);
        for promise in promises.into_iter().chain(waiting) {
            promise.fail(error.clone());
        }
    }

    /// Notes for the next recovery what is on the medium.
    fn note_ends(&self, known: Known) {
        if let Err(e) = self.shared.ends.put(self.tp, known) {
            // Nobody was promised this note; the next recovery is less strict without it.
            tracing::warn!(partition = %self.tp, "cannot note the synced end: {e}");
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let bytes = self.state.get_mut().dirty_bytes;
        self.shared.release(bytes);
    }
}

/// An empty segment that has no file yet.
fn new_entry(dir: &std::path::Path, base: Offset, epoch: LeaderEpoch, now: Timestamp) -> Entry {
    let mut entry = Entry::new(Segment::new(dir, base, 0), Facts::empty(base, epoch, now));
    entry.created = false;
    entry.fresh = true;
    entry
}

impl State {
    fn check(&self) -> Result<(), StorageError> {
        if self.gone { Err(StorageError::Gone) } else { Ok(()) }
    }

    fn active(&self) -> &Entry {
        &self.segments[self.segments.len() - 1]
    }

    fn active_mut(&mut self) -> &mut Entry {
        let last = self.segments.len() - 1;
        &mut self.segments[last]
    }

    fn publish(&mut self) {
        let ends = self.ends;
        debug_assert!(ends.start <= ends.end && ends.synced <= ends.promised);
        debug_assert!(ends.promised <= ends.end, "{ends:?}");
        if let Some(progress) = &self.progress {
            progress.send_replace(ends);
        }
    }

    fn known(&self) -> Known {
        Known { cuts: self.cuts, start: self.ends.start, synced: self.ends.synced }
    }

    /// Whether this is the log's segment still, and not one that was rewritten or deleted meanwhile.
    fn is_current(&self, segment: &Arc<Segment>) -> bool {
        let at = self.segments.partition_point(|e| e.facts.base < segment.base);
        self.segments.get(at).is_some_and(|e| Arc::ptr_eq(&e.segment, segment))
    }

    /// The segment that holds `offset`, or the first above it.
    fn segment_of(&self, offset: Offset) -> usize {
        let n = self.segments.partition_point(|e| e.facts.end <= offset);
        n.min(self.segments.len() - 1)
    }
}

/// The log as the layer above holds it.
pub(crate) struct DiskLog(pub(crate) Arc<Log>);

fn meta_of(facts: &Facts) -> SegmentMeta {
    SegmentMeta {
        base: facts.base,
        end: facts.end,
        bytes: facts.bytes,
        records: facts.records,
        first_timestamp: facts.first_timestamp,
        max_timestamp: facts.max_timestamp,
        modified: facts.modified,
        sealed: facts.sealed,
    }
}

impl DiskLog {
    fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Arc<Log>) -> Result<T, StorageError> + Send + 'static,
    ) -> Fut<'static, T> {
        let log = Arc::clone(&self.0);
        self.0.shared.work.run(move || job(&log))
    }

    fn fetch<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Arc<Log>) -> Result<T, StorageError> + Send + 'static,
    ) -> Fut<'static, T> {
        let log = Arc::clone(&self.0);
        self.0.shared.reads.run(move || job(&log))
    }
}

/// Runs what may block without keeping a thread of an async runtime from its other tasks.
fn off_the_workers<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

impl PartitionLog for DiskLog {
    fn configure(&self, config: SegmentConfig) {
        self.0.configure(config);
    }

    fn append(&self, frames: Vec<Frame>) -> Result<Ticket, StorageError> {
        if self.0.shared.in_a_hurry() {
            // The disk is behind, so that even a write to the page cache may wait for it.
            return off_the_workers(|| self.0.append(&frames));
        }
        self.0.append(&frames)
    }

    fn ends(&self) -> Ends {
        self.0.state.lock().ends
    }

    fn progress(&self) -> watch::Receiver<Ends> {
        let st = self.0.state.lock();
        match &st.progress {
            Some(sender) => sender.subscribe(),
            // The sender went with the log: the receiver shows the last ends and says that no more come.
            None => watch::channel(st.ends).1,
        }
    }

    fn read(&self, from: Offset, upto: Offset, max_bytes: u32, min_one: bool) -> Read<'_> {
        match self.0.read_hot(from, upto, max_bytes, min_one) {
            Ok(Some(pieces)) => Read::Now(pieces),
            Ok(None) => Read::Later(self.fetch(move |log| log.read_cold(from, upto, max_bytes, min_one))),
            Err(e) => Read::Later(Box::pin(std::future::ready(Err(e)))),
        }
    }

    fn load(&self, from: Offset, upto: Offset, max_bytes: u32, min_one: bool) -> Fut<'_, Bytes> {
        self.fetch(move |log| log.load(from, upto, max_bytes, min_one))
    }

    fn frame_at_time(&self, at: Timestamp) -> Fut<'_, Option<FrameMeta>> {
        self.fetch(move |log| log.frame_at_time(at))
    }

    fn roll(&self, blobs: Vec<Blob>) -> Result<Ticket, StorageError> {
        self.0.roll(blobs)
    }

    fn checkpoint(&self, blobs: Vec<Blob>) -> Result<Ticket, StorageError> {
        self.0.checkpoint(blobs)
    }

    fn blob(&self, kind: u8, upto: Offset) -> Fut<'_, Option<Blob>> {
        self.fetch(move |log| log.blob(kind, upto))
    }

    fn truncate(&self, end: Offset) -> Fut<'_, ()> {
        self.work(move |log| log.truncate(end))
    }

    fn reset(&self, next: Offset, blobs: Vec<Blob>) -> Fut<'_, ()> {
        self.work(move |log| log.reset(next, &blobs))
    }

    fn advance_start(&self, to: Offset) -> Fut<'_, ()> {
        self.work(move |log| log.advance_start(to))
    }

    fn rewrite(self: Arc<Self>, base: Offset) -> Fut<'static, Box<dyn SegmentRewrite>> {
        self.work(move |log| log.begin_rewrite(base))
    }

    fn segments(&self) -> Vec<SegmentMeta> {
        let st = self.0.state.lock();
        st.segments.iter().map(|e| meta_of(&e.facts)).collect()
    }

    fn bytes(&self) -> u64 {
        let st = self.0.state.lock();
        st.segments.iter().map(|e| e.facts.bytes).sum()
    }

    fn close(&self) -> Fut<'_, ()> {
        self.work(|log| log.close())
    }
}

impl Log {
    fn configure(self: &Arc<Self>, config: SegmentConfig) {
        let mut st = self.state.lock();
        st.config = config;
        if config.flush == FlushMode::Relaxed && st.ends.promised < st.ends.end {
            st.ends.promised = st.ends.end;
            st.publish();
            let kept = std::mem::take(&mut st.promises);
            drop(st);
            kept.into_iter().for_each(Promise::keep);
        }
    }
}
