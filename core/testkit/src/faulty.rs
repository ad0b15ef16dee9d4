//! A storage backend that misbehaves on command.
//!
//! Without a fault it is the backend that it wraps, and conforms as that does. Invariant with held tickets: `promised` and
//! `synced` never pass the first held one, in `ends` and in `progress`, so that nobody sees a promise before its ticket.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use watershed_model::{Offset, Timestamp, TopicIdPartition};
use watershed_storage::{
    Blob, Caps, Ends, Frame, FrameMeta, Framing, Fut, Health, LogStorage, PartitionLog, Promise, Read, RecoveryReport,
    SegmentConfig, SegmentMeta, SegmentRewrite, StorageError, Ticket,
};

use crate::faults::{Faults, Op};

/// Wraps a backend; [`FaultyStorage::faults`] says what goes wrong.
pub struct FaultyStorage {
    inner: Arc<dyn LogStorage>,
    faults: Faults,
}

impl FaultyStorage {
    /// A storage that behaves as `inner` until told otherwise.
    #[must_use]
    pub fn new(inner: impl LogStorage + 'static) -> Self {
        let faults = Faults::new(inner.health());
        Self { inner: Arc::new(inner), faults }
    }

    /// The remote control.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }
}

impl std::fmt::Debug for FaultyStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultyStorage").field("inner", &self.inner.caps()).finish_non_exhaustive()
    }
}

impl LogStorage for FaultyStorage {
    fn caps(&self) -> Caps {
        self.inner.caps()
    }

    fn list(&self) -> Fut<'_, Vec<TopicIdPartition>> {
        Box::pin(async {
            self.faults.pass(Op::List).await?;
            self.inner.list().await
        })
    }

    fn open(
        &self,
        tp: TopicIdPartition,
        config: SegmentConfig,
        framing: Arc<dyn Framing>,
    ) -> Fut<'_, (Arc<dyn PartitionLog>, RecoveryReport)> {
        Box::pin(async move {
            self.faults.pass(Op::Open).await?;
            let (inner, report) = self.inner.open(tp, config, framing).await?;
            let log = Arc::new(FaultyLog::new(inner, self.faults.clone()));
            self.faults.opened(tp, &log);
            tokio::spawn(forward(log.inner.progress(), Arc::downgrade(&log)));
            Ok((log as Arc<dyn PartitionLog>, report))
        })
    }

    fn destroy(&self, tp: TopicIdPartition) -> Fut<'_, ()> {
        Box::pin(async move {
            self.faults.pass(Op::Destroy).await?;
            self.inner.destroy(tp).await
        })
    }

    fn room(&self) -> Option<Fut<'_, ()>> {
        self.inner.room()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.faults.health()
    }

    fn close(&self) -> Fut<'_, ()> {
        Box::pin(async {
            self.faults.pass(Op::Close).await?;
            self.inner.close().await
        })
    }
}

/// Passes the inner log's progress on, for backends that promise later; ends with the inner log.
async fn forward(mut inner: watch::Receiver<Ends>, log: std::sync::Weak<FaultyLog>) {
    while inner.changed().await.is_ok() {
        let Some(log) = log.upgrade() else { return };
        log.publish();
    }
    if let Some(log) = log.upgrade() {
        // Held tickets fail with `Gone` as their promises drop.
        *log.state.lock() = State::default();
    }
}

pub(crate) struct FaultyLog {
    inner: Arc<dyn PartitionLog>,
    faults: Faults,
    state: Mutex<State>,
    progress: watch::Receiver<Ends>,
}

#[derive(Default)]
struct State {
    held: VecDeque<Held>,
    /// Where a held ticket was failed: what came after stays unpromised.
    failed_at: Option<Offset>,
    progress: Option<watch::Sender<Ends>>,
}

struct Held {
    inner: Ticket,
    promise: Promise,
}

impl Held {
    /// Ripens the outer ticket when the inner one is ripe.
    fn release(self) {
        let Self { inner, promise } = self;
        if inner.is_ripe() {
            promise.keep();
            return;
        }
        tokio::spawn(async move {
            match inner.await {
                Ok(_) => promise.keep(),
                Err(error) => promise.fail(error),
            }
        });
    }
}

impl State {
    /// The inner ends, promised no further than the first ticket that is held or failed.
    fn clamp(&self, mut ends: Ends) -> Ends {
        let held = self.held.front().map(|held| held.inner.range().start);
        let floor = [held, self.failed_at].into_iter().flatten().min();
        if let Some(floor) = floor {
            ends.promised = ends.promised.min(floor);
            ends.synced = ends.synced.min(floor);
        }
        ends
    }

    /// Forgets what was held above a cut.
    fn cut(&mut self, end: Offset) {
        self.failed_at = self.failed_at.filter(|at| *at < end);
        let held = std::mem::take(&mut self.held);
        for one in held {
            if one.inner.range().end > end {
                one.promise.fail(StorageError::Truncated);
            } else {
                self.held.push_back(one);
            }
        }
    }
}

impl FaultyLog {
    fn new(inner: Arc<dyn PartitionLog>, faults: Faults) -> Self {
        let (sender, progress) = watch::channel(inner.ends());
        let state = State { progress: Some(sender), ..State::default() };
        Self { inner, faults, state: Mutex::new(state), progress }
    }

    fn publish(&self) {
        let state = self.state.lock();
        if let Some(progress) = &state.progress {
            let ends = state.clamp(self.inner.ends());
            progress.send_if_modified(|last| std::mem::replace(last, ends) != ends);
        }
    }

    /// Holds the ticket of a call, if tickets are held.
    fn issue(&self, call: impl FnOnce() -> Result<Ticket, StorageError>) -> Result<Ticket, StorageError> {
        // One lock over call and queue, so that the queue has the order of the log.
        let mut state = self.state.lock();
        let inner = call()?;
        let ticket = if self.faults.holding() {
            let (ticket, promise) = Ticket::pending(inner.range());
            state.held.push_back(Held { inner, promise });
            ticket
        } else {
            inner
        };
        drop(state);
        self.publish();
        Ok(ticket)
    }

    fn take(&self, count: usize) -> Vec<Held> {
        let mut state = self.state.lock();
        let count = count.min(state.held.len());
        state.held.drain(..count).collect()
    }

    pub(crate) fn release(&self, count: usize) -> usize {
        let taken = self.take(count);
        let n = taken.len();
        // First the ends, then the tickets: whoever is woken sees the promise.
        self.publish();
        taken.into_iter().for_each(Held::release);
        n
    }

    pub(crate) fn release_all(&self) {
        self.state.lock().failed_at = None;
        self.release(usize::MAX);
    }

    pub(crate) fn fail_held(&self, count: usize, error: &StorageError) -> usize {
        let taken = self.take(count);
        if let Some(first) = taken.first() {
            let mut state = self.state.lock();
            let at = first.inner.range().start;
            state.failed_at = Some(state.failed_at.map_or(at, |before| before.min(at)));
        }
        let n = taken.len();
        self.publish();
        taken.into_iter().for_each(|held| held.promise.fail(error.clone()));
        n
    }

    /// A call that makes the log shorter or moves its start.
    async fn cut(&self, op: Op, call: Fut<'_, ()>) -> Result<(), StorageError> {
        self.faults.pass(op).await?;
        let generation = self.inner.ends().generation;
        call.await?;
        let ends = self.inner.ends();
        if op == Op::Reset {
            self.state.lock().cut(Offset(i64::MIN));
        } else if ends.generation != generation {
            self.state.lock().cut(ends.end);
        }
        self.publish();
        Ok(())
    }
}

impl PartitionLog for FaultyLog {
    fn configure(&self, config: SegmentConfig) {
        self.inner.configure(config);
    }

    fn append(&self, frames: Vec<Frame>) -> Result<Ticket, StorageError> {
        self.faults.admit(Op::Append)?;
        self.issue(|| self.inner.append(frames))
    }

    fn ends(&self) -> Ends {
        self.state.lock().clamp(self.inner.ends())
    }

    fn progress(&self) -> watch::Receiver<Ends> {
        let mut receiver = self.progress.clone();
        receiver.mark_unchanged();
        receiver
    }

    fn read(&self, from: Offset, upto: Offset, max_bytes: u32, min_one: bool) -> Read<'_> {
        if self.faults.stalled(Op::Read) {
            return Read::Later(Box::pin(async move {
                self.faults.pass(Op::Read).await?;
                self.inner.read(from, upto, max_bytes, min_one).wait().await
            }));
        }
        match self.faults.admit(Op::Read) {
            Ok(()) => self.inner.read(from, upto, max_bytes, min_one),
            Err(error) => Read::Later(Box::pin(std::future::ready(Err(error)))),
        }
    }

    fn load(&self, from: Offset, upto: Offset, max_bytes: u32, min_one: bool) -> Fut<'_, Bytes> {
        Box::pin(async move {
            self.faults.pass(Op::Read).await?;
            self.inner.load(from, upto, max_bytes, min_one).await
        })
    }

    fn frame_at_time(&self, at: Timestamp) -> Fut<'_, Option<FrameMeta>> {
        Box::pin(async move {
            self.faults.pass(Op::FrameAtTime).await?;
            self.inner.frame_at_time(at).await
        })
    }

    fn roll(&self, blobs: Vec<Blob>) -> Result<Ticket, StorageError> {
        self.faults.admit(Op::Roll)?;
        self.issue(|| self.inner.roll(blobs))
    }

    fn checkpoint(&self, blobs: Vec<Blob>) -> Result<Ticket, StorageError> {
        self.faults.admit(Op::Checkpoint)?;
        self.issue(|| self.inner.checkpoint(blobs))
    }

    fn blob(&self, kind: u8, upto: Offset) -> Fut<'_, Option<Blob>> {
        Box::pin(async move {
            self.faults.pass(Op::Blob).await?;
            self.inner.blob(kind, upto).await
        })
    }

    fn truncate(&self, end: Offset) -> Fut<'_, ()> {
        Box::pin(self.cut(Op::Truncate, Box::pin(async move { self.inner.truncate(end).await })))
    }

    fn reset(&self, next: Offset, blobs: Vec<Blob>) -> Fut<'_, ()> {
        Box::pin(self.cut(Op::Reset, Box::pin(async move { self.inner.reset(next, blobs).await })))
    }

    fn advance_start(&self, to: Offset) -> Fut<'_, ()> {
        Box::pin(self.cut(Op::AdvanceStart, Box::pin(async move { self.inner.advance_start(to).await })))
    }

    fn rewrite(self: Arc<Self>, base: Offset) -> Fut<'static, Box<dyn SegmentRewrite>> {
        Box::pin(async move {
            self.faults.pass(Op::Rewrite).await?;
            let inner = Arc::clone(&self.inner).rewrite(base).await?;
            Ok(Box::new(FaultyRewrite { inner, faults: self.faults.clone() }) as Box<dyn SegmentRewrite>)
        })
    }

    fn segments(&self) -> Vec<SegmentMeta> {
        self.inner.segments()
    }

    fn bytes(&self) -> u64 {
        self.inner.bytes()
    }

    fn close(&self) -> Fut<'_, ()> {
        Box::pin(async {
            self.faults.pass(Op::Close).await?;
            self.inner.close().await
        })
    }
}

struct FaultyRewrite {
    inner: Box<dyn SegmentRewrite>,
    faults: Faults,
}

impl SegmentRewrite for FaultyRewrite {
    fn write(&mut self, frames: Vec<Frame>) -> Fut<'_, ()> {
        self.inner.write(frames)
    }

    fn commit(self: Box<Self>) -> Fut<'static, ()> {
        Box::pin(async move {
            self.faults.pass(Op::Rewrite).await?;
            self.inner.commit().await
        })
    }
}
