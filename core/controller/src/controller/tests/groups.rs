//! What the controller does for groups: their configs.

use super::*;

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
    let cases = [
        ("", TIMEOUT, set("50000"), "InvalidRequest: Default group resources are not allowed."),
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
