//! Random histories: whatever is asked, in whatever order, the records tell the whole story.

use std::collections::BTreeMap;

use proptest::prelude::*;
use watershed_metadata::{MetadataImage, MetadataRecord, decode_batch, encode_batch, encode_chunks};
use watershed_model::{BrokerId, LeaderEpoch, Offset, TopicId, TopicIdPartition};

use super::{World, broker, topic};
use crate::{ConfigOp, ConfigTarget, CreatePartitions, IncrementalAlter, RegisterBroker, ReplaceConfigs, TopicRef};

#[derive(Clone, Debug)]
enum Command {
    Create(Vec<(String, i32, i16)>),
    Delete(Vec<String>),
    Grow(String, i32),
    Alter(String, String, ConfigOp),
    Replace(String, Vec<(String, Option<String>)>),
    AlterBroker(Option<i32>, String),
    Start(i32, u8),
    ProducerIds(i32, i64),
    Reserve(u8, i32, i64),
}

fn command() -> impl Strategy<Value = Command> {
    let name = || "[ab][._]?[ab]";
    let key = || prop_oneof![Just("retention.ms"), Just("cleanup.policy"), Just("nonsense")].prop_map(str::to_owned);
    let value = || prop_oneof![Just("1000"), Just("compact"), Just("delete"), Just("-7")].prop_map(str::to_owned);
    let op = prop_oneof![
        value().prop_map(ConfigOp::Set),
        Just(ConfigOp::Delete),
        value().prop_map(ConfigOp::Append),
        value().prop_map(ConfigOp::Subtract)
    ];
    prop_oneof![
        proptest::collection::vec((name(), -1..40, -1i16..4), 0..4).prop_map(Command::Create),
        proptest::collection::vec(name().prop_map(String::from), 0..3).prop_map(Command::Delete),
        (name(), 0..60).prop_map(|(name, count)| Command::Grow(name, count)),
        (name(), key(), op).prop_map(|(name, key, op)| Command::Alter(name, key, op)),
        (name(), proptest::collection::vec((key(), proptest::option::of(value())), 0..3))
            .prop_map(|(name, configs)| Command::Replace(name, configs)),
        (proptest::option::of(0..5), value()).prop_map(|(broker, value)| Command::AlterBroker(broker, value)),
        (0..4, 0u8..4).prop_map(|(broker, incarnation)| Command::Start(broker, incarnation)),
        (0..4, 0i64..3).prop_map(|(broker, epoch)| Command::ProducerIds(broker, epoch)),
        (0u8..20, 0..10, -1i64..1000).prop_map(|(topic, partition, until)| Command::Reserve(topic, partition, until)),
    ]
}

/// The records with which a command is answered; checks that only asking gives the same answer and none.
fn answer(world: &mut World, command: &Command) -> Vec<MetadataRecord> {
    let (controller, image) = (world.controller.clone(), world.image.clone());
    match command {
        Command::Create(topics) => {
            let topics: Vec<_> = topics.iter().map(|(name, count, factor)| topic(name, *count, *factor)).collect();
            let next = &mut world.next_id;
            let outcome = controller.create_topics(&image, &topics, false, &mut || {
                *next = next.wrapping_add(1);
                TopicId([*next; 16])
            });
            outcome.records
        }
        Command::Delete(names) => {
            let topics: Vec<_> = names.iter().cloned().map(TopicRef::Name).collect();
            controller.delete_topics(&image, &topics).records
        }
        Command::Grow(name, count) => {
            let request = [CreatePartitions { name: name.clone(), count: *count, assignments: None }];
            assert!(controller.create_partitions(&image, &request, true).records.is_empty());
            controller.create_partitions(&image, &request, false).records
        }
        Command::Alter(name, key, op) => {
            let ops = vec![(key.clone(), op.clone())];
            let request = [IncrementalAlter { target: ConfigTarget::Topic(name.clone()), ops }];
            assert!(controller.incremental_alter_configs(&image, &request, true).records.is_empty());
            controller.incremental_alter_configs(&image, &request, false).records
        }
        Command::Replace(name, configs) => {
            let request = [ReplaceConfigs { target: ConfigTarget::Topic(name.clone()), configs: configs.clone() }];
            controller.replace_configs(&image, &request, false).records
        }
        Command::AlterBroker(broker, value) => {
            let target = broker.map_or(ConfigTarget::BrokerDefault, |id| ConfigTarget::Broker(BrokerId(id)));
            let ops = vec![("log.retention.ms".to_owned(), ConfigOp::Set(value.clone()))];
            controller.incremental_alter_configs(&image, &[IncrementalAlter { target, ops }], false).records
        }
        Command::Start(id, incarnation) => {
            let request = RegisterBroker { incarnation: [*incarnation; 16], ..broker(*id, None) };
            controller.register_broker(&image, &request).records
        }
        Command::ProducerIds(broker, epoch) => {
            controller.allocate_producer_ids(&image, BrokerId(*broker), *epoch).records
        }
        Command::Reserve(topic, partition, until) => {
            let tp = TopicIdPartition { topic: TopicId([*topic; 16]), partition: *partition };
            controller.reserve_offsets(&image, &[(tp, Offset(*until))]).records
        }
    }
}

fn epochs(image: &MetadataImage) -> BTreeMap<(TopicId, i32), LeaderEpoch> {
    let all = image.topics().flat_map(|topic| image.partitions(topic).map(|(n, p)| ((topic.id(), n), p.leader_epoch)));
    all.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn records_tell_the_whole_story(commands in proptest::collection::vec(command(), 1..60)) {
        let mut world = World::new(2);
        let mut log = vec![encode_batch(&world.image.records().collect::<Vec<_>>())];
        let mut known = epochs(&world.image);
        for command in &commands {
            let records = answer(&mut world, command);
            let (image, changes) = world.image.apply_batch(&records).unwrap();
            prop_assert_eq!(changes.len(), records.len());
            log.push(encode_batch(&records));
            // Leader epochs never fall, and counts agree.
            let now = epochs(&image);
            for (partition, epoch) in &now {
                prop_assert!(known.get(partition).is_none_or(|before| epoch >= before));
            }
            known.extend(now.iter().map(|(partition, epoch)| (*partition, *epoch)));
            prop_assert_eq!(now.len(), image.partition_count());
            prop_assert!(image.next_producer_id() >= world.image.next_producer_id());
            world.image = image;
        }
        // The log, read back, gives the same image; so does a snapshot of it.
        let mut replayed = MetadataImage::default();
        for batch in &log {
            replayed = replayed.apply_batch(&decode_batch(batch).unwrap()).unwrap().0;
        }
        prop_assert_eq!(&replayed, &world.image);
        let mut restored = MetadataImage::default();
        for chunk in encode_chunks(world.image.records(), 300) {
            restored = restored.apply_batch(&decode_batch(&chunk).unwrap()).unwrap().0;
        }
        prop_assert_eq!(&restored, &world.image);
        prop_assert_eq!(epochs(&restored), epochs(&world.image));
    }
}
