//! The offline check of a data directory: every checksum, offset, epoch, index and blob. Reads only.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use watershed_model::{LeaderEpoch, Offset, TopicIdPartition};
use watershed_storage::{FrameMeta, Framing};

use crate::codec::TEMP_SUFFIX;
use crate::ends::{self, Known};
use crate::fs::{Fs, OpenMode, RealFs, read_file};
use crate::index::Index;
use crate::recovery::{QUARANTINE_SUFFIX, STATE_SUFFIX};
use crate::segment::{INDEX_SUFFIX, LOG_SUFFIX, file_name, parse_file, parse_name};
use crate::shared::DELETED_SUFFIX;
use crate::state::{Facts, Manifest};
use crate::storage::{LOCK_NAME, OpenError, TOPICS_NAME};
use crate::walk::{WalkError, Walker};

/// Bytes read at a time.
const SCAN_BYTES: usize = 1 << 20;
/// The largest state or index file that is read, in bytes.
const SMALL_FILE_BYTES_MAX: u64 = 1 << 30;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is lost: the next start repairs or ignores it.
    Note,
    /// Records or state are damaged.
    Damage,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The partition, if it is one's.
    pub partition: Option<TopicIdPartition>,
    /// The file.
    pub file: PathBuf,
    /// Where in the file, in bytes, if in one place.
    pub position: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub advice: &'static str,
}

/// How far the check is. Called after each file.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The file that was just checked.
    pub file: &'a Path,
    /// Bytes checked so far.
    pub done_bytes: u64,
    /// Bytes there are to check.
    pub total_bytes: u64,
}

/// What the check came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Partitions checked.
    pub partitions: u64,
    /// Segments checked.
    pub segments: u64,
    /// Frames (record batches) that are intact.
    pub frames: u64,
    /// Bytes of segments read.
    pub bytes: u64,
    /// What is not as it should be, in the order of files.
    pub findings: Vec<Finding>,
}

impl Summary {
    /// Whether any record or state is damaged.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.findings.iter().any(|f| f.severity == Severity::Damage)
    }
}

struct Check<'a> {
    fs: &'a dyn Fs,
    framing: &'a dyn Framing,
    /// Up to where each partition was on the medium.
    ends: HashMap<TopicIdPartition, Known>,
    summary: Summary,
    total_bytes: u64,
    done_bytes: u64,
    progress: &'a mut dyn FnMut(Progress<'_>),
}

const TORN: &str =
    "if the broker did not end cleanly this is a torn tail: the next start cuts it, nobody was promised it";
const RESTORE: &str = "it is never served: the next start sets it aside in a .quarantine file or stops readers before it, and tells the offsets; restore them from another copy";
const NOTED: &str = "nothing to do: without it the next start takes damage in that partition's tail for a torn write";
const REBUILT: &str = "nothing to do: it is rebuilt when it is needed";

/// Checks a data directory that no broker has open.
///
/// # Errors
/// A broker has it open, or the system refuses to read it. Damage is not an error: it is in the summary.
pub fn verify(dir: &Path, framing: &dyn Framing, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Summary, OpenError> {
    verify_on(&RealFs, dir, framing, progress)
}

/// The same on any file system.
///
/// # Errors
/// As [`verify`].
pub fn verify_on(
    fs: &dyn Fs,
    dir: &Path,
    framing: &dyn Framing,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Summary, OpenError> {
    let failed = |action: &'static str| {
        let dir = dir.display().to_string();
        move |source| OpenError::Io { dir, action, source }
    };
    let topics = dir.join(TOPICS_NAME);
    let entries = fs.read_dir(&topics).map_err(failed("listing its topics"))?;
    let _lock = match fs.lock_existing(&dir.join(LOCK_NAME)) {
        Ok(Ok(lock)) => Some(lock),
        Ok(Err(holder)) => return Err(OpenError::Locked { dir: dir.display().to_string(), holder }),
        // Never opened by a broker, or copied without it.
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(failed("locking it")(e)),
    };
    let partitions: Vec<TopicIdPartition> =
        entries.iter().filter(|e| e.dir).filter_map(|e| e.name.parse().ok()).collect();
    let (ends, bad_notes) = ends::read(fs, dir).map_err(failed("reading its synced ends"))?;
    let mut check = Check { fs, framing, ends, summary: Summary::default(), total_bytes: 0, done_bytes: 0, progress };
    for position in bad_notes {
        let what = "a note of a synced end is torn or damaged".to_owned();
        let file = dir.join(ends::FILE_NAME);
        let finding =
            Finding { severity: Severity::Note, partition: None, file, position: Some(position), what, advice: NOTED };
        check.summary.findings.push(finding);
    }
    for tp in &partitions {
        check.total_bytes += check.weigh(&topics.join(tp.to_string())).map_err(failed("measuring it"))?;
    }
    for tp in partitions {
        check.partition(tp, &topics.join(tp.to_string())).map_err(failed("reading it"))?;
    }
    Ok(check.summary)
}

impl Check<'_> {
    fn weigh(&self, dir: &Path) -> io::Result<u64> {
        let mut total = 0;
        for entry in self.fs.read_dir(dir)? {
            if parse_file(&entry.name, LOG_SUFFIX).is_some() {
                total += self.fs.open(&dir.join(entry.name), OpenMode::Read)?.size()?;
            }
        }
        Ok(total)
    }

    fn find(&mut self, tp: TopicIdPartition, file: PathBuf, severity: Severity, what: String, advice: &'static str) {
        self.summary.findings.push(Finding { severity, partition: Some(tp), file, position: None, what, advice });
    }

    fn partition(&mut self, tp: TopicIdPartition, dir: &Path) -> io::Result<()> {
        self.summary.partitions += 1;
        let mut files: BTreeMap<i64, BTreeSet<u32>> = BTreeMap::new();
        let (mut indexes, mut states) = (BTreeSet::new(), BTreeSet::new());
        for entry in self.fs.read_dir(dir)? {
            let name = entry.name.as_str();
            if let Some((base, rewrites)) = parse_file(name, LOG_SUFFIX) {
                files.entry(base).or_default().insert(rewrites);
            } else if let Some(file) = parse_file(name, INDEX_SUFFIX) {
                indexes.insert(file);
            } else if let Some(n) = parse_name(name, STATE_SUFFIX) {
                states.extend(u64::try_from(n));
            } else if name.ends_with(QUARANTINE_SUFFIX) {
                let what = "damaged bytes that an earlier start set aside".to_owned();
                self.find(tp, dir.join(name), Severity::Note, what, "remove it when nobody needs it any more");
            } else if !name.ends_with(TEMP_SUFFIX) && !name.ends_with(DELETED_SUFFIX) {
                let what = "a file that does not belong here".to_owned();
                self.find(tp, dir.join(name), Severity::Note, what, "move it elsewhere");
            }
        }
        let manifest = self.states(tp, dir, &states)?;
        let start = manifest.as_ref().map_or(Offset(i64::MIN), |m| m.start);
        // A note from before a truncation speaks of another history.
        let known = self.ends.get(&tp).filter(|known| manifest.as_ref().is_none_or(|m| m.cuts == known.cuts));
        let safe = manifest.as_ref().map_or(Offset::ZERO, |m| m.recovery_point);
        let safe = safe.max(known.map_or(Offset::ZERO, |known| known.synced));
        let (mut next, mut epoch) = (Offset::ZERO, LeaderEpoch::NONE);
        // Other files of a segment are those of rewrites that were not completed, or from before one: they are about to go.
        let logs: BTreeMap<i64, u32> = (files.iter())
            .filter_map(|(base, there)| Some((*base, Manifest::which(manifest.as_ref(), *base, there)?)))
            .collect();
        let logs_in_order: Vec<(i64, u32)> = logs.iter().map(|(base, rewrites)| (*base, *rewrites)).collect();
        for (n, file) in logs_in_order.iter().enumerate() {
            let behind = logs_in_order.get(n + 1);
            if behind.is_some_and(|(next, _)| *next <= start.0) {
                // Deleted; its file is about to go.
                continue;
            }
            let behind = match behind {
                Some(next) => self.first_of(dir, *next)?,
                None => self.known_end(manifest.as_ref(), dir, *file)?,
            };
            let walked = self.segment(tp, dir, *file, (next, epoch, behind), safe)?;
            if indexes.contains(file) {
                self.index(tp, dir, *file, &walked)?;
            }
            (next, epoch) = (walked.next, walked.epoch);
        }
        for facts in manifest.iter().flat_map(|m| &m.segments) {
            if facts.end > start && facts.bytes > 0 && !logs.contains_key(&facts.base.0) {
                let what = format!("missing: it held offsets {} to {}", facts.base, facts.end);
                let path = dir.join(file_name(facts.base, facts.rewrites, LOG_SUFFIX));
                self.find(tp, path, Severity::Damage, what, RESTORE);
            }
        }
        // A log may be known to end behind its last frame: a rewrite took out what was there.
        let known_gap = manifest.as_ref().filter(|m| m.segments.last().is_none_or(|s| s.end <= next));
        let end = next.max(known_gap.map_or(Offset::ZERO, |m| m.recovery_point));
        if end < safe && !logs.is_empty() {
            let what = format!("the log ends at {next}, but had been durable up to {safe}");
            self.find(tp, dir.into(), Severity::Damage, what, RESTORE);
        }
        Ok(())
    }

    fn states(&mut self, tp: TopicIdPartition, dir: &Path, states: &BTreeSet<u64>) -> io::Result<Option<Manifest>> {
        let mut newest = None;
        for n in states.iter().rev() {
            let path = dir.join(Manifest::name(*n));
            let bytes = read_file(self.fs, &path, SMALL_FILE_BYTES_MAX)?;
            match Manifest::decode(&bytes) {
                Ok(manifest) => {
                    if newest.is_none() && Some(n) == states.last() {
                        newest = Some(manifest);
                    }
                }
                Err(e) => {
                    let advice =
                        "the next start scans the whole partition instead; blobs in it are rebuilt from the records";
                    self.find(tp, path, Severity::Damage, format!("the state file is damaged: {e}"), advice);
                }
            }
        }
        for blob in newest.iter().flat_map(|m| m.blobs.clone()) {
            let path = dir.join(Manifest::name(blob.seq));
            let intact = match read_file(self.fs, &path, SMALL_FILE_BYTES_MAX) {
                Ok(bytes) => {
                    let begin = Manifest::blobs_at(&bytes).and_then(|b| usize::try_from(b + blob.pos).ok());
                    let content = begin.and_then(|b| bytes.get(b..b.checked_add(blob.len as usize)?));
                    content.is_some_and(|c| crc32c::crc32c(c) == blob.crc)
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => false,
                Err(e) => return Err(e),
            };
            if !intact {
                let what = format!("the blob of kind {} at offset {} is damaged", blob.kind, blob.at);
                self.find(
                    tp,
                    path,
                    Severity::Damage,
                    what,
                    "nothing to do: it is rebuilt from the records at the next start",
                );
            }
        }
        Ok(newest)
    }

    /// What can come at the earliest behind the last segment, if the state file knows of all of it.
    fn known_end(
        &self,
        manifest: Option<&Manifest>,
        dir: &Path,
        (base, rewrites): (i64, u32),
    ) -> io::Result<Option<FrameMeta>> {
        let size = self.fs.open(&dir.join(file_name(Offset(base), rewrites, LOG_SUFFIX)), OpenMode::Read)?.size()?;
        let facts = manifest.and_then(|m| m.segments.last()).filter(|f| f.base.0 == base && f.bytes == size);
        Ok(facts.map(Facts::behind))
    }

    /// The first frame of a segment, if it is intact.
    fn first_of(&self, dir: &Path, (base, rewrites): (i64, u32)) -> io::Result<Option<FrameMeta>> {
        let file = self.fs.open(&dir.join(file_name(Offset(base), rewrites, LOG_SUFFIX)), OpenMode::Read)?;
        Walker::first_in(&*file, self.framing)
    }

    /// Walks over one segment. After a bad place it goes on with the next intact frame.
    fn segment(
        &mut self,
        tp: TopicIdPartition,
        dir: &Path,
        (base, rewrites): (i64, u32),
        (next, epoch, behind): (Offset, LeaderEpoch, Option<FrameMeta>),
        safe: Offset,
    ) -> io::Result<Walked> {
        let base = Offset(base);
        let path = dir.join(file_name(base, rewrites, LOG_SUFFIX));
        let file = self.fs.open(&path, OpenMode::Read)?;
        let size = file.size()?;
        let mut walker = Walker::new(&*file, self.framing, 0, size, SCAN_BYTES);
        walker.expect(next.max(base), epoch);
        walker.expect_behind(behind);
        if safe > base {
            walker.expect_end(safe);
        }
        let mut starts = Vec::new();
        loop {
            match walker.next_verified() {
                Ok(Some((meta, pos))) => {
                    self.summary.frames += 1;
                    starts.push((pos, meta.base));
                }
                Ok(None) => break,
                Err(WalkError::Io(e)) => return Err(e),
                Err(WalkError::Bad(what)) => {
                    let (pos, expected) = (walker.pos(), walker.expected());
                    let promised = expected < safe;
                    let what = format!("at offset {expected}: {what}");
                    let (severity, advice) =
                        if promised { (Severity::Damage, RESTORE) } else { (Severity::Note, TORN) };
                    let finding = Finding {
                        severity,
                        partition: Some(tp),
                        file: path.clone(),
                        position: Some(pos),
                        what,
                        advice,
                    };
                    let intact = walker.find_intact()?;
                    self.summary.findings.push(if !promised && intact.is_some() {
                        // A torn tail has nothing intact behind it, or nobody was promised that either; say both.
                        Finding { what: format!("{}; intact frames follow", finding.what), ..finding }
                    } else {
                        finding
                    });
                    match intact {
                        Some(pos) => walker.jump(pos),
                        None => break,
                    }
                }
            }
        }
        let walked = Walked { next: walker.expected(), epoch: walker.epoch(), size, starts };
        drop(walker);
        self.summary.segments += 1;
        self.summary.bytes += size;
        self.done_bytes += size;
        (self.progress)(Progress { file: &path, done_bytes: self.done_bytes, total_bytes: self.total_bytes });
        Ok(walked)
    }

    fn index(
        &mut self,
        tp: TopicIdPartition,
        dir: &Path,
        (base, rewrites): (i64, u32),
        walked: &Walked,
    ) -> io::Result<()> {
        let path = dir.join(file_name(Offset(base), rewrites, INDEX_SUFFIX));
        let bytes = read_file(self.fs, &path, SMALL_FILE_BYTES_MAX)?;
        let wrong = match Index::decode(&bytes, Offset(base)) {
            Err(e) => Some(format!("the index is damaged: {e}")),
            Ok(index) if index.to_pos > walked.size => Some("the index speaks of more than the segment holds".into()),
            Ok(index) => index
                .entries
                .iter()
                .find(|e| walked.starts.binary_search(&(e.pos, e.offset)).is_err())
                .map(|e| format!("the index has offset {} at byte {}, where no such frame begins", e.offset, e.pos)),
        };
        if let Some(what) = wrong {
            self.find(tp, path, Severity::Note, what, REBUILT);
        }
        Ok(())
    }
}

/// What a walk over a segment found.
struct Walked {
    next: Offset,
    epoch: LeaderEpoch,
    size: u64,
    starts: Vec<(u64, Offset)>,
}
