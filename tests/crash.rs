//! `kill -9` at random moments: every acknowledged record is there, exactly once and in order.
//!
//! Several idempotent producers write numbered records to several partitions while the broker is killed and started again.
//! They retry through it all. At the end each partition must hold, for each producer, the numbers 0, 1, 2, … without gap,
//! repetition or disorder, up to at least the last one acknowledged. A failure prints the seed; `WATERSHED_CRASH_SEED`
//! repeats its moments (not the scheduling of threads), `WATERSHED_CRASH_ROUNDS` asks for more rounds.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::{Broker, PATIENCE};
use watershed_client::{
    Admin, Client, ClientConfig, ConnectionOptions, Consumer, ConsumerConfig, Delivery, IsolationLevel, NewTopic,
    OffsetSpec, Producer, ProducerConfig, ProducerRecord,
};
use watershed_model::record::{Compression, NewRecord};
use watershed_model::{Clock, Offset, SystemClock};

const TOPIC: &str = "crash";
const PARTITIONS: i32 = 3;
const PRODUCERS: u64 = 4;
const ROUNDS: u64 = 8;

/// How many records of one producer may wait for their acknowledgement.
const UNACKED_MAX: usize = 500;

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

async fn client(port: u16) -> Client {
    let config = ClientConfig {
        bootstrap: vec![format!("127.0.0.1:{port}")],
        connection: ConnectionOptions { request_timeout: Duration::from_secs(20), ..ConnectionOptions::default() },
        retry_backoff: Duration::from_millis(20),
        retry_backoff_max: Duration::from_millis(200),
        operation_timeout: PATIENCE,
        bootstrap_timeout: PATIENCE,
        ..ClientConfig::default()
    };
    Client::connect(config).await.unwrap()
}

/// Produces until told to stop; how many records of each partition were acknowledged, in the order of their numbers.
async fn produce(id: u64, port: u16, stop: Arc<AtomicBool>, acked: Arc<AtomicU64>) -> Vec<u64> {
    let config = ProducerConfig {
        batch_bytes: 2048,
        linger: Duration::from_millis(1),
        compression: if id.is_multiple_of(2) { Compression::None } else { Compression::Zstd },
        delivery_timeout: PATIENCE * 2,
        ..ProducerConfig::default()
    };
    let producer = Producer::new(client(port).await, config, Arc::new(SystemClock::new())).unwrap();
    let mut next = vec![0u64; PARTITIONS as usize];
    let mut waiting = std::collections::VecDeque::<Delivery>::new();
    let settle = async |delivery: Delivery| {
        delivery.wait().await.unwrap_or_else(|e| panic!("producer {id}: a record was not delivered: {e}"));
        acked.fetch_add(1, Ordering::Relaxed);
    };
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        let partition = turn % PARTITIONS;
        turn += 1;
        let number = &mut next[partition as usize];
        let value = format!("{id} {number}");
        *number += 1;
        let record = NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() };
        let record = ProducerRecord { topic: TOPIC, partition, timestamp: None, record };
        waiting.push_back(producer.send(record).await.unwrap());
        if waiting.len() >= UNACKED_MAX {
            settle(waiting.pop_front().unwrap()).await;
        }
    }
    for delivery in waiting {
        settle(delivery).await;
    }
    producer.close().await;
    next
}

/// Everything in the topic: partition and producer to numbers in the order of the log.
async fn read_all(port: u16) -> BTreeMap<(i32, u64), Vec<u64>> {
    let client = client(port).await;
    let ask: Vec<_> = (0..PARTITIONS).map(|p| (TOPIC.to_owned(), p, OffsetSpec::Latest)).collect();
    let ends = Admin::new(client.clone()).list_offsets(&ask, IsolationLevel::ReadUncommitted).await.unwrap();
    let mut consumer = Consumer::new(client, ConsumerConfig::default());
    let mut open: BTreeMap<i32, Offset> = BTreeMap::new();
    for end in ends {
        open.insert(end.partition, end.offset.unwrap());
        consumer.assign(TOPIC, end.partition, Offset::ZERO).await.unwrap();
    }
    let mut found: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    while !open.is_empty() {
        let fetched = consumer.poll().await.unwrap();
        for record in fetched.records().unwrap() {
            let text = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            let (producer, number) = text.split_once(' ').unwrap();
            let key = (fetched.partition, producer.parse().unwrap());
            found.entry(key).or_default().push(number.parse().unwrap());
        }
        if open.get(&fetched.partition).is_some_and(|end| fetched.next_offset() >= *end) {
            open.remove(&fetched.partition);
            consumer.unassign(TOPIC, fetched.partition);
            if open.is_empty() {
                break;
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_records_survive_kill_9_exactly_once_and_in_order() {
    let seed = from_env("WATERSHED_CRASH_SEED").unwrap_or_else(|| SystemClock::new().now().0.unsigned_abs());
    let rounds = from_env("WATERSHED_CRASH_ROUNDS").unwrap_or(ROUNDS);
    println!("WATERSHED_CRASH_SEED={seed} WATERSHED_CRASH_ROUNDS={rounds}");
    let mut random = seed;
    let dir = tempfile::tempdir().unwrap();
    // Small segments, so that rolling happens as well; the broker's own default is what is promised to users.
    let set = ["\"log.segment.bytes\" = 1048576"];
    let mut broker = Broker::start(dir.path(), 0, &set);
    let port = broker.port();
    let topic = NewTopic { name: TOPIC.into(), partitions: Some(PARTITIONS), ..NewTopic::default() };
    Admin::new(client(port).await).create_topic(&topic, false).await.unwrap();

    let (stop, acked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let producers: Vec<_> =
        (0..PRODUCERS).map(|id| tokio::spawn(produce(id, port, Arc::clone(&stop), Arc::clone(&acked)))).collect();
    for round in 0..rounds {
        let before = acked.load(Ordering::Relaxed);
        // Every round has work in it, however slow the machine.
        while acked.load(Ordering::Relaxed) < before + 200 {
            assert!(!producers.iter().any(tokio::task::JoinHandle::is_finished), "a producer gave up; seed {seed}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_micros(splitmix(&mut random) % 400_000)).await;
        let data = dir.path().to_owned();
        println!("round {round}: kill after {} acknowledged", acked.load(Ordering::Relaxed));
        broker = tokio::task::spawn_blocking(move || {
            broker.kill();
            Broker::start(&data, port, &set)
        })
        .await
        .unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let mut sent = Vec::new();
    for producer in producers {
        sent.push(producer.await.unwrap_or_else(|e| panic!("{e}; seed {seed}")));
    }
    // One more death, after which nothing may be missing either.
    broker.kill();
    let broker = Broker::start(dir.path(), port, &set);
    let found = read_all(port).await;
    for (id, numbers) in (0u64..).zip(sent) {
        for (partition, count) in (0..).zip(numbers) {
            let got = found.get(&(partition, id)).cloned().unwrap_or_default();
            let expect: Vec<_> = (0..count).collect();
            let wrong = got.iter().zip(&expect).position(|(a, b)| a != b);
            assert!(
                got == expect,
                "producer {id}, partition {partition}: {} records for {count} acknowledged, first wrong at {wrong:?}; seed {seed}",
                got.len()
            );
        }
    }
    println!("{} records, all there once and in order", acked.load(Ordering::Relaxed));
    drop(broker);
}
