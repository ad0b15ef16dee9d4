"""confluent-kafka (librdkafka): the features it has, against the broker of the plan."""

import json
import time

from confluent_kafka import (Consumer, ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, KafkaException,  # noqa: F401
                             Producer, TopicCollection, TopicPartition, OFFSET_BEGINNING)
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions,
                                   NewTopic, OffsetSpec, ResourceType)

from program import Program, dumped, eventually, expect, load

P = Program()
ADMIN = AdminClient({"bootstrap.servers": P.bootstrap})
WAIT = 20


def error_name(error):
    if isinstance(error, KafkaException):
        return error.args[0].name()
    return type(error).__name__


def one(futures):
    """The single future of an admin call."""
    (future,) = futures.values()
    return future.result(WAIT)


def create(topic, partitions, configs=None, replication=1, **kw):
    return one(ADMIN.create_topics([NewTopic(topic, partitions, replication, config=configs or {})],
                                   operation_timeout=10, **kw))


def produce(topic, codec, records, **extra):
    producer = Producer({"bootstrap.servers": P.bootstrap, "compression.type": codec, "enable.idempotence": True,
                         "linger.ms": 200, "message.max.bytes": 8 << 20, "message.timeout.ms": 20000, **extra})
    failures = []
    for r in records:
        kw = {} if r["ts"] is None else {"timestamp": r["ts"]}
        producer.produce(topic, value=r["v"], key=r["k"], partition=r["p"], headers=r["h"] or None,
                         on_delivery=lambda e, _: failures.append(e) if e else None, **kw)
    left = producer.flush(30)
    if failures:
        raise KafkaException(failures[0])
    expect(left, 0, "undelivered")


def write(topic):
    P.check("create", f"create {topic['topic']}", lambda: create(topic["topic"], topic["partitions"], topic["configs"]))
    P.check(topic["feature"], f"produce {topic['codec']}",
            lambda: produce(topic["topic"], topic["codec"], load(topic["corpus"])))


def config(topic, key):
    resource = ConfigResource(ResourceType.TOPIC, topic)
    entry = one(ADMIN.describe_configs([resource]))[key]
    return entry.value, entry.is_default


def alter(topic, key, value, op=AlterConfigOpType.SET):
    entry = ConfigEntry(key, value, incremental_operation=op)
    return one(ADMIN.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])]))


def offset(topic, spec):
    return one(ADMIN.list_offsets({TopicPartition(topic, 0): spec})).offset


def admin():
    t = f"{P.prefix}.admin"
    P.check("create", "create with configs", lambda: create(t, 3, {"retention.ms": "-1"}))

    def describe():
        got = one(ADMIN.describe_topics(TopicCollection([t])))
        expect(len(got.partitions), 3, "partitions")
        expect([p.leader is not None and len(p.isr) == 1 for p in got.partitions], [True] * 3, "leaders and isr")
    P.check("describe", "describe topic", describe)
    P.check("describe", "list topics", lambda: expect(t in ADMIN.list_topics(timeout=WAIT).topics, True, "listed"))

    def grow():
        one(ADMIN.create_partitions([NewPartitions(t, 5)]))
        eventually(lambda: len(one(ADMIN.describe_topics(TopicCollection([t]))).partitions), 5, "partitions")
    P.check("partitions", "grow to 5", grow)

    def configs():
        eventually(lambda: config(t, "retention.ms"), ("-1", False), "retention.ms")
        alter(t, "max.message.bytes", "2000")
        eventually(lambda: config(t, "max.message.bytes"), ("2000", False), "after set")
        alter(t, "cleanup.policy", "compact", AlterConfigOpType.APPEND)
        eventually(lambda: config(t, "cleanup.policy")[0], "delete,compact", "after append")
        alter(t, "cleanup.policy", "compact", AlterConfigOpType.SUBTRACT)
        eventually(lambda: config(t, "cleanup.policy")[0], "delete", "after subtract")
        alter(t, "max.message.bytes", None, AlterConfigOpType.DELETE)
        eventually(lambda: config(t, "max.message.bytes"), ("1048588", True), "after delete")
    P.check("configs", "incremental alter and describe", configs)

    def legacy():
        one(ADMIN.alter_configs([ConfigResource(ResourceType.TOPIC, t, set_config={"segment.ms": "3600000"})]))
        eventually(lambda: config(t, "segment.ms"), ("3600000", False), "segment.ms")
        eventually(lambda: config(t, "retention.ms"), ("604800000", True), "retention.ms, replaced by the full alter")
        alter(t, "retention.ms", "-1")
    P.check("configs", "alter replaces all", legacy)

    def records():
        base = 1_700_000_000_000
        produce(t, "none", [{"p": 0, "ts": base + i, "k": None, "v": b"v%d" % i, "h": []} for i in range(10)])
        expect(offset(t, OffsetSpec.earliest()), 0, "earliest")
        expect(offset(t, OffsetSpec.latest()), 10, "latest")
        expect(offset(t, OffsetSpec.max_timestamp()), 9, "max timestamp")
        expect(offset(t, OffsetSpec.for_timestamp(base + 6)), 6, "for timestamp")
        expect(offset(t, OffsetSpec.for_timestamp(base + 60)), -1, "for a later timestamp")
    P.check("list-offsets", "all specs", records)

    def delete_records():
        expect(one(ADMIN.delete_records([TopicPartition(t, 0, 4)])).low_watermark, 4, "low watermark")
        expect(offset(t, OffsetSpec.earliest()), 4, "earliest")
    P.check("delete-records", "up to 4", delete_records)

    def cluster():
        got = ADMIN.describe_cluster().result(WAIT)
        expect((len(got.nodes), bool(got.cluster_id), got.controller is not None), (1, True, True), "cluster")
    P.check("cluster", "describe", cluster)

    P.refuses("topic exists", "TOPIC_ALREADY_EXISTS", lambda: create(t, 1), error_name)
    P.refuses("bad topic name", "TOPIC_EXCEPTION", lambda: create("bad name!", 1), error_name)
    P.refuses("colliding topic name", "TOPIC_EXCEPTION", lambda: create(t.replace(".admin", "_admin"), 1), error_name)
    P.refuses("replication factor 3", "INVALID_REPLICATION_FACTOR", lambda: create(f"{P.prefix}.rf", 1, replication=3),
              error_name)
    P.refuses("bad config at create", "INVALID_CONFIG", lambda: create(f"{P.prefix}.cfg", 1, {"retention.ms": "soon"}),
              error_name)
    P.refuses("unknown config", "INVALID_CONFIG", lambda: alter(t, "no.such.config", "1"), error_name)
    P.refuses("bad config value", "INVALID_CONFIG", lambda: alter(t, "retention.ms", "soon"), error_name)
    P.refuses("fewer partitions", "INVALID_PARTITIONS", lambda: one(ADMIN.create_partitions([NewPartitions(t, 2)])),
              error_name)
    P.refuses("delete records past the end", "OFFSET_OUT_OF_RANGE",
              lambda: one(ADMIN.delete_records([TopicPartition(t, 0, 1000)])), error_name)

    def too_large():
        alter(t, "max.message.bytes", "2000")
        eventually(lambda: config(t, "max.message.bytes"), ("2000", False), "before the produce")
        produce(t, "none", [{"p": 0, "ts": None, "k": None, "v": b"x" * 10000, "h": []}])
    P.refuses("record too large", "MSG_SIZE_TOO_LARGE", too_large, error_name)
    P.refuses("unknown topic, no auto-creation", "UNKNOWN_TOPIC_OR_PART",
              lambda: one(ADMIN.describe_topics(TopicCollection([f"{P.prefix}.missing"]))), error_name)
    P.refuses("delete a missing topic", "UNKNOWN_TOPIC_OR_PART",
              lambda: one(ADMIN.delete_topics([f"{P.prefix}.missing"])), error_name)

    def delete():
        one(ADMIN.delete_topics([t]))
        deadline = time.monotonic() + 10
        while t in ADMIN.list_topics(timeout=WAIT).topics:
            assert time.monotonic() < deadline, "still listed after 10 s"
            time.sleep(0.05)
    P.check("delete", "delete topic", delete)


def read(job):
    consumer = Consumer({"bootstrap.servers": P.bootstrap, "group.id": "unused", "enable.auto.commit": False,
                         "fetch.message.max.bytes": 8 << 20, "check.crcs": True})
    try:
        if job["from"] == "time":
            asked = [TopicPartition(job["topic"], p, job["value"]) for p in job["partitions"]]
            assigned = consumer.offsets_for_times(asked, timeout=WAIT)
        else:
            start = OFFSET_BEGINNING if job["from"] == "start" else job["value"]
            assigned = [TopicPartition(job["topic"], p, start) for p in job["partitions"]]
        consumer.assign(assigned)
        out, deadline = [], time.monotonic() + WAIT
        while len(out) < job["expect"] and time.monotonic() < deadline:
            for m in consumer.consume(job["expect"] - len(out), 1):
                if m.error():
                    raise KafkaException(m.error())
                out.append(dumped(m.partition(), m.offset(), m.timestamp()[1], m.key(), m.value(), m.headers()))
        json.dump(out, open(job["out"], "w"))
        expect(len(out), job["expect"], "records")
    finally:
        consumer.close()


for entry in P.plan.get("topics", []):
    write(entry)
if P.plan.get("admin"):
    admin()
for entry in P.plan.get("reads", []):
    P.check(entry["feature"], f"read {entry['topic']} from {entry['from']}", lambda: read(entry))
P.done()
