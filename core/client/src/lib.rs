//! A small Kafka client: connections, metadata, producing, fetching by assignment, administration.
//!
//! It is the only one in the house: the command line, followers that fetch and brokers that talk to brokers all use it, and
//! it works against any Kafka broker whose versions overlap ours.
//!
//! - [`Connection`]: one TCP connection; pipelines requests, negotiates versions, answers in order.
//! - [`Client`]: brokers and topics as the cluster describes them, one connection per broker and [`Lane`], retries.
//! - [`Producer`]: batches per partition, compression, acks, idempotence.
//! - [`Consumer`]: fetches the partitions it is assigned.
//! - [`Admin`]: topics, configs, records, offsets, groups, log directories.
//!
//! Invariants:
//! - A broker's bytes never cause a panic, nor an allocation that was merely claimed.
//! - What waits is bounded in bytes: requests in flight per connection, records not yet delivered per producer, records
//!   fetched and not yet taken per consumer.
//! - An error names the broker, the API and what to do; whether it is worth another try is [`ClientError::is_retriable`].
//! - Wall-clock time is only read through [`watershed_model::Clock`]; timeouts use the runtime's timer.

mod admin;
mod backoff;
mod client;
mod config;
mod connection;
mod consumer;
mod error;
mod metadata;
mod producer;

pub use admin::{
    Admin, AlterOp, ClusterDescription, ConfigEntry, ConfigResource, ConfigSource, GroupDescription, GroupMember,
    GroupOffset, ListedGroup, LogDir, LogDirReplica, NewTopic, OffsetAt, OffsetSpec,
};
pub use backoff::Backoff;
pub use client::{Client, Lane};
pub use config::{ClientConfig, ConnectionOptions};
pub use connection::{Connection, Reply};
pub use consumer::{Consumer, ConsumerConfig, Fetched, IsolationLevel, OffsetReset};
pub use error::ClientError;
pub use metadata::{Metadata, Node, PartitionMetadata, TopicMetadata};
pub use producer::{Acks, Delivered, Delivery, Producer, ProducerConfig, ProducerRecord};
