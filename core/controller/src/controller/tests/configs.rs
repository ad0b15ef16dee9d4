//! Configs of topics, brokers and groups.

use super::*;

#[test]
fn configs_change_one_by_one() {
    let mut world = World::new(1);
    world.create_one(topic("t", 1, 1)).unwrap();
    let set = |value: &str| ConfigOp::Set(value.to_owned());
    let append = |value: &str| ConfigOp::Append(value.to_owned());
    let subtract = |value: &str| ConfigOp::Subtract(value.to_owned());
    let long = "x".repeat(32_768);
    // The operation, the key, and the value after it or the error.
    let cases: [(&str, ConfigOp, Expected<Option<&str>>); 15] = [
        ("retention.ms", set("1000"), Ok(Some("1000"))),
        ("retention.ms", set("-5"), Err("InvalidConfig: ")),
        (
            "retention.ms",
            append("1"),
            Err("InvalidConfig: Can't APPEND to key retention.ms because its type is not LIST."),
        ),
        ("retention.ms", subtract("1"), Err("InvalidConfig: Can't SUBTRACT to key")),
        ("retention.ms", ConfigOp::Delete, Ok(None)),
        ("retention.ms", ConfigOp::Delete, Ok(None)),
        ("no.such.key", set("1"), Err("InvalidConfig: Unknown topic config name")),
        ("no.such.key", append("1"), Err("InvalidConfig: ")),
        // The default is "delete": appending starts from it.
        ("cleanup.policy", append(""), Err("InvalidConfig: ")),
        ("cleanup.policy", append("compact,"), Ok(Some("delete,compact"))),
        ("cleanup.policy", subtract("delete"), Ok(Some("compact"))),
        ("cleanup.policy", set("everything"), Err("InvalidConfig: ")),
        (
            "watershed.storage",
            set("memory"),
            Err("InvalidConfig: watershed.storage of an existing topic cannot change"),
        ),
        ("watershed.storage", set("disk"), Ok(Some("disk"))),
        (
            "compression.type",
            set(&long),
            Err("InvalidConfig: The configuration value of compression.type cannot be added"),
        ),
    ];
    for (name, op, expected) in cases {
        let before = world.config("t", name).map(str::to_owned);
        let reply = world.alter(ConfigTarget::Topic("t".to_owned()), name, op.clone());
        let after = world.config("t", name);
        match (reply, expected) {
            (Ok(()), Ok(expected)) => assert_eq!(after, expected, "{op:?} {name}"),
            (Err(error), Err(expected)) => {
                assert!(told(&error).starts_with(expected), "{op:?} {name}: {}", told(&error));
                assert_eq!(after, before.as_deref());
            }
            (reply, _) => panic!("{op:?} {name}: {reply:?}"),
        }
    }
}

#[test]
fn a_resource_changes_as_a_whole_or_not_at_all() {
    let mut world = World::new(1);
    world.create_one(topic("t", 1, 1)).unwrap();
    let target = || ConfigTarget::Topic("t".to_owned());
    let ops = |ops: &[(&str, &str)]| -> Vec<(String, ConfigOp)> {
        ops.iter().map(|(name, value)| ((*name).to_owned(), ConfigOp::Set((*value).to_owned()))).collect()
    };
    let ask = |world: &mut World, requests: &[IncrementalAlter]| {
        let outcome = world.controller.incremental_alter_configs(&world.image, requests, false);
        world
            .commit(outcome)
            .iter()
            .map(|reply| reply.as_ref().map_or_else(told, |()| "ok".to_owned()))
            .collect::<Vec<_>>()
    };
    // One bad value spoils its resource, not the other.
    let bad = IncrementalAlter { target: target(), ops: ops(&[("retention.ms", "5"), ("segment.ms", "x")]) };
    let good = IncrementalAlter { target: ConfigTarget::BrokerDefault, ops: vec![] };
    let replies = ask(&mut world, &[bad, good]);
    assert!(replies[0].starts_with("InvalidConfig: ") && replies[1] == "ok", "{replies:?}");
    assert_eq!(world.config("t", "retention.ms"), None);
    // Values that contradict each other.
    let lags = ops(&[("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "5")]);
    assert!(ask(&mut world, &[IncrementalAlter { target: target(), ops: lags }])[0].starts_with("InvalidConfig: "));
    // The same key or resource twice.
    let twice = ops(&[("retention.ms", "5"), ("retention.ms", "6")]);
    let replies = ask(&mut world, &[IncrementalAlter { target: target(), ops: twice }]);
    assert_eq!(replies, ["InvalidRequest: Error due to duplicate config keys"]);
    let one = IncrementalAlter { target: target(), ops: ops(&[("retention.ms", "5")]) };
    let replies = ask(&mut world, &[one.clone(), one]);
    assert_eq!(replies, ["InvalidRequest: Each resource must appear at most once."; 2]);
    // Resources that are not there.
    let cases = [
        (ConfigTarget::Topic("u".to_owned()), "UnknownTopic: "),
        (ConfigTarget::Topic(String::new()), "InvalidRequest: Default topic resources are not allowed."),
        (ConfigTarget::Topic("a/b".to_owned()), "InvalidTopic: "),
        (ConfigTarget::Broker(BrokerId(9)), "UnknownBroker: "),
        (ConfigTarget::Broker(BrokerId(-1)), "InvalidRequest: Invalid negative broker ID."),
    ];
    for (target, expected) in cases {
        let replies = ask(&mut world, &[IncrementalAlter { target, ops: ops(&[("retention.ms", "5")]) }]);
        assert!(replies[0].starts_with(expected), "{replies:?}");
    }
}

#[test]
fn replacing_configs_removes_what_is_not_named() {
    let mut world = World::new(1);
    world.create_one(with_config("t", "retention.ms", Some("1000"))).unwrap();
    let request = |configs: &[(&str, Option<&str>)]| {
        let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect();
        [ReplaceConfigs { target: ConfigTarget::Topic("t".to_owned()), configs }]
    };
    let outcome = world.controller.replace_configs(&world.image, &request(&[("segment.ms", Some("60000"))]), false);
    assert_eq!(outcome.records.len(), 2);
    assert_eq!(world.commit(outcome), [Ok(())]);
    assert_eq!((world.config("t", "retention.ms"), world.config("t", "segment.ms")), (None, Some("60000")));
    let outcome = world.controller.replace_configs(&world.image, &request(&[("segment.ms", None)]), false);
    assert_eq!(
        told(outcome.reply[0].as_ref().unwrap_err()),
        "InvalidRequest: Null value not supported for : segment.ms"
    );
    let outcome = world.controller.replace_configs(&world.image, &request(&[]), true);
    assert_eq!((outcome.records.len(), outcome.reply), (0, vec![Ok(())]));
}

#[test]
fn broker_configs_are_those_that_can_change_while_it_runs() {
    let mut world = World::new(2);
    let set = |value: &str| ConfigOp::Set(value.to_owned());
    let default = || ConfigTarget::BrokerDefault;
    world.alter(default(), "log.retention.ms", set("86400000")).unwrap();
    world.alter(ConfigTarget::Broker(BrokerId(1)), "log.retention.ms", set("1000")).unwrap();
    assert_eq!(world.image.broker_configs(None)["log.retention.ms"], "86400000");
    assert_eq!(world.image.broker_configs(Some(BrokerId(1)))["log.retention.ms"], "1000");
    for (name, value) in [("node.id", "7"), ("log.retention.ms", "soon"), ("no.such.key", "1")] {
        let error = world.alter(default(), name, set(value)).unwrap_err();
        assert!(matches!(error, ControllerError::InvalidRequest(_)), "{name}: {error}");
    }
    world.alter(ConfigTarget::Broker(BrokerId(1)), "log.retention.ms", ConfigOp::Delete).unwrap();
    assert!(world.image.broker_configs(Some(BrokerId(1))).is_empty());
}

#[test]
fn topic_configs_belong_to_the_topic_not_to_its_name() {
    let mut world = World::new(1);
    world.create_one(with_config("t", "retention.ms", Some("1000"))).unwrap();
    let first = world.image.topic_by_name("t").unwrap().id();
    let outcome = world.controller.delete_topics(&world.image, &[TopicRef::Name("t".to_owned())]);
    world.commit(outcome).remove(0).unwrap();
    world.create_one(topic("t", 1, 1)).unwrap();
    assert_eq!(world.config("t", "retention.ms"), None);
    let late = MetadataRecord::ConfigChanged {
        resource: ConfigResource::Topic(first),
        name: "retention.ms".to_owned(),
        value: None,
    };
    assert!(world.image.apply_batch(&[late]).is_err());
}

const TIMEOUT: &str = "consumer.session.timeout.ms";

fn group(id: &str) -> ConfigTarget {
    ConfigTarget::Group(id.to_owned())
}

fn set(value: &str) -> ConfigOp {
    ConfigOp::Set(value.to_owned())
}

#[test]
fn groups_have_configs_whether_they_exist_or_not() {
    let mut world = World::new(1);
    world.alter(group("orders"), TIMEOUT, set("50000")).unwrap();
    assert_eq!(world.image.group_configs("orders")[TIMEOUT], "50000");
    let request = [ReplaceConfigs {
        target: group("orders"),
        configs: vec![("consumer.heartbeat.interval.ms".into(), Some("6000".into()))],
    }];
    let outcome = world.controller.replace_configs(&world.image, &request, false);
    assert_eq!(world.commit(outcome), [Ok(())]);
    assert_eq!(world.image.group_configs("orders").keys().collect::<Vec<_>>(), ["consumer.heartbeat.interval.ms"]);
    world.alter(group("orders"), "consumer.heartbeat.interval.ms", ConfigOp::Delete).unwrap();
    assert_eq!(world.image.groups_with_configs().count(), 0);
    // What is not set may be deleted, also under a name that nobody knows, as in Kafka.
    world.alter(group("orders"), "no.such.config", ConfigOp::Delete).unwrap();
}

#[test]
fn wrong_configs_of_groups_are_refused() {
    let mut world = World::new(1);
    let long = "g".repeat(32_768);
    let cases = [
        ("", TIMEOUT, set("50000"), "InvalidRequest: Default group resources are not allowed."),
        (&long, TIMEOUT, set("50000"), "InvalidRequest: A group id of 32768 bytes is longer than 32767."),
        (
            "g",
            "share.isolation.level",
            set("read_committed"),
            "InvalidConfig: Unknown group config name: share.isolation",
        ),
        (
            "g",
            TIMEOUT,
            set("soon"),
            "InvalidConfig: Invalid value soon for configuration consumer.session.timeout.ms: ",
        ),
        (
            "g",
            TIMEOUT,
            set("44999"),
            "InvalidConfig: Invalid value 44999 for configuration consumer.session.timeout.ms: ",
        ),
        (
            "g",
            TIMEOUT,
            ConfigOp::Append("1".to_owned()),
            "InvalidConfig: Can't APPEND to key consumer.session.timeout.ms",
        ),
    ];
    for (id, name, op, expected) in cases {
        let told = told(&world.alter(group(id), name, op).unwrap_err());
        assert!(told.starts_with(expected), "{told}");
    }
    assert_eq!(world.image.groups_with_configs().count(), 0);
}
