"""Power cuts on a mounted file system under load: everything acknowledged before the cut is there, once and in order.

The broker's directory is an ext4 whose device is cloned in the middle of its work (`crash/disks.py`). Each clone is
mounted, a broker recovers from it, its metadata is compared with what was answered and the judge reads its records.
Kinds of rounds: `live` (the clone of a running broker; it goes on), `killed` (kill -9, restart, and the cut during the
recovery or after the first retries were acknowledged), `frozen` (the broker stops, and the clients go on with a broker on
the clone: life after a power cut).

With `--subject control` fdatasync does nothing (`crash/fdatasync.py`), and the test has to lose acknowledged records. With
`--subject kafka` it cuts the power of Apache Kafka with its defaults, and shows what is lost.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "crash"))

import birth  # noqa: E402
from broker import Broker, Kafka  # noqa: E402
from clients import Loads, complaints, judge  # noqa: E402
from disks import CannotMount, Pool  # noqa: E402
from retry import Case  # noqa: E402
from world import LOAD_TOPICS, RELAXED_TOPICS, World, wire  # noqa: E402

PACE = 1500
KINDS = ["live", "killed", "frozen", "live", "killed in recovery", "frozen"]
PATIENCE_SECONDS = 60
CONTROL_ROUNDS = 3


class Machine:
    """A broker under load on a disk whose power can be cut."""

    def __init__(self, given, pool, work, subject):
        self.given, self.pool, self.work, self.subject = given, pool, work, subject
        self.chance = random.Random(given.seed)
        self.protocol = wire.default_protocol()
        self.failed, self.acked, self.lost, self.lossy, self.tails = [], 0, 0, 0, 0
        self.disk = pool.disk("disk")
        self.disks = 1
        self.port = None
        self.broker = self.make_broker(self.disk)
        self.port = self.broker.port
        self.world = World(self.broker.bootstrap, self.protocol, given.seed, power_cuts=True)
        self.loads = None

    def make_broker(self, disk, port=None, judged=False):
        log = os.path.join(self.work, "judged.log" if judged else "broker.log")
        if self.subject == "kafka":
            return Kafka(os.path.join(disk.directory, "kafka"), log, port).prepare()
        no_sync = self.subject == "control" and not judged
        return Broker(self.given.binary, os.path.join(disk.directory, "data"), log, port, no_sync, judged=judged)

    def start_broker(self):
        self.broker.start(**({"with_valve": self.chance.random() < 0.5} if self.subject == "watershed" else {}))

    def start(self):
        self.start_broker()
        self.broker.wait_ready()
        # Chaos and retention are only for the broker under test; the others show what they lose of `kept`.
        wanted = LOAD_TOPICS if self.subject == "watershed" else {"kept": LOAD_TOPICS["kept"]}
        self.world.create_loaded(wanted)
        if self.subject == "watershed":
            # Only the operations write to it: it may lose its tail, which an idempotent client would not forgive.
            for name, (partitions, configs) in RELAXED_TOPICS.items():
                self.world.create(name, partitions, configs, "w")
        if self.subject != "watershed":
            # So that records are lost below, not the cluster.
            self.disk.sync()
        topics = {name: partitions for name, (partitions, _) in wanted.items()}
        self.loads = Loads(self.broker.bootstrap, topics, self.work, self.given.seed, self.given.load, 12, 8)
        self.loads.pace(PACE)
        if self.subject == "watershed":
            self.world.start()
        self.wait_for_acks(0)

    def lines(self):
        return sum(mark["Lines"] for mark in self.loads.marks())

    def wait_for_acks(self, before):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.lines() <= before:
            if time.monotonic() > deadline or not self.broker.alive():
                raise RuntimeError(f"nothing is acknowledged: {self.broker.last_words()}")
            time.sleep(0.01)

    def live(self):
        with self.world.gate:
            marks, state = self.loads.marks(), self.world.snapshot()
            return self.disk.cut("cut"), marks, state

    def killed(self, in_recovery):
        self.broker.kill()
        before = self.lines()
        self.start_broker()
        if in_recovery:
            time.sleep(self.broker.startup_seconds * self.chance.uniform(0.1, 1.2))
        else:
            self.wait_for_acks(before)
            time.sleep(self.chance.choice([0, self.chance.uniform(0, 0.3)]))
        result = self.live()
        self.broker.wait_ready()
        return result

    def frozen(self):
        """The clients' world goes on with the clone: what was acknowledged until now must be in it."""
        self.broker.freeze()
        with self.world.gate:
            cut, state = self.disk.cut("cut"), self.world.snapshot()
        self.broker.kill()
        time.sleep(0.1)
        # No other broker answered yet: every acknowledgement is older than the cut.
        marks = self.loads.marks()
        self.disks += 1
        after = cut.cut(f"disk{self.disks}")
        self.disk.remove()
        self.disk = after.mount()
        self.broker = self.make_broker(self.disk, self.port)
        self.start_broker()
        return cut, marks, state

    def cut(self, kind):
        self.loads.pace(PACE)
        time.sleep(self.chance.uniform(0.1, 1.0))
        if self.chance.random() < 0.5:
            self.loads.burst()
            time.sleep(self.chance.uniform(0.05, 0.4))
        valve = self.broker.valve
        if valve:
            # Much is written now that is not synced: nothing of it may be acknowledged.
            valve.shut()
            time.sleep(self.chance.uniform(0.05, 0.3))
        if kind == "live":
            result = self.live()
        elif kind == "frozen":
            result = self.frozen()
        else:
            result = self.killed(kind == "killed in recovery")
        if valve:
            valve.open()
        self.loads.pace(PACE // 5)
        return result

    def judge(self, cut, marks, state):
        """What a broker that recovers from the cut has lost or invented, in words."""
        broker = self.make_broker(cut.mount(), judged=True)
        try:
            broker.start()
            broker.wait_ready()
            world = World(broker.bootstrap, self.protocol, 0, state, power_cuts=True)
            if self.subject == "watershed":
                world.check()
                world.producer_id()
            ledgers = marks + [state.write_ledger(os.path.join(self.work, "world.ledger"))]
            verdict = judge(self.given.load, self.work, broker.bootstrap, ledgers, state.facts())
            world.disconnect()
            self.tails += world.tails
            self.acked, lost = verdict["Acked"], verdict["Missing"]
            self.lost += lost
            self.lossy += lost > 0
            return lost, complaints(verdict) + world.problems + broker.panics()[:3]
        finally:
            broker.end()
            cut.remove()

    def rounds(self, kinds):
        for number, kind in enumerate(kinds):
            held = ", syncs held" if self.broker.valve else ""
            cut, marks, state = self.cut(kind)
            lost, wrong = self.judge(cut, marks, state)
            self.failed += [f"cut {number + 1} ({kind}): {what}" for what in wrong]
            if kind != "live":
                self.broker.wait_ready()
            print(f"  cut {number + 1} ({kind}{held}): {self.acked} acknowledged, {lost} lost", flush=True)

    def finish(self):
        """The clients get every acknowledgement; the last judgement is after one more kill."""
        self.loads.pace(PACE)
        acked, failures = self.loads.stop()
        self.world.finish()
        self.failed += [f"the broker panicked: {line}" for line in self.broker.panics()[:3]]
        self.broker.kill()
        self.broker = self.make_broker(self.disk, self.port, judged=True)
        self.broker.start()
        self.broker.wait_ready()
        self.world.check()
        ledgers = self.loads.marks() + [self.world.state.write_ledger(os.path.join(self.work, "world.ledger"))]
        verdict = self.loads.judge(self.broker.bootstrap, ledgers, self.world.state.facts())
        self.acked = acked
        self.failed += [f"at the end: {what}" for what in complaints(verdict)] + failures + self.world.problems

    def close(self):
        self.world.stop.set()
        self.broker.end()
        if self.loads is not None:
            self.loads.end()
        if self.world.thread is not None:
            self.world.thread.join()
        self.disk.remove()


def retry(given, pool, work, no_sync=False):
    """The deliberate case: what failed."""
    case = Case(pool, given.binary, work, no_sync)
    try:
        return case.run()
    except Exception as error:  # noqa: BLE001 -- whatever ends the test is its failure
        return case.failed + [f"retry: {type(error).__name__}: {error}"]


def power(given, pool, work):
    """The proof: what failed."""
    failed = retry(given, pool, work) + birth.cut(given.binary, pool, work, random.Random(given.seed))
    machine = Machine(given, pool, work, "watershed")
    try:
        machine.start()
        kinds = [KINDS[number % len(KINDS)] for number in range(given.rounds)]
        machine.chance.shuffle(kinds)
        machine.rounds(kinds)
        machine.finish()
        print(f"power: {given.rounds} power cuts, {machine.acked} acknowledged records, {machine.lost} lost; "
              f"{machine.world.state.answered} operations on topics answered, {len(machine.world.state.gone)} topics deleted; "
              f"the topic with watershed.flush = relaxed lost {machine.tails} records, all at its ends, as it may")
    except Exception as error:  # noqa: BLE001 -- whatever ends the test is its failure
        failed += [f"{type(error).__name__}: {error}"] + machine.world.problems
    finally:
        machine.close()
    return failed + machine.failed


def control(given, pool, work):
    """The same test of a broker whose fdatasync does nothing: it has to fail."""
    failed = []
    if not retry(given, pool, work, no_sync=True):
        failed.append("the control kept the retried batches: the case cannot see a missing fdatasync")
    machine = Machine(given, pool, work, "control")
    try:
        machine.start()
        machine.rounds(["live"] * given.rounds)
    except Exception as error:  # noqa: BLE001 -- whatever ends the test is its failure
        failed.append(f"{type(error).__name__}: {error}")
    finally:
        machine.close()
    print(f"power: control, fdatasync made a no-op: {machine.lost} acknowledged records lost in {machine.lossy} of "
          f"{given.rounds} cuts")
    if not machine.lost:
        failed.append("the control lost nothing: this test cannot see a missing fdatasync")
    return failed


def kafka(given, pool, work):
    """What Apache Kafka with its defaults loses. Nothing is expected of it."""
    machine, failed = Machine(given, pool, work, "kafka"), []
    try:
        machine.start()
        machine.rounds(["live"] * given.rounds)
    except Exception as error:  # noqa: BLE001 -- whatever ends the test is its failure
        failed.append(f"{type(error).__name__}: {error}")
    finally:
        machine.close()
    print(f"power: Apache Kafka lost {machine.lost} acknowledged records in {machine.lossy} of {given.rounds} cuts")
    return failed


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--binary", required=True)
    arguments.add_argument("--load", required=True, help="the program built from load/")
    arguments.add_argument("--rounds", type=int, default=30, help="3 for the control")
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    arguments.add_argument("--subject", choices=["watershed", "control", "kafka"], default="watershed")
    given = arguments.parse_args()
    if given.subject == "control":
        given.rounds = CONTROL_ROUNDS
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"power: {given.subject}, {given.rounds} rounds, seed {given.seed}", flush=True)
    begun = time.monotonic()
    work = tempfile.mkdtemp(prefix="watershed-power-")
    pool, failed = None, []
    try:
        pool = Pool(work)
        failed = {"watershed": power, "control": control, "kafka": kafka}[given.subject](given, pool, work)
    except CannotMount as error:
        if not os.environ.get("CI"):
            print(f"power: SKIPPED, this machine cannot mount a disk whose power can be cut: {error}")
            sys.exit(0)
        failed = [str(error)]
    finally:
        if pool is not None:
            pool.close()
        if not failed:
            shutil.rmtree(work, ignore_errors=True)
    for reason in failed[:30]:
        print(f"FAILED {reason} (seed {given.seed})")
    if failed:
        print(f"power: the logs stay in {work}")
    print(f"power: {time.monotonic() - begun:.0f} s")
    print(f"{0 if failed else given.rounds} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
