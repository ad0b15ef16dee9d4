//! Reads: every combination of bounds against a model, and the edges of the log.

use watershed_model::Offset;

use super::harness::{Log, frame, frames, wire};
use super::{Outcome, Subject, fails, holds};
use crate::{Frame, StorageError};

/// Three segments, gaps between and inside them, frames of one and of several records.
fn groups() -> [Vec<Frame>; 3] {
    [
        vec![frame(0, 3, 0, 5, 40), frame(3, 1, 0, 6, 200), frame(6, 2, 0, 7, 0)],
        vec![frame(8, 1, 1, 8, 90), frame(12, 4, 1, 9, 33)],
        vec![frame(18, 1, 2, 10, 64), frame(19, 6, 2, 11, 700)],
    ]
}

/// What the contract says a read returns.
fn model(all: &[Frame], from: i64, upto: i64, max_bytes: u32, min_one: bool) -> Vec<u8> {
    let mut taken: Vec<&Frame> = Vec::new();
    let mut room = u64::from(max_bytes);
    for frame in all.iter().filter(|f| f.meta.last >= Offset(from)) {
        let len = u64::from(frame.meta.len);
        let forced = min_one && taken.is_empty();
        if frame.meta.last >= Offset(upto) || (len > room && !forced) {
            break;
        }
        room = room.saturating_sub(len);
        taken.push(frame);
    }
    wire(taken)
}

async fn compare(log: &Log, all: &[Frame], start: i64, end: i64) -> Outcome {
    let lens: Vec<u32> = all.iter().map(|f| f.meta.len).collect();
    let two = lens[0] + lens[1];
    let sizes = [0, 1, lens[0] - 1, lens[0], two - 1, two, two + 1, lens.iter().sum(), u32::MAX];
    for from in start..=end {
        for upto in [0, from, from + 1, from + 2, from + 5, 12, 16, end - 1, end, end + 100] {
            for max_bytes in sizes {
                for min_one in [false, true] {
                    let seen = log.read(from, upto, max_bytes, min_one).await?;
                    let want = model(all, from, upto, max_bytes, min_one);
                    holds!(
                        seen == want,
                        "Whole frames from the one that holds `from` (or the first after it), as long as they lie \
                         completely below `upto` and fit into `max_bytes`; with `min_one` the first comes whole",
                        "read({from}, {upto}, {max_bytes}, {min_one}) has {} bytes, expected {}",
                        seen.len(),
                        want.len()
                    );
                }
            }
        }
    }
    Ok(())
}

pub(super) async fn every_bound_in_every_combination(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    let groups = groups();
    let all: Vec<Frame> = groups.concat();
    for group in &groups[..2] {
        log.append_segments(&[group]).await?;
    }
    log.append(&groups[2]).await?;
    compare(&log, &all, 0, 25).await?;
    // The same from a handle that has to find everything anew.
    log.close().await?;
    drop(log);
    let log = subject.open(0).await?;
    compare(&log, &all, 0, 25).await
}

pub(super) async fn outside_the_log_is_out_of_range(subject: Subject) -> Outcome {
    const SENTENCE: &str = "`from` outside `start..=end` is OutOfRange";
    let log = subject.open(0).await?;
    log.append(&frames(0, 10)).await?;
    let start = log.log.advance_start(Offset(4)).await;
    holds!(start.is_ok(), "advance_start moves the start forward", "{start:?}");
    for from in [-1, 0, 3, 11, i64::MAX] {
        let (from, upto) = (Offset(from), Offset(10));
        let read = log.log.read(from, upto, u32::MAX, true).wait().await;
        fails!(read, StorageError::OutOfRange { start: Offset(4), end: Offset(10), .. }, SENTENCE);
        let load = log.log.load(from, upto, u32::MAX, true).await;
        fails!(load, StorageError::OutOfRange { .. }, SENTENCE);
    }
    Ok(())
}

pub(super) async fn an_empty_range_is_empty(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    for (from, upto) in [(0, 0), (0, 10), (0, i64::MAX)] {
        let seen = log.read(from, upto, 1000, true).await?;
        holds!(
            seen.is_empty(),
            "A read is empty if there is nothing below the bound",
            "an empty log gave {} bytes",
            seen.len()
        );
    }
    log.append(&[frame(0, 10, 0, 0, 100)]).await?;
    for (from, upto) in [(10, i64::MAX), (10, 10), (0, 0), (0, 9), (5, 9), (9, 2)] {
        let seen = log.read(from, upto, 1000, true).await?;
        holds!(
            seen.is_empty(),
            "A read is empty if there is nothing below the bound",
            "read({from}, {upto}) of one frame 0..=9 gave {} bytes",
            seen.len()
        );
    }
    Ok(())
}
