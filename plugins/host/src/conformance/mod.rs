//! One set of fixtures for every kind of host: the *reference plugin* is written natively, in Luau and for Wasm, and all of
//! them must say the same, byte for byte. So the APIs for plugins cannot drift.
//!
//! [`run`] asks instances of the reference plugin and panics where an answer is not the expected one; [`run_loaded`] does so
//! for a plugin that a host has loaded, and checks its settings, its counters and its log, too. [`reference`] is the native
//! one.
//!
//! # The reference plugin
//!
//! It serves all hooks. Its manifest is [`manifest`]: it reads keys, values, timestamps, ordering keys, ranks and all headers,
//! is deterministic, and has the counter `records` and the setting `field`, a text ([`settings`]). "There" means: not null. All
//! comparisons are of bytes; numbers are written in decimal.
//!
//! **`ordering-key`**: the last header `order` if that is there; else the field of the value that the setting `field` names
//! (the helper `json`), if that is there; else null. A value that is null has no field.
//!
//! **`partitioner`**: the record's ordering key if it is there, else its key. If neither is there, the client's choice stands.
//! The key `beyond` belongs to the partition whose number is the number of partitions (which is a wrong answer). Any other
//! belongs to `(murmur2(key) & 0x7fffffff) % partitions`.
//!
//! **`interceptor`**: first it adds the number of records to the counter `records` and, if there are any, logs `records: `
//! and that number at the level debug. Then the key of the first record decides about failing: `retry` is a retriable failure
//! with the message `later`, `refuse` a permanent one with the message `never`, and `trap` crashes (an uncaught error, a
//! panic). Otherwise by each record's value:
//! - null: drop;
//! - `reject:` and a text: reject with this text as the reason;
//! - `dlq:` and a text: to the dead letters, with this text as the reason;
//! - `replace:` and a text: replaced by this text, and a header `replaced` with the value `1` behind the others;
//! - `null`: replaced by null, the headers stay;
//! - `bare`: the value stays, all headers go;
//! - `first`: replaced by the first header `order`, which may be null; `last`: by the last one;
//! - `size`: replaced by the record's size in bytes;
//! - `who`: replaced by `topic partition base-sequence principal client-id listener host` with single spaces between them,
//!   and `-` for a partition or sequence number that is not known;
//! - anything else: keep.
//!
//! **`fetch-filter`**: hidden where a header `secret` is there (the last one of that name). Else, by the value: `when` is
//! replaced by the record's timestamp, a value that holds `password` anywhere by `***`; anything else is shown.
//!
//! **`retention`**: the end offset of the newest sealed segment whose largest timestamp is below `now - 1000`; nothing where
//! there is none. A topic named `retry` is a retriable failure with the message `later`.
//!
//! **`record-retention`**: the key of the first record decides about failing, as for the interceptor. Otherwise a record goes if
//! its rank is 3 or more; or if its last header `ttl` is a number of one to nine digits, and its timestamp and that number
//! together are below `now`.
//!
//! **`assignor`**: each topic for itself: its partitions in turn to its subscribers, in the order of the members.
//!
//! **`topic-policy`**: by the topic's name.
//! - `tmp.…`: refused, `temporary topics are not allowed`;
//! - `audit.…`: accepted with `cleanup.policy` = `delete` and `retention.ms` = `604800000`;
//! - `tell.…`: refused, with `action partitions replication-factor principal cleanup.policy` and single spaces between them,
//!   and `-` where that config is not set;
//! - anything else: accepted.

mod fixtures;
mod hooks;
mod reference;

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use watershed_hooks::{Environment, Hook, HookKind, LogLevel, Settings};

pub use reference::reference;

use crate::LoadedPlugin;

/// What the reference plugin says of itself.
#[must_use]
pub fn manifest() -> Value {
    json!({
        "name": "reference",
        "version": "1.0.0",
        "api": 1,
        "reads": ["keys", "values", "timestamps", "ordering_keys", "ranks", "headers"],
        "deterministic": true,
        "counters": ["records"],
        "config_schema": {
            "type": "object",
            "properties": {"field": {"type": "string"}},
            "required": ["field"],
            "additionalProperties": false,
        },
    })
}

/// The settings with which instances of the reference plugin are to be made: `{"field": "tenant"}`.
#[must_use]
pub fn settings() -> Settings {
    Settings::from_iter([("field".to_owned(), json!("tenant"))])
}

/// Asks instances of the reference plugin about all fixtures, made by `make` with [`settings`] for the hook that is asked:
/// one instance about one thing after the other, and a fresh one about each.
///
/// # Panics
/// When an answer is not the expected one.
pub fn run(make: &dyn Fn(HookKind) -> Hook) {
    for kind in HookKind::ALL {
        assert_eq!(make(kind).kind(), kind, "an instance serves the hook that it was made for");
    }
    hooks::records(make);
    hooks::retention(make);
    hooks::assignor(make);
    hooks::topic_policy(make);
}

/// Checks the reference plugin as a host has loaded it: that it serves every hook, what it says of itself, that its settings
/// are checked and its counters and its log arrive, and then as [`run`].
///
/// # Panics
/// When something is not as expected.
pub fn run_loaded(plugin: &LoadedPlugin) {
    let mut served = plugin.hooks();
    served.sort_unstable();
    assert_eq!(served, HookKind::ALL, "the reference plugin serves every hook");
    let want = crate::Manifest::parse(manifest()).expect("the manifest above is a valid one");
    let seen = &plugin.manifest;
    assert_eq!((&seen.name, &seen.version), (&want.name, &want.version));
    assert_eq!((&seen.reads, seen.deterministic), (&want.reads, want.deterministic));
    assert_eq!(seen.counters, want.counters);
    plugin.validate(&settings()).expect("the settings of the reference plugin are fine");
    for wrong in [json!({}), json!({"field": 7}), json!({"field": "tenant", "more": true})] {
        let Value::Object(settings) = &wrong else { unreachable!("they are written as objects") };
        for factory in &plugin.factories {
            let hook = factory.hook();
            assert!(factory.validate(settings).is_err(), "{hook}: the settings {wrong} break the schema");
            let made = factory.create(settings, &Environment::with_random(|| 0));
            assert!(made.is_err(), "{hook}: no instance with the settings {wrong}");
        }
    }
    let make = |kind: HookKind, environment: &Environment| {
        let factory = plugin.factories.iter().find(|factory| factory.hook() == kind);
        let factory = factory.expect("every hook is served, as was checked above");
        factory.create(&settings(), environment).unwrap_or_else(|error| panic!("{kind}: {error}"))
    };
    run(&|kind| make(kind, &Environment::with_random(|| 0)));
    sinks(&|environment| make(HookKind::Interceptor, environment));
}

/// What an interceptor counts and logs arrives.
fn sinks(make: &dyn Fn(&Environment) -> Hook) {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let (logged, counted) = (Arc::clone(&seen), Arc::clone(&seen));
    let mut environment = Environment::with_random(|| 0);
    environment.log = Arc::new(move |level: LogLevel, line: &str| logged.lock().push(format!("{level:?} {line}")));
    environment.count = Arc::new(move |name: &str, n: u64| counted.lock().push(format!("{name} +{n}")));
    let mut hook = make(&environment);
    for batch in fixtures::batches().iter().filter(|batch| batch.records.len() == 3) {
        seen.lock().clear();
        hooks::ask_interceptor(&mut hook, batch).expect("no batch of three records makes it fail");
        assert_eq!(*seen.lock(), ["records +3", "Debug records: 3"], "{}", batch.name);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_native_reference_conforms() {
        super::run(&super::reference);
    }
}
