//! What can be asked of the controller, and what it answers.
//!
//! These are the admin APIs' requests without their wire form. Replies to a list come in the list's order.

use watershed_metadata::configs::GroupSettings;
use watershed_metadata::{Endpoint, FeatureRange, OFFSETS_TOPIC};
use watershed_model::{BrokerId, ProducerId, TopicId};

/// A topic to create (CreateTopics, and auto-creation).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateTopic {
    /// The name.
    pub name: String,
    /// How many partitions; -1 for the broker's default, or where `assignments` says it.
    pub partitions: i32,
    /// How many replicas of each; -1 for the broker's default, or where `assignments` says it.
    pub replication_factor: i16,
    /// Which brokers hold which partition. Empty: the controller chooses.
    pub assignments: Vec<(i32, Vec<BrokerId>)>,
    /// Configs to set. A null value is an error, as in Kafka.
    pub configs: Vec<(String, Option<String>)>,
}

impl CreateTopic {
    /// The topic in which groups keep their state, as Kafka creates it; with as many replicas as the settings want
    /// and `brokers` can hold.
    #[must_use]
    pub fn group_metadata(settings: &GroupSettings, brokers: usize) -> Self {
        let config = |name: &str, value: String| (name.to_owned(), Some(value));
        let brokers = i16::try_from(brokers).unwrap_or(i16::MAX).max(1);
        Self {
            name: OFFSETS_TOPIC.to_owned(),
            partitions: settings.offsets_topic_partitions,
            replication_factor: settings.offsets_topic_replication_factor.min(brokers),
            assignments: Vec::new(),
            configs: vec![
                config("cleanup.policy", "compact".to_owned()),
                config("compression.type", "producer".to_owned()),
                config("segment.bytes", settings.offsets_topic_segment_bytes.to_string()),
            ],
        }
    }

    /// A topic with the broker's default number of partitions and replicas.
    #[must_use]
    pub fn with_defaults(name: impl Into<String>) -> Self {
        Self { name: name.into(), partitions: -1, replication_factor: -1, ..Self::default() }
    }
}

/// A topic that was created, or would have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// The new topic's identity.
    pub topic: TopicId,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many replicas each has.
    pub replication_factor: i16,
}

/// A topic, by one of its two names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicRef {
    /// By name.
    Name(String),
    /// By id.
    Id(TopicId),
}

/// A topic that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTopic {
    /// Its identity.
    pub topic: TopicId,
    /// Its name.
    pub name: String,
}

/// More partitions for a topic (CreatePartitions).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatePartitions {
    /// The topic.
    pub name: String,
    /// How many partitions it shall have in all.
    pub count: i32,
    /// Which brokers hold the new ones, in order; `None`: the controller chooses.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

/// Whose configs change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigTarget {
    /// A topic, by name.
    Topic(String),
    /// One broker.
    Broker(BrokerId),
    /// All brokers: what one without its own value uses.
    BrokerDefault,
    /// A group, by its id, whether there is such a group or not.
    Group(String),
}

/// What happens to one config (IncrementalAlterConfigs, KIP-339).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigOp {
    /// It gets this value.
    Set(String),
    /// It goes back to its default.
    Delete,
    /// These items, separated by commas, join the list that it is.
    Append(String),
    /// These items, separated by commas, leave the list that it is.
    Subtract(String),
}

/// Changes to one resource's configs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncrementalAlter {
    /// Whose.
    pub target: ConfigTarget,
    /// What happens to each.
    pub ops: Vec<(String, ConfigOp)>,
}

/// All of one resource's configs (AlterConfigs): what is not named goes back to its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplaceConfigs {
    /// Whose.
    pub target: ConfigTarget,
    /// The values. A null value is an error, as in Kafka.
    pub configs: Vec<(String, Option<String>)>,
}

/// Which way a feature's level may move (UpdateFeatures, KIP-584). The numbers are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeType {
    /// 1: only up.
    Upgrade,
    /// 2: down, if nothing is lost by it.
    SafeDowngrade,
    /// 3: down, whatever is lost.
    UnsafeDowngrade,
    /// Any other number.
    Unknown,
}

impl UpgradeType {
    /// The type that a number in a request stands for.
    #[must_use]
    pub fn from_code(code: i8) -> Self {
        match code {
            1 => Self::Upgrade,
            2 => Self::SafeDowngrade,
            3 => Self::UnsafeDowngrade,
            _ => Self::Unknown,
        }
    }
}

/// A new level of a feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureUpdate {
    /// The feature.
    pub feature: String,
    /// The level; zero turns it off.
    pub level: i16,
    /// Which way it may move.
    pub upgrade_type: UpgradeType,
}

/// A broker's word about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterBroker {
    /// Its number.
    pub broker: BrokerId,
    /// Random, new for each process.
    pub incarnation: [u8; 16],
    /// Where it is reached.
    pub listeners: Vec<Endpoint>,
    /// Its rack.
    pub rack: Option<String>,
    /// The feature levels it can run at.
    pub features: Vec<FeatureRange>,
}

/// Consecutive producer ids that belong to one broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// The first one.
    pub first: ProducerId,
    /// How many there are.
    pub len: i32,
}
