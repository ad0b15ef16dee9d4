//! Reading, and finding offsets by time and by epoch.

use super::*;
use crate::{OffsetAtTime, OffsetSpec};

#[tokio::test]
async fn a_read_gives_whole_batches_within_the_bounds() {
    let log = memory(LogConfig::default()).open().await;
    for _ in 0..4 {
        append(&log, 3);
    }
    let one = read_batches(&log, Offset(0), Bound::HighWatermark, u32::MAX).await[0].bytes().len() as u32;
    let bases = |batches: Vec<RecordBatch>| batches.iter().map(|b| b.header.base_offset.0).collect::<Vec<_>>();
    assert_eq!(bases(read_batches(&log, Offset(4), Bound::HighWatermark, u32::MAX).await), [3, 6, 9]);
    assert_eq!(bases(read_batches(&log, Offset(0), Bound::HighWatermark, 2 * one).await), [0, 3]);
    assert_eq!(bases(read_batches(&log, Offset(0), Bound::HighWatermark, 1).await), [0], "the first comes whole");
    let none = log.read(Offset(0), Bound::HighWatermark, 1, false).unwrap().pieces().await.unwrap();
    assert!(none.iter().all(Piece::is_empty));
    let at_end = log.read(Offset(12), Bound::HighWatermark, 1, true).unwrap();
    assert_eq!((at_end.upto, at_end.log_start), (Offset(12), Offset(0)));
    assert!(at_end.pieces().await.unwrap().is_empty());
    for outside in [-1, 13, i64::MAX] {
        let error = log.read(Offset(outside), Bound::HighWatermark, 1, true).err().unwrap();
        assert!(matches!(error, LogError::OffsetOutOfRange { start: Offset(0), end: Offset(12), .. }));
    }
}

#[tokio::test]
async fn between_high_watermark_and_end_there_is_nothing_and_no_error() {
    let bench = held(LogConfig::default());
    let log = bench.open().await;
    append(&log, 3);
    assert!(log.read(Offset(2), Bound::HighWatermark, 100, true).unwrap().pieces().await.unwrap().is_empty());
    assert!(log.read(Offset(3), Bound::HighWatermark, 100, true).is_ok());
    assert!(log.read(Offset(4), Bound::HighWatermark, 100, true).is_err());
}

async fn offset(log: &UnifiedLog, spec: OffsetSpec) -> Option<(i64, i64)> {
    let found = log.offset_for(spec, Bound::HighWatermark).await.unwrap();
    found.map(|f| (f.offset.0, f.timestamp.0))
}

#[tokio::test]
async fn offsets_by_time_are_those_of_records() {
    let log = memory(LogConfig::default()).open().await;
    let at = |t| OffsetSpec::At(Timestamp(t));
    for spec in [at(0), OffsetSpec::MaxTimestamp] {
        assert_eq!(offset(&log, spec).await, None, "empty");
    }
    append_at(&log, &[100, 105, 103]);
    append_at(&log, &[110, 90]);
    append_at(&log, &[120, 110]);
    let cases = [
        (at(0), Some((0, 100))),
        (at(100), Some((0, 100))),
        (at(101), Some((1, 105))),
        (at(104), Some((1, 105))),
        (at(106), Some((3, 110))),
        (at(111), Some((5, 120))),
        (at(121), None),
        (OffsetSpec::MaxTimestamp, Some((5, 120))),
        (OffsetSpec::Earliest, Some((0, -1))),
        (OffsetSpec::EarliestLocal, Some((0, -1))),
        (OffsetSpec::Latest, Some((7, -1))),
        (OffsetSpec::LatestTiered, None),
        (OffsetSpec::EarliestPendingUpload, None),
    ];
    for (spec, expect) in cases {
        assert_eq!(offset(&log, spec).await, expect, "{spec:?}");
    }
    // Deleting moves the answers.
    log.delete_records_before(Some(Offset(1))).await.unwrap();
    assert_eq!(offset(&log, at(0)).await, Some((1, 105)), "the log starts inside a batch");
    log.delete_records_before(Some(Offset(4))).await.unwrap();
    assert_eq!(offset(&log, at(100)).await, Some((5, 120)), "the batch's largest timestamp is below the start");
    assert_eq!(offset(&log, OffsetSpec::Earliest).await, Some((4, -1)));
}

#[tokio::test]
async fn the_numbers_of_the_protocol() {
    let specs = (-7..=1).map(OffsetSpec::from_wire).collect::<Vec<_>>();
    let expect = [
        None,
        Some(OffsetSpec::EarliestPendingUpload),
        Some(OffsetSpec::LatestTiered),
        Some(OffsetSpec::EarliestLocal),
        Some(OffsetSpec::MaxTimestamp),
        Some(OffsetSpec::Earliest),
        Some(OffsetSpec::Latest),
        Some(OffsetSpec::At(Timestamp(0))),
        Some(OffsetSpec::At(Timestamp(1))),
    ];
    assert_eq!(specs, expect);
    assert_eq!(OffsetSpec::from_wire(i64::MIN), None);
}

#[tokio::test]
async fn what_is_not_below_the_bound_is_not_found() {
    let bench = held(LogConfig::default());
    let log = bench.open().await;
    append_at(&log, &[100]);
    bench.storage.log().release();
    settle().await;
    append_at(&log, &[200]);
    assert_eq!(offset(&log, OffsetSpec::At(Timestamp(150))).await, None);
    assert_eq!(offset(&log, OffsetSpec::MaxTimestamp).await, None, "the largest lies above the high watermark");
    assert_eq!(offset(&log, OffsetSpec::Latest).await, Some((1, -1)));
    let follower = log.offset_for(OffsetSpec::At(Timestamp(150)), Bound::LogEnd).await.unwrap();
    let expect = OffsetAtTime { timestamp: Timestamp(200), offset: Offset(1), leader_epoch: Some(EPOCH) };
    assert_eq!(follower, Some(expect));
}

#[tokio::test]
async fn log_append_time_counts_for_the_whole_batch() {
    let timestamp_type = watershed_model::record::TimestampType::LogAppendTime;
    let log = memory(LogConfig { timestamp_type, ..LogConfig::default() }).open().await;
    append_at(&log, &[1, 2, 3]);
    assert_eq!(offset(&log, OffsetSpec::At(Timestamp(3))).await, Some((0, NOW.0)));
    assert_eq!(offset(&log, OffsetSpec::MaxTimestamp).await, Some((0, NOW.0)));
}

#[tokio::test]
async fn epochs_end_where_the_next_begins() {
    let log = memory(LogConfig::default()).open().await;
    let append_in = |epoch| {
        let batch = validated(&log, batch_at(&[NOW.0; 2], ProducerSequence::NONE));
        log.append_as_leader(batch, LeaderEpoch(epoch)).unwrap();
    };
    append_in(1);
    append_in(1);
    log.assign_epoch(LeaderEpoch(2));
    log.assign_epoch(LeaderEpoch(4));
    append_in(4);
    let end = |epoch| log.end_offset_for_epoch(LeaderEpoch(epoch)).map(|(e, o)| (e.0, o.0));
    assert_eq!(end(0), Some((0, 0)));
    assert_eq!(end(1), Some((1, 4)));
    assert_eq!(end(2), Some((1, 4)), "epoch 2 wrote nothing");
    assert_eq!(end(4), Some((4, 6)));
    assert_eq!(end(5), None);
    assert_eq!(log.latest_epoch().unwrap().epoch, LeaderEpoch(4));
}
