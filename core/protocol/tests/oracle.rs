//! The crate `kafka-protocol` as an independent opinion: whatever bytes one of the two codecs writes, the other reads
//! and writes back the same, for every message and version that both know.
//!
//! It stops at Kafka 4.1, so the newest versions of a few keys are beyond it; they are listed below, and a test fails
//! when the list is no longer true.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use bytes::{Bytes, BytesMut};
use common::{Choices, for_every_message, message};
use kafka_protocol::messages as oracle;
use kafka_protocol::protocol::{Decodable, Encodable};
use proptest::collection::vec;
use proptest::prelude::*;
use watershed_protocol::Message;
use watershed_protocol::messages as ours;

/// Versions that Kafka 4.2 has and the oracle has not.
const BEYOND_THE_ORACLE: &[(&str, i16)] = &[
    ("InitProducerIdRequest", 6), // Unstable in Kafka 4.2 and not advertised.
    ("ListOffsetsRequest", 11),
    ("ListOffsetsResponse", 11),
    ("OffsetCommitRequest", 10),
    ("OffsetFetchRequest", 10),
];

/// Reads `bytes` with both codecs, lets both write what they read, and crosses over.
fn both_agree<Ours, Oracle>(bytes: Bytes, version: i16)
where
    Ours: Message + PartialEq + std::fmt::Debug,
    Oracle: Decodable + Encodable + PartialEq + std::fmt::Debug,
{
    let name = Ours::NAME;
    let mine = Ours::decode(bytes.clone(), version).unwrap();
    let mut rest = bytes;
    let theirs = Oracle::decode(&mut rest, version).unwrap();
    assert!(rest.is_empty(), "{name} v{version}: the oracle leaves {} bytes", rest.len());

    let written_by_us = mine.encode_to_bytes(version).unwrap();
    let mut written_by_oracle = BytesMut::new();
    theirs.encode(&mut written_by_oracle, version).unwrap();
    let written_by_oracle = written_by_oracle.freeze();

    assert_eq!(Ours::decode(written_by_us.clone(), version).unwrap(), mine, "{name} v{version}: ours, read by us");
    assert_eq!(Ours::decode(written_by_oracle, version).unwrap(), mine, "{name} v{version}: the oracle's, read by us");
    let read_by_oracle = Oracle::decode(&mut written_by_us.clone(), version).unwrap();
    // Tagged fields that a message does not know are kept by the oracle and dropped by us, so its second reading is
    // compared with what we make of that.
    let mut again = BytesMut::new();
    read_by_oracle.encode(&mut again, version).unwrap();
    assert_eq!(again.freeze(), written_by_us, "{name} v{version}: ours, written back by the oracle");
}

/// The versions that both know.
fn versions<Ours: Message, Oracle: kafka_protocol::protocol::Message>() -> std::ops::RangeInclusive<i16> {
    let (mine, theirs) = (Ours::SCHEMA.versions, Oracle::VERSIONS);
    mine.min().max(theirs.min)..=mine.max().min(theirs.max)
}

macro_rules! property_tests {
    ($($name:ident)*) => {$(
        #[allow(non_snake_case)]
        mod $name {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

                #[test]
                fn both_codecs_agree(choices in vec(any::<u8>(), 0..400)) {
                    for version in versions::<ours::$name, oracle::$name>() {
                        let bytes = message(&ours::$name::SCHEMA, version, &mut Choices(&choices));
                        both_agree::<ours::$name, oracle::$name>(bytes.into(), version);
                    }
                }
            }
        }
    )*};
}

for_every_message!(property_tests);

#[test]
fn the_oracle_knows_all_versions_but_the_listed_ones() {
    let mut beyond = Vec::new();
    macro_rules! collect {
        ($($name:ident)*) => {$(
            let known = versions::<ours::$name, oracle::$name>();
            let mine = ours::$name::SCHEMA.versions;
            beyond.extend((mine.min()..=mine.max()).filter(|v| !known.contains(v)).map(|v| (stringify!($name), v)));
        )*};
    }
    for_every_message!(collect);
    beyond.sort_unstable();
    assert_eq!(beyond, BEYOND_THE_ORACLE);
}

#[test]
fn every_message_is_compared() {
    let mut names = Vec::new();
    macro_rules! collect {
        ($($name:ident)*) => { names.extend([$(stringify!($name)),*]) };
    }
    for_every_message!(collect);
    let schemas: Vec<_> = ours::SCHEMAS.iter().map(|s| s.body.name).collect();
    assert_eq!(names, schemas);
}
