//! Tests of the image and of the batch codec.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use watershed_model::{BrokerId, ClusterId, LeaderEpoch, Offset, ProducerId, TopicId, TopicIdPartition};

use crate::{
    ApplyError, BrokerRegistered, Change, CodecError, ConfigResource, Endpoint, FeatureRange, MetadataImage,
    MetadataRecord, PartitionRun, SecurityProtocol, decode_batch, encode_batch, encode_chunks,
};

fn id(n: u8) -> TopicId {
    TopicId([n; 16])
}

fn run(count: u32, broker: i32) -> PartitionRun {
    let broker = BrokerId(broker);
    PartitionRun { count, replicas: vec![broker], isr: None, leader: broker, leader_epoch: LeaderEpoch(0) }
}

fn topic(n: u8, name: &str, partitions: Vec<PartitionRun>) -> MetadataRecord {
    MetadataRecord::TopicCreated { topic: id(n), name: name.to_owned(), partitions }
}

fn start(broker: i32, starts: i32) -> MetadataRecord {
    MetadataRecord::BrokerStarted { broker: BrokerId(broker), starts }
}

fn config(resource: ConfigResource, name: &str, value: Option<&str>) -> MetadataRecord {
    MetadataRecord::ConfigChanged { resource, name: name.to_owned(), value: value.map(str::to_owned) }
}

fn image(records: &[MetadataRecord]) -> MetadataImage {
    MetadataImage::default().apply_batch(records).unwrap().0
}

fn epochs(image: &MetadataImage, n: u8) -> Vec<i32> {
    let topic = image.topic_by_id(&id(n)).unwrap();
    image.partitions(topic).map(|(_, partition)| partition.leader_epoch.0).collect()
}

#[test]
fn one_record_raises_the_epochs_of_what_a_broker_leads() {
    let before = image(&[start(1, 1), start(2, 1), topic(1, "a", vec![run(2, 1), run(1, 2)])]);
    assert_eq!(epochs(&before, 1), [0, 0, 0]);
    let (after, changes) = before.apply_batch(&[start(1, 2), start(1, 3)]).unwrap();
    assert_eq!(epochs(&after, 1), [2, 2, 0]);
    assert_eq!(changes, [Change::BrokerStarted(BrokerId(1)), Change::BrokerStarted(BrokerId(1))]);
    assert_eq!(epochs(&before, 1), [0, 0, 0], "an image never changes");
    // A topic made later begins at zero whatever its leader's count.
    let (after, _) = after.apply_batch(&[topic(2, "b", vec![run(1, 1)])]).unwrap();
    assert_eq!(epochs(&after, 2), [0]);
    assert_eq!(epochs(&image(&after.records().collect::<Vec<_>>()), 1), [2, 2, 0]);
}

#[test]
fn names_configs_and_reservations_go_with_the_topic() {
    let tp = TopicIdPartition { topic: id(1), partition: 1 };
    let mut image = image(&[
        topic(1, "a.b", vec![run(2, 1)]),
        topic(2, "c", vec![run(1, 1)]),
        config(ConfigResource::Topic(id(1)), "retention.ms", Some("5")),
        MetadataRecord::offsets_reserved(tp, Offset(100)),
    ]);
    assert_eq!(image.topic_by_name("a.b").unwrap().configs()["retention.ms"], "5");
    assert_eq!(image.reserved_offset(&tp), Some(Offset(100)));
    assert_eq!(image.colliding_topic("a_b").map(|name| &**name), Some("a.b"));
    assert_eq!(image.colliding_topic("ab"), None);
    assert_eq!(image.partition_count(), 3);
    assert_eq!(image.topics().map(|topic| &**topic.name()).collect::<Vec<_>>(), ["a.b", "c"]);
    assert_eq!(image.topics_from("b").map(|topic| &**topic.name()).collect::<Vec<_>>(), ["c"]);

    let change = image.apply(&MetadataRecord::TopicDeleted { topic: id(1) }).unwrap();
    assert_eq!(change, Change::TopicDeleted { topic: id(1), name: "a.b".into(), partitions: 2 });
    assert!(image.topic_by_name("a.b").is_none() && image.topic_by_id(&id(1)).is_none());
    assert_eq!(image.reserved_offset(&tp), None);
    assert_eq!(image.colliding_topic("a_b"), None);
    assert_eq!(image.partition_count(), 1);
}

#[test]
fn configs_of_brokers_are_set_and_removed() {
    let mut image = MetadataImage::default();
    for resource in [ConfigResource::Broker(BrokerId(3)), ConfigResource::BrokerDefault] {
        image.apply(&config(resource, "log.retention.ms", Some("7"))).unwrap();
    }
    assert_eq!(image.brokers_with_configs().collect::<Vec<_>>(), [None, Some(BrokerId(3))]);
    assert_eq!(image.broker_configs(None)["log.retention.ms"], "7");
    image.apply(&config(ConfigResource::BrokerDefault, "log.retention.ms", None)).unwrap();
    assert!(image.broker_configs(None).is_empty());
    assert_eq!(image.brokers_with_configs().count(), 1);
}

#[test]
fn configs_of_groups_are_set_and_removed() {
    let mut image = MetadataImage::default();
    let group = |id: &str| ConfigResource::Group(id.to_owned());
    let set = |id, value| config(group(id), "consumer.session.timeout.ms", value);
    assert_eq!(image.apply(&set("orders", Some("50000"))).unwrap(), Change::GroupConfigs("orders".into()));
    image.apply(&set("a group", Some("1"))).unwrap();
    assert_eq!(image.groups_with_configs().map(|id| &**id).collect::<Vec<_>>(), ["a group", "orders"]);
    assert_eq!(image.group_configs("orders")["consumer.session.timeout.ms"], "50000");
    assert!(image.group_configs("order").is_empty());
    let records: Vec<_> = image.records().collect();
    assert_eq!(self::image(&records), image, "a snapshot has them");
    image.apply(&set("orders", None)).unwrap();
    assert!(image.group_configs("orders").is_empty());
    assert_eq!(image.groups_with_configs().count(), 1);
}

#[test]
fn records_that_contradict_the_image_are_refused() {
    let there = image(&[start(1, 5), topic(1, "a", vec![run(2, 1)])]);
    let not_in_sync = PartitionRun { isr: Some(vec![]), ..run(1, 1) };
    let stranger = PartitionRun { isr: Some(vec![BrokerId(1), BrokerId(2)]), ..run(1, 1) };
    let negative = PartitionRun { leader_epoch: LeaderEpoch(-1), ..run(1, 1) };
    let add = |topic, first, run| MetadataRecord::PartitionsAdded { topic, first, partitions: vec![run] };
    let reserve = |partition, until| {
        MetadataRecord::offsets_reserved(TopicIdPartition { topic: id(1), partition }, Offset(until))
    };
    let cases = [
        topic(1, "b", vec![run(1, 1)]),
        topic(2, "a", vec![run(1, 1)]),
        topic(2, "b", vec![]),
        topic(2, "b", vec![run(0, 1)]),
        topic(2, "b", vec![run(10_001, 1)]),
        topic(2, "b", vec![run(u32::MAX, 1), run(u32::MAX, 1)]),
        topic(2, "b", vec![not_in_sync]),
        topic(2, "b", vec![stranger]),
        topic(2, "b", vec![negative]),
        add(id(9), 2, run(1, 1)),
        add(id(1), 1, run(1, 1)),
        add(id(1), 3, run(1, 1)),
        start(1, 5),
        start(1, 4),
        MetadataRecord::TopicDeleted { topic: id(9) },
        config(ConfigResource::Topic(id(9)), "x", Some("y")),
        MetadataRecord::ProducerIdsAllocated { broker: BrokerId(1), next: ProducerId(0) },
        MetadataRecord::FeatureFinalized { name: "f".to_owned(), level: -1 },
        reserve(2, 5),
        reserve(-1, 5),
        reserve(0, 0),
    ];
    for case in cases {
        let mut image = there.clone();
        assert!(image.apply(&case).is_err(), "{case:?}");
        assert_eq!(image, there, "{case:?}");
    }
    let cluster = MetadataRecord::ClusterCreated { cluster_id: id(7) };
    let twice = MetadataImage::default().apply_batch(&[cluster.clone(), cluster]);
    assert!(matches!(twice, Err(ApplyError::Exists(_))));
}

#[test]
fn a_large_topic_is_small_and_survives_a_snapshot() {
    let mut big = image(&[start(1, 3), topic(1, "big", vec![run(10_000, 1)])]);
    for first in (10_000..45_000).step_by(5_000) {
        big.apply(&MetadataRecord::PartitionsAdded { topic: id(1), first, partitions: vec![run(5_000, 1)] }).unwrap();
    }
    assert_eq!(big.partition_count(), 45_000);
    let topic = big.topic_by_name("big").unwrap();
    assert_eq!(topic.partitions.runs().len(), 1, "alike partitions share an entry");
    assert_eq!(big.partitions(topic).map(|(number, _)| number).collect::<Vec<_>>(), (0..45_000).collect::<Vec<_>>());
    let records: Vec<_> = big.records().collect();
    assert_eq!(image(&records), big);
    assert!(big.partition(&id(1), 44_999).is_some());
    assert!(big.partition(&id(1), 45_000).is_none() && big.partition(&id(1), -1).is_none());
}

#[test]
fn a_batch_has_these_bytes_for_ever() {
    let b = BrokerId(1);
    let listener =
        Endpoint { name: "P".to_owned(), host: "h".to_owned(), port: 9092, security_protocol: SecurityProtocol::Ssl };
    let broker = BrokerRegistered {
        broker: b,
        incarnation: [2; 16],
        listeners: vec![listener],
        rack: Some("r".to_owned()),
        features: vec![FeatureRange { name: "f".to_owned(), min: 0, max: 2 }],
    };
    let partial = PartitionRun { isr: Some(vec![b]), replicas: vec![b, BrokerId(2)], ..run(1, 1) };
    let records = [
        (MetadataRecord::ClusterCreated { cluster_id: ClusterId::ZERO }, "82008150".to_owned() + &"00".repeat(16)),
        (MetadataRecord::FeatureFinalized { name: "f".to_owned(), level: 2 }, "8201826166 02".replace(' ', "")),
        (
            MetadataRecord::BrokerRegistered(broker),
            "82028185 01 50".replace(' ', "") + &"02".repeat(16) + "81 84 6150 6168 192384 01 6172 81 83 6166 00 02",
        ),
        (start(1, 4), "8203820104".to_owned()),
        (topic(0, "t", vec![run(3, 1)]), "8204 83 50".to_owned() + &"00".repeat(16) + "6174 81 85 03 8101 f6 01 00"),
        (
            MetadataRecord::PartitionsAdded { topic: TopicId::ZERO, first: 3, partitions: vec![partial] },
            "8205 83 50".to_owned() + &"00".repeat(16) + "03 81 85 01 820102 8101 01 00",
        ),
        (MetadataRecord::TopicDeleted { topic: TopicId::ZERO }, "8206 81 50".to_owned() + &"00".repeat(16)),
        (
            config(ConfigResource::Topic(TopicId::ZERO), "k", Some("v")),
            "8207 83 8200 81 50".to_owned() + &"00".repeat(16) + "616b 6176",
        ),
        (config(ConfigResource::Broker(b), "k", None), "8207 82 8201 8101 616b".to_owned()),
        (config(ConfigResource::BrokerDefault, "k", None), "8207 82 8202 80 616b".to_owned()),
        (config(ConfigResource::Group("g".to_owned()), "k", None), "8207 82 8203 81 6167 616b".to_owned()),
        (MetadataRecord::ProducerIdsAllocated { broker: b, next: ProducerId(1000) }, "8208 82 01 1903e8".to_owned()),
        (
            MetadataRecord::OffsetsReserved { topic: TopicId::ZERO, partition: 1, until: Offset(9) },
            "8209 83 50".to_owned() + &"00".repeat(16) + "01 09",
        ),
    ];
    for (record, expected) in records {
        let bytes = encode_batch(std::slice::from_ref(&record));
        let hex: String = bytes[5..].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, format!("81{}", expected.replace(' ', "")), "{record:?}");
        assert_eq!(decode_batch(&bytes).unwrap(), [record]);
    }
}

#[test]
fn what_is_not_a_batch_is_an_error() {
    let good = encode_batch(&[start(1, 1), topic(1, "a", vec![run(1, 1)])]);
    assert_eq!(decode_batch(&[]), Err(CodecError::Truncated(0)));
    assert_eq!(decode_batch(&good[..4]), Err(CodecError::Truncated(4)));
    let mut newer = good.clone();
    newer[0] = 2;
    assert_eq!(decode_batch(&newer), Err(CodecError::Version(2)));
    for position in 1..good.len() {
        let mut damaged = good.clone();
        damaged[position] ^= 0x40;
        assert!(matches!(decode_batch(&damaged), Err(CodecError::Checksum { .. })), "byte {position}");
    }
    // With a right checksum: unknown record, huge counts, wrong types, bytes behind the end.
    for body in [
        &[0x81, 0x82, 0x18, 0x63, 0x80][..],
        &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x81, 0x82, 0x04, 0x83, 0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x81, 0x60],
        &[0x80, 0x00],
        &[0x81, 0x82, 0x00, 0x81, 0x41, 0x00],
    ] {
        assert!(matches!(decode_batch(&sealed(body)), Err(CodecError::Malformed(_))), "{body:x?}");
    }
    // A field this program does not know is skipped.
    assert_eq!(decode_batch(&sealed(&[0x81, 0x82, 0x03, 0x83, 0x01, 0x04, 0x61, 0x78])), Ok(vec![start(1, 4)]));
}

fn sealed(body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend(crc32c::crc32c(body).to_be_bytes());
    bytes.extend(body);
    bytes
}

fn any_record() -> impl Strategy<Value = MetadataRecord> {
    let id = || any::<[u8; 16]>().prop_map(TopicId);
    let broker = || any::<i32>().prop_map(BrokerId);
    let text = || "\\PC{0,12}";
    let runs = || {
        let brokers = || proptest::collection::vec(broker(), 0..4);
        let run = (any::<u32>(), brokers(), proptest::option::of(brokers()), broker(), any::<i32>());
        let run = run.prop_map(|(count, replicas, isr, leader, epoch)| PartitionRun {
            count,
            replicas,
            isr,
            leader,
            leader_epoch: LeaderEpoch(epoch),
        });
        proptest::collection::vec(run, 0..4)
    };
    let resource = prop_oneof![
        id().prop_map(ConfigResource::Topic),
        broker().prop_map(ConfigResource::Broker),
        Just(ConfigResource::BrokerDefault),
        text().prop_map(ConfigResource::Group)
    ];
    let protocol = prop_oneof![
        Just(SecurityProtocol::Plaintext),
        Just(SecurityProtocol::Ssl),
        Just(SecurityProtocol::SaslPlaintext),
        Just(SecurityProtocol::SaslSsl)
    ];
    let endpoint = (text(), text(), any::<u16>(), protocol);
    let endpoint =
        endpoint.prop_map(|(name, host, port, security_protocol)| Endpoint { name, host, port, security_protocol });
    let range = (text(), any::<i16>(), any::<i16>()).prop_map(|(name, min, max)| FeatureRange { name, min, max });
    let registered = (
        broker(),
        any::<[u8; 16]>(),
        proptest::collection::vec(endpoint, 0..3),
        proptest::option::of(text()),
        proptest::collection::vec(range, 0..3),
    );
    prop_oneof![
        id().prop_map(|cluster_id| MetadataRecord::ClusterCreated { cluster_id }),
        (text(), any::<i16>()).prop_map(|(name, level)| MetadataRecord::FeatureFinalized { name, level }),
        registered.prop_map(|(broker, incarnation, listeners, rack, features)| {
            MetadataRecord::BrokerRegistered(BrokerRegistered { broker, incarnation, listeners, rack, features })
        }),
        (broker(), any::<i32>()).prop_map(|(broker, starts)| MetadataRecord::BrokerStarted { broker, starts }),
        (id(), text(), runs()).prop_map(|(topic, name, partitions)| MetadataRecord::TopicCreated {
            topic,
            name,
            partitions
        }),
        (id(), any::<i32>(), runs()).prop_map(|(topic, first, partitions)| MetadataRecord::PartitionsAdded {
            topic,
            first,
            partitions
        }),
        id().prop_map(|topic| MetadataRecord::TopicDeleted { topic }),
        (resource, text(), proptest::option::of(text()))
            .prop_map(|(resource, name, value)| MetadataRecord::ConfigChanged { resource, name, value }),
        (broker(), any::<i64>())
            .prop_map(|(broker, next)| MetadataRecord::ProducerIdsAllocated { broker, next: ProducerId(next) }),
        (id(), any::<i32>(), any::<i64>()).prop_map(|(topic, partition, until)| MetadataRecord::OffsetsReserved {
            topic,
            partition,
            until: Offset(until)
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn records_come_back_as_they_were(records in proptest::collection::vec(any_record(), 0..6), chunk in 0usize..200) {
        prop_assert_eq!(&decode_batch(&encode_batch(&records)).unwrap(), &records);
        let mut together = Vec::new();
        for piece in encode_chunks(records.iter().cloned(), chunk) {
            together.extend(decode_batch(&piece).unwrap());
        }
        prop_assert_eq!(together, records);
    }

    #[test]
    fn any_bytes_and_any_records_are_survived(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        records in proptest::collection::vec(any_record(), 0..6),
    ) {
        drop(decode_batch(&body));
        drop(decode_batch(&sealed(&body)));
        drop(MetadataImage::default().apply_batch(&records));
    }
}
