"""What both Python client programs share: the plan, the result lines, the error checks.

A client program gets one argument, the path of a plan (JSON), and writes result lines:
`{"feature", "name", "ok", "detail"}`, then `{"done": true}`. The same contract holds for
the programs in the other languages; README.md has the fields of a plan.
"""

import json
import sys
import time
import traceback


class Program:
    def __init__(self):
        self.plan = json.load(open(sys.argv[1]))
        self.out = open(self.plan["results"], "w")
        self.bootstrap, self.prefix = self.plan["bootstrap"], self.plan["prefix"]

    def result(self, feature, name, ok, detail=""):
        self.out.write(json.dumps({"feature": feature, "name": name, "ok": bool(ok), "detail": str(detail)}) + "\n")
        self.out.flush()

    def check(self, feature, name, step):
        """Runs a step; what it raises is the failure."""
        try:
            step()
            self.result(feature, name, True)
        except Exception as error:
            traceback.print_exc()
            self.result(feature, name, False, f"{type(error).__name__}: {error}"[:500])

    def refuses(self, name, expected, step, name_of):
        """A wrong request: the client must show the broker's error `expected`."""
        try:
            answer = step()
        except Exception as error:
            shown = name_of(error)
            self.result("errors", name, shown == expected, f"expected {expected}, got {shown}: {error}"[:500])
        else:
            self.result("errors", name, False, f"expected {expected}, got success: {answer}"[:300])

    def done(self):
        self.out.write(json.dumps({"done": True}) + "\n")
        self.out.close()


def load(path):
    """A corpus with its parts as bytes."""
    raw = lambda x: None if x is None else bytes.fromhex(x)
    return [dict(r, k=raw(r["k"]), v=raw(r["v"]), h=[(n, raw(v)) for n, v in r["h"]]) for r in json.load(open(path))]


def dumped(partition, offset, ts, key, value, headers):
    text = lambda x: None if x is None else bytes(x).hex()
    return {"p": partition, "o": offset, "ts": ts, "k": text(key), "v": text(value),
            "h": [[n, text(v)] for n, v in headers or []]}


def expect(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: expected {wanted!r}, got {got!r}")


def eventually(read, wanted, what, seconds=5):
    """Waits for a value: in a cluster an accepted change reaches the broker that answers a little later."""
    deadline = time.monotonic() + seconds
    while (got := read()) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    expect(got, wanted, what)
