//! The built-in policies, written against `watershed-hooks` only, like anyone else's.
//!
//! Partitioners: [`KeyHash`] (`key-hash`), [`RoundRobin`] (`round-robin`), [`Sticky`] (`sticky`). Their factories are
//! listed by [`factories`]; their names are reserved.

mod key_hash;
mod murmur2;
mod round_robin;
mod settings;
mod sticky;

use watershed_hooks::PluginFactory;

pub use key_hash::{KeyHash, KeyHashFactory};
pub use murmur2::murmur2;
pub use round_robin::{RoundRobin, RoundRobinFactory};
pub use sticky::{STICKY_BATCH_BYTES_DEFAULT, Sticky, StickyFactory};

/// The factories of all built-in plugins.
#[must_use]
pub fn factories() -> Vec<Box<dyn PluginFactory>> {
    vec![Box::new(KeyHashFactory), Box::new(RoundRobinFactory), Box::new(StickyFactory)]
}

#[cfg(test)]
mod tests;
