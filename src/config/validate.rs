//! What only shows when the settings are seen together.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use watershed_controller::check_topic_name;
use watershed_metadata::configs::{
    Assignment, BrokerConfig, ConfigError, FLUSH_CONFIG, GroupPattern, GroupRule, GroupRules, Parts, PluginBinding,
    STORAGE_CONFIG, nearest, validate_topic_all,
};
use watershed_metadata::is_internal_topic;

use super::check::kafka_path;
use super::problem::{Place, Problem};
use super::types::{AssignmentSetting, Config, Disk, GroupTable, HostPort, PluginLimits, PluginTable, Storage};

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Every contradiction in a configuration whose values are each fine.
pub(super) fn problems(config: &Config, places: &BTreeMap<String, Place>, parts: &Parts) -> Vec<Problem> {
    let mut check = Check { config, places, problems: Vec::new() };
    let parts = &parts_with_plugins(config, parts);
    check.log();
    check.plugins();
    check.listeners();
    check.limits();
    let broker = check.broker(parts);
    check.groups(parts);
    check.topics(&broker);
    check.problems
}

/// What there will be when the plugins are loaded; which hooks they serve is known only then.
fn parts_with_plugins(config: &Config, parts: &Parts) -> Parts {
    let mut parts = Parts { plugins: None, ..parts.clone() };
    let names = config.plugins.iter().filter(|plugin| plugin.file.is_some()).map(|plugin| plugin.name.clone());
    parts.assignors.extend(names);
    parts
}

/// The files of plugins lie beside the configuration file.
pub(super) fn resolve_plugin_files(config: &mut Config, file: Option<&Path>) {
    let Some(dir) = file.and_then(Path::parent) else { return };
    for plugin in &mut config.plugins {
        if let Some(path) = &mut plugin.file {
            *path = dir.join(&path);
        }
        plugin.config.0.values_mut().for_each(|value| resolve_setting(value, dir));
    }
}

/// So do the files that settings stand in: `{ file = "path" }`.
fn resolve_setting(value: &mut serde_json::Value, dir: &Path) {
    match value {
        serde_json::Value::Object(map) if map.len() == 1 && map.contains_key("file") => {
            if let Some(serde_json::Value::String(path)) = map.get_mut("file") {
                *path = dir.join(&path).display().to_string();
            }
        }
        serde_json::Value::Object(map) => map.values_mut().for_each(|value| resolve_setting(value, dir)),
        serde_json::Value::Array(items) => items.iter_mut().for_each(|value| resolve_setting(value, dir)),
        _ => {}
    }
}

/// What follows when a plugin fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnErrorSetting {
    /// What it was asked about is refused.
    Closed,
    /// Things go on as if it were not there.
    Open,
    /// The records go to this topic.
    DeadLetter(String),
}

fn check_dead_letter_topic(topic: &str) -> Result<(), String> {
    if is_internal_topic(topic) {
        return Err(format!("{topic} is the broker's own topic"));
    }
    check_topic_name(topic).map_err(|error| error.to_string())
}

impl PluginTable {
    /// What follows when it fails.
    ///
    /// # Errors
    /// What is expected instead.
    pub fn on_error(&self) -> Result<OnErrorSetting, String> {
        match self.on_error.as_deref() {
            None | Some("closed") => Ok(OnErrorSetting::Closed),
            Some("open") => Ok(OnErrorSetting::Open),
            Some(text) => match text.strip_prefix("dlq:") {
                Some(topic) => check_dead_letter_topic(topic).map(|()| OnErrorSetting::DeadLetter(topic.to_owned())),
                None => Err(format!("\"closed\", \"open\" or \"dlq:TOPIC\" is expected, not {text:?}")),
            },
        }
    }
}

impl PluginLimits {
    /// Its memory in bytes, if it is given.
    ///
    /// # Errors
    /// What is expected instead.
    pub fn memory_bytes(&self) -> Result<Option<usize>, String> {
        let parse = |text: &str| {
            let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
            let split = units.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
            let (number, bytes): (&str, usize) = split.unwrap_or((text, 1));
            let size = number.trim().parse::<usize>().ok().and_then(|number| number.checked_mul(bytes));
            size.ok_or_else(|| format!("a size such as \"16MiB\" is expected, not {text:?}"))
        };
        self.memory.as_deref().map(parse).transpose()
    }

    /// The time that one call may take, if it is given.
    ///
    /// # Errors
    /// What is expected instead.
    pub fn budget(&self) -> Result<Option<Duration>, String> {
        let parse = |text: &str| {
            let units = [("ms", 1_000), ("us", 1), ("s", 1_000_000)];
            let split = units.iter().find_map(|(unit, us)| Some((text.strip_suffix(unit)?, *us)));
            let time = split.and_then(|(number, us): (&str, u64)| number.trim().parse::<u64>().ok()?.checked_mul(us));
            time.map(Duration::from_micros).ok_or_else(|| format!("a time such as \"5ms\" is expected, not {text:?}"))
        };
        self.budget.as_deref().map(parse).transpose()
    }
}

impl Config {
    /// The broker's settings as the rest of the program takes them: `[kafka]`, and the storage defaults under their
    /// own names.
    #[must_use]
    pub fn broker_config(&self) -> BrokerConfig {
        let assignors = self.kafka.0.get("group.consumer.assignors").map_or("", String::as_str);
        let parts = Parts {
            storages: vec![self.storage.default.clone()],
            assignors: assignors.split(',').map(|name| name.trim().to_owned()).collect(),
            plugins: None,
        };
        self.broker_config_with(parts).expect("a loaded configuration was validated")
    }

    /// The same with the names of everything the program is built with.
    ///
    /// # Errors
    /// What is wrong with them; nothing for a configuration from [`load`](super::load).
    pub fn broker_config_with(&self, parts: Parts) -> Result<BrokerConfig, Vec<ConfigError>> {
        let mut fixed = self.kafka.0.clone();
        if self.storage.default != Storage::default().default {
            fixed.insert(STORAGE_CONFIG.to_owned(), self.storage.default.clone());
        }
        if self.storage.disk.flush != Disk::default().flush {
            fixed.insert(FLUSH_CONFIG.to_owned(), self.storage.disk.flush.as_str().to_owned());
        }
        BrokerConfig::with_parts(fixed, parts)
    }

    /// The rules for groups, in their order.
    #[must_use]
    pub fn group_rules(&self) -> GroupRules {
        let rule = |table: &GroupTable| GroupRule {
            pattern: table.r#match.parse().expect("a loaded configuration was validated"),
            assignor: table.assignor.clone(),
            assignment: match table.assignment {
                Some(AssignmentSetting::Broker) => Assignment::Broker,
                Some(AssignmentSetting::Client) | None => Assignment::Client,
            },
        };
        GroupRules { rules: self.groups.iter().map(rule).collect() }
    }

    /// How many bytes of produce requests may be in work at once: Kafka's `queued.max.request.bytes` if it is set,
    /// else `limits.in_flight_bytes`.
    #[must_use]
    pub fn in_flight_bytes(&self) -> u64 {
        self.broker_config().settings().queued_max_request_bytes.unwrap_or(self.limits.in_flight_bytes.get())
    }
}

struct Check<'a> {
    config: &'a Config,
    places: &'a BTreeMap<String, Place>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn place(&self, key: &str) -> Place {
        self.places.get(key).cloned().unwrap_or(Place::Default)
    }

    fn report(&mut self, key: &str, message: impl Into<String>) {
        let place = self.place(key);
        self.problems.push(Problem::new(&place, key, message));
    }

    fn log(&mut self) {
        for directive in self.config.log.level.split(',') {
            let level = directive.rsplit('=').next().unwrap_or_default().trim();
            if !LEVELS.contains(&level) {
                let message = format!("{level:?} is not a level; {} are", LEVELS.join(", "));
                let problem = Problem::new(&self.place("log.level"), "log.level", message);
                self.problems.push(problem.nearest(nearest(level, LEVELS)));
            }
        }
    }

    fn listeners(&mut self) {
        let listeners = &self.config.listeners;
        if listeners.is_empty() {
            self.report("listeners", "at least one listener is needed");
        }
        let mut names: HashMap<String, usize> = HashMap::new();
        let mut bound: Vec<(String, &HostPort)> = Vec::new();
        for (index, listener) in listeners.iter().enumerate() {
            let path = format!("listeners[{index}]");
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            if listener.name.len() > 64 || !listener.name.chars().all(legal) {
                let message = "a listener's name has at most 64 letters, digits, _ and -";
                self.report(&format!("{path}.name"), message);
            }
            if let Some(other) = names.insert(listener.name.to_uppercase(), index) {
                self.report(&format!("{path}.name"), format!("listeners[{other}] has this name already"));
            }
            let address = format!("{path}.address");
            if listener.address.is_wildcard() && listener.advertised.is_none() {
                let message = format!(
                    "{} binds every address, and clients cannot be told to connect to that; give `advertised` as well",
                    listener.address
                );
                self.report(&address, message);
            }
            if let Some(advertised) = &listener.advertised {
                let key = format!("{path}.advertised");
                if advertised.is_wildcard() {
                    self.report(&key, format!("clients cannot connect to {advertised}"));
                } else if advertised.port == 0 && listener.address.port != 0 {
                    self.report(&key, "clients cannot connect to port 0");
                }
            }
            self.bind(&address, &listener.address, &mut bound);
        }
        self.bind("http.address", &self.config.http.address, &mut bound);
    }

    fn bind<'c>(&mut self, key: &str, address: &'c HostPort, bound: &mut Vec<(String, &'c HostPort)>) {
        let clash = |other: &HostPort| {
            let same_host = other.host == address.host || other.is_wildcard() || address.is_wildcard();
            address.port != 0 && other.port == address.port && same_host
        };
        if let Some((other, _)) = bound.iter().find(|(_, other)| clash(other)) {
            let message = format!("{address} is bound by {other} already");
            // The one that was written is at fault, not the default it collides with.
            let (here, there) = (self.place(key), self.place(other));
            let (key, place) = if here == Place::Default { (other.as_str(), there) } else { (key, here) };
            self.problems.push(Problem::new(&place, key, message));
        }
        bound.push((key.to_owned(), address));
    }

    fn limits(&mut self) {
        let limits = &self.config.limits;
        if self.places.contains_key("limits.in_flight_bytes")
            && self.config.kafka.0.contains_key("queued.max.request.bytes")
        {
            let key = kafka_path("kafka", "queued.max.request.bytes");
            self.report(&key, "it means the same as limits.in_flight_bytes; give only one of them");
        } else if limits.in_flight_bytes_per_connection.get() > limits.in_flight_bytes.get()
            && !self.config.kafka.0.contains_key("queued.max.request.bytes")
        {
            let key = "limits.in_flight_bytes_per_connection";
            let key = if self.places.contains_key(key) { key } else { "limits.in_flight_bytes" };
            self.report(key, "one connection may not have more in work than all together (limits.in_flight_bytes)");
        }
    }

    fn broker(&mut self, parts: &Parts) -> BrokerConfig {
        match self.config.broker_config_with(parts.clone()) {
            Ok(broker) => broker,
            Err(errors) => {
                for error in errors {
                    self.setting(&error, "kafka");
                }
                // The topics are then checked against a broker nobody configured.
                BrokerConfig::with_parts(BTreeMap::new(), parts.clone()).unwrap_or_default()
            }
        }
    }

    /// Reports what a table of Kafka's settings says, at the setting's own place.
    fn setting(&mut self, error: &ConfigError, path: &str) {
        let (key, message) = match error {
            ConfigError::Invalid { name, value, problem } if path == "kafka" && *name == STORAGE_CONFIG => {
                ("storage.default".to_owned(), format!("{value:?} is refused: {problem}"))
            }
            ConfigError::Invalid { name, value, problem } => {
                (kafka_path(path, name), format!("{value:?} is refused: {problem}"))
            }
            ConfigError::Conflict { name, other, .. } => {
                let (first, second) = (kafka_path(path, name), kafka_path(path, other));
                let key = if self.places.contains_key(&first) { first } else { second };
                (key, error.to_string())
            }
            ConfigError::Unknown { name, .. } => (kafka_path(path, name), error.to_string()),
        };
        self.report(&key, message);
    }

    fn plugins(&mut self) {
        let mut names: HashMap<&str, usize> = HashMap::new();
        for (index, plugin) in self.config.plugins.iter().enumerate() {
            let at = |key: &str| format!("plugins[{index}].{key}");
            if plugin.name.chars().any(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))) {
                self.report(&at("name"), "a plugin's name is made of a-z, A-Z, 0-9, '-', '_' and '.'");
            }
            if let Some(other) = names.insert(&plugin.name, index) {
                self.report(&at("name"), format!("plugins[{other}] has this name already"));
            }
            let is_hash = |text: &String| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
            if plugin.sha256.as_ref().is_some_and(|text| !is_hash(text)) {
                self.report(&at("sha256"), "64 hexadecimal digits are expected");
            }
            let limits = plugin.limits.clone().unwrap_or_default();
            if let Err(message) = limits.memory_bytes() {
                self.report(&at("limits.memory"), message);
            }
            if let Err(message) = limits.budget() {
                self.report(&at("limits.budget"), message);
            }
            if let Err(message) = plugin.on_error() {
                self.report(&at("on_error"), message);
            }
            if let Some(Err(error)) = plugin.dead_letter_topic.as_deref().map(check_dead_letter_topic) {
                self.report(&at("dead_letter_topic"), error);
            }
            for (key, given) in [("sha256", plugin.sha256.is_some()), ("limits", plugin.limits.is_some())] {
                if given && plugin.file.is_none() {
                    self.report(&at(key), "a native plugin has no file and no limits: it is trusted code");
                }
            }
        }
        if let Some(Err(message)) = self.config.topic_policy.as_deref().map(|text| {
            PluginBinding::parse(text)
                .map(drop)
                .ok_or("a plugin's name, with :on, :shadow or :off behind it, is expected")
        }) {
            self.report("topic_policy", message);
        }
    }

    fn groups(&mut self, parts: &Parts) {
        let mut patterns: HashMap<&str, usize> = HashMap::new();
        for (index, group) in self.config.groups.iter().enumerate() {
            let key = format!("groups[{index}].match");
            if let Err(error) = group.r#match.parse::<GroupPattern>() {
                self.report(&key, error.to_string());
            }
            if let Some(other) = patterns.insert(&group.r#match, index) {
                self.report(&key, format!("groups[{other}] matches the same ids and comes first"));
            }
            if let Some(assignor) = &group.assignor
                && !parts.assignors.contains(assignor)
            {
                let key = format!("groups[{index}].assignor");
                let message =
                    format!("{assignor:?} is refused: this broker has the assignors {}", parts.assignors.join(", "));
                let near = nearest(assignor, parts.assignors.iter().map(String::as_str));
                self.problems.push(Problem::new(&self.place(&key), key, message).nearest(near));
            }
        }
    }

    fn topics(&mut self, broker: &BrokerConfig) {
        let mut names: HashMap<String, (usize, &str)> = HashMap::new();
        for (index, topic) in self.config.topics.iter().enumerate() {
            let path = format!("topics[{index}]");
            let key = format!("{path}.name");
            if let Err(error) = check_topic_name(&topic.name) {
                self.report(&key, error.to_string());
            }
            match names.insert(topic.name.replace('.', "_"), (index, &topic.name)) {
                Some((other, name)) if name == topic.name => {
                    self.report(&key, format!("topics[{other}] has this name already"));
                }
                Some((other, name)) => {
                    let message =
                        format!("it collides with topics[{other}], {name}: '.' and '_' are the same in metrics");
                    self.report(&key, message);
                }
                None => {}
            }
            if let Err(errors) = validate_topic_all(broker, &topic.config.0) {
                for error in errors {
                    self.setting(&error, &format!("{path}.config"));
                }
            }
        }
    }
}
