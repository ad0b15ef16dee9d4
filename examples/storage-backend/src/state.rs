//! What a log knows of itself, under its lock.

use std::collections::BTreeSet;

use tokio::sync::watch;
use watershed_model::Offset;
use watershed_storage::{Ends, FlushMode, FrameMeta, Promise};

use crate::segment::Segment;

#[derive(Debug)]
pub(crate) struct State {
    /// The sender exists as long as the log is open.
    pub(crate) progress: Option<watch::Sender<Ends>>,
    pub(crate) ends: Ends,
    pub(crate) flush: FlushMode,
    /// Never empty; the last one is the active one.
    pub(crate) segments: Vec<Segment>,
    pub(crate) blobs: BTreeSet<(u8, Offset)>,
    pub(crate) waiting: Vec<Promise>,
    pub(crate) queued: bool,
    /// A sync failed: what the files hold is not known any more.
    pub(crate) failed: Option<String>,
}

impl State {
    pub(crate) fn active(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("a log has a segment from its making")
    }

    /// Tells of new ends and ripens what they promise.
    pub(crate) fn publish(&mut self) {
        let promised = self.ends.promised;
        if let Some(progress) = &self.progress {
            progress.send_if_modified(|last| std::mem::replace(last, self.ends) != self.ends);
        }
        self.waiting.extract_if(.., |promise| promise.end() <= promised).for_each(Promise::keep);
    }

    /// Everything that is written is durable.
    pub(crate) fn all_synced(&mut self) {
        self.ends.synced = self.ends.end;
        self.ends.promised = self.ends.end;
        self.publish();
    }

    pub(crate) fn frames_from(&self, from: Offset) -> impl Iterator<Item = (&Segment, FrameMeta, u64)> {
        let first = self.segments.partition_point(|s| s.meta.end <= from);
        self.segments[first..].iter().flat_map(move |segment| {
            let skip = segment.frames.partition_point(|(frame, _)| frame.last < from);
            segment.frames[skip..].iter().map(move |(frame, at)| (segment, *frame, *at))
        })
    }
}
