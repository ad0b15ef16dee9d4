//! A backend over `memory` whose promises are kept when the test says so: what a disk between two fsyncs looks like.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use watershed_model::{Clock, Offset, Timestamp, TopicIdPartition};
use watershed_storage::{
    Blob, Caps, Ends, Frame, FrameMeta, Framing, Fut, Health, LogStorage, PartitionLog, Promise, Read, RecoveryReport,
    SegmentConfig, SegmentMeta, SegmentRewrite, StorageError, Ticket,
};
use watershed_storage_memory::MemoryStorage;

pub(super) struct HeldStorage {
    inner: MemoryStorage,
    log: Mutex<Option<Arc<HeldLog>>>,
}

pub(super) struct HeldLog {
    inner: Arc<dyn PartitionLog>,
    held: Mutex<Held>,
    progress: watch::Sender<Ends>,
}

#[derive(Default)]
struct Held {
    promised: Offset,
    promises: Vec<Promise>,
    refuse: Option<StorageError>,
    checkpoints: usize,
}

impl HeldStorage {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { inner: MemoryStorage::new(clock, None), log: Mutex::default() }
    }

    /// The log that was opened.
    pub(super) fn log(&self) -> Arc<HeldLog> {
        self.log.lock().clone().unwrap()
    }
}

impl HeldLog {
    /// Promises everything appended so far, in one round.
    pub(super) fn release(&self) {
        let promises = {
            let mut held = self.held.lock();
            held.promised = self.inner.ends().end;
            std::mem::take(&mut held.promises)
        };
        self.progress.send_replace(self.ends());
        promises.into_iter().for_each(Promise::keep);
    }

    /// The round fails.
    pub(super) fn fail(&self, error: &StorageError) {
        let promises = std::mem::take(&mut self.held.lock().promises);
        promises.into_iter().for_each(|p| p.fail(error.clone()));
    }

    /// Appends fail from now on.
    pub(super) fn refuse(&self, error: Option<StorageError>) {
        self.held.lock().refuse = error;
    }

    pub(super) fn checkpoints(&self) -> usize {
        self.held.lock().checkpoints
    }
}

impl LogStorage for HeldStorage {
    fn caps(&self) -> Caps {
        self.inner.caps()
    }

    fn list(&self) -> Fut<'_, Vec<TopicIdPartition>> {
        self.inner.list()
    }

    fn open(
        &self,
        tp: TopicIdPartition,
        config: SegmentConfig,
        framing: Arc<dyn Framing>,
    ) -> Fut<'_, (Arc<dyn PartitionLog>, RecoveryReport)> {
        Box::pin(async move {
            let (inner, report) = self.inner.open(tp, config, framing).await?;
            let ends = inner.ends();
            let held = Mutex::new(Held { promised: ends.end, ..Held::default() });
            let log = Arc::new(HeldLog { inner, held, progress: watch::channel(ends).0 });
            *self.log.lock() = Some(log.clone());
            Ok((log as Arc<dyn PartitionLog>, report))
        })
    }

    fn destroy(&self, tp: TopicIdPartition) -> Fut<'_, ()> {
        self.inner.destroy(tp)
    }

    fn room(&self) -> Option<Fut<'_, ()>> {
        self.inner.room()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.inner.health()
    }

    fn close(&self) -> Fut<'_, ()> {
        self.inner.close()
    }
}

impl PartitionLog for HeldLog {
    fn configure(&self, config: SegmentConfig) {
        self.inner.configure(config);
    }

    fn append(&self, frames: Vec<Frame>) -> Result<Ticket, StorageError> {
        if let Some(error) = self.held.lock().refuse.clone() {
            return Err(error);
        }
        let range = self.inner.append(frames)?.range();
        let (ticket, promise) = Ticket::pending(range);
        self.held.lock().promises.push(promise);
        Ok(ticket)
    }

    fn ends(&self) -> Ends {
        let ends = self.inner.ends();
        let promised = self.held.lock().promised.min(ends.end);
        Ends { promised, synced: promised, ..ends }
    }

    fn progress(&self) -> watch::Receiver<Ends> {
        self.progress.subscribe()
    }

    fn read(&self, from: Offset, upto: Offset, max_bytes: u32, min_one: bool) -> Read<'_> {
        self.inner.read(from, upto, max_bytes, min_one)
    }

    fn load(&self, from: Offset, upto: Offset, max_bytes: u32, min_one: bool) -> Fut<'_, Bytes> {
        self.inner.load(from, upto, max_bytes, min_one)
    }

    fn frame_at_time(&self, at: Timestamp) -> Fut<'_, Option<FrameMeta>> {
        self.inner.frame_at_time(at)
    }

    fn roll(&self, blobs: Vec<Blob>) -> Result<Ticket, StorageError> {
        self.inner.roll(blobs)
    }

    fn checkpoint(&self, blobs: Vec<Blob>) -> Result<Ticket, StorageError> {
        self.held.lock().checkpoints += 1;
        self.inner.checkpoint(blobs)
    }

    fn blob(&self, kind: u8, upto: Offset) -> Fut<'_, Option<Blob>> {
        self.inner.blob(kind, upto)
    }

    fn truncate(&self, end: Offset) -> Fut<'_, ()> {
        Box::pin(async move {
            self.inner.truncate(end).await?;
            let cut = {
                let mut held = self.held.lock();
                let end = self.inner.ends().end;
                held.promised = held.promised.min(end);
                let (cut, stay) =
                    std::mem::take(&mut held.promises).into_iter().partition::<Vec<_>, _>(|p| p.end() > end);
                held.promises = stay;
                cut
            };
            cut.into_iter().for_each(|p| p.fail(StorageError::Truncated));
            self.progress.send_replace(self.ends());
            Ok(())
        })
    }

    fn reset(&self, next: Offset, blobs: Vec<Blob>) -> Fut<'_, ()> {
        Box::pin(async move {
            self.inner.reset(next, blobs).await?;
            self.held.lock().promised = next;
            self.progress.send_replace(self.ends());
            Ok(())
        })
    }

    fn advance_start(&self, to: Offset) -> Fut<'_, ()> {
        self.inner.advance_start(to)
    }

    fn rewrite(self: Arc<Self>, base: Offset) -> Fut<'static, Box<dyn SegmentRewrite>> {
        Arc::clone(&self.inner).rewrite(base)
    }

    fn segments(&self) -> Vec<SegmentMeta> {
        self.inner.segments()
    }

    fn bytes(&self) -> u64 {
        self.inner.bytes()
    }

    fn close(&self) -> Fut<'_, ()> {
        self.inner.close()
    }
}
