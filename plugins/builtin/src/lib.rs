//! The built-in policies, written against `watershed-hooks` only, like anyone else's.
//!
//! - [`partitioners`]: `key-hash`, `round-robin`, `sticky`.
//! - [`assignors`]: `range`, `uniform`, `round-robin`, `sticky`.
//!
//! [`factories`] lists their factories. Their names are reserved; a name is unique within a hook only.

pub mod assignors;
pub mod partitioners;
mod settings;

use watershed_hooks::PluginFactory;

/// The factories of all built-in plugins.
#[must_use]
pub fn factories() -> Vec<Box<dyn PluginFactory>> {
    partitioners::factories().into_iter().chain(assignors::factories()).collect()
}
