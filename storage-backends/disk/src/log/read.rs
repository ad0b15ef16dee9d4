//! Reading: at once where the data was appended recently, on the read pool otherwise.
//!
//! A recent frame's position is remembered, so a read at the tail touches no file but to name its range. Any other read
//! runs on the read pool: it finds the first frame (a remembered position, or the sparse index and a short walk),
//! walks to the last that fits, and reads the whole range once, so that what the caller sends later is in the page cache.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use watershed_model::Offset;
use watershed_storage::{Piece, StorageError};

use super::{CURSORS_MAX, Cursor, Log, State};
use crate::fs::{FsFile, read_file, read_full};
use crate::index::{Before, Index};
use crate::segment::Segment;
use crate::state::Facts;
use crate::walk::{WalkError, Walker};

/// Bytes read at a time while looking for a frame.
pub(super) const SEEK_BYTES: usize = 16 << 10;
/// Bytes read at a time while walking over frames that are to be sent, and while fetching them.
pub(super) const FETCH_BYTES: usize = 256 << 10;
/// The largest index file that is believed, in bytes.
const INDEX_FILE_BYTES_MAX: u64 = 256 << 20;

/// What a read asks for, checked against the ends.
#[derive(Clone, Copy)]
struct Wish {
    from: Offset,
    upto: Offset,
    max: u64,
    min_one: bool,
    generation: u64,
}

/// A run of frames in one segment.
pub(super) struct Span {
    pub(super) file: Arc<dyn FsFile>,
    pub(super) pos: u64,
    pub(super) len: u64,
}

/// Decides frame by frame what fits.
#[derive(Clone)]
pub(super) struct Fit {
    wish: Wish,
    taken: u64,
    any: bool,
}

impl Fit {
    fn new(wish: Wish) -> Self {
        Self { wish, taken: 0, any: false }
    }

    pub(super) fn take(&mut self, last: Offset, len: u32) -> bool {
        let fits = self.taken + u64::from(len) <= self.wish.max;
        let take = last < self.wish.upto && (fits || (self.wish.min_one && !self.any));
        if take {
            self.any = true;
            self.taken += u64::from(len);
        }
        take
    }
}

impl State {
    fn wish(&self, from: Offset, upto: Offset, max: u32, min_one: bool) -> Result<Wish, StorageError> {
        self.check()?;
        let (start, end) = (self.ends.start, self.ends.end);
        if from < start || from > end {
            return Err(StorageError::OutOfRange { offset: from, start, end });
        }
        Ok(Wish { from, upto: upto.min(end), max: u64::from(max), min_one, generation: self.ends.generation })
    }

    /// The runs of remembered frames that answer a wish: segment, position, length. `None` when it is not known well
    /// enough.
    fn recent_runs(&self, wish: Wish, hot: impl Fn(u64) -> bool) -> Option<Vec<(Arc<Segment>, u64, u64)>> {
        if wish.from >= wish.upto {
            return Some(Vec::new());
        }
        let at = self.recents.partition_point(|r| r.last < wish.from);
        let first = self.recents.get(at)?;
        // The frame before the first remembered one may hold the offset.
        if (at == 0 && first.base > wish.from) || !hot(first.stamp) {
            return None;
        }
        let mut fit = Fit::new(wish);
        let mut runs: Vec<(Arc<Segment>, u64, u64)> = Vec::new();
        for r in self.recents.range(at..) {
            if !fit.take(r.last, r.len) {
                break;
            }
            match runs.last_mut() {
                Some((segment, _, len)) if segment.base == r.segment => *len += u64::from(r.len),
                _ => {
                    let n = self.segments.partition_point(|e| e.facts.base < r.segment);
                    let entry = self.segments.get(n).filter(|e| e.facts.base == r.segment)?;
                    runs.push((Arc::clone(&entry.segment), r.pos, u64::from(r.len)));
                }
            }
        }
        Some(runs)
    }

    fn remember(&mut self, cursor: Cursor) {
        self.cursors.retain(|c| c.next != cursor.next);
        if self.cursors.len() >= CURSORS_MAX {
            self.cursors.pop_front();
        }
        self.cursors.push_back(cursor);
    }
}

impl Log {
    /// Answers from what was appended recently; `None` when the medium must be asked.
    pub(super) fn read_hot(
        &self,
        from: Offset,
        upto: Offset,
        max: u32,
        min_one: bool,
    ) -> Result<Option<Vec<Piece>>, StorageError> {
        self.shared.check_online()?;
        let runs = {
            let st = self.state.lock();
            let wish = st.wish(from, upto, max, min_one)?;
            match st.recent_runs(wish, |stamp| self.shared.is_hot(stamp)) {
                Some(runs) => runs,
                None => return Ok(None),
            }
        };
        let mut pieces = Vec::with_capacity(runs.len());
        for (segment, pos, len) in runs {
            let Some(file) = segment.opened() else {
                // Opening a file may wait for the medium.
                return Ok(None);
            };
            push_pieces(&mut pieces, &Span { file, pos, len }).map_err(|e| self.read_error(segment.path(), e))?;
        }
        self.shared.meters.reads_cache.increment(1);
        Ok(Some(pieces))
    }

    /// Finds, fetches and returns the frames. Blocks.
    pub(super) fn read_cold(
        self: &Arc<Self>,
        from: Offset,
        upto: Offset,
        max: u32,
        min_one: bool,
    ) -> Result<Vec<Piece>, StorageError> {
        self.shared.meters.reads_medium.increment(1);
        let spans = self.spans(from, upto, max, min_one)?;
        let mut pieces = Vec::with_capacity(spans.len());
        for span in &spans {
            // So that sending the pieces does not wait for the medium.
            let fetched = span.file.fetch(span.pos, span.len);
            fetched.and_then(|()| push_pieces(&mut pieces, span)).map_err(|e| self.read_error(&self.dir, e))?;
        }
        Ok(pieces)
    }

    pub(super) fn load(
        self: &Arc<Self>,
        from: Offset,
        upto: Offset,
        max: u32,
        min_one: bool,
    ) -> Result<Bytes, StorageError> {
        let spans = self.spans(from, upto, max, min_one)?;
        let total = spans.iter().map(|s| s.len).sum::<u64>();
        let mut bytes = vec![0; usize::try_from(total).map_err(|e| StorageError::Invalid(e.to_string()))?];
        let mut done = 0;
        for span in &spans {
            let len = span.len as usize;
            let read = read_full(&*span.file, span.pos, &mut bytes[done..done + len])
                .map_err(|e| self.read_error(&self.dir, e))?;
            if read < len {
                return Err(self.read_error(&self.dir, io::ErrorKind::UnexpectedEof.into()));
            }
            done += len;
        }
        Ok(bytes.into())
    }

    pub(super) fn read_error(&self, path: &std::path::Path, e: io::Error) -> StorageError {
        StorageError::io(format!("reading {}", path.display()), e)
    }

    /// The frames that answer a read, as runs in files.
    fn spans(self: &Arc<Self>, from: Offset, upto: Offset, max: u32, min_one: bool) -> Result<Vec<Span>, StorageError> {
        self.shared.check_online()?;
        let wish = self.state.lock().wish(from, upto, max, min_one)?;
        let generation = wish.generation;
        let mut fit = Fit::new(wish);
        let mut spans = Vec::new();
        let mut next = wish.from;
        while next < wish.upto {
            let (segment, facts, cursor) = {
                let st = self.state.lock();
                if st.ends.generation != generation {
                    break;
                }
                let entry = &st.segments[st.segment_of(next)];
                let cursor = st.cursors.iter().find(|c| c.next == next && c.segment == entry.facts.base).map(|c| c.pos);
                (Arc::clone(&entry.segment), entry.facts, cursor)
            };
            if facts.end <= next || facts.bytes == 0 {
                break;
            }
            let saved = fit.clone();
            let found = self.intact_span_in(&segment, &facts, cursor, next, &mut fit);
            match found {
                Ok((span, more)) => {
                    spans.extend(span);
                    if !more {
                        break;
                    }
                    next = facts.end;
                }
                // What lies before the damage stands; the next read begins with it and says so.
                Err(StorageError::Corrupt { .. }) if !spans.is_empty() => break,
                Err(e) => {
                    // A cut or a deletion while we looked: what was found before it stands.
                    let st = self.state.lock();
                    st.check()?;
                    if st.ends.generation != generation {
                        break;
                    }
                    st.wish(from, upto, max, min_one)?;
                    if st.is_current(&segment) {
                        return Err(e);
                    }
                    // It was written anew, and the old file is out of the way.
                    fit = saved;
                }
            }
        }
        Ok(spans)
    }

    /// The run of frames in one segment that a read takes, and whether the next segment may add to it.
    pub(super) fn span_in(
        self: &Arc<Self>,
        segment: &Arc<Segment>,
        facts: &Facts,
        cursor: Option<u64>,
        from: Offset,
        fit: &mut Fit,
    ) -> Result<(Option<Span>, bool), StorageError> {
        let file = self.file(segment).map_err(|e| self.read_error(segment.path(), e))?;
        let begin = match cursor {
            Some(pos) => pos,
            None => self.seek(segment, facts, |index| index.seek_offset(from))?,
        };
        let ahead = if cursor.is_some() { FETCH_BYTES } else { SEEK_BYTES };
        let ahead = ahead.min(usize::try_from(fit.wish.max).unwrap_or(ahead).max(self.framing.head_bytes()));
        let mut walker = Walker::new(&*file, &*self.framing, begin, facts.bytes, ahead);
        let mut span: Option<(u64, u64)> = None;
        let mut more = true;
        let mut last = from;
        while let Some((meta, pos)) = walker.next_head().map_err(|e| walk_error(e, segment, &walker))? {
            if meta.last < from {
                continue;
            }
            if !fit.take(meta.last, meta.len) {
                more = false;
                break;
            }
            last = meta.last;
            span.get_or_insert((pos, 0)).1 += u64::from(meta.len);
        }
        if let Some((pos, len)) = span {
            let mut st = self.state.lock();
            // A position found before a cut or a rewrite may not be one any more.
            if st.ends.generation == fit.wish.generation && st.is_current(segment) {
                st.remember(Cursor { next: last.plus(1), segment: segment.base, pos: pos + len });
            }
        }
        let span = span.map(|(pos, len)| Span { file, pos, len });
        Ok((span, more))
    }

    /// Asks a segment's index, loading or rebuilding it where it is not at hand.
    pub(super) fn seek(
        self: &Arc<Self>,
        segment: &Arc<Segment>,
        facts: &Facts,
        ask: impl Fn(&Index) -> Option<u64>,
    ) -> Result<u64, StorageError> {
        {
            let st = self.state.lock();
            if Arc::ptr_eq(&st.active().segment, segment)
                && let Some(pos) = ask(&st.active_index)
            {
                return Ok(pos);
            }
        }
        if facts.sealed {
            let index = self.sealed_index(segment, facts)?;
            return Ok(ask(&index).unwrap_or(0));
        }
        let index = self.complete_active(segment, facts)?;
        Ok(ask(&index).unwrap_or(0))
    }

    /// The whole index of the active segment, which was opened without a scan of its beginning.
    pub(super) fn complete_active(
        self: &Arc<Self>,
        segment: &Arc<Segment>,
        facts: &Facts,
    ) -> Result<Index, StorageError> {
        let generation = self.state.lock().ends.generation;
        let known = self.stored_index(segment).filter(|i| i.to_pos <= facts.bytes);
        let index = self.extend_index(segment, facts.bytes, known.unwrap_or_default())?;
        let mut st = self.state.lock();
        let same = Arc::ptr_eq(&st.active().segment, segment) && st.ends.generation == generation;
        if same && st.active_index.from_pos > 0 && st.active_index.from_pos <= index.to_pos {
            let from = index.to_pos;
            let mut whole = index.clone();
            whole.entries.extend(st.active_index.entries.iter().filter(|e| e.pos >= from));
            whole.to_pos = st.active_index.to_pos.max(from);
            st.active_index = whole;
        }
        Ok(index)
    }

    /// The index of a sealed segment: at hand, from its file, or rebuilt.
    pub(super) fn sealed_index(&self, segment: &Arc<Segment>, facts: &Facts) -> Result<Arc<Index>, StorageError> {
        let mut slot = segment.index.lock();
        if let Some(index) = slot.as_ref().filter(|i| i.to_pos == facts.bytes) {
            return Ok(Arc::clone(index));
        }
        let stored = self.stored_index(segment).filter(|i| i.to_pos == facts.bytes);
        let index = match stored {
            Some(index) => index,
            None => self.extend_index(segment, facts.bytes, Index::default())?,
        };
        let index = Arc::new(index);
        *slot = Some(Arc::clone(&index));
        Ok(index)
    }

    fn stored_index(&self, segment: &Segment) -> Option<Index> {
        let path = segment.index_path();
        match read_file(&*self.shared.fs, path, INDEX_FILE_BYTES_MAX) {
            Ok(bytes) => Index::decode(&bytes, segment.base)
                .inspect_err(|e| tracing::warn!(file = %path.display(), "rebuilding an index: {e}"))
                .ok(),
            Err(_) => None,
        }
    }

    /// Walks over a segment's headers from where `index` ends to `to`.
    fn extend_index(&self, segment: &Arc<Segment>, to: u64, mut index: Index) -> Result<Index, StorageError> {
        let interval = self.state.lock().config.index_interval_bytes;
        let file = self.file(segment).map_err(|e| self.read_error(segment.path(), e))?;
        // What came before the stored part's end is not stored with it: its last entry is walked over again.
        let (begin, mut before) = index.entries.pop().map_or((0, Before::NOTHING), |e| (e.pos, e.before));
        index.to_pos = begin;
        let mut walker = Walker::new(&*file, &*self.framing, begin, to, SEEK_BYTES);
        loop {
            match walker.next_head() {
                Ok(Some((meta, pos))) => {
                    index.add(&meta, pos, before, interval);
                    before = before.and(&meta);
                }
                Ok(None) => break,
                // A shortcut past the damage, for those who read what lies behind it.
                Err(WalkError::Bad(_)) if walker.find_intact().is_ok_and(|found| found.is_some()) => {}
                Err(WalkError::Bad(_)) => break,
                Err(e) => return Err(walk_error(e, segment, &walker)),
            }
        }
        index.to_pos = to;
        Ok(index)
    }

    /// What the segment's facts were after the last frame that lies wholly below `end`.
    pub(super) fn facts_at(
        self: &Arc<Self>,
        segment: &Arc<Segment>,
        facts: &Facts,
        before: Facts,
        end: Offset,
    ) -> Result<(Facts, Index), StorageError> {
        let mut index = if facts.bytes == 0 {
            Index::starting_at(0)
        } else if facts.sealed {
            Index::clone(&*self.sealed_index(segment, facts)?)
        } else {
            self.complete_active(segment, facts)?
        };
        let mut at = before;
        if facts.bytes > 0 {
            let file = self.file(segment).map_err(|e| self.read_error(segment.path(), e))?;
            // One entry earlier than needed, so that the walk passes the last frame that stays and learns its epoch.
            let n = index.entries.partition_point(|e| e.offset < end);
            let from = if n < 2 { None } else { Some(index.entries[n - 2]) };
            if let Some(entry) = from {
                at.bytes = entry.pos;
                at.first_timestamp = facts.first_timestamp;
                at.max_timestamp = Some(entry.before.time);
                at.records = entry.before.records;
            }
            let mut walker = Walker::new(&*file, &*self.framing, at.bytes, facts.bytes, SEEK_BYTES);
            while let Some((meta, _)) = walker.next_head().map_err(|e| walk_error(e, segment, &walker))? {
                if meta.last >= end {
                    break;
                }
                at.add(&meta);
            }
        }
        index.cut(at.bytes);
        Ok((at, index))
    }
}

pub(super) fn walk_error(error: WalkError, segment: &Segment, walker: &Walker<'_>) -> StorageError {
    match error {
        WalkError::Io(e) => StorageError::io(format!("reading {}", segment.path().display()), e),
        WalkError::Bad(reason) => {
            StorageError::Corrupt { place: format!("{} at byte {}", segment.path().display(), walker.pos()), reason }
        }
    }
}

/// Names a span's bytes: as ranges of the file, or read where there is no real file.
fn push_pieces(pieces: &mut Vec<Piece>, span: &Span) -> io::Result<()> {
    let Some(file) = span.file.real() else {
        let mut bytes = vec![0; usize::try_from(span.len).map_err(io::Error::other)?];
        if read_full(&*span.file, span.pos, &mut bytes)? < bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        pieces.push(Piece::Bytes(bytes.into()));
        return Ok(());
    };
    let (mut pos, mut left) = (span.pos, span.len);
    while left > 0 {
        let len = u32::try_from(left).unwrap_or(u32::MAX);
        pieces.push(Piece::File { file: Arc::clone(&file), pos, len, hot: true });
        pos += u64::from(len);
        left -= u64::from(len);
    }
    Ok(())
}
