//! Many at once: threads, partitions, large frames.

use std::sync::Arc;

use tokio::sync::Mutex;
use watershed_model::Offset;

use super::harness::{Log, frame, parse, partition, wire};
use super::{Outcome, Says, Subject, broken, holds};
use crate::Frame;

const WRITERS: usize = 4;
const READERS: usize = 3;
const APPENDS_PER_WRITER: usize = 150;

/// Reads the log from front to back, again and again, until `end` is reached; every run must be unbroken.
async fn follow(log: Arc<Log>, seed: i64, end: Offset) -> Outcome {
    let mut progress = log.log.progress();
    let mut from = Offset(0);
    let mut max_bytes = 200 + 977 * seed as u32;
    while from < end {
        let upto = log.ends()?.end;
        if upto <= from {
            let changed = progress.changed().await;
            holds!(
                changed.is_ok(),
                "progress: the sender goes when the log is destroyed or closed",
                "it went while the log was open"
            );
            continue;
        }
        let bytes = log.read(from.0, upto.0, max_bytes, true).await?;
        let metas = parse(&bytes).map_err(|e| broken("a read returns whole frames, while others append", e))?;
        holds!(!metas.is_empty(), "with `min_one` the first frame comes whole", "read({from}, {upto}) was empty");
        for meta in metas {
            holds!(
                meta.base == from,
                "frames are read in offset order without loss, while others append",
                "{} follows {from}",
                meta.base
            );
            from = meta.last.plus(1);
        }
        max_bytes = max_bytes % 7_919 + 311;
    }
    Ok(())
}

async fn write(log: Arc<Log>, next: Arc<Mutex<i64>>, writer: usize) -> Outcome {
    let mut tickets = Vec::new();
    for i in 0..APPENDS_PER_WRITER {
        let ticket = {
            let mut next = next.lock().await;
            let count = 1 + (i % 3) as i32;
            let one = frame(*next, count, 0, *next, 20 + 37 * ((i + writer) % 11));
            *next += i64::from(count);
            log.log.append(vec![one]).says("append succeeds")?
        };
        tickets.push(ticket);
        if i % 10 == 9 {
            for ticket in tickets.drain(..) {
                let range = ticket.await.says("every ticket ripens, with many appenders")?;
                let promised = log.ends()?.promised;
                holds!(
                    promised >= range.end,
                    "a ripe ticket's records are promised",
                    "promised {promised}, ticket {range:?}"
                );
            }
        }
    }
    Ok(())
}

pub(super) async fn appends_and_reads_from_many_threads(subject: Subject) -> Outcome {
    let log = Arc::new(subject.open(0).await?);
    let next = Arc::new(Mutex::new(0));
    let end = Offset((WRITERS * (0..APPENDS_PER_WRITER).map(|i| 1 + i % 3).sum::<usize>()) as i64);
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        tasks.spawn(write(log.clone(), next.clone(), writer));
    }
    for reader in 0..READERS {
        tasks.spawn(follow(log.clone(), reader as i64, end));
    }
    // Rolls in between, so that readers and writers cross segments.
    for _ in 0..5 {
        log.roll(vec![]).await?;
        log.checkpoint(vec![]).await?;
        tokio::task::yield_now().await;
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap_or_else(|e| Err(broken("a backend never panics", e.to_string())))?;
    }
    let ends = log.ends()?;
    holds!(ends.end == end, "appends are ordered by their calls", "{ends:?}, expected {end}");
    Ok(())
}

pub(super) async fn tickets_of_many_partitions_ripen_together(subject: Subject) -> Outcome {
    let mut logs = Vec::new();
    for n in 0..32 {
        logs.push(subject.open(n).await?);
    }
    let mut tickets = Vec::new();
    for round in 0..5 {
        for log in &logs {
            let one = frame(round, 1, 0, 0, 500);
            tickets.push(log.log.append(vec![one]).says("append succeeds")?);
        }
    }
    // The other way round, so that nobody waits in the order of the appends.
    for ticket in tickets.into_iter().rev() {
        ticket.await.says("every ticket ripens, with many partitions")?;
    }
    for (n, log) in logs.iter().enumerate() {
        let ends = log.ends()?;
        holds!(ends.promised == Offset(5), "a ripe ticket's records are promised", "partition {n}: {ends:?}");
    }
    Ok(())
}

pub(super) async fn large_frames_come_back_whole(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    let all = [
        frame(0, 1, 0, 0, 10),
        frame(1, 1000, 0, 0, 12 << 20),
        frame(1001, 1, 0, 0, 10),
        frame(1002, 50, 0, 0, 5 << 20),
    ];
    log.append(&all).await?;
    log.holds(&all, "large frames come back whole").await?;
    let first = log.read(500, 1052, 1, true).await?;
    holds!(
        first == wire(&all[1..2]),
        "min_one: the first frame comes whole whatever `max_bytes` says",
        "{} bytes",
        first.len()
    );
    log.roll(vec![]).await?;
    log.holds(&all, "large frames come back whole from a sealed segment").await
}

pub(super) async fn a_thousand_partitions(subject: Subject) -> Outcome {
    const PARTITIONS: i32 = 1_000;
    let mut logs = Vec::new();
    let mut tickets = Vec::new();
    let made = |n: i32| -> Vec<Frame> { vec![frame(i64::from(n), 2, 0, 7, n as usize % 300)] };
    for n in 0..PARTITIONS {
        let log = subject.open(n).await?;
        tickets.push(log.log.append(made(n)).says("append succeeds")?);
        logs.push(log);
    }
    for ticket in tickets {
        ticket.await.says("every ticket ripens, with 1,000 partitions")?;
    }
    for (n, log) in (0..).zip(&logs) {
        log.holds(&made(n), "each of 1,000 partitions holds its own records").await?;
    }
    let listed = subject.storage.list().await.says("list succeeds")?;
    holds!(
        listed.len() == PARTITIONS as usize,
        "list: every partition with a log here",
        "{} of {PARTITIONS}",
        listed.len()
    );
    for (n, log) in (0..).zip(&logs) {
        if n % 2 == 0 {
            log.close().await?;
        }
        let destroyed = subject.storage.destroy(partition(n)).await;
        destroyed.says("destroy succeeds, open or not")?;
    }
    let listed = subject.storage.list().await.says("list succeeds")?;
    holds!(listed.is_empty(), "a destroyed log is not listed", "{} of {PARTITIONS} are left", listed.len());
    Ok(())
}
