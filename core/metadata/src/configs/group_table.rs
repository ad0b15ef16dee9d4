//! The broker configs of the group coordinator, in the order of Kafka's documentation.
//!
//! None is dynamic in Kafka 4.2: a group keeps its limits until the broker restarts, and what may differ between groups
//! is the group's own config (`group.rs`). Bounds are Kafka's, narrowed where a value within them could never work.

use super::def::ConfigKind::{Int, List, Long, Short, String};
use super::def::{ConfigDef, Rule};

const INT_MAX: &str = "2147483647";

pub(super) const GROUP_CONFIGS: &[ConfigDef] = &[
    ConfigDef::new(
        "group.coordinator.rebalance.protocols",
        List,
        "classic,consumer",
        Rule::ListOf(&["classic", "consumer"]),
        "The group protocols that clients may use: consumer is KIP-848's; classic cannot be left out. Kafka's default \
         also has streams, which is not served here.",
    ),
    ConfigDef::new(
        "group.coordinator.threads",
        Int,
        "4",
        Rule::AtLeast(1),
        "How many threads coordinate groups in Kafka. Not used here.",
    )
    .only_default("coordinators need no threads of their own"),
    ConfigDef::new(
        "group.coordinator.append.linger.ms",
        Int,
        "-1",
        Rule::AtLeast(-1),
        "How long a coordinator waits for more writes before it appends, in milliseconds. Not used here.",
    )
    .only_default("nothing waits for more writes: those that come together share one sync of the medium"),
    ConfigDef::new(
        "offsets.commit.timeout.ms",
        Int,
        "5000",
        Rule::AtLeast(1),
        "How long a coordinator's write may take until it is durable, in milliseconds, before its client gets an error.",
    ),
    ConfigDef::new(
        "offsets.load.buffer.size",
        Int,
        "5242880",
        Rule::AtLeast(1),
        "How many bytes of the offsets topic are read at a time while a coordinator loads; a larger batch is read whole.",
    ),
    ConfigDef::new(
        "offsets.topic.replication.factor",
        Short,
        "3",
        Rule::AtLeast(1),
        "How many replicas the offsets topic gets when it is created, bounded by the number of brokers there are.",
    ),
    ConfigDef::new(
        "offsets.topic.num.partitions",
        Int,
        "50",
        Rule::Between(1, 10_000),
        "How many partitions the offsets topic gets when it is created. A group's partition depends on it, so it should \
         not change afterwards.",
    ),
    ConfigDef::new(
        "offsets.topic.segment.bytes",
        Int,
        "104857600",
        Rule::AtLeast(1_048_576),
        "The segment.bytes that the offsets topic gets when it is created. Small segments are compacted sooner.",
    ),
    ConfigDef::new(
        "offsets.topic.compression.codec",
        Int,
        "0",
        Rule::Between(0, 4),
        "The codec of a coordinator's writes: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.",
    ),
    ConfigDef::new(
        "offset.metadata.max.bytes",
        Int,
        "4096",
        Rule::AtLeast(0),
        "The longest text that may be committed with an offset, in bytes.",
    ),
    ConfigDef::new(
        "offsets.retention.minutes",
        Int,
        "10080",
        Rule::AtLeast(1),
        "How long committed offsets are kept, in minutes: from the moment the group is empty or, where nobody subscribes \
         to the topic, from the commit.",
    ),
    ConfigDef::new(
        "offsets.retention.check.interval.ms",
        Long,
        "600000",
        Rule::AtLeast(1),
        "How often expired offsets are looked for, in milliseconds.",
    ),
    ConfigDef::new(
        "group.min.session.timeout.ms",
        Int,
        "6000",
        Rule::AtLeast(0),
        "The shortest session timeout that a member of a classic group may ask for, in milliseconds.",
    ),
    ConfigDef::new(
        "group.max.session.timeout.ms",
        Int,
        "1800000",
        Rule::AtLeast(0),
        "The longest session timeout that a member of a classic group may ask for, in milliseconds.",
    ),
    ConfigDef::new(
        "group.initial.rebalance.delay.ms",
        Int,
        "3000",
        Rule::AtLeast(0),
        "How long an empty classic group waits for further members before its first rebalance, in milliseconds.",
    ),
    ConfigDef::new("group.max.size", Int, INT_MAX, Rule::AtLeast(1), "How many members a classic group may have."),
    ConfigDef::new(
        "group.consumer.session.timeout.ms",
        Int,
        "45000",
        Rule::AtLeast(1),
        "After how long without a heartbeat a member of a consumer group (KIP-848) is removed, in milliseconds, where the \
         group has no consumer.session.timeout.ms.",
    ),
    ConfigDef::new(
        "group.consumer.min.session.timeout.ms",
        Int,
        "45000",
        Rule::AtLeast(1),
        "The lowest consumer.session.timeout.ms that a group may have.",
    ),
    ConfigDef::new(
        "group.consumer.max.session.timeout.ms",
        Int,
        "60000",
        Rule::AtLeast(1),
        "The highest consumer.session.timeout.ms that a group may have.",
    ),
    ConfigDef::new(
        "group.consumer.heartbeat.interval.ms",
        Int,
        "5000",
        Rule::AtLeast(1),
        "How often members of a consumer group are told to send a heartbeat, in milliseconds, where the group has no \
         consumer.heartbeat.interval.ms.",
    ),
    ConfigDef::new(
        "group.consumer.min.heartbeat.interval.ms",
        Int,
        "5000",
        Rule::AtLeast(1),
        "The lowest consumer.heartbeat.interval.ms that a group may have.",
    ),
    ConfigDef::new(
        "group.consumer.max.heartbeat.interval.ms",
        Int,
        "15000",
        Rule::AtLeast(1),
        "The highest consumer.heartbeat.interval.ms that a group may have.",
    ),
    ConfigDef::new(
        "group.consumer.max.size",
        Int,
        INT_MAX,
        Rule::AtLeast(1),
        "How many members a consumer group may have.",
    ),
    ConfigDef::new(
        "group.consumer.assignors",
        List,
        "uniform,range",
        Rule::Assignors,
        "The assignors that members of a consumer group may ask for by name (group.remote.assignor). The first one \
         assigns where nobody asks.",
    ),
    ConfigDef::new(
        "group.consumer.migration.policy",
        String,
        "bidirectional",
        Rule::OneOfAnyCase(&["bidirectional", "upgrade", "downgrade", "disabled"]),
        "Whether a group that has members may change from the classic to the consumer protocol (upgrade) and back \
         (downgrade).",
    ),
    ConfigDef::new(
        "group.consumer.regex.refresh.interval.ms",
        Int,
        "600000",
        Rule::AtLeast(10_000),
        "How old the topics found for a subscribed regular expression may get before they are looked up again, in \
         milliseconds.",
    )
    .internal(),
];
