//! Guests that mean harm, or are broken: each is refused when it is loaded, or fails its own call and nothing else.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "a guest that is not stopped must not hang the test unseen")]

mod cache;
mod calls;
mod files;
mod guest;
mod retention;

use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use watershed_hooks::{
    Batch, Client, Environment, Failure, Hook, Partitioner, Place, PluginError, Reads, Records, Settings, assign,
};
use watershed_plugin_host::{Limits, LoadError, LoadedPlugin, PluginSource};
use watershed_wasm::{WasmHost, WasmOptions};

use guest::Guest;

/// No case takes longer, on a machine that has other things to do: budgets are processor time, and `init` has a second.
const PATIENCE: Duration = Duration::from_secs(30);

const MEMORY_BYTES: usize = 1 << 20;

/// One host for all, as in a broker: a case that harms it shows in others.
static HOST: LazyLock<WasmHost> = LazyLock::new(|| WasmHost::new(WasmOptions::default()).unwrap());

fn load_bytes(contents: Vec<u8>) -> Result<LoadedPlugin, LoadError> {
    let limits = Limits::new(Some(MEMORY_BYTES), Some(Duration::from_millis(5))).unwrap();
    let began = Instant::now();
    let loaded = HOST.load(PluginSource::new("hostile", "hostile.wat", contents, limits));
    assert!(began.elapsed() < PATIENCE, "it was not stopped");
    loaded
}

fn load(guest: &Guest) -> Result<LoadedPlugin, LoadError> {
    load_bytes(guest.text().into_bytes())
}

fn create(plugin: &LoadedPlugin) -> Result<Box<dyn Partitioner>, PluginError> {
    match plugin.factories[0].create(&Settings::new(), &Environment::with_random(|| 0))? {
        Hook::Partitioner(partitioner) => Ok(partitioner),
        other => panic!("it serves {other:?}"),
    }
}

/// Asks about three records and twelve partitions.
fn ask(partitioner: &mut dyn Partitioner) -> Result<Vec<watershed_hooks::Choice>, Failure> {
    let reads = Reads { keys: true, ..Reads::NOTHING };
    let mut records = Records::new(reads);
    for key in [&b"a"[..], b"b", b"c"] {
        records.push_key(Some(key), 10).unwrap();
    }
    let reads = partitioner.reads().clone();
    let batch = Batch::new(Place { topic: "t", ..Place::default() }, Client::default(), &records, &reads);
    let mut choices = Vec::new();
    let began = Instant::now();
    let answer = assign(partitioner, &batch, NonZeroU32::new(12).unwrap(), &mut choices);
    assert!(began.elapsed() < PATIENCE, "it was not stopped");
    answer.map(|()| choices)
}

/// A case must not be refused or fail for another reason than the wanted one.
fn check(name: &str, seen: &str, want: &str) {
    assert!(seen.contains(want), "{name}: {seen}, and not: {want}");
}
