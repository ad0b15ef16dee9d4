"""Runs the selected clients in two phases against one broker, and judges what they did.

Write: every client creates its topics, writes its corpus with every codec, and tries its
admin calls and wrong requests. Then this program reads each topic with raw Fetch requests:
the codec bits, producer ids and records of the *stored* batches must be what was sent.
Read: every consuming client reads every topic of every producer; each dump must equal
the stored records byte for byte (the column `cross`). Then the group tests (`groups.py`).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import batches  # noqa: E402
import corpus  # noqa: E402
import groups  # noqa: E402
import wire  # noqa: E402
from report import Report  # noqa: E402

CACHE = os.environ.get("WATERSHED_TEST_CACHE", os.path.expanduser("~/.cache/watershed-tests"))
CLIENTS = ["kcat", "confluent", "kafka-python", "kafkajs", "franz-go", "java-4.2", "java-3.9", "tools-4.2", "tools-3.9"]
NO_CONSUMER = {"kafkajs"}
JVM_SHORT = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"]
PROGRAM_TIMEOUT_S = 900  # Only against hanging: a busy machine takes minutes for the JVMs.


def command(client):
    root = os.path.dirname(HERE)
    python = sys.executable
    if client == "confluent":
        return [python, f"{root}/python/confluent_client.py"]
    if client == "kafka-python":
        return [python, f"{root}/python/kafka_python_client.py"]
    if client == "kcat":
        return [python, f"{root}/python/kcat_client.py"]
    if client.startswith("tools-"):
        return [python, f"{root}/python/tools_client.py", client.removeprefix("tools-")]
    if client == "kafkajs":
        return ["node", f"{root}/kafkajs/client.js"]
    if client == "franz-go":
        return [f"{CACHE}/franz-go-client"]
    version = client.removeprefix("java-")
    return ["java", *JVM_SHORT, "-cp", f"{CACHE}/java-{version}:{CACHE}/kafka-{version}/*", "Client"]


class Suite:
    def __init__(self, bootstrap, clients, work, report):
        self.bootstrap, self.clients, self.work = bootstrap, clients, work
        self.report, self.protocol = report, wire.default_protocol()
        self.run_id = f"{int(time.time()) % 1_000_000:06d}"
        self.topics = {}  # client -> its topics
        self.truth = {}  # topic -> {partition: records as dumped}

    def path(self, *parts):
        return os.path.join(self.work, "-".join(parts))

    def write_json(self, data, *parts):
        path = self.path(*parts)
        with open(path, "w") as out:
            json.dump(data, out)
        return path

    def plan_topics(self, client):
        """The topics that a client creates and fills."""
        text_only = client.startswith("tools-")
        partitions = 1 if text_only else 2
        small = self.write_json(corpus.small(client, partitions), client, "small.json")
        topics = [{"topic": f"{self.run_id}-{client}-{codec}", "codec": codec, "feature": codec, "corpus": small,
                   "partitions": partitions, "configs": {"retention.ms": "-1"}} for codec in batches.CODECS]
        large = self.write_json(corpus.large(client), client, "large.json")
        topics.append({"topic": f"{self.run_id}-{client}-large", "codec": "none", "feature": "1MB", "corpus": large,
                       "partitions": 1, "configs": {"retention.ms": "-1", "max.message.bytes": str(4 << 20)}})
        return topics

    def run_program(self, client, phase, plan):
        plan = {"client": client, "bootstrap": self.bootstrap, "prefix": f"{self.run_id}-{client}",
                "results": self.path(client, phase, "results.jsonl"), "work": self.work, **plan}
        path = self.write_json(plan, client, phase, "plan.json")
        log = self.path(client, phase, "log")
        started = time.monotonic()
        env = dict(os.environ, NODE_PATH=f"{CACHE}/kafkajs/node_modules", KAFKAJS_NO_PARTITIONER_WARNING="1")
        with open(log, "w") as out:
            try:
                subprocess.run([*command(client), path], stdout=out, stderr=subprocess.STDOUT, env=env,
                               timeout=PROGRAM_TIMEOUT_S, check=False)
            except subprocess.TimeoutExpired:
                out.write(f"\nstopped after {PROGRAM_TIMEOUT_S} s\n")
        print(f"-- {client} {phase}: {time.monotonic() - started:.0f} s", flush=True)
        if not self.report.load(plan["results"], client):
            with open(log) as text:
                print("".join(text.readlines()[-25:]), flush=True)

    def run_all(self, phase, plans):
        # Two at a time: the broker under test and the clients share few cores.
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda item: self.run_program(item[0], phase, item[1]), plans.items()))

    def stored(self, client, topic):
        """Reads one topic raw and compares it with what the client was told to write."""
        name, feature = topic["topic"], topic["feature"]
        wanted = json.load(open(topic["corpus"]))
        found, truth, idempotent, append_time = set(), {}, True, False
        try:
            with wire.Connection(self.bootstrap, self.protocol) as connection:
                for partition in range(topic["partitions"]):
                    truth[partition] = []
                    for batch in batches.stored(connection, name, partition):
                        # librdkafka stores a batch plain when compressing does not shrink it.
                        if sum(len(r.value or b"") for r in batch.records) > 200:
                            found.add(batch.codec)
                        idempotent &= batch.producer_id >= 0 and batch.base_sequence >= 0
                        append_time |= batch.log_append_time
                        truth[partition] += [
                            {"p": partition, "o": r.offset, "ts": r.timestamp, "k": corpus._hex(r.key),
                             "v": corpus._hex(r.value), "h": [[n, corpus._hex(v)] for n, v in r.headers]}
                            for r in batch.records]
        except Exception as error:
            self.report.add(client, feature, f"raw read of {name}", False, f"{type(error).__name__}: {error}")
            return
        if not any(truth.values()):
            self.report.add(client, feature, f"{name} holds what was sent", False, "nothing is stored")
            return
        self.truth[name] = truth
        self.report.add(client, feature, "codec bits of the stored batches", found == {topic["codec"]},
                        f"expected {topic['codec']}, stored {sorted(found)}")
        self.report.add(client, "idempotence", f"producer id and sequence in {name}", idempotent)
        for part in ("k", "v", "h", "ts"):
            self.compare_stored(client, topic, part, wanted, truth)
        dense = all([r["o"] for r in rows] == list(range(len(rows))) for rows in truth.values())
        self.report.add(client, feature, f"offsets of {name} are dense from 0", dense)

    def compare_stored(self, client, topic, part, wanted, truth):
        feature = {"k": "keys", "v": topic["feature"], "h": "headers", "ts": "timestamps"}[part]
        if part == "ts" and any(r["ts"] is None for r in wanted):
            return
        for partition, rows in truth.items():
            want = [r[part] for r in wanted if r["p"] == partition]
            got = [r[part] for r in rows]
            if topic.get("unordered"):
                want, got = sorted(map(str, want)), sorted(map(str, got))
            wrong = next((i for i, (a, b) in enumerate(zip(want, got)) if a != b), min(len(want), len(got)))
            self.report.add(client, feature, f"stored {part} of {topic['topic']}-{partition}", want == got,
                            f"{len(want)} sent, {len(got)} stored, first difference at {wrong}: "
                            f"{str(want[wrong:wrong + 1])[:120]} / {str(got[wrong:wrong + 1])[:120]}")
            if part == "v" and None in want:
                self.report.add(client, "tombstones", f"null values of {topic['topic']}-{partition}",
                                [i for i, v in enumerate(want) if v is None] == [i for i, v in enumerate(got) if v is None])
            if part == "h" and any(v is None for h in want for _, v in h if not isinstance(h, str)):
                self.report.add(client, "null-header", f"null header values of {topic['topic']}-{partition}", want == got)

    def plan_reads(self, client):
        """What a consuming client reads, with what must come out."""
        reads = []
        brief = client.startswith("tools-")
        for index, (producer, topics) in enumerate(self.topics.items()):
            for number, topic in enumerate(topics):
                name = topic["topic"]
                if name not in self.truth:
                    continue
                # A JVM per read: the tools read one codec of each producer, each another one.
                if brief and number != index % len(topics):
                    continue
                partitions = [0] if brief else list(self.truth[name])
                reads.append(self.read_job(client, "cross", name, "start", partitions, None, producer))
        own = next((t["topic"] for ts in ([self.topics.get(client)] if self.topics.get(client) else self.topics.values())
                    for t in ts if t["codec"] == "lz4" and t["topic"] in self.truth), None)
        if own and sum(map(len, self.truth[own].values())) > 10:
            partitions = [0] if brief else list(self.truth[own])
            middle = sorted(r["ts"] for rows in self.truth[own].values() for r in rows)
            middle = middle[len(middle) // 2]
            reads.append(self.read_job(client, "read-start", own, "start", partitions, None, client))
            reads.append(self.read_job(client, "read-offset", own, "offset", [0], 7, client))
            if not brief:
                reads.append(self.read_job(client, "read-time", own, "time", partitions, middle, client))
        return reads

    def read_job(self, client, feature, topic, start, partitions, value, producer):
        rows = []
        for partition in partitions:
            stored = self.truth[topic][partition]
            if start == "offset":
                stored = [r for r in stored if r["o"] >= value]
            elif start == "time":
                first = next((r["o"] for r in stored if r["ts"] >= value), None)
                stored = [] if first is None else [r for r in stored if r["o"] >= first]
            rows += stored
        truth = self.write_json(rows, client, topic, start, "truth.json")
        return {"feature": feature, "topic": topic, "from": start, "partitions": partitions, "value": value,
                "expect": len(rows), "out": self.path(client, topic, start, "dump.json"), "truth": truth,
                "producer": producer}

    def compare_reads(self, client, reads):
        for job in reads:
            name = f"{job['topic']} from {job['from']}, byte for byte"
            try:
                got = json.load(open(job["out"]))
            except (OSError, ValueError):
                continue  # The program has reported its own failure.
            if got == "compared by the program":
                continue
            order = lambda rows: sorted(rows, key=lambda r: (r["p"], r["o"]))
            wanted, got = order(json.load(open(job["truth"]))), order(got)
            wrong = next((i for i, (a, b) in enumerate(zip(wanted, got)) if a != b), None)
            detail = "" if wrong is None else f"{str(wanted[wrong])[:200]} / {str(got[wrong])[:200]}"
            self.report.add(client, job["feature"], name, wanted == got,
                            f"{len(wanted)} stored, {len(got)} read; first difference: {detail}")

    def main(self):
        for client in self.clients:
            self.topics[client] = self.plan_topics(client)
        self.run_all("write", {c: {"topics": self.topics[c], "admin": True} for c in self.clients})
        for client in self.clients:
            for topic in self.topics[client]:
                self.stored(client, topic)
        readers = [c for c in self.clients if c not in NO_CONSUMER]
        plans = {c: {"reads": self.plan_reads(c)} for c in readers}
        self.run_all("read", plans)
        for client in readers:
            self.compare_reads(client, plans[client]["reads"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--work", help="folder for plans, logs and dumps (kept)")
    parser.add_argument("--suites", default="suite,groups", help="which tests")
    parser.add_argument("--group-rules", action="store_true", help="the broker has the [[groups]] rules of run")
    parser.add_argument("clients", nargs="*")
    args = parser.parse_args()
    work = args.work or tempfile.mkdtemp(prefix="watershed-clients-")
    os.makedirs(work, exist_ok=True)
    print(f"plans, logs and dumps: {work}", flush=True)
    clients, report = args.clients or [*CLIENTS, "aiokafka", "mixed"], Report()
    suites = args.suites.split(",")
    if "suite" in suites:
        Suite(args.bootstrap, [c for c in clients if c in CLIENTS], work, report).main()
    if "groups" in suites:
        groups.run(args.bootstrap, [c for c in clients if c in groups.CLIENTS], work, report, args.group_rules)
    sys.exit(report.finish(clients))


if __name__ == "__main__":
    main()
