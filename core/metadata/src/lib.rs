//! The cluster's metadata: records, and the image that applying them gives.
//!
//! Topics, partitions, configs, brokers, feature levels and the blocks of ids and offsets that were handed out
//! are one state machine. A [`MetadataRecord`] is one change, a batch of them is what the quorum commits
//! ([`encode_batch`], [`decode_batch`]), and a [`MetadataImage`] is the state after a batch: immutable, cheap to
//! clone, shared by everyone who reads. A [`MetadataDelta`] names what a batch changed, for brokers that react.
//!
//! Invariants: no I/O, no clock, no randomness here; a record's number and its fields' numbers never change
//! meaning; bytes that are not a batch are an error, never a panic; equal records give equal images; a
//! partition's leader epoch never falls for one topic id.
//!
//! Where next: `record.rs` for the vocabulary, `image.rs` for reading, `image/apply.rs` for what records do.
//! What may be asked for, and which records answer it, is `core/controller`.

mod codec;
pub mod configs;
mod delta;
mod features;
mod image;
mod internal;
mod record;

pub use codec::{CodecError, decode_batch, encode_batch, encode_chunks};
pub use delta::{Change, MetadataDelta};
pub use features::{FeatureRange, METADATA_VERSION, METADATA_VERSION_LEVEL, supported_features};
pub use image::{ApplyError, Broker, ConfigMap, MetadataImage, Partition, Topic};
pub use internal::{OFFSETS_TOPIC, SHARE_STATE_TOPIC, TRANSACTIONS_TOPIC, is_internal_topic};
pub use record::{BrokerRegistered, ConfigResource, Endpoint, MetadataRecord, PartitionRun, SecurityProtocol};
