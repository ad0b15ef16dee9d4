//! Sealed segments that are written anew.

use std::sync::Arc;

use watershed_model::{Offset, Timestamp};

use super::harness::{Log, blob, config, frame, gather, partition, wire};
use super::segments::checked;
use super::{Broken, Outcome, Says, Subject, fails, holds};
use crate::framing::BatchFraming;
use crate::{Frame, SegmentMeta, SegmentRewrite, StorageError};

/// Segments 0..8, 8..17, 17..30, and 30..33 in the active one; of several epochs and with timestamps out of order.
fn groups() -> [Vec<Frame>; 4] {
    [
        vec![frame(0, 5, 0, 10, 50), frame(5, 3, 0, 20, 60)],
        vec![frame(8, 1, 0, 90, 700), frame(9, 3, 1, 30, 400), frame(12, 5, 1, 40, 800)],
        vec![frame(17, 3, 1, 50, 90), frame(20, 2, 2, 80, 90), frame(22, 8, 2, 60, 1_000)],
        vec![frame(30, 3, 2, 70, 30)],
    ]
}

/// One-record frames behind all of those.
fn later(from: i64, to: i64) -> Vec<Frame> {
    (from..to).map(|at| frame(at, 1, 2, 1_000 + at, 30)).collect()
}

/// Smaller frames for the second segment: the first went, the second and third lost some records.
fn fewer() -> Vec<Frame> {
    vec![frame(9, 2, 1, 30, 100), frame(12, 4, 1, 35, 10)]
}

async fn fill(log: &Log) -> Result<[Vec<Frame>; 4], Broken> {
    let groups = groups();
    for group in &groups[..3] {
        log.append(group).await?;
        log.roll(vec![blob(1, group[group.len() - 1].meta.last.0 + 1)]).await?;
    }
    log.append(&groups[3]).await?;
    log.checkpoint(vec![blob(1, 33)]).await?;
    Ok(groups)
}

async fn begin(log: &Log, base: i64) -> Result<Box<dyn SegmentRewrite>, Broken> {
    Arc::clone(&log.log).rewrite(Offset(base)).await.says("a sealed segment can be written anew")
}

pub(super) async fn rewrite(log: &Log, base: i64, frames: &[Frame]) -> Outcome {
    let mut rewrite = begin(log, base).await?;
    for one in frames {
        rewrite.write(vec![one.clone()]).await.says("frames of the segment can be written")?;
    }
    rewrite.commit().await.says("commit puts them in the place of the segment's")
}

fn segment(segments: &[SegmentMeta], base: i64) -> Option<SegmentMeta> {
    segments.iter().find(|s| s.base == Offset(base)).copied()
}

pub(super) async fn a_segment_gets_the_new_frames(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    let [first, _, third, active] = fill(&log).await?;
    let (ends, bytes, before) = (log.ends()?, log.log.bytes(), checked(&log)?);
    let new = fewer();
    rewrite(&log, 8, &new).await?;
    let all: Vec<Frame> = [&first[..], &new, &third, &active].concat();
    log.holds(&all, "commit puts what was written in the place of the segment's frames").await?;
    holds!(log.ends()? == ends, "a rewrite leaves ends and generation", "{:?}, before {ends:?}", log.ends()?);
    let segments = checked(&log)?;
    let want = SegmentMeta {
        base: Offset(8),
        end: Offset(16),
        bytes: new.iter().map(|f| u64::from(f.meta.len)).sum(),
        records: 6,
        first_timestamp: Some(Timestamp(30)),
        max_timestamp: Some(Timestamp(35)),
        ..before[1]
    };
    holds!(
        segment(&segments, 8) == Some(want) && segments.len() == before.len(),
        "a rewritten segment keeps its base, and is what its new frames are",
        "{segments:?}, expected {want:?}"
    );
    let others = [0, 17, 30].map(|base| segment(&segments, base) == segment(&before, base));
    holds!(others == [true; 3], "a rewrite touches no other segment", "{segments:?}, before {before:?}");
    holds!(log.log.bytes() < bytes, "bytes: what readers can reach", "{} of {bytes}", log.log.bytes());
    for upto in [8, 17, 30, 33] {
        let found = log.log.blob(1, Offset(upto)).await.says("blob succeeds")?;
        let newest = [8, 17, 30, 33].contains(&upto) && found.is_none_or(|b| b.at <= Offset(upto));
        holds!(newest, "a rewrite leaves the blobs", "blob(1, {upto})");
    }
    let found = log.log.blob(1, Offset(33)).await.says("blob succeeds")?;
    holds!(found == Some(blob(1, 33)), "a rewrite leaves the blobs", "{found:?}");
    for at in 0..=95 {
        let found = log.log.frame_at_time(Timestamp(at)).await.says("frame_at_time succeeds")?;
        let want = all.iter().find(|f| f.meta.max_timestamp >= Timestamp(at)).map(|f| f.meta);
        holds!(found == want, "frame_at_time finds what is there after a rewrite", "at {at}: {found:?}, not {want:?}");
    }
    // Again, to nothing but its middle; and the log goes on.
    rewrite(&log, 8, &new[1..]).await?;
    log.append(&later(33, 40)).await?;
    let mut all: Vec<Frame> = [&first[..], &new[1..], &third, &active].concat();
    all.extend(later(33, 40));
    log.holds(&all, "a segment can be rewritten again, and the log goes on").await
}

pub(super) async fn readers_in_a_gap_get_the_next_frame(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    let [first, second, third, active] = fill(&log).await?;
    // Warm whatever remembers positions.
    for from in 0..33 {
        log.read(from, 33, 500, true).await?;
    }
    for (new, rest) in [(fewer(), vec![]), (fewer()[1..].to_vec(), third[2..].to_vec()), (vec![], vec![])] {
        rewrite(&log, 8, &new).await?;
        let third = if rest.is_empty() { third.clone() } else { rest };
        rewrite(&log, 17, &third).await?;
        let all: Vec<Frame> = [&first[..], &new, &third, &active].concat();
        for from in 0..33 {
            for (upto, max) in [(33, u32::MAX), (33, 300), (24, u32::MAX), (17, u32::MAX)] {
                let read = log.read(from, upto, max, true).await?;
                let mut want: Vec<&Frame> = Vec::new();
                let mut taken = 0;
                for one in all.iter().filter(|f| f.meta.last >= Offset(from)) {
                    let fits = want.is_empty() || taken + one.meta.len <= max;
                    if one.meta.last >= Offset(upto) || !fits {
                        break;
                    }
                    taken += one.meta.len;
                    want.push(one);
                }
                holds!(
                    read == wire(want.iter().copied()),
                    "a read gives the frame that holds `from`, or the first at or after it",
                    "read({from}, {upto}, {max}) gave {} bytes",
                    read.len()
                );
            }
        }
        if new.is_empty() {
            return Ok(());
        }
    }
    drop(second);
    Ok(())
}

pub(super) async fn a_segment_without_frames_is_no_more(subject: Subject) -> Outcome {
    const SENTENCE: &str = "A segment without frames is no more; its offsets are a gap";
    let log = subject.open(0).await?;
    let [_, second, _, active] = fill(&log).await?;
    let ends = log.ends()?;
    rewrite(&log, 17, &[]).await?;
    rewrite(&log, 0, &[]).await?;
    let left: Vec<Frame> = [&second[..], &active].concat();
    log.holds(&left, SENTENCE).await?;
    let segments = checked(&log)?;
    holds!(segments.len() == 2 && segments[0].base == Offset(8), SENTENCE, "{segments:?}");
    holds!(log.ends()? == ends, "a rewrite leaves ends and generation", "{:?}, before {ends:?}", log.ends()?);
    // Everything that was sealed, while nothing was appended since.
    log.roll(vec![]).await?;
    rewrite(&log, 30, &[]).await?;
    rewrite(&log, 8, &[]).await?;
    holds!(checked(&log)?.len() == 1 && log.log.bytes() == 0, SENTENCE, "{:?}", log.log.segments());
    holds!(log.ends()? == ends, "a rewrite leaves ends and generation", "{:?}, before {ends:?}", log.ends()?);
    log.holds(&[], SENTENCE).await?;
    fails!(
        log.log.append(later(32, 33)),
        StorageError::Invalid(_),
        "offsets of what was taken out are not given out again"
    );
    log.append(&later(33, 36)).await?;
    log.holds(&later(33, 36), "a log goes on behind a gap").await?;
    log.log.advance_start(Offset(20)).await.says("advance_start succeeds in a gap")?;
    log.holds(&later(33, 36), "the start may lie in a gap").await?;
    log.log.truncate(Offset(34)).await.says("truncate succeeds")?;
    log.holds(&later(33, 34), "a log with gaps can be cut").await?;
    log.log.truncate(Offset(25)).await.says("truncate succeeds in a gap")?;
    let ends = log.ends()?;
    holds!(
        ends.end >= Offset(20) && ends.end <= Offset(25) && checked(&log)?.len() == 1,
        "Cuts the log so that it ends at `end` (at a frame boundary at or below it)",
        "{ends:?}, {:?}",
        log.log.segments()
    );
    log.append(&later(25, 28)).await?;
    log.holds(&later(25, 28), "a log goes on where it was cut in a gap").await
}

pub(super) async fn nothing_changes_before_the_commit(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    let all = fill(&log).await?.concat();
    let segments = checked(&log)?;
    for frames in [0, 1, 2] {
        let mut given_up = begin(&log, 8).await?;
        given_up.write(fewer()[..frames].to_vec()).await.says("frames of the segment can be written")?;
        log.holds(&all, "Nothing changes before commit").await?;
        drop(given_up);
        log.holds(&all, "dropping the rewrite gives it up").await?;
        holds!(checked(&log)? == segments, "dropping the rewrite gives it up", "{:?}", log.log.segments());
    }
    let mut slow = begin(&log, 8).await?;
    slow.write(fewer()).await.says("frames of the segment can be written")?;
    let more = later(33, 50);
    log.append(&more[..9]).await?;
    log.roll(vec![]).await?;
    log.append(&more[9..]).await?;
    log.holds(all.iter().chain(&more), "appends and reads go on meanwhile").await?;
    slow.commit().await.says("commit succeeds after appends")?;
    let groups = groups();
    let all: Vec<Frame> = [&groups[0][..], &fewer(), &groups[2], &groups[3], &more].concat();
    log.holds(&all, "a commit loses nothing that was appended meanwhile").await
}

pub(super) async fn what_does_not_belong_there_is_refused(subject: Subject) -> Outcome {
    const SENTENCE: &str = "Frames lie within the segment's offsets, in order, and their epochs do not fall";
    let log = subject.open(0).await?;
    let all = fill(&log).await?.concat();
    for base in [30, 9, 33, 100] {
        fails!(
            Arc::clone(&log.log).rewrite(Offset(base)).await,
            StorageError::Invalid(_),
            "Invalid where there is no such segment, or it is not sealed"
        );
    }
    let wrong = [
        vec![frame(7, 1, 0, 0, 10)],
        vec![frame(16, 2, 1, 0, 10)],
        vec![frame(9, 1, 1, 0, 10), frame(9, 1, 1, 0, 10)],
        vec![frame(9, 1, 1, 0, 10), frame(12, 1, 0, 0, 10)],
        vec![{
            let mut short = frame(9, 1, 1, 0, 10);
            short.meta.len -= 1;
            short
        }],
    ];
    for frames in wrong {
        let mut rewrite = begin(&log, 8).await?;
        fails!(rewrite.write(frames).await, StorageError::Invalid(_), SENTENCE);
        drop(rewrite);
    }
    log.holds(&all, "a refused rewrite leaves the log as it was").await
}

pub(super) async fn a_segment_that_changed_is_left_alone(subject: Subject) -> Outcome {
    const SENTENCE: &str = "Invalid where the segment is not what it was (deleted, cut)";
    let log = subject.open(0).await?;
    let groups = fill(&log).await?;
    let mut late = begin(&log, 0).await?;
    late.write(groups[0][1..].to_vec()).await.says("frames of the segment can be written")?;
    log.log.advance_start(Offset(8)).await.says("advance_start succeeds")?;
    fails!(late.commit().await, StorageError::Invalid(_), SENTENCE);
    log.holds(&groups[1..].concat(), "a refused commit leaves the log as it was").await?;

    let mut late = begin(&log, 17).await?;
    late.write(groups[2][..1].to_vec()).await.says("frames of the segment can be written")?;
    log.log.truncate(Offset(22)).await.says("truncate succeeds")?;
    fails!(late.commit().await, StorageError::Invalid(_), SENTENCE);
    let left: Vec<Frame> = [&groups[1][..], &groups[2][..2]].concat();
    log.holds(&left, "a refused commit leaves the log as it was").await?;

    let mut late = begin(&log, 8).await?;
    late.write(vec![]).await.says("no frames are no mistake")?;
    log.log.reset(Offset(100), vec![]).await.says("reset succeeds")?;
    fails!(late.commit().await, StorageError::Invalid(_), SENTENCE);
    log.holds(&[], "a refused commit leaves the log as it was").await
}

pub(super) async fn pieces_outlive_it(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    let all = fill(&log).await?.concat();
    let pieces = log.log.read(Offset(0), Offset(33), u32::MAX, false).wait().await.says("read succeeds")?;
    rewrite(&log, 8, &fewer()).await?;
    rewrite(&log, 17, &[]).await?;
    let later = gather(&pieces);
    holds!(
        matches!(&later, Ok(bytes) if *bytes == wire(&all)),
        "pieces that were read before a rewrite stay readable",
        "{:?}",
        later.map(|b| b.len())
    );
    Ok(())
}

pub(super) async fn rewrites_survive_reopening(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    fill(&log).await?;
    rewrite(&log, 8, &fewer()).await?;
    rewrite(&log, 0, &[]).await?;
    // The log ends with a gap when it is closed.
    log.roll(vec![]).await?;
    rewrite(&log, 30, &[]).await?;
    let (held, segments) = (log.held().await?, checked(&log)?);
    log.close().await?;
    drop(log);
    let log = subject.open(0).await?;
    let again = log.held().await?;
    holds!(
        again == held,
        "commit is durable on return",
        "{:?}..{:?}, {} bytes; before closing {:?}..{:?}, {} bytes",
        again.start,
        again.end,
        again.content.len(),
        held.start,
        held.end,
        held.content.len()
    );
    let after = checked(&log)?;
    let same = |s: &SegmentMeta| (s.base, s.end, s.bytes, s.records, s.first_timestamp, s.max_timestamp);
    holds!(
        after.iter().map(same).eq(segments.iter().map(same)),
        "segments are the same after reopening",
        "{after:?}, before {segments:?}"
    );
    log.append(&later(33, 35)).await?;
    rewrite(&log, 8, &[]).await?;
    let all: Vec<Frame> = [&groups()[2][..], &later(33, 35)].concat();
    log.holds(&all, "what was rewritten before closing can be rewritten after it").await
}

pub(super) async fn rewrites_survive_a_crash(subject: Subject) -> Outcome {
    if !subject.storage.caps().survives_restart {
        return Ok(());
    }
    let log = subject.open(0).await?;
    let groups = fill(&log).await?;
    rewrite(&log, 8, &fewer()).await?;
    rewrite(&log, 0, &[]).await?;
    log.roll(vec![]).await?;
    rewrite(&log, 30, &[]).await?;
    let mut given_up = begin(&log, 17).await?;
    given_up.write(groups[2][..1].to_vec()).await.says("frames of the segment can be written")?;
    // Never closed, and a rewrite is under way: the handles just go, as in a crash of the process.
    drop((given_up, log));
    let subject = subject.restarted().await?;
    let opened = subject.storage.open(partition(0), config(), Arc::new(BatchFraming));
    let (handle, report) = opened.await.says("a log opens after a crash")?;
    holds!(report.damage.is_empty(), "a rewrite is no damage", "{report:?}");
    holds!(handle.ends().end == Offset(33), "a rewrite leaves the end", "{:?} after a crash", handle.ends());
    handle.close().await.says("close succeeds")?;
    drop(handle);
    let log = subject.open(0).await?;
    let all: Vec<Frame> = [&fewer()[..], &groups[2]].concat();
    log.holds(&all, "commit is durable on return").await
}
