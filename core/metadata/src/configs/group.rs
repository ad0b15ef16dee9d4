//! The configs of one group (Kafka's GROUP resource, KIP-848).
//!
//! A group's configs may be set before the group exists and stay when it is gone. Kafka 4.2 also has configs of share
//! and streams groups here; those groups are not served, so their configs are not known.

use std::collections::BTreeMap;

use super::broker::BrokerConfig;
use super::def::ConfigKind::Int;
use super::def::{ConfigDef, Rule, same};
use super::error::{ConfigError, nearest};
use super::group_settings::GroupSettings;

const SESSION_TIMEOUT: &str = "consumer.session.timeout.ms";
const HEARTBEAT_INTERVAL: &str = "consumer.heartbeat.interval.ms";

static GROUP_CONFIGS: &[ConfigDef] = &[
    ConfigDef::new(
        SESSION_TIMEOUT,
        Int,
        "45000",
        Rule::AtLeast(1),
        "After how long without a heartbeat a member is removed, in milliseconds. Lies between \
         group.consumer.min.session.timeout.ms and group.consumer.max.session.timeout.ms of the broker.",
    )
    .from(&[same("group.consumer.session.timeout.ms")]),
    ConfigDef::new(
        HEARTBEAT_INTERVAL,
        Int,
        "5000",
        Rule::AtLeast(1),
        "How often members are told to send a heartbeat, in milliseconds; less than the session timeout. Lies between \
         group.consumer.min.heartbeat.interval.ms and group.consumer.max.heartbeat.interval.ms of the broker.",
    )
    .from(&[same("group.consumer.heartbeat.interval.ms")]),
];

/// Every group config that is known here.
#[must_use]
pub fn group_config_defs() -> &'static [ConfigDef] {
    GROUP_CONFIGS
}

/// The group config of this name.
#[must_use]
pub fn group_config_def(name: &str) -> Option<&'static ConfigDef> {
    GROUP_CONFIGS.iter().find(|def| def.name == name)
}

/// Every value of one group's configuration. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// `consumer.session.timeout.ms`.
    pub consumer_session_timeout_ms: i32,
    /// `consumer.heartbeat.interval.ms`.
    pub consumer_heartbeat_interval_ms: i32,
}

impl GroupConfig {
    /// The configuration of a group with these configs of its own, on a broker with these settings.
    ///
    /// As in Kafka, a value that was allowed when it was set holds although the broker has narrower bounds since. A
    /// stored value that cannot be read (written by a newer version) counts as not set.
    #[must_use]
    pub fn resolve(groups: &GroupSettings, overrides: &BTreeMap<String, String>) -> Self {
        let own = |name: &str| {
            let value = group_config_def(name)?.parse(overrides.get(name)?).ok()?;
            i32::try_from(value.number()).ok()
        };
        Self {
            consumer_session_timeout_ms: own(SESSION_TIMEOUT).unwrap_or(groups.consumer_session_timeout_ms),
            consumer_heartbeat_interval_ms: own(HEARTBEAT_INTERVAL).unwrap_or(groups.consumer_heartbeat_interval_ms),
        }
    }
}

/// Checks all configs of one group on this broker: each by itself, against the broker's bounds, and against each other.
///
/// # Errors
/// Everything that is wrong, not only the first.
pub fn validate_group_all(broker: &BrokerConfig, overrides: &BTreeMap<String, String>) -> Result<(), Vec<ConfigError>> {
    let mut errors: Vec<_> =
        overrides.iter().filter_map(|(name, value)| validate_group(broker, name, value).err()).collect();
    let config = GroupConfig::resolve(&broker.settings().groups, overrides);
    let (timeout, interval) = (config.consumer_session_timeout_ms, config.consumer_heartbeat_interval_ms);
    if errors.is_empty() && timeout <= interval {
        let problem = format!("{timeout} is not more than {interval}");
        errors.push(ConfigError::Conflict { name: SESSION_TIMEOUT, other: HEARTBEAT_INTERVAL, problem });
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn validate_group(broker: &BrokerConfig, name: &str, text: &str) -> Result<(), ConfigError> {
    let Some(def) = group_config_def(name) else {
        let known = GROUP_CONFIGS.iter().map(|def| def.name);
        return Err(ConfigError::Unknown { scope: "group", name: name.to_owned(), nearest: nearest(name, known) });
    };
    let value = def.check(text)?.number();
    let groups = &broker.settings().groups;
    let (bound, min, max) = match name {
        SESSION_TIMEOUT => {
            ("session.timeout", groups.consumer_session_timeout_min_ms, groups.consumer_session_timeout_max_ms)
        }
        _ => {
            ("heartbeat.interval", groups.consumer_heartbeat_interval_min_ms, groups.consumer_heartbeat_interval_max_ms)
        }
    };
    let problem = if value < i64::from(min) {
        format!("it must be greater than or equal to group.consumer.min.{bound}.ms, {min}")
    } else if value > i64::from(max) {
        format!("it must be less than or equal to group.consumer.max.{bound}.ms, {max}")
    } else {
        return Ok(());
    };
    Err(ConfigError::Invalid { name: def.name, value: text.to_owned(), problem })
}
