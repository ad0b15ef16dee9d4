"""Static members (KIP-345): their replacement, their fencing, and the rebalances that they spare (KIP-814)."""

from .clients import Scenario
from .talk import assignment, subscription

MINE, YOURS = assignment(("one", [0])), assignment(("one", [1]))
OTHER = [("range", subscription("one", user_data=b"other"))]
FIRST_STEP = 5  # JoinGroup 5 is the first with an instance id.


def returning(b, step):
    """A static member comes back with and without its id, as leader and as follower, alike and changed."""
    with Scenario(b, f"static members, step {step}") as talk:
        a, c = talk.member("A", step, instance="ia"), talk.member("C", step, instance="ic")
        a.enter()
        a.sync("", [(a.member, MINE)])
        c.post_enter().waits()
        a.join("as leader")
        c.take()
        a.sync("", [(a.member, MINE), (c.member, YOURS)])
        c.sync()
        c.look("stable")
        old = talk.member("O", step, instance="ic")
        old.member, old.epoch = c.member, c.epoch
        c.member = ""
        c.enter(SessionTimeoutMs=20_000)
        old.beat("fenced")
        old.sync("fenced")
        old.join("fenced")
        old.commit("fenced")
        old.leave("fenced")
        c.beat("returned")
        c.sync("returned")
        c.commit("returned")
        a.beat("nothing happened")
        leader = talk.member("P", step, instance="ia")
        leader.member, leader.epoch = a.member, a.epoch
        a.member = ""
        a.enter()
        leader.beat("a fenced leader")
        a.sync("returned as leader", [(a.member, MINE), (c.member, YOURS)])
        a.look("after both returned")
        a.commit("after both returned")
        c.member = ""
        c.enter(protocols=OTHER)
        a.beat("a follower returned changed")
        a.post_join("as leader").waits()
        c.beat("the leader joins again")
        c.join("with its id", protocols=OTHER)
        a.take()
        a.sync("", [(a.member, YOURS), (c.member, MINE)])
        c.sync()
        c.join("again with its id", protocols=OTHER)
        c.sync("again with its id")
        x = talk.member("X", step)
        x.leave("an instance by the wrong member", [("wrong", "ic", None)])
        x.leave("an instance alone, and an unknown one", [("", "ic", "gone"), ("", "no", None)])
        a.beat("after a leave")
        a.join("alone")
        a.sync("alone", [(a.member, MINE)])
        x.leave("the last by its instance", [("", "ia", None)])
        x.look("empty")
        x.delete()


def waiting(b):
    """A second client with the same instance id while the first waits, in each phase."""
    with Scenario(b, "an instance twice, preparing") as talk:
        a, c, d = talk.member("A"), talk.member("C", instance="i"), talk.member("D", instance="i")
        a.enter()
        a.sync("", [(a.member, MINE)])
        c.post_enter().waits()
        d.post_enter()
        c.take()
        d.waits()
        a.join()
        d.take()
        d.post_sync("").waits()
        c.member, c.epoch = "", -1
        c.post_enter().waits()
        d.take()
        a.beat("the instance came again, completing")
        a.look("completing")
        a.join()
        c.take()
        a.sync("", [(a.member, MINE)])
        c.look()
        talk.member("X").leave("", [("", "i", None), (a.member, None, None)])
    with Scenario(b, "an instance with a wrong id") as talk:
        a, x = talk.member("A", instance="i"), talk.member("X", instance="i")
        a.enter()
        a.sync("", [(a.member, MINE)])
        x.join("a stranger's id", MemberId="stranger")
        x.join("no instance", MemberId=a.member, GroupInstanceId=None)
        x.join("another instance", MemberId=a.member, GroupInstanceId="j")
        x.beat("no instance", MemberId=a.member, GenerationId=a.epoch, GroupInstanceId=None)
        x.beat("another generation", MemberId=a.member, GenerationId=a.epoch + 1)
        x.beat("no member", MemberId="", GenerationId=a.epoch)
        x.sync("no member", MemberId="", GenerationId=a.epoch)
        x.commit("no member", MemberId="", GenerationIdOrMemberEpoch=a.epoch)
        x.commit("no instance", MemberId=a.member, GenerationIdOrMemberEpoch=a.epoch, GroupInstanceId=None)
        x.commit("an instance outside", MemberId="", GenerationIdOrMemberEpoch=-1)
        x.leave("another instance", [(a.member, "j", None)])
        x.leave("no instance", [(a.member, None, None)])
        x.look("left")
        x.delete()
    for instance in ("", "a b", "i" * 250, "\u00e9"):
        with Scenario(b, f"an instance named {ascii(instance[:9])}") as talk:
            a = talk.member("A", instance=instance)
            a.enter()
            a.sync("", [(a.member, MINE)])
            a.beat()
            a.look()
            a.leave()
            a.delete()
    with Scenario(b, "a pending id becomes static") as talk:
        a = talk.member("A")
        a.join("asks for an id")
        a.join("comes as an instance", GroupInstanceId="i")
        a.leave()
        a.delete()


def absent(b):
    """A static member that does not come to a rebalance stays until its session ends."""
    with Scenario(b, "an absent static member") as talk:
        a, c = talk.member("A", instance="ia"), talk.member("C")
        a.enter(RebalanceTimeoutMs=300)
        a.sync("", [(a.member, MINE)])
        c.post_enter(RebalanceTimeoutMs=300).waits()
        c.take()
        c.look("completing")
        c.sync("", [(c.member, MINE)])
        c.look("one is absent")
        a.beat("absent")
        a.sync("absent")
        c.leave()
        c.look("only the absent one")
        a.leave()
        a.delete()


def static(b):
    for step in range(FIRST_STEP, 10):
        returning(b, step)
    waiting(b)
    absent(b)
