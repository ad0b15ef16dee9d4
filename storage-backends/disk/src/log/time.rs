//! Finding a frame by time.

use std::sync::Arc;

use watershed_model::{Offset, Timestamp};
use watershed_storage::{FrameMeta, StorageError};

use super::Log;
use super::read::{SEEK_BYTES, walk_error};
use crate::segment::Segment;
use crate::state::Facts;
use crate::walk::Walker;

impl Log {
    pub(super) fn frame_at_time(self: &Arc<Self>, at: Timestamp) -> Result<Option<FrameMeta>, StorageError> {
        loop {
            if let Some(found) = self.try_frame_at_time(at)? {
                return Ok(found);
            }
        }
    }

    /// The same; `None` when a segment was written anew meanwhile, and it must be looked again.
    fn try_frame_at_time(self: &Arc<Self>, at: Timestamp) -> Result<Option<Option<FrameMeta>>, StorageError> {
        self.shared.check_online()?;
        let (start, generation, candidates) = {
            let st = self.state.lock();
            st.check()?;
            let late =
                |e: &&super::Entry| e.facts.max_timestamp.is_some_and(|t| t >= at) && e.facts.end > st.ends.start;
            let candidates: Vec<(Arc<Segment>, Facts)> =
                st.segments.iter().filter(late).map(|e| (Arc::clone(&e.segment), e.facts)).collect();
            (st.ends.start, st.ends.generation, candidates)
        };
        for (segment, facts) in candidates {
            match self.late_frame_in(&segment, &facts, at, start) {
                Ok(None) => {}
                Ok(found) => return Ok(Some(found)),
                Err(e) => {
                    let st = self.state.lock();
                    st.check()?;
                    // Deleted or cut while we looked: not an error of the data.
                    if st.ends.generation == generation && st.ends.start == start {
                        return if st.is_current(&segment) { Err(e) } else { Ok(None) };
                    }
                }
            }
        }
        Ok(Some(None))
    }

    fn late_frame_in(
        self: &Arc<Self>,
        segment: &Arc<Segment>,
        facts: &Facts,
        at: Timestamp,
        start: Offset,
    ) -> Result<Option<FrameMeta>, StorageError> {
        let by_time = self.seek(segment, facts, |index| index.seek_time(at))?;
        let by_start = self.seek(segment, facts, |index| index.seek_offset(start))?;
        let file = self.file(segment).map_err(|e| self.read_error(segment.path(), e))?;
        let begin = by_time.max(by_start);
        let mut walker = Walker::new(&*file, &*self.framing, begin, facts.bytes, SEEK_BYTES);
        while let Some((meta, _)) = walker.next_head().map_err(|e| walk_error(e, segment, &walker))? {
            if meta.max_timestamp >= at && meta.last >= start {
                return Ok(Some(meta));
            }
        }
        Ok(None)
    }
}
