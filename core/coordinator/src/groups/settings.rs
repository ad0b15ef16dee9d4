//! What the operator chose, as far as groups are concerned. Defaults are Kafka 4.2.0's.

/// Which groups with members may change their protocol (`group.consumer.migration.policy`, KIP-848).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MigrationPolicy {
    /// From classic to consumer.
    pub upgrade: bool,
    /// From consumer to classic.
    pub downgrade: bool,
}

/// The group settings in force. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// `group.min.session.timeout.ms`.
    pub classic_session_timeout_min_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub classic_session_timeout_max_ms: i32,
    /// `group.initial.rebalance.delay.ms`.
    pub classic_initial_rebalance_delay_ms: i32,
    /// `group.max.size`: members of a classic group.
    pub classic_size_max: usize,
    /// `group.consumer.session.timeout.ms`.
    pub consumer_session_timeout_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`.
    pub consumer_heartbeat_interval_ms: i32,
    /// `group.consumer.max.size`: members of a consumer group.
    pub consumer_size_max: usize,
    /// `group.consumer.assignors`: the first is the default.
    pub consumer_assignors: Vec<String>,
    /// `group.consumer.migration.policy`.
    pub consumer_migration_policy: MigrationPolicy,
    /// `group.consumer.regex.refresh.interval.ms`.
    pub consumer_regex_refresh_interval_ms: u64,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: u64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval_ms: u64,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            classic_session_timeout_min_ms: 6_000,
            classic_session_timeout_max_ms: 1_800_000,
            classic_initial_rebalance_delay_ms: 3_000,
            classic_size_max: i32::MAX as usize,
            consumer_session_timeout_ms: 45_000,
            consumer_heartbeat_interval_ms: 5_000,
            consumer_size_max: i32::MAX as usize,
            consumer_assignors: vec!["uniform".to_owned(), "range".to_owned()],
            consumer_migration_policy: MigrationPolicy { upgrade: true, downgrade: true },
            consumer_regex_refresh_interval_ms: 600_000,
            offset_metadata_bytes_max: 4096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1000,
            offsets_retention_check_interval_ms: 600_000,
        }
    }
}
