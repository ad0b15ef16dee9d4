//! What defines the order of a record: a field of its JSON value, in place of its key.

#![no_std]

extern crate alloc;

use alloc::borrow::ToOwned;
use alloc::string::String;

use exports::watershed::plugin::{lifecycle, ordering_key};
use watershed::plugin::helpers;
use watershed::plugin::types::{Batch, Column, Failure};

wit_bindgen::generate!({ world: "ordering-key-plugin", path: "wit" });

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
    "reads": ["values"],
    "config_schema": {
        "type": "object",
        "properties": {"field": {"type": "string"}},
        "additionalProperties": false
    }
}"#;

/// The setting `field`. An instance runs one call at a time.
static mut FIELD: String = String::new();

fn field() -> &'static str {
    // SAFETY: it is set by `init` only, before any hook is called, and there are no threads.
    unsafe { &*&raw const FIELD }
}

struct Plugin;

impl lifecycle::Guest for Plugin {
    fn describe() -> String {
        MANIFEST.to_owned()
    }

    /// To refuse the settings, it answers with an error.
    fn init(config_json: String) -> Result<(), String> {
        let given = helpers::json(config_json.as_bytes(), "field").unwrap_or_else(|| b"tenant".to_vec());
        let given = String::from_utf8(given).map_err(|_| "field is no text")?;
        // SAFETY: as in `field`.
        unsafe { FIELD = given };
        Ok(())
    }
}

impl ordering_key::Guest for Plugin {
    /// One ordering key a record; where it is null, the record's key stands.
    fn ordering_keys(b: &Batch) -> Result<Column, Failure> {
        Ok(b.value_fields(field()))
    }
}

export!(Plugin);
