//! Domain errors become error codes here and nowhere else. No `_` arm: a new error must be thought about.

use watershed_controller::ControllerError;
use watershed_log::LogError;
use watershed_protocol::ErrorCode;
use watershed_storage::StorageError;

/// The code for a refused or failed call on a log.
pub(crate) fn log_code(error: &LogError) -> ErrorCode {
    match error {
        LogError::Corrupt(_) => ErrorCode::CorruptMessage,
        LogError::NotOneBatch(_) | LogError::InvalidRecord { .. } => ErrorCode::InvalidRecord,
        LogError::InvalidTimestamp { .. } => ErrorCode::InvalidTimestamp,
        LogError::TooLarge { .. } => ErrorCode::MessageTooLarge,
        LogError::LargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
        LogError::UnsupportedCompression(_) => ErrorCode::UnsupportedCompressionType,
        LogError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        LogError::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        LogError::InvalidTxnState { .. } => ErrorCode::InvalidTxnState,
        LogError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        LogError::StaleLeaderEpoch { .. } => ErrorCode::FencedLeaderEpoch,
        LogError::Diverted => ErrorCode::NotEnoughReplicas,
        LogError::Policy(_) => ErrorCode::PolicyViolation,
        LogError::Storage(error) => storage_code(error),
    }
}

/// The code for a failed storage call.
///
/// No room is NOT_ENOUGH_REPLICAS: every client retries it, and service resumes by itself when there is room.
pub(crate) fn storage_code(error: &StorageError) -> ErrorCode {
    match error {
        StorageError::Full { .. } => ErrorCode::NotEnoughReplicas,
        StorageError::Offline { .. } | StorageError::Corrupt { .. } | StorageError::Io { .. } => {
            ErrorCode::KafkaStorageError
        }
        StorageError::Gone | StorageError::Truncated => ErrorCode::NotLeaderOrFollower,
        StorageError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        StorageError::Invalid(_) => ErrorCode::UnknownServerError,
    }
}

/// The code for a failed read of records.
///
/// Damaged records are CORRUPT_MESSAGE: consumers raise it, so that somebody decides to go on behind the damage, where
/// KAFKA_STORAGE_ERROR would be retried for ever.
pub(crate) fn read_code(error: &StorageError) -> ErrorCode {
    if matches!(error, StorageError::Corrupt { .. }) { ErrorCode::CorruptMessage } else { storage_code(error) }
}

/// The code for a request that the controller refused.
pub(crate) fn controller_code(error: &ControllerError) -> ErrorCode {
    match error {
        ControllerError::InvalidRequest(_) => ErrorCode::InvalidRequest,
        ControllerError::InvalidTopic(_) => ErrorCode::InvalidTopicException,
        ControllerError::TopicAlreadyExists(_) => ErrorCode::TopicAlreadyExists,
        ControllerError::UnknownTopic(_) => ErrorCode::UnknownTopicOrPartition,
        ControllerError::UnknownTopicId(_) => ErrorCode::UnknownTopicId,
        ControllerError::InvalidPartitions(_) => ErrorCode::InvalidPartitions,
        ControllerError::InvalidReplicationFactor(_) => ErrorCode::InvalidReplicationFactor,
        ControllerError::InvalidReplicaAssignment(_) => ErrorCode::InvalidReplicaAssignment,
        ControllerError::InvalidConfig(_) => ErrorCode::InvalidConfig,
        ControllerError::PolicyViolation(_) => ErrorCode::PolicyViolation,
        ControllerError::InvalidUpdateVersion { .. } => ErrorCode::InvalidUpdateVersion,
        ControllerError::UnknownBroker(_) => ErrorCode::BrokerIdNotRegistered,
        ControllerError::StaleBrokerEpoch { .. } => ErrorCode::StaleBrokerEpoch,
        ControllerError::Exhausted(_) => ErrorCode::UnknownServerError,
        ControllerError::NotLeader { .. } => ErrorCode::NotController,
        ControllerError::ShuttingDown => ErrorCode::NotController,
        ControllerError::StoreFailed(_) => ErrorCode::KafkaStorageError,
    }
}

/// What a group's client is told of an error of the coordinator's own log (Kafka's mapping): a code that makes it try again, or look
/// for the coordinator again.
pub(crate) fn coordinator_code(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::RecordListTooLarge | ErrorCode::MessageTooLarge => ErrorCode::UnknownServerError,
        other => other,
    }
}
