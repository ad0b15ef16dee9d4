"""What all cases use: one side of the comparison, and short names for requests."""

import re
import time
import uuid

import batches
import wire

# An hour ago, the same for both brokers: old records would be removed by the default retention.
TS = int(time.time()) * 1000 - 3_600_000
# Ours lists what it has: only those names are compared.
BROKER_CONFIGS = "DescribeConfigs of the broker"
# Member ids that brokers make: with a random UUID at the end, or one of 22 letters.
MADE_BY_BROKER = re.compile(r"(.*-)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|()[A-Za-z0-9_-]{22}", re.DOTALL)
NO_ID = str(uuid.UUID(int=0))
UNKNOWN_ID = str(uuid.UUID(int=0x1234567890ABCDEF1234567890ABCDEF))


class Broker:
    """One side: a connection, the ids that must be made comparable, the collected replies."""

    def __init__(self, bootstrap, protocol):
        self.bootstrap, self.protocol = bootstrap, protocol
        self.replies, self.ids, self.asked = {}, {}, {}
        # The id of each topic as it is now, and the names of the member ids that the broker made.
        self.ids_of, self.members = {}, {}
        self.connect()
        node = self.connection.request("Metadata", 12, {"Topics": []})["Brokers"][0]
        self.node = node["NodeId"]

    def connect(self):
        self.connection = wire.Connection(self.bootstrap, self.protocol)

    def ask(self, name, api, version, body=None):
        """Sends one request and keeps the reply as the case `name`; a closed connection is a reply."""
        assert name not in self.replies, f"two cases are called {name}"
        self.asked[name] = (api, version)
        try:
            reply = self.connection.request(api, version, body)
        except wire.WireError as error:
            reply = "connection closed" if "closed" in str(error) else f"unreadable: {error}"
            self.connect()
        except TimeoutError:
            reply = "no answer"
            self.connect()
        self.replies[name] = reply
        return reply

    def raw(self, name, data):
        """Sends raw bytes on a connection of their own: an answer, or closed."""
        assert name not in self.replies, f"two cases are called {name}"
        with wire.Connection(self.bootstrap, self.protocol, timeout=5) as connection:
            connection.send_raw(data)
            try:
                reply = connection.receive_raw()
            except TimeoutError:
                reply = "no answer"
        self.replies[name] = {"closed": True} if reply is None else {"frame": reply if isinstance(reply, str) else reply.hex()}

    def settle(self, ready):
        """Waits until a condition on a fresh reply holds (at most 10 s)."""
        deadline = time.monotonic() + 10
        while not ready() and time.monotonic() < deadline:
            time.sleep(0.05)

    def metadata(self, topic):
        return self.connection.request("Metadata", 12, {"Topics": [{"Name": topic}], "AllowAutoTopicCreation": False})["Topics"][0]

    def topic_ready(self, topic, partitions=1):
        self.settle(lambda: len(self.metadata(topic)["Partitions"]) == partitions and self.metadata(topic)["ErrorCode"] == 0)
        self.ids[self.metadata(topic)["TopicId"]] = topic
        self.ids_of[topic] = self.metadata(topic)["TopicId"]

    def id_of(self, topic):
        return self.ids_of[topic]

    def name_member(self, member, case):
        """Gives an id that the broker made the name of the case that brought it; ids that clients make stay."""
        shape = MADE_BY_BROKER.fullmatch(member)
        if shape is not None:
            self.members.setdefault(member, f"<{shape[1] or ''}id of {case!r}>")

    def make(self, name, partitions=1, configs=None, label=None):
        """A topic that later cases need; its creation is a case too."""
        self.ask(f"make the topic {label or name}", "CreateTopics", 7, create([topic(name, partitions, 1, configs)]))
        self.topic_ready(name, partitions)

    def config(self, topic, key):
        reply = self.connection.request("DescribeConfigs", 4, {"Resources": [
            {"ResourceType": 2, "ResourceName": topic, "ConfigurationKeys": [key]}]})
        configs = reply["Results"][0]["Configs"]
        return configs[0]["Value"] if configs else None


def topic(name, partitions=1, replication=1, configs=None, assignments=None):
    return {"Name": name, "NumPartitions": partitions, "ReplicationFactor": replication,
            "Configs": [{"Name": k, "Value": v} for k, v in (configs or {}).items()],
            "Assignments": [{"PartitionIndex": p, "BrokerIds": b} for p, b in (assignments or {}).items()]}


def create(topics, validate=False):
    return {"Topics": topics, "timeoutMs": 10000, "validateOnly": validate}


def batch(*values, **keywords):
    return batches.build([(b"k", v) for v in values], timestamp=keywords.pop("timestamp", TS), **keywords)


def produce_body(name, records, partition=0, acks=-1, transactional=None):
    return {"TransactionalId": transactional, "Acks": acks, "TimeoutMs": 5000, "TopicData": [
        {"Name": name, "PartitionData": [{"Index": partition, "Records": records}]}]}
