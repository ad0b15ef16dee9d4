//! The broker's settings for groups, typed, and what must hold between them.

use watershed_model::record::Compression;

use super::error::ConfigError;
use super::value::Value;

/// The setting that lists the protocols.
const PROTOCOLS: &str = "group.coordinator.rebalance.protocols";

/// Which groups with members may change their protocol (`group.consumer.migration.policy`, KIP-848).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MigrationPolicy {
    /// From classic to consumer.
    pub upgrade: bool,
    /// From consumer to classic.
    pub downgrade: bool,
}

/// What the group coordinator is told by the broker's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// Whether `group.coordinator.rebalance.protocols` has `consumer`.
    pub consumer_protocol: bool,
    /// `group.min.session.timeout.ms`, in milliseconds.
    pub classic_session_timeout_min_ms: i32,
    /// `group.max.session.timeout.ms`, in milliseconds.
    pub classic_session_timeout_max_ms: i32,
    /// `group.initial.rebalance.delay.ms`, in milliseconds.
    pub classic_initial_rebalance_delay_ms: i32,
    /// `group.max.size`: members.
    pub classic_size_max: usize,
    /// `group.consumer.session.timeout.ms`, in milliseconds.
    pub consumer_session_timeout_ms: i32,
    /// `group.consumer.min.session.timeout.ms`, in milliseconds.
    pub consumer_session_timeout_min_ms: i32,
    /// `group.consumer.max.session.timeout.ms`, in milliseconds.
    pub consumer_session_timeout_max_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`, in milliseconds.
    pub consumer_heartbeat_interval_ms: i32,
    /// `group.consumer.min.heartbeat.interval.ms`, in milliseconds.
    pub consumer_heartbeat_interval_min_ms: i32,
    /// `group.consumer.max.heartbeat.interval.ms`, in milliseconds.
    pub consumer_heartbeat_interval_max_ms: i32,
    /// `group.consumer.max.size`: members.
    pub consumer_size_max: usize,
    /// `group.consumer.assignors`: names, at least one; the first is the default.
    pub consumer_assignors: Vec<String>,
    /// `group.consumer.migration.policy`.
    pub consumer_migration_policy: MigrationPolicy,
    /// `group.consumer.regex.refresh.interval.ms`, in milliseconds.
    pub consumer_regex_refresh_interval_ms: u64,
    /// `offset.metadata.max.bytes`, in bytes.
    pub offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: u64,
    /// `offsets.retention.check.interval.ms`, in milliseconds.
    pub offsets_retention_check_interval_ms: u64,
    /// `offsets.commit.timeout.ms`, in milliseconds.
    pub offsets_commit_timeout_ms: u64,
    /// `offsets.load.buffer.size`, in bytes.
    pub offsets_load_buffer_bytes: usize,
    /// `offsets.topic.num.partitions`.
    pub offsets_topic_partitions: i32,
    /// `offsets.topic.replication.factor`, not yet bounded by the number of brokers.
    pub offsets_topic_replication_factor: i16,
    /// `offsets.topic.segment.bytes`, in bytes.
    pub offsets_topic_segment_bytes: i32,
    /// `offsets.topic.compression.codec`.
    pub offsets_topic_compression: Compression,
}

impl GroupSettings {
    /// Reads the settings; `value` gives those in force by name, each of which obeys the table's rule.
    pub(super) fn read(value: &dyn Fn(&str) -> Option<Value>) -> Self {
        let number = |name: &str| value(name).map_or(0, |value| value.number());
        let int = |name: &str| i32::try_from(number(name)).expect("the table's type bounds it");
        let count = |name: &str| usize::try_from(number(name)).expect("the table's rule bounds it");
        let time = |name: &str| u64::try_from(number(name)).expect("the table's rule bounds it");
        let policy = value("group.consumer.migration.policy").map(|value| value.to_string()).unwrap_or_default();
        let policy_is = |names: [&str; 2]| names.iter().any(|name| policy.eq_ignore_ascii_case(name));
        Self {
            consumer_protocol: items(value(PROTOCOLS)).iter().any(|protocol| protocol == "consumer"),
            classic_session_timeout_min_ms: int("group.min.session.timeout.ms"),
            classic_session_timeout_max_ms: int("group.max.session.timeout.ms"),
            classic_initial_rebalance_delay_ms: int("group.initial.rebalance.delay.ms"),
            classic_size_max: count("group.max.size"),
            consumer_session_timeout_ms: int("group.consumer.session.timeout.ms"),
            consumer_session_timeout_min_ms: int("group.consumer.min.session.timeout.ms"),
            consumer_session_timeout_max_ms: int("group.consumer.max.session.timeout.ms"),
            consumer_heartbeat_interval_ms: int("group.consumer.heartbeat.interval.ms"),
            consumer_heartbeat_interval_min_ms: int("group.consumer.min.heartbeat.interval.ms"),
            consumer_heartbeat_interval_max_ms: int("group.consumer.max.heartbeat.interval.ms"),
            consumer_size_max: count("group.consumer.max.size"),
            consumer_assignors: items(value("group.consumer.assignors")),
            consumer_migration_policy: MigrationPolicy {
                upgrade: policy_is(["bidirectional", "upgrade"]),
                downgrade: policy_is(["bidirectional", "downgrade"]),
            },
            consumer_regex_refresh_interval_ms: time("group.consumer.regex.refresh.interval.ms"),
            offset_metadata_bytes_max: count("offset.metadata.max.bytes"),
            offsets_retention_ms: time("offsets.retention.minutes").saturating_mul(60_000),
            offsets_retention_check_interval_ms: time("offsets.retention.check.interval.ms"),
            offsets_commit_timeout_ms: time("offsets.commit.timeout.ms"),
            offsets_load_buffer_bytes: count("offsets.load.buffer.size"),
            offsets_topic_partitions: int("offsets.topic.num.partitions"),
            offsets_topic_replication_factor: i16::try_from(number("offsets.topic.replication.factor"))
                .expect("the table's type bounds it"),
            offsets_topic_segment_bytes: int("offsets.topic.segment.bytes"),
            offsets_topic_compression: u8::try_from(number("offsets.topic.compression.codec"))
                .ok()
                .and_then(Compression::from_bits)
                .expect("the table's rule allows the known codecs only"),
        }
    }

    /// What must hold between the settings, as Kafka checks it at its start; `value` as in [`Self::read`].
    pub(super) fn check(&self, value: &dyn Fn(&str) -> Option<Value>) -> Result<(), ConfigError> {
        let protocols = items(value(PROTOCOLS));
        if !protocols.iter().any(|protocol| protocol == "classic") {
            let problem = "the classic protocol cannot be disabled".to_owned();
            return Err(ConfigError::Invalid { name: PROTOCOLS, value: protocols.join(","), problem });
        }
        let classic = (self.classic_session_timeout_min_ms, self.classic_session_timeout_max_ms);
        ordered(["group.min.session.timeout.ms", "group.max.session.timeout.ms"], classic)?;
        let heartbeat = "group.consumer.heartbeat.interval.ms";
        let names = ["group.consumer.min.heartbeat.interval.ms", heartbeat, "group.consumer.max.heartbeat.interval.ms"];
        let interval = self.consumer_heartbeat_interval_ms;
        let (min, max) = (self.consumer_heartbeat_interval_min_ms, self.consumer_heartbeat_interval_max_ms);
        within(names, (min, interval, max))?;
        let session = "group.consumer.session.timeout.ms";
        let names = ["group.consumer.min.session.timeout.ms", session, "group.consumer.max.session.timeout.ms"];
        let timeout = self.consumer_session_timeout_ms;
        let (min, max) = (self.consumer_session_timeout_min_ms, self.consumer_session_timeout_max_ms);
        within(names, (min, timeout, max))?;
        if interval >= timeout {
            let problem = format!("{interval} is not less than {timeout}");
            return Err(ConfigError::Conflict { name: heartbeat, other: session, problem });
        }
        Ok(())
    }
}

/// The items of a list setting.
fn items(value: Option<Value>) -> Vec<String> {
    match value {
        Some(Value::List(items)) => items,
        _ => Vec::new(),
    }
}

fn within(names: [&'static str; 3], (min, value, max): (i32, i32, i32)) -> Result<(), ConfigError> {
    ordered([names[0], names[2]], (min, max))?;
    ordered([names[0], names[1]], (min, value))?;
    ordered([names[1], names[2]], (value, max))
}

fn ordered([name, other]: [&'static str; 2], (smaller, larger): (i32, i32)) -> Result<(), ConfigError> {
    if smaller <= larger {
        return Ok(());
    }
    Err(ConfigError::Conflict { name, other, problem: format!("{smaller} is larger than {larger}") })
}
