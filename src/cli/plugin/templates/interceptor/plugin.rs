//! What enters a topic: records whose JSON value lacks a field are refused.

#![no_std]

extern crate alloc;

mod columns;

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::{format, vec::Vec};

use columns::{Builder, get, no_headers};
use exports::watershed::plugin::{interceptor, lifecycle};
use watershed::plugin::helpers;
use watershed::plugin::types::{Batch, Failure};

wit_bindgen::generate!({ world: "interceptor-plugin", path: "wit" });

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

const KEEP: u8 = 0;
const REJECT: u8 = 2;

impl interceptor::Guest for Plugin {
    /// One code a record, and a reason for each that is refused.
    fn intercept(b: &Batch) -> Result<interceptor::Answer, Failure> {
        let (fields, reason) = (b.value_fields(field()), format!("the value has no field {}", field()));
        let (mut codes, mut reasons) = (Vec::new(), Builder::default());
        for i in 0..b.len() as usize {
            if get(&fields, i).is_some() {
                codes.push(KEEP);
            } else {
                codes.push(REJECT);
                reasons.push(Some(reason.as_bytes()));
            }
        }
        if codes.iter().all(|code| *code == KEEP) {
            return Ok(interceptor::Answer::KeepAll);
        }
        let (reasons, values) = (reasons.finish(), Builder::default().finish());
        Ok(interceptor::Answer::Each(interceptor::Verdicts { codes, reasons, values, headers: no_headers() }))
    }
}

export!(Plugin);
