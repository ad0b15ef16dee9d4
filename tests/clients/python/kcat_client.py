"""kcat, run as a user runs it: produce from stdin, consume with a format, list, query.

kcat has no admin calls: its topics are created raw. Headers come from arguments and are
the same for all records of one run, so records are grouped by their headers.
"""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import wire  # noqa: E402
from program import Program, expect, load  # noqa: E402

P = Program()
KEY_END, RECORD_END = "\x1f", "\x1e"
WAIT = 60


class KcatError(Exception):
    """kcat ended with an error; its standard error is the message."""


def kcat(*args, data=None):
    run = subprocess.run([b"kcat", b"-b", P.bootstrap.encode(), *(a if isinstance(a, bytes) else str(a).encode() for a in args)],
                         input=data, capture_output=True, timeout=WAIT, check=False)
    if run.returncode != 0:
        raise KcatError(run.stderr.decode(errors="replace").strip())
    return run.stdout


def create(topic):
    with wire.Connection(P.bootstrap, wire.default_protocol()) as connection:
        answer = connection.request("CreateTopics", 5, {"timeoutMs": 10000, "Topics": [{
            "Name": topic["topic"], "NumPartitions": topic["partitions"], "ReplicationFactor": 1,
            "Configs": [{"Name": k, "Value": v} for k, v in topic["configs"].items()]}]})
    expect(answer["Topics"][0]["ErrorCode"], 0, "CreateTopics")


def groups(records):
    """Runs of records that one kcat run can write: same partition, same headers, in order."""
    out = []
    for partition in sorted({r["p"] for r in records}):
        for r in (r for r in records if r["p"] == partition):
            if out and (out[-1][0]["p"], out[-1][0]["h"]) == (partition, r["h"]):
                out[-1].append(r)
            else:
                out.append([r])
    return out


def produce(topic, codec, records, *extra):
    for group in groups(records):
        headers = []
        for name, value in group[0]["h"]:
            headers += [b"-H", name.encode() if value is None else name.encode() + b"=" + value]
        data = b"".join(
            (b"" if r["k"] is None else r["k"] + KEY_END.encode()) + (r["v"] or b"") + RECORD_END.encode() for r in group)
        kcat("-P", "-t", topic, "-p", group[0]["p"], "-Z", "-K", KEY_END, "-D", RECORD_END, "-X", "linger.ms=200",
             "-X", f"compression.codec={codec}", "-X", "enable.idempotence=true", "-X", "message.max.bytes=8388608",
             *extra, *headers, data=data)


def write(topic):
    create(topic)
    P.check(topic["feature"], f"produce {topic['codec']}",
            lambda: produce(topic["topic"], topic["codec"], load(topic["corpus"])))


def render(row):
    """The bytes that FORMAT prints for a stored record."""
    raw = lambda x: None if x is None else bytes.fromhex(x)
    key, value = raw(row["k"]), raw(row["v"])
    # kcat prints a header value up to its first NUL; an empty one as nothing.
    headers = b",".join(n.encode() + b"=" + (b"NULL" if v is None else raw(v).split(b"\0")[0]) for n, v in row["h"])
    numbers = f"{row['p']} {row['o']} {row['ts']} {-1 if key is None else len(key)} {-1 if value is None else len(value)}\n"
    return numbers.encode() + (key or b"") + b"|" + headers + b"|" + (value or b"") + b"\n"


FORMAT = r"%p %o %T %K %S\n%k|%h|%s\n"


def read(job):
    start = {"start": "beginning", "offset": job["value"], "time": f"s@{job['value']}"}[job["from"]]
    wanted = json.load(open(job["truth"]))
    total = b""
    for partition in job["partitions"]:
        got = kcat("-C", "-q", "-t", job["topic"], "-p", partition, "-o", start, "-e", "-f", FORMAT,
                   "-X", "check.crcs=true")
        want = b"".join(render(r) for r in wanted if r["p"] == partition)
        if got != want:
            at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
            raise AssertionError(f"partition {partition}: {len(want)} bytes expected, {len(got)} printed, differ at {at}: "
                                 f"{want[at - 20 : at + 60]!r} / {got[at - 20 : at + 60]!r}")
        total += got
    json.dump("compared by the program", open(job["out"], "w"))


def admin():
    topic = f"{P.prefix}.admin"
    create({"topic": topic, "partitions": 3, "configs": {"retention.ms": "-1", "max.message.bytes": "2000"}})

    def listing():
        answer = json.loads(kcat("-L", "-J", "-t", topic))
        (got,) = answer["topics"]
        expect((got["topic"], len(got["partitions"]), len(answer["brokers"])), (topic, 3, 1), "listing")
    P.check("describe", "list one topic", listing)
    P.check("cluster", "list brokers", lambda: expect(len(json.loads(kcat("-L", "-J"))["brokers"]), 1, "brokers"))

    def query():
        produce(topic, "none", [{"p": 0, "k": None, "v": b"v%d" % i, "h": []} for i in range(10)])
        for when, wanted in [("-2", 0), ("-1", 10), ("1000", 0)]:
            expect(kcat("-Q", "-t", f"{topic}:0:{when}").decode().strip(), f"{topic} [0] offset {wanted}", f"query {when}")
    P.check("list-offsets", "query earliest, latest, by time", query)

    def refuses(name, text, step):
        try:
            step()
        except KcatError as error:
            P.result("errors", name, text in str(error), f"expected {text!r} in: {error}"[:400])
        else:
            P.result("errors", name, False, "success")
    refuses("record too large", "Message size too large",
            lambda: produce(topic, "none", [{"p": 0, "k": None, "v": b"x" * 10000, "h": []}]))
    refuses("unknown partition", "Unknown partition", lambda: kcat("-P", "-t", topic, "-p", 9, data=b"x\n"))
    refuses("offset out of range", "out of range",
            lambda: kcat("-C", "-t", topic, "-p", 0, "-o", 999, "-e", "-X", "topic.auto.offset.reset=error"))
    refuses("bad topic name", "Invalid topic", lambda: kcat("-P", "-t", "bad name!", data=b"x\n"))
    refuses("unknown topic, no auto-creation", "Unknown topic",
            lambda: kcat("-C", "-t", f"{P.prefix}.missing", "-p", 0, "-e", "-X", "allow.auto.create.topics=false"))


for entry in P.plan.get("topics", []):
    write(entry)
if P.plan.get("admin"):
    admin()
for entry in P.plan.get("reads", []):
    P.check(entry["feature"], f"read {entry['topic']} from {entry['from']}, byte for byte", lambda: read(entry))
P.done()
