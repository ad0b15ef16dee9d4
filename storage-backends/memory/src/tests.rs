//! The conformance suite, and what only this backend has: the limit.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use watershed_model::{ManualClock, Offset, Timestamp};
use watershed_storage::conformance::harness::{config, frame, frames, partition};
use watershed_storage::conformance::{self, Subject};
use watershed_storage::framing::BatchFraming;
use watershed_storage::{Blob, LogStorage, PartitionLog, StorageError};

use crate::MemoryStorage;

fn storage(bytes_max: Option<u64>) -> MemoryStorage {
    MemoryStorage::new(Arc::new(ManualClock::at(Timestamp(1_000))), bytes_max)
}

async fn open(storage: &MemoryStorage, n: i32) -> Arc<dyn PartitionLog> {
    let opened = storage.open(partition(n), config(), Arc::new(BatchFraming));
    opened.await.unwrap().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    conformance::run(|| async { Subject::new(storage(None)) }).await;
}

#[tokio::test]
async fn the_limit_refuses_and_deleting_makes_room() {
    let storage = storage(Some(10_000));
    let log = open(&storage, 0).await;
    let other = open(&storage, 1).await;
    let mut health = storage.health();
    log.append(vec![frame(0, 1, 0, 0, 9_000)]).unwrap();
    log.roll(vec![]).unwrap();
    assert!(!health.borrow_and_update().places[0].full);

    // The limit is the backend's, not the partition's; a refused append leaves nothing.
    let refused = other.append(vec![frame(0, 1, 0, 0, 100), frame(1, 1, 0, 0, 2_000)]);
    assert!(matches!(refused, Err(StorageError::Full { .. })), "{refused:?}");
    assert_eq!(other.ends().end, Offset(0));
    assert!(health.has_changed().unwrap() && health.borrow_and_update().places[0].full);
    // What is small enough still fits, and reads and rolls go on.
    other.append(vec![frame(0, 1, 0, 0, 100)]).unwrap();
    let blob = Blob { kind: 1, at: Offset(1), bytes: vec![0; 5_000].into() };
    other.roll(vec![blob]).unwrap();

    log.advance_start(Offset(1)).await.unwrap();
    assert!(!health.borrow_and_update().places[0].full);
    other.append(vec![frame(1, 1, 0, 0, 2_000)]).unwrap();
}

#[tokio::test]
async fn every_byte_comes_back() {
    let storage = storage(None);
    for n in 0..3 {
        let log = open(&storage, n).await;
        log.append(frames(0, 100)).unwrap();
        log.roll(vec![]).unwrap();
        log.append(frames(100, 150)).unwrap();
        assert!(storage.budget.used() > 0);
        match n {
            0 => log.truncate(Offset(0)).await.unwrap(),
            1 => log.advance_start(Offset(150)).await.unwrap(),
            _ => {
                // A handle that was closed and replaced, then destroyed.
                log.close().await.unwrap();
                let again = open(&storage, n).await;
                again.append(frames(150, 160)).unwrap();
                storage.destroy(partition(n)).await.unwrap();
                storage.destroy(partition(n)).await.unwrap();
            }
        }
        assert_eq!(storage.budget.used(), 0, "partition {n}");
    }
}

#[tokio::test]
async fn a_kept_record_does_not_keep_the_request_it_came_in() {
    let storage = storage(None);
    let log = open(&storage, 0).await;
    let request = bytes::Bytes::from(vec![7u8; 1 << 20]);
    let mut one = frame(0, 1, 0, 0, 10);
    one.body = request.slice(500..510);
    log.append(vec![one]).unwrap();
    assert!(request.is_unique());
}
