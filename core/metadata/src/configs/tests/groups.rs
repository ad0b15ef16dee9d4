//! Settings of groups: the broker's, and those of single groups.

use watershed_model::record::Compression;

use super::*;

#[test]
fn group_settings_have_kafkas_defaults() {
    let groups = broker(&[]).settings().groups.clone();
    let expected = GroupSettings {
        consumer_protocol: true,
        classic_session_timeout_min_ms: 6_000,
        classic_session_timeout_max_ms: 1_800_000,
        classic_initial_rebalance_delay_ms: 3_000,
        classic_size_max: i32::MAX as usize,
        consumer_session_timeout_ms: 45_000,
        consumer_session_timeout_min_ms: 45_000,
        consumer_session_timeout_max_ms: 60_000,
        consumer_heartbeat_interval_ms: 5_000,
        consumer_heartbeat_interval_min_ms: 5_000,
        consumer_heartbeat_interval_max_ms: 15_000,
        consumer_size_max: i32::MAX as usize,
        consumer_assignors: vec!["uniform".to_owned(), "range".to_owned()],
        consumer_migration_policy: MigrationPolicy { upgrade: true, downgrade: true },
        consumer_regex_refresh_interval_ms: 600_000,
        offset_metadata_bytes_max: 4_096,
        offsets_retention_ms: 7 * 24 * 3_600_000,
        offsets_retention_check_interval_ms: 600_000,
        offsets_commit_timeout_ms: 5_000,
        offsets_load_buffer_bytes: 5 << 20,
        offsets_topic_partitions: 50,
        offsets_topic_replication_factor: 3,
        offsets_topic_segment_bytes: 100 << 20,
        offsets_topic_compression: Compression::None,
    };
    assert_eq!(groups, expected);
}

#[test]
fn group_settings_are_read_from_the_file() {
    let config = broker(&[
        ("group.coordinator.rebalance.protocols", "classic"),
        ("group.consumer.migration.policy", "UPGRADE"),
        ("group.consumer.assignors", "sticky, range"),
        ("offsets.topic.compression.codec", "4"),
        ("offsets.retention.minutes", "2"),
        ("group.coordinator.threads", "4"),
    ]);
    let groups = &config.settings().groups;
    assert!(!groups.consumer_protocol);
    assert_eq!(groups.consumer_migration_policy, MigrationPolicy { upgrade: true, downgrade: false });
    assert_eq!(groups.consumer_assignors, ["sticky", "range"]);
    assert_eq!((groups.offsets_topic_compression, groups.offsets_retention_ms), (Compression::Zstd, 120_000));
    let down = broker(&[("group.consumer.migration.policy", "downgrade")]).settings().groups.consumer_migration_policy;
    assert_eq!(down, MigrationPolicy { upgrade: false, downgrade: true });
}

#[test]
fn wrong_group_settings_are_refused_and_say_why() {
    let check = |name: &str, value: &str, expected: &str| {
        let errors = BrokerConfig::new(map(&[(name, value)])).unwrap_err();
        assert_eq!(errors.len(), 1);
        let message = errors[0].to_string();
        assert!(message.starts_with("Invalid value ") && message.contains(name), "{message}");
        assert!(message.ends_with(expected), "{name} = {value}: {message}");
    };
    let protocols = "group.coordinator.rebalance.protocols";
    check(protocols, "classic,consumer,streams", "it must be a list of classic, consumer");
    check(protocols, "consumer", "the classic protocol cannot be disabled");
    check(protocols, "", "the classic protocol cannot be disabled");
    check(
        "group.coordinator.threads",
        "8",
        "coordinators need no threads of their own; only the default, 4, is accepted",
    );
    check("group.coordinator.append.linger.ms", "5", "only the default, -1, is accepted");
    let assignors = "this broker has the assignors range, round-robin, sticky, uniform";
    check("group.consumer.assignors", "uniform,org.example.Best", assignors);
    check("group.consumer.assignors", "range,range", "range stands in the list twice");
    check("group.consumer.assignors", "", "it must be a list of assignors of this broker");
    check("group.consumer.assignors", "range,", "it must be a list of assignors of this broker");
    check("group.consumer.migration.policy", "both", "it must be one of bidirectional, upgrade, downgrade, disabled");
    check("group.consumer.regex.refresh.interval.ms", "9999", "it must be at least 10000");
    check("offsets.topic.segment.bytes", "1024", "it must be at least 1048576");
    check("offsets.topic.num.partitions", "10001", "it must be between 1 and 10000");
    check("offsets.topic.replication.factor", "0", "it must be at least 1");
    check("offsets.topic.compression.codec", "5", "it must be between 0 and 4");
}

#[test]
fn group_settings_are_checked_together() {
    let check = |pairs: &[(&str, &str)], expected: &str| {
        let errors = BrokerConfig::new(map(pairs)).unwrap_err();
        let expected = format!("Configurations {expected}");
        assert_eq!(errors[0].to_string(), expected);
    };
    check(
        &[("group.min.session.timeout.ms", "1800001")],
        "group.min.session.timeout.ms and group.max.session.timeout.ms contradict each other: 1800001 is larger than \
         1800000",
    );
    check(
        &[("group.consumer.max.heartbeat.interval.ms", "4000")],
        "group.consumer.min.heartbeat.interval.ms and group.consumer.max.heartbeat.interval.ms contradict each other: \
         5000 is larger than 4000",
    );
    check(
        &[("group.consumer.heartbeat.interval.ms", "4999")],
        "group.consumer.min.heartbeat.interval.ms and group.consumer.heartbeat.interval.ms contradict each other: 5000 \
         is larger than 4999",
    );
    check(
        &[("group.consumer.session.timeout.ms", "60001")],
        "group.consumer.session.timeout.ms and group.consumer.max.session.timeout.ms contradict each other: 60001 is \
         larger than 60000",
    );
    check(
        &[("group.consumer.session.timeout.ms", "5000"), ("group.consumer.min.session.timeout.ms", "1000")],
        "group.consumer.heartbeat.interval.ms and group.consumer.session.timeout.ms contradict each other: 5000 is not \
         less than 5000",
    );
}

#[test]
fn a_broker_may_be_built_with_other_assignors() {
    let parts =
        Parts { assignors: vec!["uniform".to_owned(), "range".to_owned(), "mine".to_owned()], ..Parts::default() };
    let config = BrokerConfig::with_parts(map(&[("group.consumer.assignors", "mine")]), parts).unwrap();
    assert_eq!(config.settings().groups.consumer_assignors, ["mine"]);
    assert!(config.with_dynamic(BTreeMap::new(), map(&[("message.max.bytes", "9")])).is_ok());
}

#[test]
fn group_settings_are_described_but_not_changed_at_run_time() {
    let name = "group.consumer.session.timeout.ms";
    let entries = describe_broker(&broker(&[(name, "50000")]));
    let expected = format!("50000 from 4 by [4:{name}=50000, 5:{name}=45000]");
    assert_eq!(show(&entries, name), expected);
    assert!(entries.iter().filter(|entry| entry.name.starts_with("group.")).all(|entry| entry.read_only));
    // Kafka's internal configs are shown where they are set.
    let refresh = "group.consumer.regex.refresh.interval.ms";
    assert!(entries.iter().all(|entry| entry.name != refresh));
    let entries = describe_broker(&broker(&[(refresh, "10000")]));
    assert_eq!(show(&entries, refresh), format!("10000 from 4 by [4:{refresh}=10000, 5:{refresh}=600000]"));
    assert!(validate_broker_dynamic(name, "50000").is_err());
}

#[test]
fn a_groups_config_is_its_own_or_the_brokers() {
    let broker = broker(&[("group.consumer.heartbeat.interval.ms", "6000")]);
    let resolve = |pairs: &[(&str, &str)]| {
        let config = GroupConfig::resolve(&broker.settings().groups, &map(pairs));
        (config.consumer_session_timeout_ms, config.consumer_heartbeat_interval_ms)
    };
    assert_eq!(resolve(&[]), (45_000, 6_000));
    assert_eq!(resolve(&[("consumer.session.timeout.ms", "50000")]), (50_000, 6_000));
    // Stored under other bounds, or by a newer version.
    assert_eq!(resolve(&[("consumer.session.timeout.ms", "1"), ("consumer.heartbeat.interval.ms", "x")]), (1, 6_000));
}

#[test]
fn group_configs_are_checked_against_the_brokers_bounds() {
    let broker = broker(&[("group.consumer.min.session.timeout.ms", "8000")]);
    let check = |pairs: &[(&str, &str)], expected: &[&str]| {
        let errors = validate_group_all(&broker, &map(pairs)).err().unwrap_or_default();
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{pairs:?}");
    };
    check(&[], &[]);
    check(&[("consumer.session.timeout.ms", "60000"), ("consumer.heartbeat.interval.ms", "15000")], &[]);
    check(
        &[("consumer.session.timeout.ms", "7999"), ("consumer.heartbeat.interval.ms", "15001")],
        &[
            "Invalid value 15001 for configuration consumer.heartbeat.interval.ms: it must be less than or equal to \
             group.consumer.max.heartbeat.interval.ms, 15000",
            "Invalid value 7999 for configuration consumer.session.timeout.ms: it must be greater than or equal to \
             group.consumer.min.session.timeout.ms, 8000",
        ],
    );
    check(
        &[("consumer.session.timeout.ms", "0")],
        &["Invalid value 0 for configuration consumer.session.timeout.ms: it must be at least 1"],
    );
    check(
        &[("consumer.session.timeout.ms", "9000"), ("consumer.heartbeat.interval.ms", "9000")],
        &[
            "Configurations consumer.session.timeout.ms and consumer.heartbeat.interval.ms contradict each other: 9000 is \
           not more than 9000",
        ],
    );
    check(
        &[("share.isolation.level", "read_committed"), ("consumer.sesion.timeout.ms", "1")],
        &[
            "Unknown group config name: consumer.sesion.timeout.ms (did you mean consumer.session.timeout.ms?)",
            "Unknown group config name: share.isolation.level",
        ],
    );
}

#[test]
fn groups_are_described_as_kafka_describes_them() {
    let broker = broker(&[("group.consumer.heartbeat.interval.ms", "6000")]);
    let entries = describe_group(&broker, &map(&[("consumer.session.timeout.ms", "50000")]));
    assert_eq!(show(&entries, "consumer.session.timeout.ms"), "50000 from 8 by [8:consumer.session.timeout.ms=50000]");
    assert_eq!(
        show(&entries, "consumer.heartbeat.interval.ms"),
        "6000 from 5 by [5:consumer.heartbeat.interval.ms=6000]"
    );
    assert!(entries.iter().all(|entry| !entry.read_only && entry.kind == ConfigKind::Int));
}
