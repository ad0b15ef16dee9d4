"""The broker itself: versions, hostile frames, metadata, quorum, features, ACLs."""

import struct

import wire

from .common import NO_ID, UNKNOWN_ID, batch, produce_body


def api_versions(b):
    for version in range(5):
        b.ask(f"ApiVersions v{version}", "ApiVersions", version,
              {"ClientSoftwareName": "differential", "ClientSoftwareVersion": "1.0"} if version >= 3 else {})
    for label, name, number in [("empty name", "", "1"), ("space in name", "a b", "1"), ("bad version", "a", "1 2")]:
        b.ask(f"ApiVersions, {label}", "ApiVersions", 3, {"ClientSoftwareName": name, "ClientSoftwareVersion": number})
    # Version 99 does not exist: the answer is a v0 body, error 35.
    header = struct.pack(">hhih", 18, 99, 7, -1)
    with wire.Connection(b.bootstrap, b.protocol) as connection:
        connection.send_raw(struct.pack(">i", len(header) + 1) + header + b"\0")
        connection.correlation = 7
        reply = connection.receive_raw()
        b.asked["ApiVersions v99"] = ("ApiVersions", 99)
        b.replies["ApiVersions v99"] = "closed" if reply is None else connection.decode("ApiVersions", 0, reply)
    for api, version in [("Produce", 2), ("Fetch", 3), ("Fetch", 99), ("ListOffsets", 0), ("Metadata", 99), ("CreateTopics", 1)]:
        b.raw(f"{api} v{version} is not served", b.connection.frame(api, version, b"\0" * 40))


def hostile(b):
    b.raw("negative frame size", struct.pack(">i", -1))
    b.raw("frame size of 2 GiB", struct.pack(">i", 0x7FFFFFFF) + b"\0" * 64)
    b.raw("unknown api key", struct.pack(">ihhih", 10, 999, 0, 1, -1))
    b.raw("metadata that ends early", b.connection.frame("Metadata", 9, b"\x05\x03"))
    b.raw("metadata of 2^31 topics", b.connection.frame("Metadata", 1, struct.pack(">i", 0x7FFFFFFF)))
    b.raw("produce of 2^31 topics", b.connection.frame("Produce", 3, struct.pack(">hhii", -1, 1, 1000, 0x7FFFFFFF)))


def metadata(b):
    b.make("meta", 2)
    topic_id = b.id_of("meta")
    for version in range(14):
        b.ask(f"Metadata v{version}", "Metadata", version, {"Topics": [{"Name": "meta"}]})
        b.ask(f"Metadata v{version}, all", "Metadata", version, {"Topics": None if version else []})
        if version >= 4:
            b.ask(f"Metadata v{version}, missing", "Metadata", version,
                  {"Topics": [{"Name": "missing"}], "AllowAutoTopicCreation": False})
        if version >= 1:
            b.ask(f"Metadata v{version}, none", "Metadata", version, {"Topics": []})
        if version >= 10:
            for label, wanted in {"null name": (None, NO_ID), "id": (None, topic_id), "unknown id": (None, UNKNOWN_ID), "id and name": ("meta", topic_id),
                                  "unknown id and name": ("meta", UNKNOWN_ID), "null name and unknown id": (None, UNKNOWN_ID)}.items():
                b.ask(f"Metadata v{version} by {label}", "Metadata", version, {"Topics": [{"Name": wanted[0], "TopicId": wanted[1]}]})
        if version >= 8:
            b.ask(f"Metadata v{version} with authorized operations", "Metadata", version, {
                "Topics": [{"Name": "meta"}, {"Name": "missing"}], "IncludeTopicAuthorizedOperations": True, "AllowAutoTopicCreation": False,
                **({"IncludeClusterAuthorizedOperations": True} if version <= 10 else {})})
    for name in ("", "bad name", "..", ".", "x" * 250, "\u00fc", "__cluster_metadata"):
        for create in (True, False):
            b.ask(f"Metadata, name {name[:9]!r}, creation {create}", "Metadata", 9, {"Topics": [{"Name": name}], "AllowAutoTopicCreation": create})
    b.ask("Metadata, twice the same", "Metadata", 9, {"Topics": [{"Name": "meta"}, {"Name": "meta"}]})
    b.ask("Metadata, the same id twice", "Metadata", 12, {"Topics": [{"Name": None, "TopicId": topic_id}] * 2})
    b.ask("Metadata, one id, one name", "Metadata", 12, {"Topics": [{"Name": None, "TopicId": topic_id}, {"Name": "made-v2"}]})
    b.ask("Metadata, one there, one missing, one bad", "Metadata", 12, {
        "Topics": [{"Name": "meta"}, {"Name": "missing"}, {"Name": "a b"}], "AllowAutoTopicCreation": False})
    b.ask("Metadata creates a topic", "Metadata", 9, {"Topics": [{"Name": "auto"}], "AllowAutoTopicCreation": True})
    b.topic_ready("auto")
    b.ask("Metadata of the created topic", "Metadata", 9, {"Topics": [{"Name": "auto"}]})
    b.ask("Metadata creates what collides", "Metadata", 9, {"Topics": [{"Name": "coll_ide"}], "AllowAutoTopicCreation": True})
    for version in range(3):
        b.ask(f"DescribeCluster v{version}", "DescribeCluster", version, {})
        b.ask(f"DescribeCluster v{version} with authorized operations", "DescribeCluster", version, {"IncludeClusterAuthorizedOperations": True})
    for endpoint in (0, 2, 3, -1):
        for version in (1, 2):
            b.ask(f"DescribeCluster v{version}, endpoints of type {endpoint}", "DescribeCluster", version, {"EndpointType": endpoint})
    b.ask("DescribeCluster with fenced brokers", "DescribeCluster", 2, {"IncludeFencedBrokers": True})
    cursor = lambda name, index: {"TopicName": name, "PartitionIndex": index}
    two = [{"Name": "made-v2"}, {"Name": "meta"}]
    for label, body in {
        "two, one missing": {"Topics": [{"Name": "missing"}, {"Name": "meta"}]}, "one partition": {"Topics": [{"Name": "meta"}], "ResponsePartitionLimit": 1},
        "from a cursor": {"Topics": [{"Name": "meta"}], "Cursor": cursor("meta", 1)}, "limit 0": {"Topics": [{"Name": "meta"}], "ResponsePartitionLimit": 0},
        "limit -1": {"Topics": [{"Name": "meta"}], "ResponsePartitionLimit": -1}, "negative cursor": {"Topics": [{"Name": "meta"}], "Cursor": cursor("meta", -1)},
        "one of two": {"Topics": two, "ResponsePartitionLimit": 1}, "two of three": {"Topics": two, "ResponsePartitionLimit": 2},
        "cursor at the second": {"Topics": two, "Cursor": cursor("meta", 0)}, "cursor past the partitions": {"Topics": two, "Cursor": cursor("meta", 9)},
        "cursor of another topic": {"Topics": two, "Cursor": cursor("mead", 0)}, "cursor before all": {"Topics": two, "Cursor": cursor("a", 0)},
        "cursor after all": {"Topics": two, "Cursor": cursor("zzz", 0)}, "empty cursor": {"Topics": two, "Cursor": cursor("", 0)},
        "everything": {"Topics": []}, "everything from a cursor": {"Topics": [], "Cursor": cursor("meta", 1)}, "everything from a missing topic": {
            "Topics": [], "Cursor": cursor("mead", 0)}, "everything, three": {"Topics": [], "ResponsePartitionLimit": 3},
        "twice": {"Topics": [{"Name": "meta"}] * 2}, "empty name": {"Topics": [{"Name": ""}]}, "bad name": {"Topics": [{"Name": "a b"}]},
        "the metadata topic": {"Topics": [{"Name": "__cluster_metadata"}]}, "missing, one partition": {"Topics": [{"Name": "missing"}, {"Name": "meta"}], "ResponsePartitionLimit": 1},
    }.items():
        b.ask(f"DescribeTopicPartitions, {label}", "DescribeTopicPartitions", 0, {"ResponsePartitionLimit": 2000, **body})


def acls(b):
    for version in range(1, 4):
        pattern = {"ResourceTypeFilter": 1, "PatternTypeFilter": 1, "Operation": 1, "PermissionType": 1}
        rule = {"ResourceType": 2, "ResourceName": "t", "ResourcePatternType": 3, "Principal": "User:a", "Host": "*", "Operation": 3, "PermissionType": 3}
        b.ask(f"DescribeAcls v{version}", "DescribeAcls", version, pattern)
        b.ask(f"CreateAcls v{version}", "CreateAcls", version, {"Creations": [rule]})
        b.ask(f"DeleteAcls v{version}", "DeleteAcls", version, {"Filters": [{**pattern, "ResourceTypeFilter": 2}]})
        b.ask(f"DescribeAcls v{version}, names", "DescribeAcls", version, {
            **pattern, "ResourceNameFilter": "t", "PrincipalFilter": "User:a", "HostFilter": "*"})
        b.ask(f"CreateAcls v{version}, two", "CreateAcls", version, {"Creations": [rule, {**rule, "ResourceName": ""}]})
        b.ask(f"DeleteAcls v{version}, two", "DeleteAcls", version, {"Filters": [pattern, pattern]})
        for field in ("ResourceTypeFilter", "PatternTypeFilter", "Operation", "PermissionType"):
            for value in (0, 99):
                b.ask(f"DescribeAcls v{version}, {field} {value}", "DescribeAcls", version, {**pattern, field: value})
                b.ask(f"DeleteAcls v{version}, {field} {value}", "DeleteAcls", version, {"Filters": [{**pattern, field: value}]})
        for field in ("ResourceType", "ResourcePatternType", "Operation", "PermissionType"):
            for value in (0, 1, 99):
                b.ask(f"CreateAcls v{version}, {field} {value}", "CreateAcls", version, {"Creations": [{**rule, field: value}]})


def quorum(b):
    def topics(*names):
        return {"Topics": [{"TopicName": name, "Partitions": [{"PartitionIndex": i} for i in indexes]} for name, *indexes in names]}
    meta = "__cluster_metadata"
    for version in range(3):
        b.ask(f"DescribeQuorum v{version}", "DescribeQuorum", version, topics((meta, 0)))
        for label, body in {
            "another topic": topics(("log", 0)), "another partition": topics((meta, 1)), "two partitions": topics((meta, 0, 1)),
            "the partition twice": topics((meta, 0, 0)), "two topics": topics((meta, 0), ("log", 0)), "no topics": topics(),
            "no partitions": topics((meta,)), "empty name": topics(("", 0)),
        }.items():
            b.ask(f"DescribeQuorum v{version}, {label}", "DescribeQuorum", version, body)


def features(b):
    def change(*changes, **more):
        return {"timeoutMs": 5000, "FeatureUpdates": [{"Feature": f, "MaxVersionLevel": level, **flags} for f, level, flags in changes], **more}
    for version in range(3):
        kind = lambda n: {"UpgradeType": n} if version else {"AllowDowngrade": n > 1}
        for label, body in {
            "unknown feature": change(("no.such.feature", 1, kind(1))), "deletion of an unknown feature": change(("no.such.feature", 0, kind(2))),
            "empty name": change(("", 1, kind(1))), "metadata.version too high": change(("metadata.version", 999, kind(1))),
            "metadata.version too low": change(("metadata.version", 1, kind(2))), "metadata.version 0": change(("metadata.version", 0, kind(3))),
            "metadata.version -1": change(("metadata.version", -1, kind(1))), "downgrade without leave": change(("metadata.version", 7, kind(1))),
            "the same twice": change(("no.such.feature", 1, kind(1)), ("no.such.feature", 2, kind(1))), "kraft.version too high": change(("kraft.version", 99, kind(1))),
            "one good, one bad": change(("transaction.version", 2, kind(1)), ("no.such.feature", 1, kind(1))),
        }.items():
            b.ask(f"UpdateFeatures v{version}, {label}", "UpdateFeatures", version, body)
            if version:
                b.ask(f"UpdateFeatures v{version}, {label}, only validated", "UpdateFeatures", version, {**body, "ValidateOnly": True})
        if version:
            for upgrade in (0, 9, -1):
                b.ask(f"UpdateFeatures v{version}, upgrade type {upgrade}", "UpdateFeatures", version, change(("no.such.feature", 1, kind(upgrade))))


def coordinators(b):
    """What is answered without a coordinator; `groups.admin.finding` makes the first question that needs one."""
    for version in range(1, 7):
        keys = (lambda *k: {"CoordinatorKeys": list(k)}) if version >= 4 else (lambda *k: {"Key": k[0] if k else ""})
        for kind in (2, 3, 9, -1):
            b.ask(f"FindCoordinator v{version}, key type {kind}", "FindCoordinator", version, {"KeyType": kind, **keys("g")})
        if version >= 4:
            b.ask(f"FindCoordinator v{version}, no keys", "FindCoordinator", version, {"KeyType": 0, "CoordinatorKeys": []})
            b.ask(f"FindCoordinator v{version}, two keys of an unknown type", "FindCoordinator", version, {"KeyType": 9, "CoordinatorKeys": ["a", "a"]})


def last(b):
    """What needs a coordinator of transactions, which ours has not yet. After these Kafka has internal topics that ours has not."""
    init = {"TransactionalId": "t", "TransactionTimeoutMs": 60000}
    b.ask("InitProducerId in a transaction", "InitProducerId", 4, init)
    b.ask("InitProducerId in a transaction, timeout 0", "InitProducerId", 4, {**init, "TransactionTimeoutMs": 0})
    b.ask("Produce with a transactional id alone", "Produce", 9, produce_body("timeouts", batch(b"x"), transactional="t"))
    b.ask("FindCoordinator of a transaction", "FindCoordinator", 4, {"KeyType": 1, "CoordinatorKeys": ["t"]})
