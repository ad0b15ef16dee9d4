//! The same answers by serde's parser: what the walk is compared with.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::JSON_PATH_DEPTH_MAX;

/// As the walk, by a parser.
pub(super) fn json<'a>(document: &'a [u8], path: &str) -> Option<Cow<'a, [u8]>> {
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
