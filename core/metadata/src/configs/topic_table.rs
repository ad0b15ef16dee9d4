//! Every topic config of Kafka 4.2, in the order of its documentation, and ours at the end.

use super::def::ConfigKind::{Boolean, Double, Int, List, Long, String};
use super::def::{ConfigDef, Rule, hours, minutes, same};
use super::plugins::hook;

/// Where the topic's records live.
pub const STORAGE_CONFIG: &str = "watershed.storage";
/// When a record of a topic on disk counts as written.
pub const FLUSH_CONFIG: &str = "watershed.flush";

/// What records pass before they enter.
pub const INTERCEPTORS_CONFIG: &str = "watershed.interceptors";
/// What defines a record's order.
pub const ORDERING_KEY_CONFIG: &str = "watershed.ordering.key";
/// Which partition a record belongs to.
pub const PARTITIONER_CONFIG: &str = "watershed.partitioner";
/// What the partitioner is for.
pub const PARTITIONER_MODE_CONFIG: &str = "watershed.partitioner.mode";
/// How long clients may go by an old number of partitions.
pub(super) const ENFORCE_GRACE_CONFIG: &str = "watershed.enforce.grace.ms";
/// How much may wait to be taken to its partition.
pub(super) const BACKLOG_CONFIG: &str = "watershed.partitioner.backlog.bytes";
/// What records pass before a consumer gets them.
pub const FETCH_FILTER_CONFIG: &str = "watershed.fetch.filter";
/// What says how long records stay.
pub const RETENTION_POLICY_CONFIG: &str = "watershed.retention.policy";
/// What says how long single records stay.
pub const RECORD_RETENTION_CONFIG: &str = "watershed.record.retention";

pub(super) const LONG_MAX: &str = "9223372036854775807";
pub(super) const CODECS: Rule = Rule::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]);
pub(super) const POLICIES: Rule = Rule::ListOf(&["compact", "delete"]);
pub(super) const TIMESTAMPS: Rule = Rule::OneOf(&["CreateTime", "LogAppendTime"]);
pub(super) const GZIP_LEVELS: Rule = Rule::BetweenOr(1, 9, -1);
pub(super) const LZ4_LEVELS: Rule = Rule::Between(1, 17);
pub(super) const ZSTD_LEVELS: Rule = Rule::Between(-131_072, 22);
pub(super) const NO_FLUSH: &str =
    "durability is decided by watershed.flush, which covers every acknowledged record, not by counting or waiting";
pub(super) const NO_TIERING: &str = "tiered storage is not available";
pub(super) const NO_THROTTLE: &str = "this broker has no replicas to throttle";
pub(super) const NO_PREALLOCATE: &str = "segments are not preallocated";

static TOPIC_CONFIGS: &[ConfigDef] = &[
    ConfigDef::new(
        "segment.bytes",
        Int,
        "1073741824",
        Rule::AtLeast(1_048_576),
        "The size at which a segment file is closed and a new one begun, in bytes. Retention and compaction work on \
         whole closed segments.",
    )
    .from(&[same("log.segment.bytes")]),
    ConfigDef::new(
        "segment.ms",
        Long,
        "604800000",
        Rule::AtLeast(1),
        "The age at which a segment is closed although it is not full, in milliseconds, so that retention and \
         compaction reach the records of a quiet partition.",
    )
    .from(&[same("log.roll.ms"), hours("log.roll.hours")]),
    ConfigDef::new(
        "segment.jitter.ms",
        Long,
        "0",
        Rule::AtLeast(0),
        "The most that is taken off segment.ms at random, in milliseconds, so that partitions created together do \
         not close their segments together.",
    )
    .from(&[same("log.roll.jitter.ms"), hours("log.roll.jitter.hours")]),
    ConfigDef::new(
        "segment.index.bytes",
        Int,
        "10485760",
        Rule::AtLeast(4),
        "The size an offset index may reach, in bytes, before its segment is closed.",
    )
    .from(&[same("log.index.size.max.bytes")]),
    ConfigDef::new(
        "flush.messages",
        Long,
        LONG_MAX,
        Rule::AtLeast(1),
        "How many records may be written before the file is synced. Not used here: watershed.flush decides.",
    )
    .from(&[same("log.flush.interval.messages")])
    .only_default(NO_FLUSH),
    ConfigDef::new(
        "flush.ms",
        Long,
        LONG_MAX,
        Rule::AtLeast(0),
        "How long a record may stay unsynced, in milliseconds. Not used here: watershed.flush decides.",
    )
    .from(&[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")])
    .only_default(NO_FLUSH),
    ConfigDef::new(
        "retention.bytes",
        Long,
        "-1",
        Rule::Any,
        "The size a partition may reach before its oldest segments are deleted, in bytes; negative: no limit. It \
         acts where cleanup.policy has delete.",
    )
    .from(&[same("log.retention.bytes")]),
    ConfigDef::new(
        "retention.ms",
        Long,
        "604800000",
        Rule::AtLeast(-1),
        "How long records are kept, in milliseconds by their timestamps, before their segment is deleted; -1: for \
         ever. It acts where cleanup.policy has delete.",
    )
    .from(&[same("log.retention.ms"), minutes("log.retention.minutes"), hours("log.retention.hours")]),
    ConfigDef::new(
        "max.message.bytes",
        Int,
        "1048588",
        Rule::AtLeast(0),
        "The largest record batch that is accepted, in bytes as stored (after compression).",
    )
    .from(&[same("message.max.bytes")]),
    ConfigDef::new(
        "index.interval.bytes",
        Int,
        "4096",
        Rule::AtLeast(0),
        "How many bytes of records lie between two entries of the offset index.",
    )
    .from(&[same("log.index.interval.bytes")]),
    ConfigDef::new(
        "delete.retention.ms",
        Long,
        "86400000",
        Rule::AtLeast(0),
        "How long the tombstones of a compacted topic are kept, in milliseconds. It takes effect with compaction.",
    )
    .from(&[same("log.cleaner.delete.retention.ms")]),
    ConfigDef::new(
        "min.compaction.lag.ms",
        Long,
        "0",
        Rule::AtLeast(0),
        "How long a record stays uncompacted at least, in milliseconds. It takes effect with compaction.",
    )
    .from(&[same("log.cleaner.min.compaction.lag.ms")]),
    ConfigDef::new(
        "max.compaction.lag.ms",
        Long,
        LONG_MAX,
        Rule::AtLeast(1),
        "How long a record may wait for compaction at most, in milliseconds; a segment of a compacted topic is \
         closed at this age too.",
    )
    .from(&[same("log.cleaner.max.compaction.lag.ms")]),
    ConfigDef::new(
        "file.delete.delay.ms",
        Long,
        "60000",
        Rule::AtLeast(0),
        "How long the files of a deleted segment stay before they are removed, in milliseconds.",
    )
    .from(&[same("log.segment.delete.delay.ms")]),
    ConfigDef::new(
        "min.cleanable.dirty.ratio",
        Double,
        "0.5",
        Rule::Between(0, 1),
        "The share of a compacted log that must be uncompacted before it is worth cleaning. It takes effect with \
         compaction.",
    )
    .from(&[same("log.cleaner.min.cleanable.ratio")]),
    ConfigDef::new(
        "cleanup.policy",
        List,
        "delete",
        POLICIES,
        "What becomes of old records: delete (by age and size), compact (the newest per key stays), both, or the \
         empty list (all stay). A topic with compact is accepted and keeps every record until compaction is available.",
    )
    .from(&[same("log.cleanup.policy")]),
    ConfigDef::new(
        "unclean.leader.election.enable",
        Boolean,
        "false",
        Rule::Any,
        "Whether a replica that is not in sync may become leader, at the price of lost records. With one broker the \
         leader is the only replica and no such election can take place.",
    )
    .from(&[same("unclean.leader.election.enable")]),
    ConfigDef::new(
        "min.insync.replicas",
        Int,
        "1",
        Rule::AtLeast(1),
        "How many replicas must be in sync, the leader among them, for a produce request with acks=all to be \
         accepted.",
    )
    .from(&[same("min.insync.replicas")]),
    ConfigDef::new(
        "compression.type",
        String,
        "producer",
        CODECS,
        "The codec batches are stored with: one of the codecs, uncompressed, or producer (as the producer sent them).",
    )
    .from(&[same("compression.type")]),
    ConfigDef::new(
        "compression.gzip.level",
        Int,
        "-1",
        GZIP_LEVELS,
        "The level batches are compressed with where compression.type is gzip; -1 is the codec's default.",
    )
    .from(&[same("compression.gzip.level")]),
    ConfigDef::new(
        "compression.lz4.level",
        Int,
        "9",
        LZ4_LEVELS,
        "The level batches are compressed with where compression.type is lz4.",
    )
    .from(&[same("compression.lz4.level")]),
    ConfigDef::new(
        "compression.zstd.level",
        Int,
        "3",
        ZSTD_LEVELS,
        "The level batches are compressed with where compression.type is zstd.",
    )
    .from(&[same("compression.zstd.level")]),
    ConfigDef::new(
        "preallocate",
        Boolean,
        "false",
        Rule::Any,
        "Whether a new segment file is allocated at its full size at once.",
    )
    .from(&[same("log.preallocate")])
    .only_default(NO_PREALLOCATE),
    ConfigDef::new(
        "message.timestamp.type",
        String,
        "CreateTime",
        TIMESTAMPS,
        "Whose time a record carries: the producer's (CreateTime) or the broker's at the append (LogAppendTime).",
    )
    .from(&[same("log.message.timestamp.type")]),
    ConfigDef::new(
        "message.timestamp.before.max.ms",
        Long,
        LONG_MAX,
        Rule::AtLeast(0),
        "How far a record's timestamp may lie before the broker's clock, in milliseconds; older ones are refused. \
         Only with CreateTime.",
    )
    .from(&[same("log.message.timestamp.before.max.ms")]),
    ConfigDef::new(
        "message.timestamp.after.max.ms",
        Long,
        "3600000",
        Rule::AtLeast(0),
        "How far a record's timestamp may lie after the broker's clock, in milliseconds; later ones are refused. \
         Only with CreateTime.",
    )
    .from(&[same("log.message.timestamp.after.max.ms")]),
    ConfigDef::new(
        "leader.replication.throttled.replicas",
        List,
        "",
        Rule::Any,
        "Replicas whose leader sends at a throttled rate, as partition:broker pairs or *.",
    )
    .only_default(NO_THROTTLE),
    ConfigDef::new(
        "follower.replication.throttled.replicas",
        List,
        "",
        Rule::Any,
        "Replicas whose follower fetches at a throttled rate, as partition:broker pairs or *.",
    )
    .only_default(NO_THROTTLE),
    ConfigDef::new(
        "remote.storage.enable",
        Boolean,
        "false",
        Rule::Any,
        "Whether closed segments are copied to object storage.",
    )
    .only_default(NO_TIERING),
    ConfigDef::new(
        "local.retention.ms",
        Long,
        "-2",
        Rule::AtLeast(-2),
        "How long records stay on this broker once they are in object storage, in milliseconds; -2: retention.ms.",
    )
    .from(&[same("log.local.retention.ms")])
    .only_default(NO_TIERING),
    ConfigDef::new(
        "local.retention.bytes",
        Long,
        "-2",
        Rule::AtLeast(-2),
        "How many bytes of a partition stay on this broker once they are in object storage; -2: retention.bytes.",
    )
    .from(&[same("log.local.retention.bytes")])
    .only_default(NO_TIERING),
    ConfigDef::new(
        "remote.log.copy.disable",
        Boolean,
        "false",
        Rule::Any,
        "Whether copying to object storage has stopped for a topic whose older records are there.",
    )
    .only_default(NO_TIERING),
    ConfigDef::new(
        "remote.log.delete.on.disable",
        Boolean,
        "false",
        Rule::Any,
        "Whether the records in object storage are deleted when remote.storage.enable is switched off.",
    )
    .only_default(NO_TIERING),
    ConfigDef::new(
        "internal.segment.bytes",
        Int,
        "",
        Rule::AtLeast(1),
        "Replaces segment.bytes without its lower limit, for tests that need small segments.",
    )
    .null()
    .internal(),
    ConfigDef::new(
        STORAGE_CONFIG,
        String,
        "disk",
        Rule::Storage,
        "Where the topic's records live: disk, or memory (gone with the process). It cannot change while the topic \
         holds records.",
    )
    .from(&[same(STORAGE_CONFIG)])
    .ours(),
    ConfigDef::new(
        FLUSH_CONFIG,
        String,
        "sync",
        Rule::OneOf(&["sync", "relaxed"]),
        "When a record on disk counts as written: sync (it is on the medium, a power cut does not lose it) or \
         relaxed (the operating system has it, a crash of the process does not lose it).",
    )
    .from(&[same(FLUSH_CONFIG)])
    .ours(),
    ConfigDef::new(
        INTERCEPTORS_CONFIG,
        List,
        "",
        Rule::Plugins(hook::INTERCEPTOR),
        "The plugins that produced records pass before they are appended, in this order. A name may have a state \
         behind it: name:shadow (asked and counted, without effect) or name:off.",
    )
    .ours(),
    ConfigDef::new(
        ORDERING_KEY_CONFIG,
        String,
        "",
        Rule::Plugin(hook::ORDERING_KEY),
        "The plugin that says which bytes define a record's order, in place of its key; the partitioner goes by them.",
    )
    .null()
    .ours(),
    ConfigDef::new(
        PARTITIONER_CONFIG,
        String,
        "",
        Rule::Plugin(hook::PARTITIONER),
        "The partitioner of the topic, built in or a plugin; watershed.partitioner.mode says what it is for.",
    )
    .null()
    .ours(),
    ConfigDef::new(
        PARTITIONER_MODE_CONFIG,
        String,
        "client",
        Rule::OneOf(&["client", "enforce", "broker"]),
        "client: the partition that the client chose stands, and the partitioner is advice. enforce: a record in \
         another partition than the partitioner says is refused (INVALID_RECORD); in shadow it is only counted. \
         broker: whatever the client chose, the broker takes each record to the partition that the partitioner says; \
         records are written twice and can be read some milliseconds after they were acknowledged.",
    )
    .ours(),
    ConfigDef::new(
        ENFORCE_GRACE_CONFIG,
        Long,
        "600000",
        Rule::AtLeast(0),
        "How long after partitions were added a record is accepted where it belonged before, in milliseconds: clients \
         learn of new partitions when they refresh their metadata.",
    )
    .ours(),
    ConfigDef::new(
        BACKLOG_CONFIG,
        Long,
        "67108864",
        Rule::AtLeast(1_048_576),
        "With watershed.partitioner.mode = broker: how many bytes that came in through one partition may wait to be \
         taken to where they belong; above it clients are told to send again (NOT_ENOUGH_REPLICAS).",
    )
    .ours(),
    ConfigDef::new(
        FETCH_FILTER_CONFIG,
        String,
        "",
        Rule::Plugin(hook::FETCH_FILTER),
        "The plugin that hides or redacts records before a consumer gets them. What is stored stays as it is.",
    )
    .null()
    .ours(),
    ConfigDef::new(
        RETENTION_POLICY_CONFIG,
        String,
        "",
        Rule::Plugin(hook::RETENTION),
        "The plugin that says which segments may go, in addition to retention.ms and retention.bytes; it is asked as \
         often as they are looked at, and acts where cleanup.policy has delete.",
    )
    .null()
    .ours(),
    ConfigDef::new(
        RECORD_RETENTION_CONFIG,
        String,
        "",
        Rule::Plugin(hook::RECORD_RETENTION),
        "The plugin that says which records of closed segments may go; they are rewritten without those, and offsets \
         stay. It acts where cleanup.policy has delete, every watershed.record.retention.check.interval.ms.",
    )
    .null()
    .ours(),
];

/// Every topic config, Kafka's first.
#[must_use]
pub fn topic_config_defs() -> &'static [ConfigDef] {
    TOPIC_CONFIGS
}

/// The topic config of this name.
#[must_use]
pub fn topic_config_def(name: &str) -> Option<&'static ConfigDef> {
    TOPIC_CONFIGS.iter().find(|def| def.name == name)
}
