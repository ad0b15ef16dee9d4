//! Tenants with a contract have partitions of their own, the others share the rest: the tenant is what stands before the `/` in
//! a record's key (`acme/order-17`), and all of a tenant's records with one key are in one partition.

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

wit_bindgen::generate!({ world: "partitioner-plugin", path: "../../../plugins/wasm/wit" });

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

const MANIFEST: &str = r#"{
    "name": "tenant-partitioner",
    "version": "1.0.0",
    "api": 1,
    "reads": ["keys"],
    "deterministic": true,
    "config_schema": {
        "type": "object",
        "properties": {
            "tenants": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "partitions": {"type": "integer", "minimum": 1}},
                    "required": ["name", "partitions"],
                    "additionalProperties": false
                }
            }
        },
        "required": ["tenants"],
        "additionalProperties": false
    }
}"#;

/// What a partitioner says where the client's choice stands.
const CLIENT_STANDS: u32 = u32::MAX;

/// The partitions of a tenant: the first, and how many.
struct Own {
    tenant: Vec<u8>,
    first: u32,
    count: u32,
}

/// The tenants with partitions of their own, in the order of these. An instance runs one call at a time.
static mut OWN: Vec<Own> = Vec::new();

fn own() -> &'static [Own] {
    // SAFETY: it is set by `init` only, before any hook is called, and there are no threads.
    unsafe { &*&raw const OWN }
}

struct Plugin;

impl lifecycle::Guest for Plugin {
    fn describe() -> String {
        MANIFEST.to_owned()
    }

    fn init(config_json: String) -> Result<(), String> {
        let setting = |path: String| helpers::json(config_json.as_bytes(), &path);
        let mut all = Vec::new();
        let mut first = 0;
        while let Some(tenant) = setting(format!("tenants.{}.name", all.len())) {
            let count = setting(format!("tenants.{}.partitions", all.len()));
            let count = count.and_then(|count| core::str::from_utf8(&count).ok()?.parse::<u32>().ok());
            let count = count.ok_or_else(|| format!("tenant {} has no number of partitions", all.len()))?;
            all.push(Own { tenant, first, count });
            first = u32::checked_add(first, count).ok_or("there are too many partitions")?;
        }
        // SAFETY: as in `own`.
        unsafe { OWN = all };
        Ok(())
    }
}

/// The partition for a key; the client's choice where there are too few partitions for the tenants.
fn choose(key: &[u8], partitions: u32) -> u32 {
    let tenant = key.split(|byte| *byte == b'/').next().unwrap_or_default();
    let hash = helpers::murmur2(key) & 0x7fff_ffff;
    let shared_from = own().last().map_or(0, |last| last.first + last.count);
    if partitions <= shared_from {
        return CLIENT_STANDS;
    }
    match own().iter().find(|own| own.tenant == tenant) {
        Some(own) => own.first + hash % own.count,
        None => shared_from + hash % (partitions - shared_from),
    }
}

impl partitioner::Guest for Plugin {
    fn partition(b: &Batch, partitions: u32) -> Result<Vec<u32>, Failure> {
        let keys = b.keys();
        let choice = |i| get(&keys, i).map_or(CLIENT_STANDS, |key| choose(key, partitions));
        Ok((0..keys.ends.len()).map(choice).collect())
    }
}

export!(Plugin);
