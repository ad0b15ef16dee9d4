//! `kill -9` at random moments: every acknowledged record is there, exactly once and in order.
//!
//! Several idempotent producers write numbered records to several partitions while the broker is killed and started again.
//! They retry through it all. At the end each partition must hold, for each producer, the numbers 0, 1, 2, … without gap,
//! repetition or disorder, up to at least the last one acknowledged. A failure prints the seed; `WATERSHED_CRASH_SEED`
//! repeats its moments (not the scheduling of threads), `WATERSHED_CRASH_ROUNDS` asks for more rounds. The same for a topic whose
//! records the broker takes to their partitions: there each must be in the partition of its key.

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

/// A topic, and whether its records are taken to the partitions of their keys.
#[derive(Clone, Copy)]
struct Kind {
    topic: &'static str,
    routed: bool,
}

const PLAIN: Kind = Kind { topic: "crash", routed: false };
const ROUTED: Kind = Kind { topic: "routed", routed: true };
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
async fn produce(kind: Kind, id: u64, port: u16, stop: Arc<AtomicBool>, acked: Arc<AtomicU64>) -> Vec<u64> {
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
        let (key, value) = (format!("k{}", *number % 50), format!("{id} {partition} {number}"));
        *number += 1;
        let record = NewRecord { key: Some(key.as_bytes()), value: Some(value.as_bytes()), ..NewRecord::default() };
        let record = ProducerRecord { topic: kind.topic, partition, timestamp: None, record };
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

/// A record as it was found.
struct Found {
    partition: i32,
    key: Vec<u8>,
    producer: u64,
    /// The partition that its producer chose.
    chosen: i32,
    number: u64,
}

/// Everything in the topic, each partition in its order; `count` are to be there, and perhaps more.
async fn read_all(port: u16, kind: Kind, count: usize) -> Vec<Found> {
    let client = client(port).await;
    let ask: Vec<_> = (0..PARTITIONS).map(|p| (kind.topic.to_owned(), p, OffsetSpec::Latest)).collect();
    let admin = Admin::new(client.clone());
    let config = ConsumerConfig { wait_max: Duration::from_millis(200), ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(client, config);
    for partition in 0..PARTITIONS {
        consumer.assign(kind.topic, partition, Offset::ZERO).await.unwrap();
    }
    let mut found = Vec::new();
    let mut at = [0i64; PARTITIONS as usize];
    let is_done = async |found: usize, at: &[i64]| {
        let ends = admin.list_offsets(&ask, IsolationLevel::ReadUncommitted).await.unwrap();
        found >= count && ends.iter().all(|end| at[end.partition as usize] >= end.offset.unwrap().0)
    };
    while !is_done(found.len(), &at).await {
        let fetched = tokio::time::timeout(PATIENCE, consumer.poll()).await;
        let fetched = fetched.unwrap_or_else(|_| panic!("{} of {count} records are there", found.len())).unwrap();
        for record in fetched.records().unwrap() {
            let text = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            let words: Vec<u64> = text.split(' ').map(|word| word.parse().unwrap()).collect();
            found.push(Found {
                partition: fetched.partition,
                key: record.key.unwrap().to_vec(),
                producer: words[0],
                chosen: i32::try_from(words[1]).unwrap(),
                number: words[2],
            });
        }
        at[fetched.partition as usize] = fetched.next_offset().0;
    }
    found
}

/// Every record is in its partition, and what a producer sent through one partition is there in its order.
fn in_order(found: &[Found], kind: Kind) -> BTreeMap<(i32, u64), Vec<u64>> {
    let mut numbers: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    let mut last = BTreeMap::new();
    for Found { partition, key, producer, chosen, number } in found {
        let hash = watershed_hooks::murmur2(key) & 0x7fff_ffff;
        let belongs = if kind.routed { (hash % PARTITIONS.unsigned_abs()).cast_signed() } else { *chosen };
        assert_eq!(*partition, belongs, "a record of producer {producer} is in a wrong partition");
        let before = last.insert((*partition, *producer, *chosen), *number);
        assert!(
            before < Some(*number),
            "producer {producer}: {number} comes after {before:?} in partition {partition}"
        );
        numbers.entry((*chosen, *producer)).or_default().push(*number);
    }
    numbers.values_mut().for_each(|numbers| numbers.sort_unstable());
    numbers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_records_survive_kill_9_exactly_once_and_in_order() {
    killed(PLAIN).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_do_records_that_are_taken_to_their_partitions() {
    killed(ROUTED).await;
}

async fn killed(kind: Kind) {
    let seed = from_env("WATERSHED_CRASH_SEED").unwrap_or_else(|| SystemClock::new().now().0.unsigned_abs());
    let rounds = from_env("WATERSHED_CRASH_ROUNDS").unwrap_or(ROUNDS);
    println!("WATERSHED_CRASH_SEED={seed} WATERSHED_CRASH_ROUNDS={rounds}");
    let mut random = seed;
    let dir = tempfile::tempdir().unwrap();
    // Small segments, so that rolling happens as well; the broker's own default is what is promised to users.
    let set = ["\"log.segment.bytes\" = 1048576"];
    let mut broker = Broker::start(dir.path(), 0, &set);
    let port = broker.port();
    let mode = if kind.routed { "broker" } else { "client" };
    let configs = [("watershed.partitioner", "key-hash"), ("watershed.partitioner.mode", mode)];
    let configs = configs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let topic = NewTopic { name: kind.topic.into(), partitions: Some(PARTITIONS), configs, ..NewTopic::default() };
    Admin::new(client(port).await).create_topic(&topic, false).await.unwrap();

    let (stop, acked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let producers: Vec<_> =
        (0..PRODUCERS).map(|id| tokio::spawn(produce(kind, id, port, Arc::clone(&stop), Arc::clone(&acked)))).collect();
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
    let count: u64 = sent.iter().flatten().sum();
    let found = read_all(port, kind, usize::try_from(count).unwrap()).await;
    let found = in_order(&found, kind);
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
