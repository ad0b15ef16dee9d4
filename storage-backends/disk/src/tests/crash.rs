//! Power cuts before every change of every operation, with many of the states each may leave.
//!
//! A script runs on the recording file system with the power cut before its n-th change. Then the directory is recovered
//! from states that such a cut may leave, and must hold what was acknowledged, nothing that was never appended, and no more
//! than the operation in flight may have done. What a recovery shows must survive the next cut.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use watershed_model::Offset;
use watershed_storage::conformance::harness::{config as segment_config, frame, gather, parse, partition};
use watershed_storage::framing::BatchFraming;
use watershed_storage::{Blob, Frame, LogStorage, PartitionLog, RecoveryReport, StorageError};

use super::config;
use crate::DiskStorage;
use crate::fs::recording::RecordingFs;

/// States tried for each cut.
const STATES: u64 = 8;

#[derive(Clone, Debug)]
enum Step {
    /// So many batches, appended without waiting for each other.
    Append(usize),
    Roll,
    Checkpoint,
    /// The end moves back by so many frames.
    Truncate(usize),
    Reset(i64),
    /// The start moves up to the base of this frame.
    Advance(usize),
    Reopen,
    Destroy,
}

/// What the log is known to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    start: i64,
    next: i64,
    frames: Vec<(i64, i64)>,
    blob: Option<i64>,
}

/// What a recovery may find: the step in flight may have been done in part.
#[derive(Debug)]
struct Allowed {
    before: Known,
    after: Known,
    /// Frames of `before` that must be there whatever became of the step, by their number.
    kept_min: usize,
    /// Frames of the step's appends, and how many of them were acknowledged.
    appended: Vec<(i64, i64)>,
    acked: usize,
}

fn data() -> PathBuf {
    PathBuf::from("/data")
}

fn open(fs: &RecordingFs) -> Option<DiskStorage> {
    DiskStorage::open_on(config(&data()), Arc::new(fs.clone()), 8).ok()
}

async fn open_log(storage: &DiskStorage) -> Result<(Arc<dyn PartitionLog>, RecoveryReport), StorageError> {
    storage.open(partition(0), segment_config(), Arc::new(BatchFraming)).await
}

fn snapshot(at: i64) -> Blob {
    Blob { kind: 1, at: Offset(at), bytes: Bytes::from(format!("snapshot at {at}")) }
}

struct Run {
    storage: DiskStorage,
    log: Arc<dyn PartitionLog>,
    known: Known,
    epoch: i32,
}

impl Run {
    async fn start(fs: &RecordingFs) -> Option<Self> {
        let storage = open(fs)?;
        let log = open_log(&storage).await.ok()?.0;
        Some(Self { storage, log, known: Known::default(), epoch: 0 })
    }

    /// Runs a step. `Err` says what is allowed after a power cut in it.
    async fn step(&mut self, step: &Step) -> Result<(), Box<Allowed>> {
        let before = self.known.clone();
        let mut after = before.clone();
        let mut kept_min = before.frames.len();
        let (mut appended, mut acked) = (Vec::new(), 0);
        let done = match step {
            Step::Append(n) => {
                let all = self.batches(*n);
                appended = all.iter().map(|f| (f.meta.base.0, f.meta.last.0)).collect();
                after.frames.extend(&appended);
                after.next = appended.last().map_or(after.next, |f| f.1 + 1);
                self.append(all, &mut acked).await
            }
            Step::Roll | Step::Checkpoint => {
                after.blob = Some(after.next);
                let blobs = vec![snapshot(after.next)];
                let ticket = match step {
                    Step::Roll => self.log.roll(blobs),
                    _ => self.log.checkpoint(blobs),
                };
                match ticket {
                    Ok(ticket) => ticket.await.map(drop),
                    Err(e) => Err(e),
                }
            }
            Step::Truncate(n) => {
                kept_min = after.frames.len() - n;
                after.next = after.frames[kept_min].0;
                after.frames.truncate(kept_min);
                after.blob = None;
                self.epoch += 1;
                self.log.truncate(Offset(after.next)).await
            }
            Step::Reset(next) => {
                kept_min = 0;
                after = Known { start: *next, next: *next, frames: Vec::new(), blob: Some(*next) };
                self.log.reset(Offset(*next), vec![snapshot(*next)]).await
            }
            Step::Advance(n) => {
                after.start = after.frames[*n].0;
                after.frames.drain(..*n);
                self.log.advance_start(Offset(after.start)).await
            }
            Step::Reopen => self.reopen().await,
            Step::Destroy => {
                kept_min = 0;
                after = Known::default();
                let done = self.storage.destroy(partition(0)).await;
                match done {
                    Ok(()) => self.open_again().await,
                    Err(e) => Err(e),
                }
            }
        };
        if done.is_err() {
            return Err(Box::new(Allowed { before, after, kept_min, appended, acked }));
        }
        if matches!(step, Step::Truncate(_)) {
            // Which of the older ones are still there is the backend's choice.
            after.blob = self.log.blob(1, Offset(after.next)).await.unwrap_or(None).map(|b| b.at.0);
        }
        self.known = after;
        Ok(())
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
        self.log = open_log(&self.storage).await?.0;
        Ok(())
    }

    async fn reopen(&mut self) -> Result<(), StorageError> {
        self.log.close().await?;
        self.open_again().await
    }
}

/// What a recovered log holds.
async fn held(log: &dyn PartitionLog) -> Known {
    let ends = log.ends();
    assert_eq!(ends.synced, ends.end, "everything readable is durable");
    let pieces = log.read(ends.start, ends.end, u32::MAX, true).wait().await.unwrap();
    let metas = parse(&gather(&pieces).unwrap()).unwrap();
    let blob = log.blob(1, ends.end).await.unwrap();
    let blob = blob.map(|b| {
        assert_eq!(b, snapshot(b.at.0), "a blob comes back whole");
        b.at.0
    });
    Known { start: ends.start.0, next: ends.end.0, frames: metas.iter().map(|m| (m.base.0, m.last.0)).collect(), blob }
}

impl Allowed {
    fn check(&self, found: &Known) -> Result<(), String> {
        let Self { before, after, kept_min, appended, acked } = self;
        if found == after {
            return Ok(());
        }
        if !appended.is_empty() {
            let n = found.frames.len().saturating_sub(before.frames.len());
            let mut want = before.frames.clone();
            want.extend(appended.iter().take(n));
            let enough = n >= *acked;
            let blob = found.blob == before.blob;
            return (found.frames == want && enough && blob && found.start == before.start)
                .then_some(())
                .ok_or_else(|| format!("wanted {want:?} with at least {acked} of the appended"));
        }
        // Otherwise it is the state after, or the state before with part of its tail gone.
        let after_but_blob = Known { blob: found.blob, ..after.clone() };
        if *found == after_but_blob && found.blob.is_none_or(|b| b <= found.next) {
            return Ok(());
        }
        let starts = [before.start, after.start];
        let visible: Vec<_> = before.frames.iter().filter(|f| f.1 >= found.start).copied().collect();
        let prefix = visible.starts_with(&found.frames);
        let hidden = before.frames.len() - visible.len();
        let enough = found.frames.len() + hidden >= *kept_min;
        let blob = found.blob.is_none_or(|b| b <= found.next)
            && (*kept_min < before.frames.len() || found.blob >= before.blob);
        (starts.contains(&found.start) && prefix && enough && blob)
            .then_some(())
            .ok_or_else(|| "neither the state before nor the state after".to_owned())
    }
}

/// Recovers and checks; then cuts the power again at once and recovers from the poorest state.
async fn recover(fs: &RecordingFs, allowed: &Allowed, what: &str) {
    let first = {
        let storage = open(fs).unwrap();
        let (log, report) = open_log(&storage).await.unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(report.damage.iter().all(|d| !d.promised), "{what}: {report:?}");
        let found = held(&*log).await;
        if let Err(why) = allowed.check(&found) {
            panic!("{what}: {why}\nfound {found:?}\nallowed {allowed:?}\nreport {report:?}");
        }
        found
    };
    let storage = open(&fs.crash(0)).unwrap();
    let (log, report) = open_log(&storage).await.unwrap_or_else(|e| panic!("{what}, again: {e}"));
    assert!(report.damage.iter().all(|d| !d.promised), "{what}, again: {report:?}");
    assert_eq!(held(&*log).await, first, "{what}: what a recovery showed was lost in the next cut");
    let next = first.next;
    log.append(vec![frame(next, 1, 99, 0, 10)]).unwrap().await.unwrap();
}

/// Runs the script with the power cut before its `fuse`-th change; `None` once the script runs through.
async fn cut_at(script: &[Step], fuse: u64) -> Option<()> {
    let fs = RecordingFs::new();
    fs.set_fuse(fuse);
    let mut in_flight = "opening".to_owned();
    let mut allowed =
        Allowed { before: Known::default(), after: Known::default(), kept_min: 0, appended: Vec::new(), acked: 0 };
    let mut through = false;
    if let Some(mut run) = Run::start(&fs).await {
        through = true;
        for (n, step) in script.iter().enumerate() {
            if let Err(left) = run.step(step).await {
                allowed = *left;
                in_flight = format!("step {n} ({step:?})");
                through = false;
                break;
            }
            allowed.before = run.known.clone();
            allowed.after = run.known.clone();
            allowed.kept_min = run.known.frames.len();
        }
        if through {
            // Nothing is in flight but what the threads do on their own.
            in_flight = "the end".into();
        }
    }
    // The dead process's memory is gone, and with it its threads.
    for seed in 0..STATES {
        let what = format!("power cut before change {fuse}, in {in_flight}, state {seed}");
        recover(&fs.crash(seed.wrapping_add(if seed > 1 { fuse * 1_000 } else { 0 })), &allowed, &what).await;
    }
    let what = format!("killed before change {fuse}, in {in_flight}");
    recover(&fs.kill(), &allowed, &what).await;
    (!through).then_some(())
}

async fn every_cut(script: &[Step]) {
    let mut fuse = 0;
    while cut_at(script, fuse).await.is_some() {
        fuse += 1;
    }
    assert!(fuse > 15, "the script has only {fuse} changes");
}

#[tokio::test]
async fn appends_and_rolls() {
    use Step::{Append, Roll};
    every_cut(&[Append(3), Append(2), Roll, Append(4), Roll, Roll, Append(1)]).await;
}

#[tokio::test]
async fn checkpoints_and_reopening() {
    use Step::{Append, Checkpoint, Reopen, Roll};
    every_cut(&[Checkpoint, Append(2), Checkpoint, Append(3), Reopen, Append(2), Roll, Reopen, Checkpoint]).await;
}

#[tokio::test]
async fn truncations() {
    use Step::{Append, Checkpoint, Roll, Truncate};
    every_cut(&[
        Append(4),
        Truncate(2),
        Append(3),
        Roll,
        Append(2),
        Checkpoint,
        Truncate(4),
        Append(2),
        Roll,
        Append(1),
    ])
    .await;
    every_cut(&[Append(2), Roll, Append(2), Roll, Append(2), Truncate(5), Append(3), Checkpoint, Truncate(4)]).await;
}

#[tokio::test]
async fn resets() {
    use Step::{Append, Reset, Roll};
    every_cut(&[Append(3), Roll, Append(2), Reset(100), Append(2), Reset(1), Append(2), Roll, Reset(3)]).await;
}

#[tokio::test]
async fn moves_of_the_start() {
    use Step::{Advance, Append, Roll, Truncate};
    every_cut(&[
        Append(3),
        Roll,
        Append(3),
        Advance(2),
        Roll,
        Append(2),
        Advance(3),
        Append(1),
        Truncate(1),
        Append(2),
    ])
    .await;
}

#[tokio::test]
async fn destruction() {
    use Step::{Append, Checkpoint, Destroy};
    every_cut(&[Append(3), Checkpoint, Destroy, Append(2), Destroy, Append(1)]).await;
}
