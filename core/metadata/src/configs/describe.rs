//! What DescribeConfigs answers: every value with its source and the chain of settings it came through (KIP-226,
//! KIP-569).
//!
//! The chains are Kafka's, peculiarities included: a chain begins at the setting's strongest name, so that
//! `retention.ms` shows an empty one where only `log.retention.hours` is set.

use std::collections::BTreeMap;

use super::broker::BrokerConfig;
use super::broker_table::{broker_config_def, broker_config_defs};
use super::def::{ConfigDef, ConfigKind, Synonym, same};
use super::group::group_config_defs;
use super::topic::topic_value;
use super::topic_table::topic_config_defs;

/// Where a value came from, with DescribeConfigs' numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i8)]
pub enum ConfigSource {
    /// The topic's own setting.
    DynamicTopic = 1,
    /// Set for this broker while it runs.
    DynamicBroker = 2,
    /// Set for every broker while they run.
    DynamicDefaultBroker = 3,
    /// The broker's file.
    StaticBroker = 4,
    /// Built in.
    Default = 5,
    /// The group's own setting.
    DynamicGroup = 8,
}

impl ConfigSource {
    /// The number DescribeConfigs carries for this source.
    #[must_use]
    pub const fn code(self) -> i8 {
        self as i8
    }
}

/// One link of the chain a value came through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The setting.
    pub name: &'static str,
    /// Its value there, as it was written.
    pub value: Option<String>,
    /// Where it was written.
    pub source: ConfigSource,
}

/// One setting as DescribeConfigs answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The setting.
    pub name: &'static str,
    /// The value in force; `None` is null.
    pub value: Option<String>,
    /// Where it came from.
    pub source: ConfigSource,
    /// Its type.
    pub kind: ConfigKind,
    /// Whether the value is a secret and therefore withheld; none of ours is.
    pub sensitive: bool,
    /// Whether AlterConfigs refuses to change it.
    pub read_only: bool,
    /// The chain, strongest first.
    pub synonyms: Vec<ConfigSynonym>,
    /// What it does.
    pub doc: &'static str,
}

/// Every config of a topic with these settings of its own: Kafka's, then ours.
#[must_use]
pub fn describe_topic(broker: &BrokerConfig, overrides: &BTreeMap<String, String>) -> Vec<ConfigEntry> {
    let listed = topic_config_defs().iter().filter(|def| !def.internal || overrides.contains_key(def.name));
    listed
        .map(|def| {
            // A stored value that cannot be read (written by a newer version) is shown as it is stored.
            let value = topic_value(broker, overrides, def.name)
                .map_or_else(|_| overrides.get(def.name).cloned(), |value| value.map(|value| value.to_string()));
            let mut synonyms = Vec::new();
            if overrides.contains_key(def.name) {
                let source = ConfigSource::DynamicTopic;
                synonyms.push(ConfigSynonym { name: def.name, value: value.clone(), source });
            }
            if let Some(first) = def.synonyms.first() {
                synonyms.extend(chain(broker, first.name, def.synonyms));
            }
            entry(def, value, synonyms, false)
        })
        .collect()
}

/// Every config of a group with these settings of its own.
///
/// As Kafka 4.2 says it: a value that the group did not set has the source "built in", also where the broker's file
/// gives it, and the chain has the group's setting only.
#[must_use]
pub fn describe_group(broker: &BrokerConfig, overrides: &BTreeMap<String, String>) -> Vec<ConfigEntry> {
    let one = |def: &'static ConfigDef| {
        let own = overrides.get(def.name).and_then(|text| def.parse(text).ok());
        let source = if own.is_some() { ConfigSource::DynamicGroup } else { ConfigSource::Default };
        let value = own.or_else(|| broker.inherited(def)).map(|value| value.to_string());
        let synonyms = vec![ConfigSynonym { name: def.name, value: value.clone(), source }];
        entry(def, value, synonyms, false)
    };
    group_config_defs().iter().map(one).collect()
}

/// Every config of this broker.
#[must_use]
pub fn describe_broker(broker: &BrokerConfig) -> Vec<ConfigEntry> {
    let set = |def: &ConfigDef| broker.fixed.contains_key(def.name);
    let listed = broker_config_defs().iter().filter(|def| !def.internal || set(def));
    listed
        .map(|def| {
            let value = broker.value(def).map(|value| value.to_string());
            entry(def, value, broker_chain(broker, def), !def.dynamic)
        })
        .collect()
}

/// The cluster-wide dynamic defaults: only what was set.
#[must_use]
pub fn describe_broker_defaults(broker: &BrokerConfig) -> Vec<ConfigEntry> {
    let set = broker_config_defs().iter().filter(|def| broker.dynamic_default.contains_key(def.name));
    set.map(|def| {
        let value = broker.dynamic_default.get(def.name).cloned();
        let mut synonyms = broker_chain(broker, def);
        synonyms.retain(|synonym| synonym.source == ConfigSource::DynamicDefaultBroker);
        entry(def, value, synonyms, !def.dynamic)
    })
    .collect()
}

fn entry(def: &'static ConfigDef, value: Option<String>, synonyms: Vec<ConfigSynonym>, read_only: bool) -> ConfigEntry {
    let source = synonyms.first().map_or(ConfigSource::Default, |synonym| synonym.source);
    let ConfigDef { name, kind, doc, .. } = *def;
    ConfigEntry { name, value, source, kind, sensitive: false, read_only, synonyms, doc }
}

fn broker_chain(broker: &BrokerConfig, def: &'static ConfigDef) -> Vec<ConfigSynonym> {
    if def.synonyms.is_empty() {
        return chain(broker, def.name, &[same(def.name)]);
    }
    chain(broker, def.name, def.synonyms)
}

fn chain(broker: &BrokerConfig, name: &str, synonyms: &[Synonym]) -> Vec<ConfigSynonym> {
    let layers = [
        (&broker.dynamic, ConfigSource::DynamicBroker),
        (&broker.dynamic_default, ConfigSource::DynamicDefaultBroker),
        (&broker.fixed, ConfigSource::StaticBroker),
    ];
    let mut links = Vec::new();
    for (layer, source) in layers {
        for synonym in synonyms {
            if let Some(value) = layer.get(synonym.name) {
                links.push(ConfigSynonym { name: synonym.name, value: Some(value.clone()), source });
            }
        }
    }
    for synonym in synonyms {
        if let Some(default) = broker_config_def(synonym.name).and_then(|def| def.default) {
            let value = Some(default.to_owned());
            links.push(ConfigSynonym { name: synonym.name, value, source: ConfigSource::Default });
        }
    }
    let begin = links.iter().position(|link| link.name == name).unwrap_or(links.len());
    links.split_off(begin)
}
