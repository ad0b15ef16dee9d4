//! Which partition a record belongs to: tenants with a partition of their own get it, the others share the rest by their key.

#![no_std]

extern crate alloc;

mod columns;

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::{format, vec::Vec};

use columns::get;
use exports::watershed::plugin::{lifecycle, partitioner};
use watershed::plugin::helpers;
use watershed::plugin::types::{Batch, Failure};

wit_bindgen::generate!({ world: "partitioner-plugin", path: "wit" });

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

const MANIFEST: &str = r#"{
    "name": "NAME",
    "version": "1.0.0",
    "api": 1,
    "reads": ["keys", "ordering_keys"],
    "deterministic": true,
    "config_schema": {
        "type": "object",
        "properties": {"own": {"type": "array", "items": {"type": "string"}}},
        "additionalProperties": false
    }
}"#;

/// What a partitioner says where the client's choice stands.
const CLIENT_STANDS: u32 = u32::MAX;

/// The tenants with a partition of their own, in its order. An instance runs one call at a time.
static mut OWN: Vec<Vec<u8>> = Vec::new();

fn own() -> &'static [Vec<u8>] {
    // SAFETY: it is set by `init` only, before any hook is called, and there are no threads.
    unsafe { &*&raw const OWN }
}

struct Plugin;

impl lifecycle::Guest for Plugin {
    fn describe() -> String {
        MANIFEST.to_owned()
    }

    /// To refuse the settings, it answers with an error.
    fn init(config_json: String) -> Result<(), String> {
        let tenant = |i: u32| helpers::json(config_json.as_bytes(), &format!("own.{i}"));
        // SAFETY: as in `own`.
        unsafe { OWN = (0..).map_while(tenant).collect() };
        Ok(())
    }
}

impl partitioner::Guest for Plugin {
    /// One partition a record, from 0.
    fn partition(b: &Batch, partitions: u32) -> Result<Vec<u32>, Failure> {
        let (ordering_keys, keys) = (b.ordering_keys(), b.keys());
        let reserved = own().len() as u32;
        let choose = |i| match get(&ordering_keys, i).or_else(|| get(&keys, i)) {
            Some(key) if partitions > reserved => match own().iter().position(|tenant| tenant == key) {
                Some(at) => at as u32,
                None => reserved + (helpers::murmur2(key) & 0x7fff_ffff) % (partitions - reserved),
            },
            _ => CLIENT_STANDS,
        };
        Ok((0..b.len() as usize).map(choose).collect())
    }
}

export!(Plugin);
