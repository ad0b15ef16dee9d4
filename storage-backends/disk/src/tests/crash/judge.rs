//! Cutting the power, recovering, judging.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use watershed_storage::conformance::harness::{frame, gather, partition};
use watershed_storage::{LogStorage, PartitionLog};

use super::run::{Allowed, Known, Run, Step, frames_of, open, open_log, snapshot};
use crate::fs::recording::{RecordingFs, State, States};

/// How much is tried.
pub(super) struct Effort {
    /// Of each moment of the script.
    states: States,
    /// Of each moment of a recovery, if recoveries are cut at all.
    nested: Option<States>,
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

impl Effort {
    pub(super) fn from_env() -> Self {
        let seed = from_env("WATERSHED_CRASH_SEED").unwrap_or(1);
        let drawn = from_env("WATERSHED_CRASH_STATES").unwrap_or(8);
        let every_up_to = from_env("WATERSHED_CRASH_EVERY").unwrap_or(7) as usize;
        let states = States { every_up_to, drawn, seed };
        Self { states, nested: Some(States { every_up_to: 3, drawn: 2, seed }) }
    }

    /// Enough to notice what is grossly wrong.
    pub(super) fn of_controls() -> Self {
        Self { states: States { every_up_to: 3, drawn: 2, seed: 1 }, nested: None }
    }
}

/// What was tried.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) cuts: u64,
    /// Cuts of which every state was tried.
    pub(super) complete: u64,
    /// States that were tried, equal ones each time.
    pub(super) states: u64,
    /// States that differ from those before, and were recovered from.
    pub(super) judged: u64,
    /// Cuts within recoveries.
    pub(super) nested: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cuts, complete, states, judged, nested } = self;
        write!(
            f,
            "{cuts} cuts ({complete} with every state), {states} states, {judged} different, {nested} cuts of recoveries"
        )
    }
}

/// What a recovered log holds.
async fn held(log: &dyn PartitionLog) -> Result<Known, String> {
    let ends = log.ends();
    if ends.synced != ends.end {
        return Err(format!("something readable is not durable: {ends:?}"));
    }
    let pieces = log.read(ends.start, ends.end, u32::MAX, true).wait().await.map_err(|e| e.to_string())?;
    let frames = frames_of(&gather(&pieces).map_err(|e| e.to_string())?)?;
    let blob = log.blob(1, ends.end).await.map_err(|e| e.to_string())?;
    if let Some(blob) = blob.as_ref().filter(|b| **b != snapshot(b.at.0)) {
        return Err(format!("a blob comes back changed: {blob:?}"));
    }
    Ok(Known { start: ends.start.0, next: ends.end.0, frames, blob: blob.map(|b| b.at.0) })
}

impl Allowed {
    fn check(&self, found: &Known) -> Result<(), String> {
        let Self { before, after, kept_min, appended, acked, whole, .. } = self;
        if found == after || (*whole && found == before) {
            return Ok(());
        }
        if *whole {
            return Err("neither the state before nor the state after".to_owned());
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

    fn check_beside(&self, found: &Known) -> Result<(), String> {
        let (all, min) = (&self.beside, self.beside_acked);
        (all.starts_with(&found.frames) && found.frames.len() >= min && found.start == 0)
            .then_some(())
            .ok_or_else(|| format!("the partition beside has {:?} of {all:?}, {min} acknowledged", found.frames))
    }
}

/// Opens everything once; what both logs hold.
async fn look(fs: &RecordingFs, allowed: &Allowed) -> Result<(Known, Known), String> {
    let storage = open(fs).ok_or("the directory does not open")?;
    let listed = storage.list().await.map_err(|e| e.to_string())?;
    if allowed.gone && listed.contains(&partition(0)) {
        return Err("what was deleted is back".into());
    }
    let mut found = Vec::new();
    for n in 0..2 {
        let (log, report) = open_log(&storage, n).await.map_err(|e| e.to_string())?;
        if report.damage.iter().any(|d| d.promised) {
            return Err(format!("a cut alone looks like damage: {report:?}"));
        }
        found.push(held(&*log).await.map_err(|e| format!("{e}; {report:?}"))?);
    }
    let beside = found.pop().unwrap_or_default();
    let found = found.pop().unwrap_or_default();
    allowed.check(&found).map_err(|why| format!("{why}\nfound {found:?}"))?;
    allowed.check_beside(&beside)?;
    Ok((found, beside))
}

/// Recovers and judges; then cuts the power again at once and recovers from the poorest state; and again after an append:
/// a kill, a start, a retry that is acknowledged, and a power cut.
async fn recover(fs: &RecordingFs, allowed: &Allowed) -> Result<(), String> {
    let (first, beside) = look(fs, allowed).await?;
    let again = look(&fs.crash_to(State::Poorest), allowed).await.map_err(|e| format!("in the next cut: {e}"))?;
    if again != (first.clone(), beside) {
        return Err(format!("what a recovery showed was lost in the next cut: {first:?}, then {again:?}"));
    }
    let storage = open(fs).ok_or("the directory does not open a second time")?;
    let log = open_log(&storage, 0).await.map_err(|e| e.to_string())?.0;
    let one = frame(first.next, 1, 99, 0, 10);
    log.append(vec![one]).map_err(|e| e.to_string())?.await.map_err(|e| e.to_string())?;
    drop((log, storage));
    let storage = open(&fs.crash_to(State::Poorest)).ok_or("the directory does not open after an append")?;
    let log = open_log(&storage, 0).await.map_err(|e| e.to_string())?.0;
    let found = held(&*log).await?;
    let right = found.next == first.next + 1 && found.frames.starts_with(&first.frames);
    right.then_some(()).ok_or_else(|| format!("an append after it was lost: {found:?} after {first:?}"))
}

struct Judge<'a> {
    name: &'a str,
    effort: &'a Effort,
    tally: Tally,
    /// Digests of states, with what was allowed.
    done: HashSet<(u64, u64)>,
}

impl Judge<'_> {
    /// Whether this state was not met before under the same promise.
    fn is_new(&mut self, state: &RecordingFs, promise: u64) -> bool {
        self.tally.states += 1;
        let new = self.done.insert((state.digest(), promise));
        self.tally.judged += u64::from(new);
        new
    }

    async fn states(&mut self, fs: &RecordingFs, allowed: &Allowed, what: &str) -> Result<(), String> {
        let mut hasher = DefaultHasher::new();
        format!("{allowed:?}").hash(&mut hasher);
        let promise = hasher.finish();
        let choices = fs.choices();
        let states = self.effort.states.of(choices);
        self.tally.complete += u64::from(states.len() == 1 << choices.min(30));
        for state in states {
            let crashed = fs.crash_to(state);
            if self.is_new(&crashed, promise) {
                let what = format!("{what}, {state:?} of {choices} choices");
                self.judge(&crashed, allowed, promise, &what).await?;
            }
        }
        self.judge(&fs.kill(), allowed, promise, &format!("{what}, killed only")).await
    }

    /// Recovers from a state; then again, with the power cut before each change of that recovery.
    async fn judge(&mut self, fs: &RecordingFs, allowed: &Allowed, promise: u64, what: &str) -> Result<(), String> {
        let wrong = |why: String| format!("{}: {what}: {why}\nallowed {allowed:?}", self.name);
        recover(&fs.kill(), allowed).await.map_err(wrong)?;
        let Some(nested) = self.effort.nested else { return Ok(()) };
        for fuse in 0.. {
            let cut = fs.kill();
            cut.set_fuse(fuse);
            let storage = open(&cut);
            let mut through = false;
            if let Some(storage) = &storage {
                through = open_log(storage, 0).await.is_ok() && open_log(storage, 1).await.is_ok();
            }
            drop(storage);
            if through {
                break;
            }
            self.tally.nested += 1;
            for state in nested.of(cut.choices()) {
                let crashed = cut.crash_to(state);
                if self.is_new(&crashed, promise) {
                    let wrong = |why: String| {
                        let name = self.name;
                        format!("{name}: {what}, recovery cut before change {fuse}, {state:?}: {why}\n{allowed:?}")
                    };
                    recover(&crashed, allowed).await.map_err(wrong)?;
                }
            }
        }
        Ok(())
    }
}

/// Runs the script with the power cut before its `fuse`-th change: the disk, what it may hold, what was in flight, and
/// whether the script ran through.
async fn cut_at(script: &[Step], fuse: u64, prepare: &impl Fn(&RecordingFs)) -> (RecordingFs, Allowed, String, bool) {
    let fs = RecordingFs::new();
    prepare(&fs);
    fs.set_fuse(fuse);
    let Some(mut run) = Run::start(&fs).await else {
        return (fs, Allowed::default(), "opening".to_owned(), false);
    };
    for (n, step) in script.iter().enumerate() {
        if let Err(allowed) = run.step(*step).await {
            return (fs, *allowed, format!("step {n} ({step:?})"), false);
        }
    }
    let allowed = run.settled();
    (fs, allowed, "the end".to_owned(), true)
}

/// Cuts the power before every change of a script. `prepare` is shown each file system before the script begins.
pub(super) async fn every_cut(
    name: &str,
    script: &[Step],
    effort: &Effort,
    prepare: impl Fn(&RecordingFs),
) -> Result<Tally, String> {
    let mut judge = Judge { name, effort, tally: Tally::default(), done: HashSet::new() };
    for fuse in 0.. {
        let (fs, allowed, in_flight, through) = cut_at(script, fuse, &prepare).await;
        judge.tally.cuts += 1;
        // The dead process's memory is gone, and with it its threads.
        let what = format!("power cut before change {fuse}, in {in_flight}");
        judge.states(&fs, &allowed, &what).await?;
        if through {
            break;
        }
    }
    Ok(judge.tally)
}
