//! Segments and what hangs on them: rolling, checkpoints, blobs, summaries, search by time.

use watershed_model::{Offset, Timestamp};

use super::harness::{Log, blob, frame, frames};
use super::{Broken, Outcome, Says, Subject, holds};
use crate::{Blob, Frame, SegmentMeta};

/// The segments, after checking what always holds of them.
pub(super) fn checked(log: &Log) -> Result<Vec<SegmentMeta>, Broken> {
    let segments = log.log.segments();
    holds!(!segments.is_empty(), "segments is never empty", "there are none");
    let last = segments.len() - 1;
    for (i, segment) in segments.iter().enumerate() {
        holds!(
            segment.sealed == (i < last),
            "The last segment of a log is the one that is not sealed",
            "segment {i} of {}: {segment:?}",
            segments.len()
        );
        holds!(segment.base <= segment.end, "end: the offset after its last record", "{segment:?}");
    }
    for pair in segments.windows(2) {
        holds!(
            pair[0].base < pair[1].base && pair[0].end <= pair[1].base,
            "The segments from the oldest to the active one",
            "{:?} before {:?}",
            pair[0],
            pair[1]
        );
    }
    let sum: u64 = segments.iter().map(|s| s.bytes).sum();
    holds!(
        log.log.bytes() == sum,
        "bytes: what readers can reach, the sum over the segments",
        "{} for segments of {sum}",
        log.log.bytes()
    );
    Ok(segments)
}

pub(super) async fn roll_seals_and_opens_the_next(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    let all = frames(0, 30);
    for (i, chunk) in all.chunks(10).enumerate() {
        log.append(chunk).await?;
        let ticket = log.log.roll(vec![]).says("roll succeeds")?;
        let end = Offset(10 * (i as i64 + 1));
        let segments = checked(&log)?;
        holds!(
            segments.len() == i + 2 && segments[i + 1].base == end && segments[i].end == end,
            "roll: later appends go to a new segment that begins at the end; ordered on return",
            "{segments:?}"
        );
        ticket.await.says("the ticket ripens when segment, indexes and blobs are durable")?;
        let ends = log.ends()?;
        holds!(
            ends.synced == end && ends.end == end,
            "after a roll's ticket is ripe everything in the segment is on the medium",
            "{ends:?}"
        );
    }
    log.holds(&all, "rolling touches no record").await
}

pub(super) async fn rolling_an_empty_segment_only_keeps_blobs(subject: Subject) -> Outcome {
    const SENTENCE: &str = "Rolling an empty segment does nothing but keep the blobs";
    let log = subject.open(0).await?;
    log.roll(vec![blob(1, 0)]).await?;
    holds!(checked(&log)?.len() == 1, SENTENCE, "{:?}", log.log.segments());
    log.append(&frames(0, 5)).await?;
    log.roll(vec![]).await?;
    log.roll(vec![blob(1, 5)]).await?;
    log.roll(vec![blob(2, 5)]).await?;
    holds!(checked(&log)?.len() == 2, SENTENCE, "{:?}", log.log.segments());
    finds(&log, 1, 5, Some(&blob(1, 5)), SENTENCE).await?;
    finds(&log, 2, 5, Some(&blob(2, 5)), SENTENCE).await
}

async fn finds(log: &Log, kind: u8, upto: i64, want: Option<&Blob>, sentence: &str) -> Outcome {
    let found = log.log.blob(kind, Offset(upto)).await.says("blob succeeds")?;
    holds!(found.as_ref() == want, sentence, "blob({kind}, {upto}) is {found:?}, expected {want:?}");
    Ok(())
}

pub(super) async fn summaries_are_those_of_the_frames(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    // Timestamps out of order, and none at all.
    let groups: [&[Frame]; 3] = [
        &[frame(0, 2, 0, 500, 10), frame(2, 1, 0, 300, 20)],
        &[frame(3, 1, 0, 100, 0), frame(9, 1, 0, 900, 0), frame(10, 1, 0, 200, 5)],
        &[frame(11, 1, 0, -1, 70)],
    ];
    log.append_segments(&groups).await?;
    let segments = checked(&log)?;
    holds!(segments.len() == 4, "a segment a roll, and the active one", "{segments:?}");
    for (i, (segment, group)) in segments.iter().zip(groups).enumerate() {
        let want = SegmentMeta {
            base: Offset([0, 3, 11][i]),
            end: group[group.len() - 1].meta.last.plus(1),
            bytes: group.iter().map(|f| u64::from(f.meta.len)).sum(),
            records: group.iter().map(|f| u64::from(f.meta.records)).sum(),
            first_timestamp: Some(group[0].meta.max_timestamp),
            max_timestamp: group.iter().map(|f| f.meta.max_timestamp).max(),
            modified: segment.modified,
            sealed: true,
        };
        holds!(
            *segment == want,
            "a segment's base, end, bytes, records, first and largest timestamp are those of its frames",
            "{segment:?}, expected {want:?}"
        );
    }
    let active = segments[3];
    holds!(
        active.bytes == 0 && active.records == 0 && active.first_timestamp.is_none() && active.max_timestamp.is_none(),
        "a segment without frames has no records, and its timestamps are `None`",
        "{active:?}"
    );
    holds!(
        active.base == Offset(12) && active.end == Offset(12),
        "an empty segment ends where it begins",
        "{active:?}"
    );
    Ok(())
}

pub(super) async fn checkpoint_makes_durable_without_sealing(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    let all = frames(0, 20);
    for (i, chunk) in all.chunks(5).enumerate() {
        let end = Offset(5 * (i as i64 + 1));
        let appended = log.log.append(chunk.to_vec()).says("append succeeds")?;
        log.checkpoint(vec![blob(7, end.0)]).await?;
        let ends = log.ends()?;
        holds!(
            ends.synced == end && ends.promised == end,
            "checkpoint makes everything appended so far durable",
            "{ends:?}, appended up to {end}"
        );
        appended.await.says("what a checkpoint made durable is promised")?;
        holds!(checked(&log)?.len() == 1, "checkpoint does not seal", "{:?}", log.log.segments());
        finds(&log, 7, end.0, Some(&blob(7, end.0)), "checkpoint keeps the blobs").await?;
    }
    log.holds(&all, "a checkpoint touches no record").await
}

pub(super) async fn the_newest_blob_at_or_below_is_found(subject: Subject) -> Outcome {
    const SENTENCE: &str = "The newest blob of a kind whose position is at or below `upto`";
    let log = subject.open(0).await?;
    finds(&log, 1, i64::MAX, None, "there is no blob in a new log").await?;
    log.append(&frames(0, 10)).await?;
    log.checkpoint(vec![blob(1, 4)]).await?;
    finds(&log, 1, i64::MAX, Some(&blob(1, 4)), SENTENCE).await?;
    finds(&log, 1, 4, Some(&blob(1, 4)), SENTENCE).await?;
    finds(&log, 1, 3, None, SENTENCE).await?;
    finds(&log, 2, i64::MAX, None, SENTENCE).await?;
    log.roll(vec![blob(1, 10), blob(2, 9)]).await?;
    finds(&log, 1, 10, Some(&blob(1, 10)), SENTENCE).await?;
    finds(&log, 2, 10, Some(&blob(2, 9)), SENTENCE).await?;
    finds(&log, 2, 8, None, SENTENCE).await?;
    log.append(&frames(10, 12)).await?;
    let large = Blob { bytes: vec![0xa5; 300_000].into(), ..blob(3, 12) };
    let empty = Blob { bytes: bytes::Bytes::new(), ..blob(4, 12) };
    log.checkpoint(vec![large.clone(), empty.clone()]).await?;
    finds(&log, 3, 12, Some(&large), SENTENCE).await?;
    finds(&log, 4, 12, Some(&empty), SENTENCE).await?;
    finds(&log, 1, 12, Some(&blob(1, 10)), SENTENCE).await
}

pub(super) async fn a_frame_is_found_by_time(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    let times = [[50, 10, 60, 60, 20], [40, 70, 5, 65, 80], [80, 30, 90, -1, 85]];
    let mut all = Vec::new();
    for (i, at) in times.iter().flatten().enumerate() {
        all.push(frame(3 * i as i64, 3, 0, *at, 120));
    }
    log.append_segments(&[&all[..5], &all[5..10]]).await?;
    log.append(&all[10..]).await?;
    for at in -2..=95 {
        let found = log.log.frame_at_time(Timestamp(at)).await.says("frame_at_time succeeds")?;
        let want = all.iter().find(|f| f.meta.max_timestamp >= Timestamp(at)).map(|f| f.meta);
        holds!(
            found == want,
            "frame_at_time: the first frame whose largest timestamp is at least `at`",
            "frame_at_time({at}) is {found:?}, expected {want:?}"
        );
    }
    Ok(())
}

pub(super) async fn time_search_begins_at_the_start(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    let all: Vec<Frame> =
        [90, 10, 20, 95, 30, 40].iter().enumerate().map(|(i, at)| frame(2 * i as i64, 2, 0, *at, 300)).collect();
    log.append(&all[..4]).await?;
    log.roll(vec![]).await?;
    log.append(&all[4..]).await?;
    // Frame boundaries only: whether a frame that the start cuts in two is "at or above" it is left open.
    for start in [2, 4, 8, 10, 12] {
        log.log.advance_start(Offset(start)).await.says("advance_start succeeds")?;
        for at in [0, 15, 25, 35, 90, 92, 99] {
            let found = log.log.frame_at_time(Timestamp(at)).await.says("frame_at_time succeeds")?;
            let readable = all.iter().filter(|f| f.meta.base >= Offset(start));
            let want = readable.map(|f| f.meta).find(|m| m.max_timestamp >= Timestamp(at));
            holds!(
                found == want,
                "frame_at_time: the first frame at or above the start",
                "with start {start}, frame_at_time({at}) is {found:?}, expected {want:?}"
            );
        }
    }
    Ok(())
}
