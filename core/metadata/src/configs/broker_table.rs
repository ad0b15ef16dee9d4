//! The broker configs of Kafka that do something here; what is not listed is not known.
//!
//! Those that stand behind a topic config are all here, also where only their default is accepted, because
//! DescribeConfigs shows them in the topic config's chain. Those of the group coordinator have a file of their own,
//! `group_table.rs`. Ours at the end are set from `[storage]` in the configuration file, not from `[kafka]`.

use super::def::ConfigKind::{Boolean, Double, Int, List, Long, String};
use super::def::{ConfigDef, Rule, same};
use super::group_table::GROUP_CONFIGS;
use super::topic_table::{
    CODECS, FLUSH_CONFIG, GZIP_LEVELS, LONG_MAX, LZ4_LEVELS, NO_FLUSH, NO_PREALLOCATE, NO_TIERING, POLICIES,
    STORAGE_CONFIG, TIMESTAMPS, ZSTD_LEVELS,
};

const INT_MAX: &str = "2147483647";

const KAFKA_CONFIGS: &[ConfigDef] = &[
    ConfigDef::new(
        "node.id",
        Int,
        "1",
        Rule::AtLeast(0),
        "This broker's number in its cluster. It is part of the stored metadata and cannot change later.",
    ),
    ConfigDef::new(
        "broker.rack",
        String,
        "",
        Rule::Any,
        "The rack or zone of this broker, as Metadata shows it to clients.",
    )
    .null(),
    ConfigDef::new(
        "num.partitions",
        Int,
        "1",
        Rule::AtLeast(1),
        "How many partitions a topic gets that is created without a number of its own.",
    ),
    ConfigDef::new(
        "default.replication.factor",
        Int,
        "1",
        Rule::AtLeast(1),
        "How many replicas a topic gets that is created without a number of its own.",
    )
    .only_default("one broker can hold one replica"),
    ConfigDef::new(
        "auto.create.topics.enable",
        Boolean,
        "true",
        Rule::Any,
        "Whether a topic that a client asks metadata for, and that does not exist, is created.",
    ),
    ConfigDef::new("delete.topic.enable", Boolean, "true", Rule::Any, "Whether topics may be deleted."),
    ConfigDef::new("min.insync.replicas", Int, "1", Rule::AtLeast(1), "The default of the topic config of this name.")
        .dynamic(),
    ConfigDef::new(
        "unclean.leader.election.enable",
        Boolean,
        "false",
        Rule::Any,
        "The default of the topic config of this name.",
    )
    .dynamic(),
    ConfigDef::new(
        "message.max.bytes",
        Int,
        "1048588",
        Rule::AtLeast(0),
        "The largest record batch that is accepted, in bytes, where the topic has no max.message.bytes.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.retention.ms",
        Long,
        "",
        Rule::AtLeast(-1),
        "How long records are kept, in milliseconds, where the topic has no retention.ms; -1: for ever. Wins over \
         minutes and hours.",
    )
    .null()
    .from(&[same("log.retention.ms"), same("log.retention.minutes"), same("log.retention.hours")])
    .dynamic(),
    ConfigDef::new("log.retention.minutes", Int, "", Rule::AtLeast(-1), "The same in minutes. Wins over hours.")
        .null()
        .from(&[same("log.retention.ms"), same("log.retention.minutes"), same("log.retention.hours")]),
    ConfigDef::new("log.retention.hours", Int, "168", Rule::AtLeast(-1), "The same in hours.").from(&[
        same("log.retention.ms"),
        same("log.retention.minutes"),
        same("log.retention.hours"),
    ]),
    ConfigDef::new(
        "log.retention.bytes",
        Long,
        "-1",
        Rule::Any,
        "The size a partition may reach, in bytes, where the topic has no retention.bytes; negative: no limit.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.retention.check.interval.ms",
        Long,
        "300000",
        Rule::AtLeast(1),
        "How often retention looks for segments to delete, in milliseconds.",
    ),
    ConfigDef::new(
        "log.cleanup.policy",
        List,
        "delete",
        POLICIES,
        "What becomes of old records where the topic has no cleanup.policy.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.segment.bytes",
        Int,
        "1073741824",
        Rule::AtLeast(1_048_576),
        "The size at which a segment is closed, in bytes, where the topic has no segment.bytes.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.segment.delete.delay.ms",
        Long,
        "60000",
        Rule::AtLeast(0),
        "How long the files of a deleted segment stay, in milliseconds, where the topic has no file.delete.delay.ms.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.roll.ms",
        Long,
        "",
        Rule::AtLeast(1),
        "The age at which a segment is closed, in milliseconds, where the topic has no segment.ms. Wins over hours.",
    )
    .null()
    .from(&[same("log.roll.ms"), same("log.roll.hours")])
    .dynamic(),
    ConfigDef::new("log.roll.hours", Int, "168", Rule::AtLeast(1), "The same in hours.")
        .from(&[same("log.roll.ms"), same("log.roll.hours")]),
    ConfigDef::new(
        "log.roll.jitter.ms",
        Long,
        "",
        Rule::AtLeast(0),
        "The most that is taken off that age at random, in milliseconds, where the topic has no segment.jitter.ms. \
         Wins over hours.",
    )
    .null()
    .from(&[same("log.roll.jitter.ms"), same("log.roll.jitter.hours")])
    .dynamic(),
    ConfigDef::new("log.roll.jitter.hours", Int, "0", Rule::AtLeast(0), "The same in hours.")
        .from(&[same("log.roll.jitter.ms"), same("log.roll.jitter.hours")]),
    ConfigDef::new(
        "log.index.size.max.bytes",
        Int,
        "10485760",
        Rule::AtLeast(4),
        "The size an offset index may reach, in bytes, where the topic has no segment.index.bytes.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.index.interval.bytes",
        Int,
        "4096",
        Rule::AtLeast(0),
        "How many bytes lie between two index entries where the topic has no index.interval.bytes.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.flush.interval.messages",
        Long,
        LONG_MAX,
        Rule::AtLeast(1),
        "The default of the topic config flush.messages. Not used here.",
    )
    .only_default(NO_FLUSH),
    ConfigDef::new(
        "log.flush.interval.ms",
        Long,
        "",
        Rule::Any,
        "The default of the topic config flush.ms. Not used here.",
    )
    .null()
    .from(&[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")])
    .only_default(NO_FLUSH),
    ConfigDef::new(
        "log.flush.scheduler.interval.ms",
        Long,
        LONG_MAX,
        Rule::Any,
        "How often a flush by time is looked for. Not used here.",
    )
    .only_default(NO_FLUSH),
    ConfigDef::new("log.preallocate", Boolean, "false", Rule::Any, "The default of the topic config preallocate.")
        .only_default(NO_PREALLOCATE),
    ConfigDef::new(
        "log.message.timestamp.type",
        String,
        "CreateTime",
        TIMESTAMPS,
        "Whose time a record carries where the topic has no message.timestamp.type.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.message.timestamp.before.max.ms",
        Long,
        LONG_MAX,
        Rule::AtLeast(0),
        "How far a timestamp may lie in the past, in milliseconds, where the topic does not say.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.message.timestamp.after.max.ms",
        Long,
        "3600000",
        Rule::AtLeast(0),
        "How far a timestamp may lie in the future, in milliseconds, where the topic does not say.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.cleaner.delete.retention.ms",
        Long,
        "86400000",
        Rule::AtLeast(0),
        "The default of the topic config delete.retention.ms.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.cleaner.min.compaction.lag.ms",
        Long,
        "0",
        Rule::AtLeast(0),
        "The default of the topic config min.compaction.lag.ms.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.cleaner.max.compaction.lag.ms",
        Long,
        LONG_MAX,
        Rule::AtLeast(1),
        "The default of the topic config max.compaction.lag.ms.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.cleaner.min.cleanable.ratio",
        Double,
        "0.5",
        Rule::Between(0, 1),
        "The default of the topic config min.cleanable.dirty.ratio.",
    )
    .dynamic(),
    ConfigDef::new(
        "log.local.retention.ms",
        Long,
        "-2",
        Rule::AtLeast(-2),
        "The default of the topic config local.retention.ms.",
    )
    .only_default(NO_TIERING),
    ConfigDef::new(
        "log.local.retention.bytes",
        Long,
        "-2",
        Rule::AtLeast(-2),
        "The default of the topic config local.retention.bytes.",
    )
    .only_default(NO_TIERING),
    ConfigDef::new("compression.type", String, "producer", CODECS, "The default of the topic config of this name.")
        .dynamic(),
    ConfigDef::new("compression.gzip.level", Int, "-1", GZIP_LEVELS, "The default of the topic config of this name.")
        .dynamic(),
    ConfigDef::new("compression.lz4.level", Int, "9", LZ4_LEVELS, "The default of the topic config of this name.")
        .dynamic(),
    ConfigDef::new("compression.zstd.level", Int, "3", ZSTD_LEVELS, "The default of the topic config of this name.")
        .dynamic(),
    ConfigDef::new(
        "producer.id.expiration.ms",
        Int,
        "86400000",
        Rule::AtLeast(1),
        "How long a producer's sequence numbers are remembered after its last write, in milliseconds.",
    ),
    ConfigDef::new(
        "socket.request.max.bytes",
        Int,
        "104857600",
        Rule::Between(1, 104_857_600),
        "The largest request that is read, in bytes; a larger one closes its connection.",
    ),
    ConfigDef::new(
        "queued.max.request.bytes",
        Long,
        "-1",
        Rule::AtLeast(-1),
        "How many bytes of requests may be in work at once; -1: what [limits] says.",
    ),
    ConfigDef::new(
        "max.connections",
        Int,
        INT_MAX,
        Rule::AtLeast(1),
        "How many connections may be open at once; further ones are closed at once.",
    ),
    ConfigDef::new(
        "max.connections.per.ip",
        Int,
        INT_MAX,
        Rule::AtLeast(1),
        "How many connections one address may have open at once; further ones are closed at once.",
    ),
    ConfigDef::new(
        "connections.max.idle.ms",
        Long,
        "600000",
        Rule::AtLeast(-1),
        "How long a connection may be silent before it is closed, in milliseconds; -1: for ever.",
    ),
    ConfigDef::new(
        "fetch.max.bytes",
        Int,
        "57671680",
        Rule::AtLeast(1024),
        "The most a fetch response carries, in bytes, whatever the client asks for.",
    ),
    ConfigDef::new(
        "max.incremental.fetch.session.cache.slots",
        Int,
        "1000",
        Rule::AtLeast(0),
        "How many incremental fetch sessions are kept (KIP-227); beyond that clients fetch without one.",
    ),
    ConfigDef::new(
        "max.request.partition.size.limit",
        Int,
        "2000",
        Rule::AtLeast(1),
        "The most partitions one DescribeTopicPartitions response carries (KIP-966).",
    ),
];

const OUR_CONFIGS: &[ConfigDef] = &[
    ConfigDef::new(
        STORAGE_CONFIG,
        String,
        "disk",
        Rule::Storage,
        "The storage of topics that have no watershed.storage; set by [storage] default.",
    )
    .ours(),
    ConfigDef::new(
        FLUSH_CONFIG,
        String,
        "sync",
        Rule::OneOf(&["sync", "relaxed"]),
        "The flush mode of topics that have no watershed.flush; set by [storage.disk] flush.",
    )
    .ours(),
    ConfigDef::new(
        "watershed.record.retention.check.interval.ms",
        Long,
        "300000",
        Rule::AtLeast(1),
        "How often closed segments of topics with watershed.record.retention are looked through for records that may \
         go, in milliseconds. A segment in which there were none is looked through less and less often, down to every \
         16th time.",
    )
    .ours(),
];

static BROKER_CONFIGS: [ConfigDef; KAFKA_CONFIGS.len() + GROUP_CONFIGS.len() + OUR_CONFIGS.len()] = joined();

/// The parts of the table, one after the other.
const fn joined<const N: usize>() -> [ConfigDef; N] {
    let mut all = [KAFKA_CONFIGS[0]; N];
    let parts = [KAFKA_CONFIGS, GROUP_CONFIGS, OUR_CONFIGS];
    let (mut part, mut to) = (0, 0);
    while part < parts.len() {
        let mut from = 0;
        while from < parts[part].len() {
            all[to] = parts[part][from];
            to += 1;
            from += 1;
        }
        part += 1;
    }
    all
}

/// Every broker config that is known here, Kafka's first.
#[must_use]
pub fn broker_config_defs() -> &'static [ConfigDef] {
    &BROKER_CONFIGS
}

/// The broker config of this name.
#[must_use]
pub fn broker_config_def(name: &str) -> Option<&'static ConfigDef> {
    BROKER_CONFIGS.iter().find(|def| def.name == name)
}
