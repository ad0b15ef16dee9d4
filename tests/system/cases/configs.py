"""Configs: describing and altering, every resource type."""

import time

from .common import BROKER_CONFIGS
from .values import BAD_VALUES


LONG = "x" * 40_000
TYPES = {1: "any", 3: "three", 4: "broker", 8: "logger", 16: "client metrics", 32: "group", 64: "sixty-four", -1: "minus one"}


def describe(kind, name, keys=None, **more):
    return {"Resources": [{"ResourceType": kind, "ResourceName": name, "ConfigurationKeys": keys}], **more}


def incremental(name, *changes, kind=2, validate=False):
    return {"ValidateOnly": validate, "Resources": [{"ResourceType": kind, "ResourceName": name, "Configs": [
        {"Name": k, "ConfigOperation": op, "Value": v} for k, op, v in changes]}]}


def full(name, configs, validate=False, kind=2):
    return {"ValidateOnly": validate, "Resources": [{"ResourceType": kind, "ResourceName": name, "Configs": [
        {"Name": k, "Value": v} for k, v in configs]}]}


def describing(b):
    b.make("conf", 1, {"retention.ms": "5000", "cleanup.policy": "compact"})
    for version in range(1, 5):
        b.ask(f"DescribeConfigs v{version}", "DescribeConfigs", version, describe(2, "conf", IncludeSynonyms=True))
        b.ask(f"DescribeConfigs v{version}, wrong ones", "DescribeConfigs", version, {"Resources": [
            {"ResourceType": 2, "ResourceName": name, "ConfigurationKeys": None} for name in ("missing", "a b", "conf")]})
        b.ask(f"DescribeConfigs v{version}, one key", "DescribeConfigs", version, describe(2, "conf", ["retention.ms"]))
    b.ask("DescribeConfigs of defaults", "DescribeConfigs", 4, describe(2, "meta", IncludeSynonyms=True))
    b.ask("DescribeConfigs with documentation", "DescribeConfigs", 4, describe(2, "meta", IncludeDocumentation=True))
    b.ask("DescribeConfigs without synonyms", "DescribeConfigs", 4, describe(2, "conf"))
    b.ask(BROKER_CONFIGS, "DescribeConfigs", 4, describe(4, str(b.node), IncludeSynonyms=True))
    for label, request in {
        "two keys": describe(2, "conf", ["retention.ms", "no.such.key"]), "no keys": describe(2, "conf", []), "an unknown key": describe(2, "conf", ["no.such"]),
        "a key twice": describe(2, "conf", ["retention.ms"] * 2), "an empty key": describe(2, "conf", [""]), "missing topic": describe(2, "missing"),
        "empty topic name": describe(2, ""), "bad topic name": describe(2, "a b"), "the metadata topic": describe(2, "__cluster_metadata"),
        "another broker": describe(4, "99"), "broker with a bad name": describe(4, "x"), "broker -1": describe(4, "-1"), "all brokers": describe(4, "", ["message.max.bytes"]),
        "unknown type": describe(77, "x"), "type 0": describe(0, "x"), "unknown type beside a topic": {"Resources": [
            *describe(2, "conf", ["retention.ms"])["Resources"], *describe(77, "x")["Resources"]]},
        "twice": {"Resources": [{"ResourceType": 2, "ResourceName": "conf", "ConfigurationKeys": ["retention.ms"]}] * 2},
        "one key of the broker": describe(4, str(b.node), ["log.retention.ms"], IncludeSynonyms=True), "no resources": {"Resources": []},
    }.items():
        b.ask(f"DescribeConfigs, {label}", "DescribeConfigs", 4, request)
    for kind, label in TYPES.items():
        for name in ("", "x", str(b.node), "99"):
            if kind != 4:
                shown = "own" if name == str(b.node) else repr(name)
                b.ask(f"DescribeConfigs of type {label}, name {shown}", "DescribeConfigs", 4, describe(kind, name))


def altering(b):
    for version in range(2):
        b.ask(f"IncrementalAlterConfigs v{version}", "IncrementalAlterConfigs", version, incremental("conf", ("segment.ms", 0, str(60000 + version))))
        b.ask(f"IncrementalAlterConfigs v{version}, missing topic", "IncrementalAlterConfigs", version, incremental("missing", ("segment.ms", 0, "60000")))
    b.settle(lambda: b.config("conf", "segment.ms") == "60001")
    good = incremental("conf", ("segment.ms", 0, "65000"))["Resources"]
    for label, request in {
        "missing topic": incremental("missing", ("retention.ms", 0, "1")), "bad topic name": incremental("a b", ("retention.ms", 0, "1")),
        "empty topic name": incremental("", ("retention.ms", 0, "1")), "append to a list": incremental("conf", ("cleanup.policy", 2, "delete")),
        "append what is there": incremental("conf", ("cleanup.policy", 2, "delete")), "append two": incremental("conf", ("cleanup.policy", 2, "compact,delete")),
        "append nonsense": incremental("conf", ("cleanup.policy", 2, "maybe")), "append nothing": incremental("conf", ("cleanup.policy", 2, "")),
        "subtract": incremental("conf", ("cleanup.policy", 3, "delete")), "subtract what is not there": incremental("conf", ("cleanup.policy", 3, "delete")),
        "subtract everything": incremental("conf", ("cleanup.policy", 3, "compact")), "set it again": incremental("conf", ("cleanup.policy", 0, "compact")),
        "append to an unset list": incremental("defaults", ("cleanup.policy", 2, "compact"), validate=True),
        "throttled replicas": incremental("conf", ("leader.replication.throttled.replicas", 0, "0:1"), validate=True),
        "subtract from a number": incremental("conf", ("retention.ms", 3, "1")), "append to a number": incremental("conf", ("retention.ms", 2, "1")),
        "append to an unknown key": incremental("conf", ("no.such", 2, "1")), "null value": incremental("conf", ("retention.ms", 0, None)),
        "append null": incremental("conf", ("cleanup.policy", 2, None)), "operation 9": incremental("conf", ("retention.ms", 9, "1")),
        "operation -1": incremental("conf", ("retention.ms", -1, "1")), "delete with a value": incremental("conf", ("segment.bytes", 1, "17")),
        "delete what is not set": incremental("conf", ("segment.bytes", 1, None)), "delete unknown": incremental("conf", ("no.such", 1, None)),
        "the same key twice": incremental("conf", ("retention.ms", 0, "1"), ("retention.ms", 0, "2")), "empty key": incremental("conf", ("", 0, "x")),
        "set and delete one key": incremental("conf", ("retention.ms", 0, "1"), ("retention.ms", 1, None)),
        "no changes": incremental("conf"), "no changes to a missing topic": incremental("missing"), "unknown type": incremental("x", ("a", 0, "b"), kind=77),
        "type 0": incremental("x", ("a", 0, "b"), kind=0), "one good, one bad": incremental("conf", ("segment.ms", 0, "70000"), ("retention.ms", 0, "soon")),
        "two resources, one bad": {"Resources": [*good, *incremental("missing", ("retention.ms", 0, "1"))["Resources"]]},
        "a resource twice": {"Resources": good * 2}, "no resources": {"Resources": []}, "a long value": incremental(
            "conf", ("leader.replication.throttled.replicas", 0, LONG)), "a long list": incremental("conf", ("leader.replication.throttled.replicas", 0, "0:1," * 10000 + "0:1")),
        "an internal topic": incremental("__cluster_metadata", ("retention.ms", 0, "1")),
        "only validated": incremental("conf", ("segment.ms", 0, "80000"), validate=True), "only validated, bad": incremental("conf", ("segment.ms", 0, "x"), validate=True),
        "only validated, missing topic": incremental("missing", ("segment.ms", 0, "1"), validate=True),
    }.items():
        b.ask(f"IncrementalAlterConfigs, {label}", "IncrementalAlterConfigs", 1, request)
        time.sleep(0.05)
    for key, value in BAD_VALUES.items():
        b.ask(f"IncrementalAlterConfigs, bad {key}", "IncrementalAlterConfigs", 1, incremental("conf", (key, 0, value), validate=True))
    b.ask("DescribeConfigs after the changes", "DescribeConfigs", 4, describe(2, "conf", IncludeSynonyms=True))
    for version in range(3):
        b.ask(f"AlterConfigs v{version}", "AlterConfigs", version, full("conf", [("segment.ms", str(90000 + version))]))
        b.ask(f"AlterConfigs v{version}, missing topic", "AlterConfigs", version, full("missing", [("segment.ms", "90000")]))
    good = full("conf", [("segment.ms", "90002")])["Resources"]
    # Not asked here: a resource twice. Kafka never answers such a request.
    for label, request in {
        "missing topic": full("missing", []), "bad value": full("conf", [("retention.ms", "soon")]), "unknown key": full("conf", [("no.such", "1")]),
        "the same key twice": full("conf", [("retention.ms", "1"), ("retention.ms", "2")]), "null value": full("conf", [("retention.ms", None)]),
        "unknown type": full("x", [("a", "b")], kind=77), "type 0": full("x", [("a", "b")], kind=0), "empty topic name": full("", [("retention.ms", "1")]),
        "bad topic name": full("a b", [("retention.ms", "1")]), "empty key": full("conf", [("", "1")]), "two resources, one bad": {"Resources": [*good, *full("missing", [])["Resources"]]}, "no resources": {"Resources": []},
        "a long value": full("conf", [("leader.replication.throttled.replicas", "0:1," * 10000 + "0:1")]), "an internal topic": full("__cluster_metadata", []),
        "only validated": full("conf", [("segment.ms", "123456")], True), "only validated, bad": full("conf", [("segment.ms", "x")], True),
    }.items():
        b.ask(f"AlterConfigs, {label}", "AlterConfigs", 2, request)
    b.settle(lambda: b.config("conf", "segment.ms") == "90002")
    b.ask("DescribeConfigs after the full alter", "DescribeConfigs", 4, describe(2, "conf", IncludeSynonyms=True))
    for kind, label in TYPES.items():
        for name in ("", "x", "99"):
            b.ask(f"IncrementalAlterConfigs of type {label}, name {name!r}", "IncrementalAlterConfigs", 1, incremental(name, ("no.such", 0, "1"), kind=kind, validate=True))
            b.ask(f"AlterConfigs of type {label}, name {name!r}", "AlterConfigs", 2, full(name, [("no.such", "1")], True, kind=kind))


def brokers(b):
    """Configs of the broker itself and of all brokers: validated, set, seen, taken back."""
    own = str(b.node)
    for where, name in (("own", own), ("all", "")):
        for label, change in {
            "a size": ("message.max.bytes", 0, "900000"), "a bad size": ("message.max.bytes", 0, "x"), "a negative size": ("message.max.bytes", 0, "-1"),
            "a read-only key": ("node.id", 0, "7"), "the directories": ("log.dirs", 0, "/tmp"), "append to a list": ("log.cleanup.policy", 2, "compact"),
            "append to a number": ("message.max.bytes", 2, "1"), "append to an unknown key": ("no.such", 2, "1"), "null": ("message.max.bytes", 0, None),
            "operation 9": ("message.max.bytes", 9, "1"), "delete what is not set": ("message.max.bytes", 1, None), "retention": ("log.retention.ms", 0, "3600000"),
            "bad retention": ("log.retention.ms", 0, "-7"), "a topic's name for it": ("retention.ms", 0, "3600000"),
        }.items():
            b.ask(f"IncrementalAlterConfigs of the broker ({where}), {label}", "IncrementalAlterConfigs", 1, incremental(name, change, kind=4, validate=True))
        b.ask(f"AlterConfigs of the broker ({where})", "AlterConfigs", 2, full(name, [("message.max.bytes", "900000")], True, kind=4))
        b.ask(f"AlterConfigs of the broker ({where}), bad", "AlterConfigs", 2, full(name, [("message.max.bytes", "x")], True, kind=4))
        b.ask(f"AlterConfigs of the broker ({where}), read-only", "AlterConfigs", 2, full(name, [("node.id", "7")], True, kind=4))
    seen = lambda value: b.settle(lambda: b.connection.request("DescribeConfigs", 4, describe(2, "conf", ["max.message.bytes"]))[
        "Results"][0]["Configs"][0]["Value"] == value)
    for label, name, change, value in [
        ("set for all", "", ("message.max.bytes", 0, "900000"), "900000"), ("set for this one", own, ("message.max.bytes", 0, "800000"), "800000"),
        ("taken back from this one", own, ("message.max.bytes", 1, None), "900000"), ("taken back from all", "", ("message.max.bytes", 1, None), "1048588"),
    ]:
        b.ask(f"IncrementalAlterConfigs, a broker's config {label}", "IncrementalAlterConfigs", 1, incremental(name, change, kind=4))
        seen(value)
        b.ask(f"DescribeConfigs of the topic after it is {label}", "DescribeConfigs", 4, describe(2, "conf", ["max.message.bytes"], IncludeSynonyms=True))
        b.ask(f"DescribeConfigs of the broker after it is {label}", "DescribeConfigs", 4, describe(4, own, ["message.max.bytes"], IncludeSynonyms=True))
        b.ask(f"DescribeConfigs of all brokers after it is {label}", "DescribeConfigs", 4, describe(4, "", ["message.max.bytes"], IncludeSynonyms=True))


def groups(b):
    """Configs of single groups: set, seen, listed, taken back."""
    for label, changes in {
        "a timeout": [("consumer.session.timeout.ms", 0, "50000")], "both": [("consumer.session.timeout.ms", 0, "46000"), ("consumer.heartbeat.interval.ms", 0, "6000")],
        "too short": [("consumer.session.timeout.ms", 0, "44999")], "too long": [("consumer.session.timeout.ms", 0, "60001")], "too often": [("consumer.heartbeat.interval.ms", 0, "4999")],
        "too rare": [("consumer.heartbeat.interval.ms", 0, "15001")], "no number": [("consumer.session.timeout.ms", 0, "soon")], "unknown": [("no.such", 0, "1")],
        "append": [("consumer.session.timeout.ms", 2, "1")], "null": [("consumer.session.timeout.ms", 0, None)], "delete unknown": [("no.such", 1, None)],
        "delete what is not set": [("consumer.session.timeout.ms", 1, None)],
    }.items():
        b.ask(f"IncrementalAlterConfigs of group g, {label}", "IncrementalAlterConfigs", 1, incremental("g", *changes, kind=32, validate=True))
    b.ask("AlterConfigs of group g", "AlterConfigs", 2, full("g", [("consumer.session.timeout.ms", "50000")], True, kind=32))
    b.ask("AlterConfigs of group g, bad", "AlterConfigs", 2, full("g", [("consumer.session.timeout.ms", "1")], True, kind=32))
    source = lambda value: b.settle(lambda: next(config for config in b.connection.request("DescribeConfigs", 4, describe(32, "g"))["Results"][0]["Configs"]
                                                 if config["Name"] == "consumer.session.timeout.ms")["ConfigSource"] == value)
    b.ask("DescribeConfigs of group g, unset", "DescribeConfigs", 4, describe(32, "g", IncludeSynonyms=True))
    b.ask("IncrementalAlterConfigs of group g", "IncrementalAlterConfigs", 1, incremental("g", ("consumer.session.timeout.ms", 0, "50000"), kind=32))
    source(8)
    b.ask("DescribeConfigs of group g, set", "DescribeConfigs", 4, describe(32, "g", IncludeSynonyms=True))
    b.ask("ListConfigResources, groups", "ListConfigResources", 1, {"ResourceTypes": [32]})
    b.ask("IncrementalAlterConfigs of group g, back", "IncrementalAlterConfigs", 1, incremental("g", ("consumer.session.timeout.ms", 1, None), kind=32))
    source(5)


def listing(b):
    for version in range(2):
        b.ask(f"ListConfigResources v{version}, topics", "ListConfigResources", version, {"ResourceTypes": [2]} if version else {})
    for types in ([4], [8], [16], [32], [99], [0], [2, 2], [2, 99], [-1], [2, 4, 16, 32]):
        b.ask(f"ListConfigResources, types {types}", "ListConfigResources", 1, {"ResourceTypes": types})
