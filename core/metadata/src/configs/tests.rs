//! The tables against themselves, and the answers against what Kafka 4.2.0 answered to the same questions.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::*;

mod group_rules;
mod groups;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn broker(pairs: &[(&str, &str)]) -> BrokerConfig {
    BrokerConfig::new(map(pairs)).unwrap()
}

#[test]
fn the_tables_agree_with_themselves() {
    for def in topic_config_defs().iter().chain(broker_config_defs()).chain(group_config_defs()) {
        if let Some(default) = def.default {
            let value = def.check(default).unwrap();
            assert_eq!(value.to_string(), default, "{}: the default is not in its printed form", def.name);
        }
        for synonym in def.synonyms {
            assert!(broker_config_def(synonym.name).is_some(), "{} is not in the broker table", synonym.name);
        }
        assert!(def.doc.ends_with('.'), "{}", def.name);
    }
    for defs in [topic_config_defs(), broker_config_defs(), group_config_defs()] {
        let mut names: Vec<_> = defs.iter().map(|def| def.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), defs.len());
        assert!(defs.is_sorted_by_key(|def| def.ours), "ours come after Kafka's");
    }
    let kafkas = topic_config_defs().iter().filter(|def| !def.ours && !def.internal).count();
    assert_eq!(kafkas, 33, "Kafka 4.2.0 describes 33 topic configs");
}

#[test]
fn broker_defaults_give_the_topic_defaults() {
    let broker = BrokerConfig::default();
    for def in topic_config_defs() {
        let value = topic_value(&broker, &BTreeMap::new(), def.name).unwrap();
        assert_eq!(value.map(|value| value.to_string()).as_deref(), def.default, "{}", def.name);
    }
    assert_eq!(TopicConfig::default(), TopicConfig::resolve(&broker, &BTreeMap::new()).unwrap());
}

#[test]
fn values_print_as_kafka_prints_them() {
    let check = |name: &str, text: &str, printed: &str| {
        let value = topic_config_def(name).unwrap().check(text).unwrap();
        assert_eq!(value.to_string(), printed, "{name} = {text:?}");
    };
    check("min.cleanable.dirty.ratio", "0.0005", "5.0E-4");
    check("min.cleanable.dirty.ratio", "0.00015", "1.5E-4");
    check("min.cleanable.dirty.ratio", "1", "1.0");
    check("min.cleanable.dirty.ratio", "0", "0.0");
    check("min.cleanable.dirty.ratio", "0.25", "0.25");
    check("cleanup.policy", "compact , delete", "compact,delete");
    check("cleanup.policy", "", "");
    check("unclean.leader.election.enable", " TRUE ", "true");
    check("retention.ms", "+5", "5");
    check("retention.ms", "007", "7");
}

#[test]
fn wrong_values_are_refused_and_say_why() {
    let check = |name: &str, value: &str, message: &str| {
        assert_eq!(validate_topic(name, value).unwrap_err().to_string(), message);
    };
    check("bogus.x", "1", "Unknown topic config name: bogus.x");
    check("retention.msec", "1", "Unknown topic config name: retention.msec (did you mean retention.ms?)");
    check("message.downconversion.enable", "true", "Unknown topic config name: message.downconversion.enable");
    check("segment.bytes", "5", "Invalid value 5 for configuration segment.bytes: it must be at least 1048576");
    check("segment.bytes", "abc", "Invalid value abc for configuration segment.bytes: a 32-bit integer is expected");
    check(
        "segment.bytes",
        "2147483648",
        "Invalid value 2147483648 for configuration segment.bytes: a 32-bit integer is expected",
    );
    check("preallocate", "yes", "Invalid value yes for configuration preallocate: true or false is expected");
    check(
        "cleanup.policy",
        "delete,delete",
        "Invalid value delete,delete for configuration cleanup.policy: delete stands in the list twice",
    );
    check(
        "cleanup.policy",
        "deletee",
        "Invalid value deletee for configuration cleanup.policy: it must be a list of compact, delete",
    );
    check(
        "cleanup.policy",
        "delete,",
        "Invalid value delete, for configuration cleanup.policy: it must be a list of compact, delete",
    );
    check(
        "compression.gzip.level",
        "0",
        "Invalid value 0 for configuration compression.gzip.level: it must be between 1 and 9, or -1",
    );
    check(
        "min.cleanable.dirty.ratio",
        "NaN",
        "Invalid value NaN for configuration min.cleanable.dirty.ratio: a number is expected",
    );
    check(
        "watershed.flush",
        "never",
        "Invalid value never for configuration watershed.flush: it must be one of sync, relaxed",
    );
}

#[test]
fn what_is_not_there_yet_takes_its_default_only() {
    for def in topic_config_defs() {
        let Support::DefaultOnly(why) = def.support else {
            continue;
        };
        let default = def.default.unwrap();
        assert_eq!(validate_topic(def.name, default), Ok(()));
        let other = match def.kind {
            ConfigKind::Boolean => "true",
            ConfigKind::List => "*",
            _ => "1",
        };
        let message = validate_topic(def.name, other).unwrap_err().to_string();
        assert!(message.contains(why) && message.contains(def.name), "{message}");
    }
    let message = validate_topic("remote.storage.enable", "true").unwrap_err().to_string();
    assert_eq!(
        message,
        "Invalid value true for configuration remote.storage.enable: tiered storage is not available; \
         only the default, false, is accepted"
    );
    let message = validate_broker("log.flush.interval.ms", "1").unwrap_err().to_string();
    assert!(message.ends_with("it can only be left out"), "{message}");
}

#[test]
fn topic_settings_are_checked_together_and_all_at_once() {
    let broker = BrokerConfig::default();
    let lag = map(&[("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "5")]);
    let errors = validate_topic_all(&broker, &lag).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "Configurations min.compaction.lag.ms and max.compaction.lag.ms contradict each other: 10 is larger than 5"
    );
    let errors = validate_topic_all(&broker, &map(&[("a", "1"), ("b", "2"), ("segment.ms", "0")])).unwrap_err();
    assert_eq!(errors.iter().map(ConfigError::name).collect::<Vec<_>>(), ["a", "b", "segment.ms"]);
    let errors = validate_topic_all(&broker, &map(&[("watershed.storage", "tape")])).unwrap_err();
    assert!(errors[0].to_string().ends_with("this broker has the storage backends disk, memory"), "{}", errors[0]);
    // The other half of a contradiction may be the broker's.
    let broker = self::broker(&[("log.cleaner.max.compaction.lag.ms", "5")]);
    assert!(validate_topic_all(&broker, &map(&[("min.compaction.lag.ms", "10")])).is_err());
    assert_eq!(validate_topic_all(&broker, &map(&[("cleanup.policy", "compact")])), Ok(()));
}

#[test]
fn a_topic_config_is_complete_and_typed() {
    let broker = broker(&[
        ("log.retention.hours", "1"),
        ("log.roll.jitter.hours", "2"),
        ("log.segment.bytes", "2097152"),
        ("compression.type", "zstd"),
        ("watershed.storage", "memory"),
    ]);
    let config = TopicConfig::resolve(&broker, &BTreeMap::new()).unwrap();
    assert_eq!(config.retention_ms, Some(3_600_000));
    assert_eq!(config.segment_jitter_ms, 7_200_000);
    assert_eq!(config.segment_bytes, 2_097_152);
    assert_eq!(config.compression_type, CompressionType::Zstd(3));
    assert_eq!((&*config.storage, config.flush), ("memory", Flush::Sync));
    assert_eq!(config.cleanup_policy, CleanupPolicy { delete: true, compact: false });
    assert_eq!((config.retention_bytes, config.segment_ms_max()), (None, 604_800_000));

    let overrides = map(&[
        ("retention.ms", "-1"),
        ("retention.bytes", "7"),
        ("internal.segment.bytes", "5000"),
        ("cleanup.policy", "compact,delete"),
        ("max.compaction.lag.ms", "1000"),
        ("compression.type", "gzip"),
        ("message.timestamp.type", "LogAppendTime"),
        ("watershed.storage", "disk"),
        ("watershed.flush", "relaxed"),
    ]);
    assert_eq!(validate_topic_all(&broker, &overrides), Ok(()));
    let config = TopicConfig::resolve(&broker, &overrides).unwrap();
    assert_eq!((config.retention_ms, config.retention_bytes), (None, Some(7)));
    assert_eq!((config.segment_bytes, config.segment_ms_max()), (5000, 1000));
    assert_eq!(config.compression_type, CompressionType::Gzip(-1));
    assert_eq!(config.message_timestamp_type, TimestampType::LogAppendTime);
    assert_eq!((&*config.storage, config.flush), ("disk", Flush::Relaxed));
}

#[test]
fn a_small_index_bounds_the_segment() {
    let segment_bytes =
        |pairs: &[(&str, &str)]| TopicConfig::resolve(&BrokerConfig::default(), &map(pairs)).unwrap().segment_bytes;
    assert_eq!(segment_bytes(&[]), 1 << 30);
    assert_eq!(segment_bytes(&[("segment.index.bytes", "800")]), 100 * 4096);
    let tiny = [("segment.index.bytes", "4"), ("index.interval.bytes", "0")];
    assert_eq!(segment_bytes(&tiny), 1);
}

#[test]
fn retention_without_a_limit_has_no_limit_in_any_unit() {
    for name in ["log.retention.ms", "log.retention.minutes", "log.retention.hours"] {
        let config = TopicConfig::resolve(&broker(&[(name, "-1")]), &BTreeMap::new()).unwrap();
        assert_eq!(config.retention_ms, None, "{name}");
    }
    let both = broker(&[("log.retention.minutes", "2"), ("log.retention.hours", "9")]);
    assert_eq!(TopicConfig::resolve(&both, &BTreeMap::new()).unwrap().retention_ms, Some(120_000));
}

#[test]
fn broker_settings_are_typed_and_checked() {
    let config = broker(&[("num.partitions", "4"), ("broker.rack", "a"), ("connections.max.idle.ms", "-1")]);
    let settings = config.settings();
    assert_eq!((settings.num_partitions, settings.broker_rack.as_deref()), (4, Some("a")));
    assert_eq!((settings.connections_max_idle_ms, settings.queued_max_request_bytes), (None, None));
    assert_eq!((settings.node_id, settings.socket_request_max_bytes), (1, 104_857_600));

    let wrong = [("num.partition", "4"), ("node.id", "-1"), ("default.replication.factor", "3")];
    let errors = BrokerConfig::new(map(&wrong)).unwrap_err();
    let messages: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        messages,
        [
            "Invalid value 3 for configuration default.replication.factor: one broker can hold one replica; \
             only the default, 1, is accepted",
            "Invalid value -1 for configuration node.id: it must be at least 0",
            "Unknown broker config name: num.partition (did you mean num.partitions?)",
        ]
    );
    let queued = map(&[("queued.max.request.bytes", "1000")]);
    assert!(matches!(BrokerConfig::new(queued).unwrap_err()[0], ConfigError::Conflict { .. }));
}

#[test]
fn only_dynamic_broker_settings_change_at_run_time() {
    let base = BrokerConfig::default();
    assert!(base.with_dynamic(map(&[("node.id", "2")]), BTreeMap::new()).is_err());
    let changed = base.with_dynamic(map(&[("message.max.bytes", "9")]), map(&[("message.max.bytes", "8")])).unwrap();
    let config = TopicConfig::resolve(&changed, &BTreeMap::new()).unwrap();
    assert_eq!(config.max_message_bytes, 9);
}

fn show(entries: &[ConfigEntry], name: &str) -> String {
    let entry = entries.iter().find(|entry| entry.name == name).unwrap();
    let chain: Vec<_> = entry
        .synonyms
        .iter()
        .map(|s| format!("{}:{}={}", s.source.code(), s.name, s.value.as_deref().unwrap_or("null")))
        .collect();
    let value = entry.value.as_deref().unwrap_or("null");
    format!("{value} from {} by [{}]", entry.source.code(), chain.join(", "))
}

// The expected texts are what a broker of Kafka 4.2.0 answered to the same settings.
#[test]
fn topics_are_described_as_kafka_describes_them() {
    let broker =
        broker(&[("log.retention.hours", "1"), ("log.segment.bytes", "2097152"), ("compression.type", "gzip")]);
    let overrides = map(&[
        ("retention.ms", "5000"),
        ("internal.segment.bytes", "5000"),
        ("min.cleanable.dirty.ratio", "0.0005"),
        ("cleanup.policy", "compact , delete"),
    ]);
    let entries = describe_topic(&broker, &overrides);
    let check = |name: &str, expected: &str| assert_eq!(show(&entries, name), expected, "{name}");
    check("cleanup.policy", "compact,delete from 1 by [1:cleanup.policy=compact,delete, 5:log.cleanup.policy=delete]");
    check("compression.type", "gzip from 4 by [4:compression.type=gzip, 5:compression.type=producer]");
    check("flush.ms", "9223372036854775807 from 5 by []");
    check("internal.segment.bytes", "5000 from 1 by [1:internal.segment.bytes=5000]");
    check("remote.storage.enable", "false from 5 by []");
    check("retention.ms", "5000 from 1 by [1:retention.ms=5000]");
    check("segment.bytes", "2097152 from 4 by [4:log.segment.bytes=2097152, 5:log.segment.bytes=1073741824]");
    check("segment.ms", "604800000 from 5 by []");
    check(
        "min.cleanable.dirty.ratio",
        "5.0E-4 from 1 by [1:min.cleanable.dirty.ratio=5.0E-4, 5:log.cleaner.min.cleanable.ratio=0.5]",
    );
    check("watershed.flush", "sync from 5 by [5:watershed.flush=sync]");
    assert_eq!(entries.len(), 45);
    assert!(entries.iter().all(|entry| !entry.read_only && !entry.sensitive && !entry.doc.is_empty()));

    let entries = describe_topic(&broker, &BTreeMap::new());
    assert_eq!(show(&entries, "retention.ms"), "3600000 from 5 by []");
    assert_eq!(entries.len(), 44);
}

#[test]
fn brokers_are_described_as_kafka_describes_them() {
    let own = map(&[("log.retention.ms", "7200000")]);
    let cluster = map(&[("log.retention.ms", "9200000"), ("log.segment.bytes", "4194304")]);
    let broker = broker(&[("log.retention.hours", "1"), ("log.segment.bytes", "2097152"), ("node.id", "1")])
        .with_dynamic(own, cluster)
        .unwrap();
    let chain = "[2:log.retention.ms=7200000, 3:log.retention.ms=9200000, 4:log.retention.hours=1, \
                 5:log.retention.hours=168]";
    let topic = describe_topic(&broker, &BTreeMap::new());
    assert_eq!(show(&topic, "retention.ms"), format!("7200000 from 2 by {chain}"));
    let entries = describe_broker(&broker);
    let check = |name: &str, expected: &str| assert_eq!(show(&entries, name), expected, "{name}");
    check("log.retention.ms", &format!("7200000 from 2 by {chain}"));
    check("log.retention.minutes", "null from 5 by []");
    check("log.retention.hours", "168 from 4 by [4:log.retention.hours=1, 5:log.retention.hours=168]");
    check("broker.rack", "null from 5 by []");
    check("log.flush.interval.ms", "null from 5 by []");
    check(
        "log.segment.bytes",
        "4194304 from 3 by [3:log.segment.bytes=4194304, 4:log.segment.bytes=2097152, \
         5:log.segment.bytes=1073741824]",
    );
    let read_only = |name: &str| entries.iter().find(|entry| entry.name == name).unwrap().read_only;
    assert!(read_only("node.id") && read_only("log.retention.hours") && !read_only("log.retention.ms"));

    let defaults = describe_broker_defaults(&broker);
    assert_eq!(defaults.len(), 2);
    assert_eq!(show(&defaults, "log.retention.ms"), "9200000 from 3 by [3:log.retention.ms=9200000]");
}
