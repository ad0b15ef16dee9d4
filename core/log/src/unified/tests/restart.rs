//! What a log knows after it was opened again.

use super::*;

/// Drops the log as a crash would: nothing is saved, the storage keeps what it has.
async fn crash<S: LogStorage>(bench: &Bench<S>, log: Arc<UnifiedLog>) -> Opened {
    log.log.close().await.unwrap();
    drop(log);
    bench.opened().await
}

#[tokio::test]
async fn a_clean_close_leaves_nothing_to_replay() {
    let bench = memory(LogConfig::default());
    let log = bench.open().await;
    append_as(&log, 3, producer(1, 0, 0)).unwrap();
    let (producers, epochs) = (log.active_producers(), log.epochs());
    log.close().await.unwrap();
    drop(log);
    let opened = bench.opened().await;
    assert_eq!(opened.replayed_batches, 0);
    assert_eq!(opened.log.active_producers(), producers);
    assert_eq!(opened.log.epochs(), epochs);
    assert_eq!((opened.log.end(), opened.log.high_watermark()), (Offset(3), Offset(3)));
}

#[tokio::test]
async fn after_a_crash_the_batches_are_replayed() {
    let bench = memory(LogConfig { segment_bytes: 900, ..LogConfig::default() });
    let log = bench.open().await;
    for n in 0..7 {
        append_as(&log, 3, producer(1, 0, n * 3)).unwrap();
    }
    append_as(&log, 1, producer(2, 4, 0)).unwrap();
    let (producers, epochs) = (log.active_producers(), log.epochs());
    let opened = crash(&bench, log).await;
    assert!(opened.replayed_batches < 4, "only what came after the last roll: {}", opened.replayed_batches);
    let log = opened.log;
    assert_eq!((log.active_producers(), log.epochs()), (producers, epochs));
    for n in 2..7 {
        assert!(append_as(&log, 3, producer(1, 0, n * 3)).unwrap().duplicate, "all five are still known: {n}");
    }
    assert!(matches!(append_as(&log, 3, producer(1, 0, 3)), Err(LogError::OutOfOrderSequence { .. })));
    assert_eq!(append_as(&log, 3, producer(1, 0, 21)).unwrap().base_offset, Offset(22));
}

#[tokio::test]
async fn producers_outlive_their_deleted_records() {
    let bench = memory(LogConfig::default());
    let log = bench.open().await;
    append_as(&log, 3, producer(1, 0, 0)).unwrap();
    append(&log, 1);
    log.delete_records_before(Some(Offset(3))).await.unwrap();
    let log = crash(&bench, log).await.log;
    assert!(append_as(&log, 3, producer(1, 0, 0)).unwrap().duplicate);
    assert_eq!(log.epochs()[0].start, Offset(3));
}

#[tokio::test]
async fn idle_producers_are_gone_after_a_long_sleep() {
    let bench = memory(LogConfig { producer_id_expiration_ms: 1000, ..LogConfig::default() });
    let log = bench.open().await;
    append_as(&log, 1, producer(1, 0, 0)).unwrap();
    bench.advance_ms(999);
    log.maintain().unwrap();
    assert_eq!(log.active_producers().len(), 1);
    log.close().await.unwrap();
    drop(log);
    bench.advance_ms(1);
    assert!(bench.open().await.active_producers().is_empty());
}

#[tokio::test]
async fn an_unreadable_snapshot_costs_a_replay_and_nothing_else() {
    let bench = memory(LogConfig::default());
    let log = bench.open().await;
    append_as(&log, 1, producer(1, 0, 0)).unwrap();
    let producers = log.active_producers();
    let garbage = |kind| Blob { kind, at: Offset(1), bytes: Bytes::from_static(b"garbage") };
    log.log.checkpoint(vec![garbage(BLOB_PRODUCERS), garbage(BLOB_EPOCHS)]).unwrap().await.unwrap();
    let opened = crash(&bench, log).await;
    assert_eq!(opened.replayed_batches, 1);
    assert_eq!(opened.log.active_producers(), producers);
    assert_eq!(opened.log.latest_epoch().unwrap().epoch, EPOCH);
}

#[tokio::test]
async fn rolling_goes_on_where_it_was() {
    let bench = memory(LogConfig { segment_ms: 1000, ..LogConfig::default() });
    let log = bench.open().await;
    append_at(&log, &[5000]);
    let log = crash(&bench, log).await.log;
    append_at(&log, &[6001]);
    assert_eq!(log.segments().len(), 2, "the first record's time is still known");
}
