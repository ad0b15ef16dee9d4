//! Scripts, and what is known to be in the log after each of their steps.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use watershed_model::{Clock, Offset, SystemClock, Timestamp};
use watershed_storage::conformance::harness::{config as segment_config, frame, parse, partition};
use watershed_storage::framing::BatchFraming;
use watershed_storage::{
    Blob, Frame, FrameMeta, Framing, LogStorage, PartitionLog, RecoveryReport, SegmentMeta, StorageError,
};

use crate::fs::recording::RecordingFs;
use crate::janitor;
use crate::tests::config;
use crate::{DiskConfig, DiskStorage};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// So many batches, appended without waiting for each other.
    Append(usize),
    /// A batch for the partition beside, which must never notice anything.
    Beside,
    Roll,
    Checkpoint,
    /// The end moves back by so many frames.
    Truncate(usize),
    Reset(i64),
    /// The start moves up to the base of this frame.
    Advance(usize),
    /// The segment with this number, of those that are closed, is written anew: without the frames whose bit is set, and the first
    /// of the others smaller.
    Rewrite(usize, u32),
    /// The partition is closed and opened.
    Reopen,
    /// The whole directory is closed cleanly and opened by the next process.
    Restart,
    Destroy,
    /// As the start does with what it finds without a topic.
    DestroyClosed,
    /// What was deleted is removed.
    Sweep,
}

/// A frame: first and last offset, and a checksum of all its bytes, offset and epoch included.
pub(super) type Seen = (i64, i64, u32);

/// What the log is known to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) start: i64,
    pub(super) next: i64,
    pub(super) frames: Vec<Seen>,
    pub(super) blob: Option<i64>,
}

/// What a recovery may find: the step in flight may have been done in part.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowed {
    pub(super) before: Known,
    pub(super) after: Known,
    /// Frames of `before` that must be there whatever became of the step, by their number.
    pub(super) kept_min: usize,
    /// Frames of the step's appends, and how many of them were acknowledged.
    pub(super) appended: Vec<Seen>,
    pub(super) acked: usize,
    /// The step happens whole or not at all.
    pub(super) whole: bool,
    /// The partition was deleted, and nothing was done to it since.
    pub(super) gone: bool,
    /// What the partition beside was given, and how much of it was acknowledged.
    pub(super) beside: Vec<Seen>,
    pub(super) beside_acked: usize,
}

/// The wall clock stands still: equal states have equal bytes, and every name that is made of the time collides.
#[derive(Debug)]
struct Still(SystemClock);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp(5_000)
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

pub(super) fn open(fs: &RecordingFs) -> Option<DiskStorage> {
    let config = DiskConfig { clock: Arc::new(Still(SystemClock::new())), ..config(&PathBuf::from("/data")) };
    DiskStorage::open_on(config, Arc::new(fs.clone()), 8).ok()
}

pub(super) async fn open_log(
    storage: &DiskStorage,
    n: i32,
) -> Result<(Arc<dyn PartitionLog>, RecoveryReport), StorageError> {
    storage.open(partition(n), segment_config(), Arc::new(BatchFraming)).await
}

pub(super) fn snapshot(at: i64) -> Blob {
    Blob { kind: 1, at: Offset(at), bytes: Bytes::from(format!("snapshot at {at}")) }
}

fn seen(frame: &Frame) -> Seen {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&frame.head), &frame.body);
    (frame.meta.base.0, frame.meta.last.0, crc)
}

/// The frames in a run of bytes, each intact.
pub(super) fn frames_of(mut bytes: &[u8]) -> Result<Vec<Seen>, String> {
    parse(bytes)?;
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let meta = BatchFraming.parse(bytes).map_err(|e| e.to_string())?;
        let (frame, rest) = bytes.split_at(meta.len as usize);
        all.push((meta.base.0, meta.last.0, crc32c::crc32c(frame)));
        bytes = rest;
    }
    Ok(all)
}

pub(super) struct Run {
    fs: RecordingFs,
    storage: Option<DiskStorage>,
    log: Arc<dyn PartitionLog>,
    beside: Arc<dyn PartitionLog>,
    known: Known,
    gone: bool,
    epoch: i32,
    beside_frames: Vec<Seen>,
    beside_acked: usize,
}

impl Run {
    pub(super) async fn start(fs: &RecordingFs) -> Option<Self> {
        let storage = open(fs)?;
        let log = open_log(&storage, 0).await.ok()?.0;
        let beside = open_log(&storage, 1).await.ok()?.0;
        Some(Self {
            fs: fs.clone(),
            storage: Some(storage),
            log,
            beside,
            known: Known::default(),
            gone: true,
            epoch: 0,
            beside_frames: Vec::new(),
            beside_acked: 0,
        })
    }

    fn storage(&self) -> Result<&DiskStorage, StorageError> {
        self.storage.as_ref().ok_or(StorageError::Gone)
    }

    /// What a recovery may find while nothing is in flight.
    pub(super) fn settled(&self) -> Allowed {
        let (known, beside) = (self.known.clone(), self.beside_frames.clone());
        Allowed {
            kept_min: known.frames.len(),
            before: known.clone(),
            after: known,
            gone: self.gone,
            beside,
            beside_acked: self.beside_acked,
            ..Allowed::default()
        }
    }

    /// Runs a step. `Err` says what is allowed after a power cut in it.
    pub(super) async fn step(&mut self, step: Step) -> Result<(), Box<Allowed>> {
        let mut allowed = self.settled();
        let destroys = matches!(step, Step::Destroy | Step::DestroyClosed);
        allowed.whole = destroys || matches!(step, Step::Rewrite(..));
        let done = self.act(step, &mut allowed).await;
        let left_alone = matches!(step, Step::Beside | Step::Sweep | Step::Restart | Step::Reopen);
        allowed.gone &= left_alone || destroys;
        (allowed.beside, allowed.beside_acked) = (self.beside_frames.clone(), self.beside_acked);
        if done.is_err() {
            return Err(Box::new(allowed));
        }
        if matches!(step, Step::Truncate(_)) {
            // Which of the older ones are still there is the backend's choice.
            let end = Offset(allowed.after.next);
            allowed.after.blob = self.log.blob(1, end).await.unwrap_or(None).map(|b| b.at.0);
        }
        self.gone = destroys || (self.gone && left_alone);
        self.known = allowed.after;
        Ok(())
    }

    async fn act(&mut self, step: Step, allowed: &mut Allowed) -> Result<(), StorageError> {
        let after = &mut allowed.after;
        match step {
            Step::Append(n) => {
                let all = self.batches(n);
                allowed.appended = all.iter().map(seen).collect();
                after.frames.extend(&allowed.appended);
                after.next = allowed.appended.last().map_or(after.next, |f| f.1 + 1);
                self.append(all, &mut allowed.acked).await
            }
            Step::Beside => {
                let next = self.beside_frames.last().map_or(0, |f| f.1 + 1);
                let one = frame(next, 2, 0, 7, 700);
                self.beside_frames.push(seen(&one));
                self.beside.append(vec![one])?.await?;
                self.beside_acked += 1;
                Ok(())
            }
            Step::Roll | Step::Checkpoint => {
                after.blob = Some(after.next);
                let blobs = vec![snapshot(after.next)];
                let ticket = if step == Step::Roll { self.log.roll(blobs) } else { self.log.checkpoint(blobs) };
                ticket?.await.map(drop)
            }
            Step::Truncate(n) => {
                allowed.kept_min = after.frames.len() - n;
                after.next = after.frames[allowed.kept_min].0;
                after.frames.truncate(allowed.kept_min);
                after.blob = None;
                self.epoch += 1;
                self.log.truncate(Offset(after.next)).await
            }
            Step::Reset(next) => {
                allowed.kept_min = 0;
                *after = Known { start: next, next, frames: Vec::new(), blob: Some(next) };
                self.log.reset(Offset(next), vec![snapshot(next)]).await
            }
            Step::Advance(n) => {
                after.start = after.frames[n].0;
                after.frames.drain(..n);
                self.log.advance_start(Offset(after.start)).await
            }
            Step::Rewrite(n, gone) => {
                let segment = self.log.segments()[n];
                let frames = self.rewritten(segment, gone).await?;
                after.frames.retain(|f| f.0 < segment.base.0 || f.0 >= segment.end.0);
                after.frames.extend(frames.iter().map(seen));
                after.frames.sort_unstable();
                let mut rewrite = Arc::clone(&self.log).rewrite(segment.base).await?;
                for one in frames {
                    rewrite.write(vec![one]).await?;
                }
                rewrite.commit().await
            }
            Step::Reopen => {
                self.log.close().await?;
                self.open_again().await
            }
            Step::Restart => self.restart().await,
            Step::Destroy | Step::DestroyClosed => {
                *after = Known::default();
                if step == Step::DestroyClosed {
                    self.log.close().await?;
                }
                self.storage()?.destroy(partition(0)).await?;
                self.open_again().await
            }
            Step::Sweep => {
                janitor::remove_doomed(&self.storage()?.shared);
                Ok(())
            }
        }
    }

    /// What is to be left of a segment.
    async fn rewritten(&self, segment: SegmentMeta, gone: u32) -> Result<Vec<Frame>, StorageError> {
        let mut bytes = self.log.load(segment.base, segment.end, u32::MAX, true).await?;
        let mut frames = Vec::new();
        for n in 0.. {
            let Ok(meta) = BatchFraming.parse(&bytes) else { break };
            let mut one = bytes.split_to(meta.len as usize);
            let head = one.split_to(BatchFraming.head_bytes());
            if gone & (1 << n) == 0 {
                let head = head[..].try_into().unwrap();
                frames.push(Frame { meta, head, body: one });
            }
        }
        if let Some(first) = frames.first_mut() {
            let FrameMeta { base, last, epoch, .. } = first.meta;
            *first = frame(base.0, (last.0 - base.0 + 1) as i32, epoch.0, 1_000, 20);
        }
        Ok(frames)
    }

    fn batches(&self, n: usize) -> Vec<Frame> {
        let mut next = self.known.next;
        (0..n)
            .map(|i| {
                let count = 1 + i as i32 % 3;
                let one = frame(next, count, self.epoch, 1_000 + next, 100 + 300 * i);
                next += i64::from(count);
                one
            })
            .collect()
    }

    async fn append(&self, all: Vec<Frame>, acked: &mut usize) -> Result<(), StorageError> {
        let mut tickets = Vec::new();
        let mut failure = Ok(());
        for one in all {
            match self.log.append(vec![one]) {
                Ok(ticket) => tickets.push(ticket),
                Err(e) => {
                    failure = Err(e);
                    break;
                }
            }
        }
        for ticket in tickets {
            ticket.await?;
            *acked += 1;
        }
        failure
    }

    async fn open_again(&mut self) -> Result<(), StorageError> {
        self.log = open_log(self.storage()?, 0).await?.0;
        Ok(())
    }

    async fn restart(&mut self) -> Result<(), StorageError> {
        self.storage()?.close().await?;
        self.storage = None;
        let storage = open(&self.fs).ok_or(StorageError::Gone)?;
        self.log = open_log(&storage, 0).await?.0;
        self.beside = open_log(&storage, 1).await?.0;
        self.storage = Some(storage);
        Ok(())
    }
}
