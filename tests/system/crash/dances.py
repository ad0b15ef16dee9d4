"""Group members over raw requests, whose every step is known: where they stood when the broker died, and what must still hold.

A dance is a fixed sequence of steps (join, sync, commit, leave, …) of two members. The caller names the step at which it wants
to be asked: `strike` is called when that step's request has been sent and not answered. After the restart `after` compares
what the broker shows with what it had answered.
"""

import os
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "clients", "lib"))

import wire  # noqa: E402

ANSWER_SECONDS = 10
TRIES_MAX = 200
SESSION_MS, REBALANCE_MS = 20_000, 10_000
NONE, ILLEGAL_GENERATION, UNKNOWN_MEMBER, REBALANCING = 0, 22, 25, 27
LOADING = {14, 15, 16}
TOPIC, PARTITIONS = "danced", 4
SUBSCRIPTION = struct.pack(">hih", 0, 1, len(TOPIC)) + TOPIC.encode() + struct.pack(">i", 0)


class Struck(Exception):
    """The broker was killed at the step that was asked for."""


class Dancer:
    """One member's connection and what it was told."""

    def __init__(self, dance, name):
        self.dance, self.name, self.member, self.epoch = dance, name, "", -1
        self.connection = self.waiting = None
        self.connect()

    def connect(self):
        self.close()
        self.connection = wire.Connection(self.dance.bootstrap, self.dance.protocol, timeout=ANSWER_SECONDS, client_id=self.name)

    def close(self):
        if self.connection is not None:
            self.connection.close()

    def send(self, step, api, version, body):
        """A step: the request is out; perhaps the broker's last."""
        self.dance.before(step)
        self.connection.correlation += 1
        self.waiting = (api, version)
        self.connection.send_raw(self.connection.frame(api, version, body, self.connection.correlation))
        self.dance.at(step)

    def take(self):
        api, version = self.waiting
        frame = self.connection.receive_raw()
        if frame is None:
            raise wire.WireError(f"{api}: closed")
        return self.connection.decode(api, version, frame)

    def ask(self, step, api, version, body):
        self.send(step, api, version, body)
        return self.take()

    # What both kinds do

    def commit(self, step, version=9):
        """Commits the next offset of each partition; only what was answered counts as acknowledged."""
        parts = [(partition, self.dance.next_offset(partition)) for partition in range(PARTITIONS)]
        reply = self.ask(step, "OffsetCommit", version, {"GroupId": self.dance.group, "GenerationIdOrMemberEpoch": self.epoch, "MemberId": self.member, "Topics": [
            {"Name": TOPIC, "Partitions": [{"PartitionIndex": p, "CommittedOffset": o, "CommittedMetadata": self.name} for p, o in parts]}]})
        for part, (partition, offset) in zip(reply["Topics"][0]["Partitions"], parts):
            if part["ErrorCode"] == NONE:
                self.dance.ledger.acked(self.dance.group, TOPIC, partition, offset)
            else:
                self.dance.problems.append(f"{step}: a commit in the middle of a group was refused, error {part['ErrorCode']}")


class Dance:
    """What the classic and the modern dance share."""

    def __init__(self, bootstrap, protocol, group, ledger):
        self.bootstrap, self.protocol, self.group, self.ledger = bootstrap, protocol, group, ledger
        self.problems, self.offsets, self.steps, self.members = [], {}, [], []
        self.wanted = self.brace = self.strike = self.struck = None

    def next_offset(self, partition):
        offset = self.offsets[partition] = self.offsets.get(partition, 0) + 1
        self.ledger.sent(self.group, TOPIC, partition, offset)
        return offset

    def before(self, step):
        if step == self.wanted:
            self.brace()

    def at(self, step):
        if step not in self.steps:
            self.steps.append(step)
        if step == self.wanted:
            self.struck = step
            self.strike()
            raise Struck(step)

    def dance(self, wanted=None, brace=None, strike=None):
        """All steps in order; True if the broker was killed at the one that was wanted. `brace` is called just before it."""
        self.wanted, self.brace, self.strike, self.struck = wanted, brace, strike, None
        self.members = [self.dancer(name) for name in ("first", "second")]
        try:
            self.perform(*self.members)
        except Struck:
            return True
        finally:
            for member in self.members:
                member.close()
        return False

    def dancer(self, name):
        return Dancer(self, name)

    def expect(self, step, reply, *allowed):
        if reply["ErrorCode"] not in allowed:
            self.problems.append(f"{self.group}, {step}: error {reply['ErrorCode']}")
        return reply


class Classic(Dance):
    """Two members of the classic protocol. `durable` is the last generation of which a sync was answered."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.durable, self.left = 0, set()

    def join(self, member, step):
        member.send(step, "JoinGroup", 9, {
            "GroupId": self.group, "SessionTimeoutMs": SESSION_MS, "RebalanceTimeoutMs": REBALANCE_MS, "MemberId": member.member,
            "ProtocolType": "consumer", "Protocols": [{"Name": "range", "Metadata": SUBSCRIPTION}]})

    def joined(self, member, step):
        reply = self.expect(step, member.take(), NONE)
        if reply["ErrorCode"] == NONE:
            if reply["GenerationId"] <= self.durable:
                self.problems.append(f"{self.group}, {step}: generation {reply['GenerationId']} after {self.durable} was answered")
            member.epoch = reply["GenerationId"]
        return reply

    def enter(self, member, step):
        """Asks for an id and joins with it; the answer is still to come."""
        self.join(member, f"{step}, asks for an id")
        member.member = member.take()["MemberId"]
        self.join(member, step)

    def sync(self, member, step, everyone=()):
        member.send(step, "SyncGroup", 5, {
            "GroupId": self.group, "GenerationId": member.epoch, "MemberId": member.member, "ProtocolType": "consumer", "ProtocolName": "range",
            "Assignments": [{"MemberId": other.member, "Assignment": other.name.encode()} for other in everyone]})

    def synced(self, member, step):
        reply = self.expect(step, member.take(), NONE)
        if reply["ErrorCode"] == NONE:
            self.durable = max(self.durable, member.epoch)
            if reply["Assignment"] != member.name.encode():
                self.problems.append(f"{self.group}, {step}: the assignment is {reply['Assignment']!r}")

    def leave(self, member, step):
        self.left.add(member.member)
        self.expect(step, member.ask(step, "LeaveGroup", 5, {"GroupId": self.group, "Members": [{"MemberId": member.member}]}), NONE)

    def beat(self, member, step, *allowed):
        return self.expect(step, member.ask(step, "Heartbeat", 4, {
            "GroupId": self.group, "GenerationId": member.epoch, "MemberId": member.member}), *allowed)

    def until_rebalancing(self, member, step):
        """Heartbeats until it is told: the other's join came over another connection and may come later."""
        for _ in range(TRIES_MAX):
            if self.beat(member, step, NONE, REBALANCING)["ErrorCode"] == REBALANCING:
                return
            time.sleep(0.01)
        self.problems.append(f"{self.group}, {step}: no rebalance began")

    def perform(self, a, c):
        self.enter(a, "the first joins")
        self.joined(a, "the first joins")
        self.sync(a, "the leader syncs alone", [a])
        self.synced(a, "the leader syncs alone")
        a.commit("the first commits")
        self.enter(c, "the second joins")
        self.until_rebalancing(a, "the first learns of it")
        a.commit("the first commits once more before it joins")
        self.join(a, "the first joins again")
        self.joined(a, "the first joins again")
        self.joined(c, "the second joins")
        self.sync(c, "the follower syncs")
        self.sync(a, "the leader syncs", [a, c])
        self.synced(a, "the leader syncs")
        self.synced(c, "the follower syncs")
        for member in (a, c):
            member.commit(f"the {member.name} commits, stable")
            self.beat(member, f"the {member.name} beats", NONE)
        self.leave(c, "the second leaves")
        a.commit("the first commits after a leave")
        self.leave(a, "the first leaves")

    def after(self, stable_until=("the first commits, stable", "the first beats", "the second commits, stable", "the second beats")):
        """After a restart: members of a group that was stable are still members; then all of them go."""
        for member in self.members:
            member.connect()
            if not member.member:
                continue
            reply = member.ask("after the restart", "Heartbeat", 4, {"GroupId": self.group, "GenerationId": member.epoch, "MemberId": member.member})
            allowed = (NONE,) if self.struck in stable_until else (NONE, ILLEGAL_GENERATION, UNKNOWN_MEMBER, REBALANCING)
            self.expect(f"a heartbeat of the {member.name} after a kill at {self.struck!r}", reply, *allowed)
        for member in self.members:
            if member.member:
                member.ask("goes", "LeaveGroup", 5, {"GroupId": self.group, "Members": [{"MemberId": member.member}]})
            member.close()


class Modern(Dance):
    """Two members of KIP-848. `epoch` is the highest that was answered: no later one may be lower."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.epoch, self.lives, self.topic_id = 0, 0, None

    def dancer(self, name):
        self.lives += 1
        member = super().dancer(name)
        member.member = f"{name}-{self.lives}"
        return member

    def beat(self, member, step, epoch=None, owned=None, **fields):
        parts = None if owned is None else [{"TopicId": self.topic_id, "Partitions": list(owned)}] if owned else []
        reply = self.expect(step, member.ask(step, "ConsumerGroupHeartbeat", 1, {
            "GroupId": self.group, "MemberId": member.member, "MemberEpoch": member.epoch if epoch is None else epoch, "TopicPartitions": parts, **fields}), NONE)
        if reply["ErrorCode"] == NONE:
            member.epoch = reply["MemberEpoch"]
            self.epoch = max(self.epoch, member.epoch)
        return reply

    def join(self, member, step):
        known = self.epoch
        self.beat(member, step, 0, [], RebalanceTimeoutMs=REBALANCE_MS, SubscribedTopicNames=[TOPIC], ServerAssignor="range")
        if 0 <= member.epoch <= known:
            self.problems.append(f"{self.group}, {step}: epoch {member.epoch} after {known} was answered")

    def perform(self, a, c):
        self.join(a, "the first joins")
        self.beat(a, "the first owns all", owned=range(PARTITIONS))
        a.commit("the first commits")
        self.join(c, "the second joins")
        a.commit("the first commits while it has to give back")
        self.beat(a, "the first is told to give back")
        self.beat(a, "the first has given back", owned=range(PARTITIONS // 2))
        self.beat(c, "the second gets its own")
        self.beat(c, "the second owns its own", owned=range(PARTITIONS // 2, PARTITIONS))
        for member in (a, c):
            member.commit(f"the {member.name} commits, stable")
        self.beat(c, "the second leaves", -1)
        self.beat(a, "the first gets all again")
        self.beat(a, "the first leaves", -1)

    def after(self):
        """After a restart: a member whose join was answered is there, with its epoch or a newer one; then all go."""
        for member in self.members:
            member.connect()
            if member.epoch < 0:
                continue
            reply = member.ask("after the restart", "ConsumerGroupHeartbeat", 1, {"GroupId": self.group, "MemberId": member.member, "MemberEpoch": member.epoch})
            gone = self.struck == f"the {member.name} leaves"
            # The step that was not answered may have made its epoch newer than the one it knows.
            allowed = (NONE, UNKNOWN_MEMBER, 69) if gone else (NONE, 110) if self.struck and member.name in self.struck else (NONE,)
            self.expect(f"a heartbeat of the {member.name} after a kill at {self.struck!r}", reply, *allowed)
        for member in self.members:
            member.ask("goes", "ConsumerGroupHeartbeat", 1, {"GroupId": self.group, "MemberId": member.member, "MemberEpoch": -1})
            member.close()
