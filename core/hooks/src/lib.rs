//! The policy traits: what a plugin author compiles against.
//!
//! A hook is asked once for a *batch*, never once for a record, and sees it as packed columns. This first cut holds the
//! hook that has a caller, the [`Partitioner`]; every other one comes with its caller.
//!
//! - [`Partitioner`]: which partition each record of a batch belongs to. [`assign`] asks one and checks its answer.
//! - [`Batch`] and [`Column`]: what it sees.
//! - [`PluginFactory`]: how a plugin is checked, made and let go; [`Settings`] is its configuration.
//!
//! Absent by design: I/O, clocks, threads, and randomness other than [`Environment::random`].

mod batch;
mod factory;
mod partitioner;

pub use batch::{Batch, Column, ColumnFull};
pub use factory::{Environment, Hook, PluginError, PluginFactory, Settings};
pub use partitioner::{Choice, Failure, Partitioner, assign};
