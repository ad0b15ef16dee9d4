//! What can be wrong with a request, as facts of the domain.
//!
//! The broker maps each variant to one of Kafka's error codes, in one place; the texts say what Kafka's say.

use watershed_model::{BrokerId, TopicId};

/// Why the controller did not do what was asked.
///
/// A variant is there for each answer that a client treats differently; the text tells a person the rest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControllerError {
    /// The request contradicts itself (INVALID_REQUEST).
    #[error("{0}")]
    InvalidRequest(String),
    /// The name is not one a topic may have, or collides with another's (INVALID_TOPIC_EXCEPTION).
    #[error("{0}")]
    InvalidTopic(String),
    /// A topic of this name exists (TOPIC_ALREADY_EXISTS).
    #[error("Topic '{0}' already exists.")]
    TopicAlreadyExists(String),
    /// No topic has this name (UNKNOWN_TOPIC_OR_PARTITION).
    #[error("The topic '{0}' does not exist.")]
    UnknownTopic(String),
    /// No topic has this id (UNKNOWN_TOPIC_ID).
    #[error("No topic has the id {0}.")]
    UnknownTopicId(TopicId),
    /// The number of partitions is not possible (INVALID_PARTITIONS).
    #[error("{0}")]
    InvalidPartitions(String),
    /// The number of replicas is not possible (INVALID_REPLICATION_FACTOR).
    #[error("{0}")]
    InvalidReplicationFactor(String),
    /// The replicas that were named are not possible (INVALID_REPLICA_ASSIGNMENT).
    #[error("{0}")]
    InvalidReplicaAssignment(String),
    /// A config does not exist, or its value is not allowed (INVALID_CONFIG).
    #[error("{0}")]
    InvalidConfig(String),
    /// The request is legal and too much (POLICY_VIOLATION).
    #[error("{0}")]
    PolicyViolation(String),
    /// The feature cannot be at this level (INVALID_UPDATE_VERSION).
    #[error("Invalid update version {level} for feature {feature}. {reason}")]
    InvalidUpdateVersion {
        /// The feature.
        feature: String,
        /// The level that was asked for.
        level: i16,
        /// What is wrong with it.
        reason: String,
    },
    /// No such broker is registered (BROKER_ID_NOT_REGISTERED).
    #[error("Broker {0} is not registered.")]
    UnknownBroker(BrokerId),
    /// The asking broker's registration was replaced by a newer process of it (STALE_BROKER_EPOCH).
    #[error("Broker {broker} asks with epoch {given}, its registration has epoch {known}.")]
    StaleBrokerEpoch {
        /// The broker.
        broker: BrokerId,
        /// The epoch in the request.
        given: i64,
        /// The epoch of the registration.
        known: i64,
    },
    /// All producer ids, or all epochs of a broker, were used up (UNKNOWN_SERVER_ERROR).
    #[error("{0} are used up.")]
    Exhausted(&'static str),
    /// Another node leads the quorum, or nobody does now (NOT_CONTROLLER): ask the leader, or try again.
    #[error("This node does not lead the metadata quorum; {}", whom(*.leader))]
    NotLeader {
        /// The node that does, if one is known.
        leader: Option<BrokerId>,
    },
    /// The controller stops or has stopped (the connection closes soon; clients retry elsewhere or later).
    #[error("The controller is shutting down.")]
    ShuttingDown,
    /// The metadata store failed and the process ends (KAFKA_STORAGE_ERROR). Whether the change was made shows
    /// after the next start.
    #[error("The metadata store failed: {0}")]
    StoreFailed(String),
}

fn whom(leader: Option<BrokerId>) -> String {
    leader.map_or_else(|| "no leader is known.".to_owned(), |id| format!("node {id} does."))
}
