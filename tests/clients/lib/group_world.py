"""What the group tests stand on: member processes, topics, a producer, and a raw view of the broker.

Nothing here sleeps to synchronise: `until` waits for a condition, with a deadline.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time

from confluent_kafka import Producer, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic

import wire

CACHE = os.environ.get("WATERSHED_TEST_CACHE", os.path.expanduser("~/.cache/watershed-tests"))
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
JVM_SHORT = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Xmx128m"]
DEADLINE_S = 40  # Only against hanging: what is waited for takes seconds.
SESSION_MS = 6_000
METADATA = "näher"  # Every explicit commit of every member carries it.


def command(client):
    """The program of one client's member."""
    if client == "kafkajs":
        return ["node", f"{ROOT}/kafkajs/member.js"]
    if client == "franz-go":
        return [f"{CACHE}/franz-go-client", "member"]
    if client == "streams":
        return ["java", *JVM_SHORT, "-cp", f"{CACHE}/java-streams:{CACHE}/streams-4.2/*:{CACHE}/kafka-4.2/*", "StreamsMember"]
    if client.startswith("java-"):
        version = client.removeprefix("java-")
        return ["java", *JVM_SHORT, "-cp", f"{CACHE}/java-{version}:{CACHE}/kafka-{version}/*", "Member"]
    return [sys.executable, f"{ROOT}/python/{client.replace('-', '_')}_member.py"]


def until(condition, what, seconds=DEADLINE_S):
    """Waits until `condition()` is true and returns it; `what` is a text or makes one."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.03)
    return found


class Member:
    """One running member: what it said so far, and what it owns by that."""

    def __init__(self, world, client, name, plan):
        self.client, self.name = client, name
        self.owned, self.records, self.committed = set(), [], {}
        self.fetched, self.errors, self.said = None, [], []
        self.moves, self.ended = [], None  # (monotonic seconds, event, partitions); when it was told to end
        log = open(os.path.join(world.work, f"{name}.log"), "w")
        self.lines = open(os.path.join(world.work, f"{name}.jsonl"), "w")
        env = dict(os.environ, NODE_PATH=f"{CACHE}/kafkajs/node_modules", KAFKAJS_NO_PARTITIONER_WARNING="1")
        self.process = subprocess.Popen([*command(client), json.dumps(plan)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=log, env=env, text=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for text in self.process.stdout:
            self.lines.write(f"{time.time():.3f} {text}")
            self.lines.flush()
            try:
                line = json.loads(text)
            except ValueError:
                continue  # What a client logs on its standard output.
            self._take(line)

    def _take(self, line):
        event = line["e"]
        if event in ("assigned", "revoked", "lost"):
            self.moves.append((time.monotonic(), event, {tuple(p) for p in line["p"]}))
        moved = {tuple(p[:2]) for p in line.get("p", [])} if event != "record" else set()
        if event == "assigned":
            self.owned = self.owned | moved
        elif event in ("revoked", "lost"):
            self.owned = self.owned - moved
        elif event == "record":
            self.records.append((line["t"], line["p"], line["o"]))
        elif event == "committed":
            self.committed = self.committed | {(t, p): o for t, p, o, _ in line["p"]}
        elif event == "fetched":
            self.fetched = {(t, p): (o, m) for t, p, o, m in line["p"]}
        elif event == "error":
            self.errors.append(line["m"])
        if event not in ("record", "committed"):
            self.said.append(event)

    def say(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def kill(self):
        """As `kill -9`: the broker hears nothing."""
        self.ended = self.ended or time.monotonic()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._gone()

    def stop(self):
        """Asks it to leave and waits until it has."""
        if self.process.poll() is None:
            self.ended = time.monotonic()  # It leaves the group some time before its process ends.
            self.say("stop")
            try:
                self.process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"{self.name} did not stop") from None
        self._gone()

    def _gone(self):
        self.reader.join(5)
        self.owned = set()

    def __str__(self):
        return (f"{self.name}: owns {sorted(p for _, p in self.owned)}, {len(self.records)} records, "
                f"exit code {self.process.poll()}, errors {self.errors[-2:]}")


class World:
    """One broker under test."""

    def __init__(self, bootstrap, work, report, watershed):
        self.bootstrap, self.work, self.report, self.watershed = bootstrap, work, report, watershed
        self.run_id = f"{int(time.time()) % 1_000_000:06d}"
        self.protocol = wire.default_protocol()
        self.admin = AdminClient({"bootstrap.servers": bootstrap})
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
        self.members, self.lock, self.numbers = [], threading.Lock(), {}

    def start(self, client, group, topics=(), **options):
        """Starts a member of `group`."""
        with self.lock:
            number = self.numbers[group] = self.numbers.get(group, 0) + 1
        name = f"{group}-{client}-{number}"
        plan = {"name": name, "bootstrap": self.bootstrap, "group": group, "topics": list(topics), "protocol": "classic",
                "reset": "earliest", "session_ms": SESSION_MS, "commit": "sync", "metadata": METADATA, **options}
        member = Member(self, client, name, plan)
        with self.lock:
            self.members.append(member)
        return member

    def end(self, members=None):
        """Makes what still runs end, whatever happened."""
        for member in members or self.members:
            if member.process.poll() is None:
                member.kill()

    def create(self, topic, partitions):
        until(lambda: self._created(topic, partitions), f"{topic} is created", 20)
        return {(topic, p) for p in range(partitions)}

    def _created(self, topic, partitions):
        try:
            self.admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result()
            return True
        except Exception as error:
            if "TOPIC_ALREADY_EXISTS" in str(error):  # Its deletion is still under way.
                return False
            raise

    def delete(self, topic):
        self.admin.delete_topics([topic])[topic].result()
        until(lambda: self.admin.describe_topics(TopicCollection([topic]))[topic].exception(), f"{topic} is gone")

    def write(self, partitions, each):
        """`each` more records into every partition; the end offsets."""
        ends, failed = {}, []

        def done(error, message):
            if error:
                failed.append(error)
            else:
                key = (message.topic(), message.partition())
                ends[key] = max(ends.get(key, 0), message.offset() + 1)

        for _ in range(each):
            for topic, partition in sorted(partitions):
                self.producer.produce(topic, b"v", partition=partition, on_delivery=done)
        left = self.producer.flush(DEADLINE_S)
        assert not left and not failed, f"{left} records not sent, {failed[:1]}"
        return ends

    def ask(self, api, version, body):
        with wire.Connection(self.bootstrap, self.protocol) as connection:
            return connection.request(api, version, body)

    def committed(self, group):
        """(topic, partition) -> (offset, metadata), as the broker answers."""
        body = {"Groups": [{"GroupId": group, "Topics": None}], "RequireStable": True}
        answer = self.ask("OffsetFetch", 8, body)["Groups"][0]
        assert answer["ErrorCode"] == 0, answer
        # confluent-kafka sends the zero byte that ends its string in C along with it.
        return {(t["Name"], p["PartitionIndex"]): (p["CommittedOffset"], p["Metadata"].removesuffix("\0"))
                for t in answer["Topics"] for p in t["Partitions"] if p["CommittedOffset"] >= 0}

    def set_session(self, group, milliseconds):
        """How long the members of a KIP-848 group may be silent: the broker says it, not they."""
        config = {"Name": "consumer.session.timeout.ms", "ConfigOperation": 0, "Value": str(milliseconds)}
        body = {"Resources": [{"ResourceType": 32, "ResourceName": group, "Configs": [config]}]}
        answer = self.ask("IncrementalAlterConfigs", 1, body)["Responses"][0]
        assert answer["ErrorCode"] == 0, answer

    def group(self, group):
        """(state, type) of a group as ListGroups shows it, or None."""
        for row in self.ask("ListGroups", 5, {})["Groups"]:
            if row["GroupId"] == group:
                return row["GroupState"], row["GroupType"]
        return None


def balanced(members, partitions):
    """Every partition has one owner, and nobody has more than one partition more than another."""
    owned = [member.owned for member in members]
    sizes = [len(o) for o in owned]
    return set().union(*owned) == partitions and sum(sizes) == len(partitions) and max(sizes) - min(sizes) <= 1


def share(members, partitions, seconds=DEADLINE_S):
    """Waits until the members share the partitions."""
    until(lambda: balanced(members, partitions),
          lambda: f"{len(members)} members share {len(partitions)} partitions: " + "; ".join(map(str, members)), seconds)
