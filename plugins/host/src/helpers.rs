//! The pure functions that plugins may call.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

pub use watershed_hooks::murmur2;

/// How deep a path may go.
pub const JSON_PATH_DEPTH_MAX: usize = 16;

/// One field of a JSON document: `path` is names of fields (and numbers of elements, from 0) with dots between them.
///
/// A text comes as its characters, anything else as it stands in the document (`17`, `true`, `{"a":1}`). `None` where there is
/// no such field, it is null, the path is deeper than [`JSON_PATH_DEPTH_MAX`], or what stands before it is no JSON. What
/// stands behind it is not looked at. Of two fields with one name the first counts.
#[must_use]
pub fn json<'a>(document: &'a [u8], path: &str) -> Option<Cow<'a, [u8]>> {
    if path.split('.').count() > JSON_PATH_DEPTH_MAX {
        return None;
    }
    let mut found = None;
    let mut deserializer = serde_json::Deserializer::from_slice(document);
    // The walk ends with an error when it has found the field: nothing behind it matters.
    let _ = Step { path, found: &mut found }.deserialize(&mut deserializer);
    let raw: &'a str = found?;
    match raw.as_bytes().first()? {
        b'n' => None,
        b'"' => {
            let inner = &raw[1..raw.len() - 1];
            if inner.contains('\\') {
                let text: String = serde_json::from_str(raw).ok()?;
                Some(Cow::Owned(text.into_bytes()))
            } else {
                Some(Cow::Borrowed(inner.as_bytes()))
            }
        }
        _ => Some(Cow::Borrowed(raw.as_bytes())),
    }
}

/// One step of a path; what is left of it, and where the answer goes.
struct Step<'p, 'f, 'de> {
    path: &'p str,
    found: &'f mut Option<&'de str>,
}

struct Done;

impl<'de> DeserializeSeed<'de> for Step<'_, '_, 'de> {
    type Value = Done;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Done, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Takes the value as it stands and ends the walk.
struct Take<'f, 'de>(&'f mut Option<&'de str>);

impl<'de> DeserializeSeed<'de> for Take<'_, 'de> {
    type Value = Done;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Done, D::Error> {
        let raw: &'de RawValue = serde::Deserialize::deserialize(deserializer)?;
        *self.0 = Some(raw.get());
        Err(D::Error::custom("found"))
    }
}

/// Whether a field has this name, without keeping it.
struct Named<'p>(&'p str);

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Named<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

impl<'de> Visitor<'de> for Step<'_, '_, 'de> {
    type Value = Done;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Done, A::Error> {
        let (name, rest) = split(self.path);
        while let Some(is_it) = map.next_key_seed(Named(name))? {
            match rest {
                _ if !is_it => {
                    map.next_value::<IgnoredAny>()?;
                }
                None => {
                    map.next_value_seed(Take(self.found))?;
                }
                Some(path) => {
                    map.next_value_seed(Step { path, found: self.found })?;
                    // The first field of the name counts, and it did not hold the rest of the path.
                    return Err(A::Error::custom("not there"));
                }
            }
        }
        Ok(Done)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Done, A::Error> {
        let (index, rest) = split(self.path);
        let not_there = || A::Error::custom("not there");
        let index: usize = index.parse().map_err(|_| not_there())?;
        for _ in 0..index {
            seq.next_element::<IgnoredAny>()?.ok_or_else(not_there)?;
        }
        match rest {
            None => seq.next_element_seed(Take(self.found))?,
            Some(path) => seq.next_element_seed(Step { path, found: self.found })?,
        };
        Err(not_there())
    }
}

fn split(path: &str) -> (&str, Option<&str>) {
    match path.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn one_field_comes_out() {
        for (document, path, want) in [
            (r#"{"a": "x", "b": 1}"#, "a", Some("x")),
            (r#"{"b": 17.50, "a": "x"}"#, "b", Some("17.50")),
            (r#"{"a": {"b": {"c": "deep"}}}"#, "a.b.c", Some("deep")),
            (r#"{"a": [1, {"x": true}]}"#, "a.1.x", Some("true")),
            (r#"["p", "q"]"#, "1", Some("q")),
            (r#"{"a": "tab\tq\u0041"}"#, "a", Some("tab\tqA")),
            (r#"{"a": {"b":1}}"#, "a", Some(r#"{"b":1}"#)),
            (r#"{"\u0061": 1}"#, "a", Some("1")),
            (r#"{"a": ""}"#, "a", Some("")),
            (r#"{"a": null}"#, "a", None),
            (r#"{"a": 1, "a": 2}"#, "a", Some("1")),
            (r#"{"a": {}, "a": {"b": 2}}"#, "a.b", None),
            (r#"{"a": 1} trailing"#, "a", Some("1")),
            (r#"{"x": oops, "a": 1}"#, "a", None),
            (r#"{"a": "unfinished"#, "a", None),
            (r#"{"a": [1]}"#, "a.1", None),
            (r#"{"a": [1]}"#, "a.x", None),
            (r#""text""#, "a", None),
            ("", "a", None),
            ("{}", "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a", None),
        ] {
            let seen = json(document.as_bytes(), path);
            assert_eq!(seen.as_deref(), want.map(str::as_bytes), "{path} of {document}");
        }
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(json(deep.as_bytes(), "0").map(|inner| inner.len()), Some(deep.len() - 2));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(document: Vec<u8>, path in "[a.0]{0,8}") {
            let _ = json(&document, &path);
        }

        #[test]
        fn what_serde_finds_is_found(names in prop::collection::vec("[a-c]", 1..5), texts in prop::collection::vec(".{0,8}", 5)) {
            let mut document = serde_json::Map::new();
            for (name, text) in names.iter().zip(&texts) {
                document.insert(name.clone(), Value::String(text.clone()));
            }
            let bytes = serde_json::to_vec(&document).unwrap();
            for name in ["a", "b", "c"] {
                let want = document.get(name).map(|value| value.as_str().unwrap().as_bytes());
                let seen = json(&bytes, name);
                prop_assert_eq!(seen.as_deref(), want);
            }
        }
    }
}
