//! What makes a log shorter: truncation, reset, a moving start.

use watershed_model::{Offset, Timestamp};

use super::harness::{Log, blob, frame, frames};
use super::segments::checked;
use super::{Outcome, Says, Subject, fails, holds};
use crate::{Frame, StorageError, Ticket};

/// Segments 0..8, 8..17 (with a gap), 20..26; multi-record frames.
fn groups() -> [Vec<Frame>; 3] {
    [
        vec![frame(0, 5, 0, 1, 50), frame(5, 3, 0, 2, 60)],
        vec![frame(8, 1, 1, 3, 70), frame(12, 5, 1, 4, 80)],
        vec![frame(20, 2, 2, 5, 90), frame(22, 4, 2, 6, 100)],
    ]
}

async fn fill(log: &Log) -> Result<Vec<Frame>, super::Broken> {
    let groups = groups();
    log.append_segments(&[&groups[0], &groups[1]]).await?;
    log.append(&groups[2]).await?;
    Ok(groups.concat())
}

async fn truncate(log: &Log, end: i64) -> Outcome {
    log.log.truncate(Offset(end)).await.says("truncate succeeds inside the log")
}

pub(super) async fn truncate_at_every_offset(subject: Subject) -> Outcome {
    for (n, cut) in (0..=26).enumerate() {
        let log = subject.open(n as i32).await?;
        let all = fill(&log).await?;
        let before = log.ends()?;
        truncate(&log, cut).await?;
        let kept: Vec<&Frame> = all.iter().filter(|f| f.meta.last < Offset(cut)).collect();
        log.holds(kept.iter().copied(), &format!("truncate({cut}) keeps the frames wholly below and no other")).await?;
        let ends = log.ends()?;
        let lowest = kept.last().map_or(Offset(0), |f| f.meta.last.plus(1));
        holds!(
            ends.end >= lowest && ends.end <= Offset(cut) && ends.start == Offset(0),
            "Cuts the log so that it ends at `end` (at a frame boundary at or below it)",
            "truncate({cut}) left {ends:?}"
        );
        let inside = all.iter().any(|f| f.meta.base < ends.end && f.meta.last >= ends.end);
        holds!(!inside, "a truncated log ends at a frame boundary", "truncate({cut}) left {ends:?}");
        holds!(
            cut == 26 || ends.generation > before.generation,
            "truncate: the generation rises",
            "{} after {}",
            ends.generation,
            before.generation
        );
        let told = *log.log.progress().borrow();
        holds!(told == ends, "progress tells of a truncation", "{told:?}, {ends:?}");
        let segments = checked(&log)?;
        let last = segments[segments.len() - 1];
        holds!(
            last.base <= ends.end && last.end <= ends.end,
            "no segment reaches above the end",
            "truncate({cut}) left {last:?}"
        );
        let late = log.log.frame_at_time(Timestamp(0)).await;
        let late = late.says("frame_at_time succeeds after a truncation")?;
        holds!(late == kept.first().map(|f| f.meta), "what was cut is not found by time", "truncate({cut}): {late:?}");
    }
    Ok(())
}

pub(super) async fn truncate_drops_blobs_above(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    log.append(&frames(0, 10)).await?;
    log.roll(vec![blob(1, 10), blob(2, 6)]).await?;
    log.append(&frames(10, 20)).await?;
    log.checkpoint(vec![blob(1, 20), blob(3, 15)]).await?;
    truncate(&log, 12).await?;
    for (kind, kept) in [(1, 10), (2, 6), (3, -1)] {
        let found = log.log.blob(kind, Offset(i64::MAX)).await.says("blob succeeds")?;
        holds!(
            found.as_ref().is_none_or(|b| b.at <= Offset(12)),
            "truncate: blobs above go",
            "{found:?} after truncate(12)"
        );
        holds!(found.is_none() || found == Some(blob(kind, kept)), "a blob comes back as it was given", "{found:?}");
        holds!(
            kind != 2 || found.is_some(),
            "keeps at least the newest of each kind at or below the log's end",
            "the blob of kind 2 at 6 went with truncate(12)"
        );
    }
    Ok(())
}

/// Waits for a ticket of records that a truncation went over.
async fn settled(ticket: Ticket, cut: bool) -> Outcome {
    let range = ticket.range();
    match ticket.await {
        Ok(_) => Ok(()),
        Err(StorageError::Truncated) if cut => Ok(()),
        Err(error) => Err(super::broken(
            "tickets of what was cut fail with Truncated, and no others",
            format!("the ticket of {range:?} failed: {error}"),
        )),
    }
}

pub(super) async fn truncate_fails_only_the_tickets_it_cut(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    // Nobody waits in between, so that some are likely still unripe when the cut comes.
    for round in 0..20 {
        let base = log.ends()?.end.0;
        let mut tickets = Vec::new();
        for one in frames(base, base + 10) {
            tickets.push(log.log.append(vec![one]).says("append succeeds")?);
        }
        let cut = base + round % 11;
        truncate(&log, cut).await?;
        for ticket in tickets {
            let was_cut = ticket.range().end > Offset(cut);
            settled(ticket, was_cut).await?;
        }
        holds!(log.ends()?.end == Offset(cut), "truncate at a boundary ends there", "{:?}, cut at {cut}", log.ends()?);
    }
    Ok(())
}

pub(super) async fn truncate_then_append_replaces(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    let all = fill(&log).await?;
    let mut kept: Vec<Frame> = all;
    for (epoch, cut) in [(10, 22), (11, 20), (12, 8), (13, 5)] {
        truncate(&log, cut).await?;
        kept.retain(|f| f.meta.last < Offset(cut));
        let new = [frame(cut, 2, epoch, 50, 45), frame(cut + 2, 30, epoch, 51, 200)];
        log.append(&new).await?;
        kept.extend(new);
        log.holds(&kept, "a truncated log goes on with other records").await?;
        log.roll(vec![]).await?;
        holds!(
            log.ends()?.synced == Offset(cut + 32),
            "synced reaches the end after truncate, append and roll",
            "{:?}",
            log.ends()?
        );
        checked(&log)?;
    }
    Ok(())
}

pub(super) async fn truncate_above_the_end_cuts_nothing(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    let all = fill(&log).await?;
    for above in [26, 27, 1_000_000] {
        truncate(&log, above).await?;
        log.holds(&all, "truncate at or above the end cuts nothing").await?;
        holds!(log.ends()?.end == Offset(26), "truncate never moves the end up", "{:?}", log.ends()?);
    }
    Ok(())
}

pub(super) async fn reset_empties_and_goes_on_at_next(subject: Subject) -> Outcome {
    const SENTENCE: &str = "reset empties the log; it goes on at `next`";
    let log = subject.open(0).await?;
    fill(&log).await?;
    log.checkpoint(vec![blob(1, 20), blob(2, 26)]).await?;
    let mut generation = log.ends()?.generation;
    for (n, next) in [1000, 3, 5_000_000_000].into_iter().enumerate() {
        let unripe = log.log.append(vec![frame(5_000_000_001, 1, 3 + n as i32, 0, 10)]);
        let unripe = unripe.says("append succeeds")?;
        let blobs = vec![blob(2, next)];
        log.log.reset(Offset(next), blobs).await.says("reset succeeds")?;
        settled(unripe, true).await?;
        let ends = log.ends()?;
        holds!(
            ends.start == Offset(next) && ends.end == Offset(next) && ends.synced == Offset(next),
            SENTENCE,
            "reset({next}) left {ends:?}"
        );
        holds!(ends.generation >= generation, "the generation never falls", "{generation}, then {ends:?}");
        generation = ends.generation;
        let segments = checked(&log)?;
        holds!(
            segments.len() == 1 && segments[0].base == Offset(next) && segments[0].bytes == 0,
            SENTENCE,
            "reset({next}) left {segments:?}"
        );
        let old = log.log.blob(1, Offset(i64::MAX)).await;
        let given = log.log.blob(2, Offset(i64::MAX)).await;
        holds!(matches!(&old, Ok(None)), "reset leaves only the blobs it was given", "{old:?}");
        holds!(matches!(&given, Ok(Some(b)) if *b == blob(2, next)), "reset keeps the blobs it was given", "{given:?}");
        let below = log.log.read(Offset(next - 1), Offset(next), 100, true).wait().await;
        fails!(below, StorageError::OutOfRange { .. }, SENTENCE);
        let new = [frame(next, 1, 4 + n as i32, 9, 33)];
        log.append(&new).await?;
        log.holds(&new, SENTENCE).await?;
    }
    Ok(())
}

pub(super) async fn the_start_moves_forward_only(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    let all = fill(&log).await?;
    // Asked for, and what the start is then; 14 is inside a frame, 18 in a gap, 99 above the end.
    for (to, start) in [(3, 3), (1, 3), (0, 3), (14, 14), (8, 14), (18, 18), (99, 26), (20, 26)] {
        log.log.advance_start(Offset(to)).await.says("advance_start succeeds")?;
        let ends = log.ends()?;
        holds!(
            ends.start == Offset(start) && ends.end == Offset(26),
            "Moves the start forward (never back; at most to the end)",
            "advance_start({to}) left {ends:?}"
        );
        let readable = all.iter().filter(|f| f.meta.last >= Offset(start));
        log.holds(readable, "reads go on from the start, the first frame may begin below it").await?;
        let told = *log.log.progress().borrow();
        holds!(told == ends, "progress tells of a new start", "{told:?}, {ends:?}");
    }
    let next = [frame(26, 3, 5, 9, 10)];
    log.append(&next).await?;
    log.holds(&next, "a log whose start reached its end goes on there").await
}

pub(super) async fn segments_below_the_start_are_deleted(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    fill(&log).await?;
    let whole = log.log.bytes();
    for (to, base) in [(7, 0), (8, 8), (16, 8), (20, 17)] {
        log.log.advance_start(Offset(to)).await.says("advance_start succeeds")?;
        let segments = checked(&log)?;
        holds!(
            segments[0].base == Offset(base),
            "Segments that lie wholly below the start are deleted, others are not",
            "advance_start({to}) left {segments:?}"
        );
    }
    holds!(
        log.log.bytes() < whole,
        "bytes: only what readers can reach",
        "{} of {whole} after two of three segments went",
        log.log.bytes()
    );
    Ok(())
}

pub(super) async fn cuts_survive_reopening(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    fill(&log).await?;
    truncate(&log, 22).await?;
    log.log.advance_start(Offset(9)).await.says("advance_start succeeds")?;
    let held = log.held().await?;
    log.close().await?;
    drop(log);
    let log = subject.open(0).await?;
    let again = log.held().await?;
    holds!(
        again == held,
        "truncate and advance_start are durable on return",
        "{:?}..{:?}, {} bytes; before closing {:?}..{:?}, {} bytes",
        again.start,
        again.end,
        again.content.len(),
        held.start,
        held.end,
        held.content.len()
    );
    log.log.reset(Offset(500), vec![blob(1, 500)]).await.says("reset succeeds")?;
    log.close().await?;
    drop(log);
    let log = subject.open(0).await?;
    let ends = log.ends()?;
    holds!(
        ends.start == Offset(500) && ends.end == Offset(500),
        "reset is durable on return",
        "{ends:?} after reopening"
    );
    let kept = log.log.blob(1, Offset(500)).await.says("blob succeeds")?;
    holds!(kept == Some(blob(1, 500)), "reset keeps the blobs it was given", "{kept:?} after reopening");
    Ok(())
}
