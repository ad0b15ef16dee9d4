//! A sealed segment that is written anew: a file beside it, synced, and renamed over it. So a power cut leaves the old or the
//! new one.

use std::fs::{self, File};
use std::sync::Arc;

use watershed_model::{LeaderEpoch, Offset};
use watershed_storage::{Frame, Fut, SegmentMeta, SegmentRewrite, StorageError, check_rewritten};

use crate::log::FileLog;
use crate::segment::Segment;
use crate::{done, files};

pub(crate) struct FileRewrite {
    log: Arc<FileLog>,
    was: SegmentMeta,
    generation: u64,
    /// What is written; its path is the one that it will have.
    new: Segment,
    behind: (Offset, LeaderEpoch),
}

impl FileRewrite {
    pub(crate) fn begin(log: Arc<FileLog>, base: Offset) -> Result<Self, StorageError> {
        let (was, path, generation) = {
            let state = log.writable()?;
            let found = state.segments.iter().find(|s| s.meta.base == base && s.meta.sealed);
            let found = found.ok_or_else(|| StorageError::Invalid(format!("there is no sealed segment at {base}")))?;
            (found.meta, found.path.clone(), state.ends.generation)
        };
        let file =
            File::options().read(true).write(true).create(true).truncate(true).open(path.with_extension("log.new"));
        let file = Arc::new(file.map_err(|e| log.io("rewriting a segment of", e))?);
        let meta = SegmentMeta { end: base, bytes: 0, records: 0, first_timestamp: None, max_timestamp: None, ..was };
        let new = Segment { meta, file, path, frames: Vec::new() };
        Ok(Self { log, was, generation, new, behind: (base, LeaderEpoch(i32::MIN)) })
    }

    fn write_now(&mut self, frames: &[Frame]) -> Result<(), StorageError> {
        self.behind = check_rewritten(&self.was, self.behind, frames)?;
        self.new.append(frames, self.was.modified).map_err(|e| self.log.io("rewriting a segment of", e))
    }

    fn commit_now(self) -> Result<(), StorageError> {
        let failed = |e| self.log.io("rewriting a segment of", e);
        self.new.file.sync_data().map_err(failed)?;
        let mut state = self.log.writable()?;
        let found = state.segments.iter().position(|s| s.meta == self.was);
        let Some(at) = found.filter(|_| state.ends.generation == self.generation) else {
            return Err(StorageError::Invalid(format!("the segment at {} has changed meanwhile", self.was.base)));
        };
        if self.new.frames.is_empty() {
            state.segments[at].delete().map_err(failed)?;
            files::remove(&self.new.path.with_extension("log.new")).map_err(failed)?;
        } else {
            fs::rename(self.new.path.with_extension("log.new"), &self.new.path).map_err(failed)?;
        }
        files::sync_dir(&self.log.dir).map_err(failed)?;
        // Whoever holds the old file can still read it.
        if self.new.frames.is_empty() {
            state.segments.remove(at);
        } else {
            state.segments[at] = self.new;
        }
        Ok(())
    }
}

impl SegmentRewrite for FileRewrite {
    fn write(&mut self, frames: Vec<Frame>) -> Fut<'_, ()> {
        done(self.write_now(&frames))
    }

    fn commit(self: Box<Self>) -> Fut<'static, ()> {
        done(self.commit_now())
    }
}
