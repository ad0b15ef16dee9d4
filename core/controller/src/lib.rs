//! The controller: who may change the metadata, by which rules, and how a change becomes permanent.
//!
//! Three layers, each with its own file:
//!
//! - [`Controller`] holds Kafka's rules: requests and an image in, records and replies out. Pure.
//! - `quorum` is the adapter to consensus: openraft over a log, a vote and snapshots in redb. One voter by
//!   default; nothing in it knows how many there are.
//! - [`ControllerHandle`] is what a broker holds: requests go through one task, so that each is judged by the
//!   newest image, and return when their records are on disk and applied.
//!
//! Invariants: a reply is given only after its records are committed and in [`ControllerHandle::image`]; a record
//! is applied in the order of the log on every node; a store that fails ends the process (see
//! [`ControllerHandle::failure`]), it never goes on with what it cannot keep.

mod controller;
mod error;
mod handle;
mod quorum;
mod requests;

pub use controller::{Controller, NewTopicId, Outcome, check_topic_name};
pub use error::ControllerError;
pub use handle::{ControllerHandle, ControllerOptions, QuorumInfo, ReplicaInfo};
pub use quorum::{NoPeers, OpenError, Peer, RaftTypes};
pub use requests::{
    ConfigOp, ConfigTarget, CreatePartitions, CreateTopic, CreatedTopic, DeletedTopic, FeatureUpdate, IncrementalAlter,
    ProducerIdBlock, RegisterBroker, ReplaceConfigs, TopicRef, UpgradeType,
};
