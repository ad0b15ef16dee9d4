//! What the hosts of sandboxed plugins share, so that a Wasm component and a Luau script are the same thing to everybody else.
//!
//! - [`Manifest`]: what a plugin says of itself, and [`Manifest::check_settings`].
//! - [`PluginSource`] in, [`LoadedPlugin`] out: loading. [`Limits`] is what an instance may use.
//! - [`Watchdog`]: stops a call whose time is over.
//! - [`helpers`]: the pure functions that plugins may call.
//! - [`log_line`]: what a plugin may write into the broker's log.
//! - `conformance`, with the feature of that name: the fixtures that keep hosts from drifting apart.
//!
//! Absent: any engine, and what happens when a plugin fails; that is the broker's policy layer.

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod helpers;
mod json;
mod limits;
mod load;
mod log;
mod manifest;
mod watchdog;

pub use limits::{LimitError, Limits};
pub use load::{LoadError, LoadedPlugin, PluginSource};
pub use log::{LOG_LINE_BYTES_MAX, log_line};
pub use manifest::{API_VERSION, COUNTERS_MAX, Manifest, ManifestError};
pub use watchdog::{Watch, Watchdog};
