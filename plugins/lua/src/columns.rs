//! The columns of a batch as Luau's buffers: an index of where each text begins and ends, and the texts behind it.
//!
//! A column is made when a script first reads it, by one copy. Reading a record then takes no call of the host: the batch in
//! `batch.luau` reads the buffer. The buffers of the record's own columns are kept for the next batch; scripts never get
//! hold of them.

use mlua::{Buffer, IntoLua, Lua, LuaString, Value};
use watershed_hooks::{Batch, Column, Failure, Pick};
use watershed_plugin_host::helpers;

use crate::sandbox::EXACT;

/// What a script may ask for; its other half is in `batch.luau`.
const KEYS: u32 = 1;
const VALUES: u32 = 2;
const ORDERING_KEYS: u32 = 3;
const TIMESTAMPS: u32 = 4;
const SIZES: u32 = 5;
const FIRST: u32 = 6;
const LAST: u32 = 7;
const HEADERS: u32 = 8;
const PLACE: u32 = 9;
const CLIENT: u32 = 10;
const RANKS: u32 = 11;
const VALUE_FIELDS: u32 = 12;

/// Where a text that is null begins.
const NULL: u32 = u32::MAX;

/// What [`Columns::fetch`] gives; of the first that is nil, the second is why.
pub(crate) type Fetched = (Value, Value, Value, Value);

/// The buffers of an instance.
#[derive(Default)]
pub(crate) struct Columns {
    scratch: Vec<u8>,
    keys: Option<Buffer>,
    values: Option<Buffer>,
}

impl Columns {
    /// Gives one thing of a batch.
    ///
    /// # Errors
    /// When the state's memory does not hold it.
    pub(crate) fn fetch(
        &mut self,
        lua: &Lua,
        batch: &Batch<'_>,
        what: u32,
        name: Option<&LuaString>,
    ) -> mlua::Result<Fetched> {
        match self.give(lua, batch, what, name)? {
            Ok(given) => Ok(given),
            Err(why) => Ok((Value::Nil, why.to_string().into_lua(lua)?, Value::Nil, Value::Nil)),
        }
    }

    fn give(
        &mut self,
        lua: &Lua,
        batch: &Batch<'_>,
        what: u32,
        name: Option<&LuaString>,
    ) -> mlua::Result<Result<Fetched, Failure>> {
        let n = batch.len();
        let one = |buffer: Buffer| (Value::Buffer(buffer), Value::Nil, Value::Nil, Value::Nil);
        let text = |text: &str| lua.create_string(text).map(Value::String);
        let number = |number: Option<u32>| number.map_or(Value::Nil, |number| Value::Number(f64::from(number)));
        let column = |column: Result<_, Failure>, kept: &mut Option<Buffer>, scratch: &mut Vec<u8>| match column {
            Ok(column) => {
                packed(scratch, n, column);
                keep(lua, kept, scratch).map(|buffer| Ok(one(buffer)))
            }
            Err(failure) => Ok(Err(failure)),
        };
        let scratch = &mut self.scratch;
        Ok(Ok(match what {
            KEYS => return column(batch.keys(), &mut self.keys, scratch),
            VALUES => return column(batch.values(), &mut self.values, scratch),
            ORDERING_KEYS => return column(batch.ordering_keys(), &mut None, scratch),
            TIMESTAMPS => match batch.timestamps() {
                Ok(timestamps) => one(lua.create_buffer(exact(timestamps))?),
                Err(failure) => return Ok(Err(failure)),
            },
            SIZES => one(lua.create_buffer(numbers(batch.record_bytes()))?),
            RANKS => match batch.ranks() {
                Ok(ranks) => one(lua.create_buffer(numbers(ranks))?),
                Err(failure) => return Ok(Err(failure)),
            },
            FIRST | LAST => {
                let pick = if what == FIRST { Pick::First } else { Pick::Last };
                let name = name.map(|name| name.as_bytes().to_vec()).unwrap_or_default();
                match header(scratch, batch, &name, pick) {
                    Ok(()) => one(lua.create_buffer(scratch)?),
                    Err(failure) => return Ok(Err(failure)),
                }
            }
            HEADERS => match batch.headers() {
                Ok(headers) => {
                    packed(scratch, headers.names().len(), headers.names());
                    let names = lua.create_buffer(&scratch)?;
                    packed(scratch, headers.values().len(), headers.values());
                    let values = lua.create_buffer(&scratch)?;
                    let ends: Vec<u8> = headers.ends().iter().flat_map(|end| end.to_le_bytes()).collect();
                    let ends = lua.create_buffer(ends)?;
                    (Value::Buffer(names), Value::Buffer(values), Value::Buffer(ends), Value::Nil)
                }
                Err(failure) => return Ok(Err(failure)),
            },
            VALUE_FIELDS => match batch.values() {
                Ok(values) => {
                    fields(scratch, n, values, name);
                    one(lua.create_buffer(&scratch)?)
                }
                Err(failure) => return Ok(Err(failure)),
            },
            PLACE => (text(batch.topic())?, number(batch.partition()), number(batch.base_sequence()), Value::Nil),
            CLIENT => {
                let client = batch.client();
                (text(client.principal)?, text(client.client_id)?, text(client.listener)?, text(client.host)?)
            }
            _ => unreachable!("`batch.luau` asks for what is listed above, not for {what}"),
        }))
    }
}

/// Packs the first `n` values of a column; it may have fewer.
fn packed(scratch: &mut Vec<u8>, n: usize, column: &Column) {
    scratch.clear();
    let mut end = base(n);
    for i in 0..n {
        let value = column.get(i);
        let begin = end;
        end = begin.saturating_add(u32::try_from(value.map_or(0, <[u8]>::len)).unwrap_or(NULL));
        entry(scratch, value.is_some(), begin, end);
    }
    // The values are one behind the other as they are; null takes no room.
    scratch.extend_from_slice(column.data());
}

fn base(n: usize) -> u32 {
    u32::try_from(n * 8).expect("a batch has few records")
}

fn entry(scratch: &mut Vec<u8>, is_there: bool, begin: u32, end: u32) {
    scratch.extend_from_slice(&if is_there { begin } else { NULL }.to_le_bytes());
    scratch.extend_from_slice(&end.to_le_bytes());
}

/// Packs the values of one header.
fn header(scratch: &mut Vec<u8>, batch: &Batch<'_>, name: &[u8], pick: Pick) -> Result<(), Failure> {
    let values: Vec<_> = match std::str::from_utf8(name) {
        Ok(name) => batch.header(name, pick)?.collect(),
        // Only all headers hold names that are no UTF-8.
        Err(_) => {
            (0..batch.len()).map(|i| batch.headers().map(|all| all.get(i, name, pick))).collect::<Result<_, _>>()?
        }
    };
    scratch.clear();
    let mut end = base(values.len());
    for value in &values {
        let begin = end;
        end = begin.saturating_add(u32::try_from(value.map_or(0, <[u8]>::len)).unwrap_or(NULL));
        entry(scratch, value.is_some(), begin, end);
    }
    values.into_iter().flatten().for_each(|value| scratch.extend_from_slice(value));
    Ok(())
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// Packs one field of the first `n` values.
fn fields(scratch: &mut Vec<u8>, n: usize, values: &Column, path: Option<&LuaString>) {
    scratch.clear();
    scratch.resize(n * 8, 0);
    // A path that is no UTF-8 is none that a document has.
    let path = path.and_then(|path| path.to_str().ok());
    for i in 0..n {
        let field = path.as_ref().and_then(|path| helpers::json(values.get(i)?, path));
        let begin = u32::try_from(scratch.len()).unwrap_or(NULL);
        scratch.extend_from_slice(field.as_deref().unwrap_or_default());
        let end = u32::try_from(scratch.len()).unwrap_or(NULL);
        let begin = if field.is_some() { begin } else { NULL };
        scratch[i * 8..i * 8 + 4].copy_from_slice(&begin.to_le_bytes());
        scratch[i * 8 + 4..i * 8 + 8].copy_from_slice(&end.to_le_bytes());
    }
}

/// Timestamps as doubles; those that are none exactly become NaN, and reading them an error.
fn exact(timestamps: &[i64]) -> Vec<u8> {
    let double = |timestamp: &i64| {
        let double = *timestamp as f64;
        if double.abs() < EXACT { double } else { f64::NAN }.to_le_bytes()
    };
    timestamps.iter().flat_map(double).collect()
}

/// The buffer that was kept with other contents, or a larger one in its place.
fn keep(lua: &Lua, kept: &mut Option<Buffer>, contents: &[u8]) -> mlua::Result<Buffer> {
    if let Some(buffer) = kept.as_ref().filter(|buffer| buffer.len() >= contents.len()) {
        buffer.write_bytes(0, contents);
        return Ok(buffer.clone());
    }
    *kept = None;
    let buffer = lua.create_buffer_with_capacity(contents.len() + contents.len() / 4)?;
    buffer.write_bytes(0, contents);
    *kept = Some(buffer.clone());
    Ok(buffer)
}
