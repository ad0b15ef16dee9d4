"""What is measured. A scenario runs on one broker and gives figures by name; a fresh broker for each scenario and round."""

import os
import re
import subprocess
import time

import group_scenarios
from brokers import Broker, load, sync, write

GB = 1e9


class Records:
    """Files of lines, each a record of letters that do not repeat, at most 32 MB; made once."""

    def __init__(self, work):
        self.work, self.files = work, {}

    def get(self, size):
        if size not in self.files:
            path, count = os.path.join(self.work, f"records-{size}"), 32_000_000 // size
            with open(path, "w") as out:
                for _ in range(count):
                    out.write(os.urandom((size + 1) // 2).hex()[:size] + "\n")
            self.files[size] = (path, count)
        return self.files[size]


def produce(broker, topic, records, volume, size=1024):
    """kcat (librdkafka) produces about `volume` bytes. CPU seconds per GB, MB/s, number of records."""
    path, count = records.get(size)
    times = max(1, round(volume / (count * size)))
    sync()
    cpu, began = broker.cpu(), time.perf_counter()
    feed = subprocess.Popen(["cat"] + [path] * times, stdout=subprocess.PIPE)
    kcat = subprocess.run(
        ["kcat", "-P", "-b", broker.bootstrap, "-t", topic, "-X", "acks=all", "-X", "linger.ms=5",
         "-X", "queue.buffering.max.kbytes=262144", "-X", "queue.buffering.max.messages=1000000"],
        stdin=feed.stdout, capture_output=True, text=True, check=False)
    feed.stdout.close()
    feed.wait()
    if kcat.returncode != 0:
        raise RuntimeError(f"kcat: {kcat.stderr[-500:]}")
    seconds, moved = time.perf_counter() - began, times * count * size
    return (broker.cpu() - cpu) / moved * GB, moved / seconds / 1e6, times * count


def consume(broker, topic, wanted, size=1024):
    """kcat reads it all. CPU seconds per GB, MB/s."""
    cpu, began = broker.cpu(), time.perf_counter()
    # One byte per record is printed: enough to count them.
    kcat = subprocess.run(["kcat", "-C", "-b", broker.bootstrap, "-t", topic, "-o", "beginning", "-e", "-q", "-f", "x"],
                          capture_output=True, check=False)
    if kcat.returncode != 0 or len(kcat.stdout) != wanted:
        raise RuntimeError(f"{len(kcat.stdout)} records read of {wanted}: {kcat.stderr[-500:]}")
    seconds, moved = time.perf_counter() - began, wanted * size
    return (broker.cpu() - cpu) / moved * GB, moved / seconds / 1e6


def bulk(broker, records, options):
    """1 KiB records through six partitions."""
    got = {"start": broker.start_ms}
    time.sleep(3)
    got["rss_idle"] = broker.rss()
    for topic in ("warm", "load"):
        broker.create(topic)
    _, _, count = produce(broker, "warm", records, options.size / 4)
    consume(broker, "warm", count)
    got["produce_cpu"], got["produce_rate"], count = produce(broker, "load", records, options.size)
    got["consume_cpu"], got["consume_rate"] = consume(broker, "load", count)
    return got


def small_records(broker, records, options):
    """100-byte records."""
    for topic in ("warm", "load"):
        broker.create(topic)
    produce(broker, "warm", records, options.size / 8, size=100)
    cpu, rate, _ = produce(broker, "load", records, options.size / 2, size=100)
    return {"small_records_cpu": cpu, "small_records_rate": rate}


def many_partitions(broker, records, options):
    """The same over 200 partitions: small batches."""
    broker.create("load", partitions=200)
    produce(broker, "load", records, options.size / 8)
    cpu, rate, _ = produce(broker, "load", records, options.size / 2)
    return {"many_cpu": cpu, "many_rate": rate}


def capped(broker, records, options):
    """Half a core for the broker when it is written to, a tenth when it is read, so that the client is not the limit."""
    for topic in ("warm", "load"):
        broker.create(topic)
    # Compiled before it is capped, as a broker is that has run for a while.
    _, _, count = produce(broker, "warm", records, options.size / 4)
    consume(broker, "warm", count)
    broker.cap(0.5)
    _, produced, count = produce(broker, "load", records, options.size / 2)
    broker.cap(0.1)
    _, consumed = consume(broker, "load", count)
    broker.cap(None)
    return {"capped_produce": produced, "capped_consume": consumed}


def rate(broker, topic, options, requests=1000, seconds=None, partitions=6, **more):
    """Requests of one record on a schedule; what the load generator says, and CPU microseconds per request."""
    seconds = seconds or options.seconds
    flags = [flag for name, value in more.items() for flag in (f"--{name}", value)]
    sync()
    cpu = broker.cpu()
    got = load("rate", "--bootstrap", broker.bootstrap, "--topic", topic, "--partitions", partitions,
               "--rate", requests, "--seconds", seconds, *flags)
    got["cpu_us"] = (broker.cpu() - cpu) * 1e6 / (requests * (seconds + 1))
    return got


def latency(broker, records, options):
    """1,000 requests a second of one record each, in every flush mode that the broker has; record by record to the
    consumer; and the disk alone in the same minute."""
    got = {}
    kafka = broker.kind == "kafka"
    modes = {"default": {}} if kafka else {"sync": {}, "relaxed": {"watershed_flush": "relaxed"}}
    for mode, configs in modes.items():
        broker.create(mode, **configs)
        rate(broker, mode, options, seconds=3)
        measured = rate(broker, mode, options)
        got |= {f"{mode}_p50": measured["p50"], f"{mode}_p99": measured["p99"], f"{mode}_us": measured["cpu_us"]}
        broker.create(f"e2e-{mode}", partitions=1, **configs)
        measured = load("end-to-end", "--bootstrap", broker.bootstrap, "--topic", f"e2e-{mode}",
                        "--rate", 200, "--seconds", options.seconds)
        got |= {f"{mode}_e2e_p50": measured["p50"], f"{mode}_e2e_p99": measured["p99"]}
    disk = load("disk", "--dir", broker.dir, "--seconds", options.seconds)
    return got | {"disk_p50": disk["p50"], "disk_p99": disk["p99"]}


def flushed(broker, records, options):
    """The same promise from both: Kafka flushes each batch, at a rate it still sustains."""
    configs = {"flush_messages": "1"} if broker.kind == "kafka" else {}
    broker.create("flushed", **configs)
    rate(broker, "flushed", options, requests=options.flushed_rate, seconds=3)
    measured = rate(broker, "flushed", options, requests=options.flushed_rate)
    return {"flushed_p50": measured["p50"], "flushed_p99": measured["p99"]}


def dirty(broker, records, options):
    """1,000 partitions, each a batch a second."""
    broker.create("dirty", partitions=1000)
    rate(broker, "dirty", options, partitions=1000, seconds=3)
    measured = rate(broker, "dirty", options, partitions=1000)
    return {"dirty_p50": measured["p50"], "dirty_p99": measured["p99"], "dirty_us": measured["cpu_us"]}


def after_load(broker, records, options):
    """5 GB in and out, a kill, the page cache dropped, and a start."""
    broker.create("load")
    _, _, count = produce(broker, "load", records, options.volume)
    consume(broker, "load", count)
    got = {"rss_load": broker.rss()}
    broker.kill()
    sync()
    write("/proc/sys/vm/drop_caches", 3)
    got["restart"] = broker.start()
    return got


def two_thousand(broker, records, options):
    """2,000 partitions: created in one request, idle, started again."""
    got = {"create_2000": broker.create("many", partitions=2000) * 1000}
    # A record in each, so that each has its files.
    load("rate", "--bootstrap", broker.bootstrap, "--topic", "many", "--partitions", 2000, "--rate", 1000,
         "--seconds", 2, "--warm-up", 0)
    broker.process.terminate()
    broker.process.wait()
    got["start_2000"] = broker.start()
    time.sleep(5)
    cpu, began = broker.cpu(), time.perf_counter()
    time.sleep(10)
    got["idle_2000"] = (broker.cpu() - cpu) / (time.perf_counter() - began) * 100
    got["rss_2000"] = broker.rss()
    return got


SCENARIOS = {
    "bulk": bulk,
    "small_records": small_records,
    "many_partitions": many_partitions,
    "capped": capped,
    "latency": latency,
    "flushed": flushed,
    "dirty": dirty,
    "after_load": after_load,
    "two_thousand": two_thousand,
    "rebalances": group_scenarios.rebalances,
    "default_timers": group_scenarios.default_timers,
    "commits": group_scenarios.commits,
    "flushed_groups": group_scenarios.flushed_groups,
    "heartbeats": group_scenarios.heartbeats,
    "coordinator_load": group_scenarios.coordinator_load,
    "many_commits": group_scenarios.many_commits,
}


# What Kafka is told in a scenario.
SETTINGS = {"flushed_groups": ["log.flush.interval.messages=1"]}


def run(name, kind, work, records, options):
    """One scenario on a fresh broker."""
    sync()
    broker = Broker(kind, work, SETTINGS.get(name, ()))
    try:
        return SCENARIOS[name](broker, records, options)
    finally:
        broker.stop()


def machine():
    """The machine in one line."""
    memory = int(re.search(r"MemTotal:\s+(\d+)", open("/proc/meminfo").read())[1]) / 2**20
    model = re.search(r"model name\s*:\s*(.*)", open("/proc/cpuinfo").read())
    fs = subprocess.run(["df", "--output=fstype", "."], capture_output=True, text=True, check=True).stdout.split()[-1]
    congestion = open("/proc/sys/net/ipv4/tcp_congestion_control").read().strip()
    cpu = model[1].strip() if model else "processor"
    return (f"{os.cpu_count()} cores ({cpu}), {memory:.0f} GiB of memory, Linux {os.uname().release.split('-')[0]}, {fs}, "
            f"TCP congestion control {congestion}")
