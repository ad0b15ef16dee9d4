//! The built-in partitioners: [`KeyHash`] (`key-hash`), [`RoundRobin`] (`round-robin`), [`Sticky`] (`sticky`).

mod key_hash;
mod round_robin;
mod sticky;

use watershed_hooks::PluginFactory;

pub use key_hash::{KeyHash, KeyHashFactory};
pub use round_robin::{RoundRobin, RoundRobinFactory};
pub use sticky::{STICKY_BATCH_BYTES_DEFAULT, Sticky, StickyFactory};
pub use watershed_hooks::murmur2;

/// Their factories.
pub(crate) fn factories() -> Vec<Box<dyn PluginFactory>> {
    vec![Box::new(KeyHashFactory), Box::new(RoundRobinFactory), Box::new(StickyFactory)]
}

#[cfg(test)]
mod tests;
