//! Topics in which the broker keeps state of its own.

use watershed_metadata::configs::{BrokerConfig, GroupSettings};
use watershed_metadata::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC};

use super::*;

fn groups() -> GroupSettings {
    BrokerConfig::default().settings().groups.clone()
}

/// A world whose broker's file has other defaults than those that internal topics need.
fn careless() -> World {
    let mut world = World::new(1);
    let settings = [("watershed.storage", "memory"), ("watershed.flush", "relaxed")];
    let fixed = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    world.controller = Controller::new(BrokerId(1), BrokerConfig::new(fixed).unwrap());
    world
}

#[test]
fn the_offsets_topic_is_created_as_in_kafka() {
    let mut world = World::new(1);
    let wanted = CreateTopic::group_metadata(&groups(), world.image.broker_count());
    assert_eq!(world.create_one(wanted), Ok((50, 1)));
    let config = |name| world.config(OFFSETS_TOPIC, name);
    assert_eq!(config("cleanup.policy"), Some("compact"));
    assert_eq!(config("compression.type"), Some("producer"));
    assert_eq!(config("segment.bytes"), Some("104857600"));
    let mut world = World::new(5);
    let wanted = CreateTopic::group_metadata(&groups(), world.image.broker_count());
    assert_eq!(world.create_one(wanted), Ok((50, 3)));
}

#[test]
fn internal_topics_are_on_disk_and_synced_whatever_the_defaults() {
    let mut world = careless();
    for name in [OFFSETS_TOPIC, TRANSACTIONS_TOPIC] {
        world.create_one(topic(name, 2, 1)).unwrap();
        assert_eq!(world.config(name, "watershed.storage"), Some("disk"), "{name}");
        assert_eq!(world.config(name, "watershed.flush"), Some("sync"), "{name}");
    }
    world.create_one(topic("t", 1, 1)).unwrap();
    assert_eq!(world.config("t", "watershed.storage"), None);
    let told =
        told(&careless().create_one(with_config(OFFSETS_TOPIC, "watershed.flush", Some("relaxed"))).unwrap_err());
    assert_eq!(
        told,
        "InvalidConfig: watershed.flush of an internal topic cannot be chosen: its records have to survive."
    );
}

#[test]
fn internal_topics_stay_so_and_everything_else_may_change() {
    let mut world = careless();
    world.create_one(topic(OFFSETS_TOPIC, 2, 1)).unwrap();
    let target = || ConfigTarget::Topic(OFFSETS_TOPIC.to_owned());
    let set = |value: &str| ConfigOp::Set(value.to_owned());
    world.alter(target(), "min.insync.replicas", set("2")).unwrap();
    for (name, op) in [
        ("watershed.storage", set("memory")),
        ("watershed.storage", ConfigOp::Delete),
        ("watershed.flush", set("relaxed")),
        ("watershed.flush", ConfigOp::Delete),
    ] {
        let told = told(&world.alter(target(), name, op).unwrap_err());
        assert!(told.starts_with(&format!("InvalidConfig: {name} of an internal topic")), "{told}");
    }
    world.alter(target(), "watershed.flush", set("sync")).unwrap();
    // A replacement that does not name them leaves them.
    let request =
        [ReplaceConfigs { target: target(), configs: vec![("segment.bytes".into(), Some("1048576".into()))] }];
    let outcome = world.controller.replace_configs(&world.image, &request, false);
    assert_eq!(world.commit(outcome), [Ok(())]);
    let config = |name| world.config(OFFSETS_TOPIC, name);
    assert_eq!((config("min.insync.replicas"), config("segment.bytes")), (None, Some("1048576")));
    assert_eq!((config("watershed.storage"), config("watershed.flush")), (Some("disk"), Some("sync")));
}

#[test]
fn clients_may_create_grow_and_delete_internal_topics_as_in_kafka() {
    let mut world = World::new(1);
    assert_eq!(world.create_one(topic(OFFSETS_TOPIC, 1, 1)), Ok((1, 1)));
    let more = [CreatePartitions { name: OFFSETS_TOPIC.to_owned(), count: 3, assignments: None }];
    let outcome = world.controller.create_partitions(&world.image, &more, false);
    assert_eq!(world.commit(outcome), [Ok(())]);
    let outcome = world.controller.delete_topics(&world.image, &[TopicRef::Name(OFFSETS_TOPIC.to_owned())]);
    assert!(world.commit(outcome).remove(0).is_ok());
    assert!(world.image.topic_by_name(OFFSETS_TOPIC).is_none());
}
