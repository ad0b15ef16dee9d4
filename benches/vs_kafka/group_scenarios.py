"""What is measured of consumer groups; see scenarios.py."""

import json
import subprocess
import time

from brokers import LOAD, load, sync

MEMBERS, PARTITIONS, ROUNDS = 100, 1000, 100


def group_load(broker, *args):
    return load(args[0], "--bootstrap", broker.bootstrap, "--topic", "groups", *args[1:])


def group_cpu(broker, *args):
    """The load generator says when it has warmed up: from there on CPU counts. What it measured, the broker's CPU seconds, and how long that was."""
    sync()
    command = [LOAD, args[0], "--bootstrap", broker.bootstrap, "--topic", "groups", *map(str, args[1:])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        cpu, began = broker.cpu(), time.perf_counter()
        out, err = process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"load {args[0]}: {err[-400:]}")
        return json.loads(out), broker.cpu() - cpu, time.perf_counter() - began


def rebalances(broker, records, options):
    """A classic group and a KIP-848 group of 100 members over 1,000 partitions, rebalance after rebalance."""
    broker.create("groups", partitions=PARTITIONS)
    return rebalance_both(broker)


def rebalance_both(broker):
    """Both kinds of group, one after the other."""
    got = {}
    for kind in ("classic", "consumer"):
        # Kafka is compiled first, as a broker is that has run for a while.
        measured, cpu, _ = group_cpu(broker, kind, "--members", MEMBERS, "--partitions", PARTITIONS,
                                     "--warm-up", 100, "--rounds", ROUNDS)
        got |= {f"{kind}_rebalance_p50": measured["p50"], f"{kind}_rebalance_p99": measured["p99"],
                f"{kind}_rebalance_cpu": cpu * 1000 / ROUNDS}
    return got


def default_timers(broker, records, options):
    """Wall time of what a user sees: a first consumer of librdkafka, then a second one, everything at its defaults."""
    from confluent_kafka import Consumer

    broker.create("groups", partitions=12)
    got = {}
    for protocol in ("classic", "consumer"):
        members = []
        for name in ("first", "second"):
            began, assigned = time.perf_counter(), []
            members.append(Consumer({"bootstrap.servers": broker.bootstrap, "group.id": f"timers-{protocol}", "group.protocol": protocol}))
            members[-1].subscribe(["groups"], on_assign=lambda _, partitions, assigned=assigned: assigned.extend(partitions))
            while not assigned and time.perf_counter() < began + 60:
                for member in members:
                    member.poll(0.005)
            got[f"timers_{protocol}_{name}"] = (time.perf_counter() - began) * 1000
        for member in members:
            member.close()
    return got


def commits(broker, records, options):
    """Offset commits of one partition each: on a schedule, and as fast as they are answered."""
    broker.create("groups", partitions=10)
    rate = ("--rate", 1000, "--seconds")
    group_load(broker, "commits", *rate, 5)
    sync()
    measured = group_load(broker, "commits", *rate, options.seconds)
    disk = load("disk", "--dir", broker.dir, "--seconds", options.seconds)
    got = {"commit_p50": measured["p50"], "commit_p99": measured["p99"], "commit_disk_p99": disk["p99"]}
    return got | fill_both(broker, times=1000)


def fill_both(broker, times):
    """Consumers that wait for each commit, `times` of them each, and consumers that commit asynchronously; a quarter of it for warming up."""
    got = {}
    for name, consumers, window, times in (("async", 50, 16, 8 * times), ("waiting", 200, 1, times)):
        one_each = ("fill", "--groups", consumers, "--connections", consumers, "--window", window, "--times")
        group_load(broker, *one_each, times // 4)
        sync()
        cpu = broker.cpu()
        filled = group_load(broker, *one_each, times)
        cpu = broker.cpu() - cpu
        got |= {f"commits_{name}_per_cpu": filled["offsets"] / cpu, f"commits_{name}_per_second": filled["per_second"]}
    return got


def flushed_groups(broker, records, options):
    """Rebalances and commits under the same promise: Kafka flushes each batch of its offsets topic too (see SETTINGS)."""
    broker.create("groups", partitions=PARTITIONS)
    got = rebalance_both(broker) | fill_both(broker, times=100 if broker.kind == "kafka" else 1000)
    return {f"flushed_{key}": value for key, value in got.items()}


def heartbeats(broker, records, options):
    """1,000 classic groups of one member, each a heartbeat every three seconds."""
    broker.create("groups", partitions=1)
    measured, cpu, seconds = group_cpu(broker, "heartbeats", "--groups", 1000, "--rate", 333, "--warm-up", 0,
                                       "--seconds", options.seconds)
    return {"heartbeat_cpu": cpu / seconds * 100, "heartbeat_p99": measured["p99"], "heartbeat_rss": broker.rss()}


def stop_and_load(broker, groups):
    """Stops the broker by SIGKILL and starts it; milliseconds until every coordinator answers."""
    broker.kill()
    began = time.perf_counter()
    broker.start()
    group_load(broker, "loaded", "--groups", groups)
    return (time.perf_counter() - began) * 1000


def coordinator_load(broker, records, options):
    """A million committed offsets, a kill, a start."""
    broker.create("groups", partitions=1000)
    group_load(broker, "fill", "--groups", 1000, "--partitions", 1000, "--connections", 2)
    got = {"million_rss": broker.rss(), "million_load": stop_and_load(broker, 1000)}
    return got | {"million_rss_loaded": broker.rss()}


def many_commits(broker, records, options):
    """50 million commits on 10,000 keys, a kill, a start. Ours only: without compaction by now the log says what was written."""
    if broker.kind == "kafka":
        return {}
    broker.create("groups", partitions=1000)
    filled = group_load(broker, "fill", "--groups", 10, "--partitions", 1000, "--times", options.commits // 10_000)
    return {"commits_restart": stop_and_load(broker, 10), "commits_fill_per_second": filled["per_second"]}
