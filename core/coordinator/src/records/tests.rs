//! The bytes that Kafka writes, and bytes that are no records.
#![allow(clippy::unwrap_used, reason = "a test")]

use proptest::collection::vec;
use proptest::prelude::*;
use watershed_model::TopicId;

use super::*;

const KAFKAS: &str = include_str!("../../testdata/records.txt");

/// What a line of the file holds.
struct Line {
    name: &'static str,
    key: Bytes,
    value: Option<Bytes>,
}

fn lines() -> Vec<Line> {
    let bytes = |hex: &str| {
        let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        digits.map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect::<Bytes>()
    };
    let line = |line: &'static str| {
        let [name, key, value] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        Line { name, key: bytes(key), value: (value != "null").then(|| bytes(value)) }
    };
    KAFKAS.lines().filter(|line| !line.starts_with('#')).map(line).collect()
}

/// The versions that Kafka 4.2.0 reads and does not write.
const ONLY_READ: &[&str] = &[
    "legacy-offset",
    "legacy-offset-tombstone",
    "offset-v0",
    "offset-v2",
    "offset-v3",
    "group-v0",
    "group-v1",
    "group-v2",
    "group-v4",
];

fn offset(leader_epoch: i32, topic_id: TopicId) -> OffsetCommitValue {
    let metadata = "note".to_owned();
    OffsetCommitValue { offset: 42, leader_epoch, metadata, commit_timestamp: 1000, expire_timestamp: -1, topic_id }
}

fn offset_record(name: &str) -> Option<GroupRecord> {
    const ID: TopicId = TopicId([9; 16]);
    let mut key = OffsetCommitKey { group: "g".to_owned(), topic: "t".to_owned(), partition: 3 };
    let value = match name {
        "legacy-offset" | "offset-v0" | "offset-v2" => Some(offset(-1, TopicId::ZERO)),
        "offset-v1" => Some(OffsetCommitValue { expire_timestamp: 5000, ..offset(-1, TopicId::ZERO) }),
        "offset-v3" | "offset-v4-without-topic-id" => Some(offset(7, TopicId::ZERO)),
        "offset-v4" => Some(offset(7, ID)),
        "offset-v4-of-long-texts" => {
            key = OffsetCommitKey { group: "ü".repeat(100), topic: "t".repeat(249), partition: 0 };
            Some(OffsetCommitValue { metadata: "x".repeat(127), ..offset(7, ID) })
        }
        "legacy-offset-tombstone" | "offset-tombstone" => None,
        _ => return None,
    };
    Some(GroupRecord::OffsetCommit { key, value })
}

fn group_metadata(version: i16) -> GroupMetadataValue {
    let member = MemberMetadata {
        member_id: "m".to_owned(),
        group_instance_id: (version >= 3).then(|| "i".to_owned()),
        client_id: "c".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        rebalance_timeout: if version >= 1 { 60 } else { -1 },
        session_timeout: 45,
        subscription: Bytes::from_static(b"s"),
        assignment: Bytes::from_static(b"a"),
    };
    let other = MemberMetadata {
        member_id: "n".to_owned(),
        group_instance_id: None,
        subscription: Bytes::new(),
        assignment: Bytes::new(),
        ..member.clone()
    };
    GroupMetadataValue {
        protocol_type: "consumer".to_owned(),
        generation: 2,
        protocol: Some("range".to_owned()),
        leader: Some("m".to_owned()),
        current_state_timestamp: if version >= 2 { 99 } else { -1 },
        members: vec![member, other],
    }
}

fn group_record(name: &str) -> Option<GroupRecord> {
    let value = match name {
        "group-v0" => Some(group_metadata(0)),
        "group-v1" => Some(group_metadata(1)),
        "group-v2" => Some(group_metadata(2)),
        "group-v3" => Some(group_metadata(3)),
        "group-v4" => Some(group_metadata(4)),
        "group-empty" => Some(GroupMetadataValue { current_state_timestamp: 99, ..Default::default() }),
        "group-tombstone" => None,
        _ => return None,
    };
    Some(GroupRecord::GroupMetadata { group_id: "g".to_owned(), value })
}

fn partitions(topic: u8, partitions: &[i32]) -> Vec<TopicPartitions> {
    vec![TopicPartitions { topic_id: TopicId([topic; 16]), partitions: partitions.to_vec() }]
}

/// A member without, and one with everything.
fn member(is_full: bool) -> ConsumerGroupMemberMetadataValue {
    let text = |text: &str| is_full.then(|| text.to_owned());
    let protocol = ClassicProtocol { name: "range".to_owned(), metadata: Bytes::from_static(b"s") };
    let classic = ClassicMemberMetadata { session_timeout_ms: 45, supported_protocols: vec![protocol] };
    ConsumerGroupMemberMetadataValue {
        instance_id: text("i"),
        rack_id: text("r"),
        client_id: "c".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        subscribed_topic_names: ["t", "u"].into_iter().filter_map(text).collect(),
        subscribed_topic_regex: text("t.*"),
        rebalance_timeout_ms: if is_full { 60 } else { -1 },
        server_assignor: text("uniform"),
        classic_member_metadata: is_full.then_some(classic),
    }
}

fn partition_metadata() -> ConsumerGroupPartitionMetadataValue {
    let racks = PartitionMetadata { partition: 1, racks: vec!["r".to_owned()] };
    let topic = TopicMetadata {
        topic_id: TopicId([1; 16]),
        topic_name: "t".to_owned(),
        num_partitions: 2,
        partition_metadata: vec![racks],
    };
    ConsumerGroupPartitionMetadataValue { topics: vec![topic] }
}

/// The record of that name; `None` for those of other kinds of groups.
fn named(name: &str) -> Option<GroupRecord> {
    let (group_id, member_id, regular_expression) = ("g".to_owned(), "m".to_owned(), "t.*".to_owned());
    let (name, is_there) = name.strip_suffix("-tombstone").map_or((name, true), |kind| (kind, false));
    let whole = if is_there { name.to_owned() } else { format!("{name}-tombstone") };
    Some(match name {
        "share-group" | "streams-group" => return None,
        "consumer-group" | "consumer-group-without-hash" => {
            let metadata_hash = if name == "consumer-group" { -5 } else { 0 };
            let value = is_there.then_some(ConsumerGroupMetadataValue { epoch: 4, metadata_hash });
            GroupRecord::ConsumerGroupMetadata { group_id, value }
        }
        "partition-metadata" => {
            GroupRecord::ConsumerGroupPartitionMetadata { group_id, value: is_there.then(partition_metadata) }
        }
        "member" | "member-of-nulls" => {
            let value = is_there.then(|| member(name == "member"));
            GroupRecord::ConsumerGroupMemberMetadata { group_id, member_id, value }
        }
        "target-epoch" => {
            let value = is_there.then_some(ConsumerGroupTargetAssignmentMetadataValue { assignment_epoch: 4 });
            GroupRecord::ConsumerGroupTargetAssignmentMetadata { group_id, value }
        }
        "target" => {
            let value = ConsumerGroupTargetAssignmentMemberValue { topic_partitions: partitions(1, &[0, 2]) };
            let value = is_there.then_some(value);
            GroupRecord::ConsumerGroupTargetAssignmentMember { group_id, member_id, value }
        }
        "current" => {
            let value = is_there.then(|| ConsumerGroupCurrentMemberAssignmentValue {
                member_epoch: 4,
                previous_member_epoch: 3,
                state: 1,
                assigned_partitions: partitions(1, &[0, 2]),
                partitions_pending_revocation: partitions(2, &[1]),
            });
            GroupRecord::ConsumerGroupCurrentMemberAssignment { group_id, member_id, value }
        }
        "regular-expression" => {
            let topics = vec!["t".to_owned(), "u".to_owned()];
            let value = is_there.then_some(ConsumerGroupRegularExpressionValue { topics, version: 11, timestamp: 12 });
            GroupRecord::ConsumerGroupRegularExpression { group_id, regular_expression, value }
        }
        _ => offset_record(&whole).or_else(|| group_record(&whole)).unwrap(),
    })
}

#[test]
fn kafkas_records_are_read_and_written_byte_for_byte() {
    for Line { name, key, value } in lines() {
        let expected = named(name);
        assert_eq!(GroupRecord::decode(&key, value.as_ref()).unwrap(), expected, "{name}");
        let Some(record) = expected else { continue };
        let written = record.encode().unwrap();
        if ONLY_READ.contains(&name) {
            assert_eq!(GroupRecord::decode(&written.0, written.1.as_ref()).unwrap(), Some(record), "{name}");
        } else {
            assert_eq!(written, (key, value), "{name}");
        }
    }
}

#[test]
fn every_kind_is_in_the_file() {
    let mut kinds: Vec<_> = lines().iter().map(|line| line.key[1]).collect();
    kinds.dedup();
    assert_eq!(kinds, [0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 11, 17]);
}

#[test]
fn unknown_kinds_are_skipped_and_unknown_versions_are_errors() {
    for kind in [i16::MIN, -1, 9, 10, 15, 17, 18, i16::MAX] {
        let key: Bytes = kind.to_be_bytes().to_vec().into();
        assert_eq!(GroupRecord::decode(&key, Some(&Bytes::from_static(b"?"))).unwrap(), None, "{kind}");
    }
    for Line { name, key, value } in lines().into_iter().filter(|line| named(line.name).is_some()) {
        let Some(value) = value else { continue };
        for version in [-1i16, 5] {
            let value = [&version.to_be_bytes(), &value[2..]].concat().into();
            assert!(GroupRecord::decode(&key, Some(&value)).is_err(), "{name} {version}");
        }
    }
}

#[test]
fn what_is_cut_off_is_an_error_and_what_follows_is_ignored() {
    for Line { name, key, value } in lines() {
        let Some(record) = named(name) else { continue };
        for cut in 0..key.len() {
            assert!(GroupRecord::decode(&key.slice(..cut), value.as_ref()).is_err(), "{name} {cut}");
        }
        for cut in 0..value.as_ref().map_or(0, Bytes::len) {
            let value = value.as_ref().map(|value| value.slice(..cut));
            assert!(GroupRecord::decode(&key, value.as_ref()).is_err(), "{name} {cut}");
        }
        let longer = |bytes: &Bytes| Bytes::from([bytes, &[7][..]].concat());
        let decoded = GroupRecord::decode(&longer(&key), value.as_ref().map(longer).as_ref());
        assert_eq!(decoded.unwrap(), Some(record), "{name}");
    }
}

#[test]
fn altered_records_do_no_harm() {
    for Line { key, value, .. } in lines() {
        for bytes in [Some(&key), value.as_ref()].into_iter().flatten() {
            for at in 0..bytes.len() {
                for width in [1, 2, 4] {
                    for byte in [0, 1, 0x7f, 0x80, 0xff] {
                        let mut altered = bytes.to_vec();
                        altered[at..].iter_mut().take(width).for_each(|b| *b = byte);
                        let altered = Bytes::from(altered);
                        let _ = GroupRecord::decode(&altered, value.as_ref());
                        let _ = GroupRecord::decode(&key, Some(&altered));
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_do_no_harm(
        kind in 0..18i16,
        version in 0..5i16,
        key in vec(any::<u8>(), 0..40),
        value in vec(any::<u8>(), 0..80),
    ) {
        let prefixed = |number: i16, rest: &[u8]| Bytes::from([&number.to_be_bytes(), rest].concat());
        let (key, value) = (prefixed(kind, &key), prefixed(version, &value));
        let _ = GroupRecord::decode(&key, Some(&value));
        let readable = Bytes::from([&kind.to_be_bytes()[..], &[0, 1, b'g', 0, 1, b'm', 0, 0, 0, 0]].concat());
        let _ = GroupRecord::decode(&readable, Some(&value));
    }
}

#[test]
fn texts_that_no_record_can_hold_are_errors() {
    let long = "x".repeat(1 << 15);
    let key = OffsetCommitKey { group: long.clone(), topic: "t".to_owned(), partition: 0 };
    assert!(GroupRecord::OffsetCommit { key, value: None }.encode().is_err());
    let mut value = group_metadata(3);
    value.members[0].member_id = long;
    assert!(GroupRecord::GroupMetadata { group_id: "g".to_owned(), value: Some(value) }.encode().is_err());
}
