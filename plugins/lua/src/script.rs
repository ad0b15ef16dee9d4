//! A script: its text, the table that it returns, and what that says of the plugin.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mlua::chunk::{ChunkMode, Compiler};
use mlua::{Function, Lua, Table, Value};
use watershed_hooks::{Environment, Failure, FaultKind, HookKind};
use watershed_plugin_host::{Limits, LoadError, Manifest, PluginSource, Watchdog};

use crate::call::{self, message};
use crate::convert::{self, kind};
use crate::sandbox::{self, Sandbox};

/// The longest script: compiling is neither counted as memory nor interrupted.
const SCRIPT_BYTES_MAX: usize = 1 << 20;

/// How much of a file's name stands before line numbers.
const CHUNK_BYTES_MAX: usize = 200;

/// The fields of a plugin's table that are its manifest.
const FIELDS: [&str; 8] = ["name", "version", "api", "reads", "headers", "deterministic", "counters", "config_schema"];

/// The function of a plugin's table that serves a hook.
pub(crate) fn function_of(hook: HookKind) -> &'static str {
    match hook {
        HookKind::Interceptor => "intercept",
        HookKind::OrderingKey => "ordering_key",
        HookKind::Partitioner => "partition",
        HookKind::FetchFilter => "filter",
        HookKind::Retention => "retain",
        HookKind::RecordRetention => "record_retention",
        HookKind::Assignor => "assign",
        HookKind::TopicPolicy => "judge",
        _ => "",
    }
}

/// A script, and what its instances may use.
pub(crate) struct Script {
    pub(crate) name: String,
    /// What Luau calls it, before line numbers.
    pub(crate) chunk: String,
    text: String,
    /// The text compiled; `None` where that fails.
    bytecode: OnceLock<Option<Vec<u8>>>,
    pub(crate) limits: Limits,
    pub(crate) watchdog: Arc<Watchdog>,
}

/// A script that has run: its state, and the table that it returned.
pub(crate) struct Running {
    pub(crate) sandbox: Sandbox,
    pub(crate) table: Table,
}

impl Script {
    /// Checks that a file holds text.
    ///
    /// # Errors
    /// Where it does not.
    pub(crate) fn new(source: PluginSource, watchdog: Arc<Watchdog>) -> Result<Self, LoadError> {
        let PluginSource { name, file, contents, limits, .. } = source;
        let refuse = |reason: String| LoadError { file: file.clone(), reason };
        if contents.len() > SCRIPT_BYTES_MAX {
            let bytes = contents.len();
            return Err(refuse(format!("the script has {bytes} bytes, {SCRIPT_BYTES_MAX} are allowed: split it")));
        }
        // Bytecode begins with its version, a small number; no text does.
        if contents.first().is_some_and(|byte| *byte < b'\t') || contents.contains(&0) {
            return Err(refuse("it is no text: compiled scripts are refused, give the script itself".to_owned()));
        }
        let text = String::from_utf8(contents).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            refuse(format!("it is no UTF-8 from byte {at} on: write other bytes as \\xNN"))
        })?;
        let path = file.display().to_string();
        let from = path.char_indices().map(|(at, _)| at).find(|at| path.len() - at <= CHUNK_BYTES_MAX);
        let chunk: String = path[from.unwrap_or(path.len())..].chars().filter(|c| !c.is_control()).collect();
        let chunk = if chunk.is_empty() { name.clone() } else { chunk };
        Ok(Self { name, chunk, text, bytecode: OnceLock::new(), limits, watchdog })
    }

    /// Runs something that calls the script.
    ///
    /// # Errors
    /// A fault.
    pub(crate) fn run<T>(&self, budget: Duration, call: impl FnOnce() -> mlua::Result<T>) -> Result<T, Failure> {
        call::run(&self.watchdog, budget, &self.chunk, call)
    }

    /// Runs the script itself, in a state of its own. `native` compiles it to machine code, which takes most of the time and pays
    /// where it is asked about records.
    ///
    /// # Errors
    /// A fault, or that it returned no table.
    pub(crate) fn start(
        &self,
        environment: &Environment,
        counters: &Arc<[String]>,
        native: bool,
    ) -> Result<Running, Failure> {
        let memory = self.limits.memory_bytes();
        let returned = self.run(self.limits.init_budget(), || {
            let sandbox = sandbox::make(memory, environment, counters, native)?;
            let returned: Value = self.function(&sandbox.lua)?.call(())?;
            Ok((sandbox, returned))
        })?;
        match returned {
            (sandbox, Value::Table(table)) => Ok(Running { sandbox, table }),
            (_, other) => Err(Failure::Permanent(format!(
                "the script must return the table of the plugin, not {}: end it with `return P`",
                kind(&other)
            ))),
        }
    }

    /// The script itself as a function of a state. It is compiled once for all of them.
    fn function(&self, lua: &Lua) -> mlua::Result<Function> {
        let compiler = Compiler::new().set_optimization_level(2).set_debug_level(1);
        let bytecode = self.bytecode.get_or_init(|| compiler.compile(&self.text).ok());
        let name = format!("={}", self.chunk);
        match bytecode {
            Some(bytecode) => lua.load(bytecode.as_slice()).set_name(name).set_mode(ChunkMode::Binary).into_function(),
            // Once more, because only this names the script's line.
            None => lua.load(self.text.as_str()).set_name(name).set_mode(ChunkMode::Text).into_function(),
        }
    }

    /// Why a script cannot be loaded, with the line that Luau names.
    pub(crate) fn refuse(&self, file: &std::path::Path, failure: &Failure) -> LoadError {
        let mut text = failure.to_string();
        let mut file = file.to_owned();
        if let Some(rest) = text.strip_prefix(&self.chunk).and_then(|rest| rest.strip_prefix(':')) {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            if digits > 0 {
                file = format!("{}:{}", file.display(), &rest[..digits]).into();
            }
            text = rest[digits..].trim_start_matches(':').trim_start().to_owned();
        }
        let remedy = match failure.fault() {
            Some(FaultKind::Timeout) => ": a script must not do its work while it is loaded; or raise limits.budget",
            Some(FaultKind::OutOfMemory) => ": raise limits.memory",
            _ => "",
        };
        LoadError { file, reason: text + remedy }
    }
}

/// What a plugin's table says of it, and the hooks that it serves.
///
/// # Errors
/// What is wrong with it, for people.
pub(crate) fn describe(table: &Table) -> Result<(Manifest, Vec<HookKind>), String> {
    let mut manifest = serde_json::Map::new();
    let mut hooks = Vec::new();
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(|error| error.to_string())?;
        let Value::String(key) = &key else {
            return Err(format!("the plugin's table has {} as a key", kind(&key)));
        };
        let key = key.to_string_lossy();
        if let Some(hook) = HookKind::ALL.into_iter().find(|hook| function_of(*hook) == key) {
            is_function(&key, &value)?;
            hooks.push(hook);
        } else if key == "init" {
            is_function(&key, &value)?;
        } else if FIELDS.contains(&key.as_str()) {
            manifest.insert(key.clone(), convert::to_json(&value, &key)?);
        } else {
            return Err(unknown(&key, matches!(value, Value::Function(_))));
        }
    }
    if hooks.is_empty() {
        let all: Vec<_> = HookKind::ALL.map(|hook| format!("{} ({hook})", function_of(hook))).to_vec();
        return Err(format!("the plugin serves no hook: give its table one of the functions {}", all.join(", ")));
    }
    hooks.sort_unstable();
    let manifest = Manifest::parse(manifest.into()).map_err(|error| error.to_string())?;
    if manifest.deterministic && !hooks.contains(&HookKind::Partitioner) {
        return Err(
            "the plugin says that it is deterministic, which only a partitioner is asked: it serves none".to_owned()
        );
    }
    Ok((manifest, hooks))
}

fn is_function(key: &str, value: &Value) -> Result<(), String> {
    if matches!(value, Value::Function(_)) {
        return Ok(());
    }
    Err(format!("`{key}` must be a function, not {}", kind(value)))
}

/// An unknown field, and the known one that it is most like.
fn unknown(key: &str, is_function: bool) -> String {
    let functions = HookKind::ALL.into_iter().map(function_of).chain(["init"]);
    let known: Vec<&str> = if is_function { functions.collect() } else { FIELDS.to_vec() };
    let nearest = known.iter().max_by(|a, b| {
        let likeness = |known: &str| strsim::jaro_winkler(known, key);
        likeness(a).total_cmp(&likeness(b))
    });
    let (what, nearest) = (if is_function { "function" } else { "field" }, nearest.copied().unwrap_or_default());
    let key = message(key.as_bytes());
    format!(
        "a plugin has no {what} `{key}`: did you mean `{nearest}`? What is the script's own, keep in a local variable"
    )
}

/// The function of a plugin's table, if it has it.
///
/// # Errors
/// When it is something else.
pub(crate) fn function(table: &Table, name: &str) -> Result<Option<Function>, String> {
    let value: Value = table.raw_get(name).map_err(|error| error.to_string())?;
    match value {
        Value::Nil => Ok(None),
        Value::Function(function) => Ok(Some(function)),
        other => Err(format!("`{name}` must be a function, not {}", kind(&other))),
    }
}

/// No counters: while a script is loaded it is not known which it has.
pub(crate) fn no_counters() -> Arc<[String]> {
    static NONE: OnceLock<Arc<[String]>> = OnceLock::new();
    Arc::clone(NONE.get_or_init(|| Arc::from([])))
}
