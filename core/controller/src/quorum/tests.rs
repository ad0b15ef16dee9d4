//! Tests of the quorum and its store: reopening, snapshots, purging, locks, other owners, and power cuts.

#![allow(clippy::unwrap_used)]

mod power;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use watershed_metadata::{Change, Endpoint, SecurityProtocol, supported_features};
use watershed_model::{BrokerId, ManualClock, Timestamp};

use super::{NoPeers, OpenError, Store};
use crate::{ControllerError, ControllerHandle, ControllerOptions, CreateTopic, RegisterBroker, TopicRef};

/// Options with counted "random" bytes that differ between calls.
pub(super) fn options(dir: &Path) -> ControllerOptions {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    ControllerOptions {
        dir: dir.to_owned(),
        node: BrokerId(1),
        cluster_id: None,
        voters: BTreeMap::new(),
        config: Default::default(),
        clock: Arc::new(ManualClock::at(Timestamp(1_000))),
        random: Box::new(|| (u128::from(NEXT.fetch_add(1, Ordering::Relaxed)) << 64 | 7).to_be_bytes()),
    }
}

pub(super) fn broker(incarnation: u8) -> RegisterBroker {
    let endpoint = Endpoint {
        name: "PLAINTEXT".to_owned(),
        host: "localhost".to_owned(),
        port: 9092,
        security_protocol: SecurityProtocol::Plaintext,
    };
    RegisterBroker {
        broker: BrokerId(1),
        incarnation: [incarnation; 16],
        listeners: vec![endpoint],
        rack: None,
        features: supported_features(),
    }
}

pub(super) fn topic(name: impl Into<String>, partitions: i32) -> CreateTopic {
    CreateTopic { partitions, ..CreateTopic::with_defaults(name) }
}

async fn create(handle: &ControllerHandle, name: &str) {
    handle.create_topics(vec![topic(name, 3)], false).await.unwrap().remove(0).unwrap();
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let handle = ControllerHandle::open(options(dir.path())).await.unwrap();
    assert_eq!(handle.register_broker(broker(1)).await, Ok(1));
    create(&handle, "a").await;
    create(&handle, "b").await;
    let deleted = handle.delete_topics(vec![TopicRef::Name("a".to_owned())]).await.unwrap();
    assert_eq!(deleted[0].as_ref().unwrap().name, "a");
    let before = handle.image();
    handle.shutdown().await;
    assert_eq!(handle.create_topics(vec![topic("c", 1)], false).await, Err(ControllerError::ShuttingDown));
    drop(handle);

    let handle = ControllerHandle::open(options(dir.path())).await.unwrap();
    assert_eq!(*handle.image(), *before);
    assert_eq!(handle.register_broker(broker(2)).await, Ok(2));
    assert_eq!(handle.register_broker(broker(2)).await, Ok(2), "the same process starts once");
    let image = handle.image();
    let b = image.topic_by_name("b").unwrap();
    assert!(image.partitions(b).all(|(_, partition)| partition.leader_epoch.0 == 1));
    handle.shutdown().await;
}

#[tokio::test]
async fn dropping_the_handle_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4 {
        // Without shutdown the lock goes when the quorum's tasks end, which is soon after.
        let handle = loop {
            match ControllerHandle::open(options(dir.path())).await {
                Ok(handle) => break handle,
                Err(OpenError::InUse { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(handle.image().topic_count(), round);
        handle.register_broker(broker(round as u8)).await.unwrap();
        create(&handle, &format!("t{round}")).await;
    }
}

#[tokio::test]
async fn snapshots_replace_the_log_and_carry_everything() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), BrokerId(1)).unwrap();
    let handle = ControllerHandle::start(store, options(dir.path()), NoPeers, 20).await.unwrap();
    handle.register_broker(broker(1)).await.unwrap();
    for i in 0..100 {
        create(&handle, &format!("topic-{i}")).await;
    }
    handle.shutdown().await;
    let before = handle.image();
    drop(handle);

    let store = Store::open(dir.path(), BrokerId(1)).unwrap();
    let entries = store.entry_count().unwrap();
    assert!(entries < 60, "the log was purged, {entries} entries are left");
    let handle = ControllerHandle::start(store, options(dir.path()), NoPeers, 20).await.unwrap();
    assert_eq!(*handle.image(), *before);
    create(&handle, "one-more").await;
    handle.shutdown().await;
    drop(handle);
    let handle = ControllerHandle::open(options(dir.path())).await.unwrap();
    assert_eq!(handle.image().topic_count(), 101);
    handle.shutdown().await;
}

#[tokio::test]
async fn a_directory_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let handle = ControllerHandle::open(options(dir.path())).await.unwrap();
    let cluster = handle.image().cluster_id().unwrap();
    let error = ControllerHandle::open(options(dir.path())).await.unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("another broker runs on this directory"), "{error}");
    handle.shutdown().await;
    drop(handle);

    let other = ControllerOptions { node: BrokerId(2), ..options(dir.path()) };
    let error = ControllerHandle::open(other).await.unwrap_err();
    assert!(matches!(error, OpenError::OtherNode { found: BrokerId(1), .. }), "{error}");

    let wanted = watershed_model::ClusterId::random(|| [9; 16]);
    let other = ControllerOptions { cluster_id: Some(wanted), ..options(dir.path()) };
    let error = ControllerHandle::open(other).await.unwrap_err();
    assert!(matches!(error, OpenError::OtherCluster { found, .. } if found == cluster), "{error}");

    let same = ControllerOptions { cluster_id: Some(cluster), ..options(dir.path()) };
    let handle = ControllerHandle::open(same).await.unwrap();
    handle.shutdown().await;
}

#[tokio::test]
async fn damage_is_an_error_that_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("quorum.redb"), b"this is not a database, whatever its name says").unwrap();
    let error = ControllerHandle::open(options(dir.path())).await.unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("Restore the file"), "{error}");

    // Bytes of ours that redb finds in order, and we do not.
    let dir = tempfile::tempdir().unwrap();
    let handle = ControllerHandle::open(options(dir.path())).await.unwrap();
    handle.register_broker(broker(1)).await.unwrap();
    handle.shutdown().await;
    let path = dir.path().join("quorum.redb");
    {
        let db = redb::Database::open(&path).unwrap();
        let txn = db.begin_write().unwrap();
        let definition = redb::TableDefinition::<u64, &[u8]>::new("log");
        let bytes = {
            let log = txn.open_table(definition).unwrap();
            let (_, bytes) = redb::ReadableTable::last(&log).unwrap().unwrap();
            bytes.value().iter().map(|byte| byte ^ 1).collect::<Vec<u8>>()
        };
        txn.open_table(definition).unwrap().insert(2, bytes.as_slice()).unwrap();
        txn.commit().unwrap();
    }
    let error = ControllerHandle::open(options(dir.path())).await.unwrap_err();
    assert!(matches!(&error, OpenError::Corrupt { path: found, .. } if *found == path), "{error}");

    // A half-made store of a crashed first start is made again.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("quorum.redb.new"), [0; 5000]).unwrap();
    let handle = ControllerHandle::open(options(dir.path())).await.unwrap();
    handle.shutdown().await;

    // A file where the directory should be.
    let error = ControllerHandle::open(options(&dir.path().join("quorum.redb"))).await.unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
}

#[tokio::test]
async fn followers_see_every_change_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let handle = ControllerHandle::open(options(dir.path())).await.unwrap();
    handle.register_broker(broker(1)).await.unwrap();
    let (mut image, mut changes) = handle.follow();
    let creations: Vec<_> = (0..50)
        .map(|i| {
            let handle = handle.clone();
            tokio::spawn(async move { create(&handle, &format!("t{i}")).await })
        })
        .collect();
    for creation in creations {
        creation.await.unwrap();
    }
    handle.shutdown().await;
    let mut created = 0;
    while let Ok(delta) = changes.try_recv() {
        assert_eq!(delta.image.topic_count(), image.topic_count() + delta.changes.len());
        assert!(delta.changes.iter().all(|change| matches!(change, Change::TopicCreated(_))));
        created += delta.changes.len();
        image = delta.image;
    }
    assert_eq!(created, 50);
    assert_eq!(*image, *handle.image());
}

#[tokio::test]
async fn the_quorum_describes_itself() {
    let dir = tempfile::tempdir().unwrap();
    let handle = ControllerHandle::open(options(dir.path())).await.unwrap();
    handle.register_broker(broker(1)).await.unwrap();
    let quorum = handle.describe_quorum();
    assert_eq!(quorum.leader, Some(BrokerId(1)));
    assert!(quorum.leader_epoch > 0);
    assert_eq!(quorum.voters.len(), 1);
    assert_eq!(quorum.voters[0].log_end_offset, quorum.high_watermark);
    assert_eq!(quorum.voters[0].last_caught_up, Timestamp(1_000));
    assert!(quorum.observers.is_empty());
    handle.shutdown().await;
}
