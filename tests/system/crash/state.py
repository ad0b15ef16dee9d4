"""What a broker has answered so far: the truth that it is judged by after every crash.

`State` is plain data. An operation is `pending` from before it is sent until it is answered; the broker may have done it
or not, and `settle` reads which from what the broker shows. Whatever was answered has to be shown.
"""

from dataclasses import dataclass, field

NO_CEILING = -1
# A retention.ms above this does nothing in the time of a test.
EXPIRING_MS_MAX = 60_000


@dataclass
class Topic:
    id: str
    partitions: int
    configs: dict
    owner: str = ""                               # the client whose records alone may be in it; "": the load's
    acked: list = field(default_factory=list)     # (partition, offset, number) of the records of its owner
    floors: dict = field(default_factory=dict)    # partition -> log start that was answered
    ceilings: dict = field(default_factory=dict)  # partition -> highest deletion that was asked for

    def expires(self):
        """Whether retention may move its log starts."""
        return (0 <= int(self.configs.get("retention.ms", -1)) <= EXPIRING_MS_MAX
                or int(self.configs.get("retention.bytes", -1)) >= 0)


@dataclass
class Operation:
    kind: str
    name: str
    arguments: dict


@dataclass
class State:
    topics: dict = field(default_factory=dict)
    gone: dict = field(default_factory=dict)      # id -> name of the topics whose deletion was answered
    seen: list = field(default_factory=list)      # (topic, partition, offset, client, number) that a consumer was shown
    producer_ids: set = field(default_factory=set)
    pending: Operation | None = None
    answered: int = 0

    def apply(self, operation, answer=None):
        """The operation was done. `answer` is what only the broker knows."""
        kind, name, given = operation.kind, operation.name, operation.arguments
        if kind == "create":
            self.topics[name] = Topic(answer, given["partitions"], dict(given["configs"]), given["owner"])
        elif kind == "delete":
            self.gone[self.topics.pop(name).id] = name
        elif kind == "grow":
            self.topics[name].partitions = given["partitions"]
        elif kind == "alter":
            self.topics[name].configs[given["key"]] = given["value"]
        elif kind == "produce":
            self.topics[name].acked.append((given["partition"], answer, given["number"]))
        elif kind == "read":
            self.seen += answer
        elif kind == "producer id":
            self.producer_ids.add(answer)
        elif kind in ("delete records", "look"):
            floors = self.topics[name].floors
            floors[given["partition"]] = max(answer, floors.get(given["partition"], 0))

    def forget_tail(self, name, partition, end):
        """A power cut may take the end of a topic that is not synced, and only the end: how many records went."""
        topic = self.topics[name]
        kept = [acked for acked in topic.acked if acked[0] != partition or acked[1] < end]
        gone, topic.acked = len(topic.acked) - len(kept), kept
        return gone

    def settle(self, shown):
        """The pending operation, judged by what the broker shows: `{name: (id, partitions, configs)}`."""
        operation, self.pending = self.pending, None
        if operation is None:
            return
        kind, name, given = operation.kind, operation.name, operation.arguments
        if kind == "create" and name in shown:
            self.apply(operation, shown[name][0])
        elif kind == "delete" and (name not in shown or shown[name][0] != self.topics[name].id):
            self.apply(operation)
        elif kind == "grow" and name in shown and shown[name][1] == given["partitions"]:
            self.apply(operation)
        elif kind == "alter" and name in shown and shown[name][2].get(given["key"]) == given["value"]:
            self.apply(operation)

    def differences(self, shown, starts):
        """Where the broker shows something else than what was answered. `starts`: `{(name, partition): log start}`."""
        wrong = [f"topic {name} is there and nobody created it" for name in shown.keys() - self.topics.keys()]
        for name, topic in self.topics.items():
            if name not in shown:
                wrong.append(f"topic {name} was created and is not there")
                continue
            identity, partitions, configs = shown[name]
            if identity != topic.id:
                was = "a deleted topic's" if identity in self.gone else "another"
                wrong.append(f"topic {name} has {was} id {identity}, it was created as {topic.id}")
            if partitions != topic.partitions:
                wrong.append(f"topic {name} has {partitions} partitions, answered were {topic.partitions}")
            if configs != topic.configs:
                wrong.append(f"topic {name} has the configs {configs}, answered were {topic.configs}")
            for partition, floor in topic.floors.items():
                start = starts.get((name, partition))
                if start is not None and start < floor:
                    wrong.append(f"{name}-{partition} begins at {start}: deleted was up to {floor}")
        return wrong

    def facts(self):
        """The topics as the judge wants them."""
        out = []
        for name, topic in sorted(self.topics.items()):
            numbers = range(topic.partitions)
            ceilings = [NO_CEILING if topic.expires() else topic.ceilings.get(p, 0) for p in numbers]
            out.append({"Name": name, "Owner": topic.owner, "Floor": [topic.floors.get(p, 0) for p in numbers],
                        "Ceiling": ceilings})
        return out

    def write_ledger(self, path):
        """The acknowledged records of the topics that have an owner and what consumers were shown, as a ledger."""
        with open(path, "w") as ledger:
            for seen in self.seen:
                ledger.write("%s %d %d %s %d\n" % seen)
            for name, topic in self.topics.items():
                for partition, offset, number in topic.acked:
                    ledger.write(f"{name} {partition} {offset} {topic.owner} {number}\n")
        return {"File": path, "Lines": -1}
