"""The topic whose records the broker takes to their partitions, and how where they belong changes while it is killed.

A `Rule` says where records belong from one moment to another. A change is in doubt from before it is sent until it is answered, so
rules overlap; a record may be where any of them says that was in force between its call and its acknowledgement.
"""

import base64
import os
import random
import struct
import sys
import threading
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "clients", "lib"))

import crc32c  # noqa: E402

import wire  # noqa: E402

TOPIC, PARTITIONS, PARTITIONS_MAX = "routed", 4, 9
INGRESS = 1 << 30
ANSWER_SECONDS = 30
# A change that the broker, killed and started again in between, does not answer for so long ends the test.
CHANGE_SECONDS = 120
# Ingress logs begin here, so that the numbers in copied batches go round in the middle of the test.
FIRST_OFFSET = (1 << 31) - 20_000

PLUGIN = """-- Records belong to the partition of their key's number, moved by `shift`.
local P = {
	name = "by-number", version = "1.0.0", api = 1, reads = { "keys" },
	config_schema = { type = "object", properties = { shift = { type = "integer" } } },
}
local shift = 0
function P.init(config) shift = config.shift end
function P.partition(b, partitions)
\tlocal chosen = table.create(#b)
\tfor i = 1, #b do
\t\tlocal key = b:key(i)
\t\tif key ~= nil then chosen[i] = (tonumber(string.sub(key, 2)) + shift) % partitions end
\tend
\treturn chosen
end
return P
"""


def now_ms():
    return int(time.time() * 1000)


def write_config(work, shift):
    """The configuration file, with the plugin beside it."""
    with open(os.path.join(work, "by-number.luau"), "w") as file:
        file.write(PLUGIN)
    path = os.path.join(work, "watershed.toml")
    with open(path, "w") as file:
        file.write(f'[[plugins]]\nname = "by-number"\nfile = "by-number.luau"\nconfig = {{ shift = {shift} }}\n')
    return path


def plant(directory, topic_id, partition):
    """An ingress log that begins at FIRST_OFFSET, before the broker knows of the log: a batch without records, which takes its offset."""
    name = base64.urlsafe_b64encode(uuid.UUID(topic_id).bytes).decode().rstrip("=")
    log = os.path.join(directory, "topics", f"{name}-{INGRESS | partition}")
    os.makedirs(log)
    covered = struct.pack(">hiqqqhii", 0, 0, -1, -1, -1, -1, -1, 0)
    head = struct.pack(">qiib", FIRST_OFFSET, 61 - 12, 0, 2)
    with open(os.path.join(log, f"{FIRST_OFFSET:020}.log"), "wb") as segment:
        segment.write(head + struct.pack(">I", crc32c.crc32c(covered)) + covered)


class Rules:
    """What was, or may have been, in force when."""

    def __init__(self):
        self.lock, self.all = threading.Lock(), []

    def change(self, **new):
        """Before a change is asked for: the new rule may be in force from now on, the old one still is."""
        with self.lock:
            rule = {**self.all[-1], **new} if self.all else new
            rule |= {"From": now_ms(), "Until": -1}
            self.all.append(rule)

    def answered(self):
        """The last change was done: the rules before it are over."""
        with self.lock:
            for rule in self.all[:-1]:
                if rule["Until"] < 0:
                    rule["Until"] = now_ms()

    def shift(self, shift):
        """The broker is dead and comes back with another setting of the plugin: whatever is in force goes on with that."""
        with self.lock:
            for rule in [rule for rule in self.all if rule["Until"] < 0]:
                rule["Until"] = now_ms()
                self.all.append({**rule, "Shift": shift, "From": now_ms(), "Until": -1})

    def last(self):
        with self.lock:
            return dict(self.all[-1])

    def copy(self):
        with self.lock:
            return [dict(rule) for rule in self.all]


class Changes:
    """A thread that adds partitions, changes modes, partitioners and limits, one at a time, each until it is answered."""

    def __init__(self, bootstrap, protocol, seed, rules):
        self.bootstrap, self.protocol, self.rules = bootstrap, protocol, rules
        self.chance = random.Random(seed)
        self.connection, self.stop, self.problems, self.done = None, threading.Event(), [], 0
        self.paused = threading.Lock()
        self.thread = threading.Thread(target=self.run)

    def ask(self, api, version, body):
        deadline = time.monotonic() + CHANGE_SECONDS
        while True:
            try:
                if self.connection is None:
                    self.connection = wire.Connection(self.bootstrap, self.protocol, timeout=ANSWER_SECONDS)
                return self.connection.request(api, version, body)
            except (OSError, wire.WireError) as error:
                if self.connection is not None:
                    self.connection.close()
                self.connection = None
                if self.stop.is_set() or time.monotonic() > deadline:
                    raise RuntimeError(f"{api} is not answered: {type(error).__name__}: {error}") from error
                time.sleep(0.02)

    def create(self):
        reply = self.ask("CreateTopics", 7, {"timeoutMs": 20000, "Topics": [
            {"Name": TOPIC, "NumPartitions": PARTITIONS, "ReplicationFactor": 1, "Configs": [
                {"Name": "segment.bytes", "Value": "1048576"}, {"Name": "retention.ms", "Value": "-1"}]}]})["Topics"][0]
        if reply["ErrorCode"]:
            raise RuntimeError(f"CreateTopics: {reply}")
        self.rules.change(Routed=False, Partitioner="key-hash", Shift=0, Count=PARTITIONS)
        return reply["TopicId"]

    def alter(self, **configs):
        entries = [{"Name": name.replace("_", "."), "ConfigOperation": 0, "Value": value} for name, value in configs.items()]
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            reply = self.ask("IncrementalAlterConfigs", 1, {"ValidateOnly": False, "Resources": [
                {"ResourceType": 2, "ResourceName": TOPIC, "Configs": entries}]})["Responses"][0]
            if not reply["ErrorCode"]:
                return
            time.sleep(0.05)
        raise RuntimeError(f"IncrementalAlterConfigs: {reply}")

    def grow(self, count):
        reply = self.ask("CreatePartitions", 3, {"TimeoutMs": 20000, "ValidateOnly": False, "Topics": [
            {"Name": TOPIC, "Count": count, "Assignments": None}]})["Results"][0]
        # 37: there are so many already, because an attempt that nobody answered was done.
        if reply["ErrorCode"] not in (0, 37):
            raise RuntimeError(f"CreatePartitions: {reply}")

    def place(self, **rule):
        self.rules.change(**rule)
        last = self.rules.last()
        state = "" if last["Routed"] or rule.get("Routed") is not False else self.chance.choice(["", ":shadow"])
        mode = "broker" if last["Routed"] or state else "client"
        self.alter(watershed_partitioner=last["Partitioner"] + state, watershed_partitioner_mode=mode)
        self.rules.answered()

    def route(self):
        self.place(Routed=True)

    def step(self):
        kind = self.chance.choices(["mode", "partitioner", "grow", "size"], [4, 3, 1, 1])[0]
        last = self.rules.last()
        if kind == "mode":
            # Most of the time it is on.
            self.place(Routed=not last["Routed"] or self.chance.random() < 0.4)
        elif kind == "partitioner":
            self.place(Partitioner=self.chance.choice(["key-hash", "by-number"]))
        elif kind == "grow" and last["Count"] < PARTITIONS_MAX:
            self.rules.change(Count=last["Count"] + 1)
            self.grow(last["Count"] + 1)
            self.rules.answered()
        elif kind == "size":
            # Copied batches have to be no larger than this; what clients send is smaller.
            self.alter(max_message_bytes=self.chance.choice(["40000", "1048588"]),
                       watershed_partitioner_backlog_bytes=self.chance.choice(["1048576", "67108864"]))
        self.done += 1

    def run(self):
        while not self.stop.is_set():
            try:
                with self.paused:
                    self.step()
            except Exception as error:  # noqa: BLE001 -- a thread's failure is the test's
                self.problems.append(f"the changes ended: {type(error).__name__}: {error}")
                return
            time.sleep(self.chance.uniform(0.05, 1.2))

    def finish(self):
        self.stop.set()
        if self.thread.is_alive():
            self.thread.join()
