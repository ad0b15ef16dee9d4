"""Classic and modern members in one group: conversion of empty groups, upgrade, downgrade."""

import time

from .clients import Scenario
from .talk import assignment, subscription

SIX = [("range", subscription("six"))]


def owning(*partitions, version=3, generation=-1):
    """What a classic consumer says of itself from version 1 of its subscription on."""
    return [("range", subscription("six", version=version, owned=[("six", list(partitions))] if partitions else [], generation=generation))]


def empty(b):
    """A group without members takes the kind of the next one that joins."""
    with Scenario(b, "an empty group changes its kind") as talk:
        a, m = talk.member("A"), talk.member("M")
        a.enter(protocols=SIX)
        a.commit("", [("six", {0: (5, 0, "kept")})], GenerationIdOrMemberEpoch=-1, MemberId="")
        a.leave()
        m.modern_join(topics=["six"])
        m.look("became modern", "consumer")
        m.fetch("became modern", None)
        m.modern("leaves", -1)
        m.look("empty, modern", "consumer")
        a.member, a.epoch = "", -1
        a.join("became classic", protocols=SIX)
        # Kafka describes what is committed: once, right behind the answer, it knew no such group yet.
        time.sleep(0.5)
        a.look("became classic", "consumer")
        a.join("with the id", protocols=SIX)
        a.fetch("became classic", None)
        a.leave()
        a.delete()
    with Scenario(b, "only offsets") as talk:
        m = talk.member("M")
        m.commit("standalone", MemberId="", GenerationIdOrMemberEpoch=-1)
        m.look("before", "consumer")
        m.modern_join()
        m.look("joined", "consumer")
        m.fetch("joined", None)
        m.modern("leaves", -1)
        m.delete()


def upgrade(b, subscription_version):
    """A modern member joins a classic group that is stable, and the other way round at the end."""
    with Scenario(b, f"upgrade, subscription v{subscription_version}") as talk:
        a, m = talk.member("A"), talk.member("M")
        plain = owning(version=subscription_version)
        a.enter(protocols=plain)
        a.sync("", [(a.member, assignment(("six", range(6)), version=subscription_version))])
        m.modern_join(topics=["six"])
        m.look("upgraded", "consumer")
        a.beat("is told to join again")
        a.commit("upgraded", [("six", {0: (5, 0, "")})])
        a.commit("upgraded, the newest version", [("six", {0: (5, 0, "")})], api_version=10)
        a.sync("before it joined again")
        m.modern("still nothing")
        a.join("owning all", protocols=owning(*range(6), version=subscription_version, generation=a.epoch))
        a.beat("joined")
        a.sync("joined")
        a.beat("synced")
        a.look("synced", "consumer")
        kept = [p for topic in a.target() for p in topic["Partitions"]]
        a.join("gave back", protocols=owning(*kept, version=subscription_version, generation=a.epoch))
        a.sync("gave back")
        a.sync("again")
        m.modern("gets its own")
        m.look("stable", "consumer")
        a.beat("stable")
        a.commit("stable", [("six", {0: (6, 0, "")})])
        a.commit("an old generation", [("six", {0: (6, 0, "")})], GenerationIdOrMemberEpoch=a.epoch - 1)
        a.beat("an old generation", GenerationId=a.epoch - 1)
        a.beat("a new generation", GenerationId=a.epoch + 1)
        a.sync("an old generation", GenerationId=a.epoch - 1)
        a.sync("another type", ProtocolType="connect")
        a.sync("another name", ProtocolName="sticky")
        a.join("the same again", protocols=owning(*kept, version=subscription_version, generation=a.epoch))
        a.sync("the same again")
        m.modern("leaves", -1)
        a.look("downgraded", "consumer")
        a.beat("downgraded")
        a.join("downgraded", protocols=plain)
        a.sync("downgraded", [(a.member, assignment(("six", range(6))))])
        a.look("classic again", "consumer")
        a.leave()
        a.delete()


def refused(b):
    """Groups that cannot change their kind."""
    for label, kind, metadata in (("of another type", "connect", b""), ("with metadata that cannot be read", "consumer", b"\0"), ("with an empty subscription", "consumer", subscription())):
        with Scenario(b, f"a classic group {label}") as talk:
            a, m = talk.member("A"), talk.member("M")
            a.enter(ProtocolType=kind, protocols=[("range", metadata)])
            a.sync("", [(a.member, b"")], ProtocolType=kind)
            m.modern_join(topics=["six"])
            a.beat()
            m.look("", "consumer")
            m.modern("goes on", 1)
            m.modern("leaves", -1)
            a.leave()
            a.delete()
    for label, given in (("with user data in its assignment", assignment(("six", range(6)), user_data=b"mine")), ("with an assignment that cannot be read", b"\0"),
                         ("with topics that are not there", assignment(("no-such", [0]), ("six", [0, 99]))), ("with an assignment of a newer version", assignment(("six", [0]), version=9))):
        with Scenario(b, f"a classic group {label}") as talk:
            a, m = talk.member("A"), talk.member("M")
            a.enter(protocols=SIX)
            a.sync("", [(a.member, given)])
            m.modern_join(topics=["six"], ServerAssignor="range")
            m.look("", "consumer")
            a.beat()
            a.leave()
            m.modern("leaves", -1)
            a.delete()
    with Scenario(b, "a classic group that is rebalancing") as talk:
        a, m = talk.member("A"), talk.member("M")
        a.enter(protocols=SIX)
        m.modern_join(topics=["six"], ServerAssignor="range")
        m.look("upgraded", "consumer")
        a.sync("", [(a.member, assignment(("six", range(6))))])
        a.beat()
        a.join("again", protocols=SIX)
        a.sync("again")
        a.leave()
        m.modern("leaves", -1)
        a.delete()
    with Scenario(b, "a classic group with a waiting join") as talk:
        a, c, m = talk.member("A"), talk.member("C"), talk.member("M")
        a.enter(protocols=SIX)
        a.sync("", [(a.member, assignment(("six", range(6))))])
        c.post_enter(protocols=SIX).waits()
        m.modern_join(topics=["six"], ServerAssignor="range")
        c.take()
        a.beat()
        for member in (a, c):
            member.leave()
        m.modern("leaves", -1)
        m.delete()


def joining(b):
    """Classic members that join a modern group."""
    with Scenario(b, "classic joins modern") as talk:
        m, a, x = talk.member("M"), talk.member("A"), talk.member("X")
        m.modern_join(topics=["six"])
        m.owning("owns all", {"six": range(6)})
        x.join("of another type", ProtocolType="connect", protocols=SIX)
        x.join("no protocols", protocols=[])
        x.join("metadata that cannot be read", protocols=[("range", b"")])
        x.join("metadata that cannot be read, with an id", protocols=[("range", b"\0\0\0\0\0\1")], MemberId="x")
        x.join("asks for an id", protocols=SIX, MemberId="")
        x.member, x.epoch = "", -1
        a.join("with an id of its own", protocols=owning(), MemberId="id-of-A")
        a.look("joined", "consumer")
        a.sync("nothing yet")
        a.beat("nothing yet")
        m.modern("is told")
        m.owning("gave back", {"six": (0, 1, 2)})
        a.beat("something is there")
        a.join("again", protocols=owning(generation=a.epoch))
        a.sync("gets its own")
        a.beat("synced")
        m.look("stable", "consumer")
        x.join("with an id of its own", protocols=[("sticky", subscription("six"))], MemberId="id-of-X")
        x.beat("a stranger", MemberId="stranger", GenerationId=1)
        x.sync("a stranger", MemberId="stranger", GenerationId=1)
        x.leave("a stranger", [("stranger", None, None), ("", "no", None)])
        a.forget("what it reads", [("six", (0,)), ("one", (0,))])
        a.modern("a classic member sends a modern heartbeat", a.epoch)
        m.join("a modern member joins as classic", protocols=owning(0, 1, 2, generation=m.epoch))
        m.look("the kinds changed", "consumer")
        for version in (0, 5, 9):
            x.join("in each version", protocols=SIX, api_version=version, MemberId=f"id-{version}")
        x.leave("all", [(member, None, None) for member in ("id-of-A", "id-of-M", "id-of-X", "id-0", "id-5", "id-9")])
        m.modern("leaves", -1, MemberId="id-of-M")
        m.look("empty", "consumer")
        m.delete()
    with Scenario(b, "static members change their kind") as talk:
        m, a = talk.member("M", instance="i"), talk.member("A", instance="i")
        keeper = talk.member("K")
        keeper.modern_join(topics=["one"])
        m.modern_join(topics=["six"])
        m.owning("owns all", {"six": range(6)})
        a.join("while the first is there", protocols=owning())
        m.modern("leaves for a while", -2)
        a.member = ""
        a.join("returns as classic", protocols=owning())
        a.sync("returns as classic")
        a.look("returned as classic", "consumer")
        m.modern("the old id", 2, MemberId="id-of-M")
        m.member, m.epoch = "", -1
        m.modern_join("while the classic one is there", topics=["six"])
        a.leave("", [("", "i", None)])
        m.modern_join("after it left", topics=["six"])
        m.modern("leaves", -1)
        keeper.modern("leaves", -1)
        keeper.look("empty", "consumer")
        keeper.delete()


def mixed(b):
    empty(b)
    for version in range(4):
        upgrade(b, version)
    refused(b)
    joining(b)
