"""The requests of the differential: the same, in the same order, for both brokers.

`run(broker)` sends them and collects what came back under a name. A case is one request;
a case that must find something (a topic, records) creates it earlier. Names of topics are
fixed, so both brokers must be fresh. Where Kafka applies a change a little after it
answered, `settle` waits.
"""

import os
import struct
import sys
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "clients", "lib"))

import batches  # noqa: E402
import wire  # noqa: E402

# An hour ago, the same for both brokers: old records would be removed by the default retention.
TS = int(time.time()) * 1000 - 3_600_000
# Ours lists what it has: only those names are compared.
BROKER_CONFIGS = "DescribeConfigs of the broker"
NO_ID = str(uuid.UUID(int=0))
UNKNOWN_ID = str(uuid.UUID(int=0x1234567890ABCDEF1234567890ABCDEF))
BAD_VALUES = {
    "cleanup.policy": "maybe", "compression.type": "rar", "compression.gzip.level": "12", "compression.lz4.level": "99",
    "compression.zstd.level": "100", "delete.retention.ms": "-1", "file.delete.delay.ms": "x", "flush.messages": "0",
    "flush.ms": "-1", "index.interval.bytes": "-1", "local.retention.bytes": "-3", "local.retention.ms": "-3",
    "max.compaction.lag.ms": "0", "max.message.bytes": "-1", "message.timestamp.after.max.ms": "-1",
    "message.timestamp.before.max.ms": "-1", "message.timestamp.type": "Sometimes", "min.cleanable.dirty.ratio": "1.5",
    "min.compaction.lag.ms": "-1", "min.insync.replicas": "0", "preallocate": "1", "remote.storage.enable": "yes",
    "retention.bytes": "1.5", "retention.ms": "-2", "segment.bytes": "1000", "segment.index.bytes": "3",
    "segment.jitter.ms": "-1", "segment.ms": "0", "unclean.leader.election.enable": "2",
    "leader.replication.throttled.replicas": "nonsense", "no.such.config": "1",
}
GOOD_VALUES = {
    "cleanup.policy": "compact,delete", "compression.type": "zstd", "compression.gzip.level": "9",
    "delete.retention.ms": "1000", "file.delete.delay.ms": "1000", "index.interval.bytes": "1024",
    "max.message.bytes": "2000", "message.timestamp.after.max.ms": "1000", "message.timestamp.type": "LogAppendTime",
    "min.insync.replicas": "2", "retention.bytes": "1000000", "retention.ms": " 1000 ", "segment.bytes": "1048576",
    "segment.ms": "60000", "unclean.leader.election.enable": "TRUE",
}


class Broker:
    """One side: a connection, the ids that must be made comparable, the collected replies."""

    def __init__(self, bootstrap, protocol):
        self.bootstrap, self.protocol = bootstrap, protocol
        self.replies, self.ids = {}, {}
        self.connect()
        node = self.connection.request("Metadata", 12, {"Topics": []})["Brokers"][0]
        self.node = node["NodeId"]

    def connect(self):
        self.connection = wire.Connection(self.bootstrap, self.protocol)

    def ask(self, name, api, version, body=None):
        """Sends one request and keeps the reply as the case `name`; a closed connection is a reply."""
        assert name not in self.replies, f"two cases are called {name}"
        try:
            reply = self.connection.request(api, version, body)
        except wire.WireError as error:
            reply = "connection closed" if "closed" in str(error) else f"unreadable: {error}"
            self.connect()
        except TimeoutError:
            reply = "no answer"
            self.connect()
        self.replies[name] = reply
        return reply

    def raw(self, name, data):
        """Sends raw bytes on a connection of their own: an answer, or closed."""
        with wire.Connection(self.bootstrap, self.protocol, timeout=5) as connection:
            connection.send_raw(data)
            try:
                reply = connection.receive_raw()
            except TimeoutError:
                reply = "no answer"
        self.replies[name] = {"closed": True} if reply is None else {"frame": reply if isinstance(reply, str) else reply.hex()}

    def settle(self, ready):
        """Waits until a condition on a fresh reply holds (at most 10 s)."""
        deadline = time.monotonic() + 10
        while not ready() and time.monotonic() < deadline:
            time.sleep(0.05)

    def metadata(self, topic):
        return self.connection.request("Metadata", 12, {"Topics": [{"Name": topic}], "AllowAutoTopicCreation": False})["Topics"][0]

    def topic_ready(self, topic, partitions=1):
        self.settle(lambda: len(self.metadata(topic)["Partitions"]) == partitions and self.metadata(topic)["ErrorCode"] == 0)
        self.ids[self.metadata(topic)["TopicId"]] = topic

    def config(self, topic, key):
        reply = self.connection.request("DescribeConfigs", 4, {"Resources": [
            {"ResourceType": 2, "ResourceName": topic, "ConfigurationKeys": [key]}]})
        configs = reply["Results"][0]["Configs"]
        return configs[0]["Value"] if configs else None


def topic(name, partitions=1, replication=1, configs=None, assignments=None):
    return {"Name": name, "NumPartitions": partitions, "ReplicationFactor": replication,
            "Configs": [{"Name": k, "Value": v} for k, v in (configs or {}).items()],
            "Assignments": [{"PartitionIndex": p, "BrokerIds": b} for p, b in (assignments or {}).items()]}


def create(topics, validate=False):
    return {"Topics": topics, "timeoutMs": 10000, "validateOnly": validate}


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
        "no topics": [],
    }
    for name, topics in cases.items():
        b.ask(f"CreateTopics, {name}", "CreateTopics", 7, create(topics))
    b.ask("CreateTopics, only validated", "CreateTopics", 7, create([topic("validated", 3)], True))
    b.ask("Metadata of the validated topic", "Metadata", 12, {"Topics": [{"Name": "validated"}], "AllowAutoTopicCreation": False})
    b.ask("CreateTopics, collision base", "CreateTopics", 7, create([topic("coll.ide")]))
    b.topic_ready("coll.ide")
    b.ask("CreateTopics, colliding name", "CreateTopics", 7, create([topic("coll_ide")]))
    for key, value in BAD_VALUES.items():
        b.ask(f"CreateTopics, bad {key}", "CreateTopics", 7, create([topic("bad-config", 1, 1, {key: value})], True))
    for key, value in GOOD_VALUES.items():
        b.ask(f"CreateTopics, {key}={value}", "CreateTopics", 7, create([topic("good-config", 1, 1, {key: value})], True))


def metadata(b):
    b.ask("make the topic of the metadata cases", "CreateTopics", 7, create([topic("meta", 2)]))
    b.topic_ready("meta", 2)
    topic_id = next(i for i, n in b.ids.items() if n == "meta")
    for version in range(14):
        b.ask(f"Metadata v{version}", "Metadata", version, {"Topics": [{"Name": "meta"}]})
        if version >= 4:
            b.ask(f"Metadata v{version}, missing", "Metadata", version,
                  {"Topics": [{"Name": "missing"}], "AllowAutoTopicCreation": False})
        if version >= 1:
            b.ask(f"Metadata v{version}, none", "Metadata", version, {"Topics": []})
    for name in ("", "bad name", "..", "x" * 250):
        b.ask(f"Metadata, name {name[:9]!r}", "Metadata", 9, {"Topics": [{"Name": name}], "AllowAutoTopicCreation": True})
    b.ask("Metadata, twice the same", "Metadata", 9, {"Topics": [{"Name": "meta"}, {"Name": "meta"}]})
    b.ask("Metadata by id", "Metadata", 12, {"Topics": [{"TopicId": topic_id, "Name": None}]})
    b.ask("Metadata by unknown id", "Metadata", 12, {"Topics": [{"TopicId": UNKNOWN_ID, "Name": None}]})
    b.ask("Metadata by id and name", "Metadata", 12, {"Topics": [{"TopicId": topic_id, "Name": "meta"}]})
    b.ask("Metadata, no id and no name", "Metadata", 12, {"Topics": [{"TopicId": NO_ID, "Name": None}]})
    b.ask("Metadata with authorized operations", "Metadata", 9, {
        "Topics": [{"Name": "meta"}], "IncludeTopicAuthorizedOperations": True})
    b.ask("Metadata creates a topic", "Metadata", 9, {"Topics": [{"Name": "auto"}], "AllowAutoTopicCreation": True})
    b.topic_ready("auto")
    b.ask("Metadata of the created topic", "Metadata", 9, {"Topics": [{"Name": "auto"}]})
    for version in range(3):
        b.ask(f"DescribeCluster v{version}", "DescribeCluster", version, {})
    b.ask("DescribeCluster, controllers' endpoint", "DescribeCluster", 1, {"EndpointType": 2})
    for label, body in {
        "two, one missing": {"Topics": [{"Name": "missing"}, {"Name": "meta"}]},
        "one partition": {"Topics": [{"Name": "meta"}], "ResponsePartitionLimit": 1},
        "from a cursor": {"Topics": [{"Name": "meta"}], "Cursor": {"TopicName": "meta", "PartitionIndex": 1}},
        "limit 0": {"Topics": [{"Name": "meta"}], "ResponsePartitionLimit": 0},
        "negative cursor": {"Topics": [{"Name": "meta"}], "Cursor": {"TopicName": "meta", "PartitionIndex": -1}},
    }.items():
        b.ask(f"DescribeTopicPartitions, {label}", "DescribeTopicPartitions", 0, {"ResponsePartitionLimit": 2000, **body})


def partitions(b):
    b.ask("make the topic of the partition cases", "CreateTopics", 7, create([topic("parts", 2)]))
    b.topic_ready("parts", 2)
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
        "no topics": [],
    }.items():
        b.ask(f"CreatePartitions, {label}", "CreatePartitions", 3, {"Topics": topics, "TimeoutMs": 10000})
    b.ask("CreatePartitions, only validated", "CreatePartitions", 3, {"Topics": [one("parts", 9)], "TimeoutMs": 10000, "ValidateOnly": True})


def batch(*values, **keywords):
    return batches.build([(b"k", v) for v in values], timestamp=keywords.pop("timestamp", TS), **keywords)


def produce_body(name, records, partition=0, acks=-1, transactional=None):
    return {"TransactionalId": transactional, "Acks": acks, "TimeoutMs": 5000, "TopicData": [
        {"Name": name, "PartitionData": [{"Index": partition, "Records": records}]}]}


def produce(b):
    for name, configs in [("log", {}), ("compacted", {"cleanup.policy": "compact"}), ("appendtime", {
            "message.timestamp.type": "LogAppendTime"}), ("idem", {}), ("small", {"max.message.bytes": "200"})]:
        b.ask(f"make the topic {name}", "CreateTopics", 7, create([topic(name, 1, 1, configs)]))
        b.topic_ready(name)
    for version in range(3, 13):
        b.ask(f"Produce v{version}", "Produce", version, produce_body("log", batch(b"a%d" % version, timestamp=TS + version)))
    topic_id = next(i for i, n in b.ids.items() if n == "log")
    by_id = lambda i: {"Acks": -1, "TimeoutMs": 5000, "TopicData": [
        {"TopicId": i, "PartitionData": [{"Index": 0, "Records": batch(b"a13", timestamp=TS + 13)}]}]}
    b.ask("Produce v13", "Produce", 13, by_id(topic_id))
    b.ask("Produce v13, unknown id", "Produce", 13, by_id(UNKNOWN_ID))
    good, now = batch(b"x"), int(time.time() * 1000)
    zstd = batch(b"x", attributes=4)
    # Not asked here: null records. Kafka never answers such a request, which is nothing to follow.
    for label, name, records in [
        ("missing topic", "missing", good), ("bad crc", "log", batch(b"x", crc=1)), ("magic 1", "log", batch(b"x", magic=1)),
        ("magic 3", "log", batch(b"x", magic=3)), ("count too high", "log", batch(b"x", count=2)), ("count 0", "log", batch(b"x", count=0)),
        ("no bytes", "log", b""), ("two batches", "log", good + good), ("base offset 5", "log", batch(b"x", base_offset=5)),
        ("half a batch", "log", good[:30]), ("control batch", "log", batch(b"x", attributes=32)), ("codec 7", "log", batch(b"x", attributes=7)),
        ("zstd that is none", "log", zstd), ("too large", "small", batch(b"x" * 300)), ("null key, compacted", "compacted", batches.build(
            [(None, b"v")], timestamp=TS)), ("a day ahead", "log", batch(b"x", timestamp=now + 86_400_000)),
        ("producer id, sequence -1", "log", batch(b"x", producer=(5, 0, -1))), ("transactional flag alone", "log", batch(b"x", attributes=16)),
    ]:
        b.ask(f"Produce, {label}", "Produce", 9, produce_body(name, records))
    b.ask("Produce, missing partition", "Produce", 9, produce_body("log", good, 7))
    b.ask("Produce, acks 2", "Produce", 9, produce_body("log", good, acks=2))
    b.ask("Produce v6, zstd", "Produce", 6, produce_body("log", zstd))
    b.ask("Produce to a compacted topic", "Produce", 9, produce_body("compacted", good))
    b.ask("Produce, log append time", "Produce", 9, produce_body("appendtime", good))
    b.ask("Produce, acks 1", "Produce", 9, produce_body("log", good, acks=1))
    b.ask("Produce to two partitions, one missing", "Produce", 9, {"Acks": -1, "TimeoutMs": 5000, "TopicData": [
        {"Name": "log", "PartitionData": [{"Index": 0, "Records": good}, {"Index": 9, "Records": good}]}]})


def idempotence(b):
    # A fresh Kafka asks its controller for a block of ids and answers 14 (try again) meanwhile.
    b.settle(lambda: b.connection.request("InitProducerId", 4, {"TransactionalId": None, "TransactionTimeoutMs": 60000})["ErrorCode"] != 14)
    for version in range(6):
        b.ask(f"InitProducerId v{version}", "InitProducerId", version, {"TransactionalId": None, "TransactionTimeoutMs": 60000})
    b.ask("InitProducerId, empty transactional id", "InitProducerId", 4, {"TransactionalId": "", "TransactionTimeoutMs": 60000})
    # Producer ids that the broker did not hand out: both brokers must not care.
    for label, producer in [
        ("first", (1000, 0, 0)), ("second", (1000, 0, 1)), ("duplicate of the first", (1000, 0, 0)), ("third", (1000, 0, 2)),
        ("duplicate of the second", (1000, 0, 1)), ("gap", (1000, 0, 9)), ("next epoch, sequence 1", (1000, 1, 1)),
        ("next epoch, sequence 0", (1000, 1, 0)), ("old epoch", (1000, 0, 3)), ("unknown producer, sequence 7", (1001, 0, 7)),
        ("that one goes on", (1001, 0, 8)), ("negative epoch", (1002, -1, 0)), ("last sequence", (1003, 0, 0x7FFFFFFF)),
        ("wrapped sequence", (1003, 0, 0)),
    ]:
        b.ask(f"idempotent, {label}", "Produce", 9, produce_body("idem", batch(label.encode(), producer=producer)))
    for number in range(7):
        b.ask(f"idempotent, filling the window {number}", "Produce", 9, produce_body("idem", batch(b"w", producer=(1004, 0, number))))
    b.ask("idempotent, a duplicate in the window", "Produce", 9, produce_body("idem", batch(b"w", producer=(1004, 0, 2))))
    b.ask("idempotent, a duplicate before the window", "Produce", 9, produce_body("idem", batch(b"w", producer=(1004, 0, 0))))
    for label, names in {"one": ("idem", [0]), "missing partition": ("idem", [5]), "missing topic": ("missing", [0])}.items():
        b.ask(f"DescribeProducers, {label}", "DescribeProducers", 0, {"Topics": [{"Name": names[0], "PartitionIndexes": names[1]}]})


def list_offsets(b):
    def body(name, when, partition=0, epoch=-1, isolation=0):
        return {"ReplicaId": -1, "IsolationLevel": isolation, "Topics": [
            {"Name": name, "Partitions": [{"PartitionIndex": partition, "CurrentLeaderEpoch": epoch, "Timestamp": when}]}]}
    for version in range(1, 12):
        for when in (-1, -2, -3, -4, -5, -6, -7, 0, TS + 5, TS + 86_400_000):
            label = when if when < TS else f"TS+{when - TS}"
            b.ask(f"ListOffsets v{version} at {label}", "ListOffsets", version, body("log", when))
    for label, request in {
        "missing topic": body("missing", -1), "missing partition": body("log", -1, 4), "newer epoch": body("log", -1, epoch=5),
        "this epoch": body("log", -1, epoch=0), "read committed": body("log", -1, isolation=1), "empty topic": body("meta", -3),
        "by time in an empty topic": body("meta", TS),
    }.items():
        b.ask(f"ListOffsets, {label}", "ListOffsets", 7, request)
    twice = body("log", -1)
    twice["Topics"][0]["Partitions"] *= 2
    b.ask("ListOffsets, partition twice", "ListOffsets", 7, twice)
    for version in range(2, 5):
        for label, epochs in {"current": (0, -1), "future": (5, -1), "fenced by newer": (0, 7)}.items():
            b.ask(f"OffsetForLeaderEpoch v{version}, {label}", "OffsetForLeaderEpoch", version, {"ReplicaId": -1, "Topics": [
                {"Topic": "log", "Partitions": [{"Partition": 0, "CurrentLeaderEpoch": epochs[1], "LeaderEpoch": epochs[0]}]}]})
    b.ask("OffsetForLeaderEpoch, missing topic", "OffsetForLeaderEpoch", 4, {"ReplicaId": -1, "Topics": [
        {"Topic": "missing", "Partitions": [{"Partition": 0, "LeaderEpoch": 0}]}]})


def fetch(b):
    topic_id = next(i for i, n in b.ids.items() if n == "log")

    def body(version, offset=0, partition=0, epoch=-1, session=(0, -1), topics=True, size=1 << 20, name="log", **more):
        which = {"TopicId": more.pop("topic_id", topic_id)} if version >= 13 else {"Topic": name}
        return {"MaxWaitMs": 100, "MinBytes": 1, "MaxBytes": 1 << 24, "SessionId": session[0], "SessionEpoch": session[1],
                "Topics": [{**which, "Partitions": [{"Partition": partition, "CurrentLeaderEpoch": epoch, "FetchOffset": offset,
                                                    "PartitionMaxBytes": size}]}] if topics else [], **more}
    for version in range(4, 19):
        b.ask(f"Fetch v{version}", "Fetch", version, body(version))
    for label, request in {
        "in the middle": body(12, 4), "at the end": body(12, 14), "past the end": body(12, 500), "below the start": body(12, -5),
        "missing partition": body(12, partition=3), "missing topic": body(12, name="missing"), "newer epoch": body(12, epoch=3),
        "this epoch": body(12, epoch=0), "one byte": body(12, size=1), "read committed": body(12, IsolationLevel=1),
        "nothing asked": body(12, topics=False), "unknown session": body(12, session=(424242, 1)), "session epoch 5 of none": body(12, session=(0, 5)),
    }.items():
        b.ask(f"Fetch, {label}", "Fetch", 12, request)
    b.ask("Fetch, unknown topic id", "Fetch", 16, body(16, topic_id=UNKNOWN_ID))
    b.ask("Fetch, batches of the idempotent topic", "Fetch", 12, body(12, name="idem"))
    b.ask("Fetch, log append time", "Fetch", 12, body(12, name="appendtime"))
    full = b.ask("Fetch, a session begins", "Fetch", 12, body(12, session=(0, 0)))
    session = full["SessionId"] if isinstance(full, dict) else 0
    b.ask("Fetch, the session goes on with nothing new", "Fetch", 12, body(12, topics=False, session=(session, 1), MinBytes=0))
    b.ask("Fetch, wrong session epoch", "Fetch", 12, body(12, topics=False, session=(session, 9)))
    b.ask("Fetch, the session ends", "Fetch", 12, body(12, topics=False, session=(session, -1)))
    b.ask("Fetch, the ended session", "Fetch", 12, body(12, topics=False, session=(session, 2)))


def configs(b):
    b.ask("make the topic of the config cases", "CreateTopics", 7, create([topic("conf", 1, 1, {"retention.ms": "5000", "cleanup.policy": "compact"})]))
    b.topic_ready("conf")

    def describe(kind, name, keys=None, **more):
        return {"Resources": [{"ResourceType": kind, "ResourceName": name, "ConfigurationKeys": keys}], **more}
    for version in range(1, 5):
        b.ask(f"DescribeConfigs v{version}", "DescribeConfigs", version, describe(2, "conf", IncludeSynonyms=True))
    b.ask("DescribeConfigs of defaults", "DescribeConfigs", 4, describe(2, "meta", IncludeSynonyms=True))
    b.ask("DescribeConfigs without synonyms", "DescribeConfigs", 4, describe(2, "conf"))
    b.ask(BROKER_CONFIGS, "DescribeConfigs", 4, describe(4, str(b.node), IncludeSynonyms=True))
    for label, request in {
        "two keys": describe(2, "conf", ["retention.ms", "no.such.key"]), "no keys": describe(2, "conf", []),
        "missing topic": describe(2, "missing"), "empty topic name": describe(2, ""), "bad topic name": describe(2, "a b"),
        "another broker": describe(4, "99"), "broker with a bad name": describe(4, "x"), "unknown type": describe(77, "x"), "type 0": describe(0, "x"),
        "twice": {"Resources": [{"ResourceType": 2, "ResourceName": "conf", "ConfigurationKeys": ["retention.ms"]}] * 2},
    }.items():
        b.ask(f"DescribeConfigs, {label}", "DescribeConfigs", 4, request)

    def incremental(name, *changes, kind=2, validate=False):
        return {"ValidateOnly": validate, "Resources": [{"ResourceType": kind, "ResourceName": name, "Configs": [
            {"Name": k, "ConfigOperation": op, "Value": v} for k, op, v in changes]}]}
    for version in range(2):
        b.ask(f"IncrementalAlterConfigs v{version}", "IncrementalAlterConfigs", version, incremental("conf", ("segment.ms", 0, str(60000 + version))))
    b.settle(lambda: b.config("conf", "segment.ms") == "60001")
    for label, request in {
        "missing topic": incremental("missing", ("retention.ms", 0, "1")), "bad topic name": incremental("a b", ("retention.ms", 0, "1")),
        "append to a list": incremental("conf", ("cleanup.policy", 2, "delete")), "append what is there": incremental("conf", ("cleanup.policy", 2, "delete")),
        "subtract": incremental("conf", ("cleanup.policy", 3, "delete")), "append to a number": incremental("conf", ("retention.ms", 2, "1")),
        "null value": incremental("conf", ("retention.ms", 0, None)), "operation 9": incremental("conf", ("retention.ms", 9, "1")),
        "delete what is not set": incremental("conf", ("segment.bytes", 1, None)), "delete unknown": incremental("conf", ("no.such", 1, None)),
        "the same key twice": incremental("conf", ("retention.ms", 0, "1"), ("retention.ms", 0, "2")),
        "no changes": incremental("conf"), "unknown type": incremental("x", ("a", 0, "b"), kind=77),
        "one good, one bad": incremental("conf", ("segment.ms", 0, "70000"), ("retention.ms", 0, "soon")),
        "only validated": incremental("conf", ("segment.ms", 0, "80000"), validate=True),
    }.items():
        b.ask(f"IncrementalAlterConfigs, {label}", "IncrementalAlterConfigs", 1, request)
        time.sleep(0.1)
    for key, value in BAD_VALUES.items():
        b.ask(f"IncrementalAlterConfigs, bad {key}", "IncrementalAlterConfigs", 1, incremental("conf", (key, 0, value), validate=True))
    b.ask("DescribeConfigs after the changes", "DescribeConfigs", 4, describe(2, "conf", IncludeSynonyms=True))

    def full(name, configs, validate=False, kind=2):
        return {"ValidateOnly": validate, "Resources": [{"ResourceType": kind, "ResourceName": name, "Configs": [
            {"Name": k, "Value": v} for k, v in configs]}]}
    for version in range(3):
        b.ask(f"AlterConfigs v{version}", "AlterConfigs", version, full("conf", [("segment.ms", str(90000 + version))]))
    for label, request in {
        "missing topic": full("missing", []), "bad value": full("conf", [("retention.ms", "soon")]), "unknown key": full("conf", [("no.such", "1")]),
        "the same key twice": full("conf", [("retention.ms", "1"), ("retention.ms", "2")]), "null value": full("conf", [("retention.ms", None)]),
        "unknown type": full("x", [("a", "b")], kind=77),
    }.items():
        b.ask(f"AlterConfigs, {label}", "AlterConfigs", 2, request)
    b.settle(lambda: b.config("conf", "segment.ms") == "90002")
    b.ask("DescribeConfigs after the full alter", "DescribeConfigs", 4, describe(2, "conf", IncludeSynonyms=True))
    for version in range(2):
        b.ask(f"ListConfigResources v{version}, topics", "ListConfigResources", version, {"ResourceTypes": [2]} if version else {})


def removal(b):
    def records(name, offset, partition=0):
        return {"TimeoutMs": 5000, "Topics": [{"Name": name, "Partitions": [{"PartitionIndex": partition, "Offset": offset}]}]}
    for version in range(3):
        b.ask(f"DeleteRecords v{version}", "DeleteRecords", version, records("log", version + 1))
    for label, request in {
        "below the start": records("log", 1), "past the end": records("log", 999), "-2": records("log", -2), "missing topic": records("missing", 1),
        "missing partition": records("log", 1, 8), "compacted": records("compacted", 1), "up to the high watermark": records("idem", -1),
    }.items():
        b.ask(f"DeleteRecords, {label}", "DeleteRecords", 2, request)
    b.ask("ListOffsets, earliest after DeleteRecords", "ListOffsets", 7, {"ReplicaId": -1, "Topics": [
        {"Name": "log", "Partitions": [{"PartitionIndex": 0, "CurrentLeaderEpoch": -1, "Timestamp": -2}]}]})
    b.ask("Fetch, a deleted offset", "Fetch", 12, {"MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": 1 << 20, "SessionEpoch": -1, "Topics": [
        {"Topic": "log", "Partitions": [{"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1 << 20}]}]})
    for version in range(1, 5):
        b.ask(f"DescribeLogDirs v{version}", "DescribeLogDirs", version, {"Topics": [{"Topic": "log", "Partitions": [0]}]})
    b.ask("DescribeLogDirs, missing topic", "DescribeLogDirs", 4, {"Topics": [{"Topic": "missing", "Partitions": [0]}]})
    for version in range(1, 7):
        body = {"Topics": [{"Name": f"made-v{version + 1}"}]} if version >= 6 else {"TopicNames": [f"made-v{version + 1}"]}
        b.ask(f"DeleteTopics v{version}", "DeleteTopics", version, {"TimeoutMs": 10000, **body})
    meta_id = next(i for i, n in b.ids.items() if n == "meta")
    for label, topics in {
        "missing": [{"Name": "missing"}], "unknown id": [{"Name": None, "TopicId": UNKNOWN_ID}], "name and id": [{"Name": "meta", "TopicId": meta_id}],
        "neither": [{"Name": None, "TopicId": NO_ID}], "none": [], "bad name": [{"Name": "a b"}],
        "by id": [{"Name": None, "TopicId": meta_id}],
    }.items():
        b.ask(f"DeleteTopics, {label}", "DeleteTopics", 6, {"Topics": topics, "TimeoutMs": 10000})
    b.settle(lambda: b.metadata("meta")["ErrorCode"] == 3)
    b.ask("Metadata of the deleted topic", "Metadata", 9, {"Topics": [{"Name": "meta"}], "AllowAutoTopicCreation": False})
    b.ask("Produce to the deleted topic", "Produce", 9, produce_body("meta", batch(b"x")))


def rest(b):
    for version in range(1, 4):
        b.ask(f"DescribeAcls v{version}", "DescribeAcls", version, {"ResourceTypeFilter": 1, "PatternTypeFilter": 1, "Operation": 1, "PermissionType": 1})
        b.ask(f"CreateAcls v{version}", "CreateAcls", version, {"Creations": [{"ResourceType": 2, "ResourceName": "t", "ResourcePatternType": 3,
              "Principal": "User:a", "Host": "*", "Operation": 3, "PermissionType": 3}]})
        b.ask(f"DeleteAcls v{version}", "DeleteAcls", version, {"Filters": [{"ResourceTypeFilter": 2, "PatternTypeFilter": 1, "Operation": 1,
              "PermissionType": 1}]})
    for version in range(3):
        b.ask(f"DescribeQuorum v{version}", "DescribeQuorum", version, {"Topics": [
            {"TopicName": "__cluster_metadata", "Partitions": [{"PartitionIndex": 0}]}]})
    b.ask("DescribeQuorum, another topic", "DescribeQuorum", 1, {"Topics": [{"TopicName": "log", "Partitions": [{"PartitionIndex": 0}]}]})
    b.ask("UpdateFeatures, unknown feature", "UpdateFeatures", 1, {"timeoutMs": 5000, "FeatureUpdates": [
        {"Feature": "no.such.feature", "MaxVersionLevel": 1, "UpgradeType": 1}]})
    b.ask("FindCoordinator, unknown key type", "FindCoordinator", 4, {"KeyType": 9, "CoordinatorKeys": ["g"]})


def run(broker):
    for part in (api_versions, hostile, create_topics, metadata, partitions, produce, idempotence, list_offsets, fetch, configs,
                 removal, rest):
        part(broker)
    return broker
