"""The table: what was measured, the ratio, and the goal it is held to."""

import statistics

# What is shown: label, how to print it, (the figure of ours, Kafka's figure), the most or least the ratio should be.
# A goal that is no ratio is a function of both brokers' figures that gives a text and whether it is met.
ROWS = [
    ("broker CPU, s per GB produced (1 KiB records, acks=all)", "{:.2f}", ("produce_cpu", "produce_cpu"), "≤ 0.3"),
    ("produced, MB/s (client and broker share the cores)", "{:.0f}", ("produce_rate", "produce_rate"), None),
    ("broker CPU, s per GB consumed", "{:.2f}", ("consume_cpu", "consume_cpu"), "≤ 0.35"),
    ("consumed, MB/s", "{:.0f}", ("consume_rate", "consume_rate"), None),
    ("broker CPU, s per GB produced, 100-byte records", "{:.2f}", ("small_records_cpu", "small_records_cpu"), "≤ 0.3"),
    ("broker CPU, s per GB produced, 200 partitions", "{:.2f}", ("many_cpu", "many_cpu"), "≤ 0.2"),
    ("broker capped at half a core: produced, MB/s", "{:.0f}", ("capped_produce", "capped_produce"), "≥ 3"),
    ("broker capped at a tenth of a core: consumed, MB/s", "{:.0f}", ("capped_consume", "capped_consume"), "≥ 2"),
    ("CPU per small request, µs: sync", "{:.0f}", ("sync_us", "default_us"), "≤ 0.125"),
    ("CPU per small request, µs: relaxed", "{:.0f}", ("relaxed_us", "default_us"), "≤ 0.125"),
    ("ack at 1,000/s, p50, ms: sync against Kafka's page cache", "{:.2f}", ("sync_p50", "default_p50"), None),
    ("ack at 1,000/s, p99, ms: sync against Kafka's page cache", "{:.2f}", ("sync_p99", "default_p99"), None),
    ("ack at 1,000/s, p50, ms: relaxed", "{:.2f}", ("relaxed_p50", "default_p50"), None),
    ("ack at 1,000/s, p99, ms: relaxed", "{:.2f}", ("relaxed_p99", "default_p99"), "≤ 0.333"),
    ("ack at {flushed_rate}/s, p50, ms: sync, Kafka flushing each batch", "{:.2f}", ("flushed_p50", "flushed_p50"), None),
    ("ack at {flushed_rate}/s, p99, ms: sync, Kafka flushing each batch", "{:.2f}", ("flushed_p99", "flushed_p99"), "≤ 0.05"),
    ("1,000 partitions, a batch a second each: ack p50, ms", "{:.2f}", ("dirty_p50", "dirty_p50"), None),
    ("1,000 partitions, a batch a second each: ack p99, ms", "{:.2f}", ("dirty_p99", "dirty_p99"), None),
    ("1,000 partitions, a batch a second each: CPU per request, µs", "{:.0f}", ("dirty_us", "dirty_us"), None),
    ("record by record to the consumer, p50, ms: relaxed", "{:.2f}", ("relaxed_e2e_p50", "default_e2e_p50"), "≤ 1"),
    ("record by record to the consumer, p50, ms: sync", "{:.2f}", ("sync_e2e_p50", "default_e2e_p50"), None),
    ("resident memory idle, MB", "{:.0f}", ("rss_idle", "rss_idle"), None),
    ("resident memory after 5 GB in and out, MB", "{:.0f}", ("rss_load", "rss_load"), None),
    ("exec to first metadata answer, ms: new directory", "{:.0f}", ("start", "start"), None),
    ("exec to first metadata answer, ms: 5 GB after a kill, cold", "{:.0f}", ("restart", "restart"), None),
    ("2,000 partitions created in one request, ms", "{:.0f}", ("create_2000", "create_2000"), "≤ 0.333"),
    ("2,000 partitions: exec to first metadata answer, ms", "{:.0f}", ("start_2000", "start_2000"), None),
    ("2,000 partitions: idle CPU, % of a core", "{:.1f}", ("idle_2000", "idle_2000"), None),
    ("2,000 partitions: resident memory, MB", "{:.0f}", ("rss_2000", "rss_2000"), None),
    ("classic group, 100 members, 1,000 partitions: last JoinGroup to last SyncGroup, p50, ms", "{:.2f}",
     ("classic_rebalance_p50", "classic_rebalance_p50"), "≤ 0.333"),
    ("the same: broker CPU per rebalance, ms", "{:.2f}", ("classic_rebalance_cpu", "classic_rebalance_cpu"), "≤ 0.25"),
    ("KIP-848 group, the same size: member leaves to new targets, p50, ms", "{:.2f}",
     ("consumer_rebalance_p50", "consumer_rebalance_p50"), "≤ 0.2"),
    ("the same: broker CPU per leave, join and all heartbeats until stable, ms", "{:.2f}",
     ("consumer_rebalance_cpu", "consumer_rebalance_cpu"), "≤ 0.25"),
    ("the first consumer of a classic group has its partitions: with every timer at its default, ms", "{:.0f}",
     ("timers_classic_first", "timers_classic_first"), None),
    ("a second one: with every timer at its default, ms", "{:.0f}",
     ("timers_classic_second", "timers_classic_second"), None),
    ("the first consumer of a KIP-848 group has its partitions: with every timer at its default, ms", "{:.0f}",
     ("timers_consumer_first", "timers_consumer_first"), None),
    ("a second one: with every timer at its default, ms", "{:.0f}",
     ("timers_consumer_second", "timers_consumer_second"), None),
    ("offset commits per broker CPU second, 50 consumers with up to 16 on their way: sync against Kafka's page cache", "{:.0f}",
     ("commits_async_per_cpu", "commits_async_per_cpu"), "≥ 3"),
    ("the same: commits per second", "{:.0f}", ("commits_async_per_second", "commits_async_per_second"), None),
    ("offset commits per broker CPU second, 200 consumers that wait for each: sync against Kafka's page cache", "{:.0f}",
     ("commits_waiting_per_cpu", "commits_waiting_per_cpu"), None),
    ("the same: commits per second", "{:.0f}", ("commits_waiting_per_second", "commits_waiting_per_second"), None),
    ("offset commits at 1,000/s, p50, ms: sync against Kafka's page cache", "{:.2f}", ("commit_p50", "commit_p50"), None),
    ("offset commits at 1,000/s, p99, ms: sync against Kafka's page cache", "{:.2f}", ("commit_p99", "commit_p99"), None),
    ("Kafka flushing each batch: classic group, last JoinGroup to last SyncGroup, p50, ms", "{:.2f}",
     ("flushed_classic_rebalance_p50", "flushed_classic_rebalance_p50"), "≤ 0.333"),
    ("Kafka flushing each batch: KIP-848 group, member leaves to new targets, p50, ms", "{:.2f}",
     ("flushed_consumer_rebalance_p50", "flushed_consumer_rebalance_p50"), "≤ 0.2"),
    ("Kafka flushing each batch: CPU per leave, join and all heartbeats until stable, ms", "{:.2f}",
     ("flushed_consumer_rebalance_cpu", "flushed_consumer_rebalance_cpu"), "≤ 0.25"),
    ("Kafka flushing each batch: commits per CPU second, 50 consumers with up to 16 on their way", "{:.0f}",
     ("flushed_commits_async_per_cpu", "flushed_commits_async_per_cpu"), "≥ 3"),
    ("Kafka flushing each batch: commits per CPU second, 200 consumers that wait for each", "{:.0f}",
     ("flushed_commits_waiting_per_cpu", "flushed_commits_waiting_per_cpu"), "≥ 3"),
    ("Kafka flushing each batch: commits per second of these 200", "{:.0f}",
     ("flushed_commits_waiting_per_second", "flushed_commits_waiting_per_second"), None),
    ("1,000 heartbeating groups: CPU, % of a core", "{:.1f}", ("heartbeat_cpu", "heartbeat_cpu"), None),
    ("1,000 heartbeating groups: resident memory, MB", "{:.0f}", ("heartbeat_rss", "heartbeat_rss"), None),
    ("a million committed offsets: exec to all coordinators there, ms", "{:.0f}", ("million_load", "million_load"), None),
    ("a million committed offsets: resident memory after the start, MB", "{:.0f}", ("million_rss_loaded", "million_rss_loaded"), None),
]

# Goals that are no ratios to Kafka: figure, limit as text, limit.
LIMITS = [
    ("sync p50 at 1,000/s, ms", "sync_p50", "2 × the disk's p50 + 0.5", lambda w, k: 2 * w["disk_p50"] + 0.5),
    ("sync p99 at 1,000/s, ms", "sync_p99", "3 × the disk's p99 + 2", lambda w, k: 3 * w["disk_p99"] + 2),
    ("record by record, sync p50, ms", "sync_e2e_p50", "Kafka's + the disk's p50", lambda w, k: k["default_e2e_p50"] + w["disk_p50"]),
    ("resident memory idle, MB", "rss_idle", "30", lambda w, k: 30),
    ("resident memory after 5 GB, MB", "rss_load", "150", lambda w, k: 150),
    ("start on a new directory, ms", "start", "150", lambda w, k: 150),
    ("start on 5 GB after a kill, cold, ms", "restart", "500 (the tail is small)", lambda w, k: 500),
    ("start with 2,000 partitions, ms", "start_2000", "3000", lambda w, k: 3000),
    ("idle CPU with 2,000 partitions, %", "idle_2000", "2", lambda w, k: 2),
    ("memory with 2,000 partitions, MB", "rss_2000", "60", lambda w, k: 60),
    ("offset commits at 1,000/s, p99, ms", "commit_p99", "3 × the disk's p99", lambda w, k: 3 * w["commit_disk_p99"]),
    ("1,000 heartbeating groups: CPU, % of a core", "heartbeat_cpu", "5", lambda w, k: 5),
    ("a million committed offsets: start, ms", "million_load", "2000", lambda w, k: 2000),
    ("50 million commits on 10,000 keys: start, ms", "commits_restart", "2000", lambda w, k: 2000),
]


def met(ratio, goal):
    sign, limit = goal.split()
    return ratio <= float(limit) if sign == "≤" else ratio >= float(limit)


def table(figures, options, machine):
    """Two Markdown tables of the figures' medians: ratios to Kafka, and limits of our own."""
    medians = {kind: {key: statistics.median(values) for key, values in got.items()} for kind, got in figures.items()}
    counts = {len(values) for got in figures.values() for values in got.values()}
    rounds = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    ours, kafka = medians.get("watershed", {}), medians.get("kafka", {})
    lines = [
        "# Side by side with Apache Kafka",
        "",
        f"Made by `benches/vs_kafka/run`: medians of {rounds} rounds; {options.size / 1e9:g} GB in the bulk scenario; {machine}.",
        "Watershed acknowledges what is on the medium (`sync`) unless a row says `relaxed`; Kafka 4.2 with its defaults what is",
        "in the page cache. Quote the ratios.",
        "",
        "| | Watershed | Kafka 4.2 | ratio | goal | |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for label, form, (mine, theirs), goal in ROWS:
        if mine not in ours and theirs not in kafka:
            continue
        shown = [form.format(side[key]) if key in side else "" for side, key in ((ours, mine), (kafka, theirs))]
        ratio = ours[mine] / kafka[theirs] if mine in ours and kafka.get(theirs) else None
        mark = "" if goal is None or ratio is None else "met" if met(ratio, goal) else "**missed**"
        label = label.format(flushed_rate=options.flushed_rate)
        lines.append(f"| {label} | {shown[0]} | {shown[1]} | {'' if ratio is None else f'{ratio:.3f}'} | {goal or ''} | {mark} |")
    lines += ["", "| | Watershed | limit | |", "|---|---:|---:|---|"]
    for label, key, text, limit in LIMITS:
        try:
            bound = limit(ours, kafka)
        except KeyError:
            continue
        if key in ours:
            text = text if text == f"{bound:g}" else f"{bound:.2f} = {text}"
            lines.append(f"| {label} | {ours[key]:.2f} | {text} | {'met' if ours[key] <= bound else '**missed**'} |")
    if "disk_p50" in ours:
        lines += ["", f"A bare pwrite + fdatasync at 1,000/s in the same run: p50 {ours['disk_p50']:.2f} ms, p99 {ours['disk_p99']:.2f} ms."]
    return "\n".join(lines) + "\n"
