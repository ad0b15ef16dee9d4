"""Operations on topics while the broker is killed, and the check that what was answered is so.

One thread does one operation at a time over raw requests: no client library retries anything, so it is known which
operation was answered and which was not. When the connection breaks, it connects again, settles the pending operation by
what the broker shows and compares everything else.
"""

import copy
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "clients", "lib"))

import batches  # noqa: E402
import wire  # noqa: E402
from state import Operation, State  # noqa: E402

NOT_NOW = {5, 6, 7, 9, 13, 14, 15, 19, 20, 41, 56}  # errors that a client retries: nothing was promised
EARLIEST, LATEST = -2, -1
CHAOS_TOPICS = 5
PARTITIONS_MAX = 6
ANSWER_SECONDS = 30
OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC_ID = 1, 100
LOAD_TOPICS = {
    # The load writes to these. `kept` loses nothing; `cut` loses what DeleteRecords is asked to; the others expire.
    "kept": (6, {"segment.bytes": "1048576", "retention.ms": "-1"}),
    "cut": (4, {"segment.bytes": "1048576", "retention.ms": "-1"}),
    "short": (4, {"segment.bytes": "1048576", "retention.ms": "-1", "retention.bytes": "2097152"}),
    "timed": (2, {"segment.bytes": "1048576", "retention.ms": "4000"}),
}
# Not synced before it is acknowledged: survives a kill, not a power cut.
RELAXED_TOPICS = {"relaxed": (2, {"segment.bytes": "1048576", "retention.ms": "-1", "watershed.flush": "relaxed"})}


class Unanswered(RuntimeError):
    """The connection broke, or the broker said to try again: nobody knows whether it was done."""


class World:
    def __init__(self, bootstrap, protocol, seed, state=None, power_cuts=False):
        self.bootstrap, self.protocol = bootstrap, protocol
        self.state = state or State()
        self.chance = random.Random(seed)
        self.connection, self.problems, self.count = None, [], 0
        self.gate, self.stop, self.thread = threading.Lock(), threading.Event(), None
        self.checks, self.loaded = 0, []
        # Whether a topic that is not synced may lose its tail, and how much of such tails went.
        self.power_cuts, self.tails = power_cuts, 0

    # Requests

    def ask(self, api, version, body):
        try:
            if self.connection is None:
                self.connection = wire.Connection(self.bootstrap, self.protocol, timeout=ANSWER_SECONDS)
            return self.connection.request(api, version, body)
        except (OSError, wire.WireError) as error:
            self.disconnect()
            raise Unanswered(f"{api}: {error}") from error

    def disconnect(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def accept(self, what, code):
        """An answer without error; one that a client would retry counts as no answer."""
        if code in NOT_NOW:
            raise Unanswered(f"{what}: error {code}")
        if code:
            self.problems.append(f"{what}: error {code}")
            raise Unanswered(f"{what}: error {code}")

    # What the broker shows

    def shown(self):
        reply = self.ask("Metadata", 12, {"Topics": None})
        self.accept("Metadata", reply["ErrorCode"] if "ErrorCode" in reply else 0)
        topics = {}
        for topic in reply["Topics"]:
            self.accept(f"Metadata of {topic['Name']}", topic["ErrorCode"])
            topics[topic["Name"]] = (topic["TopicId"], len(topic["Partitions"]))
        names = [{"ResourceType": 2, "ResourceName": name, "ConfigurationKeys": None} for name in topics]
        configs = {}
        for result in self.ask("DescribeConfigs", 4, {"Resources": names})["Results"]:
            self.accept(f"DescribeConfigs of {result['ResourceName']}", result["ErrorCode"])
            # Source 1: set on the topic.
            configs[result["ResourceName"]] = {c["Name"]: c["Value"] for c in result["Configs"] if c["ConfigSource"] == 1}
        return {name: (identity, count, configs[name]) for name, (identity, count) in topics.items()}

    def offset(self, name, partition, which):
        reply = self.ask("ListOffsets", 7, {"ReplicaId": -1, "Topics": [{"Name": name, "Partitions": [
            {"PartitionIndex": partition, "CurrentLeaderEpoch": -1, "Timestamp": which}]}]})
        answer = reply["Topics"][0]["Partitions"][0]
        self.accept(f"ListOffsets of {name}-{partition}", answer["ErrorCode"])
        return answer["Offset"]

    def check(self):
        """Settles what is pending and compares the broker with everything that it answered."""
        shown = self.shown()
        with self.gate:
            self.state.settle(shown)
        for name, topic in self.state.topics.items() if self.power_cuts else []:
            if topic.configs.get("watershed.flush") == "relaxed" and name in shown:
                for partition in range(topic.partitions):
                    self.tails += self.state.forget_tail(name, partition, self.offset(name, partition, LATEST))
        floors = [(n, p) for n, t in self.state.topics.items() if n in shown for p in t.floors]
        starts = {(name, partition): self.offset(name, partition, EARLIEST) for name, partition in floors}
        wrong = self.state.differences(shown, starts)
        for identity in list(self.state.gone)[-10:]:
            reply = self.ask("Metadata", 12, {"Topics": [{"TopicId": identity, "Name": None}]})
            if reply["Topics"][0]["ErrorCode"] != UNKNOWN_TOPIC_ID:
                wrong.append(f"the deleted topic {self.state.gone[identity]} ({identity}) is still known by its id")
        wrong += self.strays()
        self.problems += wrong
        self.checks += 1
        return wrong

    def strays(self):
        """Logs of partitions that no topic has."""
        reply, wrong = self.ask("DescribeLogDirs", 4, {"Topics": None}), []
        for directory in reply["Results"]:
            for topic in directory["Topics"]:
                known = self.state.topics.get(topic["Name"])
                wrong += [f"there is a log {topic['Name']}-{p['PartitionIndex']} and no such partition"
                          for p in topic["Partitions"] if known is None or p["PartitionIndex"] >= known.partitions]
        return wrong

    # Operations

    def perform(self, kind, name, request, **arguments):
        """Sends one operation; `request` sends it and gives what the broker answered."""
        operation = Operation(kind, name, arguments)
        with self.gate:
            self.state.pending = operation
            if kind == "delete records":
                ceilings = self.state.topics[name].ceilings
                ceilings[arguments["partition"]] = max(arguments["offset"], ceilings.get(arguments["partition"], 0))
        answer = request()
        with self.gate:
            self.state.apply(operation, answer)
            self.state.pending = None
            self.state.answered += 1

    def create(self, name, partitions, configs, owner):
        def request():
            entries = [{"Name": key, "Value": value} for key, value in configs.items()]
            reply = self.ask("CreateTopics", 7, {"timeoutMs": 20000, "Topics": [
                {"Name": name, "NumPartitions": partitions, "ReplicationFactor": 1, "Configs": entries}]})["Topics"][0]
            self.accept(f"CreateTopics of {name}", reply["ErrorCode"])
            if reply["TopicId"] in self.state.gone:
                self.problems.append(f"topic {name} was created with the id of a deleted one, {reply['TopicId']}")
            return reply["TopicId"]

        self.perform("create", name, request, partitions=partitions, configs=configs, owner=owner)

    def create_loaded(self, topics):
        """The topics that the load writes to: `{name: (partitions, configs)}`."""
        for name, (partitions, configs) in topics.items():
            self.create(name, partitions, configs, "")
        self.loaded = list(topics)

    def delete(self, name, by_id):
        which = {"Name": None, "TopicId": self.state.topics[name].id} if by_id else {"Name": name}

        def request():
            reply = self.ask("DeleteTopics", 6, {"TimeoutMs": 20000, "Topics": [which]})
            self.accept(f"DeleteTopics of {name}", reply["Responses"][0]["ErrorCode"])

        self.perform("delete", name, request)

    def grow(self, name, partitions):
        def request():
            reply = self.ask("CreatePartitions", 3, {"TimeoutMs": 20000, "ValidateOnly": False, "Topics": [
                {"Name": name, "Count": partitions, "Assignments": None}]})
            self.accept(f"CreatePartitions of {name}", reply["Results"][0]["ErrorCode"])

        self.perform("grow", name, request, partitions=partitions)

    def alter(self, name, key, value):
        def request():
            reply = self.ask("IncrementalAlterConfigs", 1, {"ValidateOnly": False, "Resources": [
                {"ResourceType": 2, "ResourceName": name, "Configs": [
                    {"Name": key, "ConfigOperation": 0, "Value": value}]}]})
            self.accept(f"IncrementalAlterConfigs of {name}", reply["Responses"][0]["ErrorCode"])

        self.perform("alter", name, request, key=key, value=value)

    def produce(self, name, partition):
        self.count += 1
        number = self.count
        longest = 60_000 if name in RELAXED_TOPICS else 3000
        value = f"{self.state.topics[name].owner}-{number}-".encode() + b"." * self.chance.randrange(10, longest)

        def request():
            records = batches.build([(None, value)], timestamp=int(time.time() * 1000))
            acks = self.chance.choice([-1, 1])
            reply = self.ask("Produce", 11, {"TransactionalId": None, "Acks": acks, "TimeoutMs": 20000, "TopicData": [
                {"Name": name, "PartitionData": [{"Index": partition, "Records": records}]}]})
            answer = reply["Responses"][0]["PartitionResponses"][0]
            self.accept(f"Produce to {name}-{partition}", answer["ErrorCode"])
            return answer["BaseOffset"]

        self.perform("produce", name, request, partition=partition, number=number)

    def delete_records(self, name, partition):
        start, end = self.offset(name, partition, EARLIEST), self.offset(name, partition, LATEST)
        wanted = self.chance.randint(start, max(start, end - (end - start) // 4))

        def request():
            reply = self.ask("DeleteRecords", 2, {"TimeoutMs": 20000, "Topics": [
                {"Name": name, "Partitions": [{"PartitionIndex": partition, "Offset": wanted}]}]})
            answer = reply["Topics"][0]["Partitions"][0]
            self.accept(f"DeleteRecords of {name}-{partition}", answer["ErrorCode"])
            if answer["LowWatermark"] < wanted:
                self.problems.append(f"{name}-{partition}: deleted up to {wanted}, answered {answer['LowWatermark']}")
            return answer["LowWatermark"]

        self.perform("delete records", name, request, partition=partition, offset=wanted)

    def look(self, name, partition):
        """What a client saw deleted must not come back either."""
        self.perform("look", name, lambda: self.offset(name, partition, EARLIEST), partition=partition)

    def read(self, name, partition):
        """What a consumer was shown at the end of a log must stay, acknowledged to its producer or not."""
        end = self.offset(name, partition, LATEST)

        def request():
            reply = self.ask("Fetch", 12, {"MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": 1 << 20, "SessionEpoch": -1, "Topics": [
                {"Topic": name, "Partitions": [
                    {"Partition": partition, "FetchOffset": max(end - 1, 0), "PartitionMaxBytes": 1 << 20}]}]})
            part = reply["Responses"][0]["Partitions"][0]
            if part["ErrorCode"] == OFFSET_OUT_OF_RANGE:
                return []
            self.accept(f"Fetch of {name}-{partition}", part["ErrorCode"])
            records = [record for batch in batches.parse(part["Records"] or b"") for record in batch.records]
            if any(record.offset >= part["HighWatermark"] for record in records):
                self.problems.append(f"{name}-{partition}: a consumer was shown more than the high watermark")
            words = [(record.offset, *record.value.split(b"-", 2)[:2]) for record in records]
            return [(name, partition, offset, client.decode(), int(number)) for offset, client, number in words]

        self.perform("read", name, request)

    def producer_id(self):
        def request():
            reply = self.ask("InitProducerId", 4, {"TransactionalId": None, "TransactionTimeoutMs": 60000})
            self.accept("InitProducerId", reply["ErrorCode"])
            if reply["ProducerId"] in self.state.producer_ids:
                self.problems.append(f"the producer id {reply['ProducerId']} was given a second time")
            return reply["ProducerId"]

        self.perform("producer id", "", request)

    # The thread

    def step(self):
        chance, topics = self.chance, self.state.topics
        kinds = {"topics": 3, "grow": 1, "alter": 1, "produce": 6, "cut": 2, "look": 2, "read": 2, "producer id": 1}
        kind = chance.choices(list(kinds), list(kinds.values()))[0]
        if kind == "producer id":
            self.producer_id()
            return
        name = f"chaos-{chance.randrange(CHAOS_TOPICS)}"
        if kind == "cut":
            name = chance.choice([name, "cut", "cut"])
        if kind == "produce" and "relaxed" in topics and "relaxed" not in self.loaded and chance.random() < 0.4:
            name = "relaxed"
        if kind in ("look", "read"):
            name = chance.choice(self.loaded)
        if name not in topics:
            if name.startswith("chaos"):
                self.count += 1
                configs = {"segment.bytes": "1048576", "retention.ms": str(chance.randrange(10**9, 10**10))}
                self.create(name, chance.randint(1, 3), configs, f"a{self.count}")
            return
        partition = chance.randrange(topics[name].partitions)
        if kind == "topics":
            self.delete(name, chance.random() < 0.5)
        elif kind == "grow" and topics[name].partitions < PARTITIONS_MAX:
            self.grow(name, topics[name].partitions + chance.randint(1, 2))
        elif kind == "alter":
            self.alter(name, "retention.ms", str(chance.randrange(10**9, 10**10)))
        elif kind == "produce":
            self.produce(name, partition)
        elif kind == "cut":
            self.delete_records(name, partition)
        elif kind == "look":
            self.look(name, partition)
        elif kind == "read":
            self.read(name, partition)

    def run(self):
        fresh = False
        while not self.stop.is_set():
            try:
                if not fresh:
                    self.check()
                    fresh = True
                self.step()
                time.sleep(self.chance.uniform(0, 0.02))
            except Unanswered:
                fresh = False
                time.sleep(0.02)
            except Exception as error:  # noqa: BLE001 -- a thread's failure is the test's
                self.problems.append(f"the operations ended: {type(error).__name__}: {error}")
                return

    def start(self):
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def finish(self):
        """Ends the operations and checks once more: the broker has to be up."""
        self.stop.set()
        if self.thread is not None:
            self.thread.join()
        self.check()
        self.disconnect()

    def snapshot(self):
        """A copy of what was answered; the gate has to be held."""
        return copy.deepcopy(self.state)
