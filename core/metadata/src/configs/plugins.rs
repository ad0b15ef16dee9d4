//! Plugins that a topic's configuration binds.
//!
//! Here are names only: which plugins there are is told by [`Parts`](super::Parts), and what they do is none of the metadata's
//! business.

use std::collections::BTreeMap;

use super::broker::BrokerConfig;
use super::error::ConfigError;
use super::topic::TopicConfig;
use super::topic_table::{ORDERING_KEY_CONFIG, PARTITIONER_CONFIG, PARTITIONER_MODE_CONFIG};

/// The hooks that topics bind, as the configuration calls them.
pub mod hook {
    /// What enters a topic.
    pub const INTERCEPTOR: &str = "interceptor";
    /// What defines the order of a record.
    pub const ORDERING_KEY: &str = "ordering-key";
    /// Which partition a record belongs to.
    pub const PARTITIONER: &str = "partitioner";
    /// What a consumer sees.
    pub const FETCH_FILTER: &str = "fetch-filter";
    /// What a partition need not keep.
    pub const RETENTION: &str = "retention";
    /// Which records a partition need not keep.
    pub const RECORD_RETENTION: &str = "record-retention";
}

/// Whether a binding has effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BindingState {
    /// What the plugin says holds.
    #[default]
    On,
    /// The plugin is asked, and what it says is only counted.
    Shadow,
    /// The plugin is not asked.
    Off,
}

/// A plugin's name, and a state behind it: `mask`, `mask:on`, `mask:shadow`, `mask:off`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginBinding {
    /// The plugin.
    pub name: String,
    /// Whether it has effect.
    pub state: BindingState,
}

impl PluginBinding {
    /// Reads a binding; `None` where the text is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, state) = match text.split_once(':') {
            None => (text, BindingState::On),
            Some((name, "on")) => (name, BindingState::On),
            Some((name, "shadow")) => (name, BindingState::Shadow),
            Some((name, "off")) => (name, BindingState::Off),
            Some(_) => return None,
        };
        let is_name = !name.is_empty() && name.chars().all(|c| !c.is_control() && !c.is_whitespace());
        is_name.then(|| Self { name: name.to_owned(), state })
    }
}

/// What the partitioner of a topic is for (`watershed.partitioner.mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartitionerMode {
    /// The client's choice stands.
    #[default]
    Client,
    /// Records in another partition than the partitioner says are refused.
    Enforce,
    /// The broker takes records to the partition that the partitioner says.
    Broker,
}

/// The plugins of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicPlugins {
    /// `watershed.interceptors`, in their order.
    pub interceptors: Vec<PluginBinding>,
    /// `watershed.ordering.key`.
    pub ordering_key: Option<PluginBinding>,
    /// `watershed.partitioner`.
    pub partitioner: Option<PluginBinding>,
    /// `watershed.partitioner.mode`.
    pub partitioner_mode: PartitionerMode,
    /// `watershed.enforce.grace.ms`.
    pub enforce_grace_ms: u64,
    /// `watershed.partitioner.backlog.bytes`.
    pub partitioner_backlog_bytes: u64,
    /// `watershed.fetch.filter`.
    pub fetch_filter: Option<PluginBinding>,
    /// `watershed.retention.policy`.
    pub retention_policy: Option<PluginBinding>,
    /// `watershed.record.retention`.
    pub record_retention: Option<PluginBinding>,
}

/// What the configuration must know of a plugin to judge a binding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginFacts {
    /// Of a partitioner: it answers by the record and the number of partitions alone, so that it can be enforced.
    pub deterministic: bool,
    /// It reads the records' values.
    pub reads_values: bool,
}

/// The plugins that a broker has: by hook, by name.
pub type KnownPlugins = BTreeMap<String, BTreeMap<String, PluginFacts>>;

/// Checks that the plugins that a value names are there.
pub(super) fn check_names(
    name: &'static str,
    hook: &str,
    value: &str,
    known: Option<&KnownPlugins>,
) -> Result<(), ConfigError> {
    let Some(known) = known else { return Ok(()) };
    let none = BTreeMap::new();
    let of_hook = known.get(hook).unwrap_or(&none);
    for item in value.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        // What is no binding was refused before.
        let Some(binding) = PluginBinding::parse(item) else { continue };
        if !of_hook.contains_key(&binding.name) {
            let names: Vec<_> = of_hook.keys().map(String::as_str).collect();
            let loaded = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let plugin = binding.name;
            let problem = format!("there is no plugin {plugin:?} for the hook {hook}; loaded are: {loaded}");
            return Err(ConfigError::Invalid { name, value: value.to_owned(), problem });
        }
    }
    Ok(())
}

/// Checks what only shows when all of a topic's settings are known.
pub(super) fn check_together(broker: &BrokerConfig, config: &TopicConfig, errors: &mut Vec<ConfigError>) {
    let known = broker.parts().plugins.as_ref();
    let facts = |hook: &str, binding: &PluginBinding| known?.get(hook)?.get(&binding.name).cloned();
    let plugins = &config.plugins;
    if plugins.partitioner_mode != PartitionerMode::Client {
        let mode = plugins.partitioner_mode;
        let problem = match &plugins.partitioner {
            None if mode == PartitionerMode::Enforce => Some("enforce needs a partitioner".to_owned()),
            None => Some("broker needs a partitioner".to_owned()),
            Some(_) if mode == PartitionerMode::Broker => None,
            Some(partitioner) => match facts(hook::PARTITIONER, partitioner) {
                Some(PluginFacts { deterministic: false, .. }) => Some(format!(
                    "the partitioner {} does not answer by the record alone (deterministic), so it cannot be enforced",
                    partitioner.name
                )),
                _ => None,
            },
        };
        let conflict =
            |problem| ConfigError::Conflict { name: PARTITIONER_MODE_CONFIG, other: PARTITIONER_CONFIG, problem };
        errors.extend(problem.map(conflict));
    }
    if let Some(binding) = plugins.ordering_key.as_ref().filter(|_| config.cleanup_policy.compact)
        && facts(hook::ORDERING_KEY, binding).is_some_and(|facts| facts.reads_values)
    {
        errors.push(ConfigError::Conflict {
            name: ORDERING_KEY_CONFIG,
            other: "cleanup.policy",
            problem: format!(
                "{} reads values, and a tombstone of a compacted topic has none: only ordering keys that read keys or \
                 headers can be used there",
                binding.name
            ),
        });
    }
}
