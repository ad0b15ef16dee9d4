//! What a consumer sees: everybody but the clients of one team gets values without e-mail addresses. What is stored stays.

#![no_std]

extern crate alloc;

mod columns;

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use columns::{Builder, get, no_headers};
use exports::watershed::plugin::{fetch_filter, lifecycle};
use watershed::plugin::helpers;
use watershed::plugin::types::{Batch, Failure};

wit_bindgen::generate!({ world: "fetch-filter-plugin", path: "wit" });

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
        "properties": {"trusted": {"type": "string"}},
        "additionalProperties": false
    }
}"#;

/// The setting `trusted`. An instance runs one call at a time.
static mut TRUSTED: String = String::new();

fn trusted() -> &'static str {
    // SAFETY: it is set by `init` only, before any hook is called, and there are no threads.
    unsafe { &*&raw const TRUSTED }
}

struct Plugin;

impl lifecycle::Guest for Plugin {
    fn describe() -> String {
        MANIFEST.to_owned()
    }

    /// To refuse the settings, it answers with an error.
    fn init(config_json: String) -> Result<(), String> {
        let given = helpers::json(config_json.as_bytes(), "trusted").unwrap_or_else(|| b"billing-".to_vec());
        let given = String::from_utf8(given).map_err(|_| "trusted is no text")?;
        // SAFETY: as in `trusted`.
        unsafe { TRUSTED = given };
        Ok(())
    }
}

const SHOW: u8 = 0;
const REDACT: u8 = 2;

/// A value without its addresses; `None` where there are none.
fn masked(value: &[u8]) -> Option<Vec<u8>> {
    let of_host = |byte: &u8| byte.is_ascii_alphanumeric() || b".-".contains(byte);
    let of_user = |byte: &u8| of_host(byte) || b"_+".contains(byte);
    let (mut out, mut done, mut at) = (Vec::new(), 0, 0);
    while at < value.len() {
        let users = value[done..at].iter().rev().take_while(|byte| of_user(byte)).count();
        let hosts = value[at + 1..].iter().take_while(|byte| of_host(byte)).count();
        if value[at] == b'@' && users > 0 && hosts > 0 {
            out.extend_from_slice(&value[done..at - users]);
            out.extend_from_slice(b"***");
            at += hosts;
            done = at + 1;
        }
        at += 1;
    }
    out.extend_from_slice(&value[done..]);
    (done > 0).then_some(out)
}

impl fetch_filter::Guest for Plugin {
    /// One code a record, and a value for each that is shown with another one.
    fn filter(b: &Batch) -> Result<fetch_filter::Answer, Failure> {
        if b.client().client_id.starts_with(trusted()) {
            return Ok(fetch_filter::Answer::ShowAll);
        }
        let values = b.values();
        let (mut codes, mut redacted) = (Vec::new(), Builder::default());
        for i in 0..values.ends.len() {
            match get(&values, i).and_then(masked) {
                None => codes.push(SHOW),
                Some(new) => {
                    codes.push(REDACT);
                    redacted.push(Some(&new));
                }
            }
        }
        if codes.iter().all(|code| *code == SHOW) {
            return Ok(fetch_filter::Answer::ShowAll);
        }
        let (values, headers) = (redacted.finish(), no_headers());
        Ok(fetch_filter::Answer::Each(fetch_filter::Visibilities { codes, values, headers }))
    }
}

export!(Plugin);
