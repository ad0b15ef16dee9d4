//! Opening a partition: what is there, what of it is intact, what must be set aside.
//!
//! After a clean end nothing is read but the newest state file. Otherwise everything above the recovery point is read
//! and checked: checksums, offsets that ascend, epochs that do not fall. Bad bytes above what was ever promised are a torn
//! tail and are cut at a frame's boundary. Bad bytes below it are set aside in a `.quarantine` file, what is intact behind
//! them in the same file goes on as a segment of its own, and the report says so. What was read is synced before the log
//! opens: it may have been in the page cache only.

mod ends;
mod strays;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use watershed_model::{LeaderEpoch, Offset, TopicIdPartition};
use watershed_storage::{Damage, FrameMeta, Framing, RecoveryReport, SegmentConfig, StorageError};

use crate::codec::TEMP_SUFFIX;
use crate::fs::{FsFile, OpenMode, read_full, write_all};
use crate::index::Index;
use crate::log::{Book, Entry, Opened};
use crate::segment::{INDEX_SUFFIX, LOG_SUFFIX, Segment, file_name, parse_file, parse_name};
use crate::shared::{DELETED_SUFFIX, Shared};
use crate::state::{Facts, Manifest};
use crate::walk::{WalkError, Walker};

/// Bytes read at a time while scanning.
const SCAN_BYTES: usize = 1 << 20;
/// The ending of state files.
pub(crate) const STATE_SUFFIX: &str = ".state";
/// The ending of what was set aside for people to look at. Nothing here ever reads or removes it.
pub(crate) const QUARANTINE_SUFFIX: &str = ".quarantine";

/// What the directory holds.
#[derive(Default)]
struct Listing {
    /// By base: counts of rewrites. Once the state file was read, one each.
    logs: BTreeMap<i64, BTreeSet<u32>>,
    indexes: BTreeSet<(i64, u32)>,
    states: BTreeSet<u64>,
}

pub(crate) struct Recovery<'a> {
    shared: &'a Arc<Shared>,
    tp: TopicIdPartition,
    dir: PathBuf,
    config: SegmentConfig,
    framing: &'a dyn Framing,
    report: RecoveryReport,
    /// Everything below was promised durable.
    promised: Offset,
    /// The log start, as far as known.
    start: Offset,
    /// Files that must be synced before the log opens.
    touched: Vec<Arc<dyn FsFile>>,
    names_changed: bool,
    /// What the directory says is on the medium.
    names_durable: bool,
    /// State files that could not be read.
    bad_states: Vec<u64>,
}

/// What the scan has come to.
struct Scan {
    segments: VecDeque<Entry>,
    last_index: Index,
    next: Offset,
    epoch: LeaderEpoch,
    torn: bool,
}

/// A segment's file and how much of it is known.
struct Found {
    base: Offset,
    rewrites: u32,
    size: u64,
    known: Option<Facts>,
}

impl Found {
    fn name(&self, suffix: &str) -> String {
        file_name(self.base, self.rewrites, suffix)
    }
}

impl<'a> Recovery<'a> {
    pub(crate) fn new(
        shared: &'a Arc<Shared>,
        tp: TopicIdPartition,
        config: SegmentConfig,
        framing: &'a dyn Framing,
    ) -> Self {
        Self {
            dir: shared.topics_dir.join(tp.to_string()),
            shared,
            tp,
            config,
            framing,
            report: RecoveryReport::default(),
            promised: Offset::ZERO,
            start: Offset::ZERO,
            touched: Vec::new(),
            names_changed: false,
            names_durable: shared.was_clean,
            bad_states: Vec::new(),
        }
    }

    /// Finds out; everything that is found is durable on return.
    pub(crate) fn run(mut self) -> Result<(Opened, RecoveryReport), StorageError> {
        let Some(mut listing) = self.list()? else {
            self.report.clean = true;
            return Ok((empty(), self.report));
        };
        let book = self.read_book(&listing)?;
        self.drop_superseded(&mut listing, book.newest.as_ref())?;
        let known = self.shared.ends.get(self.tp);
        let manifest = book.newest.clone();
        let start = match &manifest {
            Some(m) => Some(m.start),
            None => known.map(|k| k.start),
        };
        let same_history = known.filter(|k| manifest.as_ref().is_none_or(|m| m.cuts == k.cuts));
        self.promised = manifest
            .as_ref()
            .map_or(Offset::ZERO, |m| m.recovery_point)
            .max(same_history.map_or(Offset::ZERO, |k| k.synced));
        self.start = start.unwrap_or(Offset::ZERO);
        let plan = self.plan(&listing, manifest.as_ref(), start)?;
        let trusted = self.shared.was_clean
            && manifest.as_ref().is_some_and(|m| m.recovery_point == self.promised)
            && plan.iter().all(|f| f.known.is_some_and(|k| k.bytes == f.size));
        let scan = self.scan(plan, manifest.as_ref(), &listing)?;
        self.report.clean = trusted && self.report.damage.is_empty();
        let start = self.settle_start(start, &scan);
        let end = self.settle_end(&scan, start);
        self.make_durable()?;
        let cuts = manifest.map_or_else(|| known.map_or(0, |k| k.cuts), |m| m.cuts)
            + u64::from(!self.report.damage.is_empty());
        let opened = Opened {
            start,
            end,
            segments: scan.segments,
            active_index: scan.last_index,
            book,
            cuts,
            dir_made: true,
            bad_states: self.bad_states,
        };
        Ok((opened, self.report))
    }

    /// The state files that could not be read are set aside once a new one stands.
    pub(crate) fn set_bad_states_aside(dir: &Path, shared: &Shared, bad: &[u64]) {
        for n in bad {
            let path = dir.join(Manifest::name(*n));
            let aside = dir.join(format!("{}{QUARANTINE_SUFFIX}", Manifest::name(*n)));
            if let Err(e) = shared.fs.rename(&path, &aside) {
                tracing::warn!(file = %path.display(), "cannot set a damaged state file aside: {e}");
            }
        }
    }

    fn error(&self, action: &str, name: &str, e: io::Error) -> StorageError {
        let path = self.dir.join(name);
        self.shared.write_error(format!("{action} {}", path.display()), e)
    }

    fn list(&mut self) -> Result<Option<Listing>, StorageError> {
        let entries = match self.shared.fs.read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.error("listing", "", e)),
        };
        let mut listing = Listing::default();
        for entry in entries {
            let name = entry.name.as_str();
            if let Some((base, rewrites)) = parse_file(name, LOG_SUFFIX) {
                listing.logs.entry(base).or_default().insert(rewrites);
            } else if let Some(file) = parse_file(name, INDEX_SUFFIX) {
                listing.indexes.insert(file);
            } else if let Some(n) = parse_name(name, STATE_SUFFIX) {
                listing.states.extend(u64::try_from(n));
            } else if name.ends_with(TEMP_SUFFIX) {
                self.unlink(name)?;
            } else if name.ends_with(DELETED_SUFFIX) {
                self.shared.doom_later(self.dir.join(name), Duration::ZERO);
            }
        }
        Ok(Some(listing))
    }

    fn unlink(&mut self, name: &str) -> Result<(), StorageError> {
        self.names_changed = true;
        match self.shared.fs.unlink(&self.dir.join(name)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(self.error("removing", name, e)),
            _ => Ok(()),
        }
    }

    /// Reads the newest state file. If that one is damaged no older one is believed: it may speak of records that a
    /// truncation took back.
    fn read_book(&mut self, listing: &Listing) -> Result<Book, StorageError> {
        let mut book =
            Book { seq: listing.states.last().copied().unwrap_or(0), files: listing.states.clone(), ..Book::default() };
        if listing.states.is_empty() {
            return Ok(book);
        }
        match Manifest::read(&*self.shared.fs, &self.dir, book.seq)
            .map_err(|e| self.error("reading", &Manifest::name(book.seq), e))?
        {
            Ok(manifest) => {
                book.blobs.clone_from(&manifest.blobs);
                book.newest = Some(manifest);
            }
            Err(reason) => {
                let name = Manifest::name(book.seq);
                let promised = self.shared.ends.get(self.tp).map_or(Offset::ZERO, |k| k.synced);
                self.damage(promised..promised, 0, format!("{name}: {reason}; everything was scanned instead"), true);
                book.files.remove(&book.seq);
                self.bad_states.push(book.seq);
            }
        }
        Ok(book)
    }

    fn damage(&mut self, offsets: std::ops::Range<Offset>, bytes: u64, reason: String, promised: bool) {
        tracing::warn!(partition = %self.tp, from = offsets.start.0, to = offsets.end.0, bytes, promised, "recovery: {reason}");
        let label = if promised { "true" } else { "false" };
        ::metrics::counter!(crate::metrics::DAMAGE, "promised" => label).increment(1);
        self.report.damage.push(Damage { offsets, bytes, reason, promised });
    }

    /// Which files belong to the log, and how much of each the state file vouches for.
    fn plan(
        &mut self,
        listing: &Listing,
        manifest: Option<&Manifest>,
        start: Option<Offset>,
    ) -> Result<VecDeque<Found>, StorageError> {
        let listed: BTreeMap<i64, Facts> =
            manifest.map(|m| m.segments.iter().map(|s| (s.base.0, *s)).collect()).unwrap_or_default();
        let files: Vec<(i64, u32)> =
            listing.logs.iter().filter_map(|(base, there)| Some((*base, *there.first()?))).collect();
        let bases: Vec<i64> = files.iter().map(|(base, _)| *base).collect();
        let mut plan = VecDeque::new();
        for (n, (base, rewrites)) in files.iter().enumerate() {
            let below = bases.get(n + 1).is_some_and(|next| start.is_some_and(|start| *next <= start.0));
            // Only a state file that was read may order a deletion.
            if below && manifest.is_some() && !listed.contains_key(base) {
                // Its deletion is decided, its file's was not durable.
                self.drop_decided(Offset(*base), *rewrites)?;
                continue;
            }
            let known = listed.get(base).copied();
            let last = n + 1 == bases.len();
            let mut found = Found { base: Offset(*base), rewrites: *rewrites, size: 0, known };
            found.size = match known {
                // After a clean end the sealed ones are as they were left; the last is looked at all the same.
                Some(facts) if self.shared.was_clean && facts.sealed && !last => facts.bytes,
                _ => self.size(&found)?,
            };
            if found.size == 0 && known.is_none_or(|k| k.bytes == 0) {
                // Made, or cut to nothing, and never written to.
                self.unlink(&found.name(LOG_SUFFIX))?;
                continue;
            }
            plan.push_back(found);
        }
        let above_start = |f: &&Facts| start.is_none_or(|s| f.end > s);
        for facts in listed.values().filter(above_start) {
            if facts.bytes > 0 && !listing.logs.contains_key(&facts.base.0) {
                let name = file_name(facts.base, facts.rewrites, LOG_SUFFIX);
                self.damage(facts.base..facts.end, facts.bytes, format!("{name} is missing"), true);
            }
        }
        Ok(plan)
    }

    fn open(&self, found: &Found) -> Result<Arc<dyn FsFile>, StorageError> {
        let name = found.name(LOG_SUFFIX);
        self.shared.fs.open(&self.dir.join(&name), OpenMode::Write).map_err(|e| self.error("opening", &name, e))
    }

    fn size(&self, found: &Found) -> Result<u64, StorageError> {
        let file = self.open(found)?;
        file.size().map_err(|e| self.error("reading", &found.name(LOG_SUFFIX), e))
    }

    fn scan(
        &mut self,
        mut plan: VecDeque<Found>,
        manifest: Option<&Manifest>,
        listing: &Listing,
    ) -> Result<Scan, StorageError> {
        let mut scan = Scan {
            segments: VecDeque::new(),
            last_index: Index::default(),
            next: Offset::ZERO,
            epoch: LeaderEpoch::NONE,
            torn: false,
        };
        while let Some(found) = plan.pop_front() {
            if scan.torn {
                self.drop_torn(&found)?;
                continue;
            }
            if found.base < scan.next && found.known.is_none() {
                self.set_overlap_aside(&found, scan.next)?;
                continue;
            }
            if let Some(before) = scan.segments.back_mut() {
                before.facts.sealed = true;
                let index = std::mem::take(&mut scan.last_index);
                if index.from_pos == 0 && index.to_pos == before.facts.bytes {
                    *before.segment.index.lock() = Some(Arc::new(index));
                }
            }
            let entry = match found.known {
                Some(facts) if facts.bytes == found.size => {
                    if plan.is_empty() && !self.shared.was_clean {
                        // That it is no longer than this may be known to the page cache only.
                        self.touched.push(self.open(&found)?);
                    }
                    scan.last_index = Index::starting_at(facts.bytes);
                    scan.next = facts.end;
                    scan.epoch = facts.last_epoch;
                    let segment = Segment::new(&self.dir, found.base, found.rewrites);
                    segment.unchecked.found(facts);
                    Entry::new(segment, facts)
                }
                _ => self.scan_segment(&found, &mut scan, &mut plan)?,
            };
            if entry.facts.bytes == 0 && !plan.is_empty() {
                // All of it was set aside. Readers would stop at a segment without frames.
                self.unlink(&found.name(LOG_SUFFIX))?;
                continue;
            }
            scan.segments.push_back(entry);
        }
        for entry in &mut scan.segments {
            entry.index_saved = listing.indexes.contains(&(entry.facts.base.0, entry.facts.rewrites));
        }
        // The end may lie above the last frame's: a reset, a truncation or a rewrite left it there.
        if let Some(m) = manifest
            && m.segments.last().is_none_or(|s| s.end < m.recovery_point)
            && m.recovery_point > scan.next
            && self.report.damage.is_empty()
        {
            scan.next = m.recovery_point;
        }
        Ok(scan)
    }

    fn scan_segment(
        &mut self,
        found: &Found,
        scan: &mut Scan,
        plan: &mut VecDeque<Found>,
    ) -> Result<Entry, StorageError> {
        let name = found.name(LOG_SUFFIX);
        let file = self.open(found)?;
        let now = self.shared.clock().now();
        // The part below the recovery point is vouched for, unless the file does not even reach so far.
        let known = found.known.filter(|k| !k.sealed && k.bytes <= found.size);
        let mut facts = known.unwrap_or_else(|| Facts::empty(found.base, scan.epoch, now));
        facts.rewrites = found.rewrites;
        let segment = Segment::new(&self.dir, found.base, found.rewrites);
        segment.unchecked.found(facts);
        if known.is_some() {
            (scan.next, scan.epoch) = (facts.end, facts.last_epoch);
        }
        let mut index = Index::starting_at(facts.bytes);
        let framing = self.framing;
        let mut walker = Walker::new(&*file, framing, facts.bytes, found.size, SCAN_BYTES);
        walker.expect(scan.next.max(found.base), scan.epoch);
        walker.expect_behind(self.first_of(plan.front())?);
        if self.promised > self.start {
            walker.expect_end(self.promised);
        }
        let bad = loop {
            match walker.next_verified() {
                Ok(Some((meta, pos))) => {
                    index.add(&meta, pos, facts.before(), self.config.index_interval_bytes);
                    facts.add(&meta);
                }
                Ok(None) => break None,
                Err(WalkError::Bad(reason)) => break Some(reason),
                Err(WalkError::Io(e)) => return Err(self.error("reading", &name, e)),
            }
        };
        if let Some(reason) = bad {
            self.set_aside(&name, &*file, &mut walker, &reason, found, scan, plan)?;
        }
        self.report.scanned_bytes += walker.read_bytes;
        (scan.next, scan.epoch) = (facts.end, facts.last_epoch);
        facts.sealed = false;
        scan.last_index = index;
        drop(walker);
        self.touched.push(file);
        self.names_changed = true;
        Ok(Entry::new(segment, facts))
    }

    /// The first frame of a segment, if it is intact.
    fn first_of(&self, found: Option<&Found>) -> Result<Option<FrameMeta>, StorageError> {
        let Some(found) = found else { return Ok(None) };
        let file = self.open(found)?;
        let first = Walker::first_in(&*file, self.framing);
        first.map_err(|e| self.error("reading", &found.name(LOG_SUFFIX), e))
    }

    /// Deals with bytes that are not a frame, at the walker's position.
    #[allow(clippy::too_many_arguments, reason = "one step of the scan, named")]
    fn set_aside(
        &mut self,
        name: &str,
        file: &dyn FsFile,
        walker: &mut Walker<'_>,
        reason: &str,
        found: &Found,
        scan: &mut Scan,
        plan: &mut VecDeque<Found>,
    ) -> Result<(), StorageError> {
        let (pos, expected) = (walker.pos(), walker.expected());
        let reason = format!("{name} at byte {pos}: {reason}");
        if expected >= self.promised {
            scan.torn = true;
            self.damage(expected..expected, found.size - pos, reason, false);
            return file.set_len(pos).map_err(|e| self.error("cutting", name, e));
        }
        let intact = walker.find_intact().map_err(|e| self.error("reading", name, e))?;
        let stop = intact.unwrap_or(found.size);
        let quarantine = format!("{name}.{pos}{QUARANTINE_SUFFIX}");
        self.copy(file, pos, stop, &quarantine)?;
        let mut upto = plan.front().map_or(self.promised, |next| next.base);
        if let Some(q) = intact {
            walker.jump(q);
            let first = walker.next_head().ok().flatten().map_or(upto, |(meta, _)| meta.base);
            walker.jump(pos);
            self.copy(file, q, found.size, &file_name(first, 0, LOG_SUFFIX))?;
            // A power cut may have come between the copy and the cut the last time.
            plan.retain(|f| f.base != first);
            plan.push_front(Found { base: first, rewrites: 0, size: found.size - q, known: None });
            upto = first;
        }
        self.damage(expected..upto.max(expected), stop - pos, format!("{reason}; set aside in {quarantine}"), true);
        file.set_len(pos).map_err(|e| self.error("cutting", name, e))
    }

    /// Copies part of a segment into a file of its own, durable on return.
    fn copy(&mut self, file: &dyn FsFile, from: u64, to: u64, name: &str) -> Result<(), StorageError> {
        let temp = self.dir.join(format!("{name}{TEMP_SUFFIX}"));
        let written = (|| {
            let copy = self.shared.fs.open(&temp, OpenMode::Truncate)?;
            let mut buf = vec![0; SCAN_BYTES];
            let mut pos = from;
            while pos < to {
                let want = usize::try_from(to - pos).unwrap_or(SCAN_BYTES).min(SCAN_BYTES);
                let read = read_full(file, pos, &mut buf[..want])?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                write_all(&*copy, pos - from, &buf[..read])?;
                pos += read as u64;
            }
            Ok(copy)
        })();
        let copy = written.map_err(|e| self.error("writing", name, e))?;
        copy.sync_data().map_err(|e| self.shared.go_offline(&format!("syncing {name}"), &e))?;
        self.shared.fs.rename(&temp, &self.dir.join(name)).map_err(|e| self.error("renaming", name, e))?;
        self.names_changed = true;
        // Before the original is cut: nothing may be lost between.
        self.sync_dir(&self.dir)
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), StorageError> {
        self.shared
            .fs
            .sync_dir(dir)
            .map_err(|e| self.shared.go_offline(&format!("syncing directory {}", dir.display()), &e))
    }

    /// What was found may have been in the page cache only; from here on it is on the medium.
    fn make_durable(&mut self) -> Result<(), StorageError> {
        for file in &self.touched {
            file.sync_data().map_err(|e| self.shared.go_offline(&format!("syncing {}", self.dir.display()), &e))?;
        }
        if self.names_changed || !self.shared.was_clean {
            self.sync_dir(&self.dir)?;
        }
        ::metrics::counter!(crate::metrics::RECOVERED_BYTES).increment(self.report.scanned_bytes);
        Ok(())
    }
}

fn empty() -> Opened {
    Opened {
        start: Offset::ZERO,
        end: Offset::ZERO,
        segments: VecDeque::new(),
        active_index: Index::default(),
        book: Book::default(),
        cuts: 0,
        dir_made: false,
        bad_states: Vec::new(),
    }
}
