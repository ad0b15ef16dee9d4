//! Holds a layer against the shape of the configuration: unknown names, wrong types, values out of range.
//!
//! Types are strict: a number in quotes is a text, and a text is not a number. What passes is handed on as values of
//! the `config` crate, with Kafka's settings as the texts their table expects.

use std::collections::BTreeMap;

use config::{Value, ValueKind};
use watershed_metadata::configs::{
    self, ConfigDef, ConfigError, ConfigKind, broker_config_defs, nearest, topic_config_defs,
};

use super::node::{Entry, Node, NodeValue};
use super::problem::{Place, Problem};
use super::schema::{Field, Shape};
use super::types::HostPort;

/// What checking a layer leaves behind.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Where each value stands, by path; of every table and list too.
    pub(super) places: BTreeMap<String, Place>,
    pub(super) problems: Vec<Problem>,
}

impl Checked {
    /// Checks a table and gives what is right in it.
    pub(super) fn table(&mut self, node: &Node, fields: &'static [Field], path: &str) -> config::Map<String, Value> {
        let mut map = config::Map::new();
        let NodeValue::Table(entries) = &node.value else {
            self.wrong(node, path, "a table");
            return map;
        };
        for Entry { key, place, node } in entries {
            let here = join(path, key);
            let Some(field) = fields.iter().find(|field| field.name == key) else {
                self.unknown(place, here, key, path, fields);
                continue;
            };
            self.places.insert(here.clone(), place.clone());
            if let Some(value) = self.value(node, &field.shape, &here) {
                map.insert(key.clone(), value);
            }
        }
        for field in fields.iter().filter(|field| field.required) {
            if !entries.iter().any(|entry| entry.key == field.name) {
                let message = format!("it is missing; {} is expected", field.shape.expected());
                self.problems.push(Problem::new(&node.place, join(path, field.name), message));
            }
        }
        map
    }

    fn unknown(&mut self, place: &Place, here: String, key: &str, path: &str, fields: &'static [Field]) {
        let names = || fields.iter().map(|field| field.name);
        let broker_names = broker_config_defs().iter().filter(|def| !def.ours).map(|def| def.name);
        let is_kafkas = path.is_empty() && broker_names.clone().any(|name| name.split('.').next() == Some(key));
        let message = if is_kafkas {
            "Kafka's settings belong into the table [kafka], with their names in quotes".to_owned()
        } else {
            format!("there is no such setting; known here: {}", names().collect::<Vec<_>>().join(", "))
        };
        let near = nearest(key, names());
        self.problems.push(Problem::new(place, here, message).nearest(near));
    }

    /// Checks one value.
    pub(super) fn value(&mut self, node: &Node, shape: &Shape, path: &str) -> Option<Value> {
        let origin = node.place.to_string();
        let ok = |kind: ValueKind| Some(Value::new(Some(&origin), kind));
        match (shape, &node.value) {
            (Shape::Text | Shape::Path, NodeValue::Text(text)) if !text.is_empty() => ok(text.as_str().into()),
            (Shape::OneOf(names), NodeValue::Text(text)) if names.contains(&text.as_str()) => ok(text.as_str().into()),
            (Shape::OneOf(names), NodeValue::Text(text)) => {
                let message = format!("{} is expected, not {text:?}", shape.expected());
                let near = nearest(text, names.iter().copied());
                self.problems.push(Problem::new(&node.place, path, message).nearest(near));
                None
            }
            (Shape::Address, NodeValue::Text(text)) => match text.parse::<HostPort>() {
                Ok(_) => ok(text.as_str().into()),
                Err(error) => {
                    self.problems.push(Problem::new(&node.place, path, error.to_string()));
                    None
                }
            },
            (Shape::Count(min, max), NodeValue::Integer(number))
                if (i128::from(*min)..=i128::from(*max)).contains(number) =>
            {
                ok(ValueKind::U64(u64::try_from(*number).ok()?))
            }
            (Shape::Table(fields), NodeValue::Table(_)) => ok(self.table(node, fields, path).into()),
            (Shape::Tables(fields), NodeValue::List(items)) => {
                let mut values = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.places.insert(path.clone(), item.place.clone());
                    values.push(Value::new(Some(&origin), self.item(item, fields, &path)));
                }
                ok(values.into())
            }
            (Shape::KafkaBroker, NodeValue::Table(entries)) => ok(self.kafka(entries, &BROKER, path).into()),
            (Shape::Free, NodeValue::Table(_)) => self.free(node, path),
            (Shape::KafkaTopic, NodeValue::Table(entries)) => ok(self.kafka(entries, &TOPIC, path).into()),
            _ => {
                self.wrong(node, path, &shape.expected());
                None
            }
        }
    }

    /// An element of a list: maps that were left out are empty.
    fn item(&mut self, item: &Node, fields: &'static [Field], path: &str) -> config::Map<String, Value> {
        let mut map = self.table(item, fields, path);
        for field in fields.iter().filter(|field| matches!(field.shape, Shape::KafkaTopic | Shape::Free)) {
            let empty = || Value::new(None, config::Map::<String, Value>::new());
            map.entry(field.name.to_owned()).or_insert_with(empty);
        }
        map
    }

    fn kafka(&mut self, entries: &[Entry], known: &Known, path: &str) -> config::Map<String, Value> {
        let mut map = config::Map::new();
        for Entry { key, place, node } in entries {
            let here = kafka_path(path, key);
            if let NodeValue::Table(_) = node.value {
                let message = "the name of a Kafka setting has to be in quotes, \"like.this\", because TOML reads the dots \
                               as tables";
                self.problems.push(Problem::new(place, here, message));
                continue;
            }
            match known.check(key, node) {
                Ok(text) => {
                    self.places.insert(here, place.clone());
                    map.insert(key.clone(), Value::new(Some(&node.place.to_string()), text));
                }
                Err(problem) => self.problems.push(Problem { place: place.clone(), key: here, ..problem }),
            }
        }
        map
    }

    /// A value of which only its owner knows what it may be.
    fn free(&mut self, node: &Node, path: &str) -> Option<Value> {
        self.places.insert(path.to_owned(), node.place.clone());
        let origin = node.place.to_string();
        let kind: ValueKind = match &node.value {
            NodeValue::Text(text) => text.as_str().into(),
            NodeValue::Integer(number) => match i64::try_from(*number) {
                Ok(number) => number.into(),
                Err(_) => {
                    self.wrong(node, path, "a number of 64 bits");
                    return None;
                }
            },
            NodeValue::Float(number) => (*number).into(),
            NodeValue::Flag(flag) => (*flag).into(),
            NodeValue::Date(date) => date.as_str().into(),
            NodeValue::List(items) => {
                let value = |(index, item)| self.free(item, &format!("{path}[{index}]"));
                items.iter().enumerate().filter_map(value).collect::<Vec<_>>().into()
            }
            NodeValue::Table(entries) => {
                let value = |entry: &Entry| Some((entry.key.clone(), self.free(&entry.node, &join(path, &entry.key))?));
                entries.iter().filter_map(value).collect::<config::Map<_, _>>().into()
            }
        };
        Some(Value::new(Some(&origin), kind))
    }

    fn wrong(&mut self, node: &Node, path: &str, expected: &str) {
        let message = format!("{expected} is expected, not {}", node.value.found());
        self.problems.push(Problem::new(&node.place, path, message));
    }
}

/// A setting's path below another's.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A Kafka setting's path: its own name has dots and stands in quotes.
pub(super) fn kafka_path(path: &str, name: &str) -> String {
    format!("{path}.\"{name}\"")
}

/// One of the two tables of Kafka's settings.
pub(super) struct Known {
    defs: fn() -> &'static [ConfigDef],
    validate: fn(&str, &str) -> Result<(), ConfigError>,
    /// Where ours are set instead, if they are not set here.
    elsewhere: &'static [(&'static str, &'static str)],
}

pub(super) static BROKER: Known = Known {
    defs: broker_config_defs,
    validate: |name, value| configs::validate_broker(name, value).map(|_| ()),
    elsewhere: &[
        (configs::STORAGE_CONFIG, "set default in [storage] instead"),
        (configs::FLUSH_CONFIG, "set flush in [storage.disk] instead"),
    ],
};

pub(super) static TOPIC: Known = Known { defs: topic_config_defs, validate: configs::validate_topic, elsewhere: &[] };

impl Known {
    /// The text of a setting that is right; the problem lacks its place and key.
    fn check(&self, name: &str, node: &Node) -> Result<String, Problem> {
        let problem = |message: String| Problem::new(&node.place, name, message);
        if let Some((_, instead)) = self.elsewhere.iter().find(|(ours, _)| *ours == name) {
            return Err(problem((*instead).to_owned()));
        }
        let Some(def) = (self.defs)().iter().find(|def| def.name == name) else {
            let names = (self.defs)().iter().map(|def| def.name);
            let message = "there is no such setting, or it does nothing here".to_owned();
            return Err(problem(message).nearest(nearest(name, names)));
        };
        let text = text_of(def, &node.value)
            .ok_or_else(|| problem(format!("{} is expected, not {}", expected(def), node.value.found())))?;
        (self.validate)(name, &text).map_err(|error| match error {
            ConfigError::Invalid { value, problem: reason, .. } => problem(format!("{value:?} is refused: {reason}")),
            other => problem(other.to_string()),
        })?;
        Ok(text)
    }
}

fn expected(def: &ConfigDef) -> String {
    match def.kind {
        ConfigKind::List => "a text or a list of texts".to_owned(),
        kind => kind.expected().to_owned(),
    }
}

/// The text a setting's definition expects, if the value has the setting's type.
fn text_of(def: &ConfigDef, value: &NodeValue) -> Option<String> {
    match (def.kind, value) {
        (ConfigKind::Boolean, NodeValue::Flag(flag)) => Some(flag.to_string()),
        (ConfigKind::Int | ConfigKind::Short | ConfigKind::Long | ConfigKind::Double, NodeValue::Integer(n)) => {
            Some(n.to_string())
        }
        (ConfigKind::Double, NodeValue::Float(number)) => Some(number.to_string()),
        (ConfigKind::String | ConfigKind::List, NodeValue::Text(text)) => Some(text.clone()),
        (ConfigKind::List, NodeValue::List(items)) => {
            let text = |item: &Node| match &item.value {
                NodeValue::Text(text) if !text.contains(',') => Some(text.clone()),
                _ => None,
            };
            items.iter().map(text).collect::<Option<Vec<_>>>().map(|texts| texts.join(","))
        }
        _ => None,
    }
}
