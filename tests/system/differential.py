"""Asks Apache Kafka and the broker under test the same, and compares every decoded field.

What is made comparable first: random ids, addresses, node ids, times of the brokers' own
clocks, texts of error messages (only their presence counts). What may differ is listed in
ALLOWED, each with its reason; an entry that no longer matches any difference is reported,
so the list cannot rot.
"""

import argparse
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import cases  # noqa: E402
import errors  # noqa: E402
import batches  # noqa: E402
import wire  # noqa: E402

# APIs that Kafka has and Watershed does not serve yet (nor advertise).
NOT_YET = {
    "sasl": [17, 36],
    "transactions": [24, 25, 26, 27, 28, 65, 66],
    "quotas, scram, reassignments, elections, delegation tokens": [34, 38, 39, 40, 41, 43, 45, 46, 48, 49, 50, 51],
    "telemetry": [71, 72],
    "share and streams groups": [76, 77, 78, 79, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92],
    "controller and raft": [52, 53, 54, 56, 58, 59, 62, 63, 67, 70, 73, 80, 81, 82, 64],
}

# (case, path of the field, reason): both are regular expressions over the whole text.
ALLOWED = [
    (cases.BROKER_CONFIGS, r".Results\[0\].Configs\[(listeners|advertised.listeners|log.dirs?|node.id|broker.id|"
     r"controller.*|listener.security.protocol.map|process.roles|inter.broker.*|.*replication.factor|.*min.isr)\].*",
     "each broker's own address, place and roles"),
    (cases.BROKER_CONFIGS, r".Results\[0\].Configs\[.*\].ReadOnly",
     "read-only unless kafka-configs can change it: fewer keys are dynamic so far"),
    (r"ApiVersions v.*", r".ApiKeys\[(%s)\].*" % "|".join(str(k) for ks in NOT_YET.values() for k in ks),
     "an API is advertised when it does its work"),
    (r"ApiVersions v[34].*", r".(SupportedFeatures|FinalizedFeatures).*",
     "features are finalized as they are built; the names that both have are checked by the clients"),
    (r".*", r".*\[min.insync.replicas\](.ConfigSource|.Synonyms.*)?",
     "Kafka 4.2 sets a cluster default for this key as part of its ELR feature"),
    (r"AlterConfigs of (the broker \(all\)|type broker, name '')", r".*", "Kafka refuses to replace the defaults of all brokers by less than that key"),
    (r"Metadata creates .*", r".Topics\[.*", "Watershed answers when the topic is there or cannot be, Kafka says 3 and lets the client ask again"),
    (r".*", r".*.Configs\[watershed\.[a-z.]+\]", "topic configs of our own"),
    (r"DescribeQuorum.*", r".*(LogEndOffset|HighWatermark|LastFetchTimestamp|LastCaughtUpTimestamp|LeaderEpoch|ReplicaDirectoryId).*",
     "the metadata logs are different logs"),
    (r"DescribeQuorum.*", r".Nodes\[.*", "the controller's listeners are an inner matter of each broker"),
    (r"(DeleteRecords|DescribeLogDirs|ListOffsets|Produce),? (a |one )?(partition|topic) twice", r".*", "named twice, answered twice; Kafka folds the request, and of two batches drops the first unsaid"),
    (r"CreateTopics, colliding in one request", r".*", "Kafka compares a new name only with those of older topics"),
    (r"(Describe|Create|Delete)Acls v., .* (0|1|99)", r".*", "no authorizer is no authorizer; Kafka closes the connection over a rule that it cannot read"),
    (r"(InitProducerId in|FindCoordinator of) a transaction.*", r".*", "a transactional client is told at once, and for good, that there is no coordinator yet"),
    (r"Produce, timeout .*", r".*", "answered when the batch is on the disk, for which these clients do not wait"),
    (r"Produce, (append time by the client|equal deltas|delta 3 alone|negative delta)", r".*",
     "Kafka stores uncompressed records with offsets and times of the client's choice; ours refuses them"),
    (r".*Config.*(of type (client metrics|logger)|types \[8\]).*", r".*", "metrics subscriptions and loggers have configs when they are there"),
    (r"DescribeConfigs of the broker", r".*\[group.coordinator.rebalance.protocols\].*", "streams groups are not served"),
    (r"DescribeConfigs of (type )?group.*", r".*.Configs\[(share|streams)\..*", "share and streams groups are not served"),
    (r"metadata that claims more than it has: .*", r".*", "Kafka never answers the join; to ours it is metadata that cannot be read"),
    (r"OffsetDelete: .* a topic twice", r".Topics", "named twice, answered once; Kafka's commits are folded in the same way"),
    (r"expressions: .*\(\(a\{100\}\)\{100\}\)\{100\}", r".*", "an expression that explodes is refused by its compiled size; Kafka compiles it"),
    (r"(expressions|an expression changes): .*", r".*(Epoch|Assignment|TargetAssignment|Members).*",
     "ours looks an expression up at once, Kafka a moment later: the group is one epoch ahead, and the first answer has no topics"),
    (r"IncrementalAlterConfigs, throttled replicas", r".*", "there is no replication to throttle yet"),
    (r"IncrementalAlterConfigs .*broker.*(bad retention|a topic's name for it|name '')", r".*",
     "Kafka keeps keys and values of a broker that it does not know, ours refuses them"),
]

# Fields by which the elements of an array are told apart.
KEYS = ("Name", "ApiKey", "ProducerId", "Topic", "TopicName", "TopicId", "PartitionIndex", "Partition", "Index")
MEMBER_IDS = ("MemberId", "Leader")
# UNKNOWN_SERVER_ERROR
ACCIDENT = -1


def error_text(value):
    return "<text>" if value else None


def unordered(key, item):
    """Whether an array with this element has the order of Kafka's hash maps: groups, members, what they read and own."""
    if isinstance(item, dict):
        return ("GroupId" in item and "Topics" not in item or "MemberId" in item and not {"ClientId", "Metadata"}.isdisjoint(item)
                or key == "TopicPartitions")
    return key == "SubscribedTopicNames" or key == "Partitions" and isinstance(item, int)


class Normalizer:
    """Makes one broker's replies comparable with the other's."""

    def __init__(self, broker):
        self.broker = broker
        self.node = broker.node

    def value(self, key, value):
        if isinstance(value, str) and key in MEMBER_IDS and value:
            return self.member(value)
        if isinstance(value, dict):
            if "ProducerId" in value and "ThrottleTimeMs" in value:  # InitProducerId: an id that nobody has had.
                value = {**value, "ProducerId": min(value["ProducerId"], 1)}
            return {k: self.value(k, v) for k, v in value.items()}
        if key in ("Records",):
            return self.records(value)
        if isinstance(value, list):
            return self.array(key, [self.value(key, v) for v in value])
        if key in ("ErrorMessage", "BatchIndexErrorMessage", "Documentation"):
            return error_text(value)
        if key in ("TopicId",):
            return self.topic_id(value)
        if key == "ClusterId":
            return "<cluster>" if value else value
        if key in ("Host", "Port", "LogDir"):
            return f"<{key}>"
        if key in ("NodeId", "BrokerId", "LeaderId", "ControllerId", "ReplicaNodes", "IsrNodes", "ReplicaId") and value == self.node:
            return "<node>"
        if key in ("TotalBytes", "UsableBytes", "FinalizedFeaturesEpoch", "SessionId", "LogAppendTimeMs", "LastTimestamp"):
            return value if value in (-1, 0) else "<positive>" if isinstance(value, int) and value > 0 else value
        if key == "ResourceName" and value == str(self.node):
            return "<node>"
        return value

    def topic_id(self, value):
        if value == cases.NO_ID or value == cases.UNKNOWN_ID:
            return value
        return f"<id of {self.broker.ids.get(value, 'a topic')}>"

    def member(self, value):
        """Its name; an id that no answer has brought shows only what it was made from."""
        made = cases.MADE_BY_BROKER.fullmatch(value)
        return self.broker.members.get(value, f"<{made[1]}id>" if made and made[1] else value)

    @staticmethod
    def array(key, items):
        """Arrays whose order means nothing are sorted; those with a natural key become maps of it."""
        if items and all(isinstance(i, dict) and "LogDir" in i for i in items):
            # Ours has a directory per storage backend: those without a topic asked for say nothing.
            return [i for i in items if i["Topics"]] or items[:1]
        if items and unordered(key, items[0]):
            items = sorted(items, key=lambda item: json.dumps(item, sort_keys=True, default=str))
        for name in (("ResourceName",) if key == "ConfigResources" else ()) + KEYS:
            if items and all(isinstance(i, dict) and name in i for i in items):
                labels = [str(i[name]) for i in items]
                if len(set(labels)) == len(labels) and name != "Value":
                    return dict(sorted(zip(labels, items)))
        return items

    @staticmethod
    def records(value):
        if not isinstance(value, bytes) or not value:
            return "<empty>" if value == b"" else value
        try:
            out = []
            for b in batches.parse(value):
                time = "<append time>" if b.log_append_time else None
                out.append({"base": b.base_offset, "codec": b.codec, "append_time": b.log_append_time, "control": b.control,
                            "producer": [b.producer_id, b.producer_epoch, b.base_sequence], "leader_epoch": b.leader_epoch,
                            "max_timestamp": time or b.max_timestamp,
                            "records": [[r.offset, time or r.timestamp, str(r.key), str(r.value), str(r.headers)] for r in b.records]})
            return out
        except Exception as error:
            return f"unreadable records: {type(error).__name__}: {error}"


def differences(ours, kafka, path=""):
    """Yields (path, ours, kafka) for every leaf that differs."""
    if isinstance(ours, dict) and isinstance(kafka, dict):
        if kafka.get("ErrorCode") == ACCIDENT:
            return  # Kafka's own code failed unexpectedly: there is nothing to follow.
        for key in sorted(set(ours) | set(kafka), key=str):
            # Members that came from an array with a key are shown as [key], fields as .Field.
            if key in ("ErrorMessage", "BatchIndexErrorMessage") and kafka.get(key) in (None, "") and ours.get(key):
                continue  # Watershed says why where Kafka says nothing.
            step = f".{key}" if re.fullmatch(r"[A-Z][A-Za-z]*", str(key)) else f"[{key}]"
            if key not in ours:
                yield f"{path}{step}", "<absent>", kafka[key]
            elif key not in kafka:
                yield f"{path}{step}", ours[key], "<absent>"
            else:
                yield from differences(ours[key], kafka[key], path + step)
    elif isinstance(ours, list) and isinstance(kafka, list) and len(ours) == len(kafka):
        for index, (a, b) in enumerate(zip(ours, kafka)):
            yield from differences(a, b, f"{path}[{index}]")
    elif ours != kafka:
        yield path, ours, kafka


def allowed(case, path, used):
    for index, (case_pattern, path_pattern, _) in enumerate(ALLOWED):
        if re.fullmatch(case_pattern, case) and re.fullmatch(path_pattern, path):
            used.add(index)
            return True
    return False


def only_common(ours, kafka):
    """Leaves in Kafka's reply only the configs that ours lists too."""
    try:
        mine, theirs = ours["Results"][0]["Configs"], kafka["Results"][0]["Configs"]
        kafka["Results"][0]["Configs"] = {name: theirs[name] for name in mine if name in theirs}
    except (KeyError, IndexError, TypeError):
        pass  # Not the expected reply: the comparison says so.


def both_serve(ours, kafka):
    """API name -> the versions that both advertise. What we advertise must be in it whole: Produce from its first served."""
    names = {key: name for name, key in ours.protocol.keys.items()}
    ranges = []
    for broker in (ours, kafka):
        keys = broker.connection.request("ApiVersions", 4, {"ClientSoftwareName": "differential", "ClientSoftwareVersion": "1"})["ApiKeys"]
        ranges.append({k["ApiKey"]: (k["MinVersion"], k["MaxVersion"]) for k in keys})
    not_yet = {key for group in NOT_YET.values() for key in group}
    common = sorted(ranges[0].keys() & ranges[1].keys() - not_yet)
    served = {names[k]: (max(r[k][0] for r in ranges), min(r[k][1] for r in ranges)) for k in common}
    served["Produce"] = (3, served["Produce"][1])
    return served


def short(value):
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) < 160 else text[:157] + "..."


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ours", required=True)
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--replies", help="write both sides' comparable replies to this file")
    args = parser.parse_args()
    protocol = wire.default_protocol()
    kafka, ours = cases.Broker(args.kafka, protocol), cases.Broker(args.ours, protocol)
    served = both_serve(ours, kafka)
    cases.run(kafka, served)
    cases.run(ours, served)
    passed, failed, used, kept = 0, [], set(), {}
    unclaimed = list(errors.check(kafka, served))
    for case in kafka.replies:
        a = Normalizer(ours).value("", ours.replies[case])
        b = Normalizer(kafka).value("", kafka.replies[case])
        kept[case] = {"ours": a, "kafka": b}
        if case == cases.BROKER_CONFIGS:
            only_common(a, b)
        wrong = [d for d in differences(a, b) if not allowed(case, d[0], used)]
        passed += not wrong
        failed += [(case, wrong)] if wrong else []
    if args.replies:
        with open(args.replies, "w") as out:
            json.dump(kept, out, indent=1, default=str)
    for case, wrong in failed:
        print(f"DIFFERENT {case}")
        for path, a, b in wrong[:12]:
            print(f"    {path or 'reply'}: got {short(a)}, Kafka {short(b)}")
        if len(wrong) > 12:
            print(f"    ... and {len(wrong) - 12} more")
    for line in unclaimed:
        print(f"TABLE {line}")
    print("\nallowed differences:")
    for index, (case, path, reason) in enumerate(ALLOWED):
        print(f"  {'' if index in used else '(not met) '}{case} {path[:60]}: {reason}")
    print(f"\n{errors.summary(kafka)}")
    failures = len(failed) + len(unclaimed)
    print(f"{passed} passed, {failures} failed")
    return 1 if failures or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
