"""The librdkafka consumers of the kills of groups: the same plan, ledger and commands as `../load/consume.go`."""

import json
import random
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaException, TopicPartition

LIFE_SECONDS = (1.5, 5)
RECORDS_MAX, POLL_SECONDS = 40, 0.1


class Groups:
    def __init__(self, plan):
        self.plan, self.stop, self.lock = plan, threading.Event(), threading.Lock()
        self.acked = self.failed = 0
        self.ledger = open(plan["Ledger"], "w", buffering=1)
        self.threads = [threading.Thread(target=self.member, args=(group, number))
                        for group in plan["Groups"] for number in range(group["Members"])]
        for thread in self.threads:
            thread.start()

    def line(self, kind, group, part):
        with self.lock:
            self.ledger.write(f"{kind} {group} {part.topic} {part.partition} {part.offset}\n")

    def consumer(self, group, name):
        settings = {"bootstrap.servers": self.plan["Bootstrap"], "group.id": group["Name"], "client.id": name, "enable.auto.commit": False,
                    "auto.offset.reset": "earliest", "reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 200, "retry.backoff.ms": 50,
                    "retry.backoff.max.ms": 200, "fetch.wait.max.ms": 100, "log_level": 0}
        if group["Balancer"] == "modern":
            settings |= {"group.protocol": "consumer"}
        else:
            settings |= {"partition.assignment.strategy": group["Balancer"], "session.timeout.ms": 3000, "heartbeat.interval.ms": 200}
        return Consumer(settings, error_cb=lambda _: None)

    def commit(self, consumer, group, records):
        last = {(record.topic(), record.partition()): record.offset() + 1 for record in records}
        parts = [TopicPartition(topic, partition, offset) for (topic, partition), offset in last.items()]
        for part in parts:
            self.line("S", group["Name"], part)
        try:
            answers = consumer.commit(offsets=parts, asynchronous=False)
        except KafkaException:
            self.failed += 1
            return
        for part in answers:
            if part.error is None:
                self.acked += 1
                self.line("A", group["Name"], part)

    def member(self, group, number):
        chance = random.Random(f"{self.plan['Seed']} {group['Name']} {number}")
        life = 0
        while not self.stop.is_set():
            life += 1
            consumer = self.consumer(group, f"{group['Name']}-{number}-{life}")
            consumer.subscribe([self.plan["Topic"]])
            end = time.monotonic() + chance.uniform(*LIFE_SECONDS)
            while time.monotonic() < end and not self.stop.is_set():
                records = [record for record in consumer.consume(RECORDS_MAX, POLL_SECONDS) if record.error() is None]
                if records:
                    self.commit(consumer, group, records)
            consumer.close()


def main():
    with open(sys.argv[1]) as file:
        groups = Groups(json.load(file))
    for line in sys.stdin:
        if line.strip() == "stop":
            groups.stop.set()
            for thread in groups.threads:
                thread.join()
            print(groups.acked, groups.failed, flush=True)


if __name__ == "__main__":
    main()
