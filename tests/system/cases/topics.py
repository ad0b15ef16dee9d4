"""Topics: creating, growing, deleting."""

from .common import NO_ID, UNKNOWN_ID, batch, create, produce_body, topic
from .values import BAD_VALUES, GOOD_VALUES


def create_topics(b):
    for version in range(2, 8):
        b.ask(f"CreateTopics v{version}", "CreateTopics", version, create([topic(f"made-v{version}")]))
        b.topic_ready(f"made-v{version}")
    b.ask("CreateTopics, default counts", "CreateTopics", 7, create([topic("defaults", -1, -1)]))
    b.ask("CreateTopics, default counts, v2", "CreateTopics", 2, create([topic("defaults2", -1, -1)]))
    cases = {
        "exists": [topic("made-v2")], "empty name": [topic("")], "dot": [topic(".")], "two dots": [topic("..")],
        "250 characters": [topic("x" * 250)], "249 characters": [topic("x" * 249)], "space": [topic("a b")],
        "umlaut": [topic("ü")], "0 partitions": [topic("p0", 0)], "-2 partitions": [topic("p-2", -2)],
        "10 million partitions": [topic("p10m", 10_000_000)], "10001 partitions in two": [topic("p1", 5000), topic("p2", 5001)],
        "replication 0": [topic("r0", 1, 0)], "replication 2": [topic("r2", 1, 2)], "replication -2": [topic("r-2", 1, -2)],
        "twice in one request": [topic("twice"), topic("twice")], "one good, one bad": [topic("good-one"), topic("bad one")],
        "assigned": [topic("assigned", -1, -1, None, {0: [b.node], 1: [b.node]})],
        "assigned and counted": [topic("as-1", 1, -1, None, {0: [b.node]})],
        "assigned to an unknown broker": [topic("as-2", -1, -1, None, {0: [99]})],
        "assigned twice to one broker": [topic("as-3", -1, -1, None, {0: [b.node, b.node]})],
        "assigned with a hole": [topic("as-4", -1, -1, None, {0: [b.node], 2: [b.node]})],
        "assigned to nobody": [topic("as-5", -1, -1, None, {0: []})],
        "null config value": [topic("null-config", 1, 1, {"retention.ms": None})],
        "no topics": [], "the metadata topic": [topic("__cluster_metadata")], "a partition assigned twice": [
            {**topic("as-6", -1, -1), "Assignments": [{"PartitionIndex": 0, "BrokerIds": [b.node]}] * 2}],
        "assigned from partition -1": [topic("as-7", -1, -1, None, {-1: [b.node]})], "assigned from partition 1": [topic("as-8", -1, -1, None, {1: [b.node]})],
        "assigned with different replication": [topic("as-9", -1, -1, None, {0: [b.node], 1: [b.node, 99]})], "assigned and replicated": [
            topic("as-10", -1, 1, None, {0: [b.node]})],
        "assigned to broker -1": [topic("as-11", -1, -1, None, {0: [-1]})], "twice, once bad": [topic("twice b"), topic("twice b")],
        "a config twice": [{**topic("conf-twice"), "Configs": [{"Name": "retention.ms", "Value": v} for v in ("1000", "2000")]}],
        "empty config name": [topic("conf-empty", 1, 1, {"": "x"})], "config in capitals": [topic("conf-caps", 1, 1, {"Retention.Ms": "1"})],
        "empty config value": [topic("conf-value", 1, 1, {"retention.ms": ""})], "two bad configs": [topic("conf-two", 1, 1, {"retention.ms": "x", "segment.ms": "y"})],
        "bad config and bad count": [topic("conf-count", 0, 1, {"retention.ms": "x"})], "bad config and bad name": [topic("a b", 1, 1, {"retention.ms": "x"})],
        "a long config value": [topic("conf-long", 1, 1, {"leader.replication.throttled.replicas": "0:1," * 10000 + "0:1"})],
        "replication -1 and a count": [topic("r-1", 3, -1)], "count -1 and replication": [topic("p-1", -1, 1)],
    }
    for name, topics in cases.items():
        b.ask(f"CreateTopics, {name}", "CreateTopics", 7, create(topics))
    for version in range(2, 8):
        b.ask(f"CreateTopics v{version}, exists", "CreateTopics", version, create([topic("made-v2"), topic("a b"), topic("r2", 1, 2)]))
        b.ask(f"CreateTopics v{version}, only validated", "CreateTopics", version, create([topic("made-v2"), topic("validated-too", 2, 1, {"retention.ms": "7"})], True))
        b.ask(f"CreateTopics v{version}, counts of -1", "CreateTopics", version, create([topic("counts", -1, -1)], True))
    b.ask("CreateTopics, colliding in one request", "CreateTopics", 7, create([topic("one.two"), topic("one_two")], True))
    b.ask("CreateTopics, only validated", "CreateTopics", 7, create([topic("validated", 3)], True))
    b.ask("Metadata of the validated topic", "Metadata", 12, {"Topics": [{"Name": "validated"}], "AllowAutoTopicCreation": False})
    b.ask("CreateTopics, collision base", "CreateTopics", 7, create([topic("coll.ide")]))
    b.topic_ready("coll.ide")
    b.ask("CreateTopics, colliding name", "CreateTopics", 7, create([topic("coll_ide")]))
    for key, value in BAD_VALUES.items():
        b.ask(f"CreateTopics, bad {key}", "CreateTopics", 7, create([topic("bad-config", 1, 1, {key: value})], True))
    for key, value in GOOD_VALUES.items():
        b.ask(f"CreateTopics, {key}={value}", "CreateTopics", 7, create([topic("good-config", 1, 1, {key: value})], True))


def partitions(b):
    b.make("parts", 2)
    one = lambda name, count, assignments=None: {"Name": name, "Count": count, "Assignments": assignments}
    for version in range(4):
        count = 3 + version
        b.ask(f"CreatePartitions v{version}", "CreatePartitions", version, {"Topics": [one("parts", count)], "TimeoutMs": 10000})
        b.topic_ready("parts", count)
    # Not asked here: 10 million partitions. Kafka works on them for minutes and answers nothing else.
    for label, topics in {
        "missing topic": [one("missing", 3)], "fewer": [one("parts", 1)], "the same": [one("parts", 6)], "0": [one("parts", 0)],
        "twice": [one("parts", 7), one("parts", 8)],
        "too few assignments": [one("parts", 8, [{"BrokerIds": [b.node]}])],
        "unknown broker": [one("parts", 7, [{"BrokerIds": [99]}])], "two replicas": [one("parts", 7, [{"BrokerIds": [b.node, 99]}])],
        "no topics": [], "-1": [one("parts", -1)], "empty name": [one("", 3)], "bad name": [one("a b", 3)], "the metadata topic": [one("__cluster_metadata", 3)],
        "too many assignments": [one("parts", 7, [{"BrokerIds": [b.node]}] * 2)], "no assignments": [one("parts", 7, [])],
        "assigned to nobody": [one("parts", 7, [{"BrokerIds": []}])], "assigned twice to one broker": [one("parts", 7, [{"BrokerIds": [b.node, b.node]}])],
        "assigned to broker -1": [one("parts", 7, [{"BrokerIds": [-1]}])], "the same, assigned": [one("parts", 6, [{"BrokerIds": [b.node]}])],
        "missing topic, twice": [one("missing", 3), one("missing", 4)], "one good, one bad": [one("parts", 7), one("missing", 3)],
        "assigned": [one("parts", 8, [{"BrokerIds": [b.node]}])],
    }.items():
        b.ask(f"CreatePartitions, {label}", "CreatePartitions", 3, {"Topics": topics, "TimeoutMs": 10000})
    b.topic_ready("parts", 8)
    for version in range(4):
        b.ask(f"CreatePartitions v{version}, fewer", "CreatePartitions", version, {"Topics": [one("parts", 1), one("missing", 2)], "TimeoutMs": 10000})
    b.ask("CreatePartitions, only validated", "CreatePartitions", 3, {"Topics": [one("parts", 9)], "TimeoutMs": 10000, "ValidateOnly": True})


def removal(b):
    records(b)
    for version in range(1, 5):
        b.ask(f"DescribeLogDirs v{version}", "DescribeLogDirs", version, {"Topics": [{"Topic": "log", "Partitions": [0]}]})
    for label, topics in {
        "missing topic": [("missing", [0])], "missing partition": [("log", [7])], "negative partition": [("log", [-1])], "a partition twice": [("log", [0, 0])],
        "a topic twice": [("log", [0]), ("log", [0])], "no partitions": [("log", [])], "no topics": [], "two topics": [("log", [0]), ("parts", [1, 0, 3])],
        "empty name": [("", [0])],
    }.items():
        b.ask(f"DescribeLogDirs, {label}", "DescribeLogDirs", 4, {"Topics": [{"Topic": name, "Partitions": indexes} for name, indexes in topics]})
    for version in range(1, 7):
        names = ["missing", "a b", f"made-v{version + 1}"]
        body = {"Topics": [{"Name": name} for name in names]} if version >= 6 else {"TopicNames": names}
        b.ask(f"DeleteTopics v{version}", "DeleteTopics", version, {"TimeoutMs": 10000, **body})
    meta, parts = b.id_of("meta"), b.id_of("parts")
    by_id = lambda topic_id: {"Name": None, "TopicId": topic_id}
    for label, topics in {
        "missing": [{"Name": "missing"}], "unknown id": [by_id(UNKNOWN_ID)], "name and id": [{"Name": "meta", "TopicId": meta}],
        "neither": [by_id(NO_ID)], "neither, twice": [by_id(NO_ID)] * 2, "none": [], "bad name": [{"Name": "a b"}], "empty name": [{"Name": ""}],
        "a name twice": [{"Name": "parts"}] * 2, "a name three times": [{"Name": "parts"}] * 3, "an id twice": [by_id(parts)] * 2,
        "an id three times": [by_id(parts)] * 3, "by name and by id": [{"Name": "parts"}, by_id(parts)], "a missing name twice": [{"Name": "missing"}] * 2,
        "an unknown id twice": [by_id(UNKNOWN_ID)] * 2, "the metadata topic": [{"Name": "__cluster_metadata"}], "by id": [by_id(meta)], "by id again": [by_id(meta)],
    }.items():
        b.ask(f"DeleteTopics, {label}", "DeleteTopics", 6, {"Topics": topics, "TimeoutMs": 10000})
    b.ask("DeleteTopics v5, a name twice", "DeleteTopics", 5, {"TopicNames": ["parts", "parts"], "TimeoutMs": 10000})
    b.settle(lambda: b.metadata("meta")["ErrorCode"] == 3)
    b.ask("Metadata of the deleted topic", "Metadata", 9, {"Topics": [{"Name": "meta"}], "AllowAutoTopicCreation": False})
    b.ask("Metadata of the deleted id", "Metadata", 12, {"Topics": [{"Name": None, "TopicId": meta}]})
    b.ask("Produce to the deleted topic", "Produce", 9, produce_body("meta", batch(b"x")))
    b.ask("a deleted topic is made again", "CreateTopics", 7, create([topic("meta")]))


def records(b):
    """DeleteRecords, and what reads of the deleted say."""
    def body(name, offset, partition=0):
        return {"TimeoutMs": 5000, "Topics": [{"Name": name, "Partitions": [{"PartitionIndex": partition, "Offset": offset}]}]}
    for version in range(3):
        b.ask(f"DeleteRecords v{version}", "DeleteRecords", version, body("log", version + 1))
    for label, request in {
        "below the start": body("log", 1), "past the end": body("log", 999), "-2": body("log", -2), "missing topic": body("missing", 1),
        "missing partition": body("log", 1, 8), "negative partition": body("log", 1, -1), "compacted": body("compacted", 1),
        "up to the high watermark": body("idem", -1), "again": body("idem", -1), "offset 0": body("log", 0), "empty name": body("", 1),
        "bad name": body("a b", 1), "the metadata topic": body("__cluster_metadata", 1), "an empty log": body("roomy", -1), "an empty log, offset 0": body("roomy", 0),
        "no topics": {"TimeoutMs": 5000, "Topics": []}, "no partitions": {"TimeoutMs": 5000, "Topics": [{"Name": "log", "Partitions": []}]},
        "the lowest offset": body("log", -(1 << 63)), "two topics, one missing": {"TimeoutMs": 5000, "Topics": [
            *body("log", 3)["Topics"], *body("missing", 3)["Topics"]]},
        "in the middle of a batch": body("codecs", 5), "a partition twice": {"TimeoutMs": 5000, "Topics": [
            {"Name": "log", "Partitions": [{"PartitionIndex": 0, "Offset": 3}] * 2}]},
    }.items():
        b.ask(f"DeleteRecords, {label}", "DeleteRecords", 2, request)
    for name in ("log", "idem", "codecs"):
        b.ask(f"ListOffsets, earliest of {name} after DeleteRecords", "ListOffsets", 7, {"ReplicaId": -1, "Topics": [
            {"Name": name, "Partitions": [{"PartitionIndex": 0, "CurrentLeaderEpoch": -1, "Timestamp": -2}]}]})
        for offset in (0, 5):
            b.ask(f"Fetch, offset {offset} of {name} after DeleteRecords", "Fetch", 12, {
                "MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": 1 << 20, "SessionEpoch": -1, "Topics": [
                    {"Topic": name, "Partitions": [{"Partition": 0, "FetchOffset": offset, "PartitionMaxBytes": 1 << 20}]}]})
        b.ask(f"OffsetForLeaderEpoch of {name} after DeleteRecords", "OffsetForLeaderEpoch", 4, {"ReplicaId": -1, "Topics": [
            {"Topic": name, "Partitions": [{"Partition": 0, "CurrentLeaderEpoch": -1, "LeaderEpoch": 0}]}]})
    b.ask("DescribeProducers after DeleteRecords", "DescribeProducers", 0, {"Topics": [{"Name": "idem", "PartitionIndexes": [0]}]})
    b.ask("idempotent, goes on after DeleteRecords", "Produce", 9, produce_body("idem", batch(b"n", producer=(1004, 0, 7))))
    b.ask("idempotent, a gap after DeleteRecords", "Produce", 9, produce_body("idem", batch(b"n", producer=(1004, 0, 19))))
