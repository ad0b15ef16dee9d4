//! The policy traits: what a plugin author compiles against.
//!
//! A hook is asked once for a *batch* or a *group*, never once for a record or a partition. Here are the hooks that have a
//! caller; every other one comes with its caller.
//!
//! - [`Partitioner`]: which partition each record of a batch belongs to. [`assign`] asks one and checks its answer.
//!   [`Batch`] and [`Column`] are what it sees.
//! - [`Assignor`]: which member of a consumer group gets which partition. [`assign_group`] asks one and checks its answer.
//!   [`GroupSpec`] is what it sees.
//! - [`PluginFactory`]: how a plugin is checked, made and let go; [`Settings`] is its configuration.
//!
//! Absent by design: I/O, clocks, threads, and randomness other than [`Environment::random`].

mod assignor;
mod batch;
mod factory;
mod failure;
mod group;
mod partitioner;

pub use assignor::{Assignor, GroupAssignment, assign_group};
pub use batch::{Batch, Column, ColumnFull};
pub use factory::{Environment, Hook, HookKind, PluginError, PluginFactory, Settings};
pub use failure::Failure;
pub use group::{GroupMember, GroupSpec, GroupTopic, TopicPartition, by_topic};
pub use partitioner::{Choice, Partitioner, assign};
