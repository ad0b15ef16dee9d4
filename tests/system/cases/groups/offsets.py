"""Commits and fetches: every version, standalone and by members, and what is refused."""

from ..common import NO_ID, UNKNOWN_ID
from .clients import Scenario
from .talk import Versions, assignment, subscription

METADATA_MAX = 4096


def versions(b, step):
    with Scenario(b, f"offsets, step {step}") as talk:
        a = talk.member("A", step)
        a.fetch("unknown group")
        a.fetch("unknown group, all", None)
        a.commit("standalone", [("one", {0: (5, 1, "five"), 1: (0, -1, "")}), ("two", {2: (1 << 40, 0x7FFFFFFF, None)})])
        a.fetch("", [("one", (0, 1, 2, 9)), ("two", (2,))])
        a.fetch("stable only", [("one", (0, 1))], stable=True)
        a.fetch("all", None)
        a.fetch("all, stable only", None, stable=True)
        a.fetch("no topics", [])
        a.fetch("no partitions", [("one", ())])
        a.fetch("a topic that is not there", [("no-such", (0,)), ("one", (0,))])
        a.fetch("a topic with a bad name", [("a b", (0,)), ("", (0,))])
        a.fetch("a partition twice", [("one", (0, 0)), ("one", (0,))])
        a.fetch("partition -1", [("one", (-1,))])
        a.commit("nothing", [])
        a.commit("no partitions", [("one", {})])
        a.commit("back", [("one", {0: (3, 0, "back")})])
        a.commit("topics and partitions that are not there", [("no-such", {0: (1, 0, "")}), ("one", {0: (4, 0, ""), 9: (1, 0, ""), -1: (1, 0, "")}), ("", {0: (1, 0, "")})])
        a.commit("negative offsets", [("one", {0: (-1, 0, "minus one"), 1: (-5, -7, "m"), 2: (-0x8000000000000000, 0, "")})])
        a.fetch("after negative offsets", None)
        a.commit("the largest offset", [("one", {0: (0x7FFFFFFFFFFFFFFF, 0, "")})])
        a.commit("metadata too large", [("one", {0: (1, 0, "x" * (METADATA_MAX + 1)), 1: (2, 0, "x" * METADATA_MAX), 2: (3, 0, "\u00e9" * (METADATA_MAX // 2 + 1))})])
        a.commit("all metadata too large", [("one", {0: (1, 0, "x" * 30_000)})])
        a.fetch("after large metadata", None)
        a.commit("a partition twice", [("one", {0: (1, 0, "a")}), ("one", {0: (2, 0, "b")})])
        a.commit("retention", RetentionTimeMs=1000)
        a.fetch("at the end", None)
        a.look("standalone")
        a.delete()


def members(b):
    """Commits into groups with members, in each state, by those who are not in it."""
    with Scenario(b, "commits of members") as talk:
        a, x = talk.member("A"), talk.member("X")
        x.commit("generation 1 into an unknown group", MemberId="m", GenerationIdOrMemberEpoch=1)
        x.commit("generation 0 into an unknown group", MemberId="", GenerationIdOrMemberEpoch=0)
        x.commit("a member id into an unknown group", MemberId="m", GenerationIdOrMemberEpoch=-1)
        a.enter(protocols=[("range", subscription("one"))])
        x.commit("standalone, completing")
        a.sync("", [(a.member, assignment(("one", [0, 1, 2])))])
        x.commit("standalone, stable")
        a.commit("a topic that it does not read", [("two", {0: (9, 0, "")})])
        a.commit("generation -1", GenerationIdOrMemberEpoch=-1)
        a.commit("no member id", MemberId="")
        a.commit("by its member")
        x.fetch("by a stranger", MemberId="x", MemberEpoch=3)
        x.fetch("of a member, generation 99", MemberId=a.member, MemberEpoch=99)
        a.forget("a topic that it reads")
        a.forget("a topic that it does not read", [("two", (0,))])
        a.forget("both", [("one", (0,)), ("two", (0, 1))])
        x.fetch("after OffsetDelete", None)
        a.leave()
        x.commit("standalone, empty", [("one", {0: (8, 0, "")})])
        x.commit("generation 0, empty", MemberId="", GenerationIdOrMemberEpoch=0)
        x.commit("a member, empty", MemberId="m", GenerationIdOrMemberEpoch=1)
        a.forget("an empty group", [("one", (0, 1))])
        a.fetch("after OffsetDelete of the empty group", None)
        a.look("without offsets")
        a.delete()


def forgetting(b):
    """OffsetDelete."""
    with Scenario(b, "OffsetDelete") as talk:
        a = talk.member("A")
        a.forget("unknown group")
        a.forget("empty group id", GroupId="")
        a.forget("nothing, unknown group", [])
        a.commit("", [("one", {0: (1, 0, ""), 1: (2, 0, "")}), ("two", {0: (3, 0, "")})])
        a.forget("what is not there", [("no-such", (0,)), ("one", (9, -1)), ("", (0,)), ("one", ())])
        a.forget("what was not committed", [("one", (2,))])
        a.forget("a partition twice", [("one", (0, 0))])
        a.forget("a topic twice", [("one", (0,)), ("one", (1,))])
        a.forget("nothing", [])
        a.fetch("what is left", None)
        a.forget("the rest", [("one", (0, 1)), ("two", (0,))])
        a.look("after all are gone")
        a.delete()
    with Scenario(b, "a subscription that cannot be read") as talk:
        a = talk.member("A")
        for label, metadata in (("empty", b""), ("one byte", b"\0"), ("a newer version", subscription("one", version=9))):
            a.enter(protocols=[("range", metadata)])
            a.sync("", [(a.member, b"")])
            a.commit("", [("one", {0: (1, 0, "")}), ("two", {0: (3, 0, "")})])
            a.forget(label, [("one", (0,)), ("two", (0,))])
            a.beat()
            a.leave()
            a.member = ""
        a.delete()


def ids(b):
    """OffsetCommit and OffsetFetch 10: topics by id only."""
    with Scenario(b, "topics by id") as talk:
        a = talk.member("A")
        part = lambda offset: [{"PartitionIndex": 0, "CommittedOffset": offset, "CommittedMetadata": "m"}]
        topic = lambda identity, offset: {"TopicId": identity, "Partitions": part(offset)}
        a.commit("", Topics=[topic(UNKNOWN_ID, 1), topic(NO_ID, 2), topic(b.id_of("one"), 3), topic(UNKNOWN_ID, 4)])
        a.commit("unknown alone", Topics=[topic(UNKNOWN_ID, 1)])
        fetch = lambda *identities: {"Groups": [{"GroupId": talk.group, "Topics": [{"TopicId": i, "PartitionIndexes": [0, 1]} for i in identities]}]}
        a.ask("", "OffsetFetch", 10, fetch(UNKNOWN_ID, NO_ID, b.id_of("one"), b.id_of("two")))
        a.ask("unknown alone", "OffsetFetch", 10, fetch(UNKNOWN_ID))
        a.ask("the same twice", "OffsetFetch", 10, fetch(b.id_of("one"), b.id_of("one")))
        b.make("reborn")
        a.commit("a topic that will be deleted", [("reborn", {0: (11, 0, "old")})])
        old = b.id_of("reborn")
        a.ask("of the topic", "DeleteTopics", 6, {"TimeoutMs": 10000, "Topics": [{"Name": "reborn"}]})
        b.settle(lambda: b.metadata("reborn")["ErrorCode"] == 3)
        settled = lambda: not any(t["Name"] == "reborn" for t in b.connection.request(
            "OffsetFetch", 9, {"Groups": [{"GroupId": talk.group, "Topics": None}]})["Groups"][0]["Topics"])
        b.settle(settled)
        a.ask("by the id of a deleted topic", "OffsetFetch", 10, fetch(old))
        a.commit("by the id of a deleted topic", Topics=[topic(old, 12)])
        a.fetch("all after the deletion", None)
        b.make("reborn", label="reborn again")
        a.fetch("of the topic that was created again", [("reborn", (0,))])
        a.ask("by the old id", "OffsetFetch", 10, fetch(old))
        a.fetch("by name", [("reborn", (0,))], api_version=9)
        a.delete()


def batches(b):
    """OffsetFetch of several groups at once."""
    with Scenario(b, "several groups") as talk:
        a = talk.member("A")
        for group in ("several-1", "several-2"):
            a.group = group
            a.commit("", [("one", {0: (1, 0, group)})])
        for version in (8, 9, 10):
            topics = [{"Name": "one", "TopicId": b.id_of("one"), "PartitionIndexes": [0, 1]}]
            ask = lambda label, *groups: a.ask(label, "OffsetFetch", version, {"Groups": list(groups), "RequireStable": False})
            ask("two groups", {"GroupId": "several-1", "Topics": topics}, {"GroupId": "several-2", "Topics": None})
            ask("one unknown, one empty id", {"GroupId": "no-such-group", "Topics": topics}, {"GroupId": "", "Topics": topics})
            ask("the same twice", {"GroupId": "several-1", "Topics": topics}, {"GroupId": "several-1", "Topics": []})
            ask("none")
            ask("a member that is not there", {"GroupId": "several-1", "Topics": topics, "MemberId": "m", "MemberEpoch": 5})
            ask("an epoch alone", {"GroupId": "several-1", "Topics": topics, "MemberEpoch": 5})
            ask("a member without an epoch", {"GroupId": "several-1", "Topics": topics, "MemberId": "m"})
        a.delete("both", ["several-1", "several-2"])


def offsets(b):
    for step in range(Versions.STEPS):
        versions(b, step)
    members(b)
    forgetting(b)
    ids(b)
    batches(b)
