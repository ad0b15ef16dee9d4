//! The records: each is one change to the metadata.
//!
//! They are persisted, so a number that stands here (`#[n(..)]`) keeps its meaning for ever: new records and new
//! fields take new numbers, and a new field must be an `Option` (or have a default) so that old batches still
//! read. An unknown *record* is an error, since skipping a change would make replicas differ; an unknown *field*
//! of a known record is skipped.

use minicbor::{Decode, Encode};
use watershed_model::{BrokerId, ClusterId, LeaderEpoch, Offset, ProducerId, TopicId, TopicIdPartition};

use crate::FeatureRange;
use crate::codec::cbor;

/// One change to the metadata.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum MetadataRecord {
    /// The cluster came into being. The first record of every cluster.
    #[n(0)]
    ClusterCreated {
        /// The cluster's identity.
        #[cbor(n(0), with = "cbor::id")]
        cluster_id: ClusterId,
    },
    /// The cluster runs at this level of a feature (KIP-584).
    #[n(1)]
    FeatureFinalized {
        /// The feature.
        #[n(0)]
        name: String,
        /// The level; zero removes the feature from the list of finalized ones.
        #[n(1)]
        level: i16,
    },
    /// A broker says who it is. Replaces what was known of a broker with the same id.
    #[n(2)]
    BrokerRegistered(#[n(0)] BrokerRegistered),
    /// A broker process started: every partition it leads gets a higher leader epoch.
    ///
    /// One record does that for any number of partitions. The image keeps this count per broker and stores a
    /// partition's epoch relative to it (see `image/partitions.rs`).
    #[n(3)]
    BrokerStarted {
        /// The broker.
        #[cbor(n(0), with = "cbor::broker")]
        broker: BrokerId,
        /// How many times it has started, this one included. Must be higher than before.
        #[n(1)]
        starts: i32,
    },
    /// A topic and its first partitions.
    #[n(4)]
    TopicCreated {
        /// The new topic's identity.
        #[cbor(n(0), with = "cbor::id")]
        topic: TopicId,
        /// Its name: unique among the topics that exist.
        #[n(1)]
        name: String,
        /// Partitions 0, 1, 2… in runs of equal ones.
        #[n(2)]
        partitions: Vec<PartitionRun>,
    },
    /// More partitions of an existing topic.
    #[n(5)]
    PartitionsAdded {
        /// The topic.
        #[cbor(n(0), with = "cbor::id")]
        topic: TopicId,
        /// The number of the first new partition: the count the topic had before.
        #[n(1)]
        first: i32,
        /// The new partitions, in runs of equal ones.
        #[n(2)]
        partitions: Vec<PartitionRun>,
    },
    /// A topic is gone, with its partitions, configs and offset reservations.
    #[n(6)]
    TopicDeleted {
        /// The topic.
        #[cbor(n(0), with = "cbor::id")]
        topic: TopicId,
    },
    /// A config was set, or removed so that its default holds again.
    #[n(7)]
    ConfigChanged {
        /// Whose config.
        #[n(0)]
        resource: ConfigResource,
        /// The config's name.
        #[n(1)]
        name: String,
        /// The new value; `None` removes it.
        #[n(2)]
        value: Option<String>,
    },
    /// Producer ids below `next` belong to brokers; the next block starts there (KIP-730).
    #[n(8)]
    ProducerIdsAllocated {
        /// The broker that got the block which ends at `next`.
        #[cbor(n(0), with = "cbor::broker")]
        broker: BrokerId,
        /// The first producer id that nobody owns yet.
        #[cbor(n(1), with = "cbor::producer_id")]
        next: ProducerId,
    },
    /// Offsets of a partition in volatile storage may have been given out below `until`: after a restart its log
    /// goes on from there, so that no offset ever names two records.
    #[n(9)]
    OffsetsReserved {
        /// The topic.
        #[cbor(n(0), with = "cbor::id")]
        topic: TopicId,
        /// The partition's number.
        #[n(1)]
        partition: i32,
        /// The first offset that was certainly not given out.
        #[cbor(n(2), with = "cbor::offset")]
        until: Offset,
    },
}

impl MetadataRecord {
    /// The record that reserves the offsets of `tp` below `until`.
    #[must_use]
    pub const fn offsets_reserved(tp: TopicIdPartition, until: Offset) -> Self {
        Self::OffsetsReserved { topic: tp.topic, partition: tp.partition, until }
    }
}

/// A broker, as it registers itself.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BrokerRegistered {
    /// Its number (`node.id`).
    #[cbor(n(0), with = "cbor::broker")]
    pub broker: BrokerId,
    /// Random, new for each process: tells a restart from a repeated registration.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub incarnation: [u8; 16],
    /// Where clients and other brokers reach it.
    #[n(2)]
    pub listeners: Vec<Endpoint>,
    /// Its rack (`broker.rack`).
    #[n(3)]
    pub rack: Option<String>,
    /// The feature levels it can run at.
    #[n(4)]
    pub features: Vec<FeatureRange>,
}

/// One listener of a broker, with its advertised address.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Endpoint {
    /// The listener's name.
    #[n(0)]
    pub name: String,
    /// The advertised host name or address.
    #[n(1)]
    pub host: String,
    /// The advertised port.
    #[n(2)]
    pub port: u16,
    /// What is spoken there.
    #[n(3)]
    pub security_protocol: SecurityProtocol,
}

/// What a listener speaks below Kafka's protocol. The numbers are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum SecurityProtocol {
    /// Neither TLS nor SASL.
    #[n(0)]
    Plaintext,
    /// TLS.
    #[n(1)]
    Ssl,
    /// SASL without TLS.
    #[n(2)]
    SaslPlaintext,
    /// SASL over TLS.
    #[n(3)]
    SaslSsl,
}

/// Whose config it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum ConfigResource {
    /// A topic, by its id: a new topic of the same name starts without them.
    #[n(0)]
    Topic(#[cbor(n(0), with = "cbor::id")] TopicId),
    /// One broker.
    #[n(1)]
    Broker(#[cbor(n(0), with = "cbor::broker")] BrokerId),
    /// All brokers: what a broker without its own value uses.
    #[n(2)]
    BrokerDefault,
    /// A group, by its id, whether there is such a group or not (KIP-848).
    #[n(3)]
    Group(#[n(0)] String),
}

/// Consecutive partitions that are alike.
///
/// A topic of ten thousand partitions on one broker is one run.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PartitionRun {
    /// How many, at least one.
    #[n(0)]
    pub count: u32,
    /// The brokers that hold them, the preferred leader first.
    #[cbor(n(1), with = "cbor::brokers")]
    pub replicas: Vec<BrokerId>,
    /// The replicas in sync; `None` where that is all of them.
    #[cbor(n(2), with = "cbor::brokers_or_none")]
    pub isr: Option<Vec<BrokerId>>,
    /// The leader.
    #[cbor(n(3), with = "cbor::broker")]
    pub leader: BrokerId,
    /// The leader epoch at the moment of this record.
    #[cbor(n(4), with = "cbor::epoch")]
    pub leader_epoch: LeaderEpoch,
}
