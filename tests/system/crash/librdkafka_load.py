"""The librdkafka side of the load: the same plan, ledger and commands as `../load/produce.go`.

In-flight requests are what librdkafka itself counts (`waitresp_cnt` of its statistics, every 50 ms).
"""

import json
import random
import sys
import threading
import time

from confluent_kafka import KafkaException, Producer

PATIENCE_SECONDS = 120
BUFFERED_MAX = 300


class Ledger:
    def __init__(self, path):
        self.file = open(path, "w", buffering=1 << 20)
        self.lock, self.lines, self.failed = threading.Lock(), 0, 0

    def acked(self, topic, partition, offset, client, number):
        self.line(f"{topic} {partition} {offset} {client} {number}\n")

    def line(self, line):
        with self.lock:
            self.file.write(line)
            self.lines += 1

    def lost(self, client, error):
        with self.lock:
            self.failed += 1
            if self.failed <= 5:
                print(f"{client}: a delivery failed: {error}", file=sys.stderr)

    def mark(self):
        with self.lock:
            self.file.flush()
            return self.lines


class Client:
    """One producer with its thread."""

    def __init__(self, load, number):
        self.load, self.name = load, f"{load.plan['Prefix']}{number}"
        self.chance = random.Random(load.plan["Seed"] + 1000 + number)
        self.in_flight = 0
        self.producer = Producer({
            "bootstrap.servers": load.plan["Bootstrap"], "client.id": self.name, "enable.idempotence": True,
            "max.in.flight.requests.per.connection": 5, "linger.ms": 0, "batch.num.messages": 20,
            "compression.type": ["none", "lz4", "zstd", "snappy", "gzip"][number % 5],
            "queue.buffering.max.messages": BUFFERED_MAX, "message.timeout.ms": PATIENCE_SECONDS * 1000,
            "reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 200, "retry.backoff.ms": 50,
            "retry.backoff.max.ms": 200, "statistics.interval.ms": 50, "stats_cb": self.statistics, "log_level": 0,
        })
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def statistics(self, text):
        self.in_flight = sum(broker["waitresp_cnt"] for broker in json.loads(text)["brokers"].values())

    def run(self):
        load, chance, count = self.load, self.chance, 0
        while not load.stop.is_set():
            topic = chance.choice(load.plan["Topics"])
            start = chance.randrange(len(load.padding) - 900)
            value = b"%s-%d-" % (self.name.encode(), count) + load.padding[start : start + chance.randrange(100, 900)]

            def delivered(error, message, number=count):
                if error is not None:
                    load.ledger.lost(self.name, error)
                else:
                    offset = message.offset() if message.offset() is not None else -1
                    load.ledger.acked(message.topic(), message.partition(), offset, self.name, number)

            record = {"value": value, "partition": chance.randrange(topic["Partitions"]), "on_delivery": delivered}
            if load.plan.get("Routed"):
                record |= self.routed(count, record)
            try:
                self.producer.produce(topic["Name"], **record)
                count += 1
            except BufferError:
                self.producer.poll(0.005)
            except KafkaException as error:
                load.ledger.lost(self.name, error)
                return
            self.producer.poll(0)
            self.wait()
        left = self.producer.flush(PATIENCE_SECONDS)
        for _ in range(left):
            load.ledger.lost(self.name, "no answer")

    def routed(self, number, record):
        """What is other where the broker takes records to their partitions: see `../load/routed.go`."""
        chance, chosen = self.chance, record["partition"]
        key = f"k{chance.randrange(200)}" if chance.randrange(20) else None
        padding = record["value"].split(b"-", 2)[2]
        called = int(time.time() * 1000)

        def delivered(error, message):
            if error is not None:
                self.load.ledger.lost(self.name, error)
            else:
                answered = int(time.time() * 1000)
                self.load.ledger.line(f"{message.topic()} {chosen} {self.name} {number} {key or '-'} {called} {answered}\n")

        age = chance.randrange(1, 24 * 9) * 3_600_000 if chance.randrange(10) == 0 else 0
        return {"key": key, "value": b"%s-%d-%d-" % (self.name.encode(), number, chosen) + padding,
                "timestamp": called - age, "on_delivery": delivered}

    def wait(self):
        """Keeps to the pace; a change of it is seen after 20 ms at the latest."""
        begun, share = time.monotonic(), 0.5 + self.chance.random()
        while not self.load.stop.is_set() and self.load.pace:
            left = share * self.load.plan["Clients"] / self.load.pace - (time.monotonic() - begun)
            if left <= 0:
                return
            time.sleep(min(left, 0.02))
            self.producer.poll(0)


class Load:
    def __init__(self, plan):
        self.plan, self.pace, self.stop = plan, 1, threading.Event()
        self.ledger = Ledger(plan["Ledger"])
        self.padding = random.Random(plan["Seed"]).randbytes(1 << 16)
        self.clients = [Client(self, number) for number in range(plan["Clients"])]

    def answer(self, command):
        word, *rest = command.split()
        if word == "pace":
            self.pace = int(rest[0])
            return "ok"
        if word == "inflight":
            return str(sum(client.in_flight for client in self.clients))
        if word == "mark":
            return str(self.ledger.mark())
        if word == "stop":
            self.stop.set()
            for client in self.clients:
                client.thread.join()
            return f"{self.ledger.mark()} {self.ledger.failed}"
        return f"error: unknown command {command}"


def main():
    with open(sys.argv[1]) as file:
        load = Load(json.load(file))
    for line in sys.stdin:
        print(load.answer(line.strip()), flush=True)
    load.stop.set()


if __name__ == "__main__":
    main()
