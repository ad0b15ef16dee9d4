"""The records that every producing client writes, by what the client can express.

A corpus is a list of dicts: p (partition), ts (ms or null: the client's clock), k, v
(hex or null), h ([name, hex or null] pairs, in order). The same form is what consuming
clients dump (plus o, the offset), so that both sides compare byte for byte.
"""

import random

FULL = frozenset({"binary", "empty", "null-header", "empty-header", "interleaved-headers", "timestamps", "binary-header"})

# What each producer cannot express; the rest of FULL is what it writes.
LIMITS = {
    # kcat: arguments end at NUL, no way to give a timestamp; -Z turns every empty part into null.
    "kcat": FULL - {"timestamps", "empty", "binary-header"},
    "confluent": FULL,
    # kafka-python: refuses to send a header without a value.
    "kafka-python": FULL - {"null-header"},
    # Headers are an object: equal names stay together, and every one has a value.
    "kafkajs": FULL - {"interleaved-headers", "null-header"},
    "franz-go": FULL,
    "java-4.2": FULL,
    "java-3.9": FULL,
    # kafka-console-producer: lines of text, no timestamps.
    "tools-4.2": FULL - {"timestamps", "binary", "binary-header"},
    "tools-3.9": FULL - {"timestamps", "binary", "binary-header"},
}

BASE_TS = 1_700_000_000_000  # Far in the past: nothing may confuse it with a clock.
LARGE_BYTES = 1 << 20


def _hex(data):
    return None if data is None else (data.encode() if isinstance(data, str) else data).hex()


def _record(key, value, headers=(), needs=()):
    return {"k": _hex(key), "v": _hex(value), "h": [[n, _hex(v)] for n, v in headers], "needs": set(needs)}


def _master():
    text = "the quick brown fox jumps over the lazy dog, again and again; " * 8
    # No newline, no 0x1e/0x1f (kcat's delimiters here): those would end a record early.
    every_byte = bytes(b for b in range(256) if b not in (0x0A, 0x1E, 0x1F)) * 3
    records = [
        _record("plain", text),
        _record(None, "no key: " + text),
        _record("tombstone", None),
        _record("both-empty-value", "", needs=["empty"]),
        _record("", "empty key: " + text, needs=["empty"]),
        _record("ключ-鍵-🔑", "значение-値-💎 " + text),
        _record(every_byte[:253], every_byte, needs=["binary"]),
        _record("headers", text, [("a", "1"), ("b", "2")]),
        _record("dup-headers", text, [("a", "1"), ("a", "1"), ("a", "2")]),
        _record("interleaved", text, [("a", "1"), ("b", "2"), ("a", "3")], ["interleaved-headers"]),
        _record("null-header", text, [("n", None), ("a", "1")], ["null-header"]),
        _record("empty-header", text, [("e", ""), ("a", "1")], ["empty-header"]),
        _record("unicode-header", text, [("имя-名", "значение-値")]),
        _record("binary-header", text, [("bin", bytes(range(256)))], ["binary-header"]),
        _record("tombstone-with-header", None, [("why", "deleted")]),
    ]
    records += [_record(f"key-{i}", f"value {i}: {text}") for i in range(25)]
    return records


def small(client, partitions=2):
    """The corpus of one client for the codec topics."""
    can = LIMITS[client]
    out = []
    for i, record in enumerate(_master()):
        if record["needs"] <= can:
            # Out of order on purpose: a broker must find times by maximum, not by last.
            ts = BASE_TS + i * 1000 - (2500 if i % 3 == 2 else 0)
            out.append({"p": i % partitions, "ts": ts if "timestamps" in can else None,
                        "k": record["k"], "v": record["v"], "h": record["h"]})
    return out


def large(client, partitions=1):
    """A 1 MiB record that does not compress, between two small ones."""
    rng = random.Random(7)
    alphabet = bytes(b for b in range(33, 127))
    blob = bytes(rng.choice(alphabet) for _ in range(LARGE_BYTES))
    ts = BASE_TS if "timestamps" in LIMITS[client] else None
    return [{"p": 0, "ts": ts, "k": _hex(k), "v": _hex(v), "h": []}
            for k, v in [("before", "small"), ("large", blob), ("after", "small")]]
