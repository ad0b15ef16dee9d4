//! What a partition holds: segments of frames, and blobs. Pure data; the handle around it has the lock.
//!
//! Invariants: there is always at least one segment and only the last is unsealed; frames and segments are in offset order;
//! `start <= end`. Between frames, and between segments, offsets may be missing.

use std::collections::VecDeque;
use std::mem::size_of;

use bytes::{BufMut, Bytes, BytesMut};
use watershed_model::{LeaderEpoch, Offset, Timestamp};
use watershed_storage::{Blob, Ends, Frame, FrameMeta, SegmentMeta, StorageError, check_rewritten};

/// How many blobs of one kind are kept, newest first. Older ones only help a truncation that goes further back than so
/// many checkpoints; the layer above rebuilds from the records then.
const BLOBS_PER_KIND_MAX: usize = 16;

/// A frame as it is kept: header and body side by side in an allocation of its own. The body that comes in is
/// a slice of a whole request; keeping the slice would keep the request, and the limit would bound nothing.
#[derive(Debug)]
struct Stored {
    meta: FrameMeta,
    /// The largest timestamp of this frame and all before it in the segment: makes time searchable.
    max_so_far: Timestamp,
    bytes: Bytes,
}

#[derive(Debug)]
struct Segment {
    meta: SegmentMeta,
    frames: Vec<Stored>,
}

/// A sealed segment that is being written anew.
#[derive(Debug)]
pub(crate) struct Rewritten {
    /// The segment as it was, and the log's count of truncations then.
    was: SegmentMeta,
    generation: u64,
    segment: Segment,
    behind: (Offset, LeaderEpoch),
}

impl Rewritten {
    /// Takes the next frames.
    pub(crate) fn write(&mut self, frames: Vec<Frame>) -> Result<(), StorageError> {
        self.behind = check_rewritten(&self.was, self.behind, &frames)?;
        frames.into_iter().for_each(|frame| self.segment.take(frame));
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct Contents {
    start: Offset,
    end: Offset,
    generation: u64,
    segments: VecDeque<Segment>,
    /// In the order of `at`, over all kinds.
    blobs: Vec<Blob>,
}

fn charge(frame_bytes: u64, frames: usize) -> u64 {
    frame_bytes + (frames * size_of::<Stored>()) as u64
}

impl Segment {
    fn new(base: Offset, now: Timestamp) -> Self {
        Self {
            meta: SegmentMeta {
                base,
                end: base,
                bytes: 0,
                records: 0,
                first_timestamp: None,
                max_timestamp: None,
                modified: now,
                sealed: false,
            },
            frames: Vec::new(),
        }
    }

    /// Takes a frame, copied into an allocation of its own.
    fn take(&mut self, Frame { meta, head, body }: Frame) {
        let mut bytes = BytesMut::with_capacity(meta.len as usize);
        bytes.put_slice(&head);
        bytes.put_slice(&body);
        self.push(meta, bytes.freeze());
    }

    fn push(&mut self, meta: FrameMeta, bytes: Bytes) {
        let max_so_far = self.meta.max_timestamp.map_or(meta.max_timestamp, |max| max.max(meta.max_timestamp));
        self.meta.end = meta.last.plus(1);
        self.meta.bytes += u64::from(meta.len);
        self.meta.records += u64::from(meta.records);
        self.meta.first_timestamp.get_or_insert(meta.max_timestamp);
        self.meta.max_timestamp = Some(max_so_far);
        self.frames.push(Stored { meta, max_so_far, bytes });
    }

    /// Keeps the frames that lie wholly below `end`.
    fn cut(&mut self, end: Offset) {
        let keep = self.frames.partition_point(|f| f.meta.last < end);
        for gone in self.frames.drain(keep..) {
            self.meta.bytes -= u64::from(gone.meta.len);
            self.meta.records -= u64::from(gone.meta.records);
        }
        let last = self.frames.last();
        self.meta.end = last.map_or(self.meta.base, |f| f.meta.last.plus(1));
        self.meta.max_timestamp = last.map(|f| f.max_so_far);
        if last.is_none() {
            self.meta.first_timestamp = None;
        }
        self.meta.sealed = false;
    }

    fn charged_bytes(&self) -> u64 {
        charge(self.meta.bytes, self.frames.len())
    }
}

impl Contents {
    /// An empty log at offset 0.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            start: Offset::ZERO,
            end: Offset::ZERO,
            generation: 0,
            segments: VecDeque::from([Segment::new(Offset::ZERO, now)]),
            blobs: Vec::new(),
        }
    }

    pub(crate) fn ends(&self) -> Ends {
        Ends { start: self.start, synced: self.end, promised: self.end, end: self.end, generation: self.generation }
    }

    pub(crate) fn segments(&self) -> Vec<SegmentMeta> {
        self.segments.iter().map(|s| s.meta).collect()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.meta.bytes).sum()
    }

    /// What the log counts against the limit.
    pub(crate) fn charged_bytes(&self) -> u64 {
        let blobs: usize = self.blobs.iter().map(|b| b.bytes.len()).sum();
        self.segments.iter().map(Segment::charged_bytes).sum::<u64>() + blobs as u64
    }

    /// What these frames will count against the limit.
    pub(crate) fn charge_of(frames: &[Frame]) -> u64 {
        let bytes = frames.iter().map(|f| u64::from(f.meta.len)).sum();
        charge(bytes, frames.len())
    }

    /// Checks what the contract asks of an append; answers the first offset.
    pub(crate) fn check_appendable(&self, frames: &[Frame]) -> Result<Offset, StorageError> {
        let mut end = self.end;
        for Frame { meta, head, body } in frames {
            let (base, last) = (meta.base, meta.last);
            if base < end || last < base || last.0 == i64::MAX {
                return Err(StorageError::Invalid(format!(
                    "a frame of offsets {base} to {last} cannot follow a log that ends at {end}"
                )));
            }
            if meta.len as usize != head.len() + body.len() {
                return Err(StorageError::Invalid(format!(
                    "the frame at {base} says {} bytes and has {}",
                    meta.len,
                    head.len() + body.len()
                )));
            }
            end = last.plus(1);
        }
        Ok(frames.first().map_or(self.end, |f| f.meta.base))
    }

    /// Appends frames that [`Contents::check_appendable`] let through.
    pub(crate) fn append(&mut self, frames: Vec<Frame>, now: Timestamp) {
        let active = self.active();
        for frame in frames {
            active.take(frame);
            active.meta.modified = now;
        }
        // A segment emptied by a truncation ends at its base, which may lie below the log's end.
        let appended = active.frames.last().map(|f| f.meta.last.plus(1));
        self.end = appended.map_or(self.end, |end| end.max(self.end));
    }

    fn active(&mut self) -> &mut Segment {
        self.segments.back_mut().expect("a log has a segment from its making")
    }

    /// Whole frames as [`watershed_storage::PartitionLog::read`] asks for them.
    pub(crate) fn read(
        &self,
        from: Offset,
        upto: Offset,
        max_bytes: u32,
        min_one: bool,
    ) -> Result<Vec<Bytes>, StorageError> {
        if from < self.start || from > self.end {
            return Err(StorageError::OutOfRange { offset: from, start: self.start, end: self.end });
        }
        let mut pieces = Vec::new();
        let mut room = max_bytes;
        for frame in self.frames_from(from) {
            let fits = frame.meta.len <= room || (min_one && pieces.is_empty());
            if !fits || frame.meta.last >= upto {
                break;
            }
            room = room.saturating_sub(frame.meta.len);
            pieces.push(frame.bytes.clone());
        }
        Ok(pieces)
    }

    /// The frames from the one that holds `from`, or the first after it.
    fn frames_from(&self, from: Offset) -> impl Iterator<Item = &Stored> {
        let first = self.segments.partition_point(|s| s.meta.end <= from);
        self.segments.range(first..).enumerate().flat_map(move |(i, segment)| {
            let skip = if i == 0 { segment.frames.partition_point(|f| f.meta.last < from) } else { 0 };
            &segment.frames[skip..]
        })
    }

    pub(crate) fn frame_at_time(&self, at: Timestamp) -> Option<FrameMeta> {
        self.segments.iter().filter(|s| s.meta.max_timestamp.is_some_and(|max| max >= at)).find_map(|segment| {
            let late = segment.frames.partition_point(|f| f.max_so_far < at);
            let readable = segment.frames.partition_point(|f| f.meta.last < self.start);
            segment.frames[late.max(readable)..].iter().find(|f| f.meta.max_timestamp >= at).map(|f| f.meta)
        })
    }

    /// Seals the active segment, unless it is empty.
    pub(crate) fn roll(&mut self, now: Timestamp) {
        let base = self.end;
        let active = self.active();
        if active.frames.is_empty() {
            return;
        }
        active.meta.sealed = true;
        active.frames.shrink_to_fit();
        self.segments.push_back(Segment::new(base, now));
    }

    /// Begins to write the sealed segment `base` anew.
    pub(crate) fn rewrite(&self, base: Offset, now: Timestamp) -> Result<Rewritten, StorageError> {
        let found = self.segments.iter().find(|s| s.meta.base == base && s.meta.sealed);
        let was = found.ok_or_else(|| StorageError::Invalid(format!("there is no sealed segment at {base}")))?.meta;
        let mut segment = Segment::new(base, now);
        (segment.meta.modified, segment.meta.sealed) = (was.modified, true);
        Ok(Rewritten { was, generation: self.generation, segment, behind: (base, LeaderEpoch(i32::MIN)) })
    }

    /// Puts a segment that was written anew in the place of the old one.
    pub(crate) fn replace(&mut self, rewritten: Rewritten) -> Result<(), StorageError> {
        let Rewritten { was, generation, mut segment, .. } = rewritten;
        let found = self.segments.iter().position(|s| s.meta == was).filter(|_| self.generation == generation);
        let Some(at) = found else {
            return Err(StorageError::Invalid(format!("the segment at {} has changed meanwhile", was.base)));
        };
        if segment.frames.is_empty() {
            self.segments.remove(at);
        } else {
            segment.frames.shrink_to_fit();
            self.segments[at] = segment;
        }
        Ok(())
    }

    /// Keeps blobs; one of the same kind and position replaces the older one.
    pub(crate) fn keep(&mut self, blobs: Vec<Blob>) {
        for blob in blobs {
            let kind = blob.kind;
            self.blobs.retain(|b| (b.kind, b.at) != (kind, blob.at));
            // The bytes may be a slice of something larger: keep only them.
            let bytes = Bytes::copy_from_slice(&blob.bytes);
            let at = self.blobs.partition_point(|b| b.at <= blob.at);
            self.blobs.insert(at, Blob { bytes, ..blob });
            let kept = self.blobs.iter().filter(|b| b.kind == kind).count();
            if kept > BLOBS_PER_KIND_MAX
                && let Some(oldest) = self.blobs.iter().position(|b| b.kind == kind)
            {
                self.blobs.remove(oldest);
            }
        }
    }

    pub(crate) fn blob(&self, kind: u8, upto: Offset) -> Option<Blob> {
        let newest = |b: &&Blob| b.kind == kind && b.at <= upto;
        self.blobs.iter().rev().find(newest).cloned()
    }

    /// Cuts to the frame boundary at or below `end`, but not below the start.
    pub(crate) fn truncate(&mut self, end: Offset) -> Result<(), StorageError> {
        if end < self.start {
            return Err(StorageError::OutOfRange { offset: end, start: self.start, end: self.end });
        }
        if end >= self.end {
            return Ok(());
        }
        while self.segments.len() > 1 && self.active().meta.base > end {
            self.segments.pop_back();
        }
        // Inside a frame, all of the frame goes; between frames the log may end exactly where it is asked to.
        let cut = self.frames_from(end).next().map(|f| f.meta.base);
        if self.active().meta.base > end {
            // Rewrites have left nothing below.
            let now = self.active().meta.modified;
            self.segments = VecDeque::from([Segment::new(end, now)]);
        }
        self.active().cut(end);
        self.end = cut.map_or(end, |base| base.min(end)).max(self.start);
        self.generation += 1;
        let end = self.end;
        self.blobs.retain(|b| b.at <= end);
        Ok(())
    }

    /// Empties the log; it goes on at `next`.
    pub(crate) fn reset(&mut self, next: Offset, now: Timestamp) -> Result<(), StorageError> {
        if next < Offset::ZERO {
            return Err(StorageError::Invalid(format!("a log cannot go on at the negative offset {next}")));
        }
        self.segments = VecDeque::from([Segment::new(next, now)]);
        self.blobs.clear();
        self.start = next;
        self.end = next;
        self.generation += 1;
        Ok(())
    }

    /// Moves the start and drops the segments that lie wholly below it.
    pub(crate) fn advance_start(&mut self, to: Offset, now: Timestamp) {
        let to = to.min(self.end);
        if to <= self.start {
            return;
        }
        self.start = to;
        while self.segments.len() > 1 && self.segments[0].meta.end <= to {
            self.segments.pop_front();
        }
        if to == self.end && !self.segments[0].frames.is_empty() {
            self.segments[0] = Segment::new(to, now);
        }
        // Of the blobs below the start only the newest of each kind can still be asked for.
        let blobs = std::mem::take(&mut self.blobs);
        self.blobs = blobs
            .iter()
            .enumerate()
            .filter(|(i, b)| {
                let newer = &blobs[i + 1..];
                b.at >= to || !newer.iter().any(|n| n.kind == b.kind && n.at <= to)
            })
            .map(|(_, b)| b.clone())
            .collect();
    }
}
