"""Idempotent librdkafka producers under load while the broker is killed again and again: every acknowledged record is
there exactly once and in order.

The broker's segments are small, so that kills meet rolls; every fourth kill is followed by another one a moment after the
restart, in the middle of recovery. The seed that is printed replays the moments of the kills.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

TOPIC = "kills"
PARTITIONS = 4
PRODUCERS = 4
VALUE_PADDING = b"x" * 200
PATIENCE_SECONDS = 120


class Broker:
    """The binary under test on one data directory; it may be killed and started again."""

    def __init__(self, binary, directory, port, http_port):
        listener = f'listeners=[{{name="PLAINTEXT",address="127.0.0.1:{port}"}}]'
        self.command = [binary, "serve", "--set", f"data_dir={directory}", "--set", listener]
        self.command += ["--set", f"http.address=127.0.0.1:{http_port}"]
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Load:
    """Producers that write numbered records until told to stop, and what was acknowledged of them, in order."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.acked = {}
        self.failures = []
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.produce, args=(n,)) for n in range(PRODUCERS)]
        for thread in self.threads:
            thread.start()

    def produce(self, number):
        producer = Producer({
            "bootstrap.servers": self.bootstrap,
            "enable.idempotence": True,
            "compression.type": ["none", "lz4", "zstd", "snappy"][number % 4],
            "linger.ms": 2,
            "reconnect.backoff.max.ms": 200,
            "message.timeout.ms": PATIENCE_SECONDS * 1000,
            "log_level": 0,
        })

        def delivered(error, message):
            with self.lock:
                if error is not None:
                    self.failures.append(str(error))
                else:
                    self.acked.setdefault((number, message.partition()), []).append(message.value())

        count = 0
        while not self.stop.is_set():
            try:
                value = b"%d-%d-" % (number, count) + VALUE_PADDING
                producer.produce(TOPIC, value=value, partition=count % PARTITIONS, on_delivery=delivered)
                count += 1
            except BufferError:
                pass
            producer.poll(0)
            if count % 50 == 0:
                time.sleep(0.001)
        producer.flush(PATIENCE_SECONDS)

    def finish(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def stored(bootstrap):
    """Every record of the topic, by producer and partition, in order."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "none", "enable.auto.commit": False, "log_level": 0})
    found = {}
    for partition in range(PARTITIONS):
        _, end = consumer.get_watermark_offsets(TopicPartition(TOPIC, partition), timeout=PATIENCE_SECONDS)
        consumer.assign([TopicPartition(TOPIC, partition, 0)])
        position = 0
        while position < end:
            message = consumer.poll(PATIENCE_SECONDS)
            if message is None or message.error():
                raise RuntimeError(f"partition {partition} at {position} of {end}: {message and message.error()}")
            position = message.offset() + 1
            number = int(message.value().split(b"-", 1)[0])
            found.setdefault((number, partition), []).append(message.value())
    consumer.close()
    return found


def judge(acked, found):
    """The checks that passed and what failed."""
    passed, failed = 0, []
    for key, values in sorted(acked.items()):
        there = found.get(key, [])
        places = {value: place for place, value in enumerate(there)}
        order = [places[value] for value in values if value in places]
        checks = {
            "an acknowledged record is missing": len(order) == len(values),
            "a record is there twice": len(places) == len(there),
            "records are out of order": order == sorted(order),
        }
        for what, holds in checks.items():
            if holds:
                passed += 1
            else:
                failed.append(f"producer {key[0]}, partition {key[1]}: {what}")
    return passed, failed


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--binary", required=True)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--http-port", type=int, required=True)
    arguments.add_argument("--rounds", type=int, default=12)
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    given = arguments.parse_args()
    print(f"kills: {given.rounds} rounds, seed {given.seed}")
    chance = random.Random(given.seed)
    bootstrap = f"127.0.0.1:{given.port}"
    directory = tempfile.mkdtemp(prefix="watershed-kills-")
    broker = Broker(given.binary, directory, given.port, given.http_port)
    broker.start()
    try:
        admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        topic = NewTopic(TOPIC, PARTITIONS, config={"segment.bytes": "1048576"})
        admin.create_topics([topic], operation_timeout=30)[TOPIC].result(PATIENCE_SECONDS)
        load = Load(bootstrap)
        for kill in range(given.rounds):
            time.sleep(chance.uniform(0.3, 1.5))
            broker.kill()
            broker.start()
            if kill % 4 == 3:
                time.sleep(chance.uniform(0.005, 0.1))
                broker.kill()
                broker.start()
        load.finish()
        passed, failed = judge(load.acked, stored(bootstrap))
        failed += [f"a delivery failed: {reason}" for reason in load.failures[:5]]
        acked = sum(len(values) for values in load.acked.values())
        if acked < given.rounds * 100:
            failed.append(f"only {acked} records were acknowledged: the load never ran")
    finally:
        broker.kill()
        shutil.rmtree(directory, ignore_errors=True)
    for reason in failed:
        print(f"FAILED {reason} (seed {given.seed})")
    print(f"kills: {acked} acknowledged records checked")
    print(f"{passed} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
