"""Kafka's command-line tools of one version, run as their scripts run them (one JVM each)."""

import fcntl
import json
import os
import re
import subprocess
import sys
import time

VERSION = sys.argv[1]
sys.argv.pop(1)
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import wire  # noqa: E402
from program import Program, expect, load  # noqa: E402

P = Program()
CACHE = os.environ.get("WATERSHED_TEST_CACHE", os.path.expanduser("~/.cache/watershed-tests"))
JVM = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Dfile.encoding=UTF-8",
       "-Dstdout.encoding=UTF-8", "-cp", f"{CACHE}/kafka-{VERSION}/*"]
NEW = VERSION != "3.9"
TOOLS = "org.apache.kafka.tools."
PRODUCER = TOOLS + "ConsoleProducer" if NEW else "kafka.tools.ConsoleProducer"
API_VERSIONS = TOOLS + "BrokerApiVersionsCommand" if NEW else "kafka.admin.BrokerApiVersionsCommand"
READER_PROPERTY = "--reader-property" if NEW else "--property"
CLIENT_PROPERTY = "--command-property" if NEW else "--producer-property"
FORMATTER_PROPERTY = "--formatter-property" if NEW else "--property"
BASE_TS = 1_700_000_000_000
KEY_END, LINE_END = "\x1f", "\x1e\n"


class ToolError(Exception):
    """A tool that ended with an error, or printed one: its whole output."""


def tool(name, *args, data=None, server=True, ok=True):
    """Output of a tool, stdout then stderr; raises when it fails (or, with ok=False, when it does not)."""
    where = ["--bootstrap-server", P.bootstrap] if server else []
    run = subprocess.run([*JVM, name if "." in name else TOOLS + name, *where, *map(str, args)], input=data,
                         capture_output=True, timeout=90, check=False)
    text = run.stdout.decode(errors="replace") + "\n".join(
        line for line in run.stderr.decode(errors="replace").splitlines() if not line.startswith(("SLF4J", "log4j:")))
    if (run.returncode == 0) != ok:
        raise ToolError(f"exit code {run.returncode}: {text}"[:800])
    return text


def has(text, *patterns):
    for pattern in patterns:
        if not re.search(pattern, text):
            raise AssertionError(f"no {pattern!r} in: {text[:600]}")


def raw(api, version, body):
    with wire.Connection(P.bootstrap, wire.default_protocol()) as connection:
        return connection.request(api, version, body)


def create(topic, partitions, configs):
    extra = [part for k, v in configs.items() for part in ("--config", f"{k}={v}")]
    has(tool("TopicCommand", "--create", "--topic", topic, "--partitions", partitions, "--replication-factor", 1, *extra),
        f"Created topic {re.escape(topic)}")


def text_part(data):
    return "NULL" if data is None else data.decode()


def produce(topic, codec, records, *extra):
    lines = []
    for r in records:
        headers = ";".join(f"{n}:{text_part(v)}" for n, v in r["h"]) or "NULL"
        lines.append(f"{headers}|{text_part(r['k'])}{KEY_END}{text_part(r['v'])}\n")
    options = ["parse.headers=true", "headers.delimiter=|", "headers.separator=;", "headers.key.separator=:",
               "parse.key=true", f"key.separator={KEY_END}", "null.marker=NULL"]
    out = tool(PRODUCER, "--topic", topic, "--compression-codec", codec, "--batch-size", 262144,
               CLIENT_PROPERTY, "max.request.size=8388608",
               *[part for o in options for part in (READER_PROPERTY, o)], *extra, data="".join(lines).encode())
    # It exits 0 even when a record was refused: the error is only in its log, so count what is stored.
    return out


def write(topic):
    P.check("create", f"kafka-topics --create {topic['topic']}",
            lambda: create(topic["topic"], topic["partitions"], topic["configs"]))
    P.check(topic["feature"], f"kafka-console-producer {topic['codec']}",
            lambda: produce(topic["topic"], topic["codec"], load(topic["corpus"])))


def render(row):
    raw_part = lambda x: b"NULL" if x is None else bytes.fromhex(x)
    headers = b";".join(n.encode() + b":" + raw_part(v) for n, v in row["h"]) or b"NO_HEADERS"
    parts = [b"CreateTime:%d" % row["ts"], b"Partition:%d" % row["p"], b"Offset:%d" % row["o"], headers,
             raw_part(row["k"]), raw_part(row["v"])]
    return KEY_END.encode().join(parts) + LINE_END.encode()


def read(job):
    start = "earliest" if job["from"] == "start" else str(job["value"])
    wanted = json.load(open(job["truth"]))
    options = ["print.timestamp=true", "print.partition=true", "print.offset=true", "print.headers=true", "print.key=true",
               f"key.separator={KEY_END}", f"line.separator={LINE_END}", "headers.separator=;", "null.literal=NULL"]
    for partition in job["partitions"]:
        rows = [r for r in wanted if r["p"] == partition]
        run = subprocess.run([*JVM, TOOLS + "consumer.ConsoleConsumer", "--bootstrap-server", P.bootstrap, "--topic", job["topic"],
                              "--partition", str(partition), "--offset", start, "--max-messages", str(len(rows)),
                              "--timeout-ms", "20000", *[x for o in options for x in (FORMATTER_PROPERTY, o)]],
                             capture_output=True, timeout=90, check=False)
        got, want = run.stdout, b"".join(map(render, rows))
        if got != want:
            at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
            raise AssertionError(f"partition {partition}: {len(want)} bytes expected, {len(got)} printed, differ at {at}: "
                                 f"{want[max(0, at - 20) : at + 60]!r} / {got[max(0, at - 20) : at + 60]!r}; "
                                 f"{run.stderr.decode(errors='replace')[-300:]}")
    json.dump("compared by the program", open(job["out"], "w"))


def topics(t):
    P.check("describe", "kafka-topics --list", lambda: has(tool("TopicCommand", "--list"), rf"(?m)^{re.escape(t)}$"))
    P.check("describe", "kafka-topics --describe", lambda: has(
        tool("TopicCommand", "--describe", "--topic", t), rf"Topic: {re.escape(t)}\s+TopicId: \S+\s+PartitionCount: 3\s+"
        r"ReplicationFactor: 1\s+Configs: .*retention\.ms=-1", r"Partition: 2\s+Leader: (\d+)\s+Replicas: \1\s+Isr: \1"))

    def grow():
        tool("TopicCommand", "--alter", "--topic", t, "--partitions", 5)
        time.sleep(0.5)  # A change reaches the answering broker a little later.
        has(tool("TopicCommand", "--describe", "--topic", t), "PartitionCount: 5")
    P.check("partitions", "kafka-topics --alter --partitions 5", grow)


def config_command(t, *args, ok=True):
    return tool("kafka.admin.ConfigCommand", "--entity-type", "topics", "--entity-name", t, *args, ok=ok)


def configs(t):
    def alter():
        has(config_command(t, "--alter", "--add-config", "max.message.bytes=2000,cleanup.policy=[delete,compact]"),
            "Completed updating config")
        has(config_command(t, "--describe"), r"max\.message\.bytes=2000 sensitive=false synonyms=\{DYNAMIC_TOPIC_CONFIG:"
            r"max\.message\.bytes=2000, DEFAULT_CONFIG:message\.max\.bytes=1048588\}", r"cleanup\.policy=delete,compact")
    P.check("configs", "kafka-configs --alter --add-config, --describe", alter)

    def delete():
        has(config_command(t, "--alter", "--delete-config", "max.message.bytes,cleanup.policy"), "Completed updating config")
        has(config_command(t, "--describe", "--all"), r"max\.message\.bytes=1048588 sensitive=false synonyms=\{DEFAULT_CONFIG:",
            r"retention\.ms=-1 sensitive=false synonyms=\{DYNAMIC_TOPIC_CONFIG:retention\.ms=-1")
    P.check("configs", "kafka-configs --alter --delete-config, --describe --all", delete)

    def group():
        name = "consumer.session.timeout.ms"
        config = lambda *args: tool("kafka.admin.ConfigCommand", "--entity-type", "groups", "--entity-name", f"{t}-group", *args)
        default = rf"{re.escape(name)}=(\d+) sensitive=false synonyms=\{{DEFAULT_CONFIG:"
        before = re.search(default, config("--describe", "--all"))
        assert before and before[1] != "50000", "a group that was told nothing has the broker's own setting"
        has(config("--alter", "--add-config", f"{name}=50000"), "Completed updating config")
        has(config("--describe", "--all"), rf"{re.escape(name)}=50000 sensitive=false synonyms=\{{DYNAMIC_GROUP_CONFIG:")
        has(config("--alter", "--delete-config", name), "Completed updating config")
        has(config("--describe", "--all"), re.escape(before[0]))
    if NEW:
        P.check("configs", "kafka-configs of a group", group)
    P.check("configs", "kafka-configs --describe of the broker", lambda: has(
        tool("kafka.admin.ConfigCommand", "--entity-type", "brokers", "--describe", "--all", "--entity-name",
             raw("Metadata", 12, {"Topics": []})["Brokers"][0]["NodeId"]), r"(?m)^  [a-z.]+=.* sensitive=(true|false) synonyms="))


def offsets(t):
    def perf():
        args = ["--topic", t, "--num-records", 500, "--record-size", 100, "--throughput", -1]
        if NEW:
            text = tool("ProducerPerformance", *args)
        else:
            text = tool("ProducerPerformance", *args, "--producer-props", f"bootstrap.servers={P.bootstrap}", server=False)
        has(text, r"500 records sent, [\d.]+ records/sec")
        total = sum(p["Offset"] for p in raw("ListOffsets", 7, {"ReplicaId": -1, "Topics": [{"Name": t, "Partitions": [
            {"PartitionIndex": i, "Timestamp": -1} for i in range(5)]}]})["Topics"][0]["Partitions"])
        expect(total, 500, "records stored")
    P.check("tools", "kafka-producer-perf-test", perf)

    timed = f"{t}-timed"
    create(timed, 1, {"retention.ms": "-1"})
    import batches
    data = batches.build([(None, b"v%d" % i) for i in range(10)], timestamp=BASE_TS)
    answer = raw("Produce", 9, {"Acks": -1, "TimeoutMs": 5000, "TopicData": [
        {"Name": timed, "PartitionData": [{"Index": 0, "Records": data}]}]})
    expect(answer["Responses"][0]["PartitionResponses"][0]["ErrorCode"], 0, "raw Produce")
    shown = {"-1": 10, "latest": 10, "-2": 0, "earliest": 0, "-3": 0, "max-timestamp": 0, "-4": 0, "earliest-local": 0,
             str(BASE_TS): 0}
    for when in (["-1", "earliest", "max-timestamp", "-4", str(BASE_TS)] if NEW else ["latest", "-2", "-3", "earliest-local"]):
        P.check("list-offsets", f"kafka-get-offsets --time {when}", lambda: expect(
            tool("GetOffsetShell", "--topic", timed, "--time", when).strip(), f"{timed}:0:{shown[when]}", "printed"))
    # Without tiering there is no such offset: the tool prints no line for it, or says -1.
    for when in ["latest-tiered", str(BASE_TS + 1)] + (["earliest-pending-upload"] if NEW else []):
        P.check("list-offsets", f"kafka-get-offsets --time {when}: none", lambda: has(
            tool("GetOffsetShell", "--topic", timed, "--time", when), r"\A\s*(\S+:0:(-1)?)?\s*\Z"))

    def delete_records():
        path = os.path.join(P.plan["work"], f"delete-{VERSION}.json")
        json.dump({"version": 1, "partitions": [{"topic": timed, "partition": 0, "offset": 4}]}, open(path, "w"))
        has(tool("DeleteRecordsCommand", "--offset-json-file", path), r"low_watermark: 4")
    P.check("delete-records", "kafka-delete-records", delete_records)


def cluster(t):
    def log_dirs():
        text = tool("LogDirsCommand", "--describe", "--topic-list", t)
        answer = json.loads(next(line for line in text.splitlines() if line.startswith("{")))
        parts = [p for d in answer["brokers"][0]["logDirs"] for p in d["partitions"]]
        expect(sorted(p["partition"] for p in parts), [f"{t}-{i}" for i in range(5)], "partitions listed")
        expect(sum(p["size"] for p in parts) > 0, True, "a size above 0")
        expect([d["error"] for d in answer["brokers"][0]["logDirs"]], [None] * len(answer["brokers"][0]["logDirs"]), "errors")
    P.check("log-dirs", "kafka-log-dirs --describe", log_dirs)
    P.check("tools", "kafka-broker-api-versions", lambda: has(
        tool(API_VERSIONS), r"Produce\(0\): (0|3) to \d+ \[usable: ", r"Fetch\(1\): ", r"ApiVersions\(18\): "))
    P.check("cluster", "kafka-metadata-quorum describe --status", lambda: has(
        tool("MetadataQuorumCommand", "describe", "--status"), r"ClusterId:\s+\S+", r"LeaderId:\s+\d+", r"LeaderEpoch:\s+\d+",
        r"HighWatermark:\s+\d+", r"CurrentVoters:\s+\[.*\d+"))
    P.check("cluster", "kafka-metadata-quorum describe --replication", lambda: has(
        tool("MetadataQuorumCommand", "describe", "--replication"), r"LogEndOffset", r"(?m)^\d+\s.*Leader"))
    P.check("cluster", "kafka-features describe", lambda: has(
        tool("FeatureCommand", "describe"), r"Feature: metadata\.version\s.*FinalizedVersionLevel: \S+"))
    P.check("cluster", "kafka-cluster cluster-id",
            lambda: has(tool("ClusterTool", "cluster-id", "--bootstrap-server", P.bootstrap, server=False), r"Cluster ID: \S+"))


def compatibility():
    """Kafka's own system test of client compatibility; it always uses the topic `newtopic`."""
    with open(os.path.join(P.plan["work"], "newtopic.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        deadline = time.monotonic() + 20
        raw("DeleteTopics", 4, {"TopicNames": ["newtopic"], "TimeoutMs": 10000})
        while any(x["Name"] == "newtopic" for x in raw("Metadata", 4, {"Topics": None})["Topics"]):
            assert time.monotonic() < deadline, "newtopic of an earlier run is still there"
            time.sleep(0.2)
        topic = f"{P.prefix}.compatibility"
        create(topic, 1, {})
        has(tool("ClientCompatibilityTest", "--topic", topic, "--offsets-for-times-supported", "True", "--cluster-id-supported",
                 "True", "--expect-record-too-large-exception", "False", "--num-cluster-nodes", 1, "--create-topics-supported",
                 "True", "--describe-acls-supported", "True", "--describe-configs-supported", "True",
                 "--idempotent-producer-supported", "True"), "SUCCESS")


def refusals(t):
    def refused(name, patterns, *args, **kw):
        P.check("errors", name, lambda: has(tool(*args, ok=False, **kw), *patterns))
    new = ["--partitions", 1, "--replication-factor", 1]
    refused("topic exists", [f"Topic '{re.escape(t)}' already exists"], "TopicCommand", "--create", "--topic", t, *new)
    refused("bad topic name", ["bad name!"], "TopicCommand", "--create", "--topic", "bad name!", *new)
    refused("replication factor 3", ["[Rr]eplication factor"], "TopicCommand", "--create", "--topic", f"{t}.rf", "--partitions",
            1, "--replication-factor", 3)
    refused("fewer partitions", ["partition"], "TopicCommand", "--alter", "--topic", t, "--partitions", 2)
    refused("describe a missing topic", ["does not exist as expected"], "TopicCommand", "--describe", "--topic", f"{t}.missing")
    P.check("errors", "bad config value", lambda: has(config_command(t, "--alter", "--add-config", "retention.ms=soon", ok=False),
                                                     "InvalidConfigurationException", r"retention\.ms"))
    P.check("errors", "unknown config", lambda: has(config_command(t, "--alter", "--add-config", "no.such.config=1", ok=False),
                                                   "InvalidConfigurationException", r"no\.such\.config"))


def admin():
    t = f"{P.prefix}.admin"
    P.check("create", "kafka-topics --create with --config", lambda: create(t, 3, {"retention.ms": "-1"}))
    topics(t)
    configs(t)
    P.check("list-offsets", "setting up", lambda: offsets(t))
    cluster(t)
    P.check("tools", "ClientCompatibilityTest", compatibility)
    refusals(t)

    def delete():
        tool("TopicCommand", "--delete", "--topic", t)
        deadline = time.monotonic() + 10
        while any(x["Name"] == t for x in raw("Metadata", 4, {"Topics": None})["Topics"]):
            assert time.monotonic() < deadline, "still listed after 10 s"
            time.sleep(0.05)
    P.check("delete", "kafka-topics --delete", delete)


for entry in P.plan.get("topics", []):
    write(entry)
if P.plan.get("admin"):
    admin()
for entry in P.plan.get("reads", []):
    P.check(entry["feature"], f"kafka-console-consumer {entry['topic']} from {entry['from']}, byte for byte", lambda: read(entry))
P.done()
