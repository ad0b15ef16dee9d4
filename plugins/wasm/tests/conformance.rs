//! The guests that are kept as files: the reference plugin conforms, and the one in C does what it says.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use sha2::{Digest, Sha256};
use watershed_hooks::{Batch, Client, Environment, Hook, HookKind, Place, Records, Settings, Verdict, intercept};
use watershed_plugin_host::{Limits, LoadedPlugin, PluginSource, conformance};
use watershed_wasm::{WasmHost, WasmOptions};

fn guest(file: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("guests").join(file)).unwrap()
}

fn load(file: &str) -> LoadedPlugin {
    let host = WasmHost::new(WasmOptions::default()).unwrap();
    // The copying of a large value into a guest is code of this crate, which may not be optimised here.
    let limits = Limits::new(None, Some(std::time::Duration::from_secs(1))).unwrap();
    host.load(PluginSource::new(file, file, guest(file), limits)).unwrap()
}

#[test]
fn the_reference_guest_conforms() {
    conformance::run_loaded(&load("reference.wasm"));
}

#[test]
fn an_interceptor_in_c() {
    let plugin = load("keyed.wasm");
    assert_eq!(plugin.hooks(), [HookKind::Interceptor]);
    let made = plugin.factories[0].create(&Settings::new(), &Environment::with_random(|| 0)).unwrap();
    let Hook::Interceptor(mut interceptor) = made else { panic!("it serves another hook") };
    let reads = interceptor.reads().clone();
    let mut records = Records::new(reads.clone());
    let mut ask = |keys: &[Option<&[u8]>]| {
        records.clear();
        for key in keys {
            records.push_key(*key, 10).unwrap();
        }
        let batch = Batch::new(Place::default(), Client::default(), &records, &reads);
        let mut verdicts = Vec::new();
        intercept(interceptor.as_mut(), &batch, &mut verdicts).map(|()| verdicts)
    };
    let reject = || Verdict::Reject("a record of this topic must have a key".to_owned());
    for _ in 0..1000 {
        assert_eq!(ask(&[Some(b"a"), Some(b"")]).unwrap(), [Verdict::Keep, Verdict::Keep]);
        assert_eq!(ask(&[None, Some(b"a"), None]).unwrap(), [reject(), Verdict::Keep, reject()]);
    }
}

#[test]
fn the_files_are_those_that_were_built() {
    let sums = String::from_utf8(guest("SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), 3);
    for line in sums.lines() {
        let (sum, file) = line.split_once("  ").unwrap();
        let seen: String = Sha256::digest(guest(file)).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(seen, sum, "{file}");
    }
}
