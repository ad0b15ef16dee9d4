"""Measures both brokers with the same clients and prints one Markdown table of ratios.

The load is kcat (librdkafka: C, so that the client leaves the cores to the broker); the
latency client is a raw socket that sends on a schedule whether or not acks have come.
Broker CPU is user + system time of the broker process with all its threads, from
/proc/<pid>/stat. Nothing here asserts on a time.
"""

import os
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
LIB = os.path.join(HERE, "..", "..", "tests", "clients", "lib")
sys.path.insert(0, LIB)

import batches  # noqa: E402
import wire  # noqa: E402

SIZE = int(float(os.environ.get("SIZE", "1e9")))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
LATENCY_SECONDS = float(os.environ.get("LATENCY_SECONDS", "10"))
RECORD, PARTITIONS, RATE, CONNECTIONS = 1024, 6, 1000, 4
BROKERS = [b for b in ("watershed", "kafka") if os.environ.get("ONLY", b) == b]
TICKS = os.sysconf("SC_CLK_TCK")
PROTOCOL = wire.default_protocol()
MEASURES = [
    ("produce_cpu", "broker CPU, s per GB produced (acks=all)", "{:.2f}"),
    ("produce_rate", "produced, MB/s (client and broker share the cores)", "{:.0f}"),
    ("consume_cpu", "broker CPU, s per GB consumed", "{:.2f}"),
    ("consume_rate", "consumed, MB/s", "{:.0f}"),
    ("p50", f"ack latency at {RATE}/s, p50, ms", "{:.2f}"),
    ("p99", f"ack latency at {RATE}/s, p99, ms", "{:.2f}"),
    ("rss_idle", "resident memory idle, MB", "{:.0f}"),
    ("rss_load", "resident memory after load, MB", "{:.0f}"),
    ("start", "exec to first metadata answer, ms", "{:.0f}"),
]


def shell(text, *args):
    return subprocess.run(["bash", "-c", f'. "$0/env.sh"; {text}', LIB, *args], check=True, capture_output=True, text=True).stdout


def touch_memory():
    """A fresh virtual machine pays for the first touch of a page: let that not be a broker."""
    info = dict(line.split(":", 1) for line in open("/proc/meminfo"))
    free = int(info["MemFree"].split()[0]) * 1024
    size = min(int(free * 0.7), 4 * SIZE + (2 << 30))
    block = bytearray(b"\1") * size
    del block


class Broker:
    def __init__(self, kind, work):
        self.kind, self.dir = kind, os.path.join(work, kind)
        self.port = int(shell("free_port"))
        self.bootstrap = f"127.0.0.1:{self.port}"
        shell(f'prepare_{kind} "$1" "$2"', self.dir, str(self.port))
        log = open(os.path.join(self.dir, "broker.log"), "w")
        started = time.perf_counter()
        self.process = subprocess.Popen(["bash", "-c", f'. "$0/env.sh"; exec_{kind} "$1"', LIB, self.dir], stdout=log, stderr=log)
        self.start_ms = (self.first_answer(started) - started) * 1000
        self.pid = self.process.pid

    def first_answer(self, started):
        while time.perf_counter() - started < 60:
            if self.process.poll() is not None:
                raise SystemExit(f"{self.kind} ended: {open(self.process_log()).read()[-800:]}")
            try:
                with wire.Connection(self.bootstrap, PROTOCOL, timeout=5) as connection:
                    if connection.request("Metadata", 9, {"Topics": []})["Brokers"]:
                        return time.perf_counter()
            except (OSError, wire.WireError):
                pass
            time.sleep(0.001)
        raise SystemExit(f"{self.kind} did not answer in 60 s")

    def process_log(self):
        return os.path.join(self.dir, "broker.log")

    def cpu(self):
        fields = open(f"/proc/{self.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss(self):
        line = next(line for line in open(f"/proc/{self.pid}/status") if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1000

    def create(self, topic):
        with wire.Connection(self.bootstrap, PROTOCOL) as connection:
            reply = connection.request("CreateTopics", 5, {"timeoutMs": 20000, "Topics": [
                {"Name": topic, "NumPartitions": PARTITIONS, "ReplicationFactor": 1}]})
            assert reply["Topics"][0]["ErrorCode"] == 0, reply
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                got = connection.request("Metadata", 9, {"Topics": [{"Name": topic}]})["Topics"][0]
                if got["ErrorCode"] == 0 and all(p["ErrorCode"] == 0 for p in got["Partitions"]):
                    return
                time.sleep(0.02)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def records_file(work):
    """At most 32 MB of lines, each one record: letters that do not repeat."""
    path = os.path.join(work, "records")
    count = max(1, min(SIZE, 32_000_000) // RECORD)
    with open(path, "w") as out:
        for _ in range(count):
            out.write(os.urandom(RECORD // 2).hex() + "\n")
    return path, count


def produce(broker, topic, records, size):
    path, count = records
    times = max(1, round(size / (count * RECORD)))
    cpu, started = broker.cpu(), time.perf_counter()
    feed = subprocess.Popen(["cat"] + [path] * times, stdout=subprocess.PIPE)
    kcat = subprocess.run(["kcat", "-P", "-b", broker.bootstrap, "-t", topic, "-X", "acks=all", "-X", "linger.ms=5",
                           "-X", "queue.buffering.max.kbytes=262144"], stdin=feed.stdout, capture_output=True, text=True, check=False)
    feed.stdout.close()
    feed.wait()
    assert kcat.returncode == 0, kcat.stderr[-500:]
    seconds, moved = time.perf_counter() - started, times * count * RECORD
    return (broker.cpu() - cpu) / moved * 1e9, moved / seconds / 1e6, times * count


def consume(broker, topic, wanted):
    cpu, started = broker.cpu(), time.perf_counter()
    # One byte per record is printed: enough to count them.
    kcat = subprocess.run(["kcat", "-C", "-b", broker.bootstrap, "-t", topic, "-o", "beginning", "-e", "-q", "-f", "x"],
                          capture_output=True, check=False)
    assert kcat.returncode == 0, kcat.stderr[-500:]
    assert len(kcat.stdout) == wanted, f"{len(kcat.stdout)} records read of {wanted}"
    seconds, moved = time.perf_counter() - started, wanted * RECORD
    return (broker.cpu() - cpu) / moved * 1e9, moved / seconds / 1e6


def latency(broker, topic):
    """Ack times of requests that leave on schedule over a few connections; the first second is left out."""
    data = batches.build([(None, b"x" * RECORD)], timestamp=int(time.time() * 1000))
    connections = [wire.Connection(broker.bootstrap, PROTOCOL) for _ in range(CONNECTIONS)]
    for connection in connections:
        connection.sock.setsockopt(6, 1, 1)  # TCP_NODELAY
    frames = [connections[0].frame("Produce", 9, {"Acks": -1, "TimeoutMs": 10000, "TopicData": [
        {"Name": topic, "PartitionData": [{"Index": p, "Records": data}]}]}) for p in range(PARTITIONS)]
    by_fd = {c.sock.fileno(): c for c in connections}
    waiting = {fd: [] for fd in by_fd}
    poll = select.poll()
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    total, sent, took = int(RATE * (LATENCY_SECONDS + 1)), 0, []
    begin = time.perf_counter()
    while len(took) < total:
        now = time.perf_counter()
        while sent < total and now >= begin + sent / RATE:
            connection = connections[sent % CONNECTIONS]
            waiting[connection.sock.fileno()].append(time.perf_counter())
            connection.send_raw(frames[sent % PARTITIONS])
            sent += 1
        left = max(0.0, begin + sent / RATE - time.perf_counter()) if sent < total else 5
        for fd, _ in poll.poll(left * 1000):
            reply = by_fd[fd].receive_raw()
            took.append(time.perf_counter() - waiting[fd].pop(0))
            assert reply is not None, "connection closed"
    for connection in connections:
        connection.close()
    took = sorted(took[RATE:])
    return took[len(took) // 2] * 1000, took[int(len(took) * 0.99)] * 1000


def measure(kind, work, records):
    broker = Broker(kind, work)
    try:
        time.sleep(3)
        got = {"start": broker.start_ms, "rss_idle": broker.rss()}
        for topic in ("warm", "load", "latency"):
            broker.create(topic)
        _, _, count = produce(broker, "warm", records, SIZE // 4)
        consume(broker, "warm", count)
        got["produce_cpu"], got["produce_rate"], count = produce(broker, "load", records, SIZE)
        got["consume_cpu"], got["consume_rate"] = consume(broker, "load", count)
        got["p50"], got["p99"] = latency(broker, "latency")
        got["rss_load"] = broker.rss()
        return got
    finally:
        broker.stop()


def main():
    work = tempfile.mkdtemp(prefix="watershed-bench.")
    results = {kind: [] for kind in BROKERS}
    try:
        touch_memory()
        records = records_file(work)
        for number in range(ROUNDS):
            for kind in BROKERS:
                results[kind].append(measure(kind, work, records))
                print(f"round {number + 1}, {kind}: " + ", ".join(f"{k} {v:.2f}" for k, v in results[kind][-1].items()),
                      file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"\n{ROUNDS} rounds (medians), {SIZE / 1e9:g} GB of {RECORD}-byte records, {PARTITIONS} partitions, no compression, "
          f"{os.cpu_count()} cores. Watershed acknowledges what is on the medium; Kafka what is in the page cache.\n")
    print("| | Watershed | Apache Kafka 4.2 | Watershed / Kafka |")
    print("|---|---:|---:|---:|")
    for key, label, form in MEASURES:
        value = {k: statistics.median(r[key] for r in rounds) for k, rounds in results.items()}
        shown = [form.format(value[k]) if k in value else "" for k in ("watershed", "kafka")]
        ratio = f"{value['watershed'] / value['kafka']:.2f}" if len(value) == 2 and value["kafka"] else ""
        print(f"| {label} | {shown[0]} | {shown[1]} | {ratio} |")


if __name__ == "__main__":
    main()
