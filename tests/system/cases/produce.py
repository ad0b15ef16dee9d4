"""Produce: every version, batches that are wrong in every way, requests that are."""

import time

import batches
import wire

from .common import NO_ID, TS, UNKNOWN_ID, batch, produce_body

TOPICS = {
    "log": {}, "compacted": {"cleanup.policy": "compact"}, "appendtime": {"message.timestamp.type": "LogAppendTime"}, "idem": {},
    "small": {"max.message.bytes": "200"}, "wrong": {}, "gz": {"compression.type": "gzip"}, "plain": {"compression.type": "uncompressed"},
    "again": {}, "deltas": {}, "timeouts": {}, "roomy": {"segment.bytes": "1048576", "max.message.bytes": "3000000"}, "codecs": {}, "times": {
        "message.timestamp.before.max.ms": "7200000", "message.timestamp.after.max.ms": "60000"},
}


def produce(b):
    for name, configs in TOPICS.items():
        b.make(name, 1, configs)
    for version in range(3, 13):
        b.ask(f"Produce v{version}", "Produce", version, produce_body("log", batch(b"a%d" % version, timestamp=TS + version)))
    by_id = lambda i: {"Acks": -1, "TimeoutMs": 5000, "TopicData": [
        {"TopicId": i, "PartitionData": [{"Index": 0, "Records": batch(b"a13", timestamp=TS + 13)}]}]}
    b.ask("Produce v13", "Produce", 13, by_id(b.id_of("log")))
    b.ask("Produce v13, unknown id", "Produce", 13, by_id(UNKNOWN_ID))
    b.ask("Produce v13, id of zeros", "Produce", 13, by_id(NO_ID))
    good, now = batch(b"x"), int(time.time() * 1000)
    zstd = batch(b"x", attributes=4)
    # Not asked here: null records. Kafka never answers such a request, which is nothing to follow.
    for label, name, records in [
        ("missing topic", "missing", good), ("empty topic name", "", good), ("bad topic name", "a b", good),
        ("the metadata topic", "__cluster_metadata", good), ("no bytes", "log", b""), ("half a batch", "log", good[:30]),
        ("a batch without its last byte", "log", good[:-1]), ("17 bytes", "log", good[:17]), ("too large", "small", batch(b"x" * 300)),
        ("null key, compacted", "compacted", batches.build([(None, b"v")], timestamp=TS)),
        ("one null key of three, compacted", "compacted", batches.build([(b"k", b"v"), (None, b"v"), (b"k", None)], timestamp=TS)),
        ("a day ahead", "log", batch(b"x", timestamp=now + 86_400_000)), ("two batches", "log", good + good),
        ("larger than a segment", "roomy", batch(b"x" * 1_500_000)),
    ]:
        b.ask(f"Produce, {label}", "Produce", 9, produce_body(name, records))
    for version in (3, 7, 8, 13):
        body = produce_body("log", batch(b"x", crc=1))
        if version == 13:
            body["TopicData"][0]["TopicId"] = b.id_of("log")
        b.ask(f"Produce v{version}, bad crc", "Produce", version, body)
    b.ask("Produce, missing partition", "Produce", 9, produce_body("log", good, 7))
    b.ask("Produce, negative partition", "Produce", 9, produce_body("log", good, -1))
    for acks in (2, -2):
        b.ask(f"Produce, acks {acks}", "Produce", 9, produce_body("log", good, acks=acks))
    b.ask("Produce v6, zstd", "Produce", 6, produce_body("log", zstd))
    b.ask("Produce to a compacted topic", "Produce", 9, produce_body("compacted", good))
    b.ask("Produce, log append time", "Produce", 9, produce_body("appendtime", good))
    b.ask("Produce, acks 1", "Produce", 9, produce_body("log", good, acks=1))
    for timeout in (0, -1):
        b.ask(f"Produce, timeout {timeout}", "Produce", 9, {**produce_body("timeouts", good), "TimeoutMs": timeout})
    one = lambda index, records=good: {"Index": index, "Records": records}
    for label, topics in {
        "to two partitions, one missing": [("log", [one(0), one(9)])], "one partition twice": [("again", [one(0), one(0)])],
        "one topic twice": [("again", [one(0)]), ("again", [one(0)])], "two topics, one missing": [("log", [one(0)]), ("missing", [one(0)])],
        "no partitions": [("log", [])], "one good, one bad": [("log", [one(0)]), ("wrong", [one(0, batch(b"x", crc=1))])],
    }.items():
        b.ask(f"Produce {label}", "Produce", 9, {"Acks": -1, "TimeoutMs": 5000, "TopicData": [
            {"Name": name, "PartitionData": data} for name, data in topics]})
    wrong_batches(b, now)
    codecs(b)
    unanswered(b, good)


def wrong_batches(b, now):
    """Batches that break one rule each, to a topic of their own."""
    record, frame = batches.record, batches.frame
    two = record(b"k", b"a") + record(b"k", b"b", offset_delta=1)
    one = record(b"k", b"v")
    for label, records in [
        ("bad crc", batch(b"x", crc=1)), ("magic 0", batch(b"x", magic=0)), ("magic 1", batch(b"x", magic=1)), ("magic 3", batch(b"x", magic=3)),
        ("magic -1", batch(b"x", magic=-1)), ("count too high", batch(b"x", count=2)), ("count 0", batch(b"x", count=0)),
        ("count -1", batch(b"x", count=-1)), ("base offset 5", batch(b"x", base_offset=5)), ("base offset -1", batch(b"x", base_offset=-1)),
        ("control batch", batch(b"x", attributes=32)), ("transactional control batch", batch(b"x", attributes=48)),
        ("codec 5", batch(b"x", attributes=5)), ("codec 7", batch(b"x", attributes=7)), ("unused attributes", batch(b"x", attributes=0x7F00)),
        ("delete horizon by the client", batch(b"x", attributes=64)),
        ("producer id, sequence -1", batch(b"x", producer=(5, 0, -1))), ("producer id, epoch -1", batch(b"x", producer=(5, -1, 0))),
        ("sequence without producer id", batch(b"x", producer=(-1, -1, 4))), ("producer id -7", batch(b"x", producer=(-7, 0, 0))),
        ("transactional flag alone", batch(b"x", attributes=16)), ("transactional flag with producer id", batch(b"x", attributes=16, producer=(6, 0, 0))),
        ("last delta too small", frame(two, timestamp=TS, count=2, last_delta=0)), ("last delta too large", frame(two, timestamp=TS, count=2, last_delta=5)),
        ("last delta -1", frame(one, timestamp=TS, count=1, last_delta=-1)), ("fewer records than counted", frame(one, timestamp=TS, count=2)),
        ("more records than counted", frame(two, timestamp=TS, count=1)), ("bytes after the records", frame(one + b"\0\0", timestamp=TS, count=1)),
        ("no records at all", frame(b"", timestamp=TS, count=0)),
        ("record too long", frame(record(b"k", b"v", length=99), timestamp=TS, count=1)), ("record too short", frame(record(b"k", b"v", length=3), timestamp=TS, count=1)),
        ("record of negative length", frame(record(b"k", b"v", length=-5), timestamp=TS, count=1)),
        ("record of length 0", frame(record(b"k", b"v", length=0), timestamp=TS, count=1)),
        ("record attributes", frame(record(b"k", b"v", attributes=1), timestamp=TS, count=1)),
        ("null and empty headers", frame(record(b"k", b"v", headers=[(b"h", None), (b"", b"")]), timestamp=TS, count=1)),
        ("header without name", frame(record(b"k", b"v", headers=[(None, b"1")]), timestamp=TS, count=1)),
        ("header that is no UTF-8", frame(record(b"k", b"v", headers=[(b"\xff\xfe", b"1")]), timestamp=TS, count=1)),
        ("key length beyond the record", frame(wire.varint(8) + b"\0\0\0" + wire.varint(90) + b"abcd", timestamp=TS, count=1)),
        ("key length -2", frame(wire.varint(8) + b"\0\0\0" + wire.varint(-2) + b"\1\0\0\0", timestamp=TS, count=1)),
        ("header count beyond the record", frame(wire.varint(7) + b"\0\0\0\1\1" + wire.varint(1000), timestamp=TS, count=1)),
        ("header count -1", frame(wire.varint(6) + b"\0\0\0\1\1\1", timestamp=TS, count=1)),
        ("batch length too small", frame(one, timestamp=TS, count=1, length=40)), ("batch length 0", frame(one, timestamp=TS, count=1, length=0)),
        ("batch length negative", frame(one, timestamp=TS, count=1, length=-1)), ("batch length too large", frame(one, timestamp=TS, count=1, length=9999)),
        ("null key and value", batches.build([(None, None)], timestamp=TS)),
    ]:
        b.ask(f"Produce, {label}", "Produce", 9, produce_body("wrong", records))
    for label, records in {
        "append time by the client": batch(b"x", attributes=8), "equal deltas": frame(one + one, timestamp=TS, count=2),
        "delta 3 alone": frame(record(b"k", b"v", offset_delta=3), timestamp=TS, count=1),
        "negative delta": frame(record(b"k", b"v", offset_delta=-1), timestamp=TS, count=1),
    }.items():
        b.ask(f"Produce, {label}", "Produce", 9, produce_body("deltas", records))
    for label, name, records in [
        ("timestamp -1", "log", batch(b"x", timestamp=-1)), ("timestamp -5", "log", batch(b"x", timestamp=-5)),
        ("timestamp 0", "log", batch(b"x", timestamp=0)), ("max timestamp below the records'", "wrong", frame(one, timestamp=TS, count=1, max_timestamp=TS - 5)),
        ("max timestamp above the records'", "wrong", frame(one, timestamp=TS, count=1, max_timestamp=now + 999_999_999)),
        ("too old", "times", batch(b"x", timestamp=TS - 10_000_000)), ("too new", "times", batch(b"x", timestamp=now + 900_000)),
        ("one of two too old", "times", frame(one + record(b"k", b"v", offset_delta=1, time_delta=-20_000_000), timestamp=TS, count=2)),
        ("old enough", "times", batch(b"x")), ("too new, but append time", "appendtime", batch(b"x", timestamp=now + 86_400_000)),
        ("records out of time order", "times", frame(one + record(b"k", b"v", offset_delta=1, time_delta=-1000), timestamp=TS, count=2)),
    ]:
        b.ask(f"Produce, {label}", "Produce", 9, produce_body(name, records))


def codecs(b):
    """Compressed batches: good ones as a client makes them, broken ones, and topics with a codec of their own."""
    body = b"".join(batches.record(b"k%d" % i, b"value " * 20, offset_delta=i) for i in range(3))
    compressed = lambda codec, data=None, **more: batches.frame(
        batches.compress(codec, body) if data is None else data, timestamp=TS, count=3, attributes=codec, **more)
    for codec, name in enumerate(batches.CODECS[1:], 1):
        for topic in ("codecs", "gz", "plain", "appendtime", "compacted"):
            b.ask(f"Produce, {name} to {topic}", "Produce", 9, produce_body(topic, compressed(codec)))
        b.ask(f"Produce v3, {name}", "Produce", 3, produce_body("codecs", compressed(codec)))
        b.ask(f"Produce, {name} that is none", "Produce", 9, produce_body("codecs", compressed(codec, b"not compressed at all")))
        b.ask(f"Produce, {name} cut short", "Produce", 9, produce_body("codecs", compressed(codec, batches.compress(codec, body)[:-9])))
        b.ask(f"Produce, {name} of nothing", "Produce", 9, produce_body("codecs", compressed(codec, b"")))
        b.ask(f"Produce, {name} with fewer records than counted", "Produce", 9, produce_body("codecs", batches.frame(
            batches.compress(codec, body), timestamp=TS, count=5, attributes=codec)))
        b.ask(f"Produce, {name} with equal deltas", "Produce", 9, produce_body("codecs", batches.frame(
            batches.compress(codec, batches.record(b"k", b"v") * 2), timestamp=TS, count=2, attributes=codec)))
        b.ask(f"Produce, {name} with null keys, compacted", "Produce", 9, produce_body("compacted", batches.frame(
            batches.compress(codec, batches.record(None, b"v")), timestamp=TS, count=1, attributes=codec)))
    b.ask("Produce, uncompressed to gz", "Produce", 9, produce_body("gz", batch(b"x" * 50)))
    b.ask("Produce, gzip that grows beyond the limit when stored plain", "Produce", 9, produce_body("plain", batch(b"x" * 90)))


def unanswered(b, good):
    """acks=0 is answered by nothing, or by a closed connection."""
    latest = b.connection.frame("ListOffsets", 7, {"ReplicaId": -1, "Topics": [
        {"Name": "wrong", "Partitions": [{"PartitionIndex": 0, "CurrentLeaderEpoch": -1, "Timestamp": -1}]}]}, correlation=9)
    for label, body in {
        "good": produce_body("codecs", good, acks=0), "missing topic": produce_body("missing", good, acks=0),
        "bad crc": produce_body("codecs", batch(b"x", crc=1), acks=0), "no topics": {"Acks": 0, "TimeoutMs": 5000},
        "two batches": produce_body("codecs", good + good, acks=0), "gap": produce_body("codecs", batch(b"x", producer=(5000, 0, 1)), acks=0),
    }.items():
        b.raw(f"Produce with acks 0, {label}, and another request", b.connection.frame("Produce", 9, body) + latest)


def idempotence(b):
    # A fresh Kafka asks its controller for a block of ids and answers 14 (try again) meanwhile.
    b.settle(lambda: b.connection.request("InitProducerId", 4, {"TransactionalId": None, "TransactionTimeoutMs": 60000})["ErrorCode"] != 14)
    for version in range(6):
        b.ask(f"InitProducerId v{version}", "InitProducerId", version, {"TransactionalId": None, "TransactionTimeoutMs": 60000})
    for label, more in {
        "empty transactional id": {"TransactionalId": ""}, "timeout 0": {"TransactionTimeoutMs": 0}, "timeout -1": {"TransactionTimeoutMs": -1},
        "an id to go on with": {"ProducerId": 7, "ProducerEpoch": 3}, "an id without epoch": {"ProducerId": 7, "ProducerEpoch": -1},
        "an epoch without id": {"ProducerId": -1, "ProducerEpoch": 3}, "a negative id": {"ProducerId": -9, "ProducerEpoch": 3},
    }.items():
        b.ask(f"InitProducerId, {label}", "InitProducerId", 4, {"TransactionalId": None, "TransactionTimeoutMs": 60000, **more})
    # Producer ids that the broker did not hand out: both brokers must not care.
    for label, producer in [
        ("first", (1000, 0, 0)), ("second", (1000, 0, 1)), ("duplicate of the first", (1000, 0, 0)), ("third", (1000, 0, 2)),
        ("duplicate of the second", (1000, 0, 1)), ("gap", (1000, 0, 9)), ("next epoch, sequence 1", (1000, 1, 1)),
        ("next epoch, sequence 0", (1000, 1, 0)), ("old epoch", (1000, 0, 3)), ("old epoch, sequence 0", (1000, 0, 0)),
        ("an epoch left out", (1000, 5, 0)), ("a duplicate in it", (1000, 5, 0)), ("unknown producer, sequence 7", (1001, 0, 7)),
        ("that one goes on", (1001, 0, 8)), ("negative epoch", (1002, -1, 0)), ("last sequence", (1003, 0, 0x7FFFFFFF)),
        ("wrapped sequence", (1003, 0, 0)), ("highest epoch", (1006, 0x7FFF, 0)), ("producer id 0", (0, 0, 0)),
    ]:
        b.ask(f"idempotent, {label}", "Produce", 9, produce_body("idem", batch(label.encode(), producer=producer)))
    for number in range(7):
        b.ask(f"idempotent, filling the window {number}", "Produce", 9, produce_body("idem", batch(b"w", producer=(1004, 0, number))))
    b.ask("idempotent, a duplicate in the window", "Produce", 9, produce_body("idem", batch(b"w", producer=(1004, 0, 2))))
    b.ask("idempotent, a duplicate before the window", "Produce", 9, produce_body("idem", batch(b"w", producer=(1004, 0, 0))))
    for label, values, producer in [
        ("three records", 3, (1005, 0, 0)), ("the same three", 3, (1005, 0, 0)), ("only the first of them", 1, (1005, 0, 0)),
        ("the last two of them", 2, (1005, 0, 1)), ("two known, one new", 3, (1005, 0, 1)), ("the next three", 3, (1005, 0, 3)),
        ("three across the wrap", 3, (1007, 0, 0x7FFFFFFE)), ("after the wrap", 1, (1007, 0, 1)),
    ]:
        b.ask(f"idempotent, {label}", "Produce", 9, produce_body("idem", batch(*[b"m"] * values, producer=producer)))
    first, second = (batch(b"t", producer=(1008, 0, n)) for n in (0, 1))
    b.ask("idempotent, two batches in one", "Produce", 9, produce_body("idem", first + second))
    for label, (name, partitions) in {
        "one": ("idem", [0]), "missing partition": ("idem", [5]), "missing topic": ("missing", [0]), "negative partition": ("idem", [-1]),
        "a partition twice": ("idem", [0, 0]), "no partitions": ("idem", []), "empty name": ("", [0]), "bad name": ("a b", [0]),
        "no producers": ("small", [0]),
    }.items():
        b.ask(f"DescribeProducers, {label}", "DescribeProducers", 0, {"Topics": [{"Name": name, "PartitionIndexes": partitions}]})
