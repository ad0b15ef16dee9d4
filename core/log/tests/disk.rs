//! The log on the disk backend: what was acknowledged is there after the process is gone, with its producers and epochs.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use watershed_log::{
    Appended, Bound, LogConfig, LogContext, LogError, OffsetSpec, Opened, Origin, UnifiedLog, validate,
};
use watershed_model::record::{BatchBuilder, NewRecord, ProducerSequence};
use watershed_model::{
    LeaderEpoch, Offset, ProducerEpoch, ProducerId, SystemClock, Timestamp, TopicId, TopicIdPartition,
};
use watershed_storage::LogStorage;
use watershed_storage_disk::{DiskConfig, DiskStorage};

const TP: TopicIdPartition = TopicIdPartition { topic: TopicId([7; 16]), partition: 3 };
const T0: i64 = 1_700_000_000_000;

fn config() -> LogConfig {
    LogConfig { segment_bytes: 20_000, retention_ms: None, ..LogConfig::default() }
}

async fn open(dir: &Path) -> (Arc<DiskStorage>, Opened) {
    let clock = Arc::new(SystemClock::new());
    let storage = DiskStorage::open(DiskConfig::new(dir, clock.clone())).unwrap();
    let context = LogContext { clock };
    let opened = UnifiedLog::open(&*storage, TP, config(), context).await.unwrap();
    (storage, opened)
}

/// The `n`th batch of a producer: ten records, a second apart from the batch before.
fn send(log: &Arc<UnifiedLog>, n: i32) -> Result<Appended, LogError> {
    let producer = ProducerSequence { id: ProducerId(1), epoch: ProducerEpoch(0), base_sequence: n * 10 };
    let mut builder = BatchBuilder::new().producer(producer);
    for i in 0..10 {
        let value = [n as u8; 100];
        builder
            .push(Timestamp(T0 + i64::from(n) * 1000 + i), NewRecord { key: None, value: Some(&value), headers: &[] });
    }
    let batch =
        validate(builder.build().unwrap(), &log.config(), Origin::Client { produce_version: 12 }, Timestamp(T0))?;
    log.append_as_leader(batch, LeaderEpoch(n / 50))
}

/// What a killed process leaves: the files as they are at this moment. A checkpoint may be on its way: its file that is not
/// named yet may be gone again before it is copied.
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_batches_survive_a_kill_with_their_producer() {
    let dir = tempfile::tempdir().unwrap();
    let (alive, killed) = (dir.path().join("alive"), dir.path().join("killed"));
    let (storage, opened) = open(&alive).await;
    let log = opened.log;
    let mut tickets = Vec::new();
    for n in 0..100 {
        tickets.push(send(&log, n).unwrap().ticket);
    }
    for ticket in tickets {
        ticket.await.unwrap();
    }
    assert_eq!(log.high_watermark(), Offset(1000));
    assert!(log.segments().len() > 3);
    copy(&alive, &killed);

    let (_storage, opened) = open(&killed).await;
    assert!(opened.report.damage.is_empty(), "{:?}", opened.report);
    let again = opened.log;
    assert_eq!((again.start(), again.end(), again.high_watermark()), (Offset(0), Offset(1000), Offset(1000)));
    assert_eq!(again.epochs(), log.epochs());
    let (mut was, mut is) = (log.active_producers(), again.active_producers());
    assert_eq!((was.remove(0), was.len()), (is.remove(0), is.len()));
    for n in 95..100 {
        let duplicate = send(&again, n).unwrap();
        assert_eq!((duplicate.duplicate, duplicate.base_offset), (true, Offset(i64::from(n) * 10)));
        duplicate.ticket.await.unwrap();
    }
    assert!(matches!(send(&again, 101), Err(LogError::OutOfOrderSequence { .. })));
    let next = send(&again, 100).unwrap();
    assert_eq!(next.base_offset, Offset(1000));
    next.ticket.await.unwrap();

    // Time and deletion work on files as they do in memory.
    let at = |t| OffsetSpec::At(Timestamp(T0 + t));
    let found = again.offset_for(at(42_005), Bound::HighWatermark).await.unwrap().unwrap();
    assert_eq!((found.offset, found.leader_epoch), (Offset(425), Some(LeaderEpoch(0))));
    let found = again.offset_for(OffsetSpec::MaxTimestamp, Bound::HighWatermark).await.unwrap().unwrap();
    assert_eq!((found.offset, found.timestamp), (Offset(1009), Timestamp(T0 + 100_009)));
    again.configure(LogConfig { retention_ms: Some(0), ..config() });
    let outcome = again.apply_retention(Timestamp(T0 + 50_000)).await.unwrap();
    assert!(!outcome.deleted.is_empty());
    assert_eq!(again.start(), outcome.deleted.last().unwrap().0.end);
    again.delete_records_before(Some(Offset(777))).await.unwrap();
    assert_eq!(again.offset_for(at(0), Bound::HighWatermark).await.unwrap().unwrap().offset, Offset(777));
    assert_eq!(again.end_offset_for_epoch(LeaderEpoch(1)), Some((LeaderEpoch(1), Offset(1000))));

    log.close().await.unwrap();
    storage.close().await.unwrap();
    drop((log, storage));
    let (_storage, opened) = open(&alive).await;
    assert!(opened.report.clean);
    assert_eq!((opened.replayed_batches, opened.log.end()), (0, Offset(1000)));
}
