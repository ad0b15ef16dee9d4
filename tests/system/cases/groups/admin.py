"""Finding coordinators, listing, describing and deleting groups."""

from ..common import batch, create, produce_body, topic
from .clients import Scenario
from .talk import assignment

AUTHORIZED = "IncludeAuthorizedOperations"


def finding(b):
    """FindCoordinator: each version, each kind of key. The first question makes the topic of the groups."""
    b.settle(lambda: b.connection.request("FindCoordinator", 4, {"KeyType": 0, "CoordinatorKeys": ["g"]})["Coordinators"][0]["ErrorCode"] == 0)
    loaded = lambda group: b.connection.request("DescribeGroups", 5, {"Groups": [group]})["Groups"][0]["ErrorCode"] == 0
    b.settle(lambda: all(loaded(f"g{n}") for n in range(64)))
    b.ids[b.metadata("__consumer_offsets")["TopicId"]] = "__consumer_offsets"
    for version in range(7):
        keys = (lambda *k: {"CoordinatorKeys": list(k)}) if version >= 4 else (lambda *k: {"Key": k[0] if k else ""})
        for label, key in (("a group", "g"), ("an empty key", ""), ("a long key", "k" * 20_000), ("odd letters", "\u00e9 \u4e16\0")):
            b.ask(f"FindCoordinator v{version}, {label}", "FindCoordinator", version, {"KeyType": 0, **keys(key)})
        if version >= 4:
            b.ask(f"FindCoordinator v{version}, three groups, one twice", "FindCoordinator", version, {"KeyType": 0, "CoordinatorKeys": ["a", "c", "a"]})
            b.ask(f"FindCoordinator v{version}, a thousand groups", "FindCoordinator", version, {"KeyType": 0, "CoordinatorKeys": [f"g{n}" for n in range(1000)]})
        if version >= 1:
            for key in ("", "group", "group:topic:0", "g:AAAAAAAAAAAAAAAAAAAAAA", "g:AAAAAAAAAAAAAAAAAAAAAA:x", ":AAAAAAAAAAAAAAAAAAAAAA:0", "g:x:0"):
                b.ask(f"FindCoordinator v{version}, bad share key {key!r}", "FindCoordinator", version, {"KeyType": 2, **keys(key)})


def showing(b):
    """ListGroups with its filters, DescribeGroups and ConsumerGroupDescribe of groups of each kind and state."""
    with Scenario(b, "shown groups") as talk:
        def there(name, group):
            member = talk.member(name, group=group)
            return member
        stable, completing, preparing, empty, alone = (there(n, g) for n, g in (
            ("S", "show-stable"), ("C", "show-completing"), ("P", "show-preparing"), ("E", "show-empty"), ("O", "show-offsets")))
        stable.enter()
        stable.sync("", [(stable.member, assignment(("one", [0])))])
        completing.enter()
        preparing.enter()
        waiting = there("W", "show-preparing")
        waiting.post_enter().waits()
        empty.enter()
        empty.leave()
        alone.commit("standalone", MemberId="", GenerationIdOrMemberEpoch=-1)
        pending = there("N", "show-pending")
        pending.join("only asks for an id")
        modern, idle = there("M", "show-consumer"), there("I", "show-consumer-empty")
        modern.modern_join()
        idle.modern_join()
        idle.modern("leaves", -1)
        for version in range(6):
            b.ask(f"ListGroups v{version}", "ListGroups", version, {})
        for states in (["Stable"], ["stable"], ["STABLE", "Empty"], ["PreparingRebalance"], ["CompletingRebalance"], ["Dead"], ["Assigning"], ["Reconciling"],
                       ["NotReady"], ["Unknown"], ["no such state"], [""], ["Stable", "no such state"], [" stable "], ["Empty"] * 2):
            b.ask(f"ListGroups v4, states {states}", "ListGroups", 4, {"StatesFilter": states})
            b.ask(f"ListGroups v5, states {states}", "ListGroups", 5, {"StatesFilter": states})
        for types in (["classic"], ["consumer"], ["Consumer", "CLASSIC"], ["share"], ["streams"], ["unknown"], ["no such type"], [""], ["classic", "no such type"]):
            b.ask(f"ListGroups v5, types {types}", "ListGroups", 5, {"TypesFilter": types})
            b.ask(f"ListGroups v5, types {types}, stable ones", "ListGroups", 5, {"TypesFilter": types, "StatesFilter": ["Stable"]})
        groups = ["show-stable", "show-completing", "show-preparing", "show-empty", "show-offsets", "show-pending", "show-consumer", "show-consumer-empty", "show-unknown", ""]
        for version in range(7):
            for group in groups:
                b.ask(f"DescribeGroups v{version} of {group!r}", "DescribeGroups", version, {"Groups": [group]})
                if version >= 3:
                    b.ask(f"DescribeGroups v{version} of {group!r} with authorized operations", "DescribeGroups", version, {"Groups": [group], AUTHORIZED: True})
            b.ask(f"DescribeGroups v{version} of three", "DescribeGroups", version, {"Groups": groups[:3]})
            b.ask(f"DescribeGroups v{version} of none", "DescribeGroups", version, {"Groups": []})
            b.ask(f"DescribeGroups v{version}, twice", "DescribeGroups", version, {"Groups": ["show-stable", "show-stable"]})
        for version in range(2):
            for group in groups:
                b.ask(f"ConsumerGroupDescribe v{version} of {group!r}", "ConsumerGroupDescribe", version, {"GroupIds": [group]})
                b.ask(f"ConsumerGroupDescribe v{version} of {group!r} with authorized operations", "ConsumerGroupDescribe", version, {"GroupIds": [group], AUTHORIZED: True})
            b.ask(f"ConsumerGroupDescribe v{version} of all", "ConsumerGroupDescribe", version, {"GroupIds": groups})
            b.ask(f"ConsumerGroupDescribe v{version} of none", "ConsumerGroupDescribe", version, {"GroupIds": []})
            b.ask(f"ConsumerGroupDescribe v{version}, twice", "ConsumerGroupDescribe", version, {"GroupIds": ["show-consumer", "show-consumer"]})
        deleting(b, groups)
        preparing.join()
        waiting.take()
        for member in (stable, completing, preparing, waiting, pending):
            member.leave("at the end")
        modern.modern("leaves", -1)
        b.ask("DeleteGroups of all, left", "DeleteGroups", 2, {"GroupsNames": groups})
        b.ask("ListGroups of none", "ListGroups", 5, {})


def deleting(b, groups):
    """DeleteGroups of groups in each state: what may go goes."""
    for version in range(3):
        b.ask(f"DeleteGroups v{version} of busy ones", "DeleteGroups", version, {"GroupsNames": ["show-stable", "show-completing", "show-preparing", "show-consumer"]})
        b.ask(f"DeleteGroups v{version} of an unknown one", "DeleteGroups", version, {"GroupsNames": ["show-unknown"]})
        b.ask(f"DeleteGroups v{version} of none", "DeleteGroups", version, {"GroupsNames": []})
        b.ask(f"DeleteGroups v{version} of an empty name", "DeleteGroups", version, {"GroupsNames": [""]})
    b.ask("DeleteGroups, one twice", "DeleteGroups", 2, {"GroupsNames": ["show-offsets", "show-offsets"]})
    b.ask("DeleteGroups of all", "DeleteGroups", 2, {"GroupsNames": groups})
    b.ask("ListGroups after DeleteGroups", "ListGroups", 5, {})


def internal(b):
    """The topic of the groups as a topic: clients read it, and change nothing of it."""
    name = "__consumer_offsets"
    parts = lambda **fields: [{"Name": name, "Partitions": [{"PartitionIndex": 0, **fields}]}]
    for version in (3, 9, 12):
        b.ask(f"Produce v{version} to the groups' topic", "Produce", version, produce_body(name, batch(b"x")))
    b.ask("Produce v9 to the groups' topic, acks 1", "Produce", 9, produce_body(name, batch(b"x"), acks=1))
    b.ask("DeleteRecords of the groups' topic", "DeleteRecords", 2, {"TimeoutMs": 5000, "Topics": parts(Offset=0)})
    b.ask("Metadata of the groups' topic", "Metadata", 12, {"Topics": [{"Name": name}]})
    b.ask("DescribeTopicPartitions of the groups' topic", "DescribeTopicPartitions", 0, {"Topics": [{"Name": name}], "ResponsePartitionLimit": 9})
    b.ask("DescribeConfigs of the groups' topic", "DescribeConfigs", 4, {"Resources": [{"ResourceType": 2, "ResourceName": name, "ConfigurationKeys": None}], "IncludeSynonyms": True})
    b.ask("CreateTopics, the groups' topic", "CreateTopics", 7, create([topic(name)]))
    b.ask("CreatePartitions, the groups' topic", "CreatePartitions", 3, {"TimeoutMs": 10_000, "ValidateOnly": True, "Topics": [{"Name": name, "Count": 9, "Assignments": None}]})
    b.ask("ListOffsets of the groups' topic", "ListOffsets", 7, {"ReplicaId": -1, "Topics": parts(CurrentLeaderEpoch=-1, Timestamp=-2)})
