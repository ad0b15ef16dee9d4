"""The classic protocol: joins, syncs, heartbeats and leaves of one and of several members, in every state."""

import time

from .clients import Scenario
from .talk import Versions, assignment, subscription

# Within the bounds that the brokers of this test have.
SHORT_SESSION_MS = 300
MINE, YOURS = assignment(("one", [0])), assignment(("one", [1]))


def one_member(b, step):
    """The life of a group with one member, in the versions of the step."""
    with Scenario(b, f"one member, step {step}") as talk:
        a = talk.member("A", step)
        a.look("unknown")
        a.enter(Reason="first")
        a.beat("before the sync")
        a.commit("before the sync")
        a.look("before the sync")
        a.sync("", [(a.member, MINE)])
        a.sync("again")
        a.beat()
        a.commit()
        a.fetch()
        a.look("stable")
        a.join("again as leader", Reason="again")
        a.sync("", [(a.member, YOURS)])
        a.delete("with a member")
        a.leave()
        a.leave("again")
        a.beat("after it left")
        a.commit("after it left")
        a.look("empty")
        a.fetch("empty")
        a.delete()
        a.delete("again")
        a.fetch("deleted")
        a.look("deleted")


def two_members(b, step):
    """A leader and a follower: what each may do in each phase of a rebalance."""
    with Scenario(b, f"two members, step {step}") as talk:
        a, c = talk.member("A", step), talk.member("C", step)
        a.enter()
        a.sync("", [(a.member, MINE)])
        c.post_enter().waits()
        a.look("preparing")
        a.beat("preparing")
        a.commit("preparing")
        a.sync("preparing")
        a.fetch("preparing")
        a.join("as leader")
        c.take()
        a.beat("completing")
        c.beat("completing")
        a.commit("completing")
        a.fetch("completing")
        a.look("completing")
        c.join("again, the same, completing")
        c.post_sync().waits()
        a.sync("", [(a.member, MINE), (c.member, YOURS)])
        c.take()
        a.look("stable")
        c.beat()
        c.commit()
        c.join("again as follower, stable")
        c.sync("again")
        c.post_join("with other metadata, stable", protocols=[("range", subscription("one", user_data=b"new"))]).waits()
        a.beat("a follower joins again")
        a.join("as leader again")
        c.take()
        c.post_sync("the leader does not come").waits()
        a.leave()
        c.take()
        c.beat("after the leader left")
        c.join("alone")
        c.sync("alone", [(c.member, MINE)])
        c.look("alone")
        c.leave()
        c.delete()


def strangers(b):
    """Wrong members and generations in every state."""
    for state in ("unknown", "empty", "preparing", "completing", "stable"):
        with Scenario(b, f"wrong members, {state}") as talk:
            a, c, x = talk.member("A"), talk.member("C"), talk.member("X")
            if state != "unknown":
                a.enter()
            if state == "empty":
                a.leave()
            if state in ("preparing", "stable"):
                a.sync("", [(a.member, MINE)])
            if state == "preparing":
                c.post_enter().waits()
            for who, member in (("a stranger", "stranger"), ("nobody", ""), ("the member", a.member)):
                for age, generation in (("an old generation", a.epoch - 1), ("generation -1", -1), ("generation -2", -2), ("a new generation", a.epoch + 1)):
                    x.member, x.epoch = member, generation
                    x.beat(f"{who}, {age}")
                    x.sync(f"{who}, {age}")
                    x.commit(f"{who}, {age}")
                    x.fetch(f"{who}, {age}", MemberId=member, MemberEpoch=generation)
            for who, member in (("a stranger", "stranger"), ("nobody", "")):
                for age, generation in (("the generation", a.epoch), ("generation 0", 0)):
                    x.member, x.epoch = member, generation
                    x.beat(f"{who}, {age}")
                    x.sync(f"{who}, {age}")
                    x.commit(f"{who}, {age}")
            x.member = "stranger"
            x.join("a stranger")
            x.leave("a stranger")
            x.member = ""
            x.leave("nobody")
            x.beat("an instance that is unknown", GroupInstanceId="i", MemberId=a.member, GenerationId=a.epoch)
            x.sync("an instance that is unknown", GroupInstanceId="i", MemberId=a.member, GenerationId=a.epoch)
            x.commit("an instance that is unknown", GroupInstanceId="i", MemberId=a.member, GenerationIdOrMemberEpoch=a.epoch)
            x.leave("an instance that is unknown", [(a.member, "i", None)])
            x.look(state)
            if state == "preparing":
                a.join()
                c.take()
                c.leave()
            a.leave()
            a.delete()


def protocols(b):
    """Protocol types and names (KIP-559), and which protocol is chosen."""
    with Scenario(b, "protocols") as talk:
        a, c = talk.member("A"), talk.member("C")
        a.join("no protocols", protocols=[])
        a.join("an empty type", ProtocolType="")
        a.join("an empty type and no protocols", protocols=[], ProtocolType="")
        a.member = ""
        a.enter(protocols=[("sticky", b"s"), ("range", b"r")])
        a.sync("another type", ProtocolType="connect", ProtocolName="sticky")
        a.sync("another name", ProtocolName="range")
        a.sync("no type", ProtocolType=None, ProtocolName="sticky")
        a.sync("no name", ProtocolName=None)
        a.sync("neither", ProtocolType=None, ProtocolName=None)
        a.sync("", [(a.member, b"any bytes")], ProtocolName="sticky")
        c.join("another type", ProtocolType="connect")
        c.join("no common name", protocols=[("uniform", b"")])
        c.join("no protocols", protocols=[])
        c.join("an empty type", ProtocolType="")
        c.post_enter(protocols=[("uniform", b"u"), ("range", b"R")]).waits()
        a.join("", protocols=[("sticky", b"s"), ("range", b"r")])
        c.take()
        c.post_sync("").waits()
        a.sync("", [(a.member, b"1"), (c.member, b"2"), ("a stranger", b"3")])
        c.take()
        c.look("stable")
        c.post_join("with another type", ProtocolType="connect").take()
        c.leave()
        a.join("alone", protocols=[("b", b""), ("a", b"")])
        a.sync("alone", ProtocolName="b")
        a.leave()
        a.delete()
    with Scenario(b, "votes") as talk:
        everyone = [talk.member(name) for name in ("A", "C", "D")]
        offers = [["a", "b", "c"], ["b", "a", "c"], ["c", "b", "a"]]
        first = everyone[0]
        first.enter(protocols=[(name, b"") for name in offers[0]])
        for member, offer in zip(everyone[1:], offers[1:]):
            member.post_enter(protocols=[(name, name.encode()) for name in offer]).waits()
        first.join("", protocols=[(name, b"") for name in offers[0]])
        for member in everyone[1:]:
            member.take()
        chosen = first.reply.get("ProtocolName")
        for member in everyone[1:]:
            member.post_sync("", ProtocolName=chosen).waits()
        first.sync("", [(member.member, member.name.encode()) for member in everyone[:2]], ProtocolName=chosen)
        for member in everyone[1:]:
            member.take()
        first.look("stable")
        first.leave("all at once", [(member.member, None, None) for member in everyone])
        first.delete()
    for kind in ("connect", "x", "c" * 300):
        with Scenario(b, f"protocol type {kind[:9]}") as talk:
            a = talk.member("A")
            a.enter(ProtocolType=kind, protocols=[("default", b"\0\xff" * 9)])
            a.look("completing")
            a.sync("", [(a.member, b"\xff" * 9)], ProtocolType=kind, ProtocolName="default")
            a.commit()
            a.look("stable")
            a.forget("of another type")
            a.leave()
            a.look("empty")
            a.join("an empty group with another type", ProtocolType="consumer", MemberId="")
            a.forget("of another type, empty")
            a.delete()


def bounds(b):
    """Session timeouts, the size of a group, odd names, large protocols."""
    with Scenario(b, "timeouts") as talk:
        a = talk.member("A")
        for session in (0, -1, SHORT_SESSION_MS - 1, 1_800_001, 0x7FFFFFFF, -0x80000000):
            a.join(f"session of {session} ms", SessionTimeoutMs=session)
        for session in (SHORT_SESSION_MS, 1_800_000):
            a.join(f"session of {session} ms", SessionTimeoutMs=session, MemberId="")
        a.member = ""
        for rebalance in (-1, 0, -0x80000000):
            a.enter(RebalanceTimeoutMs=rebalance)
            time.sleep(0.1)
            a.beat(f"with a rebalance timeout of {rebalance} ms")
            a.leave()
            a.member = ""
        a.delete()
    for name in ("", " ", "a b", "\u00e9\u4e16", "x" * 249, "x" * 300, "\u0000"):
        with Scenario(b, f"group named {ascii(name[:9])}, {len(name)} letters", group=name) as talk:
            a = talk.member("A")
            a.group = name
            for version in (0, 3, 9):
                a.leave("the one before", [(a.member, None, None)])
                a.join("", api_version=version, MemberId="")
            a.beat()
            a.sync()
            a.leave()
            a.commit("as nobody", MemberId="", GenerationIdOrMemberEpoch=-1)
            a.fetch()
            a.forget()
            a.ask("", "DescribeGroups", 5, {"Groups": [name]})
            a.ask("", "ConsumerGroupDescribe", 1, {"GroupIds": [name]})
            a.modern_join()
            a.delete()
            a.leave("the first", [(a.member, None, None)])
            a.delete("once more")
    with Scenario(b, "a full group") as talk:
        everyone = [talk.member(name, 3) for name in "ACDEFG"]
        a, c, d, e, late, later = everyone
        a.join("", RebalanceTimeoutMs=1500)
        for member in (c, d, e):
            member.post_join("", RebalanceTimeoutMs=1500).waits()
        a.join("", RebalanceTimeoutMs=1500)
        for member in (c, d, e):
            member.take()
        late.join("one too many, completing")
        talk.member("N").join("one too many, with the newest version")
        for member in (c, d, e):
            member.post_sync("").waits()
        a.sync("", [(a.member, MINE)])
        for member in (c, d, e):
            member.take()
        late.join("one too many, stable")
        c.post_join("changed", RebalanceTimeoutMs=1500, protocols=[("range", subscription("one", user_data=b"changed"))]).waits()
        late.post_join("one too many, preparing", RebalanceTimeoutMs=1500).waits()
        a.post_join("", RebalanceTimeoutMs=1500).waits()
        d.post_join("", RebalanceTimeoutMs=1500).waits()
        later.join("even more, preparing")
        e.join("has to go")
        for member in (c, late, a, d):
            member.take()
        a.look("four of five")
        a.leave("all", [(member.member, None, None) for member in (a, c, d, late)])
        a.delete()
    with Scenario(b, "large protocols") as talk:
        a = talk.member("A")
        for size in (32_768, 1_048_000):
            a.enter(protocols=[("range", subscription("one", user_data=b"x" * size))])
            a.sync(f"{size} bytes for itself", [(a.member, b"y" * size)])
            a.beat()
        a.join("a thousand protocols", protocols=[(f"p{n}", b"") for n in range(1000)])
        a.sync("", ProtocolName="p0")
        a.join("an empty name", protocols=[("", b"1")])
        a.join("a long name", protocols=[("n" * 30_000, b"1")])
        a.join("a long reason", Reason="r" * 30_000)
        a.sync("the same member twice", [(a.member, b"1"), (a.member, b"2")])
        a.join("the same twice", protocols=[("range", b"1"), ("range", b"2")])
        a.leave("a long reason", [(a.member, None, "r" * 30_000)])
        a.delete()
    with Scenario(b, "a group larger than a record") as talk:
        a = talk.member("A")
        a.enter(protocols=[("range", subscription("one", user_data=b"x" * 1_048_576))])
        a.sync("", [(a.member, b"y")])
        a.look()
        a.beat()
        a.leave()
        a.delete()


def expiry(b):
    """Members that vanish: by session, by not coming back to a rebalance, by never syncing."""
    with Scenario(b, "a session ends") as talk:
        a = talk.member("A")
        a.enter(SessionTimeoutMs=SHORT_SESSION_MS)
        a.sync("", [(a.member, MINE)])
        a.look("stable")
        time.sleep(2 * SHORT_SESSION_MS / 1000)
        a.beat("late")
        a.look("expired")
        a.delete()
    with Scenario(b, "a pending member vanishes") as talk:
        a, c = talk.member("A"), talk.member("C")
        a.enter()
        a.sync("", [(a.member, MINE)])
        c.join("only asks for an id", SessionTimeoutMs=SHORT_SESSION_MS)
        a.post_join("waits for the pending one").waits()
        a.take()
        c.join("late")
        c.leave("a pending member")
        c.member = ""
        c.join("asks again")
        c.beat("pending")
        c.sync("pending")
        c.commit("pending")
        c.leave("still pending")
        c.join("after it left")
        a.leave()
        a.delete()
    with Scenario(b, "a member misses the rebalance") as talk:
        a, c = talk.member("A", 3), talk.member("C", 3)
        a.join("", RebalanceTimeoutMs=400)
        a.sync("", [(a.member, MINE)])
        c.post_join("", RebalanceTimeoutMs=400).waits().take()
        a.beat("too late")
        a.join("too late")
        c.sync("", [(c.member, MINE)])
        c.look()
        c.leave()
        c.delete()
    with Scenario(b, "a leader never syncs") as talk:
        a, c = talk.member("A", 3), talk.member("C", 3)
        a.join("", RebalanceTimeoutMs=500)
        c.post_join("", RebalanceTimeoutMs=500).waits()
        a.join("", RebalanceTimeoutMs=500)
        c.take()
        c.post_sync().take()
        c.beat("after the sync timed out")
        a.beat("after the sync timed out")
        c.join("", RebalanceTimeoutMs=500)
        c.look()
        c.sync("", [(c.member, MINE)])
        c.leave()
        c.delete()
    with Scenario(b, "a connection closes while its join waits") as talk:
        a, c = talk.member("A", 5), talk.member("C", 5, instance="ic")
        a.enter()
        c.post_join("never taken").waits().abandon()
        a.join()
        a.look()
        a.sync("", [(a.member, MINE)])
        a.leave("both", [(a.member, None, None), ("", "ic", None)])
        a.delete()


def leaves(b):
    """LeaveGroup of several members, of unknown ones, of the same one twice."""
    for step in range(6):
        with Scenario(b, f"leaves, step {step}") as talk:
            a, c = talk.member("A", 3), talk.member("C", 3)
            a.join()
            c.post_join("").waits()
            a.join()
            c.take()
            x = talk.member("X", step)
            x.leave("of nobody", [])
            x.leave("an unknown one", [("x", None, None)])
            x.leave("an unknown instance", [("", "i", None)])
            x.leave("both and one that is not there", [(a.member, None, "r"), ("x", None, None), (c.member, None, None)])
            x.leave("the same again, twice", [(a.member, None, None), (a.member, None, None)])
            x.leave("of an empty group", [(a.member, None, None), ("", "i", None)], GroupId="")
            x.leave("of an unknown group", [(a.member, None, None), ("", "i", None)], GroupId="no-such-group")
            x.leave("of nobody of an unknown group", [], GroupId="no-such-group")
            x.look()
            x.leave("the rest", [(c.member, None, None)])
            x.delete()


def unreadable(b):
    """Kafka never answers this join, and leaves its group as it is: so it is asked last."""
    with Scenario(b, "metadata that claims more than it has") as talk:
        a = talk.member("A")
        a.post_enter(protocols=[("range", b"\0\0\x7f\xff\xff\xff")]).waits().abandon()


def classic(b):
    for step in range(Versions.STEPS):
        one_member(b, step)
        two_members(b, step)
    strangers(b)
    protocols(b)
    bounds(b)
    expiry(b)
    leaves(b)
