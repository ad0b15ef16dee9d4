"""Fetch and its sessions, ListOffsets, OffsetForLeaderEpoch."""



from .common import NO_ID, TS, UNKNOWN_ID, batch, produce_body


def list_offsets(b):
    def body(name, when, partition=0, epoch=-1, isolation=0, replica=-1):
        return {"ReplicaId": replica, "IsolationLevel": isolation, "Topics": [
            {"Name": name, "Partitions": [{"PartitionIndex": partition, "CurrentLeaderEpoch": epoch, "Timestamp": when}]}]}
    for version in range(1, 12):
        for when in (-1, -2, -3, -4, -5, -6, -7, 0, TS + 5, TS + 86_400_000):
            label = when if when < TS else f"TS+{when - TS}"
            b.ask(f"ListOffsets v{version} at {label}", "ListOffsets", version, body("log", when))
        b.ask(f"ListOffsets v{version}, missing topic", "ListOffsets", version, body("missing", -1))
    for label, request in {
        "missing partition": body("log", -1, 4), "negative partition": body("log", -1, -1), "newer epoch": body("log", -1, epoch=5),
        "epoch -2": body("log", -1, epoch=-2), "this epoch": body("log", -1, epoch=0), "read committed": body("log", -1, isolation=1),
        "isolation 7": body("log", -1, isolation=7), "isolation -1": body("log", -1, isolation=-1), "empty topic": body("meta", -3),
        "by time in an empty topic": body("meta", TS), "empty name": body("", -1), "bad name": body("a b", -1), "at -1000": body("log", -1000),
        "the lowest timestamp": body("log", -(1 << 63)), "the highest timestamp": body("log", (1 << 63) - 1),
        "as broker 5": body("log", -1, replica=5), "as this broker": body("log", -1, replica=b.node), "as a debugger": body("log", -1, replica=-2),
        "as replica -3": body("log", -1, replica=-3), "latest of append time": body("compacted", -3), "in a batch": body("codecs", TS),
        "newest of codecs": body("codecs", -3), "time of out of order records": body("times", TS - 500),
        "newest of out of order records": body("times", -3), "no topics": {"ReplicaId": -1, "Topics": []},
        "no partitions": {"ReplicaId": -1, "Topics": [{"Name": "log", "Partitions": []}]},
    }.items():
        b.ask(f"ListOffsets, {label}", "ListOffsets", 7, request)
    twice = body("log", -1)
    twice["Topics"][0]["Partitions"] *= 2
    b.ask("ListOffsets, partition twice", "ListOffsets", 7, twice)
    b.ask("ListOffsets, topic twice", "ListOffsets", 7, {"ReplicaId": -1, "Topics": [*body("log", -1)["Topics"], *body("log", -2)["Topics"]]})
    b.ask("ListOffsets, two topics, one missing", "ListOffsets", 7, {"ReplicaId": -1, "Topics": [
        *body("log", -1)["Topics"], *body("missing", -2)["Topics"]]})

    def epochs(name, partition, wanted, current=-1, replica=-1):
        return {"ReplicaId": replica, "Topics": [
            {"Topic": name, "Partitions": [{"Partition": partition, "CurrentLeaderEpoch": current, "LeaderEpoch": wanted}]}]}
    for version in range(2, 5):
        for label, request in {
            "current": epochs("log", 0, 0), "future": epochs("log", 0, 5), "fenced by newer": epochs("log", 0, 0, 7),
            "an epoch that is none": epochs("log", 0, -1), "epoch -2": epochs("log", 0, -2), "current epoch given": epochs("log", 0, 0, 0),
            "old current epoch": epochs("log", 0, 0, -2), "empty log": epochs("meta", 0, 0), "missing partition": epochs("log", 9, 0),
            "missing topic": epochs("missing", 0, 0),
        }.items():
            b.ask(f"OffsetForLeaderEpoch v{version}, {label}", "OffsetForLeaderEpoch", version, request)
    for label, request in {
        "as broker 5": epochs("log", 0, 0, replica=5), "as a debugger": epochs("log", 0, 0, replica=-2), "empty name": epochs("", 0, 0),
        "negative partition": epochs("log", -1, 0), "no partitions": {"ReplicaId": -1, "Topics": [{"Topic": "log", "Partitions": []}]},
        "a partition twice": {"ReplicaId": -1, "Topics": [{"Topic": "log", "Partitions": [
            {"Partition": 0, "LeaderEpoch": 0}, {"Partition": 0, "LeaderEpoch": 3}]}]},
    }.items():
        b.ask(f"OffsetForLeaderEpoch, {label}", "OffsetForLeaderEpoch", 4, request)


def asked(b):
    """Makes bodies of Fetch requests for one partition."""
    def body(version, offset=0, partition=0, epoch=-1, session=(0, -1), topics=True, size=1 << 20, name="log", fetched=None, **more):
        which = {"TopicId": more.pop("topic_id") if "topic_id" in more else b.id_of(name)} if version >= 13 else {"Topic": name}
        place = {"Partition": partition, "CurrentLeaderEpoch": epoch, "FetchOffset": offset, "PartitionMaxBytes": size}
        if fetched is not None:
            place["LastFetchedEpoch"] = fetched
        return {"MaxWaitMs": 100, "MinBytes": 1, "MaxBytes": 1 << 24, "SessionId": session[0], "SessionEpoch": session[1],
                "Topics": [{**which, "Partitions": [place]}] if topics else [], **more}
    return body


def fetch(b):
    body = asked(b)
    for version in range(4, 19):
        b.ask(f"Fetch v{version}", "Fetch", version, body(version))
        b.ask(f"Fetch v{version}, past the end", "Fetch", version, body(version, 500))
        b.ask(f"Fetch v{version}, missing partition", "Fetch", version, body(version, partition=3))
        b.ask(f"Fetch v{version}, zstd", "Fetch", version, body(version, 9, name="codecs"))
        if version >= 9:
            b.ask(f"Fetch v{version}, newer epoch", "Fetch", version, body(version, epoch=3))
            b.ask(f"Fetch v{version}, epoch -2", "Fetch", version, body(version, epoch=-2))
        if version >= 13:
            b.ask(f"Fetch v{version}, unknown topic id", "Fetch", version, body(version, topic_id=UNKNOWN_ID))
    # Where the log of the produce cases ends.
    end = b.connection.request("ListOffsets", 7, {"ReplicaId": -1, "Topics": [
        {"Name": "log", "Partitions": [{"PartitionIndex": 0, "CurrentLeaderEpoch": -1, "Timestamp": -1}]}]})
    end = end["Topics"][0]["Partitions"][0]["Offset"]
    for label, request in {
        "in the middle": body(12, 4), "at the end": body(12, end), "one past the end": body(12, end + 1), "below the start": body(12, -5),
        "offset -1": body(12, -1), "the highest offset": body(12, (1 << 63) - 1), "missing topic": body(12, name="missing"), "empty name": body(12, name=""),
        "negative partition": body(12, partition=-1), "this epoch": body(12, epoch=0), "one byte": body(12, size=1), "0 bytes": body(12, size=0),
        "-1 bytes": body(12, size=-1), "0 bytes at the end": body(12, end, size=0), "0 bytes in all": body(12, MaxBytes=0), "-1 bytes in all": body(12, MaxBytes=-1),
        "read committed": body(12, IsolationLevel=1), "isolation 7": body(12, IsolationLevel=7), "isolation -1": body(12, IsolationLevel=-1),
        "nothing asked": body(12, topics=False), "no wait": body(12, end, MaxWaitMs=0), "negative wait": body(12, end, MaxWaitMs=-1),
        "no minimum": body(12, end, MinBytes=0), "negative minimum": body(12, end, MinBytes=-1), "more minimum than maximum": body(12, MinBytes=1 << 25),
        "fetched epoch 0": body(12, fetched=0), "fetched epoch 5": body(12, fetched=5), "fetched epoch -2": body(12, fetched=-2),
        "fetched epoch at the end": body(12, end, fetched=0), "fetched epoch past the end": body(12, end + 1, fetched=0),
        "fetched epoch of an empty log": body(12, fetched=0, name="meta"), "as broker 5": body(12, ReplicaId=5), "as this broker": body(12, ReplicaId=b.node),
        "as a debugger": body(12, ReplicaId=-2), "from a rack": body(12, RackId="r1"), "of another cluster": body(12, ClusterId="another"),
        "forgotten outside a session": body(12, ForgottenTopicsData=[{"Topic": "log", "Partitions": [0]}]),
    }.items():
        b.ask(f"Fetch, {label}", "Fetch", 12, request)
    for version in (15, 17, 18):
        b.ask(f"Fetch v{version}, as broker 5", "Fetch", version, body(version, ReplicaState={"ReplicaId": 5, "ReplicaEpoch": 1}))
    b.ask("Fetch v16, id of zeros", "Fetch", 16, body(16, topic_id=NO_ID))
    b.ask("Fetch v13, unknown and known id", "Fetch", 13, {**body(13), "Topics": [*body(13)["Topics"], *body(13, topic_id=UNKNOWN_ID)["Topics"]]})
    part = lambda offset, partition=0: {"Partition": partition, "FetchOffset": offset, "PartitionMaxBytes": 1 << 20}
    for label, topics in {
        "two topics": [("log", [part(0)]), ("idem", [part(0)])], "one topic twice": [("log", [part(0)]), ("log", [part(4)])],
        "one partition twice": [("log", [part(0), part(4)])], "one missing, one there": [("missing", [part(0)]), ("log", [part(0)])],
        "no partitions": [("log", [])], "one out of range": [("log", [part(0)]), ("idem", [part(999)])],
    }.items():
        b.ask(f"Fetch, {label}", "Fetch", 12, {**body(12), "Topics": [{"Topic": name, "Partitions": parts} for name, parts in topics]})
    b.ask("Fetch, the first fills the answer", "Fetch", 12, {**body(12), "MaxBytes": 80, "Topics": [
        {"Topic": name, "Partitions": [part(0)]} for name in ("log", "idem", "compacted")]})
    # What the brokers made of what they took, codecs and timestamps included.
    for name in ("idem", "appendtime", "codecs", "gz", "plain", "compacted", "times", "wrong", "roomy", "small"):
        b.ask(f"Fetch, everything in {name}", "Fetch", 12, body(12, name=name, MinBytes=0))
    sessions(b, body)


def sessions(b, body):
    """Incremental fetches (KIP-227): everything that may be wrong about a session, and what it tells."""
    for label, session in {
        "unknown session": (424242, 1), "session epoch 5 of none": (0, 5), "unknown session begins anew": (424242, 0),
        "unknown session ends": (424242, -1), "session epoch -2": (0, -2), "negative session": (-5, 3), "unknown session, epoch -2": (424242, -2),
    }.items():
        for version in (7, 12, 16):
            b.ask(f"Fetch v{version}, {label}", "Fetch", version, body(version, session=session, topics=label == "unknown session begins anew"))
    for version in (7, 12, 15):
        def ask(label, session_epoch, topics=False, **more):
            return b.ask(f"Fetch session v{version}, {label}", "Fetch", version, body(
                version, session=(number, session_epoch), topics=topics, MinBytes=0, MaxWaitMs=more.pop("MaxWaitMs", 0), **more))
        number = 0
        begun = ask("begins", 0, True)
        number = begun["SessionId"] if isinstance(begun, dict) else 0
        ask("nothing new", 1)
        b.connection.request("Produce", 9, produce_body("log", batch(b"session", timestamp=TS + 100 + version)))
        ask("something new", 2)
        ask("another offset", 3, True, offset=3)
        ask("wrong epoch", 9)
        ask("still there", 4)
        name = {"TopicId": b.id_of("idem")} if version >= 13 else {"Topic": "idem"}
        part = lambda *indexes: [{**name, "Partitions": [{"Partition": i, "FetchOffset": 0, "PartitionMaxBytes": 1 << 20} for i in indexes]}]
        ask("a partition more, and a missing one", 5, Topics=part(0, 7))
        ask("the missing one again", 6)
        ask("forgets them", 7, ForgottenTopicsData=[{**name, "Partitions": [0, 7]}])
        ask("after that", 8)
        ask("forgets what it does not have", 9, ForgottenTopicsData=[{**name, "Partitions": [5]}])
        ask("past the end", 10, True, offset=9999)
        ask("past the end again", 11)
        ask("newer epoch", 12, True, epoch=4)
        ask("begins anew in its place", 0, True)
        ask("the one before is gone", 13)
    begun = b.ask("Fetch, a session of names", "Fetch", 12, body(12, session=(0, 0), MinBytes=0))
    number = begun["SessionId"] if isinstance(begun, dict) else 0
    b.ask("Fetch, a session of names goes on with ids", "Fetch", 13, body(13, session=(number, 1), MinBytes=0))
    begun = b.ask("Fetch, a session of ids", "Fetch", 13, body(13, session=(0, 0), MinBytes=0))
    number = begun["SessionId"] if isinstance(begun, dict) else 0
    b.ask("Fetch, a session of ids goes on with names", "Fetch", 12, body(12, session=(number, 1), MinBytes=0))
    begun = b.ask("Fetch, a session with an unknown id", "Fetch", 13, body(13, session=(0, 0), MinBytes=0, topic_id=UNKNOWN_ID))
    number = begun["SessionId"] if isinstance(begun, dict) else 0
    b.ask("Fetch, the unknown id again", "Fetch", 13, body(13, session=(number, 1), topics=False, MinBytes=0))
    b.ask("Fetch, the session ends", "Fetch", 13, body(13, topics=False, session=(number, -1), MinBytes=0))
    b.ask("Fetch, the ended session", "Fetch", 13, body(13, topics=False, session=(number, 2), MinBytes=0))
