//! Appends, tickets, duplicates, the high watermark and those who wait for it.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::{Listener, Mark, Reached};

#[tokio::test]
async fn appends_get_consecutive_offsets_and_the_leaders_epoch() {
    let log = memory(LogConfig::default()).open().await;
    let first = append(&log, 3);
    let second = append(&log, 2);
    assert_eq!((first.base_offset, first.last_offset), (Offset(0), Offset(2)));
    assert_eq!((second.base_offset, second.last_offset), (Offset(3), Offset(4)));
    assert!(first.ticket.is_ripe() && !first.duplicate && first.log_append_time.is_none());
    assert_eq!((log.end(), log.high_watermark(), log.last_stable_offset()), (Offset(5), Offset(5), Offset(5)));
    let batches = read_batches(&log, Offset(0), Bound::HighWatermark, u32::MAX).await;
    assert_eq!(batches.iter().map(|b| b.header.base_offset.0).collect::<Vec<_>>(), [0, 3]);
    assert!(batches.iter().all(|b| b.crc_is_valid() && b.header.leader_epoch == EPOCH));
}

#[tokio::test]
async fn nothing_is_readable_to_consumers_before_it_is_promised() {
    let bench = held(LogConfig::default());
    let log = bench.open().await;
    let appended = append(&log, 2);
    settle().await;
    assert_eq!((log.end(), log.high_watermark()), (Offset(2), Offset(0)));
    assert!(read_records(&log, Offset(0), Bound::HighWatermark).await.is_empty());
    assert_eq!(read_records(&log, Offset(0), Bound::LogEnd).await.len(), 2);
    assert!(!appended.ticket.is_ripe());
    bench.storage.log().release();
    appended.ticket.await.unwrap();
    assert_eq!(log.high_watermark(), Offset(2));
}

#[tokio::test]
async fn the_high_watermark_moves_even_if_every_ticket_is_dropped() {
    let bench = held(LogConfig::default());
    let log = bench.open().await;
    for round in 1..4 {
        drop(append(&log, 1));
        drop(append(&log, 1));
        settle().await;
        bench.storage.log().release();
        settle().await;
        assert_eq!(log.high_watermark(), Offset(round * 2));
    }
}

#[tokio::test]
async fn an_owner_with_replicas_sets_the_high_watermark() {
    let bench = held(LogConfig::default());
    let log = bench.open().await;
    log.set_sole_replica(false);
    append(&log, 4);
    bench.storage.log().release();
    settle().await;
    assert_eq!((log.promised(), log.high_watermark()), (Offset(4), Offset(0)));
    log.set_high_watermark(Offset(3));
    assert_eq!(log.high_watermark(), Offset(3));
    log.set_high_watermark(Offset(1));
    assert_eq!(log.high_watermark(), Offset(3), "it never falls");
    log.set_high_watermark(Offset(99));
    assert_eq!(log.high_watermark(), Offset(4), "nor passes the end");
}

#[tokio::test]
async fn a_duplicate_is_acknowledged_with_its_original_and_not_before() {
    let bench = held(LogConfig::default());
    let log = bench.open().await;
    append(&log, 5);
    let original = append_as(&log, 3, producer(1, 0, 0)).unwrap();
    let again = append_as(&log, 3, producer(1, 0, 0)).unwrap();
    assert!(again.duplicate);
    assert_eq!((again.base_offset, again.last_offset), (original.base_offset, original.last_offset));
    assert_eq!(log.end(), Offset(8), "stored once");
    let waiting = tokio::spawn(again.ticket);
    settle().await;
    assert!(!waiting.is_finished(), "the original is not promised yet");
    bench.storage.log().release();
    waiting.await.unwrap().unwrap();
    assert!(append_as(&log, 3, producer(1, 0, 0)).unwrap().ticket.is_ripe(), "now it is");
}

#[tokio::test]
async fn a_refused_append_leaves_no_trace() {
    let bench = held(LogConfig::default());
    let log = bench.open().await;
    append_as(&log, 1, producer(1, 0, 0)).unwrap();
    bench.storage.log().refuse(Some(StorageError::Full { place: "here".into() }));
    let refused = append_as(&log, 1, producer(1, 0, 1)).unwrap_err();
    assert!(matches!(refused, LogError::Storage(StorageError::Full { .. })));
    assert_eq!(log.end(), Offset(1));
    assert!(matches!(append_as(&log, 1, producer(1, 0, 2)), Err(LogError::OutOfOrderSequence { .. })));
    bench.storage.log().refuse(None);
    let appended = append_as(&log, 1, producer(1, 0, 1)).unwrap();
    assert!(!appended.duplicate, "the refused one is not remembered");
    assert_eq!(appended.base_offset, Offset(1));
}

#[tokio::test]
async fn a_broken_promise_reaches_the_ack_its_duplicate_and_every_waiter() {
    let bench = held(LogConfig::default());
    let log = bench.open().await;
    let original = append_as(&log, 1, producer(1, 0, 0)).unwrap();
    let again = append_as(&log, 1, producer(1, 0, 0)).unwrap();
    let parked = tokio::spawn(log.marks().passed(Mark::HighWatermark, Offset(0)));
    let duplicate = tokio::spawn(again.ticket);
    settle().await;
    bench.storage.log().fail(&StorageError::Offline { place: "here".into(), reason: "EIO".into() });
    assert!(matches!(original.ticket.await, Err(StorageError::Offline { .. })));
    assert!(matches!(duplicate.await.unwrap(), Err(StorageError::Offline { .. })));
    assert!(matches!(parked.await.unwrap(), Err(StorageError::Offline { .. })));
    assert_eq!(log.high_watermark(), Offset(0));
}

#[tokio::test]
async fn an_old_leaders_append_is_refused() {
    let log = memory(LogConfig::default()).open().await;
    log.assign_epoch(LeaderEpoch(5));
    let batch = validated(&log, batch_at(&[NOW.0], ProducerSequence::NONE));
    let refused = log.append_as_leader(batch.clone(), LeaderEpoch(4)).unwrap_err();
    assert!(matches!(refused, LogError::StaleLeaderEpoch { .. }));
    assert!(log.append_as_leader(batch, LeaderEpoch(5)).is_ok());
}

#[tokio::test]
async fn log_append_time_comes_back_also_for_duplicates() {
    let timestamp_type = watershed_model::record::TimestampType::LogAppendTime;
    let log = memory(LogConfig { timestamp_type, ..LogConfig::default() }).open().await;
    let bytes = batch_at(&[5], producer(1, 0, 0));
    let first = log.append_as_leader(validated(&log, bytes.clone()), EPOCH).unwrap();
    assert_eq!(first.log_append_time, Some(NOW));
    let later = validate(bytes, &log.config(), CLIENT, Timestamp(NOW.0 + 50)).unwrap();
    let again = log.append_as_leader(later, EPOCH).unwrap();
    assert_eq!((again.duplicate, again.log_append_time), (true, Some(NOW)), "the original's time");
}

#[derive(Default)]
struct Counter(AtomicUsize);

impl Listener for Counter {
    fn reached(&self, tag: u64, what: Reached) {
        assert!(matches!(what, Reached::Passed(_)), "{what:?}");
        self.0.fetch_add(tag as usize, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn waiters_are_called_once_and_only_when_their_threshold_is_passed() {
    let log = memory(LogConfig::default()).open().await;
    let counter = Arc::new(Counter::default());
    let register = |threshold, tag| log.marks().register(Mark::HighWatermark, Offset(threshold), counter.clone(), tag);
    let _one = register(0, 1).unwrap();
    let _same = register(0, 10).unwrap();
    let _far = register(2, 100).unwrap();
    let gone = register(0, 1000).unwrap();
    drop(gone);
    assert_eq!(log.marks().parked(), 3);
    append(&log, 1);
    assert_eq!(counter.0.load(Ordering::SeqCst), 11);
    append(&log, 1);
    assert_eq!(counter.0.load(Ordering::SeqCst), 11, "the mark stands at the threshold, not above");
    append(&log, 1);
    assert_eq!(counter.0.load(Ordering::SeqCst), 111);
    assert_eq!(log.marks().parked(), 0);
    assert!(matches!(register(2, 1), Err(Reached::Passed(Offset(3)))), "too late to wait");
}

#[tokio::test]
async fn thousands_of_waiters_are_woken_by_closing() {
    let log = memory(LogConfig::default()).open().await;
    let parked: Vec<_> = (0..5000).map(|n| tokio::spawn(log.marks().passed(Mark::LastStable, Offset(n % 7)))).collect();
    settle().await;
    assert_eq!(log.marks().parked(), 5000);
    log.disturb();
    settle().await;
    assert_eq!(log.marks().parked(), 5000, "they looked and wait again");
    log.close().await.unwrap();
    for waiter in parked {
        assert!(matches!(waiter.await.unwrap(), Err(StorageError::Gone)));
    }
    let late = log.marks().passed(Mark::End, Offset(0)).await;
    assert!(matches!(late, Err(StorageError::Gone)));
    assert!(append_as(&log, 1, ProducerSequence::NONE).is_err());
}

#[tokio::test]
async fn a_transaction_holds_the_last_stable_offset_back() {
    let log = memory(LogConfig::default()).open().await;
    append(&log, 2);
    let mut builder = BatchBuilder::new().producer(producer(1, 0, 0)).transactional();
    builder.push(NOW, NewRecord::default());
    let batch = validated(&log, builder.build().unwrap());
    assert!(matches!(log.append_as_leader(batch.clone(), EPOCH), Err(LogError::InvalidTxnState { .. })));
    let guard = crate::TransactionGuard { verified: true, epoch_bumps: false };
    log.append_guarded(batch, EPOCH, guard).unwrap();
    append(&log, 2);
    assert_eq!((log.high_watermark(), log.last_stable_offset()), (Offset(5), Offset(2)));
    assert_eq!(read_records(&log, Offset(0), Bound::LastStable).await.len(), 2);
    assert_eq!(read_records(&log, Offset(0), Bound::HighWatermark).await.len(), 5);
    assert_eq!(log.active_producers()[0].transaction_start, Some(Offset(2)));
}

#[tokio::test]
async fn a_checkpoint_follows_after_enough_bytes_or_time() {
    let bench = held(LogConfig { max_message_bytes: u32::MAX, ..LogConfig::default() });
    let log = bench.open().await;
    append(&log, 1);
    log.maintain().unwrap();
    assert_eq!(bench.storage.log().checkpoints(), 0);
    bench.advance_ms(watershed_model::limits::CHECKPOINT_AGE_MS);
    log.maintain().unwrap();
    log.maintain().unwrap();
    assert_eq!(bench.storage.log().checkpoints(), 1, "once, and not while there is nothing new");
    let big = vec![0; 33 << 20];
    for _ in 0..2 {
        let mut builder = BatchBuilder::new();
        builder.push(NOW, NewRecord { key: None, value: Some(&big), headers: &[] });
        log.append_as_leader(validated(&log, builder.build().unwrap()), EPOCH).unwrap();
    }
    assert_eq!(bench.storage.log().checkpoints(), 2);
}
