//! Rolling, retention, deletion and truncation.

use super::*;
use crate::{CleanupPolicy, DeletionReason};

/// Small segments: two batches of three records fit.
fn small() -> LogConfig {
    LogConfig { segment_bytes: 900, ..LogConfig::default() }
}

fn bases(log: &UnifiedLog) -> Vec<i64> {
    log.segments().iter().map(|s| s.base.0).collect()
}

#[tokio::test]
async fn segments_roll_by_size() {
    let log = memory(small()).open().await;
    for _ in 0..5 {
        append(&log, 3);
    }
    assert_eq!(bases(&log), [0, 6, 12]);
    assert_eq!(read_records(&log, Offset(0), Bound::HighWatermark).await.len(), 15);
}

#[tokio::test]
async fn segments_roll_by_the_age_of_their_first_record() {
    let log = memory(LogConfig { segment_ms: 1000, ..LogConfig::default() }).open().await;
    append_at(&log, &[5000]);
    append_at(&log, &[6000]);
    assert_eq!(bases(&log), [0], "exactly the age is not over it");
    append_at(&log, &[6001]);
    assert_eq!(bases(&log), [0, 2]);
    append_at(&log, &[100]);
    assert_eq!(bases(&log), [0, 2], "the past is no reason");
}

#[tokio::test]
async fn without_timestamps_the_clock_decides() {
    let bench = memory(LogConfig { segment_ms: 1000, ..LogConfig::default() });
    let log = bench.open().await;
    append_at(&log, &[-1]);
    bench.advance_ms(1000);
    append_at(&log, &[-1]);
    assert_eq!(bases(&log), [0]);
    bench.advance_ms(1);
    append_at(&log, &[-1]);
    assert_eq!(bases(&log), [0, 2]);
}

#[tokio::test]
async fn jitter_only_shortens_and_compaction_lag_bounds_the_age() {
    let jittered = LogConfig { segment_ms: 1000, segment_jitter_ms: 5000, ..LogConfig::default() };
    let log = memory(jittered).open().await;
    append_at(&log, &[5000]);
    append_at(&log, &[6001]);
    assert_eq!(bases(&log), [0, 1]);
    let cleanup = CleanupPolicy { delete: false, compact: true };
    let lag = LogConfig { cleanup, max_compaction_lag_ms: 10, ..LogConfig::default() };
    let log = memory(lag).open().await;
    append_at(&log, &[5000]);
    append_at(&log, &[5011]);
    assert_eq!(bases(&log), [0, 1]);
}

#[tokio::test]
async fn retention_by_time_deletes_whole_old_segments() {
    let config = LogConfig { retention_ms: Some(100), ..small() };
    let log = memory(config).open().await;
    for t in [1000, 1000, 1050, 1040, 1200, 1200, 1210] {
        append_at(&log, &[t; 3]);
    }
    assert_eq!(bases(&log), [0, 6, 12, 18]);
    assert!(log.apply_retention(Timestamp(1100)).await.unwrap().deleted.is_empty(), "exactly the age stays");
    let outcome = log.apply_retention(Timestamp(1150)).await.unwrap();
    assert_eq!(outcome.deleted.iter().map(|(s, r)| (s.base.0, *r)).collect::<Vec<_>>(), [(0, DeletionReason::Time)]);
    assert_eq!((log.start(), bases(&log)), (Offset(6), vec![6, 12, 18]));
    // Everything is old: the active segment is closed and goes too, the log goes on at its end.
    let outcome = log.apply_retention(Timestamp(9999)).await.unwrap();
    assert_eq!(outcome.deleted.len(), 3);
    assert_eq!((log.start(), log.end()), (Offset(21), Offset(21)));
    assert!(log.apply_retention(Timestamp(99999)).await.unwrap().deleted.is_empty(), "nothing left");
    assert_eq!(append(&log, 1).base_offset, Offset(21));
}

#[tokio::test]
async fn a_young_segment_protects_the_older_ones_behind_it_not() {
    let log = memory(LogConfig { retention_ms: Some(100), ..small() }).open().await;
    for t in [5000, 5000, 1000, 1000, 1000] {
        append_at(&log, &[t; 3]);
    }
    assert!(log.apply_retention(Timestamp(2000)).await.unwrap().deleted.is_empty(), "only a prefix may go");
    assert_eq!(log.apply_retention(Timestamp(2000)).await.unwrap().future, 1, "and it is told why");
}

#[tokio::test]
async fn retention_by_size_keeps_at_least_the_bound() {
    let log = memory(small()).open().await;
    for _ in 0..8 {
        append(&log, 3);
    }
    let one = log.segments()[0].bytes;
    let total = log.size_bytes();
    log.configure(LogConfig { retention_bytes: Some(total - 2 * one + 1), ..small() });
    let outcome = log.apply_retention(NOW).await.unwrap();
    assert_eq!(outcome.deleted.len(), 1, "a second one would leave too little");
    assert_eq!(outcome.deleted[0].1, DeletionReason::Size);
    log.configure(LogConfig { retention_bytes: Some(0), ..small() });
    log.apply_retention(NOW).await.unwrap();
    assert_eq!((log.start(), log.size_bytes()), (Offset(24), 0));
}

#[tokio::test]
async fn retention_never_passes_the_high_watermark() {
    let bench = held(LogConfig { retention_ms: Some(1), ..small() });
    let log = bench.open().await;
    for _ in 0..4 {
        append_at(&log, &[1000; 3]);
    }
    bench.storage.log().release();
    settle().await;
    append_at(&log, &[1000; 3]);
    log.apply_retention(NOW).await.unwrap();
    assert_eq!(log.start(), Offset(12), "the last batch is not below it");
}

#[tokio::test]
async fn what_is_not_to_be_deleted_stays() {
    for (delete, compact) in [(false, true), (false, false)] {
        let cleanup = CleanupPolicy { delete, compact };
        let log =
            memory(LogConfig { cleanup, retention_ms: Some(0), retention_bytes: Some(0), ..small() }).open().await;
        for _ in 0..4 {
            append(&log, 3);
        }
        assert!(log.apply_retention(Timestamp(i64::MAX)).await.unwrap().deleted.is_empty());
        let deleted = log.delete_records_before(None).await;
        assert_eq!(matches!(deleted, Err(LogError::Policy(_))), compact, "{deleted:?}");
    }
}

#[tokio::test]
async fn deleting_records() {
    let bench = held(small());
    let log = bench.open().await;
    for _ in 0..4 {
        append(&log, 3);
    }
    bench.storage.log().release();
    settle().await;
    append(&log, 3);
    assert_eq!(log.delete_records_before(Some(Offset(4))).await.unwrap(), Offset(4));
    assert!(matches!(log.read(Offset(3), Bound::HighWatermark, 1, true), Err(LogError::OffsetOutOfRange { .. })));
    assert_eq!(read_records(&log, Offset(4), Bound::HighWatermark).await.len(), 8);
    assert_eq!(log.delete_records_before(Some(Offset(2))).await.unwrap(), Offset(4), "it never goes back");
    for outside in [-1, 13, 15] {
        let refused = log.delete_records_before(Some(Offset(outside))).await;
        assert!(matches!(refused, Err(LogError::OffsetOutOfRange { end: Offset(12), .. })), "{outside}: {refused:?}");
    }
    assert_eq!(log.delete_records_before(None).await.unwrap(), Offset(12), "up to the high watermark");
    assert_eq!(log.epochs()[0].start, Offset(12));
    assert_eq!(bases(&log), [12]);
}

#[tokio::test]
async fn truncation_takes_back_offsets_producers_and_epochs() {
    let bench = held(small());
    let log = bench.open().await;
    append_as(&log, 3, producer(1, 0, 0)).unwrap();
    append_as(&log, 3, producer(1, 0, 3)).unwrap();
    log.append_as_leader(validated(&log, batch_at(&[NOW.0; 3], producer(1, 0, 6))), LeaderEpoch(9)).unwrap();
    bench.storage.log().release();
    settle().await;
    let cut = validated(&log, batch_at(&[NOW.0; 3], ProducerSequence::NONE));
    let cut = log.append_as_leader(cut, LeaderEpoch(9)).unwrap();
    let parked = tokio::spawn(log.marks().passed(crate::Mark::End, Offset(12)));
    settle().await;
    log.truncate_to(Offset(5)).await.unwrap();
    assert!(matches!(cut.ticket.await, Err(StorageError::Truncated)));
    assert_eq!((log.end(), log.high_watermark(), log.promised()), (Offset(3), Offset(3), Offset(3)));
    assert_eq!(log.latest_epoch().unwrap().epoch, EPOCH);
    assert!(append_as(&log, 3, producer(1, 0, 0)).unwrap().duplicate);
    let again = append_as(&log, 3, producer(1, 0, 3)).unwrap();
    assert_eq!((again.duplicate, again.base_offset), (false, Offset(3)));
    bench.storage.log().release();
    again.ticket.await.unwrap();
    assert_eq!(log.high_watermark(), Offset(6));
    for _ in 0..3 {
        append(&log, 3);
    }
    assert_eq!(parked.await.unwrap().unwrap(), Offset(15), "a waiter survives a truncation");
}

#[tokio::test]
async fn starting_over_goes_on_above() {
    let log = memory(small()).open().await;
    append_as(&log, 3, producer(1, 0, 0)).unwrap();
    log.start_over_at(Offset(1000)).await.unwrap();
    assert_eq!((log.start(), log.end(), log.high_watermark()), (Offset(1000), Offset(1000), Offset(1000)));
    assert!(log.active_producers().is_empty() && log.epochs().is_empty());
    assert_eq!(append_as(&log, 1, producer(1, 0, 3)).unwrap().base_offset, Offset(1000));
    assert_eq!(log.high_watermark(), Offset(1001));
}
