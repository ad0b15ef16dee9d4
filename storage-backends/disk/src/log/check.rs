//! What the process found when it started is checked once before it is served.
//!
//! Bytes go to consumers untouched, from file to socket, so that nobody looks at most of them on their way. What this
//! process appended, it had in memory and wrote itself. What it found may have lain on the medium for years, and a start
//! after a clean end reads none of it. So the first read of such frames checks them: their checksums, and, as those
//! cover neither offset nor epoch, their places between their neighbours and in what the state file says of the segment.
//! Later reads do not. A damaged frame is never served: a read ends before it, and one that begins with it fails with
//! [`StorageError::Corrupt`]; what lies behind it can be read. A bit that turns after that check, or in what this process
//! wrote, is left to the consumer's own checksum, as Kafka leaves all of it, and to the offline check (`verify.rs`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use watershed_model::{LeaderEpoch, Offset};
use watershed_storage::{FrameMeta, StorageError};

use super::Log;
use super::read::{FETCH_BYTES, Fit, Span, walk_error};
use crate::index::Index;
use crate::segment::Segment;
use crate::state::Facts;
use crate::walk::{WalkError, Walker};

/// How many separate runs of checked bytes are remembered of a segment; what is forgotten is checked again.
const RUNS_MAX: usize = 64;

/// What of a segment must be checked before it is served.
#[derive(Default)]
pub(crate) struct Unchecked {
    /// Everything below this position was found at the start and not read then. 0: nothing.
    upto: AtomicU64,
    /// What the state file said of it.
    known: Mutex<Option<Facts>>,
    /// The runs of it that are checked: ascending, apart from each other.
    runs: Mutex<Vec<(u64, u64)>>,
    /// Where damage was reported already.
    reported: Mutex<Vec<u64>>,
}

impl Unchecked {
    /// Takes note of the part of the segment that was found at the start and not read.
    pub(crate) fn found(&self, facts: Facts) {
        *self.known.lock() = Some(facts);
        self.upto.store(facts.bytes, Ordering::Relaxed);
    }

    /// The log was cut within the segment.
    pub(crate) fn cut(&self, bytes: u64) {
        if bytes < self.upto.load(Ordering::Relaxed) {
            *self.known.lock() = None;
        }
    }

    fn known(&self) -> Option<Facts> {
        *self.known.lock()
    }

    /// Whether `[pos, end)` holds bytes that nobody checked.
    fn holds(&self, pos: u64, end: u64) -> bool {
        let upto = self.upto.load(Ordering::Relaxed);
        pos < upto && !self.runs.lock().iter().any(|(from, to)| *from <= pos && end.min(upto) <= *to)
    }

    fn checked(&self, pos: u64, end: u64) {
        let mut runs = self.runs.lock();
        let (mut pos, mut end) = (pos, end);
        runs.retain(|(from, to)| {
            let apart = *to < pos || end < *from;
            if !apart {
                (pos, end) = (pos.min(*from), end.max(*to));
            }
            apart
        });
        let at = runs.partition_point(|(from, _)| *from < pos);
        runs.insert(at, (pos, end));
        if runs.len() > RUNS_MAX {
            runs.remove(0);
        }
    }

    /// Whether damage at this position is news.
    fn is_news(&self, pos: u64) -> bool {
        let mut reported = self.reported.lock();
        let news = !reported.contains(&pos) && reported.len() < RUNS_MAX;
        if news {
            reported.push(pos);
        }
        news
    }
}

/// What a walk that checks everything has come to.
#[derive(Default)]
struct Taken {
    /// Where the run begins and ends.
    run: Option<(u64, u64)>,
    /// No more fits.
    full: bool,
    /// Damage was passed over on the way to it.
    hole: Option<StorageError>,
}

impl Log {
    /// The run of frames in one segment that a read takes, all of them intact as far as that must be checked, and whether the
    /// next segment may add to it.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] when what is asked for is damaged; what reading meets.
    pub(super) fn intact_span_in(
        self: &Arc<Self>,
        segment: &Arc<Segment>,
        facts: &Facts,
        cursor: Option<u64>,
        from: Offset,
        fit: &mut Fit,
    ) -> Result<(Option<Span>, bool), StorageError> {
        if segment.unchecked.upto.load(Ordering::Relaxed) == 0 {
            return self.span_in(segment, facts, cursor, from, fit);
        }
        let mut tried = fit.clone();
        let found = self.span_in(segment, facts, cursor, from, &mut tried);
        if let Ok((Some(span), _)) = &found
            && !segment.unchecked.holds(span.pos, span.pos + span.len)
        {
            *fit = tried;
            return found;
        }
        self.checked_span_in(segment, facts, from, fit)
    }

    fn checked_span_in(
        self: &Arc<Self>,
        segment: &Arc<Segment>,
        facts: &Facts,
        from: Offset,
        fit: &mut Fit,
    ) -> Result<(Option<Span>, bool), StorageError> {
        let file =
            self.file(segment).map_err(|e| StorageError::io(format!("opening {}", segment.path().display()), e))?;
        // From a frame before the first one, so that this has a neighbour to be compared with.
        let begin = self.seek(segment, facts, |index| index.seek_before(from))?;
        let mut walker = Walker::new(&*file, &*self.framing, begin, facts.bytes, FETCH_BYTES);
        if begin == 0 {
            walker.expect(facts.base, self.epoch_before(facts.base));
        }
        walker.expect_behind(Some(facts.behind()));
        let known = segment.unchecked.known();
        let mut taken = Taken::default();
        while !taken.full {
            let at = (walker.pos(), walker.expected());
            let bad = match walker.next_verified() {
                Ok(Some((meta, _))) if is_otherwise(known.as_ref(), &walker, &meta) => otherwise(segment, at.0, &meta),
                Ok(Some((meta, pos))) if meta.last >= from => {
                    taken.take(fit, &meta, pos, from)?;
                    continue;
                }
                Ok(Some(_)) => {
                    taken.hole = None;
                    continue;
                }
                Ok(None) => break,
                Err(e @ WalkError::Io(_)) => return Err(walk_error(e, segment, &walker)),
                Err(bad) => walk_error(bad, segment, &walker),
            };
            let behind = (walker.pos() > at.0).then(|| walker.pos());
            let intact = behind.or_else(|| walker.find_intact().ok().flatten());
            self.report(segment, at, walker.peek(), &bad);
            if taken.run.is_some() {
                taken.full = true;
            } else if intact.is_none() {
                return Err(bad);
            } else {
                taken.hole = Some(bad);
            }
        }
        let Some((pos, end)) = taken.run else { return taken.hole.map_or(Ok((None, !taken.full)), Err) };
        segment.unchecked.checked(pos, end);
        Ok((Some(Span { file, pos, len: end - pos }), !taken.full))
    }

    fn epoch_before(&self, base: Offset) -> LeaderEpoch {
        let st = self.state.lock();
        let n = st.segments.partition_point(|e| e.facts.base < base);
        n.checked_sub(1).map_or(LeaderEpoch::NONE, |n| st.segments[n].facts.last_epoch)
    }

    /// Says once what is damaged, what becomes of it, and what to do. `behind`: the next frame that is intact.
    fn report(&self, segment: &Segment, at: (u64, Offset), behind: Option<FrameMeta>, error: &StorageError) {
        if !segment.unchecked.is_news(at.0) {
            return;
        }
        ::metrics::counter!(crate::metrics::DAMAGE, "promised" => "true").increment(1);
        let go_on = behind.map_or_else(|| "the next segment".to_owned(), |meta| format!("offset {}", meta.base));
        tracing::error!(
            partition = %self.tp, file = %segment.path().display(), offset = at.1.0, %error,
            "stored records are damaged and not served: fetches there are answered with CORRUPT_MESSAGE, consumers can go \
             on at {go_on}; restore the file from a copy, and run `watershed storage verify` on the stopped broker's \
             directory for a list of all damage"
        );
    }
}

impl Taken {
    /// Takes an intact frame that is asked for, if it fits.
    fn take(&mut self, fit: &mut Fit, meta: &FrameMeta, pos: u64, from: Offset) -> Result<(), StorageError> {
        if let Some(error) = self.hole.take().filter(|_| self.run.is_none() && meta.base > from) {
            return Err(error);
        }
        self.full = !fit.take(meta.last, meta.len);
        if !self.full {
            let first = self.run.map_or(pos, |(first, _)| first);
            self.run = Some((first, pos + u64::from(meta.len)));
        }
        Ok(())
    }
}

/// Whether a frame that was just passed ends where the state file knew one to end, but otherwise than it says.
fn is_otherwise(known: Option<&Facts>, walker: &Walker<'_>, meta: &FrameMeta) -> bool {
    known.is_some_and(|k| walker.pos() == k.bytes && (walker.expected(), meta.epoch) != (k.end, k.last_epoch))
}

fn otherwise(segment: &Segment, pos: u64, meta: &FrameMeta) -> StorageError {
    let place = format!("{} at byte {pos}", segment.path().display());
    let reason =
        format!("offsets {} to {} of epoch {} are not what the state file says", meta.base, meta.last, meta.epoch);
    StorageError::Corrupt { place, reason }
}

impl Index {
    /// As [`Index::seek_offset`], one entry earlier.
    fn seek_before(&self, offset: Offset) -> Option<u64> {
        let n = self.entries.partition_point(|e| e.offset <= offset);
        match n {
            0 | 1 if self.from_pos > 0 => None,
            0 | 1 => Some(0),
            n => Some(self.entries[n - 2].pos),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watershed_model::Timestamp;

    #[test]
    fn runs_grow_together() {
        let unchecked = Unchecked::default();
        assert!(!unchecked.holds(0, 10), "nothing was found");
        unchecked.found(Facts { bytes: 1_000, ..Facts::empty(Offset(0), LeaderEpoch(0), Timestamp(0)) });
        assert!(unchecked.holds(0, 10) && unchecked.holds(990, 1_010) && !unchecked.holds(1_000, 1_010));
        unchecked.checked(100, 200);
        unchecked.checked(300, 400);
        assert!(!unchecked.holds(100, 200) && !unchecked.holds(310, 400) && unchecked.holds(190, 310));
        unchecked.checked(200, 300);
        assert!(!unchecked.holds(100, 400) && unchecked.holds(99, 400));
        assert_eq!(*unchecked.runs.lock(), [(100, 400)]);
        unchecked.checked(900, 1_100);
        assert!(!unchecked.holds(950, 1_500), "what was appended since needs no check");
    }
}
