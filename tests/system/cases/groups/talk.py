"""Several clients of one broker: named connections, requests that wait for their answer, and what was learned on the way.

A request of a scenario is a case; its name says the scenario, the place in it, who asks and what. A JoinGroup that waits for
others is `post`ed and its answer `take`n later. Ids that the broker made are named after the case that brought them, so both
brokers' ids get the same name (`Broker.names`).
"""

import struct

import wire

# How long an answer may take that the scenario expects.
ANSWER_SECONDS = 4
# How long a request is watched that has to wait.
QUIET_SECONDS = 0.15


class Client:
    """One connection and what its owner knows: member id, generation or epoch, the last answer."""

    def __init__(self, talk, name):
        self.talk, self.name = talk, name
        self.member, self.epoch, self.reply, self.waiting = "", -1, {}, None
        self.connect()

    def connect(self):
        self.connection = wire.Connection(self.talk.broker.bootstrap, self.talk.broker.protocol, timeout=ANSWER_SECONDS, client_id=self.name)

    def close(self):
        self.connection.close()

    # Asking

    def post(self, label, api, version, body):
        """Sends a request whose answer is taken later."""
        assert self.waiting is None, f"{self.name} still waits for {self.waiting}"
        case = self.talk.case(self.name, f"{api} v{version}{', ' if label else ''}{label}")
        self.talk.broker.asked[case] = (api, version)
        self.waiting = (case, api, version)
        self.connection.correlation += 1
        try:
            self.connection.send_raw(self.connection.frame(api, version, body, self.connection.correlation))
        except OSError:
            pass  # `take` finds the connection closed.
        return self

    def take(self, after=""):
        """The answer to what was posted."""
        case, api, version = self.waiting
        self.waiting = None
        try:
            frame = self.connection.receive_raw()
            reply = "connection closed" if frame is None else self.connection.decode(api, version, frame)
        except wire.WireError as error:
            reply = f"unreadable: {error}"
        except OSError as error:
            reply = "no answer" if isinstance(error, TimeoutError) else "connection closed"
        if isinstance(reply, str):
            self.close()
            self.connect()
        self.talk.broker.replies[case + after] = reply
        if after:
            self.talk.broker.asked[case + after] = self.talk.broker.asked.pop(case)
        self.reply = reply if isinstance(reply, dict) else {}
        self.learn(api, case)
        return self.reply

    def ask(self, label, api, version, body):
        return self.post(label, api, version, body).take()

    def abandon(self):
        """Closes the connection without the answer."""
        self.talk.broker.asked.pop(self.waiting[0])
        self.waiting = None
        self.close()

    def waits(self):
        """That what was posted is not answered yet: a case of its own."""
        case = self.waiting[0]
        self.connection.sock.settimeout(QUIET_SECONDS)
        try:
            answered = self.connection.sock.recv(1, 0x2)  # MSG_PEEK
        except TimeoutError:
            answered = None
        finally:
            self.connection.sock.settimeout(ANSWER_SECONDS)
        self.talk.broker.replies[f"{case}, waits"] = {"waits": answered is None}
        return self

    def learn(self, api, case):
        """Keeps the ids and epochs of an answer, and names the ids that the broker made."""
        if api not in ("JoinGroup", "ConsumerGroupHeartbeat"):
            return
        member = self.reply.get("MemberId")
        if member:
            self.talk.broker.name_member(member, case)
            self.member = member
        epoch = self.reply.get("GenerationId" if api == "JoinGroup" else "MemberEpoch")
        if epoch is not None and self.reply.get("ErrorCode") == 0:
            self.epoch = epoch


class Talk:
    """One scenario: a group (or several) and the clients that take part."""

    def __init__(self, broker, scenario, group=None):
        self.broker, self.scenario, self.count, self.clients = broker, scenario, 0, []
        self.group = group if group is not None else scenario.replace(",", "").replace(" ", "-")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in self.clients:
            client.close()

    def case(self, who, what):
        self.count += 1
        return f"{self.scenario}: {self.count:02} {who} {what}"

    def client(self, name):
        self.clients.append(Client(self, name))
        return self.clients[-1]


def clamp(low, high, step):
    """The version that goes with the `step`-th of a round over all versions."""
    return min(low + step, high)


class Versions:
    """One version of each API for the `step`-th round: from the lowest to the highest of each, as clients of an age send them."""

    RANGES = {"JoinGroup": (0, 9), "SyncGroup": (0, 5), "Heartbeat": (0, 4), "LeaveGroup": (0, 5), "DescribeGroups": (0, 6),
              "ListGroups": (0, 5), "DeleteGroups": (0, 2), "OffsetCommit": (2, 10), "OffsetFetch": (1, 10), "FindCoordinator": (0, 6),
              "OffsetDelete": (0, 0), "ConsumerGroupHeartbeat": (0, 1), "ConsumerGroupDescribe": (0, 1)}
    STEPS = 10
    NEWEST = 9

    def __init__(self, step):
        self.step = step

    def __getitem__(self, api):
        return clamp(*self.RANGES[api], self.step)


# Kafka's consumer protocol, written by hand: the broker reads it where groups are mixed or offsets are deleted.

def text(value):
    data = value.encode()
    return struct.pack(">h", len(data)) + data


def subscription(*topics, version=0, owned=(), user_data=b"", generation=-1, rack=None):
    out = struct.pack(">hi", version, len(topics)) + b"".join(map(text, topics))
    out += struct.pack(">i", -1) if user_data is None else struct.pack(">i", len(user_data)) + user_data
    if version >= 1:
        out += partitions_of(owned)
    if version >= 2:
        out += struct.pack(">i", generation)
    if version >= 3:
        out += struct.pack(">h", -1) if rack is None else text(rack)
    return out


def partitions_of(topics):
    out = struct.pack(">i", len(topics))
    for name, partitions in topics:
        out += text(name) + struct.pack(f">i{len(partitions)}i", len(partitions), *partitions)
    return out


def assignment(*topics, version=0, user_data=b""):
    return struct.pack(">h", version) + partitions_of(topics) + struct.pack(">i", len(user_data)) + user_data
