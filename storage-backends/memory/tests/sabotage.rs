//! The conformance suite can fail: a backend broken in one way at a time, and the check that must notice.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::watch;
use watershed_model::{ManualClock, Offset, Piece, Timestamp, TopicIdPartition};
use watershed_storage::conformance::{self, Subject, harness};
use watershed_storage::{
    Blob, Caps, Ends, Frame, FrameMeta, Framing, Fut, Health, LogStorage, PartitionLog, Read, RecoveryReport,
    SegmentConfig, SegmentMeta, SegmentRewrite, StorageError, Ticket,
};
use watershed_storage_memory::MemoryStorage;

/// One broken sentence each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    EndLags,
    PromisedAboveEnd,
    GenerationStands,
    ProgressIsDetached,
    AppendLosesTheLastFrame,
    AppendAcceptsBelowTheEnd,
    TicketFails,
    TicketRangeIsWrong,
    ReadIgnoresUpto,
    ReadIgnoresMax,
    ReadIgnoresMinOne,
    ReadSkipsTheFrameAround,
    ReadFlipsABit,
    ReadForgivesOutOfRange,
    LoadDiffers,
    PanicsOnLargeFrames,
    TimeOffByOne,
    RollDoesNothing,
    RollAlways,
    CheckpointSeals,
    CheckpointLosesBlobs,
    BlobIgnoresUpto,
    BlobsSurviveTruncation,
    TruncateDoesNothing,
    TruncateRoundsUp,
    ResetLosesBlobs,
    ResetKeepsBlobs,
    ResetForgetsTheStart,
    StartMovesBeyond,
    StartStands,
    SegmentsAllSealed,
    SegmentBytesLag,
    BytesLag,
    RewriteDoesNothing,
    RewriteLosesFrames,
    RewriteTruncates,
    RewriteIsSeenBeforeItsCommit,
    RewriteAcceptsAnySegment,
    RewriteAcceptsAnyFrame,
    RewriteForgetsWhatChanged,
    CloseDoesNothing,
    SecondOpenSucceeds,
    ListIsEmpty,
    ListKeepsTheDestroyed,
    DestroyDoesNothing,
    DestroyOfNothingFails,
    BackendCloseDoesNothing,
    FullFromTheStart,
}

/// Which check must find which fault (others may, too).
const FOUND_BY: &[(Fault, &str)] = &[
    (Fault::EndLags, "append::offsets_and_ends_are_those_of_the_frames"),
    (Fault::PromisedAboveEnd, "append::offsets_and_ends_are_those_of_the_frames"),
    (Fault::GenerationStands, "cut::truncate_at_every_offset"),
    (Fault::ProgressIsDetached, "append::progress_tells_of_every_promise"),
    (Fault::AppendLosesTheLastFrame, "append::offsets_and_ends_are_those_of_the_frames"),
    (Fault::AppendAcceptsBelowTheEnd, "append::a_frame_below_the_end_is_refused_whole"),
    (Fault::TicketFails, "append::an_append_is_readable_on_return"),
    (Fault::TicketRangeIsWrong, "append::offsets_and_ends_are_those_of_the_frames"),
    (Fault::ReadIgnoresUpto, "read::every_bound_in_every_combination"),
    (Fault::ReadIgnoresMax, "read::every_bound_in_every_combination"),
    (Fault::ReadIgnoresMinOne, "load::large_frames_come_back_whole"),
    (Fault::ReadSkipsTheFrameAround, "read::every_bound_in_every_combination"),
    (Fault::ReadFlipsABit, "append::an_append_is_readable_on_return"),
    (Fault::ReadForgivesOutOfRange, "read::outside_the_log_is_out_of_range"),
    (Fault::LoadDiffers, "read::every_bound_in_every_combination"),
    (Fault::PanicsOnLargeFrames, "load::large_frames_come_back_whole"),
    (Fault::TimeOffByOne, "segments::a_frame_is_found_by_time"),
    (Fault::RollDoesNothing, "segments::roll_seals_and_opens_the_next"),
    (Fault::RollAlways, "segments::rolling_an_empty_segment_only_keeps_blobs"),
    (Fault::CheckpointSeals, "segments::checkpoint_makes_durable_without_sealing"),
    (Fault::CheckpointLosesBlobs, "segments::the_newest_blob_at_or_below_is_found"),
    (Fault::BlobIgnoresUpto, "segments::the_newest_blob_at_or_below_is_found"),
    (Fault::BlobsSurviveTruncation, "cut::truncate_drops_blobs_above"),
    (Fault::TruncateDoesNothing, "cut::truncate_at_every_offset"),
    (Fault::TruncateRoundsUp, "cut::truncate_at_every_offset"),
    (Fault::ResetLosesBlobs, "cut::reset_empties_and_goes_on_at_next"),
    (Fault::ResetKeepsBlobs, "cut::reset_empties_and_goes_on_at_next"),
    (Fault::ResetForgetsTheStart, "cut::reset_empties_and_goes_on_at_next"),
    (Fault::StartMovesBeyond, "cut::the_start_moves_forward_only"),
    (Fault::StartStands, "cut::segments_below_the_start_are_deleted"),
    (Fault::SegmentsAllSealed, "segments::summaries_are_those_of_the_frames"),
    (Fault::SegmentBytesLag, "segments::summaries_are_those_of_the_frames"),
    (Fault::BytesLag, "segments::summaries_are_those_of_the_frames"),
    (Fault::RewriteDoesNothing, "rewrite::a_segment_gets_the_new_frames"),
    (Fault::RewriteLosesFrames, "rewrite::readers_in_a_gap_get_the_next_frame"),
    (Fault::RewriteTruncates, "rewrite::a_segment_without_frames_is_no_more"),
    (Fault::RewriteIsSeenBeforeItsCommit, "rewrite::nothing_changes_before_the_commit"),
    (Fault::RewriteAcceptsAnySegment, "rewrite::what_does_not_belong_there_is_refused"),
    (Fault::RewriteAcceptsAnyFrame, "rewrite::what_does_not_belong_there_is_refused"),
    (Fault::RewriteForgetsWhatChanged, "rewrite::a_segment_that_changed_is_left_alone"),
    (Fault::CloseDoesNothing, "life::a_closed_handle_is_gone"),
    (Fault::SecondOpenSucceeds, "life::a_log_is_open_once"),
    (Fault::ListIsEmpty, "life::lists_what_it_holds"),
    (Fault::ListKeepsTheDestroyed, "life::lists_what_it_holds"),
    (Fault::DestroyDoesNothing, "life::destroy_removes_and_handles_are_gone"),
    (Fault::DestroyOfNothingFails, "life::destroy_removes_and_handles_are_gone"),
    (Fault::BackendCloseDoesNothing, "life::a_closed_backend_takes_nothing"),
    (Fault::FullFromTheStart, "life::health_and_room_are_good_at_the_start"),
];

struct Broken {
    inner: MemoryStorage,
    fault: Fault,
    opened: Mutex<HashMap<TopicIdPartition, Arc<BrokenLog>>>,
}

struct BrokenLog {
    inner: Arc<dyn PartitionLog>,
    fault: Fault,
    blobs: Mutex<Vec<Blob>>,
    /// Kept for [`Fault::CloseDoesNothing`] of a log and for detached receivers.
    detached: watch::Sender<Ends>,
}

impl Broken {
    fn new(fault: Fault) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp(1)));
        let bytes_max = (fault == Fault::FullFromTheStart).then_some(0);
        Self { inner: MemoryStorage::new(clock, bytes_max), fault, opened: Mutex::default() }
    }
}

fn done<'a, T: Send + 'a>(result: Result<T, StorageError>) -> Fut<'a, T> {
    Box::pin(ready(result))
}

impl LogStorage for Broken {
    fn caps(&self) -> Caps {
        self.inner.caps()
    }

    fn list(&self) -> Fut<'_, Vec<TopicIdPartition>> {
        match self.fault {
            Fault::ListIsEmpty => done(Ok(vec![])),
            Fault::ListKeepsTheDestroyed => done(Ok(self.opened.lock().unwrap().keys().copied().collect())),
            _ => self.inner.list(),
        }
    }

    fn open(
        &self,
        tp: TopicIdPartition,
        config: SegmentConfig,
        framing: Arc<dyn Framing>,
    ) -> Fut<'_, (Arc<dyn PartitionLog>, RecoveryReport)> {
        Box::pin(async move {
            let (inner, report) = match self.inner.open(tp, config, framing).await {
                Err(StorageError::Invalid(_)) if self.fault == Fault::SecondOpenSucceeds => {
                    let log = self.opened.lock().unwrap()[&tp].clone();
                    return Ok((log as Arc<dyn PartitionLog>, RecoveryReport::default()));
                }
                opened => opened?,
            };
            let detached = watch::Sender::new(inner.ends());
            let log = Arc::new(BrokenLog { inner, fault: self.fault, blobs: Mutex::default(), detached });
            self.opened.lock().unwrap().insert(tp, log.clone());
            Ok((log as Arc<dyn PartitionLog>, report))
        })
    }

    fn destroy(&self, tp: TopicIdPartition) -> Fut<'_, ()> {
        let missing = !self.opened.lock().unwrap().contains_key(&tp);
        match self.fault {
            Fault::DestroyDoesNothing => done(Ok(())),
            Fault::DestroyOfNothingFails if missing => done(Err(StorageError::Gone)),
            _ => self.inner.destroy(tp),
        }
    }

    fn room(&self) -> Option<Fut<'_, ()>> {
        self.inner.room()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.inner.health()
    }

    fn close(&self) -> Fut<'_, ()> {
        if self.fault == Fault::BackendCloseDoesNothing {
            return done(Ok(()));
        }
        self.inner.close()
    }
}

impl BrokenLog {
    fn kept(&self, blobs: &[Blob]) {
        self.blobs.lock().unwrap().extend_from_slice(blobs);
    }

    /// What a read of the inner log answers, spoilt.
    fn spoil(&self, from: Offset, bytes: Bytes) -> Bytes {
        match self.fault {
            Fault::ReadFlipsABit if !bytes.is_empty() => {
                let mut spoilt = bytes.to_vec();
                *spoilt.last_mut().unwrap() ^= 1;
                spoilt.into()
            }
            Fault::ReadSkipsTheFrameAround => match harness::parse(&bytes).unwrap().first() {
                Some(first) if first.base < from => bytes.slice(first.len as usize..),
                _ => bytes,
            },
            _ => bytes,
        }
    }

    fn bounds(&self, upto: Offset, max: u32, min_one: bool) -> (Offset, u32, bool) {
        match self.fault {
            Fault::ReadIgnoresUpto => (Offset(i64::MAX), max, min_one),
            Fault::ReadIgnoresMax => (upto, u32::MAX, min_one),
            Fault::ReadIgnoresMinOne => (upto, max, false),
            _ => (upto, max, min_one),
        }
    }

    async fn fetch(&self, from: Offset, upto: Offset, max: u32, min_one: bool) -> Result<Bytes, StorageError> {
        let (upto, max, min_one) = self.bounds(upto, max, min_one);
        match self.inner.load(from, upto, max, min_one).await {
            Err(StorageError::OutOfRange { .. }) if self.fault == Fault::ReadForgivesOutOfRange => Ok(Bytes::new()),
            loaded => Ok(self.spoil(from, loaded?)),
        }
    }
}

impl PartitionLog for BrokenLog {
    fn configure(&self, config: SegmentConfig) {
        self.inner.configure(config);
    }

    fn append(&self, mut frames: Vec<Frame>) -> Result<Ticket, StorageError> {
        let large = frames.iter().any(|f| f.body.len() > 1 << 20);
        assert!(!large || self.fault != Fault::PanicsOnLargeFrames, "a panic inside the backend");
        if self.fault == Fault::AppendLosesTheLastFrame && frames.len() > 1 {
            frames.pop();
        }
        let zero = Offset(0)..Offset(0);
        match (self.fault, self.inner.append(frames)) {
            (Fault::AppendAcceptsBelowTheEnd, Err(StorageError::Invalid(_))) => Ok(Ticket::ripe(zero)),
            (Fault::TicketFails, Ok(ticket)) => {
                let (ticket, promise) = Ticket::pending(ticket.range());
                promise.fail(StorageError::Truncated);
                Ok(ticket)
            }
            (Fault::TicketRangeIsWrong, Ok(_)) => Ok(Ticket::ripe(zero)),
            (_, appended) => appended,
        }
    }

    fn ends(&self) -> Ends {
        let mut ends = self.inner.ends();
        match self.fault {
            Fault::EndLags if ends.end > ends.start => {
                ends.end = ends.end.plus(-1);
                (ends.synced, ends.promised) = (ends.end, ends.end);
            }
            Fault::PromisedAboveEnd => ends.promised = ends.end.plus(1),
            Fault::GenerationStands => ends.generation = 0,
            _ => {}
        }
        ends
    }

    fn progress(&self) -> watch::Receiver<Ends> {
        if self.fault == Fault::ProgressIsDetached {
            return watch::Sender::new(*self.detached.borrow()).subscribe();
        }
        self.inner.progress()
    }

    fn read(&self, from: Offset, upto: Offset, max_bytes: u32, min_one: bool) -> Read<'_> {
        Read::Later(Box::pin(async move { Ok(vec![Piece::Bytes(self.fetch(from, upto, max_bytes, min_one).await?)]) }))
    }

    fn load(&self, from: Offset, upto: Offset, max_bytes: u32, min_one: bool) -> Fut<'_, Bytes> {
        let min_one = min_one && self.fault != Fault::LoadDiffers;
        Box::pin(self.fetch(from, upto, max_bytes, min_one))
    }

    fn frame_at_time(&self, at: Timestamp) -> Fut<'_, Option<FrameMeta>> {
        let late = i64::from(self.fault == Fault::TimeOffByOne);
        self.inner.frame_at_time(Timestamp(at.0 + late))
    }

    fn roll(&self, blobs: Vec<Blob>) -> Result<Ticket, StorageError> {
        let end = self.inner.ends().end;
        match self.fault {
            Fault::RollDoesNothing => return self.inner.checkpoint(blobs),
            Fault::RollAlways => drop(self.inner.append(vec![harness::frame(end.0, 1, 0, 0, 1)])),
            _ => {}
        }
        self.kept(&blobs);
        self.inner.roll(blobs)
    }

    fn checkpoint(&self, blobs: Vec<Blob>) -> Result<Ticket, StorageError> {
        self.kept(&blobs);
        match self.fault {
            Fault::CheckpointSeals => self.inner.roll(blobs),
            Fault::CheckpointLosesBlobs => self.inner.checkpoint(vec![]),
            _ => self.inner.checkpoint(blobs),
        }
    }

    fn blob(&self, kind: u8, upto: Offset) -> Fut<'_, Option<Blob>> {
        match self.fault {
            Fault::BlobIgnoresUpto => self.inner.blob(kind, Offset(i64::MAX)),
            Fault::BlobsSurviveTruncation => {
                let blobs = self.blobs.lock().unwrap();
                done(Ok(blobs.iter().rev().find(|b| b.kind == kind && b.at <= upto).cloned()))
            }
            _ => self.inner.blob(kind, upto),
        }
    }

    fn truncate(&self, end: Offset) -> Fut<'_, ()> {
        match self.fault {
            Fault::TruncateDoesNothing => done(Ok(())),
            Fault::TruncateRoundsUp => self.inner.truncate(end.plus(2)),
            _ => self.inner.truncate(end),
        }
    }

    fn reset(&self, next: Offset, mut blobs: Vec<Blob>) -> Fut<'_, ()> {
        match self.fault {
            Fault::ResetLosesBlobs => blobs.clear(),
            Fault::ResetKeepsBlobs => blobs.extend(self.blobs.lock().unwrap().iter().cloned()),
            Fault::ResetForgetsTheStart => return self.inner.truncate(self.inner.ends().start),
            _ => {}
        }
        self.inner.reset(next, blobs)
    }

    fn advance_start(&self, to: Offset) -> Fut<'_, ()> {
        match self.fault {
            Fault::StartMovesBeyond => self.inner.advance_start(to.plus(1)),
            Fault::StartStands => done(Ok(())),
            _ => self.inner.advance_start(to),
        }
    }

    fn rewrite(self: Arc<Self>, base: Offset) -> Fut<'static, Box<dyn SegmentRewrite>> {
        Box::pin(async move {
            let inner = match (Arc::clone(&self.inner).rewrite(base).await, self.fault) {
                (Err(StorageError::Invalid(_)), Fault::RewriteAcceptsAnySegment) => None,
                (begun, _) => Some(begun?),
            };
            Ok(Box::new(BrokenRewrite { inner, log: Arc::clone(&self.inner), base, fault: self.fault })
                as Box<dyn SegmentRewrite>)
        })
    }

    fn segments(&self) -> Vec<SegmentMeta> {
        let mut segments = self.inner.segments();
        for segment in &mut segments {
            match self.fault {
                Fault::SegmentsAllSealed => segment.sealed = true,
                Fault::SegmentBytesLag => segment.bytes = segment.bytes.saturating_sub(1),
                _ => {}
            }
        }
        segments
    }

    fn bytes(&self) -> u64 {
        let lag = u64::from(self.fault == Fault::BytesLag);
        self.inner.bytes().saturating_sub(lag)
    }

    fn close(&self) -> Fut<'_, ()> {
        if self.fault == Fault::CloseDoesNothing {
            return done(Ok(()));
        }
        self.inner.close()
    }
}

struct BrokenRewrite {
    /// `None`: there is nothing to rewrite.
    inner: Option<Box<dyn SegmentRewrite>>,
    log: Arc<dyn PartitionLog>,
    base: Offset,
    fault: Fault,
}

impl SegmentRewrite for BrokenRewrite {
    fn write(&mut self, mut frames: Vec<Frame>) -> Fut<'_, ()> {
        Box::pin(async move {
            let Some(inner) = &mut self.inner else { return Ok(()) };
            match self.fault {
                Fault::RewriteLosesFrames => frames.truncate(0),
                Fault::RewriteIsSeenBeforeItsCommit if !frames.is_empty() => {
                    let mut now = Arc::clone(&self.log).rewrite(self.base).await?;
                    now.write(frames.clone()).await?;
                    now.commit().await?;
                }
                _ => {}
            }
            match inner.write(frames).await {
                Err(StorageError::Invalid(_)) if self.fault == Fault::RewriteAcceptsAnyFrame => Ok(()),
                written => written,
            }
        })
    }

    fn commit(self: Box<Self>) -> Fut<'static, ()> {
        Box::pin(async move {
            let Some(inner) = self.inner else { return Ok(()) };
            match self.fault {
                Fault::RewriteDoesNothing => return Ok(()),
                Fault::RewriteTruncates => self.log.truncate(self.log.ends().end.plus(-1)).await?,
                _ => {}
            }
            match inner.commit().await {
                Err(StorageError::Invalid(_)) if self.fault == Fault::RewriteForgetsWhatChanged => Ok(()),
                committed => committed,
            }
        })
    }
}

async fn failures(fault: Fault) -> Vec<conformance::Broken> {
    conformance::failures(|| async move { Subject::new(Broken::new(fault)) }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_found() {
    let unbroken = failures(Fault::None).await;
    assert!(unbroken.is_empty(), "the wrapper itself conforms: {unbroken:?}");
    let mut missed = Vec::new();
    for (fault, check) in FOUND_BY {
        let found = failures(*fault).await;
        let checks: Vec<_> = found.iter().map(|b| b.check).collect();
        if !checks.contains(check) {
            missed.push(format!("{fault:?} was found by {checks:?}, not by {check}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[should_panic(expected = "A read is empty if there is nothing below the bound")]
async fn a_failure_names_the_sentence() {
    conformance::run(|| async { Subject::new(Broken::new(Fault::ReadIgnoresUpto)) }).await;
}
