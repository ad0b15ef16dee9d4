//! What the tests of the host share: loading a script, and batches to ask it about.
#![allow(dead_code, reason = "each test uses its own part")]

use std::sync::LazyLock;
use std::time::Duration;

use watershed_hooks::{
    Batch, Choice, Client, Environment, Failure, Hook, HookKind, Place, Reads, Records, Settings, Stay, Verdict,
    Visibility, assign, filter, intercept, retain,
};
use watershed_lua::LuaHost;
use watershed_plugin_host::{Limits, LoadError, LoadedPlugin, PluginSource};

static HOST: LazyLock<LuaHost> = LazyLock::new(LuaHost::new);

/// Loads a script with these limits.
pub(crate) fn load_with(script: &[u8], limits: Limits) -> Result<LoadedPlugin, LoadError> {
    let source = PluginSource::new("test", "test.luau", script.to_vec(), limits);
    HOST.load(source)
}

/// Loads a script that serves hooks with functions given as text, and reads keys and values.
pub(crate) fn load(functions: &str) -> LoadedPlugin {
    load_in(Duration::from_millis(20), functions)
}

/// As [`load`], with a budget.
pub(crate) fn load_in(budget: Duration, functions: &str) -> LoadedPlugin {
    let limits = Limits::new(Some(8 << 20), Some(budget)).unwrap();
    load_with(plugin(functions).as_bytes(), limits).unwrap_or_else(|error| panic!("{functions}: {error}"))
}

/// The text of a plugin with these functions.
pub(crate) fn plugin(functions: &str) -> String {
    format!(
        "local P = {{ name = 'test', version = '1', api = 1, reads = {{ 'keys', 'values' }}, headers = {{ 'h' }}, \
         counters = {{ 'seen' }} }} {functions} return P"
    )
}

/// An instance for a hook.
pub(crate) fn make(plugin: &LoadedPlugin, kind: HookKind, environment: &Environment) -> Hook {
    let factory = plugin.factories.iter().find(|factory| factory.hook() == kind).expect("the hook is served");
    factory.create(&Settings::new(), environment).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn nowhere() -> Environment {
    Environment::with_random(|| 0)
}

/// Calls `ask` with a batch of records that have these keys, the value `v` and a header `h`.
pub(crate) fn with_batch<T>(reads: &Reads, keys: &[Option<&[u8]>], ask: impl FnOnce(&Batch<'_>) -> T) -> T {
    let mut records = Records::new(reads.clone());
    for key in keys {
        let header: (&[u8], Option<&[u8]>) = (b"h", Some(b"x"));
        records.push(*key, Some(b"v"), 7, [header].into_iter()).unwrap();
    }
    records.set_ranks((0..keys.len()).rev().map(|rank| u32::try_from(rank).unwrap()).collect());
    let place = Place { topic: "orders", partition: Some(1), base_sequence: None };
    ask(&Batch::new(place, Client::default(), &records, reads))
}

const KEYS: [Option<&[u8]>; 3] = [Some(b"a"), None, Some(b"")];

/// Asks an interceptor about three records with the keys `a`, null and the empty one.
pub(crate) fn ask_interceptor(hook: &mut Hook) -> Result<Vec<Verdict>, Failure> {
    let Hook::Interceptor(hook) = hook else { panic!("{hook:?}") };
    let (mut verdicts, reads) = (Vec::new(), hook.reads().clone());
    with_batch(&reads, &KEYS, |batch| intercept(hook.as_mut(), batch, &mut verdicts)).map(|()| verdicts)
}

/// Asks a fetch filter about the same.
pub(crate) fn ask_filter(hook: &mut Hook) -> Result<Vec<Visibility>, Failure> {
    let Hook::FetchFilter(hook) = hook else { panic!("{hook:?}") };
    let (mut seen, reads) = (Vec::new(), hook.reads().clone());
    with_batch(&reads, &KEYS, |batch| filter(hook.as_mut(), batch, &mut seen)).map(|()| seen)
}

/// Asks a record retention about the same, of the ranks 2, 1 and 0.
pub(crate) fn ask_retention(hook: &mut Hook, now: i64) -> Result<Vec<Stay>, Failure> {
    let Hook::RecordRetention(hook) = hook else { panic!("{hook:?}") };
    let (mut stays, reads) = (Vec::new(), hook.reads().clone());
    with_batch(&reads, &KEYS, |batch| retain(hook.as_mut(), batch, now, &mut stays)).map(|()| stays)
}

/// Asks a partitioner about the same, of four partitions.
pub(crate) fn ask_partitioner(hook: &mut Hook) -> Result<Vec<Choice>, Failure> {
    let Hook::Partitioner(hook) = hook else { panic!("{hook:?}") };
    let (mut choices, reads) = (Vec::new(), hook.reads().clone());
    let four = 4.try_into().unwrap();
    with_batch(&reads, &KEYS, |batch| assign(hook.as_mut(), batch, four, &mut choices)).map(|()| choices)
}
