//! Random logs, cleaned of random records, against a list of what was appended: what stays is there once, in its place and as it
//! was, after a kill too.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use watershed_log::{
    BatchFate, Bound, Cleaned, Judge, Judged, LogConfig, LogContext, OffsetSpec, Origin, UnifiedLog, validate,
};
use watershed_model::record::{
    BatchBuilder, BatchHeader, Compression, HEADER_BYTES, NewRecord, OwnedRecord, ProducerSequence, RecordBatch,
    batches, compress,
};
use watershed_model::{LeaderEpoch, ProducerEpoch, ProducerId, SystemClock, Timestamp, TopicId, TopicIdPartition};
use watershed_storage_disk::{DiskConfig, DiskStorage};

const TP: TopicIdPartition = TopicIdPartition { topic: TopicId([7; 16]), partition: 3 };
const T0: i64 = 1_700_000_000_000;

/// A batch as a producer sends it.
#[derive(Clone, Debug)]
struct Sent {
    producer: Option<u8>,
    codec: u8,
    times: Vec<i64>,
}

fn any_sent() -> impl Strategy<Value = Sent> {
    let times = prop::collection::vec(0..200i64, 1..7);
    (prop::option::of(0..3u8), 0..5u8, times).prop_map(|(producer, codec, times)| Sent { producer, codec, times })
}

/// Drops the records with these offsets.
struct Drops(BTreeSet<i64>);

impl Judge for Drops {
    fn judge(&mut self, batches: Vec<RecordBatch>) -> Judged<'_> {
        let fates = batches.iter().map(|batch| fate(batch, &self.0)).collect();
        Box::pin(ready(Some(fates)))
    }
}

/// Has no answer.
struct Stops;

impl Judge for Stops {
    fn judge(&mut self, _: Vec<RecordBatch>) -> Judged<'_> {
        Box::pin(ready(None))
    }
}

/// A second way to write a batch anew, apart from the one that the broker uses.
fn fate(batch: &RecordBatch, drops: &BTreeSet<i64>) -> BatchFate {
    let mut header = batch.header;
    let (mut plain, mut count, mut largest) = (Vec::new(), 0, Timestamp::NONE);
    let mut records = batch.records().unwrap();
    while let Some(record) = records.next().unwrap() {
        if drops.contains(&batch.offset_of(&record).0) {
            continue;
        }
        let new = NewRecord { key: record.key, value: record.value, headers: &[] };
        new.encode(&mut plain, record.timestamp_delta, record.offset_delta);
        count += 1;
        largest = largest.max(Timestamp(header.base_timestamp.0 + record.timestamp_delta));
    }
    if count == header.record_count {
        return BatchFate::Keep;
    }
    header.record_count = count;
    if count == 0 {
        header.set_compression(Compression::None);
    } else {
        header.max_timestamp = largest;
    }
    let mut body = Vec::new();
    compress(header.compression().unwrap(), None, &plain, &mut body).unwrap();
    header.total_bytes = (HEADER_BYTES + body.len()) as u32;
    header.crc = header.compute_crc(&body);
    BatchFate::Rewrite(header, body.into())
}

async fn open(dir: &Path) -> (Arc<DiskStorage>, Arc<UnifiedLog>) {
    let clock = Arc::new(SystemClock::new());
    let storage = DiskStorage::open(DiskConfig::new(dir, clock.clone())).unwrap();
    let config = LogConfig { segment_bytes: 1_500, retention_ms: None, ..LogConfig::default() };
    let opened = UnifiedLog::open(&*storage, TP, config, LogContext { clock }).await.unwrap();
    assert!(opened.report.damage.is_empty(), "{:?}", opened.report);
    (storage, opened.log)
}

async fn send(log: &Arc<UnifiedLog>, sent: &Sent, next: &mut BTreeMap<u8, i32>) {
    let codec = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    let mut builder = BatchBuilder::new().compression(codec[usize::from(sent.codec)], None);
    if let Some(id) = sent.producer {
        let sequence = next.entry(id).or_default();
        let id = ProducerId(i64::from(id));
        builder = builder.producer(ProducerSequence { id, epoch: ProducerEpoch(0), base_sequence: *sequence });
        *sequence += sent.times.len() as i32;
    }
    for (n, time) in sent.times.iter().enumerate() {
        let value = vec![b'a' + n as u8; 60];
        builder.push(Timestamp(T0 + time), NewRecord { key: Some(b"k"), value: Some(&value), headers: &[] });
    }
    let bytes = builder.build().unwrap();
    let batch = validate(bytes, &log.config(), Origin::Client { produce_version: 12 }, Timestamp(T0)).unwrap();
    log.append_as_leader(batch, LeaderEpoch(1)).unwrap().ticket.await.unwrap();
}

async fn held(log: &UnifiedLog) -> Vec<RecordBatch> {
    let bytes = log.load(log.start(), Bound::HighWatermark, u32::MAX).await.unwrap();
    batches(bytes).collect::<Result<_, _>>().unwrap()
}

fn records(batches: &[RecordBatch]) -> Vec<OwnedRecord> {
    batches.iter().flat_map(|batch| batch.owned_records().unwrap()).collect()
}

/// What a batch must keep whatever it loses.
fn place(h: &BatchHeader) -> impl PartialEq + std::fmt::Debug + use<> {
    let producer = (h.producer_id, h.producer_epoch, h.base_sequence);
    (h.base_offset, h.last_offset_delta, h.leader_epoch, h.base_timestamp, producer, h.timestamp_type())
}

async fn is_right(log: &UnifiedLog, before: &[RecordBatch], drops: &BTreeSet<i64>) {
    let after = held(log).await;
    let stays: Vec<_> = records(before).into_iter().filter(|r| !drops.contains(&r.offset.0)).collect();
    assert_eq!(records(&after), stays);
    for batch in &after {
        let old = before.iter().find(|old| old.header.base_offset == batch.header.base_offset).unwrap();
        assert!(batch.crc_is_valid());
        assert_eq!(place(&batch.header), place(&old.header));
        let lost = old.owned_records().unwrap().iter().filter(|r| drops.contains(&r.offset.0)).count();
        assert!(lost > 0 || batch.bytes() == old.bytes(), "a batch that loses nothing stays as it is");
        if batch.header.record_count > 0 {
            assert_eq!(batch.header.compression(), old.header.compression());
        } else {
            let id = batch.header.producer_id;
            let last = before.iter().rev().find(|b| b.header.producer_id == id).unwrap();
            assert_eq!(last.header.base_offset, batch.header.base_offset, "only a producer's last batch stays empty");
        }
    }
    for time in (0..210).step_by(7) {
        let found = log.offset_for(OffsetSpec::At(Timestamp(T0 + time)), Bound::HighWatermark).await.unwrap();
        let want = stays.iter().find(|r| r.timestamp.0 >= T0 + time).map(|r| (r.offset, r.timestamp));
        assert_eq!(found.map(|f| (f.offset, f.timestamp)), want, "the first record at {time}");
    }
    let largest = log.offset_for(OffsetSpec::MaxTimestamp, Bound::HighWatermark).await.unwrap();
    assert_eq!(largest.map(|f| f.timestamp), stays.iter().map(|r| r.timestamp).max());
    let counted: u64 = log.segments().iter().map(|s| s.records).sum();
    assert_eq!(counted, stays.len() as u64);
}

/// What a killed process leaves.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            match std::fs::copy(entry.path(), to.join(entry.file_name())) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                copied => drop(copied.unwrap()),
            }
        }
    }
}

async fn clean_all(log: &UnifiedLog, judge: &mut dyn Judge) -> Vec<Option<Cleaned>> {
    let mut all = Vec::new();
    for segment in log.cleanable_segments() {
        all.push(log.clean(&segment, judge).await.unwrap());
    }
    all
}

async fn run(sent: Vec<Sent>, rounds: Vec<u64>, restart: bool) {
    let dir = tempfile::tempdir().unwrap();
    let (_storage, log) = open(&dir.path().join("alive")).await;
    let mut next = BTreeMap::new();
    let mut drops = BTreeSet::new();
    for one in &sent {
        send(&log, one, &mut next).await;
    }
    let before = held(&log).await;
    let (end, producers) = (log.end(), log.active_producers());
    is_right(&log, &before, &drops).await;
    for seed in rounds {
        let bound = log.cleanable_segments().last().map_or(0, |s| s.end.0);
        // The judge is shown all that is left; it draws by offset.
        let drawn =
            |o: &i64| (*o as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(seed as u32 % 64).is_multiple_of(3);
        let new: BTreeSet<i64> = (0..bound).filter(|o| seed % 5 == 0 || drawn(o)).collect();
        let old: u64 = log.segments().iter().map(|s| s.bytes).sum();
        clean_all(&log, &mut Stops).await;
        is_right(&log, &before, &drops).await;
        let cleaned = clean_all(&log, &mut Drops(new.clone())).await;
        drops.extend(new);
        is_right(&log, &before, &drops).await;
        let freed: u64 = cleaned.iter().flatten().map(|c| c.bytes_before - c.bytes_after).sum();
        assert_eq!(log.segments().iter().map(|s| s.bytes).sum::<u64>(), old - freed);
        let again = clean_all(&log, &mut Drops(drops.clone())).await;
        assert!(again.iter().flatten().all(|c| !c.rewritten), "nothing is left to drop: {again:?}");
    }
    assert_eq!((log.end(), log.active_producers()), (end, producers.clone()));
    if !restart {
        return;
    }
    copy(&dir.path().join("alive"), &dir.path().join("killed"));
    let (_killed, again) = open(&dir.path().join("killed")).await;
    assert_eq!((again.end(), again.high_watermark()), (end, end));
    is_right(&again, &before, &drops).await;
    // When they were last active is the clock's business.
    let what = |all: Vec<watershed_log::ActiveProducer>| -> Vec<_> {
        all.into_iter().map(|p| (p.id, p.epoch, p.last_sequence)).collect()
    };
    assert_eq!(what(again.active_producers()), what(producers));
    for one in &sent[..sent.len().min(3)] {
        send(&again, one, &mut next).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_stays_is_there_once_and_as_it_was(
        sent in prop::collection::vec(any_sent(), 1..40),
        rounds in prop::collection::vec(any::<u64>(), 1..4),
        restart in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(sent, rounds, restart));
    }
}
