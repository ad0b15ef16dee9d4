//! What a plugin says of itself.
//!
//! A Wasm component returns it from `describe` as JSON; in Luau it is the fields of the table that the script returns. Either
//! way it comes here as JSON and is read strictly: a misspelt field is an error, not something silently ignored.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use watershed_hooks::{HeaderReads, Reads, Settings};

/// The version of the plugin API that these hosts serve.
pub const API_VERSION: u32 = 1;

/// How many counters a plugin may declare.
pub const COUNTERS_MAX: usize = 32;

const NAME_BYTES_MAX: usize = 128;
const HEADERS_MAX: usize = 64;

/// Why a manifest, or the settings of a plugin, are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ManifestError(String);

/// What a plugin says of itself.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Its name, for people; the configuration binds it by the name that it gives it.
    pub name: String,
    /// Its version, for people.
    pub version: String,
    /// Which columns its hooks on records read.
    pub reads: Reads,
    /// Whether its partitioner answers by the record and the number of partitions alone.
    pub deterministic: bool,
    /// The counters that it may add to.
    pub counters: Vec<String>,
    /// The JSON schema of its settings, as it gave it.
    pub config_schema: Option<Value>,
    /// The same, to check settings with.
    schema: Option<Arc<jsonschema::Validator>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    version: String,
    api: u32,
    #[serde(default)]
    reads: Vec<String>,
    #[serde(default)]
    headers: Vec<String>,
    #[serde(default)]
    deterministic: bool,
    #[serde(default)]
    counters: Vec<String>,
    config_schema: Option<Value>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(manifest: Value) -> Result<Self, ManifestError> {
        let api = manifest.get("api").and_then(Value::as_u64);
        if let Some(other) = api.filter(|api| *api != u64::from(API_VERSION)) {
            return Err(ManifestError(format!(
                "the plugin wants version {other} of the plugin API, this broker has {API_VERSION}"
            )));
        }
        let raw: Raw = serde_json::from_value(manifest)
            .map_err(|error| ManifestError(format!("the plugin's manifest is wrong: {error}")))?;
        debug_assert_eq!(raw.api, API_VERSION, "checked above");
        for (what, name) in [("name", &raw.name), ("version", &raw.version)] {
            name_is_fine(what, name)?;
        }
        if raw.counters.len() > COUNTERS_MAX {
            let given = raw.counters.len();
            return Err(ManifestError(format!("the manifest declares {given} counters, {COUNTERS_MAX} are allowed")));
        }
        for counter in &raw.counters {
            let fine = !counter.is_empty()
                && counter.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if !fine || counter.len() > NAME_BYTES_MAX {
                return Err(ManifestError(format!("counter {counter:?} is not made of a-z, 0-9 and _")));
            }
        }
        let schema = raw.config_schema.as_ref().map(compile).transpose()?;
        let reads = reads(&raw.reads, raw.headers)?;
        let Raw { name, version, deterministic, counters, config_schema, .. } = raw;
        Ok(Self { name, version, reads, deterministic, counters, config_schema, schema })
    }

    /// Checks a plugin's settings against its own schema.
    ///
    /// # Errors
    /// What does not fit, with its place. Without a schema only the empty settings fit.
    pub fn check_settings(&self, settings: &Settings) -> Result<(), ManifestError> {
        let Some(schema) = &self.schema else {
            return match settings.keys().next() {
                None => Ok(()),
                Some(first) => Err(ManifestError(format!(
                    "it has no settings (`{first}` is given): its manifest has no config_schema"
                ))),
            };
        };
        let settings = Value::Object(settings.clone());
        let mut errors = schema.iter_errors(&settings);
        let Some(first) = errors.next() else { return Ok(()) };
        let place = first.instance_path().to_string();
        let place = place.trim_start_matches('/').replace('/', ".");
        let place = if place.is_empty() { String::new() } else { format!("config.{place}: ") };
        // The value may be a secret: the message says what was expected, and where.
        Err(ManifestError(format!("{place}{}", first.masked())))
    }
}

fn name_is_fine(what: &str, name: &str) -> Result<(), ManifestError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(ManifestError(format!(
            "the manifest's {what} must have 1 to {NAME_BYTES_MAX} bytes of plain text"
        )));
    }
    Ok(())
}

/// A schema whose references stay inside it: nothing is fetched.
fn compile(schema: &Value) -> Result<Arc<jsonschema::Validator>, ManifestError> {
    let validator = jsonschema::draft202012::options().build(schema);
    validator.map(Arc::new).map_err(|error| ManifestError(format!("config_schema is no JSON schema: {error}")))
}

fn reads(columns: &[String], headers: Vec<String>) -> Result<Reads, ManifestError> {
    let mut reads = Reads::NOTHING;
    for column in columns {
        match column.as_str() {
            "keys" => reads.keys = true,
            "values" => reads.values = true,
            "timestamps" => reads.timestamps = true,
            "ordering_keys" => reads.ordering_keys = true,
            "ranks" => reads.ranks = true,
            "headers" => reads.headers = HeaderReads::All,
            _ => {
                return Err(ManifestError(format!(
                    "reads names {column:?}; there are keys, values, timestamps, ordering_keys, ranks, headers"
                )));
            }
        }
    }
    if headers.len() > HEADERS_MAX {
        let given = headers.len();
        return Err(ManifestError(format!("the manifest names {given} headers, {HEADERS_MAX} are allowed")));
    }
    if !headers.is_empty() && reads.headers != HeaderReads::All {
        reads.headers = HeaderReads::Named(headers);
    }
    Ok(reads)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn settings(value: Value) -> Settings {
        match value {
            Value::Object(map) => map,
            _ => panic!("not a table"),
        }
    }

    #[test]
    fn a_manifest_is_read_strictly() {
        let fine = json!({"name": "p", "version": "1.0.0", "api": 1});
        let with = |more: Value| {
            let mut manifest = fine.clone();
            manifest.as_object_mut().unwrap().extend(settings(more));
            manifest
        };
        let many: Vec<_> = (0..33).map(|i| format!("c{i}")).collect();
        for (manifest, want) in [
            (json!({"name": "p", "version": "1.0.0"}), "missing field `api`"),
            (json!([]), "invalid length 0"),
            (with(json!({"api": 2})), "the plugin wants version 2 of the plugin API, this broker has 1"),
            (with(json!({"raeds": []})), "unknown field `raeds`"),
            (with(json!({"reads": ["value"]})), "reads names \"value\"; there are keys, values"),
            (with(json!({"counters": ["A"]})), "counter \"A\" is not made of"),
            (with(json!({"counters": many})), "declares 33 counters, 32 are allowed"),
            (with(json!({"name": ""})), "the manifest's name must have"),
            (with(json!({"version": "1\n"})), "the manifest's version must have"),
            (with(json!({"config_schema": {"type": 5}})), "config_schema is no JSON schema"),
            (with(json!({"config_schema": {"$ref": "https://example.org/s.json"}})), "config_schema is no JSON schema"),
        ] {
            let message = Manifest::parse(manifest.clone()).unwrap_err().to_string();
            assert!(message.contains(want), "{manifest}: {message}");
        }
        let all = with(json!({"reads": ["keys", "headers"], "headers": ["tenant"], "deterministic": true}));
        let manifest = Manifest::parse(all).unwrap();
        assert!(manifest.deterministic && manifest.reads.keys && manifest.reads.headers == HeaderReads::All);
        let named = Manifest::parse(with(json!({"headers": ["tenant"]}))).unwrap();
        assert_eq!(named.reads.headers, HeaderReads::Named(vec!["tenant".to_owned()]));
    }

    #[test]
    fn settings_follow_the_schema() {
        let schema = json!({
            "type": "object",
            "properties": {"field": {"$ref": "#/$defs/name"}, "max": {"type": "integer", "minimum": 1}},
            "required": ["field"],
            "additionalProperties": false,
            "$defs": {"name": {"type": "string"}},
        });
        let manifest = json!({"name": "p", "version": "1", "api": 1, "config_schema": schema});
        let manifest = Manifest::parse(manifest).unwrap();
        for (given, want) in [
            (json!({"field": "a", "max": 3}), None),
            (json!({}), Some("\"field\" is a required property")),
            (json!({"field": 3}), Some("config.field: ")),
            (json!({"field": "a", "max": 0}), Some("config.max: ")),
            (json!({"field": "a", "x": 0}), Some("Additional properties")),
        ] {
            let seen = manifest.check_settings(&settings(given.clone())).err().map(|e| e.to_string());
            match (&seen, want) {
                (None, None) => {}
                (Some(message), Some(want)) if message.contains(want) => {}
                _ => panic!("{given}: {seen:?}"),
            }
        }
        let bare = Manifest::parse(json!({"name": "p", "version": "1", "api": 1})).unwrap();
        assert!(bare.check_settings(&Settings::new()).is_ok());
        assert!(bare.check_settings(&settings(json!({"a": 1}))).is_err());
    }
}
