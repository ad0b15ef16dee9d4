//! The disk fills up, fails, stalls.

use std::io::ErrorKind;
use std::time::Duration;

use watershed_model::record::ProducerSequence;
use watershed_protocol::ErrorCode;
use watershed_storage_disk::fs::recording::Call;

use super::world::{PARTITIONS, UNSYNCED_BYTES, World, at_once, put};
use crate::requests::{ALL, PRODUCE, placed, produce, sized};
use crate::stage::{Client, TOPIC, guarded};

fn code(error: ErrorCode) -> i16 {
    error.into()
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_retriable_and_service_resumes_without_a_restart() {
    let world = World::start().await;
    let mut client = world.client().await;
    assert_eq!(put(&mut client, TOPIC, 0).await, Ok(0));
    // Part of a batch still fits: it must leave no trace.
    for room in [30, 0] {
        world.fs.set_room(Some(room));
        for partition in 0..PARTITIONS {
            let refused = put(&mut client, TOPIC, partition).await;
            assert_eq!(
                refused,
                Err(code(ErrorCode::NotEnoughReplicas)),
                "partition {partition}: every client retries that"
            );
        }
        assert_eq!(at_once(&mut client, TOPIC, 0, 0).await, Ok(vec![0]), "what is there can be read");
        world.others_go_on().await;
        assert!(world.broker.is_healthy(), "full is not broken");
    }
    world.fs.set_room(None);
    let resumed = async {
        loop {
            match put(&mut client, TOPIC, 0).await {
                Ok(offset) => return offset,
                Err(refused) => assert_eq!(refused, code(ErrorCode::NotEnoughReplicas)),
            }
            pause().await;
        }
    };
    assert_eq!(guarded(resumed).await, 1, "nothing of what was refused was kept");
    assert_eq!(at_once(&mut client, TOPIC, 0, 0).await, Ok(vec![0, 1]));
}

/// No acknowledgement for what was not made durable, no service from a directory that cannot be trusted any more, and a
/// reason for the operator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_fsync_takes_the_directory_out_of_service_and_nothing_else() {
    for error in [ErrorKind::Other, ErrorKind::StorageFull] {
        let world = World::start().await;
        let mut client = world.client().await;
        assert_eq!(put(&mut client, TOPIC, 0).await, Ok(0));
        world.fs.fail(Call::Sync, ".log", error, 1);
        assert_eq!(put(&mut client, TOPIC, 0).await, Err(code(ErrorCode::KafkaStorageError)));
        // The device works again; its pages may be gone all the same.
        for partition in 0..PARTITIONS {
            assert_eq!(put(&mut client, TOPIC, partition).await, Err(code(ErrorCode::KafkaStorageError)));
        }
        assert_eq!(at_once(&mut client, TOPIC, 0, 0).await, Err(code(ErrorCode::KafkaStorageError)));
        world.others_go_on().await;
        assert!(!world.broker.is_healthy());
        let reason = guarded(world.broker.failed()).await;
        assert!(reason.contains("syncing /data/topics/") && reason.contains("failed"), "{reason}");
    }
}

/// Sends batches until no more of them are appended: each waits for the disk, in memory or on its connection.
async fn fill(world: &World) -> Vec<(Client, Vec<crate::stage::Sent>)> {
    let mut clients = Vec::new();
    for n in 0..8 {
        let mut client = world.client().await;
        let mut sent = Vec::new();
        for _ in 0..4 {
            let large =
                produce(TOPIC, n % PARTITIONS, ALL, sized(1, UNSYNCED_BYTES as usize / 4, ProducerSequence::NONE));
            sent.push(client.send(&large, PRODUCE).await);
        }
        clients.push((client, sent));
    }
    clients
}

/// Every batch is acknowledged once the disk is back, at offsets without gap or repetition.
async fn all_are_acknowledged(clients: Vec<(Client, Vec<crate::stage::Sent>)>, before: i64) {
    let mut offsets = vec![Vec::new(); PARTITIONS as usize];
    for (n, (mut client, sent)) in clients.into_iter().enumerate() {
        for one in sent {
            let response = client.receive(one).await;
            assert_eq!(placed(&response).error_code, 0);
            offsets[n % PARTITIONS as usize].push(placed(&response).base_offset);
        }
    }
    for mut offsets in offsets {
        offsets.sort_unstable();
        assert_eq!(offsets, (before..before + 8).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_stalls_with_the_budget_full_starves_nobody() {
    let world = World::start().await;
    let mut reader = world.client().await;
    for partition in 0..PARTITIONS {
        assert_eq!(put(&mut reader, TOPIC, partition).await, Ok(0));
    }
    world.fs.stall(Call::Sync);
    let clients = fill(&world).await;
    guarded(async {
        while world.fs.waiting(Call::Sync) == 0 {
            pause().await;
        }
    })
    .await;
    for _ in 0..3 {
        world.others_go_on().await;
        for partition in 0..PARTITIONS {
            let read = at_once(&mut reader, TOPIC, partition, 0).await;
            assert_eq!(read, Ok(vec![0]), "what was acknowledged can be read, and nothing else");
        }
        pause().await;
    }
    world.fs.go_on();
    all_are_acknowledged(clients, 1).await;
}

/// A device so stuck that even writes to the page cache wait: those who write wait, not the threads that serve the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_blocks_writers_starves_nobody() {
    let world = World::start().await;
    let mut reader = world.client().await;
    for partition in 0..PARTITIONS {
        assert_eq!(put(&mut reader, TOPIC, partition).await, Ok(0));
    }
    world.fs.stall(Call::Sync);
    // More than half of what may wait for the disk: from here on it counts as behind.
    let mut first = world.client().await;
    let large = produce(TOPIC, 0, ALL, sized(1, UNSYNCED_BYTES as usize * 5 / 8, ProducerSequence::NONE));
    let waiting = first.send(&large, PRODUCE).await;
    guarded(async {
        while world.fs.waiting(Call::Sync) == 0 {
            pause().await;
        }
    })
    .await;
    world.fs.stall(Call::Write);
    let mut writers = Vec::new();
    for partition in 0..PARTITIONS {
        let mut writer = world.client().await;
        let sent = writer.send(&produce(TOPIC, partition, ALL, crate::requests::batch(1)), PRODUCE).await;
        writers.push((writer, sent, i64::from(partition == 0) + 1));
    }
    guarded(async {
        while world.fs.waiting(Call::Write) < PARTITIONS as usize {
            pause().await;
        }
    })
    .await;
    for _ in 0..3 {
        world.others_go_on().await;
        assert_eq!(at_once(&mut reader, TOPIC, 1, 0).await, Ok(vec![0]));
    }
    world.fs.go_on();
    assert_eq!(placed(&first.receive(waiting).await).base_offset, 1);
    for (mut writer, sent, offset) in writers {
        assert_eq!(placed(&writer.receive(sent).await).base_offset, offset);
    }
}
