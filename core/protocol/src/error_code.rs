//! Kafka's error codes, with texts of our own.
//!
//! `retriable` says what Kafka's clients do with a code: try again by themselves, or give it to the application.

use std::fmt;

macro_rules! errors {
    ($($(#[$meta:meta])? $name:ident = $code:literal, $kafka:literal, $retry:ident, $message:literal;)*) => {
        /// An error as the protocol carries it: all of Kafka 4.2's.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ErrorCode {
            $(
                $(#[$meta])?
                #[doc = concat!("`", $kafka, "`: ", $message, ".")]
                $name = $code,
            )*
        }

        impl ErrorCode {
            /// All of them, by number.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Kafka's name, such as `NOT_LEADER_OR_FOLLOWER`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $kafka,)*
                }
            }

            /// What it means, in a few words without a full stop.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self {
                    $(Self::$name => $message,)*
                }
            }

            /// Whether clients try again by themselves.
            #[must_use]
            pub const fn is_retriable(self) -> bool {
                match self {
                    $(Self::$name => retry!($retry),)*
                }
            }

            /// The error with this number, if there is one.
            #[must_use]
            pub const fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

macro_rules! retry {
    (retriable) => {
        true
    };
    (final) => {
        false
    };
}

errors! {
    UnknownServerError = -1, "UNKNOWN_SERVER_ERROR", final, "the broker failed in a way it did not expect; its log says more";
    #[default]
    None = 0, "NONE", final, "no error";
    OffsetOutOfRange = 1, "OFFSET_OUT_OF_RANGE", final, "the offset is below the start or above the end of the partition's log";
    CorruptMessage = 2, "CORRUPT_MESSAGE", retriable, "the records failed their checksum or are malformed";
    UnknownTopicOrPartition = 3, "UNKNOWN_TOPIC_OR_PARTITION", retriable, "this broker has no such topic or partition";
    InvalidFetchSize = 4, "INVALID_FETCH_SIZE", final, "the size asked for in the fetch is not valid";
    LeaderNotAvailable = 5, "LEADER_NOT_AVAILABLE", retriable, "the partition has no leader at the moment";
    NotLeaderOrFollower = 6, "NOT_LEADER_OR_FOLLOWER", retriable, "this broker does not lead the partition, or holds no replica of it";
    RequestTimedOut = 7, "REQUEST_TIMED_OUT", retriable, "the request was not done in its time";
    BrokerNotAvailable = 8, "BROKER_NOT_AVAILABLE", final, "the broker is not available";
    ReplicaNotAvailable = 9, "REPLICA_NOT_AVAILABLE", retriable, "the replica is not available";
    MessageTooLarge = 10, "MESSAGE_TOO_LARGE", final, "the record batch is larger than max.message.bytes";
    StaleControllerEpoch = 11, "STALE_CONTROLLER_EPOCH", final, "the request comes from a controller that was replaced";
    OffsetMetadataTooLarge = 12, "OFFSET_METADATA_TOO_LARGE", final, "the metadata of the committed offset is too long";
    NetworkException = 13, "NETWORK_EXCEPTION", retriable, "the connection closed before the answer came";
    CoordinatorLoadInProgress = 14, "COORDINATOR_LOAD_IN_PROGRESS", retriable, "the coordinator is still loading its state";
    CoordinatorNotAvailable = 15, "COORDINATOR_NOT_AVAILABLE", retriable, "there is no coordinator at the moment";
    NotCoordinator = 16, "NOT_COORDINATOR", retriable, "this broker is not the coordinator asked for";
    InvalidTopicException = 17, "INVALID_TOPIC_EXCEPTION", final, "the topic's name is not allowed, or the topic does not admit this";
    RecordListTooLarge = 18, "RECORD_LIST_TOO_LARGE", final, "the record batch is larger than a segment of the log";
    NotEnoughReplicas = 19, "NOT_ENOUGH_REPLICAS", retriable, "fewer replicas are in sync than min.insync.replicas demands";
    NotEnoughReplicasAfterAppend = 20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", retriable, "the records were written, but to fewer replicas than demanded";
    InvalidRequiredAcks = 21, "INVALID_REQUIRED_ACKS", final, "acks must be -1, 0 or 1";
    IllegalGeneration = 22, "ILLEGAL_GENERATION", final, "the group is in another generation";
    InconsistentGroupProtocol = 23, "INCONSISTENT_GROUP_PROTOCOL", final, "the member shares no protocol with the group's other members";
    InvalidGroupId = 24, "INVALID_GROUP_ID", final, "the group's id is not valid";
    UnknownMemberId = 25, "UNKNOWN_MEMBER_ID", final, "the group has no such member";
    InvalidSessionTimeout = 26, "INVALID_SESSION_TIMEOUT", final, "the session timeout is outside the broker's limits";
    RebalanceInProgress = 27, "REBALANCE_IN_PROGRESS", final, "the group is rebalancing: join again";
    InvalidCommitOffsetSize = 28, "INVALID_COMMIT_OFFSET_SIZE", final, "the commit is too large";
    TopicAuthorizationFailed = 29, "TOPIC_AUTHORIZATION_FAILED", final, "the principal may not do this to the topic";
    GroupAuthorizationFailed = 30, "GROUP_AUTHORIZATION_FAILED", final, "the principal may not do this to the group";
    ClusterAuthorizationFailed = 31, "CLUSTER_AUTHORIZATION_FAILED", final, "the principal may not do this to the cluster";
    InvalidTimestamp = 32, "INVALID_TIMESTAMP", final, "a record's timestamp is outside the allowed range";
    UnsupportedSaslMechanism = 33, "UNSUPPORTED_SASL_MECHANISM", final, "the broker does not offer this SASL mechanism";
    IllegalSaslState = 34, "ILLEGAL_SASL_STATE", final, "the request does not fit the state of the authentication";
    UnsupportedVersion = 35, "UNSUPPORTED_VERSION", final, "the broker does not serve this version of the API";
    TopicAlreadyExists = 36, "TOPIC_ALREADY_EXISTS", final, "there is a topic of this name";
    InvalidPartitions = 37, "INVALID_PARTITIONS", final, "the number of partitions is not valid";
    InvalidReplicationFactor = 38, "INVALID_REPLICATION_FACTOR", final, "the replication factor is below 1 or above the number of brokers";
    InvalidReplicaAssignment = 39, "INVALID_REPLICA_ASSIGNMENT", final, "the assignment of replicas is not valid";
    InvalidConfig = 40, "INVALID_CONFIG", final, "a configuration is not valid";
    NotController = 41, "NOT_CONTROLLER", retriable, "this broker is not the controller";
    InvalidRequest = 42, "INVALID_REQUEST", final, "the request contradicts itself or the protocol";
    UnsupportedForMessageFormat = 43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", final, "the record format does not support this";
    PolicyViolation = 44, "POLICY_VIOLATION", final, "the request breaks a policy of the cluster";
    OutOfOrderSequenceNumber = 45, "OUT_OF_ORDER_SEQUENCE_NUMBER", final, "the batch's sequence number does not follow the producer's last one";
    DuplicateSequenceNumber = 46, "DUPLICATE_SEQUENCE_NUMBER", final, "the batch was written before";
    InvalidProducerEpoch = 47, "INVALID_PRODUCER_EPOCH", final, "the producer's epoch is older than the current one";
    InvalidTxnState = 48, "INVALID_TXN_STATE", final, "the transaction is in a state that does not allow this";
    InvalidProducerIdMapping = 49, "INVALID_PRODUCER_ID_MAPPING", final, "the producer id is not the transactional id's current one";
    InvalidTransactionTimeout = 50, "INVALID_TRANSACTION_TIMEOUT", final, "the transaction timeout is above transaction.max.timeout.ms";
    ConcurrentTransactions = 51, "CONCURRENT_TRANSACTIONS", retriable, "another operation on the same transaction is under way";
    TransactionCoordinatorFenced = 52, "TRANSACTION_COORDINATOR_FENCED", final, "the marker comes from a transaction coordinator that was replaced";
    TransactionalIdAuthorizationFailed = 53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", final, "the principal may not use the transactional id";
    SecurityDisabled = 54, "SECURITY_DISABLED", final, "no authorizer is configured";
    OperationNotAttempted = 55, "OPERATION_NOT_ATTEMPTED", final, "this part was not tried, because another part of the request failed";
    KafkaStorageError = 56, "KAFKA_STORAGE_ERROR", retriable, "the storage of the partition failed";
    LogDirNotFound = 57, "LOG_DIR_NOT_FOUND", final, "the broker has no such log directory";
    SaslAuthenticationFailed = 58, "SASL_AUTHENTICATION_FAILED", final, "authentication failed";
    UnknownProducerId = 59, "UNKNOWN_PRODUCER_ID", final, "the broker has no state of this producer id";
    ReassignmentInProgress = 60, "REASSIGNMENT_IN_PROGRESS", final, "the partition is being reassigned";
    DelegationTokenAuthDisabled = 61, "DELEGATION_TOKEN_AUTH_DISABLED", final, "delegation tokens are not enabled";
    DelegationTokenNotFound = 62, "DELEGATION_TOKEN_NOT_FOUND", final, "there is no such delegation token";
    DelegationTokenOwnerMismatch = 63, "DELEGATION_TOKEN_OWNER_MISMATCH", final, "the principal neither owns the token nor may renew it";
    DelegationTokenRequestNotAllowed = 64, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", final, "delegation tokens cannot be asked for on this kind of connection";
    DelegationTokenAuthorizationFailed = 65, "DELEGATION_TOKEN_AUTHORIZATION_FAILED", final, "the principal may not do this to the delegation token";
    DelegationTokenExpired = 66, "DELEGATION_TOKEN_EXPIRED", final, "the delegation token has expired";
    InvalidPrincipalType = 67, "INVALID_PRINCIPAL_TYPE", final, "principals of this type are not supported";
    NonEmptyGroup = 68, "NON_EMPTY_GROUP", final, "the group has members";
    GroupIdNotFound = 69, "GROUP_ID_NOT_FOUND", final, "there is no such group";
    FetchSessionIdNotFound = 70, "FETCH_SESSION_ID_NOT_FOUND", retriable, "there is no such fetch session: start a new one";
    InvalidFetchSessionEpoch = 71, "INVALID_FETCH_SESSION_EPOCH", retriable, "the fetch session is at another epoch";
    ListenerNotFound = 72, "LISTENER_NOT_FOUND", retriable, "the leader has no listener of this name";
    TopicDeletionDisabled = 73, "TOPIC_DELETION_DISABLED", final, "deleting topics is disabled";
    FencedLeaderEpoch = 74, "FENCED_LEADER_EPOCH", retriable, "the leader epoch in the request is older than the broker's";
    UnknownLeaderEpoch = 75, "UNKNOWN_LEADER_EPOCH", retriable, "the leader epoch in the request is newer than the broker's";
    UnsupportedCompressionType = 76, "UNSUPPORTED_COMPRESSION_TYPE", final, "this version of the request cannot carry this compression";
    StaleBrokerEpoch = 77, "STALE_BROKER_EPOCH", final, "the broker has registered anew since";
    OffsetNotAvailable = 78, "OFFSET_NOT_AVAILABLE", retriable, "the new leader does not know its high watermark yet";
    MemberIdRequired = 79, "MEMBER_ID_REQUIRED", final, "join again with the member id in this answer";
    PreferredLeaderNotAvailable = 80, "PREFERRED_LEADER_NOT_AVAILABLE", retriable, "the preferred leader is not available";
    GroupMaxSizeReached = 81, "GROUP_MAX_SIZE_REACHED", final, "the group is full";
    FencedInstanceId = 82, "FENCED_INSTANCE_ID", final, "another member has joined with this group.instance.id";
    EligibleLeadersNotAvailable = 83, "ELIGIBLE_LEADERS_NOT_AVAILABLE", retriable, "no replica that could lead is available";
    ElectionNotNeeded = 84, "ELECTION_NOT_NEEDED", retriable, "the partition has the leader it should have";
    NoReassignmentInProgress = 85, "NO_REASSIGNMENT_IN_PROGRESS", final, "the partition is not being reassigned";
    GroupSubscribedToTopic = 86, "GROUP_SUBSCRIBED_TO_TOPIC", final, "the group still subscribes to the topic";
    InvalidRecord = 87, "INVALID_RECORD", final, "a record breaks a rule of the broker";
    UnstableOffsetCommit = 88, "UNSTABLE_OFFSET_COMMIT", retriable, "an open transaction still holds these offsets";
    ThrottlingQuotaExceeded = 89, "THROTTLING_QUOTA_EXCEEDED", retriable, "a quota is used up";
    ProducerFenced = 90, "PRODUCER_FENCED", final, "a newer producer uses the same transactional id";
    ResourceNotFound = 91, "RESOURCE_NOT_FOUND", final, "there is no such resource";
    DuplicateResource = 92, "DUPLICATE_RESOURCE", final, "the request names a resource twice";
    UnacceptableCredential = 93, "UNACCEPTABLE_CREDENTIAL", final, "the credential does not meet the rules";
    InconsistentVoterSet = 94, "INCONSISTENT_VOTER_SET", final, "sender and receiver disagree on the voters";
    InvalidUpdateVersion = 95, "INVALID_UPDATE_VERSION", final, "the update has an invalid version";
    FeatureUpdateFailed = 96, "FEATURE_UPDATE_FAILED", final, "the features could not be updated";
    PrincipalDeserializationFailure = 97, "PRINCIPAL_DESERIALIZATION_FAILURE", final, "the forwarded principal cannot be read";
    SnapshotNotFound = 98, "SNAPSHOT_NOT_FOUND", final, "there is no such snapshot";
    PositionOutOfRange = 99, "POSITION_OUT_OF_RANGE", final, "the position is outside the snapshot";
    UnknownTopicId = 100, "UNKNOWN_TOPIC_ID", retriable, "this broker has no topic with this id";
    DuplicateBrokerRegistration = 101, "DUPLICATE_BROKER_REGISTRATION", final, "another broker is registered with this id";
    BrokerIdNotRegistered = 102, "BROKER_ID_NOT_REGISTERED", final, "no broker is registered with this id";
    InconsistentTopicId = 103, "INCONSISTENT_TOPIC_ID", retriable, "the topic's id differs from the log's";
    InconsistentClusterId = 104, "INCONSISTENT_CLUSTER_ID", final, "the request is meant for another cluster";
    TransactionalIdNotFound = 105, "TRANSACTIONAL_ID_NOT_FOUND", final, "there is no such transactional id";
    FetchSessionTopicIdError = 106, "FETCH_SESSION_TOPIC_ID_ERROR", retriable, "the fetch session mixes topic names and topic ids";
    IneligibleReplica = 107, "INELIGIBLE_REPLICA", final, "a replica in the new ISR may not be there";
    NewLeaderElected = 108, "NEW_LEADER_ELECTED", final, "the change was made and the leader has changed";
    OffsetMovedToTieredStorage = 109, "OFFSET_MOVED_TO_TIERED_STORAGE", final, "the offset is in tiered storage";
    FencedMemberEpoch = 110, "FENCED_MEMBER_EPOCH", final, "the member's epoch is fenced: give up all partitions and join again";
    UnreleasedInstanceId = 111, "UNRELEASED_INSTANCE_ID", final, "another member still uses the instance id";
    UnsupportedAssignor = 112, "UNSUPPORTED_ASSIGNOR", final, "the group does not support the assignor";
    StaleMemberEpoch = 113, "STALE_MEMBER_EPOCH", final, "the member's epoch is old: heartbeat, then try again";
    MismatchedEndpointType = 114, "MISMATCHED_ENDPOINT_TYPE", final, "the request went to the wrong kind of endpoint";
    UnsupportedEndpointType = 115, "UNSUPPORTED_ENDPOINT_TYPE", final, "endpoints of this type are not supported";
    UnknownControllerId = 116, "UNKNOWN_CONTROLLER_ID", final, "there is no controller with this id";
    UnknownSubscriptionId = 117, "UNKNOWN_SUBSCRIPTION_ID", final, "the telemetry subscription is unknown or old";
    TelemetryTooLarge = 118, "TELEMETRY_TOO_LARGE", final, "the telemetry is too large";
    InvalidRegistration = 119, "INVALID_REGISTRATION", final, "the registration of the broker is not valid";
    TransactionAbortable = 120, "TRANSACTION_ABORTABLE", final, "the transaction failed: abort it to go on";
    InvalidRecordState = 121, "INVALID_RECORD_STATE", final, "the record's delivery is in a state that does not allow this";
    ShareSessionNotFound = 122, "SHARE_SESSION_NOT_FOUND", retriable, "there is no such share session";
    InvalidShareSessionEpoch = 123, "INVALID_SHARE_SESSION_EPOCH", retriable, "the share session is at another epoch";
    FencedStateEpoch = 124, "FENCED_STATE_EPOCH", final, "the state of the share group is at another epoch";
    InvalidVoterKey = 125, "INVALID_VOTER_KEY", final, "the voter's key is not the receiver's";
    DuplicateVoter = 126, "DUPLICATE_VOTER", final, "the voter is in the set already";
    VoterNotFound = 127, "VOTER_NOT_FOUND", final, "the voter is not in the set";
    InvalidRegularExpression = 128, "INVALID_REGULAR_EXPRESSION", final, "the regular expression is not valid";
    RebootstrapRequired = 129, "REBOOTSTRAP_REQUIRED", final, "the client's metadata is too old: begin from the bootstrap servers";
    StreamsInvalidTopology = 130, "STREAMS_INVALID_TOPOLOGY", final, "the topology is not valid";
    StreamsInvalidTopologyEpoch = 131, "STREAMS_INVALID_TOPOLOGY_EPOCH", final, "the topology's epoch is not valid";
    StreamsTopologyFenced = 132, "STREAMS_TOPOLOGY_FENCED", final, "the topology's epoch is old";
    ShareSessionLimitReached = 133, "SHARE_SESSION_LIMIT_REACHED", retriable, "there are as many share sessions as allowed";
}

impl ErrorCode {
    /// The number, as the protocol carries it.
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Whether this is no error.
    #[must_use]
    pub const fn is_none(self) -> bool {
        matches!(self, Self::None)
    }
}

impl From<ErrorCode> for i16 {
    fn from(error: ErrorCode) -> Self {
        error.code()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.name(), self.code(), self.message())
    }
}
