//! The built-in partitioners, through the same door as everyone: factories, batches, checked answers.
#![allow(clippy::unwrap_used)]

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use serde_json::json;
use watershed_hooks::{
    Batch, Choice, Client, Environment, Hook, Partitioner, Place, PluginFactory, Records, Settings, assign,
};

use super::{KeyHash, RoundRobin, Sticky, factories, murmur2};

fn n(partitions: u32) -> NonZeroU32 {
    NonZeroU32::new(partitions).unwrap()
}

fn ask(plugin: &mut dyn Partitioner, topic: &str, records: &[(Option<&[u8]>, u32)], partitions: u32) -> Vec<Choice> {
    let reads = plugin.reads().clone();
    let mut columns = Records::new(reads.clone());
    for (key, bytes) in records {
        columns.push_key(*key, (*bytes as usize).saturating_sub(key.map_or(0, <[u8]>::len))).unwrap();
    }
    let mut choices = Vec::new();
    let place = Place { topic, ..Place::default() };
    let batch = Batch::new(place, Client::default(), &columns, &reads);
    assign(plugin, &batch, n(partitions), &mut choices).unwrap();
    choices
}

fn numbers(choices: &[Choice]) -> Vec<u32> {
    let number = |choice: &Choice| match choice {
        Choice::Partition(p) => *p,
        Choice::ClientStands => panic!("no partition was chosen"),
    };
    choices.iter().map(number).collect()
}

/// Key (hex), hash, and partition of 1, 3, 12, 1,000 and 2^31-1, all computed by the Java client's own classes.
#[rustfmt::skip]
const GOLDEN: &[(&str, i32, [u32; 5])] = &[
    ("", 275646681, [0, 0, 9, 681, 275646681]),
    ("61", -1563381124, [0, 1, 4, 524, 584102524]),
    ("6162", 316155434, [0, 2, 2, 434, 316155434]),
    ("616263", 479470107, [0, 0, 3, 107, 479470107]),
    ("61626364", -1323649548, [0, 2, 8, 100, 823834100]),
    ("3231", -973932308, [0, 0, 0, 340, 1173551340]),
    ("666f6f626172", -790332482, [0, 0, 6, 166, 1357151166]),
    ("612d6c6974746c652d6269742d6c6f6e672d737472696e67", -985981536, [0, 2, 8, 112, 1161502112]),
    ("612d6c6974746c652d6269742d6c6f6e6765722d737472696e67", -1486304829, [0, 2, 11, 819, 661178819]),
    ("6c6b6a683233346c68396669756839307932336f697568736166756a6861646f66323239706872396831396838396838", -58897971, [0, 2, 5, 677, 2088585677]),
    ("636cc3a9", 1419575574, [0, 0, 6, 574, 1419575574]),
    ("e8aea2e58d952d3432", -519504440, [0, 0, 0, 208, 1627979208]),
    ("6b65792d30", 29210041, [0, 1, 1, 41, 29210041]),
    ("6b65792d31", 193331640, [0, 0, 0, 640, 193331640]),
    ("00", 375494588, [0, 2, 8, 588, 375494588]),
    ("ff", -311467685, [0, 0, 3, 963, 1836015963]),
    ("807fff", -150507102, [0, 2, 2, 546, 1996976546]),
    ("00000000", 850957120, [0, 1, 4, 120, 850957120]),
    ("ffffffffff", -363838622, [0, 0, 6, 26, 1783645026]),
    ("ae", 1827577987, [0, 1, 7, 987, 1827577987]),
    ("b991", 1294544536, [0, 1, 4, 536, 1294544536]),
    ("0ce0ce", 2068373257, [0, 1, 1, 257, 2068373257]),
    ("442e85d3", 685113217, [0, 1, 1, 217, 685113217]),
    ("ff47f89be8", 1326436240, [0, 1, 4, 240, 1326436240]),
    ("7938bfb1cfc7", -1008590846, [0, 0, 6, 802, 1138892802]),
    ("7ed52002e8d3c2", 1852572040, [0, 1, 4, 40, 1852572040]),
    ("7f2c1e217ae436b0", -2140562410, [0, 1, 10, 238, 6921238]),
    ("b31da1ff88ed4988ab", 14946903, [0, 0, 3, 903, 14946903]),
    ("411467f87d2e2ee9f38e", -196560284, [0, 0, 0, 364, 1950923364]),
    ("10fe9b3bebada9ddd81626", -1174227712, [0, 1, 4, 936, 973255936]),
    ("bc7414052b5f3e7257117630", -665470349, [0, 0, 3, 299, 1482013299]),
    ("8739b68d16405568d46e494d3c", -293959184, [0, 0, 0, 464, 1853524464]),
    ("5f4a1f3f47bd8740a870e8aaa055", -518138065, [0, 1, 7, 583, 1629345583]),
    ("416c8e9c816a104b7748b4fdefbfd4", -784537981, [0, 1, 7, 667, 1362945667]),
    ("ea0a5f42221675bd0e4f50fe2aba4c00", -705762635, [0, 0, 9, 13, 1441721013]),
    ("ce75f703ff6412b4b62cdbc0f5425276a8", 1853674088, [0, 2, 8, 88, 1853674088]),
    ("f78220ea048ec7eb0a5906f16b715aec69a4", -1442402058, [0, 2, 2, 590, 705081590]),
    ("410a29a9e813876735018eca6874e9b2d9917c", 451242425, [0, 2, 5, 425, 451242425]),
    ("3ea480821b6aa6f98d4f398c8acbf12d36725392", -1097404319, [0, 0, 9, 329, 1050079329]),
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn key_hash_agrees_with_the_java_client() {
    for (hex, hash, partitions) in GOLDEN {
        let key = bytes(hex);
        assert_eq!(murmur2(&key) as i32, *hash, "{hex}");
        for (count, want) in [1, 3, 12, 1000, i32::MAX as u32].into_iter().zip(partitions) {
            let seen = ask(&mut KeyHash, "t", &[(Some(&key), 1)], count);
            assert_eq!(seen, [Choice::Partition(*want)], "{hex} of {count}");
        }
    }
}

/// A million random keys of 0 to 64 bytes, hashes and partitions folded into two numbers, which the Java client's classes
/// gave for the same keys.
#[test]
fn a_million_keys_agree_with_the_java_client() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let (mut hashes, mut partitions) = (0i32, 0i64);
    let mut key = Vec::new();
    for _ in 0..1_000_000 {
        let len = (next() >> 40) % 65;
        key.clear();
        key.extend((0..len).map(|_| (next() >> 32) as u8));
        hashes = hashes.wrapping_mul(31).wrapping_add(murmur2(&key) as i32);
        let count = n(1 + ((next() >> 33) % 5000) as u32);
        let partition = i64::from(KeyHash::partition_of(&key, count));
        partitions = partitions.wrapping_mul(1_000_003).wrapping_add(partition);
    }
    assert_eq!((hashes, partitions), (-1_313_340_130, -238_524_718_809_470_295));
}

#[test]
fn key_hash_leaves_null_keys_to_the_client_but_not_empty_ones() {
    let seen = ask(&mut KeyHash, "t", &[(None, 1), (Some(b""), 1), (None, 1)], 12);
    assert_eq!(seen, [Choice::ClientStands, Choice::Partition(9), Choice::ClientStands]);
}

#[test]
fn round_robin_takes_turns_per_topic_and_goes_on_between_batches() {
    let mut starts = [7u32, u32::MAX].into_iter();
    let mut plugin = RoundRobin::new(move || starts.next().unwrap());
    let three = [(Some(&b"k"[..]), 1), (None, 1), (Some(&b"k"[..]), 1)];
    assert_eq!(numbers(&ask(&mut plugin, "a", &three, 5)), [2, 3, 4]);
    assert_eq!(numbers(&ask(&mut plugin, "b", &three, 5)), [0, 1, 2]);
    assert_eq!(numbers(&ask(&mut plugin, "a", &three, 5)), [0, 1, 2]);
    // More partitions, then fewer.
    assert_eq!(numbers(&ask(&mut plugin, "a", &three, 7)), [3, 4, 5]);
    assert_eq!(numbers(&ask(&mut plugin, "a", &three, 2)), [0, 1, 0]);
}

#[test]
fn sticky_stays_until_a_batch_is_full() {
    // 0 draws the lowest partition that is allowed, u32::MAX the highest.
    let mut draws = [0, u32::MAX, 0, 0].into_iter();
    let mut plugin = Sticky::new(n(100), move || draws.next().unwrap());
    let sizes = |sizes: &[u32]| sizes.iter().map(|s| (None, *s)).collect::<Vec<_>>();
    assert_eq!(numbers(&ask(&mut plugin, "a", &sizes(&[50, 49, 1, 1]), 4)), [0, 0, 0, 3]);
    // 1 + 98 is still below; the next record fills the batch, the one after it goes elsewhere.
    assert_eq!(numbers(&ask(&mut plugin, "a", &sizes(&[98, 500, 7]), 4)), [3, 3, 0]);
    assert_eq!(numbers(&ask(&mut plugin, "b", &sizes(&[5]), 4)), [0]);
}

#[test]
fn sticky_forgets_a_partition_that_is_gone() {
    let mut draws = [u32::MAX, 0].into_iter();
    let mut plugin = Sticky::new(n(100), move || draws.next().unwrap());
    assert_eq!(numbers(&ask(&mut plugin, "a", &[(None, 1)], 8)), [7]);
    assert_eq!(numbers(&ask(&mut plugin, "a", &[(None, 1)], 3)), [0]);
}

proptest! {
    /// Whatever the sizes and draws: every partition stays current until it has its bytes, and never follows itself.
    #[test]
    fn sticky_fills_batches(
        sizes in prop::collection::vec(0u32..300, 1..200),
        seed: u32,
        partitions in 2u32..9,
        limit in 1u32..1000,
    ) {
        let mut state = seed;
        let mut plugin = Sticky::new(n(limit), move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state
        });
        let records: Vec<_> = sizes.iter().map(|s| (None, *s)).collect();
        let mut chosen = Vec::new();
        for chunk in records.chunks(7) {
            chosen.extend(numbers(&ask(&mut plugin, "t", chunk, partitions)));
        }
        let mut sent = 0;
        for i in 1..chosen.len() {
            sent += sizes[i - 1];
            prop_assert_eq!(chosen[i] != chosen[i - 1], sent >= limit, "record {} after {} bytes", i, sent);
            if chosen[i] != chosen[i - 1] {
                sent = 0;
            }
        }
    }
}

fn settings(json: serde_json::Value) -> Settings {
    json.as_object().unwrap().clone()
}

fn environment() -> Environment {
    let count = AtomicU32::new(0);
    Environment::with_random(move || count.fetch_add(0x5555_5555, Ordering::Relaxed))
}

fn factory(name: &str) -> Box<dyn PluginFactory> {
    factories().into_iter().find(|f| f.name() == name).unwrap()
}

#[test]
fn factories_make_what_they_are_named_after() {
    let environment = environment();
    for (name, deterministic) in [("key-hash", true), ("round-robin", false), ("sticky", false)] {
        let factory = factory(name);
        factory.validate(&Settings::new()).unwrap();
        let Hook::Partitioner(mut plugin) = factory.create(&Settings::new(), &environment).unwrap() else {
            panic!("{name} is not a partitioner");
        };
        assert_eq!(plugin.deterministic(), deterministic, "{name}");
        assert_eq!(ask(&mut *plugin, "t", &[(Some(b"k"), 1)], 1), [Choice::Partition(0)], "{name}");
        factory.close();
    }
}

#[test]
fn the_sticky_size_is_a_setting() {
    let made = factory("sticky").create(&settings(json!({"batch_bytes": 10})), &environment());
    let Hook::Partitioner(mut plugin) = made.unwrap() else { panic!("sticky is not a partitioner") };
    let chosen = numbers(&ask(&mut *plugin, "t", &[(None, 10), (None, 10)], 2));
    assert_ne!(chosen[0], chosen[1]);
}

#[test]
fn settings_are_checked() {
    let range = "plugin sticky: `batch_bytes` must be a number from 1 to 4294967295, not";
    let cases = [
        ("key-hash", json!({"seed": 1}), "plugin key-hash has no setting `seed`; it has: none".to_owned()),
        ("round-robin", json!({"x": 1}), "plugin round-robin has no setting `x`; it has: none".to_owned()),
        ("sticky", json!({"x": 1}), "plugin sticky has no setting `x`; it has: batch_bytes".to_owned()),
        ("sticky", json!({"batch_bytes": 0}), format!("{range} 0")),
        ("sticky", json!({"batch_bytes": "16"}), format!("{range} \"16\"")),
        ("sticky", json!({"batch_bytes": 4_294_967_296u64}), format!("{range} 4294967296")),
        ("sticky", json!({"batch_bytes": 1.5}), format!("{range} 1.5")),
    ];
    for (name, json, want) in cases {
        let settings = settings(json);
        let factory = factory(name);
        assert_eq!(factory.validate(&settings).unwrap_err().to_string(), want);
        assert_eq!(factory.create(&settings, &environment()).unwrap_err().to_string(), want);
    }
}
