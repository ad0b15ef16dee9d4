"""A member by confluent-kafka (librdkafka)."""

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, OFFSET_BEGINNING, TopicPartition

from member import Member

M = Member()
PLAN = M.plan


def settings():
    config = {"bootstrap.servers": PLAN["bootstrap"], "group.id": PLAN["group"], "client.id": PLAN["name"],
              "auto.offset.reset": PLAN["reset"], "enable.auto.commit": False, "topic.metadata.refresh.interval.ms": 1000,
              "fetch.wait.max.ms": 100, "retry.backoff.ms": 50, "reconnect.backoff.ms": 50, "on_commit": on_commit}
    if PLAN.get("protocol") == "consumer":
        config["group.protocol"] = "consumer"
        if PLAN.get("assignor"):
            config["group.remote.assignor"] = PLAN["assignor"]
    else:
        config |= {"session.timeout.ms": PLAN["session_ms"], "heartbeat.interval.ms": 300,
                   "partition.assignment.strategy": PLAN.get("assignor") or "range"}
    if PLAN.get("instance"):
        config["group.instance.id"] = PLAN["instance"]
    return config


def shown(partitions):
    return [[p.topic, p.partition] for p in partitions]


def offsets(partitions):
    return [[p.topic, p.partition, p.offset, p.metadata] for p in partitions if p.offset >= 0]


def on_commit(error, partitions):
    if error is None and PLAN.get("commit") == "async":
        M.event("committed", p=offsets(partitions))


def poll(consumer):
    messages = consumer.consume(100, timeout=0.1)
    latest = {}
    for message in messages:
        if message.error():
            if message.error().code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                M.event("error", m=str(message.error()))
            continue
        M.event("record", t=message.topic(), p=message.partition(), o=message.offset())
        latest[message.topic(), message.partition()] = message.offset() + 1
    if not latest:
        return
    wanted = [TopicPartition(t, p, o, metadata=PLAN["metadata"]) for (t, p), o in latest.items()]
    if PLAN.get("commit") == "async":
        consumer.commit(offsets=wanted, asynchronous=True)
    else:
        M.event("committed", p=offsets(consumer.commit(offsets=wanted, asynchronous=False)))


def main():
    consumer = Consumer(settings())
    topics = ["^" + PLAN["pattern"].removeprefix("^")] if PLAN.get("pattern") else PLAN["topics"]
    # Without a call of (un)assign in the listeners the client itself does it, in either manner.
    consumer.subscribe(topics, on_assign=lambda _, p: M.event("assigned", p=shown(p)),
                       on_revoke=lambda _, p: M.event("revoked", p=shown(p)),
                       on_lost=lambda _, p: M.event("lost", p=shown(p)))
    while (command := M.command()) != "stop":
        try:
            if command == "unsubscribe":
                consumer.unsubscribe()
                M.event("unsubscribed")
            elif command == "seek":
                for partition in consumer.assignment():
                    consumer.seek(TopicPartition(partition.topic, partition.partition, OFFSET_BEGINNING))
            elif command == "committed":
                M.event("fetched", p=offsets(consumer.committed(consumer.assignment(), timeout=10)))
            poll(consumer)
        except KafkaException as error:
            M.error(error)
            time.sleep(0.1)
    consumer.close()
    M.event("stopped")


main()
