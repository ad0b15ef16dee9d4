"""kafka-python (no librdkafka in it): the features it has, against the broker of the plan."""

import json
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import AlterConfigOp, ConfigResource, ConfigResourceType, OffsetSpec

from program import Program, dumped, eventually, expect, load

P = Program()
ADMIN = KafkaAdminClient(bootstrap_servers=P.bootstrap)
WAIT = 20


class Refused(Exception):
    """An error that the client gives back as text instead of raising it."""


def error_name(error):
    if isinstance(error, Refused):
        return str(error).split("] ", 1)[-1].split(":", 1)[0]
    return type(error).__name__


def create(topic, partitions, configs=None, replication=1):
    return ADMIN.create_topics({topic: {"num_partitions": partitions, "replication_factor": replication,
                                        "configs": configs or {}}})


def produce(topic, codec, records):
    producer = KafkaProducer(bootstrap_servers=P.bootstrap, compression_type=None if codec == "none" else codec,
                             enable_idempotence=True, acks="all", linger_ms=200, max_request_size=8 << 20,
                             batch_size=1 << 18)
    try:
        sent = [producer.send(topic, value=r["v"], key=r["k"], headers=r["h"], partition=r["p"], timestamp_ms=r["ts"])
                for r in records]
        for future in sent:
            future.get(WAIT)
    finally:
        producer.close(timeout=10)


def write(topic):
    P.check("create", f"create {topic['topic']}", lambda: create(topic["topic"], topic["partitions"], topic["configs"]))
    P.check(topic["feature"], f"produce {topic['codec']}",
            lambda: produce(topic["topic"], topic["codec"], load(topic["corpus"])))


def resource(topic, configs=None):
    return ConfigResource(ConfigResourceType.TOPIC, topic, configs)


def config(topic, key):
    entry = ADMIN.describe_configs([resource(topic)], config_filter="all")["topic"][topic][key]
    return entry["value"]


def alter(topic, key, value, op=AlterConfigOp.SET, incremental=True):
    change = (op, value) if incremental else value
    answer = ADMIN.alter_configs([resource(topic, {key: change})], raise_on_unknown=False, incremental=incremental)
    # This client reports the error as text: "[Error 40] InvalidConfigurationError: ...".
    outcome = str(answer["topic"][topic])
    if "Error" in outcome.replace("NoError", ""):
        raise Refused(outcome)
    return answer


def offset(topic, spec):
    tp = TopicPartition(topic, 0)
    return ADMIN.list_partition_offsets({tp: spec})[tp].offset


def admin():
    t = f"{P.prefix}.admin"
    P.check("create", "create with configs", lambda: create(t, 3, {"retention.ms": "-1"}))

    def describe():
        (got,) = ADMIN.describe_topics([t])
        expect(len(got["partitions"]), 3, "partitions")
        expect(all(p["leader_id"] >= 0 and len(p["isr_nodes"]) == 1 for p in got["partitions"]), True, "leaders and isr")
    P.check("describe", "describe topic", describe)
    P.check("describe", "list topics", lambda: expect(t in ADMIN.list_topics(), True, "listed"))
    P.check("describe", "describe topic partitions (key 75)",
            lambda: expect(len(ADMIN.describe_topic_partitions([t])["topics"][0]["partitions"]), 3, "partitions"))

    def grow():
        ADMIN.create_partitions({t: 5})
        eventually(lambda: len(ADMIN.describe_topics([t])[0]["partitions"]), 5, "partitions")
    P.check("partitions", "grow to 5", grow)

    def configs():
        eventually(lambda: config(t, "retention.ms"), "-1", "retention.ms")
        alter(t, "max.message.bytes", "2000")
        eventually(lambda: config(t, "max.message.bytes"), "2000", "after set")
        alter(t, "max.message.bytes", None, AlterConfigOp.DELETE)
        eventually(lambda: config(t, "max.message.bytes"), "1048588", "after delete")
    P.check("configs", "incremental alter and describe", configs)

    def legacy():
        alter(t, "segment.ms", "3600000", incremental=False)
        eventually(lambda: config(t, "segment.ms"), "3600000", "segment.ms")
    P.check("configs", "alter (key 33)", legacy)

    def records():
        base = 1_700_000_000_000
        produce(t, "none", [{"p": 0, "ts": base + i, "k": None, "v": b"v%d" % i, "h": []} for i in range(10)])
        expect(offset(t, OffsetSpec.EARLIEST), 0, "earliest")
        expect(offset(t, OffsetSpec.LATEST), 10, "latest")
        expect(offset(t, OffsetSpec.MAX_TIMESTAMP), 9, "max timestamp")
        expect(offset(t, OffsetSpec.EARLIEST_LOCAL), 0, "earliest local")
        expect(offset(t, base + 6), 6, "for timestamp")
    P.check("list-offsets", "all specs", records)

    def delete_records():
        ADMIN.delete_records({TopicPartition(t, 0): 4})
        expect(offset(t, OffsetSpec.EARLIEST), 4, "earliest")
    P.check("delete-records", "up to 4", delete_records)

    def cluster():
        got = ADMIN.describe_cluster()
        expect((len(got["brokers"]), bool(got["cluster_id"])), (1, True), "cluster")
    P.check("cluster", "describe", cluster)

    def log_dirs():
        text = str(ADMIN.describe_log_dirs())
        expect(t in text, True, f"{t} in the answer")
    P.check("log-dirs", "describe", log_dirs)

    P.refuses("topic exists", "TopicAlreadyExistsError", lambda: create(t, 1), error_name)
    P.refuses("bad topic name", "InvalidTopicError", lambda: create("bad name!", 1), error_name)
    P.refuses("no partitions", "InvalidPartitionsError", lambda: create(f"{P.prefix}.none", 0), error_name)
    P.refuses("replication factor 3", "InvalidReplicationFactorError",
              lambda: create(f"{P.prefix}.rf", 1, replication=3), error_name)
    P.refuses("bad config at create", "InvalidConfigurationError",
              lambda: create(f"{P.prefix}.cfg", 1, {"retention.ms": "soon"}), error_name)
    P.refuses("unknown config", "InvalidConfigurationError", lambda: alter(t, "no.such.config", "1"), error_name)
    P.refuses("bad config value", "InvalidConfigurationError", lambda: alter(t, "retention.ms", "soon"), error_name)
    P.refuses("fewer partitions", "InvalidPartitionsError", lambda: ADMIN.create_partitions({t: 2}), error_name)

    def too_large():
        alter(t, "max.message.bytes", "2000")
        eventually(lambda: config(t, "max.message.bytes"), "2000", "before the produce")
        produce(t, "none", [{"p": 0, "ts": None, "k": None, "v": b"x" * 10000, "h": []}])
    P.refuses("record too large", "MessageSizeTooLargeError", too_large, error_name)
    P.refuses("delete a missing topic", "UnknownTopicOrPartitionError",
              lambda: ADMIN.delete_topics([f"{P.prefix}.missing"]), error_name)

    def delete():
        ADMIN.delete_topics([t])
        deadline = time.monotonic() + 10
        while t in ADMIN.list_topics():
            assert time.monotonic() < deadline, "still listed after 10 s"
            time.sleep(0.05)
    P.check("delete", "delete topic", delete)


def read(job):
    consumer = KafkaConsumer(bootstrap_servers=P.bootstrap, group_id=None, enable_auto_commit=False,
                             max_partition_fetch_bytes=8 << 20, check_crcs=True)
    try:
        parts = [TopicPartition(job["topic"], p) for p in job["partitions"]]
        consumer.assign(parts)
        if job["from"] == "start":
            consumer.seek_to_beginning(*parts)
        elif job["from"] == "offset":
            for tp in parts:
                consumer.seek(tp, job["value"])
        else:
            found = consumer.offsets_for_times({tp: job["value"] for tp in parts})
            for tp in parts:
                if found[tp] is None:
                    consumer.seek_to_end(tp)
                else:
                    consumer.seek(tp, found[tp].offset)
        out, deadline = [], time.monotonic() + WAIT
        while len(out) < job["expect"] and time.monotonic() < deadline:
            for tp, records in consumer.poll(timeout_ms=500).items():
                out += [dumped(tp.partition, r.offset, r.timestamp, r.key, r.value, r.headers) for r in records]
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
