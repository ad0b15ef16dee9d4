//! What several crates' tests share; no other code depends on it.
//!
//! - [`FaultyStorage`] wraps any backend and misbehaves on command: errors, unripe tickets, slow reads, no space, a dead
//!   device.
//! - [`golden`] runs text scripts: commands, and the output that each must give.
//!
//! Time in tests is `watershed_model::ManualClock`; nothing here has a clock of its own.

mod faults;
mod faulty;
pub mod golden;

pub use faults::{Faults, Op};
pub use faulty::FaultyStorage;

#[cfg(test)]
mod tests;
