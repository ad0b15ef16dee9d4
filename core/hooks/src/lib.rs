//! The policy traits: what a plugin author compiles against.
//!
//! A hook is asked once for a *batch*, a *log*, a *group* or a *topic*, never once for a record or a partition. Here are the
//! hooks that have a caller; every other one comes with its caller. A function beside each trait asks an instance and checks
//! its answer.
//!
//! On records, [`Batch`] being what they see:
//! - [`Interceptor`]: which records enter a topic, and with which value and headers.
//! - [`OrderingKey`]: what defines the order of a record, in place of its key.
//! - [`Partitioner`]: which partition each record belongs to.
//! - [`FetchFilter`]: what a consumer sees of a topic.
//! - [`RecordRetention`]: which records a partition need not keep any longer.
//!
//! On other things:
//! - [`Retention`]: what a partition need not keep any longer; sees a [`LogSummary`].
//! - [`Assignor`]: which member of a consumer group gets which partition; sees a [`GroupSpec`].
//! - [`TopicPolicy`]: which topics there may be; sees a [`TopicChange`].
//!
//! [`PluginFactory`] says how a plugin is checked, made and let go; [`Settings`] is its configuration.
//!
//! [`murmur2`] is the hash by which Kafka's clients choose partitions.
//!
//! Absent by design: I/O, clocks, threads, and randomness other than [`Environment::random`].

mod assignor;
mod batch;
mod column;
mod factory;
mod failure;
mod group;
mod murmur2;
mod ordering_key;
mod partitioner;
mod reads;
mod record_retention;
mod retention;
mod topic_policy;
mod verdict;

pub use assignor::{Assignor, GroupAssignment, assign_group};
pub use batch::{Batch, Client, HeaderColumns, Pick, Place, Records};
pub use column::{Column, ColumnFull};
pub use factory::{CountSink, Environment, Hook, HookKind, LogLevel, LogSink, PluginError, PluginFactory, Settings};
pub use failure::{Failure, FaultKind};
pub use group::{GroupMember, GroupSpec, GroupTopic, TopicPartition, by_topic};
pub use murmur2::murmur2;
pub use ordering_key::{OrderingKey, order};
pub use partitioner::{Choice, Partitioner, assign};
pub use reads::{HeaderReads, Reads};
pub use record_retention::{RecordRetention, Stay, retain};
pub use retention::{LogSummary, Retention, SegmentSummary};
pub use topic_policy::{TopicAction, TopicChange, TopicPolicy, TopicVerdict};
pub use verdict::{FetchFilter, Header, Interceptor, Replacement, Verdict, Visibility, filter, intercept};
