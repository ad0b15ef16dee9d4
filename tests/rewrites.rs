//! `kill -9` while segments are rewritten: every record that the policy keeps is there, exactly once and in order, and the data
//! directory is sound.
//!
//! A plugin drops two of three records, each at an age of its own, so that every segment is written anew several times. The
//! broker is killed at random moments meanwhile. `WATERSHED_CRASH_SEED` repeats the moments, `WATERSHED_CRASH_ROUNDS` asks for
//! more rounds.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Broker, PATIENCE, run};
use watershed_client::{
    Admin, Client, ClientConfig, Consumer, ConsumerConfig, NewTopic, Producer, ProducerConfig, ProducerRecord,
};
use watershed_model::record::{Compression, NewRecord};
use watershed_model::{Clock, Offset, SystemClock};

const TOPIC: &str = "kept";
const ROUNDS: u64 = 8;
/// More than a segment full.
const RECORDS_PER_ROUND: u64 = 700;

const PLUGIN: &str = r#"
local P = { name = "kept", version = "1", api = 1, reads = { "values", "timestamps" } }
function P.record_retention(b, now)
	local answers = table.create(#b)
	for i = 1, #b do
		local n = tonumber(string.match(b:value(i), "^%d+"))
		answers[i] = n % 3 == 0 or now - b:timestamp(i) < 40 * (n % 23)
	end
	return answers
end
return P
"#;

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

async fn client(broker: &Broker) -> Client {
    let bootstrap = vec![broker.address.clone()];
    let config =
        ClientConfig { bootstrap, operation_timeout: PATIENCE, bootstrap_timeout: PATIENCE, ..ClientConfig::default() };
    Client::connect(config).await.unwrap()
}

/// Writes some numbers; all are acknowledged on return.
async fn write(broker: &Broker, numbers: std::ops::Range<u64>) {
    let config = ProducerConfig {
        batch_bytes: 16_384,
        compression: if numbers.start.is_multiple_of(2) { Compression::None } else { Compression::Zstd },
        ..ProducerConfig::default()
    };
    let producer = Producer::new(client(broker).await, config, Arc::new(SystemClock::new())).unwrap();
    let mut deliveries = Vec::new();
    for n in numbers {
        // What does not compress.
        let mut random = n;
        let noise: String = (0..110).map(|_| format!("{:016x}", splitmix(&mut random))).collect();
        let value = format!("{n} {noise}");
        let record = NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() };
        let record = ProducerRecord { topic: TOPIC, partition: 0, timestamp: None, record };
        deliveries.push(producer.send(record).await.unwrap());
    }
    for delivery in deliveries {
        delivery.wait().await.unwrap();
    }
    producer.close().await;
}

/// Every number that is there, with its offset.
async fn read(broker: &Broker, end: i64) -> Vec<(i64, u64)> {
    let config = ConsumerConfig { wait_max: Duration::from_millis(200), ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(client(broker).await, config);
    consumer.assign(TOPIC, 0, Offset::ZERO).await.unwrap();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < end {
        let fetched = tokio::time::timeout(PATIENCE, consumer.poll()).await.unwrap().unwrap();
        for record in fetched.records().unwrap() {
            let text = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            found.push((record.offset.0, text.split(' ').next().unwrap().parse().unwrap()));
        }
        at = fetched.next_offset().0;
    }
    found
}

fn is_sound(dir: &std::path::Path) {
    let verified = run(&["storage", "verify", dir.join("data").to_str().unwrap()], b"");
    let said = String::from_utf8_lossy(&[&verified.stdout[..], &verified.stderr].concat()).into_owned();
    assert!(verified.status.success(), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_policy_keeps_survives_kill_9_during_rewrites_exactly_once() {
    let seed = from_env("WATERSHED_CRASH_SEED").unwrap_or_else(|| SystemClock::new().now().0.unsigned_abs());
    let rounds = from_env("WATERSHED_CRASH_ROUNDS").unwrap_or(ROUNDS);
    println!("WATERSHED_CRASH_SEED={seed} WATERSHED_CRASH_ROUNDS={rounds}");
    let mut random = seed;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kept.luau");
    std::fs::write(&file, PLUGIN).unwrap();
    let lines = format!(
        "\"watershed.record.retention.check.interval.ms\" = 1\n[[plugins]]\nname = \"kept\"\nfile = {file:?}\nlimits = {{ budget = \"2s\" }}\n"
    );
    let mut broker = Broker::start_with(dir.path(), &lines);
    let configs = [
        ("watershed.record.retention", "kept"),
        ("segment.bytes", "1048576"),
        ("retention.ms", "-1"),
        ("file.delete.delay.ms", "0"),
    ];
    let configs = configs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let topic = NewTopic { name: TOPIC.into(), partitions: Some(1), configs, ..NewTopic::default() };
    Admin::new(client(&broker).await).create_topic(&topic, false).await.unwrap();
    for round in 0..rounds {
        write(&broker, round * RECORDS_PER_ROUND..(round + 1) * RECORDS_PER_ROUND).await;
        tokio::time::sleep(Duration::from_micros(splitmix(&mut random) % 700_000)).await;
        broker.kill();
        is_sound(dir.path());
        broker = Broker::start_with(dir.path(), &lines);
    }
    let count = rounds * RECORDS_PER_ROUND;
    let mut left = 0;
    for _ in 0..200 {
        let found = read(&broker, i64::try_from(count).unwrap()).await;
        let increasing = found.windows(2).all(|w| w[0] < w[1]);
        assert!(increasing, "nothing twice, and all in order; seed {seed}");
        assert!(found.iter().all(|(offset, n)| offset.unsigned_abs() == *n), "offsets stay; seed {seed}");
        let kept: Vec<u64> = found.iter().map(|(_, n)| *n).filter(|n| n % 3 == 0).collect();
        assert_eq!(kept, (0..count).step_by(3).collect::<Vec<_>>(), "nothing is lost; seed {seed}");
        left = found.len() - kept.len();
        // What is in the active segment stays.
        if left < RECORDS_PER_ROUND as usize {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(left < RECORDS_PER_ROUND as usize, "{left} records are there that should have gone; seed {seed}");
    println!("{count} records written, {left} left of those that the policy drops");
    broker.stop();
    is_sound(dir.path());
}
