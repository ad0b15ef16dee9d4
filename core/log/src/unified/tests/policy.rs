//! Deleting whole segments because a policy says so.

use super::*;
use crate::{CleanupPolicy, DeletionReason, TransactionGuard};

/// Segments of six records, in batches of three.
fn small() -> LogConfig {
    LogConfig { segment_bytes: 900, ..LogConfig::default() }
}

fn bases(log: &UnifiedLog) -> Vec<i64> {
    log.segments().iter().map(|s| s.base.0).collect()
}

/// What a policy that says `before` deletes: first what it would, then what it does, which must be the same.
async fn deleted(log: &UnifiedLog, before: i64) -> Vec<i64> {
    let end = log.end();
    let announced: Vec<i64> = log.segments_before(Offset(before)).iter().map(|s| s.base.0).collect();
    let outcome = log.delete_segments_before(Offset(before)).await.unwrap();
    assert!(outcome.deleted.iter().all(|(_, reason)| *reason == DeletionReason::Policy));
    let deleted: Vec<i64> = outcome.deleted.iter().map(|(segment, _)| segment.base.0).collect();
    assert_eq!((deleted.as_slice(), log.end()), (announced.as_slice(), end));
    deleted
}

#[tokio::test]
async fn only_whole_segments_below_the_offset_go() {
    // Segments 0..6, 6..12 and 12..18 are closed, 18..21 is active.
    let cases: [(i64, &[i64], i64); 13] = [
        (i64::MIN, &[], 0),
        (-1, &[], 0),
        (0, &[], 0),
        (1, &[], 0),
        (5, &[], 0),
        (6, &[0], 6),
        (11, &[0], 6),
        (12, &[0, 6], 12),
        (18, &[0, 6, 12], 18),
        (19, &[0, 6, 12], 18),
        (21, &[0, 6, 12], 18),
        (22, &[0, 6, 12], 18),
        (i64::MAX, &[0, 6, 12], 18),
    ];
    for (before, gone, start) in cases {
        let log = memory(small()).open().await;
        for _ in 0..7 {
            append(&log, 3);
        }
        assert_eq!(bases(&log), [0, 6, 12, 18]);
        assert_eq!(deleted(&log, before).await, gone, "before {before}");
        assert_eq!(log.start(), Offset(start), "before {before}");
        assert_eq!(bases(&log)[0], start);
        assert_eq!(log.epochs()[0].start, Offset(start));
        assert_eq!(read_records(&log, log.start(), Bound::HighWatermark).await.len() as i64, 21 - start);
        assert!(deleted(&log, before).await.is_empty(), "the same again has nothing to do");
        assert_eq!(append(&log, 1).base_offset, Offset(21));
    }
}

#[tokio::test]
async fn what_is_not_replicated_stays() {
    let bench = held(small());
    let log = bench.open().await;
    for _ in 0..3 {
        append(&log, 3);
    }
    bench.storage.log().release();
    settle().await;
    for _ in 0..4 {
        append(&log, 3);
    }
    assert_eq!((log.high_watermark(), bases(&log)), (Offset(9), vec![0, 6, 12, 18]));
    assert_eq!(deleted(&log, i64::MAX).await, [0], "the next segment is only half below the high watermark");
    bench.storage.log().release();
    settle().await;
    assert_eq!(deleted(&log, i64::MAX).await, [6, 12]);
}

#[tokio::test]
async fn what_belongs_to_an_open_transaction_stays() {
    let log = memory(small()).open().await;
    for _ in 0..3 {
        append(&log, 3);
    }
    let mut builder = BatchBuilder::new().producer(producer(1, 0, 0)).transactional();
    builder.push(NOW, NewRecord { key: Some(b"k"), value: Some(&[b'v'; 100]), headers: &[] });
    let guard = TransactionGuard { verified: true, epoch_bumps: false };
    log.append_guarded(validated(&log, builder.build().unwrap()), EPOCH, guard).unwrap();
    for _ in 0..4 {
        append(&log, 3);
    }
    assert_eq!((log.last_stable_offset(), bases(&log)), (Offset(9), vec![0, 6, 10, 16]));
    assert_eq!(log.high_watermark(), Offset(22));
    assert_eq!(deleted(&log, i64::MAX).await, [0]);
    assert_eq!(log.start(), Offset(6));
}

#[tokio::test]
async fn after_deleted_records_the_rest_of_their_segment_goes_with_it() {
    let log = memory(small()).open().await;
    for _ in 0..7 {
        append(&log, 3);
    }
    log.delete_records_before(Some(Offset(4))).await.unwrap();
    assert!(deleted(&log, 5).await.is_empty());
    assert_eq!((deleted(&log, 6).await, log.start()), (vec![0], Offset(6)));
}

#[tokio::test]
async fn producers_outlive_their_records() {
    let bench = memory(small());
    let log = bench.open().await;
    append_as(&log, 3, producer(1, 0, 0)).unwrap();
    for _ in 0..6 {
        append(&log, 3);
    }
    assert_eq!(deleted(&log, i64::MAX).await, [0, 6, 12]);
    // As a crash would: nothing more is saved.
    log.log.close().await.unwrap();
    drop(log);
    let log = bench.open().await;
    assert_eq!(log.start(), Offset(18));
    assert!(append_as(&log, 3, producer(1, 0, 0)).unwrap().duplicate);
}

#[tokio::test]
async fn a_topic_that_does_not_delete_loses_nothing() {
    for (delete, compact, gone) in
        [(false, true, &[][..]), (false, false, &[]), (true, true, &[0, 6]), (true, false, &[0, 6])]
    {
        let log = memory(LogConfig { cleanup: CleanupPolicy { delete, compact }, ..small() }).open().await;
        for _ in 0..5 {
            append(&log, 3);
        }
        let outcome = log.delete_segments_before(Offset(i64::MAX)).await.unwrap();
        let deleted: Vec<i64> = outcome.deleted.iter().map(|(segment, _)| segment.base.0).collect();
        assert_eq!(deleted, gone, "delete {delete}, compact {compact}");
    }
}
