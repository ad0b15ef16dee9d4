//! The broker's own settings: what the file said, what was changed while it runs, and the typed result.
//!
//! A [`BrokerConfig`] is immutable and valid by construction. A dynamic change makes a new one
//! ([`BrokerConfig::with_dynamic`]), from which topic configs are resolved again.

use std::collections::BTreeMap;

use super::broker_table::{broker_config_def, broker_config_defs};
use super::def::{ConfigDef, Rule, Unit};
use super::error::{ConfigError, nearest};
use super::group_settings::GroupSettings;
use super::plugins::{self, KnownPlugins};
use super::value::Value;

/// The storage backends of a broker that was not told otherwise.
pub const STORAGES_BUILT_IN: [&str; 2] = ["disk", "memory"];

/// The assignors of a broker that was not told otherwise.
pub const ASSIGNORS_BUILT_IN: [&str; 4] = ["range", "round-robin", "sticky", "uniform"];

/// The names of what a broker is built with, as far as settings choose among it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Storage backends, which `watershed.storage` names.
    pub storages: Vec<String>,
    /// Assignors of consumer groups, which `group.consumer.assignors` names.
    pub assignors: Vec<String>,
    /// Plugins for the hooks of topics; `None`: they are not loaded yet, and every name passes.
    pub plugins: Option<KnownPlugins>,
}

impl Default for Parts {
    fn default() -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            storages: owned(&STORAGES_BUILT_IN),
            assignors: owned(&ASSIGNORS_BUILT_IN),
            plugins: Some(KnownPlugins::new()),
        }
    }
}

type Map = BTreeMap<String, String>;

/// The broker settings in force, by layer: this broker's dynamic ones, the cluster-wide dynamic defaults, the
/// file's, and the built-in defaults below them (KIP-226).
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    pub(super) dynamic: Map,
    pub(super) dynamic_default: Map,
    pub(super) fixed: Map,
    parts: Parts,
    settings: BrokerSettings,
}

/// The broker settings a running broker reads, typed. Topic defaults are not among them: see
/// [`TopicConfig`](super::TopicConfig).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerSettings {
    /// `node.id`.
    pub node_id: i32,
    /// `broker.rack`.
    pub broker_rack: Option<String>,
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// `auto.create.topics.enable`.
    pub auto_create_topics_enable: bool,
    /// `delete.topic.enable`.
    pub delete_topic_enable: bool,
    /// `log.retention.check.interval.ms`, in milliseconds.
    pub retention_check_interval_ms: u64,
    /// `watershed.record.retention.check.interval.ms`, in milliseconds.
    pub record_retention_check_interval_ms: u64,
    /// `producer.id.expiration.ms`, in milliseconds.
    pub producer_id_expiration_ms: u64,
    /// `socket.request.max.bytes`, in bytes.
    pub socket_request_max_bytes: u32,
    /// `queued.max.request.bytes`, in bytes; `None`: not set.
    pub queued_max_request_bytes: Option<u64>,
    /// `max.connections`.
    pub max_connections: u32,
    /// `max.connections.per.ip`.
    pub max_connections_per_ip: u32,
    /// `connections.max.idle.ms`, in milliseconds; `None`: connections may be idle for ever.
    pub connections_max_idle_ms: Option<u64>,
    /// `fetch.max.bytes`, in bytes.
    pub fetch_max_bytes: u32,
    /// `max.incremental.fetch.session.cache.slots`.
    pub fetch_session_slots: u32,
    /// `max.request.partition.size.limit`.
    pub request_partitions_max: u32,
    /// What the group coordinator is told.
    pub groups: GroupSettings,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self::new(BTreeMap::new()).expect("the defaults are valid, a test says so")
    }
}

impl BrokerConfig {
    /// A broker whose file holds these settings, built with what comes with Watershed.
    ///
    /// # Errors
    /// Everything that is wrong with them, not only the first.
    pub fn new(fixed: BTreeMap<String, String>) -> Result<Self, Vec<ConfigError>> {
        Self::with_parts(fixed, Parts::default())
    }

    /// The same for a broker that was built with these parts.
    ///
    /// # Errors
    /// Everything that is wrong with them, not only the first.
    pub fn with_parts(fixed: BTreeMap<String, String>, parts: Parts) -> Result<Self, Vec<ConfigError>> {
        Self::build(BTreeMap::new(), BTreeMap::new(), fixed, parts)
    }

    /// This broker with other dynamic settings: `own` were set for this broker, `cluster` for every broker.
    ///
    /// # Errors
    /// Everything that is wrong with them, not only the first.
    pub fn with_dynamic(
        &self,
        own: BTreeMap<String, String>,
        cluster: BTreeMap<String, String>,
    ) -> Result<Self, Vec<ConfigError>> {
        let dynamic = own.iter().chain(&cluster).filter_map(|(name, value)| validate_broker_dynamic(name, value).err());
        let errors: Vec<_> = dynamic.collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        Self::build(own, cluster, self.fixed.clone(), self.parts.clone())
    }

    fn build(dynamic: Map, dynamic_default: Map, fixed: Map, parts: Parts) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        for (name, value) in dynamic.iter().chain(&dynamic_default).chain(&fixed) {
            match validate_broker(name, value) {
                Err(error) => errors.push(error),
                Ok(def) => errors.extend(check_parts(def, value, &parts).err()),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let layers = [&dynamic, &dynamic_default, &fixed];
        let settings = BrokerSettings::read(layers);
        cross_check(&settings, layers).map_err(|error| vec![error])?;
        Ok(Self { dynamic, dynamic_default, fixed, parts, settings })
    }

    /// The typed settings.
    #[must_use]
    pub fn settings(&self) -> &BrokerSettings {
        &self.settings
    }

    /// The names of what the broker is built with.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The value of a topic's or group's setting where that itself has none, as this broker gives it; `None` is
    /// Kafka's null.
    pub(super) fn inherited(&self, def: &ConfigDef) -> Option<Value> {
        for layer in [&self.dynamic, &self.dynamic_default, &self.fixed] {
            for synonym in def.synonyms {
                if let Some(text) = layer.get(synonym.name) {
                    return Some(convert(synonym.name, synonym.unit, text));
                }
            }
        }
        def.default.map(|text| def.parse(text).expect("defaults obey their own rule, a test says so"))
    }

    /// The value of a broker setting in force; `None` is Kafka's null.
    pub(super) fn value(&self, def: &ConfigDef) -> Option<Value> {
        value_in([&self.dynamic, &self.dynamic_default, &self.fixed], def)
    }
}

/// As in Kafka, a layer that sets one of several settings that belong together hides the whole group in the
/// layers below: a dynamic `log.retention.ms` makes the file's `log.retention.hours` as if it were not there.
fn value_in(layers: [&Map; 3], def: &ConfigDef) -> Option<Value> {
    let sets = |layer: &&&Map| {
        layer.contains_key(def.name) || def.synonyms.iter().any(|synonym| layer.contains_key(synonym.name))
    };
    let layer = layers.iter().find(sets);
    let text = layer.and_then(|layer| layer.get(def.name)).map(String::as_str).or(def.default)?;
    Some(def.parse(text).expect("checked when the config was made"))
}

fn named_value(layers: [&Map; 3], name: &str) -> Option<Value> {
    value_in(layers, broker_config_def(name).expect("the name stands in the broker table"))
}

fn convert(name: &str, unit: Unit, text: &str) -> Value {
    let def = broker_config_def(name).expect("every synonym is in the broker table, a test says so");
    let value = def.parse(text).expect("checked when the config was made");
    match (unit, value) {
        (Unit::Same, value) => value,
        // "No limit" stays -1 in every unit.
        (_, Value::Number(n)) if n < 0 => Value::Number(-1),
        (unit, Value::Number(n)) => Value::Number(n.saturating_mul(unit.factor())),
        (_, value) => value,
    }
}

impl BrokerSettings {
    fn read(layers: [&Map; 3]) -> Self {
        let value = |name: &str| named_value(layers, name);
        let number = |name: &str| value(name).map_or(0, |v| v.number());
        let count = |name: &str| u32::try_from(number(name)).expect("the table's rule bounds it");
        let limit = |name: &str| u64::try_from(number(name)).ok();
        let flag = |name: &str| value(name) == Some(Value::Bool(true));
        Self {
            node_id: i32::try_from(number("node.id")).expect("the table's type bounds it"),
            broker_rack: value("broker.rack").map(|v| v.to_string()),
            num_partitions: i32::try_from(number("num.partitions")).expect("the table's type bounds it"),
            default_replication_factor: i16::try_from(number("default.replication.factor")).unwrap_or(i16::MAX),
            auto_create_topics_enable: flag("auto.create.topics.enable"),
            delete_topic_enable: flag("delete.topic.enable"),
            retention_check_interval_ms: limit("log.retention.check.interval.ms").unwrap_or(u64::MAX),
            record_retention_check_interval_ms: limit("watershed.record.retention.check.interval.ms")
                .unwrap_or(u64::MAX),
            producer_id_expiration_ms: limit("producer.id.expiration.ms").unwrap_or(u64::MAX),
            socket_request_max_bytes: count("socket.request.max.bytes"),
            queued_max_request_bytes: limit("queued.max.request.bytes"),
            max_connections: count("max.connections"),
            max_connections_per_ip: count("max.connections.per.ip"),
            connections_max_idle_ms: limit("connections.max.idle.ms"),
            fetch_max_bytes: count("fetch.max.bytes"),
            fetch_session_slots: count("max.incremental.fetch.session.cache.slots"),
            request_partitions_max: count("max.request.partition.size.limit"),
            groups: GroupSettings::read(&value),
        }
    }
}

fn cross_check(settings: &BrokerSettings, layers: [&Map; 3]) -> Result<(), ConfigError> {
    let too_small = |queued: u64| queued < u64::from(settings.socket_request_max_bytes);
    if settings.queued_max_request_bytes.is_some_and(too_small) {
        return Err(ConfigError::Conflict {
            name: "queued.max.request.bytes",
            other: "socket.request.max.bytes",
            problem: "the first must not be smaller, or the largest request could never be read".to_owned(),
        });
    }
    let lag = |name: &str| named_value(layers, name).map_or(0, |v| v.number());
    if lag("log.cleaner.min.compaction.lag.ms") > lag("log.cleaner.max.compaction.lag.ms") {
        return Err(ConfigError::Conflict {
            name: "log.cleaner.min.compaction.lag.ms",
            other: "log.cleaner.max.compaction.lag.ms",
            problem: "the first must not be larger".to_owned(),
        });
    }
    settings.groups.check(&|name| named_value(layers, name))
}

/// Whether what a setting names is there, if it names parts of the broker.
pub(super) fn check_parts(def: &'static ConfigDef, value: &str, parts: &Parts) -> Result<(), ConfigError> {
    let (kind, known) = match def.rule {
        Rule::Storage => ("storage backends", &parts.storages),
        Rule::Assignors => ("assignors", &parts.assignors),
        Rule::Plugin(hook) | Rule::Plugins(hook) => {
            return plugins::check_names(def.name, hook, value, parts.plugins.as_ref());
        }
        _ => return Ok(()),
    };
    let is_known = |name: &str| known.iter().any(|part| part == name);
    let all =
        if def.rule == Rule::Storage { is_known(value.trim()) } else { value.split(',').map(str::trim).all(is_known) };
    if all {
        return Ok(());
    }
    let problem = format!("this broker has the {kind} {}", known.join(", "));
    Err(ConfigError::Invalid { name: def.name, value: value.to_owned(), problem })
}

/// Checks one broker setting from the file, by itself.
///
/// # Errors
/// [`ConfigError::Unknown`] with the nearest known name, [`ConfigError::Invalid`] for its value.
pub fn validate_broker(name: &str, value: &str) -> Result<&'static ConfigDef, ConfigError> {
    let Some(def) = broker_config_def(name) else {
        let known = broker_config_defs().iter().map(|def| def.name);
        return Err(ConfigError::Unknown { scope: "broker", name: name.to_owned(), nearest: nearest(name, known) });
    };
    def.check(value)?;
    Ok(def)
}

/// Checks one broker setting that is to be changed while the broker runs (AlterConfigs on a broker).
///
/// # Errors
/// As [`validate_broker`], and [`ConfigError::Invalid`] for a setting that only the file can set.
pub fn validate_broker_dynamic(name: &str, value: &str) -> Result<&'static ConfigDef, ConfigError> {
    let def = validate_broker(name, value)?;
    if !def.dynamic {
        return Err(ConfigError::Invalid {
            name: def.name,
            value: value.to_owned(),
            problem: "it cannot change while the broker runs; set it in the configuration file and restart".to_owned(),
        });
    }
    Ok(def)
}
