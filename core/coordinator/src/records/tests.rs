//! Round trips, and bytes that are no records.
#![allow(clippy::unwrap_used)]

use watershed_model::TopicId;

use super::*;

fn samples() -> Vec<GroupRecord> {
    let (group_id, member_id) = ("g".to_owned(), "m".to_owned());
    let key = OffsetCommitKey { group: "g".to_owned(), topic: "t".to_owned(), partition: 3 };
    let offset = OffsetCommitValue {
        offset: 42,
        leader_epoch: 7,
        metadata: "note".to_owned(),
        commit_timestamp: 1000,
        expire_timestamp: -1,
        topic_id: TopicId([9; 16]),
    };
    let partitions = vec![TopicPartitions { topic_id: TopicId([1; 16]), partitions: vec![0, 2] }];
    let member = MemberMetadata {
        member_id: "m".to_owned(),
        group_instance_id: Some("i".to_owned()),
        client_id: "c".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        rebalance_timeout: 60,
        session_timeout: 45,
        subscription: Bytes::from_static(b"s"),
        assignment: Bytes::from_static(b"a"),
    };
    vec![
        GroupRecord::OffsetCommit { key: key.clone(), value: Some(offset.clone()) },
        GroupRecord::OffsetCommit { key: key.clone(), value: None },
        GroupRecord::OffsetCommit {
            key,
            value: Some(OffsetCommitValue { expire_timestamp: 5, leader_epoch: -1, topic_id: TopicId::ZERO, ..offset }),
        },
        GroupRecord::GroupMetadata {
            group_id: group_id.clone(),
            value: Some(GroupMetadataValue {
                protocol_type: "consumer".to_owned(),
                generation: 2,
                protocol: Some("range".to_owned()),
                leader: Some("m".to_owned()),
                current_state_timestamp: 99,
                members: vec![member],
            }),
        },
        GroupRecord::ConsumerGroupMetadata {
            group_id: group_id.clone(),
            value: Some(ConsumerGroupMetadataValue { epoch: 4, metadata_hash: -5 }),
        },
        GroupRecord::ConsumerGroupPartitionMetadata { group_id: group_id.clone(), value: None },
        GroupRecord::ConsumerGroupMemberMetadata {
            group_id: group_id.clone(),
            member_id: member_id.clone(),
            value: Some(ConsumerGroupMemberMetadataValue {
                client_id: "c".to_owned(),
                subscribed_topic_names: vec!["t".to_owned()],
                subscribed_topic_regex: Some("t.*".to_owned()),
                classic_member_metadata: Some(ClassicMemberMetadata {
                    session_timeout_ms: 45,
                    supported_protocols: vec![ClassicProtocol { name: "range".to_owned(), metadata: Bytes::new() }],
                }),
                ..Default::default()
            }),
        },
        GroupRecord::ConsumerGroupTargetAssignmentMetadata {
            group_id: group_id.clone(),
            value: Some(ConsumerGroupTargetAssignmentMetadataValue { assignment_epoch: 4 }),
        },
        GroupRecord::ConsumerGroupTargetAssignmentMember {
            group_id: group_id.clone(),
            member_id: member_id.clone(),
            value: Some(ConsumerGroupTargetAssignmentMemberValue { topic_partitions: partitions.clone() }),
        },
        GroupRecord::ConsumerGroupCurrentMemberAssignment {
            group_id: group_id.clone(),
            member_id,
            value: Some(ConsumerGroupCurrentMemberAssignmentValue {
                member_epoch: 4,
                previous_member_epoch: 3,
                state: 1,
                assigned_partitions: partitions,
                partitions_pending_revocation: Vec::new(),
            }),
        },
        GroupRecord::ConsumerGroupRegularExpression {
            group_id,
            regular_expression: "t.*".to_owned(),
            value: Some(ConsumerGroupRegularExpressionValue { topics: vec!["t".to_owned()], version: 1, timestamp: 2 }),
        },
    ]
}

#[test]
fn records_come_back_as_they_were() {
    for record in samples() {
        let (key, value) = record.encode();
        assert_eq!(GroupRecord::decode(&key, value.as_ref()).unwrap(), Some(record));
    }
}

#[test]
fn the_bytes_are_kafkas() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (key, value) = samples()[0].encode();
    assert_eq!(hex(&key), "0001000167000174".to_owned() + "00000003");
    let tagged_id = "010010".to_owned() + &"09".repeat(16);
    assert_eq!(
        hex(&value.unwrap()),
        format!("0004000000000000002a0000000705{}00000000000003e8{tagged_id}", hex(b"note"))
    );
    let (key, _) = samples()[5].encode();
    assert_eq!(hex(&key), "0004000167");
}

#[test]
fn other_kinds_are_skipped_and_cut_records_are_errors() {
    assert_eq!(GroupRecord::decode(&Bytes::from_static(&[0, 9, 0, 1, b'g']), None).unwrap(), None);
    for record in samples() {
        let (key, value) = record.encode();
        for cut in 0..key.len() {
            assert!(GroupRecord::decode(&key.slice(..cut), value.as_ref()).is_err(), "{record:?} {cut}");
        }
        for cut in 0..value.as_ref().map_or(0, Bytes::len) {
            let value = value.as_ref().map(|value| value.slice(..cut));
            assert!(GroupRecord::decode(&key, value.as_ref()).is_err(), "{record:?} {cut}");
        }
    }
}
