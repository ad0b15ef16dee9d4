//! Appends: order, refusals, tickets, progress.

use std::sync::Arc;

use watershed_model::Offset;

use super::harness::{config, frame, frames, partition, wire};
use super::{Outcome, Says, Subject, fails, holds};
use crate::framing::BatchFraming;
use crate::{FlushMode, SegmentConfig, StorageError};

pub(super) async fn offsets_and_ends_are_those_of_the_frames(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    let batches = [vec![frame(0, 5, 0, 10, 100)], vec![frame(5, 1, 0, 11, 0), frame(6, 4, 1, 12, 300)]];
    let mut begin = Offset(0);
    for batch in &batches {
        let end = batch[batch.len() - 1].meta.last.plus(1);
        let ticket = log.log.append(batch.clone()).says("append succeeds")?;
        holds!(
            ticket.range() == (begin..end),
            "a ticket's range is the first offset and the one after the last",
            "{:?} for {begin}..{end}",
            ticket.range()
        );
        let ends = log.ends()?;
        holds!(
            ends.end == end && ends.start == Offset(0),
            "end: the offset that the next record gets",
            "{ends:?} after an append up to {end}"
        );
        let range = ticket.await.says("the ticket ripens when promised")?;
        holds!(range == (begin..end), "a ripe ticket gives its range", "{range:?}");
        let ends = log.ends()?;
        holds!(
            ends.promised >= end,
            "the ticket ripens when everything below its end is promised",
            "{ends:?} with a ripe ticket for {range:?}"
        );
        begin = end;
    }
    log.holds(batches.iter().flatten(), "frames are kept in offset order").await
}

pub(super) async fn an_append_is_readable_on_return(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    let all = frames(0, 20);
    let mut tickets = Vec::new();
    for (i, one) in all.iter().enumerate() {
        tickets.push(log.log.append(vec![one.clone()]).says("append succeeds")?);
        log.holds(&all[..=i], "On return they are ordered and readable").await?;
    }
    for ticket in tickets {
        ticket.await.says("every ticket ripens")?;
    }
    Ok(())
}

pub(super) async fn gaps_are_legal(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    let all = vec![frame(100, 3, 0, 1, 50), frame(110, 1, 0, 1, 50), frame(5_000_000_000, 2, 0, 1, 50)];
    log.append(&all[..2]).await?;
    log.append(&all[2..]).await?;
    let ends = log.ends()?;
    holds!(
        ends.start == Offset(0) && ends.end == Offset(5_000_000_002),
        "gaps are legal: compaction leaves them",
        "{ends:?}"
    );
    log.holds(&all, "gaps are legal: compaction leaves them").await
}

pub(super) async fn a_frame_below_the_end_is_refused_whole(subject: Subject) -> Outcome {
    const SENTENCE: &str = "a frame below the end is refused and nothing of the frames remains";
    let log = subject.open(0).await?;
    let first = frames(0, 10);
    log.append(&first).await?;
    let before = log.ends()?;
    let wrong = [
        vec![frame(9, 1, 0, 0, 10)],
        vec![frame(10, 5, 0, 0, 10), frame(14, 1, 0, 0, 10)],
        vec![frame(12, 1, 0, 0, 10), frame(11, 1, 0, 0, 10)],
    ];
    for batch in wrong {
        fails!(log.log.append(batch), StorageError::Invalid(_), SENTENCE);
        holds!(log.ends()? == before, SENTENCE, "{:?}, before: {before:?}", log.ends()?);
        log.holds(&first, SENTENCE).await?;
    }
    let next = frames(10, 12);
    log.append(&next).await?;
    log.holds(first.iter().chain(&next), SENTENCE).await
}

pub(super) async fn progress_tells_of_every_promise(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    let mut progress = log.log.progress();
    let waiter = tokio::spawn(async move {
        let mut seen = *progress.borrow_and_update();
        while seen.promised < Offset(50) {
            if progress.changed().await.is_err() {
                return Err("the sender went while the log was open".to_owned());
            }
            let next = *progress.borrow_and_update();
            if next.end < seen.end || next.promised < seen.promised {
                return Err(format!("{next:?} came after {seen:?}"));
            }
            seen = next;
        }
        Ok(())
    });
    for one in frames(0, 50) {
        log.append(&[one]).await?;
    }
    let told = waiter.await.unwrap_or_else(|e| Err(format!("the waiter stopped: {e}")));
    holds!(told.is_ok(), "progress: the ends, and their changes", "{}", told.err().unwrap_or_default());
    let (ends, latest) = (log.ends()?, *log.log.progress().borrow());
    holds!(latest == ends, "progress is the same as ends", "{latest:?}, {ends:?}");
    Ok(())
}

pub(super) async fn relaxed_promises_too(subject: Subject) -> Outcome {
    let relaxed = SegmentConfig { flush: FlushMode::Relaxed, ..config() };
    let opened = subject.storage.open(partition(0), relaxed, Arc::new(BatchFraming));
    let (log, _) = opened.await.says("a relaxed log opens")?;
    let all = frames(0, 10);
    let ticket = log.append(all.clone()).says("append succeeds")?;
    ticket.await.says("the ticket ripens when the flush mode's promise holds")?;
    holds!(
        log.ends().promised == Offset(10),
        "promised: everything below is kept as the flush mode promises",
        "{:?}",
        log.ends()
    );
    let bytes = log.load(Offset(0), Offset(10), u32::MAX, false).await.says("load succeeds")?;
    holds!(bytes == wire(&all), "a relaxed log reads as any other", "{} bytes", bytes.len());
    Ok(())
}

pub(super) async fn a_dropped_ticket_changes_nothing(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    let all = frames(0, 10);
    for one in &all {
        drop(log.log.append(vec![one.clone()]).says("append succeeds")?);
    }
    log.checkpoint(vec![]).await?;
    log.holds(&all, "Dropping a ticket is free; the append stands").await?;
    holds!(
        log.ends()?.promised == Offset(10),
        "Dropping a ticket is free; the append is promised all the same",
        "{:?} after a checkpoint",
        log.ends()?
    );
    Ok(())
}

pub(super) async fn settings_change_while_open(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    let all = frames(0, 30);
    let modes = [FlushMode::Sync, FlushMode::Relaxed, FlushMode::Sync];
    for (chunk, flush) in all.chunks(10).zip(modes) {
        log.log.configure(SegmentConfig { flush, segment_bytes: 1 << 20, ..config() });
        log.append(chunk).await?;
    }
    log.holds(&all, "configure takes new settings and touches no record").await
}
