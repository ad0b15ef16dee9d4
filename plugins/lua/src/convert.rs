//! Between Luau's tables and JSON: manifests come out, settings go in.

use std::fmt::Write as _;

use mlua::{IntoLua, Lua, Table, Value};
use serde_json::{Map, Number, Value as Json};

use crate::sandbox::EXACT;

/// How deep a table may be, and how many values it may hold.
const DEPTH_MAX: usize = 32;
const VALUES_MAX: usize = 10_000;

/// The fields that hold an array: there an empty table is one. Anywhere else it is an object.
const ARRAYS: [&str; 10] =
    ["reads", "headers", "counters", "required", "enum", "examples", "prefixItems", "allOf", "anyOf", "oneOf"];

/// A value as JSON. `place` is where it is, for messages.
///
/// # Errors
/// What JSON does not hold.
pub(crate) fn to_json(value: &Value, place: &str) -> Result<Json, String> {
    let mut left = VALUES_MAX;
    json(value, place, 0, &mut left)
}

fn json(value: &Value, place: &str, depth: usize, left: &mut usize) -> Result<Json, String> {
    *left = left.checked_sub(1).filter(|_| depth < DEPTH_MAX).ok_or_else(|| {
        format!("{place} is deeper than {DEPTH_MAX} tables, or holds more than {VALUES_MAX} values, or itself")
    })?;
    match value {
        _ if value.is_null() => Ok(Json::Null),
        Value::Boolean(is) => Ok(Json::Bool(*is)),
        Value::Integer(number) => Ok(Json::from(*number)),
        Value::Number(number) => from_double(*number).ok_or_else(|| format!("{place} is {number}, which is no JSON")),
        Value::String(text) => {
            let text = text.to_str().map_err(|_| format!("{place} is no UTF-8"))?;
            Ok(Json::String(text.to_owned()))
        }
        Value::Table(table) => from_table(table, place, depth, left),
        other => Err(format!("{place} is {}, which is no JSON", kind(other))),
    }
}

/// What a value is, with its article. Luau knows one type of numbers only.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Boolean(_) => "a boolean",
        Value::Integer(_) | Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Table(_) => "a table",
        Value::Function(_) => "a function",
        Value::Thread(_) => "a coroutine",
        Value::Buffer(_) => "a buffer",
        _ => "an object",
    }
}

fn from_double(number: f64) -> Option<Json> {
    if number.fract() == 0.0 && number.abs() < EXACT {
        // Exact, by the line above.
        return Some(Json::from(number as i64));
    }
    Number::from_f64(number).map(Json::Number)
}

fn from_table(table: &Table, place: &str, depth: usize, left: &mut usize) -> Result<Json, String> {
    let len = table.raw_len();
    let name = place.rsplit('.').next().unwrap_or(place);
    if len > 0 || (ARRAYS.contains(&name) && table.is_empty()) {
        let mut array = Vec::with_capacity(len.min(*left));
        for i in 1..=len {
            let value: Value = table.raw_get(i).map_err(|error| error.to_string())?;
            array.push(json(&value, &format!("{place}[{i}]"), depth + 1, left)?);
        }
        let mut pairs = 0;
        table
            .for_each(|_: Value, _: Value| {
                pairs += 1;
                Ok(())
            })
            .map_err(|error| error.to_string())?;
        if pairs != len {
            return Err(format!("{place} is neither an array nor an object: it has numbers and names as keys"));
        }
        return Ok(Json::Array(array));
    }
    let mut object = Map::new();
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(|error| error.to_string())?;
        let Value::String(key) = &key else {
            return Err(format!("{place} has {} as a key", kind(&key)));
        };
        let key = key.to_str().map_err(|_| format!("a key of {place} is no UTF-8"))?.to_owned();
        let mut place = place.to_owned();
        // Writing to a string does not fail.
        let _ = write!(place, ".{key}");
        object.insert(key, json(&value, &place, depth + 1, left)?);
    }
    Ok(Json::Object(object))
}

/// Settings as a table; null is nil.
///
/// # Errors
/// When the state's memory does not hold it.
pub(crate) fn to_table(lua: &Lua, settings: &Map<String, Json>) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, settings.len())?;
    for (name, value) in settings {
        table.raw_set(name.as_str(), from_json(lua, value)?)?;
    }
    Ok(table)
}

fn from_json(lua: &Lua, value: &Json) -> mlua::Result<Value> {
    match value {
        Json::Null => Ok(Value::Nil),
        Json::Bool(is) => Ok(Value::Boolean(*is)),
        Json::Number(number) => {
            let double = number.as_f64().filter(|double| double.abs() < EXACT || !number.is_i64() && !number.is_u64());
            let beyond = || mlua::Error::RuntimeError(format!("the setting {number} is beyond 2^53"));
            Ok(Value::Number(double.ok_or_else(beyond)?))
        }
        Json::String(text) => text.as_str().into_lua(lua),
        Json::Array(array) => {
            let table = lua.create_table_with_capacity(array.len(), 0)?;
            for (i, value) in (1..).zip(array) {
                table.raw_set(i, from_json(lua, value)?)?;
            }
            Ok(Value::Table(table))
        }
        Json::Object(object) => to_table(lua, object).map(Value::Table),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn tables_become_json() {
        let lua = Lua::new();
        lua.globals().set("null", Value::NULL).unwrap();
        for (script, want) in [
            (
                "{a = 1, b = 1.5, c = true, d = 'x', e = null}",
                Ok(json!({"a": 1, "b": 1.5, "c": true, "d": "x", "e": null})),
            ),
            ("{1, {2}, {x = 3}}", Ok(json!([1, [2], {"x": 3}]))),
            (
                "{reads = {}, required = {}, properties = {}}",
                Ok(json!({"reads": [], "required": [], "properties": {}})),
            ),
            ("{a = print}", Err("m.a is a function, which is no JSON")),
            ("{a = 0/0}", Err("m.a is NaN, which is no JSON")),
            ("{a = {1, x = 2}}", Err("m.a is neither an array nor an object")),
            ("{a = {[true] = 2}}", Err("m.a has a boolean as a key")),
            ("{a = '\\255'}", Err("m.a is no UTF-8")),
            ("(function() local t = {} t.t = t return t end)()", Err("deeper than 32 tables")),
        ] {
            let value: Value = lua.load(format!("return {script}")).eval().unwrap();
            match (to_json(&value, "m"), want) {
                (Ok(seen), Ok(want)) => assert_eq!(seen, want, "{script}"),
                (Err(seen), Err(want)) => assert!(seen.contains(want), "{script}: {seen}"),
                (seen, _) => panic!("{script}: {seen:?}"),
            }
        }
    }

    #[test]
    fn settings_become_tables() {
        let lua = Lua::new();
        let json = json!({"n": null, "a": [1, {"b": "x"}], "d": -1.5, "t": true});
        let table = to_table(&lua, json.as_object().unwrap()).unwrap();
        lua.globals().set("c", table).unwrap();
        let seen: bool =
            lua.load("return c.n == nil and c.a[1] == 1 and c.a[2].b == 'x' and c.d == -1.5 and c.t").eval().unwrap();
        assert!(seen);
        let large = json!({"n": 9_007_199_254_740_993_u64});
        assert!(to_table(&lua, large.as_object().unwrap()).is_err());
    }
}
