//! The configuration: one file, the environment and the command line, checked as a whole before anything starts.
//!
//! [`load`] reads `watershed.toml`, then `WATERSHED__A__B` variables, then `--set a.b=value`, each stronger than the
//! one before, and either gives a [`Loaded`] that is valid in every respect or all problems at once, each with its
//! place, what is expected and the nearest known name.
//!
//! How it works: every layer becomes a tree of values that know their place (`node.rs`); the tree is checked against
//! the shape that the types themselves state (`schema.rs`, `types.rs`, `check.rs`), strictly, with Kafka's settings
//! checked against their table; what remains goes through the `config` crate and serde into [`Config`]
//! (`layers.rs`); last come the combinations (`validate.rs`). The documentation in `docs/config.md` is generated from
//! the same shapes (`docs.rs`). Topics declared in the file are compared with those that exist in `topics.rs`.
//!
//! Invariant: nothing here opens a socket, a directory or a file other than the configuration file.

mod check;
pub mod docs;
mod layers;
mod node;
mod problem;
mod schema;
#[cfg(test)]
mod tests;
mod topics;
mod types;
mod validate;

pub use layers::{DEFAULT_FILE, ENV_PREFIX, Effective, Inputs, Loaded, load};
pub use problem::{ConfigProblems, Place, PluginProblem, Problem};
pub use topics::{TopicAction, TopicProblem, reconcile_topics};
pub use types::{
    AssignmentSetting, Bounded, Config, DeclaredTopic, Disk, FlushSetting, GroupTable, HostPort, Http, KafkaSettings,
    Limits, Listener, Log, LogFormat, Memory, Metrics, PluginLimits, PluginSettings, PluginTable, Storage,
    TopicSettings,
};
pub use validate::OnErrorSetting;
