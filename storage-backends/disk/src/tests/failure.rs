//! Full disks and failing devices.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use watershed_model::Offset;
use watershed_storage::conformance::harness::{config as segment_config, frame, partition};
use watershed_storage::framing::BatchFraming;
use watershed_storage::{FlushMode, LogStorage, PartitionLog, SegmentConfig, StorageError};

use super::config;
use crate::fs::recording::{Call, RecordingFs};
use crate::fs::{Fs, RealFs};
use crate::{DiskConfig, DiskStorage, OpenError};

fn open(fs: &RecordingFs) -> DiskStorage {
    DiskStorage::open_on(config(Path::new("/data")), Arc::new(fs.clone()), 8).unwrap()
}

async fn open_log(storage: &DiskStorage, n: i32) -> Arc<dyn PartitionLog> {
    storage.open(partition(n), segment_config(), Arc::new(BatchFraming)).await.unwrap().0
}

/// Appends one frame at the end and waits.
async fn append(log: &dyn PartitionLog) -> Result<(), StorageError> {
    let next = log.ends().end.0;
    log.append(vec![frame(next, 1, 0, 0, 200)])?.await.map(drop)
}

async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..400 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn a_full_disk_refuses_whole_appends_and_comes_back_by_itself() {
    for room in [0, 1, 60, 100, 260, 300] {
        let fs = RecordingFs::new();
        let storage = open(&fs);
        let log = open_log(&storage, 0).await;
        append(&*log).await.unwrap();
        let (ends, bytes) = (log.ends(), log.bytes());
        tokio::time::sleep(Duration::from_millis(20)).await;
        fs.set_room(Some(room));
        let frames = vec![frame(1, 1, 0, 0, 200), frame(2, 1, 0, 0, 200)];
        let refused = log.append(frames.clone());
        assert!(matches!(refused, Err(StorageError::Full { .. })), "{room}: {refused:?}");
        assert_eq!((log.ends(), log.bytes()), (ends, bytes), "nothing of the frames remains");
        let health = storage.health().borrow().places[0].clone();
        assert!(health.full && health.offline.is_none(), "{health:?}");
        assert!(matches!(append(&*log).await, Err(StorageError::Full { .. })));
        log.load(Offset(0), Offset(1), 9999, true).await.unwrap();
        fs.set_room(None);
        eventually("appends resume", async || log.append(frames.clone()).is_ok()).await;
        eventually("it is healthy", async || !storage.health().borrow().places[0].full).await;
        log.checkpoint(vec![]).unwrap().await.unwrap();
        assert_eq!(log.ends().synced, Offset(3));
        drop((log, storage));
        let storage = open(&fs.crash(0));
        let log = open_log(&storage, 0).await;
        assert_eq!(log.ends().end, Offset(3));
    }
}

#[tokio::test]
async fn the_ballast_is_given_up_for_others_and_taken_back() {
    let fs = RecordingFs::new();
    let with = DiskConfig { ballast_bytes: 1 << 16, ..config(Path::new("/data")) };
    let storage = DiskStorage::open_on(with, Arc::new(fs.clone()), 8).unwrap();
    let has = || fs.open(Path::new("/data/ballast"), crate::fs::OpenMode::Read).is_ok();
    assert!(has());
    let log = open_log(&storage, 0).await;
    append(&*log).await.unwrap();
    fs.set_room(Some(0));
    assert!(append(&*log).await.is_err());
    eventually("the ballast goes", async || !has()).await;
    // What the ballast freed is not for us.
    fs.set_room(Some(1 << 16));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(matches!(append(&*log).await, Err(StorageError::Full { .. })));
    fs.set_room(Some(1 << 30));
    eventually("appends resume", async || append(&*log).await.is_ok()).await;
    assert!(has());
}

#[tokio::test]
async fn a_failed_sync_takes_the_directory_offline_for_good() {
    for error in [ErrorKind::Other, ErrorKind::StorageFull] {
        for (call, path) in [(Call::Sync, ".log"), (Call::SyncDir, "topics")] {
            let fs = RecordingFs::new();
            let storage = open(&fs);
            let (log, other) = (open_log(&storage, 0).await, open_log(&storage, 1).await);
            append(&*other).await.unwrap();
            fs.fail(call, path, error, 1);
            let failed = append(&*log).await;
            assert!(matches!(failed, Err(StorageError::Offline { .. })), "{call:?}: {failed:?}");
            // The device works again, and it makes no difference.
            for log in [&log, &other] {
                assert!(matches!(append(&**log).await, Err(StorageError::Offline { .. })));
                assert!(matches!(log.roll(vec![]), Err(StorageError::Offline { .. })));
                let read = log.read(Offset(0), Offset(1), 100, true).wait().await;
                assert!(matches!(read, Err(StorageError::Offline { .. })));
                assert!(log.truncate(Offset(0)).await.is_err());
            }
            let health = storage.health().borrow().places[0].clone();
            assert!(health.offline.is_some(), "{health:?}");
            assert!(storage.room().is_none());
            assert!(storage.close().await.is_err(), "no clean mark is left");
            drop((log, other, storage));
            let storage = open(&fs.kill());
            let (_, report) = storage.open(partition(1), segment_config(), Arc::new(BatchFraming)).await.unwrap();
            assert!(!report.clean);
        }
    }
}

#[tokio::test]
async fn a_failed_write_leaves_nothing_and_a_failed_cut_goes_offline() {
    let fs = RecordingFs::new();
    let storage = open(&fs);
    let log = open_log(&storage, 0).await;
    append(&*log).await.unwrap();
    fs.fail(Call::Write, ".log", ErrorKind::Other, 1);
    assert!(matches!(append(&*log).await, Err(StorageError::Io { .. })));
    append(&*log).await.unwrap();
    assert_eq!(log.ends().synced, Offset(2));
    fs.fail(Call::Write, ".log", ErrorKind::Other, 1);
    fs.fail(Call::SetLen, ".log", ErrorKind::Other, 1);
    assert!(matches!(append(&*log).await, Err(StorageError::Offline { .. })));
}

#[tokio::test]
async fn a_checkpoint_without_room_fails_and_the_log_goes_on() {
    let fs = RecordingFs::new();
    let storage = open(&fs);
    let log = open_log(&storage, 0).await;
    append(&*log).await.unwrap();
    fs.fail(Call::Write, ".state", ErrorKind::StorageFull, 1);
    let failed = log.checkpoint(vec![]).unwrap().await;
    assert!(matches!(failed, Err(StorageError::Full { .. })), "{failed:?}");
    eventually("appends resume", async || append(&*log).await.is_ok()).await;
    log.checkpoint(vec![]).unwrap().await.unwrap();
}

#[tokio::test]
async fn unsynced_bytes_are_bounded_by_room() {
    let fs = RecordingFs::new();
    let small = DiskConfig {
        unsynced_bytes_max: 10_000,
        relaxed_sync_interval: Duration::from_secs(3600),
        ..config(Path::new("/data"))
    };
    let storage = DiskStorage::open_on(small, Arc::new(fs), 8).unwrap();
    let relaxed = SegmentConfig { flush: FlushMode::Relaxed, ..segment_config() };
    let (log, _) = storage.open(partition(0), relaxed, Arc::new(BatchFraming)).await.unwrap();
    for n in 0..200 {
        if let Some(room) = storage.room() {
            tokio::time::timeout(Duration::from_secs(10), room).await.unwrap().unwrap();
        }
        let ticket = log.append(vec![frame(n, 1, 0, 0, 1_000)]).unwrap();
        assert!(ticket.is_ripe());
    }
    assert_eq!(log.ends().promised, Offset(200));
    assert!(log.ends().synced > Offset(150), "{:?}", log.ends());
}

#[test]
fn one_process_at_a_time_has_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let open = || DiskStorage::open_on(config(dir.path()), Arc::new(RealFs), 8);
    let first = open().unwrap();
    let second = open().unwrap_err();
    let me = format!("process {}", std::process::id());
    assert!(matches!(&second, OpenError::Locked { holder, .. } if *holder == me), "{second}");
    let checked = crate::verify(dir.path(), &BatchFraming, &mut |_| {});
    assert!(matches!(&checked, Err(OpenError::Locked { .. })), "{checked:?}");
    drop(first);
    assert!(crate::verify(dir.path(), &BatchFraming, &mut |_| {}).unwrap().findings.is_empty());
    drop(open().unwrap());
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let refused = DiskStorage::open_on(config(&file.join("data")), Arc::new(RealFs), 8).unwrap_err();
    assert!(refused.to_string().contains("file/data"), "{refused}");
}

#[tokio::test]
async fn deleted_files_go_after_their_delay_and_leftovers_at_the_start() {
    let fs = RecordingFs::new();
    let storage = open(&fs);
    let config = SegmentConfig { delete_delay: Duration::from_secs(3600), ..segment_config() };
    let (log, _) = storage.open(partition(0), config, Arc::new(BatchFraming)).await.unwrap();
    for n in 0..3 {
        append(&*log).await.unwrap();
        log.roll(vec![]).unwrap().await.unwrap();
        assert_eq!(log.ends().end, Offset(n + 1));
    }
    log.advance_start(Offset(2)).await.unwrap();
    let topics = Path::new("/data/topics");
    let count = |fs: &RecordingFs, dir: &Path| {
        let all = fs.read_dir(dir).unwrap();
        all.iter().filter(|e| e.name.ends_with(".deleted")).count()
    };
    let own = topics.join(partition(0).to_string());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(count(&fs, &own), 4, "two segments and their indexes wait");
    let (other, _) = storage.open(partition(1), config, Arc::new(BatchFraming)).await.unwrap();
    append(&*other).await.unwrap();
    storage.destroy(partition(1)).await.unwrap();
    assert_eq!(count(&fs, topics), 1);
    drop((log, other, storage));
    let storage = open(&fs);
    let log = open_log(&storage, 0).await;
    assert_eq!(log.ends().start, Offset(2));
    eventually("leftovers go", async || count(&fs, topics) + count(&fs, &own) == 0).await;
}
