"""Which error codes Apache Kafka 4.2's handlers can give, API by API: provoked by a case, or why they cannot be here.

`check` compares the table with what Kafka really answered in this run: a code claimed must have come in the reply to
the named case, every code that came must be claimed, and every served version must have been answered.
"""

NAMES = dict(enumerate((
    "UNKNOWN_SERVER_ERROR", "NONE", "OFFSET_OUT_OF_RANGE", "CORRUPT_MESSAGE", "UNKNOWN_TOPIC_OR_PARTITION",
    "INVALID_FETCH_SIZE", "LEADER_NOT_AVAILABLE", "NOT_LEADER_OR_FOLLOWER", "REQUEST_TIMED_OUT", "BROKER_NOT_AVAILABLE",
    "REPLICA_NOT_AVAILABLE", "MESSAGE_TOO_LARGE", "STALE_CONTROLLER_EPOCH", "OFFSET_METADATA_TOO_LARGE", "NETWORK_EXCEPTION",
    "COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR", "INVALID_TOPIC_EXCEPTION",
    "RECORD_LIST_TOO_LARGE", "NOT_ENOUGH_REPLICAS", "NOT_ENOUGH_REPLICAS_AFTER_APPEND", "INVALID_REQUIRED_ACKS",
    "ILLEGAL_GENERATION", "INCONSISTENT_GROUP_PROTOCOL", "INVALID_GROUP_ID", "UNKNOWN_MEMBER_ID", "INVALID_SESSION_TIMEOUT",
    "REBALANCE_IN_PROGRESS", "INVALID_COMMIT_OFFSET_SIZE", "TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED", "INVALID_TIMESTAMP", "UNSUPPORTED_SASL_MECHANISM", "ILLEGAL_SASL_STATE",
    "UNSUPPORTED_VERSION", "TOPIC_ALREADY_EXISTS", "INVALID_PARTITIONS", "INVALID_REPLICATION_FACTOR",
    "INVALID_REPLICA_ASSIGNMENT", "INVALID_CONFIG", "NOT_CONTROLLER", "INVALID_REQUEST", "UNSUPPORTED_FOR_MESSAGE_FORMAT",
    "POLICY_VIOLATION", "OUT_OF_ORDER_SEQUENCE_NUMBER", "DUPLICATE_SEQUENCE_NUMBER", "INVALID_PRODUCER_EPOCH",
    "INVALID_TXN_STATE", "INVALID_PRODUCER_ID_MAPPING", "INVALID_TRANSACTION_TIMEOUT", "CONCURRENT_TRANSACTIONS",
    "TRANSACTION_COORDINATOR_FENCED", "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "SECURITY_DISABLED", "OPERATION_NOT_ATTEMPTED",
    "KAFKA_STORAGE_ERROR", "LOG_DIR_NOT_FOUND", "SASL_AUTHENTICATION_FAILED", "UNKNOWN_PRODUCER_ID",
    "REASSIGNMENT_IN_PROGRESS", "DELEGATION_TOKEN_AUTH_DISABLED", "DELEGATION_TOKEN_NOT_FOUND",
    "DELEGATION_TOKEN_OWNER_MISMATCH", "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", "DELEGATION_TOKEN_AUTHORIZATION_FAILED",
    "DELEGATION_TOKEN_EXPIRED", "INVALID_PRINCIPAL_TYPE", "NON_EMPTY_GROUP", "GROUP_ID_NOT_FOUND",
    "FETCH_SESSION_ID_NOT_FOUND", "INVALID_FETCH_SESSION_EPOCH", "LISTENER_NOT_FOUND", "TOPIC_DELETION_DISABLED",
    "FENCED_LEADER_EPOCH", "UNKNOWN_LEADER_EPOCH", "UNSUPPORTED_COMPRESSION_TYPE", "STALE_BROKER_EPOCH",
    "OFFSET_NOT_AVAILABLE", "MEMBER_ID_REQUIRED", "PREFERRED_LEADER_NOT_AVAILABLE", "GROUP_MAX_SIZE_REACHED",
    "FENCED_INSTANCE_ID", "ELIGIBLE_LEADERS_NOT_AVAILABLE", "ELECTION_NOT_NEEDED", "NO_REASSIGNMENT_IN_PROGRESS",
    "GROUP_SUBSCRIBED_TO_TOPIC", "INVALID_RECORD", "UNSTABLE_OFFSET_COMMIT", "THROTTLING_QUOTA_EXCEEDED", "PRODUCER_FENCED",
    "RESOURCE_NOT_FOUND", "DUPLICATE_RESOURCE", "UNACCEPTABLE_CREDENTIAL", "INCONSISTENT_VOTER_SET", "INVALID_UPDATE_VERSION",
    "FEATURE_UPDATE_FAILED", "PRINCIPAL_DESERIALIZATION_FAILURE", "SNAPSHOT_NOT_FOUND", "POSITION_OUT_OF_RANGE",
    "UNKNOWN_TOPIC_ID", "DUPLICATE_BROKER_REGISTRATION", "BROKER_ID_NOT_REGISTERED", "INCONSISTENT_TOPIC_ID",
    "INCONSISTENT_CLUSTER_ID", "TRANSACTIONAL_ID_NOT_FOUND", "FETCH_SESSION_TOPIC_ID_ERROR", "INELIGIBLE_REPLICA",
    "NEW_LEADER_ELECTED", "OFFSET_MOVED_TO_TIERED_STORAGE", "FENCED_MEMBER_EPOCH", "UNRELEASED_INSTANCE_ID",
    "UNSUPPORTED_ASSIGNOR", "STALE_MEMBER_EPOCH", "MISMATCHED_ENDPOINT_TYPE", "UNSUPPORTED_ENDPOINT_TYPE",
    "UNKNOWN_CONTROLLER_ID", "UNKNOWN_SUBSCRIPTION_ID", "TELEMETRY_TOO_LARGE", "INVALID_REGISTRATION", "TRANSACTION_ABORTABLE",
    "INVALID_RECORD_STATE", "SHARE_SESSION_NOT_FOUND", "INVALID_SHARE_SESSION_EPOCH", "FENCED_STATE_EPOCH",
    "INVALID_VOTER_KEY", "DUPLICATE_VOTER", "VOTER_NOT_FOUND", "INVALID_REGULAR_EXPRESSION", "REBOOTSTRAP_REQUIRED",
    "STREAMS_INVALID_TOPOLOGY", "STREAMS_INVALID_TOPOLOGY_EPOCH", "STREAMS_TOPOLOGY_FENCED", "SHARE_SESSION_LIMIT_REACHED",
), -1))

# Why a code cannot come from one fresh broker on a plaintext listener without an authorizer.
AUTHORIZER = "needs an authorizer"
REPLICAS = "needs a second broker"
CONTROLLERS = "needs a second controller"
DISK = "needs a disk that fails"
CLOCK = "a race with the broker's clock"
QUOTAS = "needs quotas"
SETTING = "needs another broker configuration"
LEADERSHIP = "needs a second leadership of the partition"
TIERED = "needs tiered storage"
COORDINATOR = "needs a coordinator of transactions, which ours does not have yet"
ELSEWHERE = "needs a second broker that is the coordinator"
LOADING = "needs a coordinator that has just begun to load"
APPEND = "needs a log of the coordinator that cannot be written"
POLICY = "needs a policy plug-in"

_CONTROLLER = {"NOT_CONTROLLER": CONTROLLERS, "REQUEST_TIMED_OUT": CLOCK, "CLUSTER_AUTHORIZATION_FAILED": AUTHORIZER}
_TOPICS = {**_CONTROLLER, "TOPIC_AUTHORIZATION_FAILED": AUTHORIZER, "THROTTLING_QUOTA_EXCEEDED": QUOTAS}
_LEADER = {"TOPIC_AUTHORIZATION_FAILED": AUTHORIZER, "NOT_LEADER_OR_FOLLOWER": REPLICAS, "KAFKA_STORAGE_ERROR": DISK}
_ACLS = {**_CONTROLLER, "INVALID_REQUEST": AUTHORIZER}


# What a coordinator's runtime gives for all of its APIs.
_GROUP = {"GROUP_AUTHORIZATION_FAILED": AUTHORIZER, "NOT_COORDINATOR": ELSEWHERE, "COORDINATOR_LOAD_IN_PROGRESS": LOADING,
          "COORDINATOR_NOT_AVAILABLE": LOADING}
_WRITES = {**_GROUP, "REQUEST_TIMED_OUT": CLOCK, "COORDINATOR_NOT_AVAILABLE": APPEND}
_ALTER = {**_CONTROLLER, "TOPIC_AUTHORIZATION_FAILED": AUTHORIZER, "GROUP_AUTHORIZATION_FAILED": AUTHORIZER, "POLICY_VIOLATION": POLICY,
          "UNSUPPORTED_VERSION": "only from a controller's own listener"}

# API -> (code -> the case that provokes it, code -> why it cannot be provoked here). UNKNOWN_SERVER_ERROR is Kafka's own accident:
# the cases that meet one keep it from becoming ours.
TABLE = {
    "AlterConfigs": ({
        "INVALID_CONFIG": "AlterConfigs, bad value", "INVALID_REQUEST": "AlterConfigs, the same key twice",
        "INVALID_TOPIC_EXCEPTION": "AlterConfigs, bad topic name", "UNKNOWN_TOPIC_OR_PARTITION": "AlterConfigs v0, missing topic",
    }, _ALTER),
    "ApiVersions": ({"INVALID_REQUEST": "ApiVersions, empty name", "UNSUPPORTED_VERSION": "ApiVersions v99"}, {}),
    "CreateAcls": ({"SECURITY_DISABLED": "CreateAcls v1"}, _ACLS),
    "CreatePartitions": ({
        "INVALID_PARTITIONS": "CreatePartitions, fewer", "INVALID_REPLICA_ASSIGNMENT": "CreatePartitions, too few assignments",
        "INVALID_REQUEST": "CreatePartitions, twice", "UNKNOWN_TOPIC_OR_PARTITION": "CreatePartitions, missing topic",
    }, {**_TOPICS, "INVALID_REPLICATION_FACTOR": "needs topics of several replicas whose brokers are gone",
        "REASSIGNMENT_IN_PROGRESS": REPLICAS, "POLICY_VIOLATION": POLICY}),
    "CreateTopics": ({
        "INVALID_CONFIG": "CreateTopics, null config value", "INVALID_PARTITIONS": "CreateTopics, 0 partitions",
        "INVALID_REPLICATION_FACTOR": "CreateTopics, replication 0", "INVALID_REPLICA_ASSIGNMENT": "CreateTopics, assigned to an unknown broker",
        "INVALID_REQUEST": "CreateTopics, twice in one request", "INVALID_TOPIC_EXCEPTION": "CreateTopics, empty name",
        "POLICY_VIOLATION": "CreateTopics, 10 million partitions", "TOPIC_ALREADY_EXISTS": "CreateTopics, exists",
    }, _TOPICS),
    "DeleteAcls": ({"SECURITY_DISABLED": "DeleteAcls v1"}, _ACLS),
    "DeleteRecords": ({
        "OFFSET_OUT_OF_RANGE": "DeleteRecords, past the end", "POLICY_VIOLATION": "DeleteRecords, compacted",
        "INVALID_TOPIC_EXCEPTION": "DeleteRecords of the groups' topic", "UNKNOWN_TOPIC_OR_PARTITION": "DeleteRecords, missing topic",
    }, {**_LEADER, "REQUEST_TIMED_OUT": REPLICAS}),
    "DeleteTopics": ({
        "INVALID_REQUEST": "DeleteTopics, name and id", "UNKNOWN_TOPIC_ID": "DeleteTopics, unknown id",
        "UNKNOWN_TOPIC_OR_PARTITION": "DeleteTopics v1",
    }, {**_TOPICS, "TOPIC_DELETION_DISABLED": SETTING}),
    "DescribeAcls": ({"SECURITY_DISABLED": "DescribeAcls v1"}, _ACLS),
    "DescribeCluster": ({
        "MISMATCHED_ENDPOINT_TYPE": "DescribeCluster v1, endpoints of type 2", "UNSUPPORTED_ENDPOINT_TYPE": "DescribeCluster v1, endpoints of type 0",
    }, {}),
    "DescribeConfigs": ({
        "INVALID_REQUEST": "DescribeConfigs, another broker", "INVALID_TOPIC_EXCEPTION": "DescribeConfigs v1, wrong ones",
        "UNKNOWN_TOPIC_OR_PARTITION": "DescribeConfigs v1, wrong ones",
    }, {"CLUSTER_AUTHORIZATION_FAILED": AUTHORIZER, "TOPIC_AUTHORIZATION_FAILED": AUTHORIZER, "GROUP_AUTHORIZATION_FAILED": AUTHORIZER}),
    "DescribeLogDirs": ({}, {"CLUSTER_AUTHORIZATION_FAILED": AUTHORIZER, "KAFKA_STORAGE_ERROR": DISK}),
    "DescribeProducers": ({
        "INVALID_TOPIC_EXCEPTION": "DescribeProducers, empty name", "UNKNOWN_TOPIC_OR_PARTITION": "DescribeProducers, missing partition",
    }, _LEADER),
    "DescribeQuorum": ({"UNKNOWN_TOPIC_OR_PARTITION": "DescribeQuorum v0, another topic"}, {
        "NOT_LEADER_OR_FOLLOWER": CONTROLLERS, "CLUSTER_AUTHORIZATION_FAILED": AUTHORIZER, "BROKER_NOT_AVAILABLE": CONTROLLERS}),
    "DescribeTopicPartitions": ({
        "INVALID_REQUEST": "DescribeTopicPartitions, negative cursor", "INVALID_TOPIC_EXCEPTION": "DescribeTopicPartitions, bad name",
        "UNKNOWN_TOPIC_OR_PARTITION": "DescribeTopicPartitions, two, one missing", "UNKNOWN_SERVER_ERROR": "DescribeTopicPartitions, empty name",
    }, {"TOPIC_AUTHORIZATION_FAILED": AUTHORIZER, "LEADER_NOT_AVAILABLE": REPLICAS, "LISTENER_NOT_FOUND": REPLICAS}),
    "Fetch": ({
        "FETCH_SESSION_ID_NOT_FOUND": "Fetch v7, unknown session", "FETCH_SESSION_TOPIC_ID_ERROR": "Fetch, a session of names goes on with ids",
        "INVALID_FETCH_SESSION_EPOCH": "Fetch session v7, wrong epoch", "NOT_LEADER_OR_FOLLOWER": "Fetch, as broker 5",
        "OFFSET_OUT_OF_RANGE": "Fetch v4, past the end", "UNKNOWN_LEADER_EPOCH": "Fetch v9, newer epoch", "UNKNOWN_SERVER_ERROR": "Fetch, -1 bytes",
        "UNKNOWN_TOPIC_ID": "Fetch v13, unknown topic id", "UNKNOWN_TOPIC_OR_PARTITION": "Fetch v4, missing partition",
    }, {"TOPIC_AUTHORIZATION_FAILED": AUTHORIZER, "KAFKA_STORAGE_ERROR": DISK, "CORRUPT_MESSAGE": DISK, "FENCED_LEADER_EPOCH": LEADERSHIP,
        "INCONSISTENT_TOPIC_ID": REPLICAS, "REPLICA_NOT_AVAILABLE": REPLICAS, "OFFSET_MOVED_TO_TIERED_STORAGE": TIERED,
        "THROTTLING_QUOTA_EXCEEDED": QUOTAS}),
    "FindCoordinator": ({
        "COORDINATOR_NOT_AVAILABLE": "FindCoordinator of a transaction", "INVALID_REQUEST": "FindCoordinator v1, key type 9",
    }, {"GROUP_AUTHORIZATION_FAILED": AUTHORIZER, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED": AUTHORIZER, "CLUSTER_AUTHORIZATION_FAILED": AUTHORIZER}),
    "IncrementalAlterConfigs": ({
        "INVALID_CONFIG": "IncrementalAlterConfigs, append nonsense", "INVALID_REQUEST": "IncrementalAlterConfigs, empty topic name",
        "INVALID_TOPIC_EXCEPTION": "IncrementalAlterConfigs, bad topic name", "UNKNOWN_SERVER_ERROR": "IncrementalAlterConfigs, operation 9",
        "UNKNOWN_TOPIC_OR_PARTITION": "IncrementalAlterConfigs v0, missing topic",
    }, _ALTER),
    "InitProducerId": ({
        "INVALID_REQUEST": "InitProducerId, empty transactional id", "INVALID_TRANSACTION_TIMEOUT": "InitProducerId in a transaction, timeout 0",
        "NOT_COORDINATOR": "InitProducerId in a transaction",
    }, {"CLUSTER_AUTHORIZATION_FAILED": AUTHORIZER, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED": AUTHORIZER, "COORDINATOR_LOAD_IN_PROGRESS": COORDINATOR,
        "COORDINATOR_NOT_AVAILABLE": COORDINATOR, "CONCURRENT_TRANSACTIONS": COORDINATOR, "INVALID_PRODUCER_EPOCH": COORDINATOR,
        "PRODUCER_FENCED": COORDINATOR, "REQUEST_TIMED_OUT": CLOCK}),
    "ListConfigResources": ({"UNSUPPORTED_VERSION": "ListConfigResources, types [99]"}, {"CLUSTER_AUTHORIZATION_FAILED": AUTHORIZER}),
    "ListOffsets": ({
        "FENCED_LEADER_EPOCH": "ListOffsets, epoch -2", "INVALID_REQUEST": "ListOffsets, partition twice", "UNKNOWN_LEADER_EPOCH": "ListOffsets, newer epoch",
        "UNKNOWN_SERVER_ERROR": "ListOffsets, isolation 7", "UNKNOWN_TOPIC_OR_PARTITION": "ListOffsets v1, missing topic",
        "UNSUPPORTED_VERSION": "ListOffsets v1 at -3",
    }, {**_LEADER, "LEADER_NOT_AVAILABLE": REPLICAS, "OFFSET_NOT_AVAILABLE": REPLICAS, "UNSUPPORTED_FOR_MESSAGE_FORMAT": "needs a log of Kafka before 0.11",
        "REQUEST_TIMED_OUT": TIERED}),
    "Metadata": ({
        "INVALID_REQUEST": "Metadata v10 by null name", "INVALID_TOPIC_EXCEPTION": "Metadata, name '', creation True",
        "UNKNOWN_SERVER_ERROR": "Metadata v12 by null name", "UNKNOWN_TOPIC_ID": "Metadata v12 by unknown id",
        "UNKNOWN_TOPIC_OR_PARTITION": "Metadata v4, missing",
    }, {"TOPIC_AUTHORIZATION_FAILED": AUTHORIZER, "LEADER_NOT_AVAILABLE": REPLICAS, "LISTENER_NOT_FOUND": REPLICAS, "REPLICA_NOT_AVAILABLE": REPLICAS,
        "INVALID_REPLICATION_FACTOR": SETTING, "REBOOTSTRAP_REQUIRED": "needs a client of another cluster, and Kafka 4.2 never says it"}),
    "OffsetForLeaderEpoch": ({
        "FENCED_LEADER_EPOCH": "OffsetForLeaderEpoch v2, old current epoch", "UNKNOWN_LEADER_EPOCH": "OffsetForLeaderEpoch v2, fenced by newer",
        "UNKNOWN_TOPIC_OR_PARTITION": "OffsetForLeaderEpoch v2, missing partition",
    }, _LEADER),
    "Produce": ({
        "CORRUPT_MESSAGE": "Produce v3, bad crc", "INVALID_PRODUCER_EPOCH": "idempotent, old epoch", "INVALID_RECORD": "Produce, no bytes",
        "INVALID_REQUIRED_ACKS": "Produce, acks 2", "INVALID_TIMESTAMP": "Produce, a day ahead", "MESSAGE_TOO_LARGE": "Produce, too large",
        "INVALID_TOPIC_EXCEPTION": "Produce v9 to the groups' topic", "OUT_OF_ORDER_SEQUENCE_NUMBER": "idempotent, gap", "RECORD_LIST_TOO_LARGE": "Produce, larger than a segment",
        "TRANSACTIONAL_ID_AUTHORIZATION_FAILED": "Produce, transactional flag alone", "UNKNOWN_SERVER_ERROR": "Produce, codec 5",
        "UNKNOWN_TOPIC_ID": "Produce v13, unknown id", "UNKNOWN_TOPIC_OR_PARTITION": "Produce, missing topic",
        "UNSUPPORTED_COMPRESSION_TYPE": "Produce v6, zstd",
    }, {**_LEADER, "REQUEST_TIMED_OUT": REPLICAS, "NOT_ENOUGH_REPLICAS": REPLICAS, "NOT_ENOUGH_REPLICAS_AFTER_APPEND": REPLICAS,
        "INVALID_TXN_STATE": COORDINATOR, "INVALID_PRODUCER_ID_MAPPING": COORDINATOR,
        "CONCURRENT_TRANSACTIONS": COORDINATOR, "TRANSACTION_ABORTABLE": COORDINATOR, "INCONSISTENT_TOPIC_ID": REPLICAS,
        "UNSUPPORTED_FOR_MESSAGE_FORMAT": "needs a log of Kafka before 0.11"}),
    "ConsumerGroupDescribe": ({
        "GROUP_ID_NOT_FOUND": "ConsumerGroupDescribe v1 of 'show-stable'", "INVALID_GROUP_ID": "ConsumerGroupDescribe v1 of ''",
    }, {**_GROUP, "TOPIC_AUTHORIZATION_FAILED": AUTHORIZER, "UNSUPPORTED_VERSION": SETTING}),
    "ConsumerGroupHeartbeat": ({
        "FENCED_INSTANCE_ID": "modern static members: 10 X ConsumerGroupHeartbeat v1, by another id",
        "FENCED_MEMBER_EPOCH": "two modern members: 24 C ConsumerGroupHeartbeat v1, again, the old epoch",
        "GROUP_ID_NOT_FOUND": "one modern member, v0: 46 A ConsumerGroupHeartbeat v0, leaves a group that is not there",
        "GROUP_MAX_SIZE_REACHED": "a full modern group: 05 F ConsumerGroupHeartbeat v1, joins",
        "INVALID_REGULAR_EXPRESSION": "expressions: 01 A ConsumerGroupHeartbeat v1, unclosed, (",
        "INVALID_REQUEST": "refused heartbeats, v0: 01 A ConsumerGroupHeartbeat v0, no group",
        "UNKNOWN_MEMBER_ID": "one modern member, v0: 38 A ConsumerGroupHeartbeat v0, leaves again",
        "UNRELEASED_INSTANCE_ID": "modern static members: 09 X ConsumerGroupHeartbeat v1, while the first is there",
        "UNSUPPORTED_ASSIGNOR": "refused heartbeats, v0: 08 A ConsumerGroupHeartbeat v0, an unknown assignor",
    }, {**_WRITES, "TOPIC_AUTHORIZATION_FAILED": AUTHORIZER, "UNSUPPORTED_VERSION": SETTING, "UNKNOWN_SERVER_ERROR": "needs an assignor that fails"}),
    "DeleteGroups": ({
        "GROUP_ID_NOT_FOUND": "DeleteGroups v2 of an unknown one", "NON_EMPTY_GROUP": "DeleteGroups v2 of busy ones",
    }, {**_WRITES, "INVALID_GROUP_ID": "needs a null name, which no version can say"}),
    "DescribeGroups": ({"GROUP_ID_NOT_FOUND": "DescribeGroups v6 of 'show-unknown'"}, {
        **_GROUP, "INVALID_GROUP_ID": "needs a null name, which no version can say"}),
    "Heartbeat": ({
        "FENCED_INSTANCE_ID": "static members, step 9: 10 O Heartbeat v4, fenced",
        "ILLEGAL_GENERATION": "wrong members, preparing: 38 X Heartbeat v4, the member, an old generation",
        "INVALID_GROUP_ID": "group named '', 0 letters: 07 A Heartbeat v4", "REBALANCE_IN_PROGRESS": "two members, step 0: 06 A Heartbeat v0, preparing",
        "UNKNOWN_MEMBER_ID": "one member, step 0: 20 A Heartbeat v0, after it left",
    }, _WRITES),
    "JoinGroup": ({
        "FENCED_INSTANCE_ID": "static members, step 9: 12 O JoinGroup v9, fenced",
        "GROUP_MAX_SIZE_REACHED": "a full group: 06 F JoinGroup v3, one too many, completing",
        "INCONSISTENT_GROUP_PROTOCOL": "protocols: 01 A JoinGroup v9, no protocols", "INVALID_GROUP_ID": "group named '', 0 letters: 02 A JoinGroup v0",
        "INVALID_SESSION_TIMEOUT": "timeouts: 01 A JoinGroup v9, session of 0 ms", "MEMBER_ID_REQUIRED": "one member, step 4: 03 A JoinGroup v4",
        "REBALANCE_IN_PROGRESS": "a classic group with a waiting join: 05 C JoinGroup v9, with the id",
        "UNKNOWN_MEMBER_ID": "wrong members, unknown: 61 X JoinGroup v9, a stranger",
        "UNKNOWN_SERVER_ERROR": "large protocols: 14 A JoinGroup v9, the same twice",
    }, _WRITES),
    "LeaveGroup": ({
        "FENCED_INSTANCE_ID": "static members, step 9: 14 O LeaveGroup v5, fenced", "INVALID_GROUP_ID": "group named '', 0 letters: 01 A LeaveGroup v5, the one before",
        "UNKNOWN_MEMBER_ID": "one member, step 0: 19 A LeaveGroup v0, again",
    }, _WRITES),
    "ListGroups": ({}, {**_GROUP, "GROUP_AUTHORIZATION_FAILED": "groups that may not be described are left out"}),
    "OffsetCommit": ({
        "FENCED_INSTANCE_ID": "static members, step 9: 13 O OffsetCommit v10, fenced",
        "GROUP_ID_NOT_FOUND": "commits of members: 01 X OffsetCommit v10, generation 1 into an unknown group",
        "ILLEGAL_GENERATION": "wrong members, preparing: 40 X OffsetCommit v10, the member, an old generation",
        "OFFSET_METADATA_TOO_LARGE": "offsets, step 0: 21 A OffsetCommit v2, metadata too large",
        "REBALANCE_IN_PROGRESS": "one member, step 0: 05 A OffsetCommit v2, before the sync",
        "STALE_MEMBER_EPOCH": "offsets of modern members: 53 A OffsetCommit v9, an old epoch",
        "UNKNOWN_MEMBER_ID": "one member, step 0: 21 A OffsetCommit v2, after it left",
        "UNKNOWN_TOPIC_ID": "topics by id: 02 A OffsetCommit v10, unknown alone",
        "UNKNOWN_TOPIC_OR_PARTITION": "offsets, step 0: 17 A OffsetCommit v2, topics and partitions that are not there",
        "UNSUPPORTED_VERSION": "offsets of modern members: 03 A OffsetCommit v2",
    }, {**_WRITES, "TOPIC_AUTHORIZATION_FAILED": AUTHORIZER, "INVALID_GROUP_ID": "needs a null name, which no version can say",
        "INVALID_COMMIT_OFFSET_SIZE": APPEND}),
    "OffsetDelete": ({
        "GROUP_ID_NOT_FOUND": "OffsetDelete: 01 A OffsetDelete v0, unknown group",
        "GROUP_SUBSCRIBED_TO_TOPIC": "commits of members: 15 A OffsetDelete v0, a topic that it reads",
        "INVALID_GROUP_ID": "OffsetDelete: 02 A OffsetDelete v0, empty group id", "NON_EMPTY_GROUP": "protocol type connect: 09 A OffsetDelete v0, of another type",
        "UNKNOWN_TOPIC_OR_PARTITION": "OffsetDelete: 05 A OffsetDelete v0, what is not there",
    }, {**_WRITES, "TOPIC_AUTHORIZATION_FAILED": AUTHORIZER}),
    "OffsetFetch": ({
        "STALE_MEMBER_EPOCH": "offsets of modern members: 71 X OffsetFetch v9, its own, an old epoch",
        "UNKNOWN_MEMBER_ID": "offsets of modern members: 74 X OffsetFetch v9, a stranger, its epoch",
        "UNKNOWN_SERVER_ERROR": "offsets of modern members: 82 X OffsetFetch v9, null, its epoch",
        "UNKNOWN_TOPIC_ID": "offsets, step 9: 10 A OffsetFetch v10, a topic that is not there",
    }, {**_GROUP, "TOPIC_AUTHORIZATION_FAILED": AUTHORIZER, "UNSTABLE_OFFSET_COMMIT": COORDINATOR, "REQUEST_TIMED_OUT": CLOCK,
        "INVALID_GROUP_ID": "needs a null name, which no version can say"}),
    "SyncGroup": ({
        "FENCED_INSTANCE_ID": "static members, step 9: 11 O SyncGroup v5, fenced",
        "ILLEGAL_GENERATION": "wrong members, preparing: 39 X SyncGroup v5, the member, an old generation",
        "INCONSISTENT_GROUP_PROTOCOL": "protocols: 06 A SyncGroup v5, another type", "INVALID_GROUP_ID": "group named '', 0 letters: 08 A SyncGroup v5",
        "REBALANCE_IN_PROGRESS": "two members, step 0: 08 A SyncGroup v0, preparing",
        "UNKNOWN_MEMBER_ID": "wrong members, unknown: 02 X SyncGroup v5, a stranger, an old generation",
        "UNKNOWN_SERVER_ERROR": "large protocols: 06 A SyncGroup v5, 1048000 bytes for itself",
    }, _WRITES),
    "UpdateFeatures": ({"INVALID_UPDATE_VERSION": "UpdateFeatures v0, unknown feature"}, {
        **_CONTROLLER, "FEATURE_UPDATE_FAILED": "Kafka 4.2 has no way to it any more", "INVALID_REQUEST": "Kafka 4.2 has no way to it any more"}),
}


def codes(reply):
    """Every error code anywhere in a reply."""
    if isinstance(reply, dict):
        for key, value in reply.items():
            if key == "ErrorCode":
                yield value
            else:
                yield from codes(value)
    elif isinstance(reply, list):
        for item in reply:
            yield from codes(item)


def seen(broker):
    """(API, name of the error) -> the cases whose reply had it."""
    out = {}
    for case, (api, _) in broker.asked.items():
        for code in set(codes(broker.replies[case])) - {0}:
            out.setdefault((api, NAMES.get(code, str(code))), []).append(case)
    return out


def check(kafka, served):
    """What is wrong with the table, line by line."""
    came = seen(kafka)
    for api in sorted(served.keys() - TABLE.keys()):
        yield f"{api}: no entry in the table of errors"
    for api, (provoked, impossible) in TABLE.items():
        for name in provoked.keys() & impossible.keys():
            yield f"{api} {name}: both provoked and impossible"
        for name, case in provoked.items():
            if case not in came.get((api, name), ()):
                yield f"{api} {name}: Kafka did not give it for the case {case!r}"
    for (api, name), cases in sorted(came.items()):
        if name not in TABLE.get(api, ({},))[0]:
            yield f"{api} {name}: came from Kafka ({cases[0]!r}) and is not in the table"
    answered = {kafka.asked[case] for case, reply in kafka.replies.items() if case in kafka.asked and isinstance(reply, dict)}
    for api, (low, high) in served.items():
        for version in range(low, high + 1):
            if (api, version) not in answered:
                yield f"{api} v{version}: no case was answered"


def summary(kafka):
    provoked = sum(len(p) for p, _ in TABLE.values())
    accidents = sum(-1 in codes(kafka.replies[case]) for case in kafka.asked)
    return (f"errors: {provoked} (API, code) provoked, {sum(len(c) for _, c in TABLE.values())} that cannot be here, with reasons;"
            f" Kafka itself failed in {accidents} cases; {len(TABLE)} APIs")
