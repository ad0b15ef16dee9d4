//! What scripts can reach: a list of what is allowed, the library `kafka`, and nothing else.

use std::ffi::c_int;
use std::sync::{Arc, OnceLock};

use mlua::chunk::{ChunkMode, Compiler};
use mlua::{Function, Lua, LuaOptions, LuaString, StdLib, Table, Value, ffi};
use watershed_hooks::{Environment, LogLevel};
use watershed_plugin_host::{helpers, log_line};

use crate::interrupt;

/// The globals of Luau that scripts have, and of each library its functions. What is not here is taken out before a script
/// runs: a library that a new version of Luau brings is not there until somebody has looked at it.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "_VERSION",
            "assert",
            "error",
            "getmetatable",
            "ipairs",
            "next",
            "pairs",
            "pcall",
            "rawequal",
            "rawget",
            "rawlen",
            "rawset",
            "select",
            "setmetatable",
            "tonumber",
            "tostring",
            "type",
            "typeof",
            "unpack",
            "xpcall",
        ],
    ),
    (
        "bit32",
        &[
            "arshift", "band", "bnot", "bor", "btest", "bxor", "byteswap", "countlz", "countrz", "extract", "lrotate",
            "lshift", "replace", "rrotate", "rshift",
        ],
    ),
    (
        "buffer",
        &[
            "copy",
            "create",
            "fill",
            "fromstring",
            "len",
            "readbits",
            "readf32",
            "readf64",
            "readi16",
            "readi32",
            "readi8",
            "readstring",
            "readu16",
            "readu32",
            "readu8",
            "tostring",
            "writebits",
            "writef32",
            "writef64",
            "writei16",
            "writei32",
            "writei8",
            "writestring",
            "writeu16",
            "writeu32",
            "writeu8",
        ],
    ),
    ("coroutine", &["close", "create", "isyieldable", "resume", "running", "status", "wrap", "yield"]),
    (
        "math",
        &[
            "abs", "acos", "asin", "atan", "atan2", "ceil", "clamp", "cos", "cosh", "deg", "exp", "floor", "fmod",
            "frexp", "huge", "isfinite", "isinf", "isnan", "ldexp", "lerp", "log", "log10", "map", "max", "min",
            "modf", "noise", "pi", "pow", "rad", "round", "sign", "sin", "sinh", "sqrt", "tan", "tanh",
        ],
    ),
    (
        "string",
        &[
            "byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "pack", "packsize", "rep",
            "reverse", "split", "sub", "unpack", "upper",
        ],
    ),
    (
        "table",
        &[
            "clear", "clone", "concat", "create", "find", "freeze", "insert", "isfrozen", "maxn", "move", "pack",
            "remove", "sort", "unpack",
        ],
    ),
    ("utf8", &["char", "charpattern", "codepoint", "codes", "len", "offset"]),
];

/// The largest number that a double holds exactly, and all below it.
pub(crate) const EXACT: f64 = 9_007_199_254_740_992.0;

/// A state that is ready for a script, and the functions that call a plugin's.
pub(crate) struct Sandbox {
    pub(crate) lua: Lua,
    /// By the name of the plugin's function, the one that calls it.
    pub(crate) drive: Table,
}

/// Makes a state of at most `memory_bytes`, with the sinks of `environment`, in which only `counters` can be counted; `native`
/// compiles everything in it to machine code.
///
/// # Errors
/// When it does not fit into its memory.
pub(crate) fn make(
    memory_bytes: usize,
    environment: &Environment,
    counters: &Arc<[String]>,
    native: bool,
) -> mlua::Result<Sandbox> {
    let libraries = StdLib::COROUTINE | StdLib::TABLE | StdLib::STRING | StdLib::UTF8 | StdLib::BIT;
    let lua = Lua::new_with(libraries | StdLib::MATH | StdLib::BUFFER, LuaOptions::new())?;
    lua.enable_jit(native);
    lua.set_memory_limit(memory_bytes)?;
    let library: Table = LIBRARY.function(&lua)?.call((host_functions(&lua, environment, counters)?, Value::NULL))?;
    let drive = BATCH.function(&lua)?.call(Value::NULL)?;

    keep_allowed(&lua.globals())?;
    for pair in library.get::<Table>("replaced")?.pairs::<LuaString, Table>() {
        let (library, functions) = pair?;
        copy(&functions, &lua.globals().get(library)?)?;
    }
    copy(&library.get("globals")?, &lua.globals())?;
    lua.sandbox(true)?;
    interrupt::install(&lua, memory_bytes)?;
    Ok(Sandbox { lua, drive })
}

/// A script of the host's own, which is compiled once for all states.
struct Own {
    name: &'static str,
    text: &'static str,
    bytecode: OnceLock<Vec<u8>>,
}

static LIBRARY: Own = Own { name: "=library", text: include_str!("library.luau"), bytecode: OnceLock::new() };
static BATCH: Own = Own { name: "=batch", text: include_str!("batch.luau"), bytecode: OnceLock::new() };

impl Own {
    fn function(&self, lua: &Lua) -> mlua::Result<Function> {
        if self.bytecode.get().is_none() {
            // Without inlining every function has a frame, by which `error` names a script's line.
            let compiler = Compiler::new().set_optimization_level(1).set_debug_level(1);
            let compiled = compiler.compile(self.text)?;
            // Two states that begin at once have compiled the same.
            self.bytecode.get_or_init(|| compiled);
        }
        let bytecode = self.bytecode.get().map(Vec::as_slice).unwrap_or_default();
        lua.load(bytecode).set_name(self.name).set_mode(ChunkMode::Binary).into_function()
    }
}

fn copy(from: &Table, to: &Table) -> mlua::Result<()> {
    from.for_each(|name: Value, value: Value| to.raw_set(name, value))
}

/// Takes out of the globals and of their libraries what is not allowed.
fn keep_allowed(globals: &Table) -> mlua::Result<()> {
    for (library, names) in ALLOWED {
        let table = if library.is_empty() { globals.clone() } else { globals.get(*library)? };
        let mut others = Vec::new();
        table.for_each(|name: LuaString, _: Value| {
            let known = names.iter().any(|known| name == *known);
            let is_library = library.is_empty() && ALLOWED.iter().any(|(library, _)| name == *library);
            if !known && !is_library {
                others.push(name);
            }
            Ok(())
        })?;
        for name in others {
            table.raw_set(name, Value::Nil)?;
        }
    }
    Ok(())
}

/// What `library.luau` is given.
fn host_functions(lua: &Lua, environment: &Environment, counters: &Arc<[String]>) -> mlua::Result<Table> {
    let host = lua.create_table()?;
    let find = |_: &Lua, (text, what, from): (LuaString, LuaString, usize)| {
        let (text, what) = (text.as_bytes(), what.as_bytes());
        let rest = text.get(from..).unwrap_or_default();
        Ok(memchr::memmem::find(rest, &what).map(|at| at + from))
    };
    host.raw_set("find", lua.create_function(find)?)?;
    host.raw_set("is_plain", lua.create_function(|_, pattern: LuaString| Ok(is_plain(&pattern.as_bytes())))?)?;
    host.raw_set("longest_set", lua.create_function(|_, pattern: LuaString| Ok(longest_set(&pattern.as_bytes())))?)?;
    // SAFETY: it is such a function, and its name is written with its end.
    host.raw_set("murmur2", unsafe { lua.create_c_function(murmur2)? })?;
    host.raw_set("json", json(lua)?)?;
    let sink = Arc::clone(&environment.log);
    let log = move |_: &Lua, (level, text): (u8, LuaString)| {
        let level = match level {
            0 => LogLevel::Debug,
            1 => LogLevel::Info,
            2 => LogLevel::Warn,
            _ => LogLevel::Error,
        };
        sink(level, &log_line(&text.as_bytes()));
        Ok(())
    };
    host.raw_set("log", lua.create_function(log)?)?;
    let (sink, counters) = (Arc::clone(&environment.count), Arc::clone(counters));
    let count = move |_: &Lua, (name, n): (LuaString, u64)| {
        let Some(name) = counters.iter().find(|known| name == known.as_str()) else {
            let known = if counters.is_empty() { "none".to_owned() } else { counters.join(", ") };
            return Ok(Some(format!("there is no counter {}; the manifest declares: {known}", name.to_string_lossy())));
        };
        sink(name, n);
        Ok(None)
    };
    host.raw_set("count", lua.create_function(count)?)?;
    Ok(host)
}

/// `kafka.murmur2(bytes)`. Called for each record of a batch, it goes around mlua: a partitioner by keys then takes 310 ns
/// a record instead of 490.
///
/// # Safety
/// As Luau calls it: `state` is alive. A wrong argument raises a Luau error, when there is nothing to drop here.
unsafe extern "C-unwind" fn murmur2(state: *mut ffi::lua_State) -> c_int {
    let mut len = 0;
    // SAFETY: the first argument is a string when the first call returns, and as an argument it stays where it is while this
    // function runs; its bytes are `len` many.
    let bytes = unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TSTRING);
        std::slice::from_raw_parts(ffi::lua_tolstring(state, 1, &raw mut len).cast::<u8>(), len)
    };
    let hash = f64::from(helpers::murmur2(bytes));
    // SAFETY: every function has room for its answer.
    unsafe { ffi::lua_pushnumber(state, hash) };
    1
}

fn json(lua: &Lua) -> mlua::Result<Function> {
    lua.create_function(|lua, (document, path): (LuaString, LuaString)| {
        let (document, path) = (document.as_bytes(), path.as_bytes());
        // A name that is no UTF-8 is in no JSON.
        let Ok(path) = std::str::from_utf8(&path) else { return Ok(None) };
        helpers::json(&document, path).map(|found| lua.create_string(&found)).transpose()
    })
}

/// Whether a pattern has no special characters, as Luau sees it.
fn is_plain(pattern: &[u8]) -> bool {
    !pattern.iter().any(|byte| b"^$*+?.([%-".contains(byte))
}

/// The length of the longest set (`[…]`) of a pattern, at least 1: how many comparisons one character may take.
fn longest_set(pattern: &[u8]) -> usize {
    let (mut longest, mut i) = (1, 0);
    while i < pattern.len() {
        match pattern[i] {
            b'%' => i += 2,
            b'[' => {
                let begin = i;
                i += if pattern.get(i + 1) == Some(&b'^') { 2 } else { 1 };
                // The first character belongs to the set even if it is a bracket.
                let first = i;
                while i < pattern.len() && (pattern[i] != b']' || i == first) {
                    i += if pattern[i] == b'%' { 2 } else { 1 };
                }
                longest = longest.max(i - begin);
                i += 1;
            }
            _ => i += 1,
        }
    }
    longest
}

#[cfg(test)]
mod tests;
