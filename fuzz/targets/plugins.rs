//! Plugins that mean harm: scripts of any text, components of any bytes, and a component whose answers lie anywhere in a memory
//! of any contents.
//!
//! Whatever they are, the hosts refuse them or end their calls with a failure; nothing panics, nothing runs for ever, and what
//! is taken for an answer keeps the rules that the traits state.
#![no_main]
#![allow(clippy::unwrap_used, reason = "the generator of guests is a test's")]

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use watershed_fuzz::seeds;
use watershed_hooks::{
    Batch, Choice, Client, Column, Environment, Hook, LogSummary, Place, Records, SegmentSummary, Settings, assign,
    filter, intercept, order, retain,
};
use watershed_lua::LuaHost;
use watershed_plugin_host::{Limits, LoadedPlugin, PluginSource};
use watershed_wasm::{WasmHost, WasmOptions};

#[allow(dead_code, reason = "the hostile corpus uses the rest")]
#[path = "../../plugins/wasm/tests/hostile/guest.rs"]
mod guest;

static LUA: LazyLock<LuaHost> = LazyLock::new(LuaHost::new);
static WASM: LazyLock<WasmHost> = LazyLock::new(|| WasmHost::new(WasmOptions::default()).expect("the engine starts"));

/// What the first byte of an input stands for.
const SCRIPT: u8 = b's';
const COMPONENT: u8 = b'c';

fn source(ending: &str, contents: &[u8]) -> PluginSource {
    let limits = Limits::new(Some(4 << 20), Some(Duration::from_millis(2))).expect("they are in range");
    let file = PathBuf::from(format!("fuzz.{ending}"));
    PluginSource::new("fuzz", file, contents.to_vec(), limits)
}

/// A guest whose memory from its answer on is `data`.
fn answers(data: &[u8]) -> Vec<u8> {
    let bytes: String = data.iter().take(900).map(|byte| format!("\\{byte:02x}")).collect();
    guest::Guest::fields(format!("(data (i32.const 32) \"{bytes}\")")).text().into_bytes()
}

fn ask(plugin: &LoadedPlugin) {
    for factory in &plugin.factories {
        for _ in 0..2 {
            let environment = Environment::with_random(|| 0);
            if let Ok(mut hook) = factory.create(&Settings::new(), &environment) {
                question(&mut hook);
                question(&mut hook);
            }
        }
    }
}

fn question(hook: &mut Hook) {
    if let Hook::Retention(plugin) = hook {
        let segment = SegmentSummary {
            base_offset: 0,
            end_offset: 5,
            bytes: 1,
            records: 5,
            first_timestamp: 2,
            max_timestamp: 3,
            sealed: true,
        };
        let log = LogSummary {
            topic: "t",
            partition: 0,
            now: 9,
            start_offset: 0,
            high_watermark: 5,
            segments: vec![segment],
        };
        let _ = plugin.delete_before(&log);
    }
    let Some(reads) = hook.reads().cloned() else { return };
    let mut records = Records::new(reads.clone());
    for (key, value) in [(Some(&b"k"[..]), Some(&b"{\"a\":1}"[..])), (None, None), (Some(b""), Some(b"v"))] {
        records.push(key, value, 7, [(&b"h"[..], None)].into_iter()).expect("they are short");
    }
    records.set_ranks(vec![2, 1, 0]);
    let batch = Batch::new(Place { topic: "t", ..Place::default() }, Client::default(), &records, &reads);
    let three = NonZeroU32::new(3).expect("3 is not 0");
    let (mut verdicts, mut seen, mut choices, mut keys) = (Vec::new(), Vec::new(), Vec::new(), Column::new());
    match hook {
        Hook::Interceptor(plugin) => {
            if intercept(&mut **plugin, &batch, &mut verdicts).is_ok() {
                assert_eq!(verdicts.len(), 3);
            }
        }
        Hook::OrderingKey(plugin) => {
            if order(&mut **plugin, &batch, &mut keys).is_ok() {
                assert_eq!(keys.iter().count(), 3);
            }
        }
        Hook::Partitioner(plugin) => {
            if assign(&mut **plugin, &batch, three, &mut choices).is_ok() {
                assert_eq!(choices.len(), 3);
                assert!(choices.iter().all(|choice| !matches!(choice, Choice::Partition(3..))));
            }
        }
        Hook::FetchFilter(plugin) => {
            if filter(&mut **plugin, &batch, &mut seen).is_ok() {
                assert_eq!(seen.len(), 3);
            }
        }
        Hook::RecordRetention(plugin) => {
            let mut stays = Vec::new();
            if retain(&mut **plugin, &batch, 9, &mut stays).is_ok() {
                assert_eq!(stays.len(), 3);
            }
        }
        _ => {}
    }
}

fn honest() -> Vec<Vec<u8>> {
    let scripts = [
        include_str!("../../src/cli/plugin/templates/interceptor/plugin.luau"),
        include_str!("../../src/cli/plugin/templates/ordering-key/plugin.luau"),
        include_str!("../../src/cli/plugin/templates/partitioner/plugin.luau"),
        include_str!("../../src/cli/plugin/templates/fetch-filter/plugin.luau"),
        include_str!("../../src/cli/plugin/templates/record-retention/plugin.luau"),
        "return { name = 'p', version = '1', api = 1, intercept = function(b) return { false, { dlq = 'x' } } end }",
        "return { name = 'p', version = '1', api = 1, filter = function(b) return { { headers = { { 'a' } } } } end }",
    ];
    let mut found: Vec<Vec<u8>> = scripts.iter().map(|script| [&[SCRIPT], script.as_bytes()].concat()).collect();
    let small = guest::guest().text().into_bytes();
    found.push([&[COMPONENT], small.as_slice()].concat());
    found.push([&[COMPONENT], &include_bytes!("../../plugins/wasm/guests/keyed.wasm")[..]].concat());
    // An answer of three partitions, one of none, a refusal.
    for words in [[0_u32, 4096, 3], [0, 0, 0], [1, 4096, 3]] {
        found.push(words.iter().flat_map(|word| word.to_le_bytes()).collect());
    }
    found
}

fuzz_target!(init: seeds::write_if_asked(honest()), |data: &[u8]| {
    let loaded = match data.split_first() {
        None => return,
        Some((&SCRIPT, script)) => LUA.load(source("luau", script)),
        Some((&COMPONENT, component)) => WASM.load(source("wasm", component)),
        Some(_) => WASM.load(source("wat", &answers(data))),
    };
    if let Ok(plugin) = loaded {
        ask(&plugin);
    }
});
