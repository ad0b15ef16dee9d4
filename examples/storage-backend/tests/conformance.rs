//! The whole conformance suite, and what a crash leaves behind.
#![allow(clippy::unwrap_used)]

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use watershed_example_storage::FileStorage;
use watershed_model::{ManualClock, Offset, Timestamp};
use watershed_storage::conformance::harness::{config, frames, partition, wire};
use watershed_storage::conformance::{self, Subject};
use watershed_storage::framing::BatchFraming;
use watershed_storage::{LogStorage, PartitionLog, RecoveryReport, StorageError};

fn storage(dir: &Path) -> Result<FileStorage, StorageError> {
    FileStorage::open(dir, Arc::new(ManualClock::at(Timestamp(1_000))))
}

fn subject() -> Subject {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let first = storage(&path).unwrap();
    let restart = move || {
        let path = path.clone();
        let again = async move { Ok(Arc::new(storage(&path)?) as Arc<dyn LogStorage>) };
        Box::pin(again) as watershed_storage::Fut<'static, _>
    };
    Subject::restartable(first, restart).keep(dir)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    conformance::run(|| async { subject() }).await;
}

async fn open(storage: &FileStorage) -> Result<(Arc<dyn PartitionLog>, RecoveryReport), StorageError> {
    storage.open(partition(0), config(), Arc::new(BatchFraming)).await
}

/// Appends to the newest (or oldest) segment file of the one partition in `dir`.
fn scribble(dir: &Path, newest: bool, bytes: &[u8]) {
    let partition = dir.join(partition(0).to_string());
    let files = std::fs::read_dir(partition).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
    segments.sort();
    let path = if newest { segments.last() } else { segments.first() };
    OpenOptions::new().append(true).open(path.unwrap()).unwrap().write_all(bytes).unwrap();
}

#[tokio::test]
async fn a_torn_tail_is_cut_at_every_byte() {
    let next = wire(&frames(10, 11));
    for torn in 1..next.len() {
        let dir = tempfile::tempdir().unwrap();
        let first = storage(dir.path()).unwrap();
        let (log, _) = open(&first).await.unwrap();
        let all = frames(0, 10);
        log.append(all.clone()).unwrap().await.unwrap();
        drop((log, first));
        scribble(dir.path(), true, &next[..torn]);

        let second = storage(dir.path()).unwrap();
        let (log, report) = open(&second).await.unwrap();
        assert_eq!(report.damage.len(), 1, "torn at {torn}");
        assert_eq!(report.damage[0].bytes, torn as u64);
        assert_eq!(log.ends().end, Offset(10));
        log.append(frames(10, 12)).unwrap().await.unwrap();
        let held = log.load(Offset(0), Offset(12), u32::MAX, false).await.unwrap();
        assert_eq!(held, wire(&frames(0, 12)), "torn at {torn}");
    }
}

#[tokio::test]
async fn damage_in_a_sealed_segment_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = storage(dir.path()).unwrap();
    let (log, _) = open(&first).await.unwrap();
    log.append(frames(0, 10)).unwrap();
    log.roll(vec![]).unwrap();
    drop((log, first));
    scribble(dir.path(), false, b"rubbish");
    let again = open(&storage(dir.path()).unwrap()).await.err();
    assert!(matches!(again, Some(StorageError::Corrupt { .. })), "{again:?}");
}

#[tokio::test]
async fn a_directory_has_one_user() {
    let dir = tempfile::tempdir().unwrap();
    let first = storage(dir.path()).unwrap();
    let second = storage(dir.path()).err();
    assert!(matches!(second, Some(StorageError::Invalid(_))), "{second:?}");
    drop(first);
    storage(dir.path()).unwrap();
}
