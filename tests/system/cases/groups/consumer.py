"""KIP-848: heartbeats that join, acknowledge and leave; revocation before assignment, step by step."""

import time

from ..common import UNKNOWN_ID
from .clients import Scenario

OTHERS = "id-of-nobody"


def life(b, version):
    """One member, from its first heartbeat to its last."""
    with Scenario(b, f"one modern member, v{version}") as talk:
        a = talk.member("A", version)
        a.look("unknown", "consumer")
        a.modern_join()
        a.look("joined", "consumer")
        a.modern("says nothing")
        a.owning("owns all", {"one": (0, 1, 2)})
        a.owning("everything again", {"one": (0, 1, 2)}, RebalanceTimeoutMs=30_000, SubscribedTopicNames=["one"])
        a.modern("everything but what it owns", RebalanceTimeoutMs=30_000, SubscribedTopicNames=["one"])
        a.modern("the same topics", SubscribedTopicNames=["one"])
        a.modern("the same topics twice", SubscribedTopicNames=["one", "one"])
        a.modern("a rack", RackId="r1")
        a.modern("an assignor", ServerAssignor="range")
        a.modern("another timeout", RebalanceTimeoutMs=20_000)
        a.look("changed", "consumer")
        a.modern("more topics", SubscribedTopicNames=["one", "two"])
        a.look("more topics", "consumer")
        a.owning("owns them", {"one": (0, 1, 2), "two": (0, 1, 2)})
        a.modern("no topics", SubscribedTopicNames=[])
        a.owning("owns none", {})
        a.look("no topics", "consumer")
        a.modern("topics that are not there", SubscribedTopicNames=["no-such", "one"])
        a.modern("odd topics", SubscribedTopicNames=["", "a b", "x" * 300, "one"])
        a.look("odd topics", "consumer")
        a.modern_join("joins again")
        a.delete("with a member")
        a.modern("leaves", -1)
        a.modern("leaves again", -1)
        a.modern("goes on", 3)
        a.look("empty", "consumer")
        a.modern_join("joins the empty group")
        a.modern("leaves", -1)
        a.delete()
        a.modern("leaves a group that is not there", -1)
        a.look("deleted", "consumer")


def two(b):
    """A second member: the first gives partitions back before the second gets them."""
    with Scenario(b, "two modern members") as talk:
        a, c = talk.member("A"), talk.member("C")
        a.modern_join(topics=["six"], ServerAssignor="range")
        a.owning("owns all", {"six": range(6)})
        c.modern_join(topics=["six"], ServerAssignor="range")
        a.look("the second joined", "consumer")
        c.modern("still nothing")
        a.modern("is told to give back")
        a.look("revoking", "consumer")
        a.modern("has not given back")
        a.owning("still owns all", {"six": range(6)})
        c.modern("still nothing")
        a.commit("while revoking", [("six", {5: (1, 0, "")})])
        a.owning("gave back", {"six": range(3)})
        a.look("gave back", "consumer")
        c.modern("gets its own")
        c.look("assigned", "consumer")
        c.modern("again, the old epoch", c.epoch - 1)
        c.owning("owns it", {"six": (3, 4, 5)})
        a.modern("nothing new")
        a.look("stable", "consumer")
        c.modern("leaves", -1)
        a.modern("gets everything")
        a.look("one left", "consumer")
        a.owning("owns all again", {"six": range(6)})
        a.modern("leaves", -1)
        a.delete()


def three(b):
    """Three members, of which two give back in one step each, and one in two."""
    with Scenario(b, "three modern members") as talk:
        a, c, d = (talk.member(name) for name in "ACD")
        a.modern_join(topics=["six", "one"], ServerAssignor="range")
        c.modern_join(topics=["six", "two"], ServerAssignor="range")
        d.modern_join(topics=["six"], ServerAssignor="range")
        for member in (a, c, d):
            member.modern("first")
        a.look("all joined", "consumer")
        a.owning("gives back a part", {"six": (0, 1, 2, 3), "one": (0, 1, 2)})
        for member in (c, d, a):
            member.modern("second")
        a.owning("gives back the rest", {"six": (0, 1), "one": (0, 1, 2)})
        for member in (d, c, a):
            member.modern("third")
        a.look("given back", "consumer")
        c.owning("owns its own", {"six": (2, 3), "two": (0, 1, 2)})
        d.owning("owns its own", {"six": (4, 5)})
        a.look("stable", "consumer")
        a.modern("drops a topic", SubscribedTopicNames=["one"])
        for member in (a, c, d):
            member.modern("after a topic was dropped")
        a.owning("gave it back", {"one": (0, 1, 2)})
        for member in (c, d):
            member.modern("more for the others")
        a.look("at the end", "consumer")
        c.modern("another assignor", ServerAssignor="uniform")
        d.modern("another assignor", ServerAssignor="uniform")
        a.look("another assignor", "consumer")
        for member in (a, c, d):
            member.modern("leaves", -1)
        a.look("empty", "consumer")
        a.delete()


def epochs(b):
    """Epochs that are old, new and strange, and what the member owns beside them."""
    with Scenario(b, "epochs") as talk:
        a, x = talk.member("A"), talk.member("X")
        for epoch in (1, -1, -2, -3, 0x7FFFFFFF, -0x80000000):
            x.modern("an unknown group", epoch, MemberId="x", InstanceId="i" if epoch == -2 else None)
        a.modern_join()
        a.owning("owns all", {"one": (0, 1, 2)})
        for epoch in (1, 2, 99, -1, -2, -3, 0x7FFFFFFF, -0x80000000):
            x.modern("a stranger", epoch, MemberId=OTHERS)
        x.modern("a stranger, static", -2, MemberId=OTHERS, InstanceId="i")
        x.modern("a stranger, static", -1, MemberId=OTHERS, InstanceId="i")
        x.modern("a stranger, static", 5, MemberId=OTHERS, InstanceId="i")
        x.modern("a dynamic member leaves for a while", -2, MemberId=a.member)
        x.modern("a dynamic member leaves for a while, with an instance", -2, MemberId=a.member, InstanceId="i")
        a.modern("a new epoch", a.epoch + 1)
        a.modern("other topics", SubscribedTopicNames=["one", "two"])
        a.modern("two epochs ago", a.epoch - 2)
        for label, owned in (("owning what it has", {"one": (0, 1, 2)}), ("owning less", {"one": (0,)}), ("owning more", {"one": (0, 1, 2, 3)}),
                             ("owning everything", {"one": (0, 1, 2), "two": (0, 1, 2)}), ("owning another topic", {"six": (0,)}), ("owning nothing", {})):
            a.owning(f"the epoch before, {label}", owned, epoch=1)
        a.modern("the epoch before, no word of what it owns", 1)
        a.modern("goes on")
        a.modern("owning an unknown topic", TopicPartitions=[{"TopicId": UNKNOWN_ID, "Partitions": [0]}])
        a.modern("owning a topic twice", TopicPartitions=a.owned({"one": (0,)}) + a.owned({"one": (0, 1)}))
        a.owning("owning a partition that is not there", {"one": (77, -1)})
        a.modern("no instance and then one", InstanceId="i")
        a.modern("leaves", -1)
        a.delete()


def wrong(b):
    """Requests that are refused at once, in both versions."""
    for version in range(2):
        with Scenario(b, f"refused heartbeats, v{version}") as talk:
            a = talk.member("A", version)
            joining = {"epoch": 0, "MemberId": "m", "RebalanceTimeoutMs": 1000, "TopicPartitions": [], "SubscribedTopicNames": ["one"]}
            for label, change in {
                "no group": {"GroupId": ""}, "an empty instance": {"InstanceId": ""}, "an empty rack": {"RackId": ""},
                "no timeout": {"RebalanceTimeoutMs": -1}, "nothing owned said": {"TopicPartitions": None},
                "owning something": {"TopicPartitions": a.owned({"one": (0,)})}, "no topics": {"SubscribedTopicNames": None},
                "an unknown assignor": {"ServerAssignor": "no-such"}, "an empty assignor": {"ServerAssignor": ""}, "an assignor in capitals": {"ServerAssignor": "RANGE"},
                "epoch -3": {"epoch": -3}, "static leave without an instance": {"epoch": -2}, "epoch 1 in an unknown group": {"epoch": 1},
            }.items():
                a.modern(label, **{**joining, **change})
            a.member = ""
            for epoch in (0, 1, -1, -2):
                a.modern("no member id", **{**joining, "MemberId": "", "epoch": epoch, "InstanceId": "i"})
            a.modern("timeouts", **{**joining, "MemberId": "t", "RebalanceTimeoutMs": 0})
            a.modern("timeouts", **{**joining, "MemberId": "t2", "RebalanceTimeoutMs": -7})
            a.modern("a long member id", **{**joining, "MemberId": "m" * 20_000})
            a.modern("a member id of odd letters", **{**joining, "MemberId": "\u00e9 \u4e16\0"})
            a.modern("many topics", **{**joining, "MemberId": "many", "SubscribedTopicNames": [f"no-such-{n}" for n in range(2000)]})
            a.look("", "consumer")
            for member in ("m", "t", "t2", "m" * 20_000, "\u00e9 \u4e16\0", "many"):
                a.modern("leaves", -1, MemberId=member)
            for member in [member["MemberId"] for member in a.ask("", "ConsumerGroupDescribe", version, {"GroupIds": [talk.group]}).get("Groups", [{"Members": []}])[0]["Members"]]:
                a.modern("leaves by its id", -1, MemberId=member)
            a.delete()


def crowded(b):
    """More members than a group may have."""
    with Scenario(b, "a full modern group") as talk:
        everyone = [talk.member(name) for name in "ACDEF"]
        for member in everyone:
            member.modern_join(topics=["six"], ServerAssignor="range")
        everyone[0].modern_join("joins again")
        everyone[0].modern("leaves", -1)
        everyone[4].modern_join("a place is free", topics=["six"])
        for member in everyone[1:]:
            member.modern("leaves", -1)
        everyone[0].delete()


def resolves(member, group, label, pattern, settled):
    """A group of one member whose expression comes to `settled` partitions."""
    member.group, member.member, member.epoch = group, "", -1
    member.modern_join(f"{label}, {pattern}", None, SubscribedTopicRegex=pattern)
    member.until("resolved", lambda target: sum(len(t["Partitions"]) for t in target) >= settled)
    member.look(label, "consumer")
    member.modern("leaves", -1)
    member.delete()


def expressions(b):
    """Topics by regular expression: resolved by the broker a moment later."""
    with Scenario(b, "expressions") as talk:
        a = talk.member("A")
        for label, pattern in (("unclosed", "("), ("a star first", "*"), ("a range upside down", "[z-a]"), ("looks behind", "(?<=a)b"), ("looks ahead", "a(?=b)"),
                               ("refers back", "(a)\\1"), ("repeats too often", "a{1001}"), ("repeats of repeats", "((a{100}){100}){100}"), ("an unknown class", "\\p{Nonsense}"),
                               ("possessive", "a*+"), ("atomic", "(?>a)"), ("an unknown escape", "\\q"), ("quoted in a class", "[\\Qa\\E]"), ("a flag that is not there", "(?x)o n e")):
            # One of them is an expression to Kafka: the group that it makes must not stay.
            a.group = f"expressions, {pattern}"
            a.member, a.epoch = "", 0
            a.modern_join(f"{label}, {pattern}", None, SubscribedTopicRegex=pattern)
            a.modern(f"leaves, {pattern}", -1)
            a.delete(f"delete, {pattern}")
        for number, (label, pattern, settled) in enumerate((
                ("one topic", "on.", 3), ("nothing", "nothing-at-all", 0), ("the whole name is meant", "wo", 0), ("two topics", "one|two", 6), ("anchored", "^one$", 3), ("letters of any case", "(?i)ONE", 3),
                ("a class", "[[:alpha:]]ne", 3), ("no operator in a class", "[o&&x]ne", 3), ("no class in a class", "[[o]ne", 3), ("quoted", "\\Qone\\E", 3), ("quoted to the end", "o\\Qne", 3), ("unicode", "\\pLne", 3), ("not greedy", "o.*?e", 3), ("named", "(?P<x>on)e", 3), ("words", "\\bone\\b", 3),
                ("ends", "\\Aone\\z", 3), ("octal and hex", "\\x6fne", 3), ("repeats", "o{1}n{1,}e{1,3}", 3), ("empty", "", 0))):
            resolves(a, f"expressions-{number}", label, pattern, settled)
    with Scenario(b, "an expression changes") as talk:
        a, c = talk.member("A"), talk.member("C")
        a.modern_join(topics=["one"], SubscribedTopicRegex="tw.")
        a.until("resolved", lambda target: len(target) == 2)
        a.look("names and an expression", "consumer")
        a.modern("the expression goes", SubscribedTopicRegex="")
        a.look("the expression is gone", "consumer")
        a.modern("another expression", SubscribedTopicRegex="on.", SubscribedTopicNames=[])
        a.until("resolved again", lambda target: len(target) == 1)
        c.modern_join("the same expression", None, SubscribedTopicRegex="on.")
        a.modern("invalid", SubscribedTopicRegex="(")
        a.look("two with one expression", "consumer")
        a.modern("leaves", -1)
        c.modern("leaves", -1)
        a.delete()


def topics(b):
    """Topics that come, grow and go while a group reads them."""
    with Scenario(b, "topics come and go") as talk:
        a = talk.member("A")
        a.modern_join(topics=["later"])
        a.look("before", "consumer")
        b.make("later", 1)
        a.until("it came", lambda target: len(target) == 1)
        a.modern("is told")
        a.owning("owns it", {"later": (0,)})
        a.ask("", "CreatePartitions", 3, {"TimeoutMs": 10_000, "Topics": [{"Name": "later", "Count": 2, "Assignments": None}]})
        a.until("it grew", lambda target: sum(len(t["Partitions"]) for t in target) == 2)
        a.owning("owns both", {"later": (0, 1)})
        a.ask("of it", "DeleteTopics", 6, {"TimeoutMs": 10_000, "Topics": [{"Name": "later"}]})
        a.until("it went", lambda target: not target)
        a.modern("is told")
        a.look("after", "consumer")
        a.modern("leaves", -1)
        a.delete()


def slow(b):
    """A member that does not give back in time is thrown out."""
    with Scenario(b, "a slow member") as talk:
        a, c = talk.member("A"), talk.member("C")
        a.modern_join(topics=["six"], ServerAssignor="range", RebalanceTimeoutMs=400)
        a.owning("owns all", {"six": range(6)})
        c.modern_join(topics=["six"], ServerAssignor="range")
        a.modern("is told")
        time.sleep(0.8)
        c.modern("gets everything")
        a.owning("too late", {"six": range(3)})
        a.look("one left", "consumer")
        a.commit("too late", [("six", {0: (1, 0, "")})])
        c.modern("leaves", -1)
        c.delete()


def static(b):
    """Static members: leave for a while, return, replace, and are fenced."""
    with Scenario(b, "modern static members") as talk:
        a, c, x = talk.member("A", instance="ia"), talk.member("C", instance="ic"), talk.member("X", instance="ia")
        a.modern_join(topics=["six"], ServerAssignor="range")
        c.modern_join(topics=["six"], ServerAssignor="range")
        a.modern("told")
        a.owning("gave back", {"six": (0, 1, 2)})
        c.modern("gets its own")
        a.look("stable", "consumer")
        x.modern_join("while the first is there", topics=["six"])
        x.modern("by another id", a.epoch, MemberId="id-of-X")
        x.modern("leaves by another id", -1, MemberId="id-of-X")
        x.modern("leaves for a while by another id", -2, MemberId="id-of-X")
        x.modern("no instance", a.epoch, MemberId=a.member, InstanceId=None)
        x.modern("another instance", a.epoch, MemberId=a.member, InstanceId="ic")
        a.modern("leaves for a while", -2)
        a.look("left for a while", "consumer")
        a.modern("goes on after it left", a.epoch)
        a.commit("after it left for a while", [("six", {0: (1, 0, "")})])
        c.modern("nothing happened")
        x.modern_join("returns with another id", topics=["six"], ServerAssignor="range")
        x.look("returned", "consumer")
        a.modern("the old id", 2, MemberId="id-of-A")
        x.commit("returned", [("six", {0: (2, 0, "")})])
        x.modern("leaves for a while", -2)
        x.modern_join("returns with other topics", topics=["one"], ServerAssignor="range")
        c.modern("more for it")
        x.modern("leaves for good", -1)
        c.modern("everything for it")
        c.modern("leaves for a while", -2)
        c.modern("again", -2)
        c.look("all are away", "consumer")
        c.delete("all are away")
        c.ask("removes the member", "LeaveGroup", 5, {"GroupId": talk.group, "Members": [{"MemberId": "", "GroupInstanceId": "ic"}]})
        c.look("removed", "consumer")
        c.delete()


def offsets(b):
    """Commits and fetches of modern members: the epoch must be theirs."""
    with Scenario(b, "offsets of modern members") as talk:
        a, x = talk.member("A"), talk.member("X")
        a.modern_join()
        a.owning("owns all", {"one": (0, 1, 2)})
        for version in range(2, 11):
            a.commit("", api_version=version)
            a.commit("an old epoch", api_version=version, GenerationIdOrMemberEpoch=0)
            a.commit("a new epoch", api_version=version, GenerationIdOrMemberEpoch=a.epoch + 1)
            a.commit("a stranger", api_version=version, MemberId="x")
            a.commit("standalone", api_version=version, MemberId="", GenerationIdOrMemberEpoch=-1)
            a.commit("a member id, no epoch", api_version=version, GenerationIdOrMemberEpoch=-1)
            a.commit("an admin's reset", api_version=version, MemberId="", GenerationIdOrMemberEpoch=0)
        a.modern("other topics", SubscribedTopicNames=["one", "two"])
        a.commit("the epoch before", GenerationIdOrMemberEpoch=a.epoch - 1)
        a.commit("the epoch before, a partition that is new", [("two", {0: (1, 0, "")})], GenerationIdOrMemberEpoch=a.epoch - 1)
        a.commit("a topic that is not assigned", [("six", {0: (1, 0, "")})])
        for version in (9, 10):
            for who, member in (("its own", a.member), ("a stranger", "x"), ("nobody", ""), ("null", None)):
                for age, epoch in (("its epoch", a.epoch), ("an old epoch", a.epoch - 1), ("a new epoch", a.epoch + 1), ("epoch -1", -1)):
                    x.fetch(f"{who}, {age}", api_version=version, MemberId=member, MemberEpoch=epoch)
        x.fetch("all, an old epoch", None, MemberId=a.member, MemberEpoch=0)
        a.forget("topics that it reads", [("one", (0,)), ("six", (0,)), ("two", (1,))])
        a.modern("leaves", -1)
        a.commit("after it left")
        x.commit("standalone, empty", MemberId="", GenerationIdOrMemberEpoch=-1)
        x.commit("epoch 0, empty", MemberId="", GenerationIdOrMemberEpoch=0)
        x.commit("a member, empty", MemberId="m", GenerationIdOrMemberEpoch=3)
        a.fetch("at the end", None)
        a.forget("empty", [("one", (0,))])
        a.delete()


def consumer(b):
    for version in range(2):
        life(b, version)
    for part in (two, three, epochs, wrong, crowded, expressions, topics, slow, static, offsets):
        part(b)
