"""The requests of group members, as a client of a given age sends them; every field can be replaced by keyword."""

from ..common import NO_ID
from .talk import Client, Talk, Versions, subscription

SESSION_MS = 30_000
REBALANCE_MS = 30_000
RANGE = [("range", subscription("one"))]


class Member(Client):
    """A member of either kind: `group` and `versions` are its scenario's unless given."""

    def __init__(self, talk, name, step=Versions.NEWEST, group=None, instance=None):
        super().__init__(talk, name)
        self.group, self.versions, self.instance = group or talk.group, Versions(step), instance

    # The classic protocol

    def post_join(self, label="", protocols=RANGE, api_version=None, **fields):
        body = {"GroupId": self.group, "SessionTimeoutMs": SESSION_MS, "RebalanceTimeoutMs": REBALANCE_MS, "MemberId": self.member,
                "GroupInstanceId": self.instance, "ProtocolType": "consumer",
                "Protocols": [{"Name": name, "Metadata": metadata} for name, metadata in protocols], **fields}
        return self.post(label, "JoinGroup", self.versions["JoinGroup"] if api_version is None else api_version, body)

    def join(self, label="", **fields):
        return self.post_join(label, **fields).take()

    def enter(self, **fields):
        """Joins as clients do: with the member id that the first answer brings (KIP-394)."""
        if self.join("", **fields).get("ErrorCode") == 79:
            self.join("with the id", **fields)
        return self.reply

    def post_enter(self, **fields):
        """As `enter`, for a join that has to wait."""
        if self.versions["JoinGroup"] >= 4 and self.instance is None and not self.member:
            self.join("", **fields)
            return self.post_join("with the id", **fields)
        return self.post_join("", **fields)

    def post_sync(self, label="", assignments=(), **fields):
        """`assignments`: (member id, bytes), what a leader sends."""
        body = {"GroupId": self.group, "GenerationId": self.epoch, "MemberId": self.member, "GroupInstanceId": self.instance,
                "ProtocolType": "consumer", "ProtocolName": "range",
                "Assignments": [{"MemberId": member, "Assignment": data} for member, data in assignments], **fields}
        return self.post(label, "SyncGroup", self.versions["SyncGroup"], body)

    def sync(self, label="", assignments=(), **fields):
        return self.post_sync(label, assignments, **fields).take()

    def beat(self, label="", **fields):
        return self.ask(label, "Heartbeat", self.versions["Heartbeat"], {
            "GroupId": self.group, "GenerationId": self.epoch, "MemberId": self.member, "GroupInstanceId": self.instance, **fields})

    def leave(self, label="", members=None, **fields):
        """`members`: (member id, instance id, reason) of each who leaves; its own unless given."""
        if members is None:
            members = [(self.member, self.instance, "bye")]
        return self.ask(label, "LeaveGroup", self.versions["LeaveGroup"], {
            "GroupId": self.group, "MemberId": members[0][0] if members else "",
            "Members": [{"MemberId": m, "GroupInstanceId": i, "Reason": r} for m, i, r in members], **fields})

    # KIP-848

    def modern(self, label="", epoch=None, api_version=None, **fields):
        """A ConsumerGroupHeartbeat; only what is given is said."""
        body = {"GroupId": self.group, "MemberId": self.member, "MemberEpoch": self.epoch if epoch is None else epoch,
                "InstanceId": self.instance, **fields}
        return self.ask(label, "ConsumerGroupHeartbeat", self.versions["ConsumerGroupHeartbeat"] if api_version is None else api_version, body)

    def modern_join(self, label="joins", topics=("one",), **fields):
        """The first heartbeat of a member. From version 1 on the client makes the id."""
        if not self.member and self.versions["ConsumerGroupHeartbeat"] >= 1:
            self.member = f"id-of-{self.name}"
        return self.modern(label, **{"epoch": 0, "RebalanceTimeoutMs": REBALANCE_MS, "TopicPartitions": [],
                                     "SubscribedTopicNames": None if topics is None else list(topics), **fields})

    def owning(self, label, topics, **fields):
        """A heartbeat that says what the member owns: `topics` is {name: partitions}."""
        return self.modern(label, TopicPartitions=self.owned(topics), **fields)

    def owned(self, topics):
        return [{"TopicId": self.talk.broker.id_of(name), "Partitions": list(partitions)} for name, partitions in topics.items()]

    def target(self):
        """The target assignment that the broker shows for this member; not a case."""
        groups = self.talk.broker.connection.request("ConsumerGroupDescribe", 1, {"GroupIds": [self.group]})["Groups"]
        members = [member for member in groups[0]["Members"] if member["MemberId"] == self.member]
        return members[0]["TargetAssignment"]["TopicPartitions"] if members else []

    def until(self, label, ready):
        """Sends heartbeats until `ready` holds of the member's target, and asks once more: the case."""
        def settled():
            reply = self.talk.broker.connection.request("ConsumerGroupHeartbeat", 1, {
                "GroupId": self.group, "MemberId": self.member, "MemberEpoch": self.epoch})
            self.epoch = self.epoch if reply["ErrorCode"] else reply["MemberEpoch"]
            return ready(self.target())
        self.talk.broker.settle(settled)
        return self.modern(label)

    # Offsets

    def commit_topic(self, topic, partitions):
        """`partitions`: {index: (offset, leader epoch, metadata)}."""
        return {"Name": topic, "TopicId": self.talk.broker.ids_of.get(topic, NO_ID), "Partitions": [
            {"PartitionIndex": index, "CommittedOffset": offset, "CommittedLeaderEpoch": epoch, "CommittedMetadata": metadata}
            for index, (offset, epoch, metadata) in partitions.items()]}

    def commit(self, label="", topics=None, api_version=None, **fields):
        """`topics`: (name, {index: (offset, leader epoch, metadata)}); one partition unless given. As a member unless told."""
        if topics is None:
            topics = [("one", {0: (7, 0, "m")})]
        return self.ask(label, "OffsetCommit", self.versions["OffsetCommit"] if api_version is None else api_version, {
            "GroupId": self.group, "GenerationIdOrMemberEpoch": self.epoch, "MemberId": self.member, "GroupInstanceId": self.instance,
            "RetentionTimeMs": -1, "Topics": [self.commit_topic(*topic) for topic in topics], **fields})

    def fetch(self, label="", topics=(("one", (0, 1)),), api_version=None, group=None, stable=False, **fields):
        """`topics`: (name, partitions), or None for all."""
        version = self.versions["OffsetFetch"] if api_version is None else api_version
        asked = None if topics is None else [
            {"Name": name, "PartitionIndexes": list(partitions), **({"TopicId": self.talk.broker.ids_of.get(name, NO_ID)} if version >= 8 else {})}
            for name, partitions in topics]
        group = self.group if group is None else group
        body = {"Groups": [{"GroupId": group, "Topics": asked, **fields}]} if version >= 8 else {"GroupId": group, "Topics": asked}
        return self.ask(label, "OffsetFetch", version, {**body, "RequireStable": stable})

    def forget(self, label="", topics=(("one", (0,)),), **fields):
        """OffsetDelete."""
        return self.ask(label, "OffsetDelete", 0, {"GroupId": self.group, "Topics": [
            {"Name": name, "Partitions": [{"PartitionIndex": index} for index in partitions]} for name, partitions in topics], **fields})

    # What is shown

    def look(self, label="", kind="classic"):
        """The group as its own describe and the list show it."""
        self.ask(label, "DescribeGroups", self.versions["DescribeGroups"], {"Groups": [self.group]})
        if kind != "classic":
            self.ask(label, "ConsumerGroupDescribe", self.versions["ConsumerGroupDescribe"], {"GroupIds": [self.group]})
        self.ask(label, "ListGroups", self.versions["ListGroups"], {})
        return self

    def delete(self, label="", groups=None):
        return self.ask(label, "DeleteGroups", self.versions["DeleteGroups"], {"GroupsNames": [self.group] if groups is None else groups})


class Scenario(Talk):
    """A talk whose clients are members."""

    def member(self, name, step=Versions.NEWEST, **more):
        self.clients.append(Member(self, name, step, **more))
        return self.clients[-1]
