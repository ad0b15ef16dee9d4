//! Kafka's settings: which exist, what they mean, what a value may be, and where an effective value came from.
//!
//! Two static tables are the whole truth: [`topic_config_defs`] lists every topic config of Kafka 4.2 (so that
//! DescribeConfigs answers as Kafka does) and ours after them; [`broker_config_defs`] lists the broker configs that
//! do something here, [`group_config_defs`] those of single groups. A key that is listed but cannot be honoured yet says so ([`Support::DefaultOnly`]) and any
//! value but its default is refused, never silently kept.
//!
//! Everything here is pure: maps of texts in, typed values, entries or [`ConfigError`]s out. The precedence is
//! Kafka's: the topic's own config, then this broker's dynamic config, then the cluster-wide dynamic default, then
//! the file, then the built-in default (KIP-226).
//!
//! Next: `topic.rs` for [`TopicConfig`], `broker.rs` for [`BrokerConfig`], `group.rs` for [`GroupConfig`], `group_rules.rs` for the operator's rules, `plugins.rs` for the plugins of topics, `describe.rs` for what DescribeConfigs
//! answers, `topic_table.rs`, `broker_table.rs` and `group_table.rs` for the tables.

mod broker;
mod broker_table;
mod def;
mod describe;
mod error;
mod group;
mod group_rules;
mod group_settings;
mod group_table;
mod internal;
mod plugins;
#[cfg(test)]
mod tests;
mod topic;
mod topic_table;
mod value;

pub use broker::{
    ASSIGNORS_BUILT_IN, BrokerConfig, BrokerSettings, Parts, STORAGES_BUILT_IN, validate_broker,
    validate_broker_dynamic,
};
pub use broker_table::{broker_config_def, broker_config_defs};
pub use def::{ConfigDef, ConfigKind, Rule, Support, Synonym, Unit};
pub use describe::{
    ConfigEntry, ConfigSource, ConfigSynonym, describe_broker, describe_broker_defaults, describe_group, describe_topic,
};
pub use error::{ConfigError, nearest};
pub use group::{GroupConfig, group_config_def, group_config_defs, validate_group_all};
pub use group_rules::{Assignment, GroupPattern, GroupPatternError, GroupRule, GroupRules};
pub use group_settings::{GroupSettings, MigrationPolicy};
pub use internal::internal_topic_configs;
pub use plugins::{BindingState, KnownPlugins, PartitionerMode, PluginBinding, PluginFacts, TopicPlugins, hook};
pub use topic::{
    CleanupPolicy, CompressionType, Flush, TimestampType, TopicConfig, topic_value, validate_topic, validate_topic_all,
};
pub use topic_table::{
    FETCH_FILTER_CONFIG, FLUSH_CONFIG, INTERCEPTORS_CONFIG, ORDERING_KEY_CONFIG, PARTITIONER_CONFIG,
    PARTITIONER_MODE_CONFIG, RECORD_RETENTION_CONFIG, RETENTION_POLICY_CONFIG, STORAGE_CONFIG, topic_config_def,
    topic_config_defs,
};
pub use value::Value;
