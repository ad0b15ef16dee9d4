//! Which offsets hold no record.

use super::*;
use crate::{BatchFate, Judge, Judged};

/// Appends a batch over `offsets` offsets of which only the first `records` have a record.
fn append_partial(log: &Arc<UnifiedLog>, offsets: i32, records: usize) {
    let mut batch = validated(log, batch_at(&vec![NOW.0; records.max(1)], ProducerSequence::NONE));
    if records == 0 {
        batch.body = Bytes::new();
    }
    batch.header.record_count = i32::try_from(records).unwrap();
    batch.header.last_offset_delta = offsets - 1;
    batch.header.total_bytes = u32::try_from(watershed_model::record::HEADER_BYTES + batch.body.len()).unwrap();
    batch.header.crc = batch.header.compute_crc(&batch.body);
    log.append_as_leader(batch, EPOCH).unwrap();
}

fn records(log: &UnifiedLog, from: i64) -> i64 {
    log.records_between(Offset(from), log.end())
}

#[tokio::test]
async fn offsets_without_a_record_do_not_count_as_records() {
    let log = memory(LogConfig::default()).open().await;
    append(&log, 3);
    assert_eq!(records(&log, 0), 3);
    append_partial(&log, 10, 4);
    append_partial(&log, 7, 0);
    append(&log, 2);
    append_partial(&log, 5, 0);
    assert_eq!(log.end(), Offset(27));
    for (from, expected) in [(0, 9), (3, 6), (13, 2), (15, 2), (20, 2), (22, 0), (27, 0), (99, 0)] {
        assert_eq!(records(&log, from), expected, "{from}");
    }
    // Inside of the partial batch it is not known which are there.
    assert_eq!(records(&log, 5), 6);
    assert_eq!((log.occupied_from(Offset(14)), log.occupied_from(Offset(23))), (Offset(20), Offset(27)));
    log.delete_records_before(Some(Offset(21))).await.unwrap();
    assert_eq!((records(&log, 0), log.occupied_from(Offset(0))), (1, Offset(21)), "what is deleted is no record");
}

#[tokio::test]
async fn what_is_replayed_is_known_again_and_what_is_read() {
    let bench = memory(LogConfig::default());
    let log = bench.open().await;
    append_partial(&log, 10, 1);
    append_partial(&log, 10, 0);
    append(&log, 1);
    log.log.close().await.unwrap();
    drop(log);
    let log = bench.open().await;
    assert_eq!(records(&log, 0), 2, "after a crash");
    log.close().await.unwrap();
    drop(log);
    let log = bench.open().await;
    assert_eq!(records(&log, 0), 2, "after a clean end, when nothing is replayed");
    let garbage = Blob { kind: BLOB_VACANCIES, at: log.end(), bytes: Bytes::from_static(b"garbage") };
    log.log.checkpoint(vec![garbage]).unwrap().await.unwrap();
    log.log.close().await.unwrap();
    drop(log);
    let log = bench.open().await;
    assert_eq!(records(&log, 0), 21, "nothing is known, and that is no error");
    let headers: Vec<_> =
        read_batches(&log, Offset(0), Bound::LogEnd, u32::MAX).await.iter().map(|batch| batch.header).collect();
    log.saw(&headers);
    log.saw(&headers[1..2]);
    assert_eq!(records(&log, 0), 2);
}

#[tokio::test]
async fn a_cut_log_forgets_what_was_cut() {
    let log = memory(LogConfig::default()).open().await;
    append(&log, 1);
    append_partial(&log, 10, 0);
    append_partial(&log, 10, 0);
    log.truncate_to(Offset(11)).await.unwrap();
    append(&log, 10);
    assert_eq!((records(&log, 0), records(&log, 11)), (11, 10));
    log.start_over_at(Offset(100)).await.unwrap();
    append(&log, 5);
    assert_eq!(records(&log, 0), 5);
}

#[tokio::test]
async fn who_rewrites_segments_says_what_is_left() {
    let log = memory(LogConfig::default()).open().await;
    append(&log, 50);
    append_partial(&log, 50, 40);
    log.counted(Offset(0), Offset(100), 30);
    assert_eq!(records(&log, 0), 30);
    log.counted(Offset(0), Offset(50), 0);
    assert_eq!((records(&log, 0), log.occupied_from(Offset(7))), (30, Offset(50)));
    log.counted(Offset(90), Offset(101), 0);
    assert_eq!(records(&log, 50), 30, "there is no offset 100 yet");
}

/// Keeps the first record of each batch.
struct First;

impl Judge for First {
    fn judge(&mut self, batches: Vec<RecordBatch>) -> Judged<'_> {
        let first = |batch: RecordBatch| {
            let mut builder = BatchBuilder::new();
            let record = batch.owned_records().unwrap().remove(0);
            let left = NewRecord { key: record.key.as_deref(), value: record.value.as_deref(), headers: &[] };
            builder.push(record.timestamp, left);
            let built = batches_of(builder.build().unwrap());
            let mut header = batch.header;
            (header.record_count, header.total_bytes) = (1, built.header.total_bytes);
            header.crc = header.compute_crc(&built.body());
            BatchFate::Rewrite(header, built.body())
        };
        let fates = batches.into_iter().map(first).collect();
        Box::pin(async move { Some(fates) })
    }
}

fn batches_of(bytes: Bytes) -> RecordBatch {
    batches(bytes).next().unwrap().unwrap()
}

#[tokio::test]
async fn what_cleaning_takes_away_does_not_count() {
    let log = memory(LogConfig { segment_bytes: 700, ..LogConfig::default() }).open().await;
    for _ in 0..6 {
        append(&log, 4);
    }
    let segments = log.cleanable_segments();
    assert!(segments.len() > 1);
    let cleaned = log.clean(&segments[0], &mut First).await.unwrap().unwrap();
    assert!(cleaned.rewritten);
    let gone = i64::try_from(cleaned.records_before - cleaned.records_after).unwrap();
    assert!(gone > 0);
    assert_eq!(records(&log, 0), 24 - gone);
    let behind = segments[0].end.0;
    assert_eq!(records(&log, behind), 24 - behind);
}
