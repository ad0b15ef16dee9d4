"""The broker takes records to their partitions (`watershed.partitioner.mode = broker`) and is killed: each is there once.

Idempotent franz-go, librdkafka and Java clients choose partitions at random, and the broker decides by keys, while partitions are
added, modes, partitioners and their settings change and records are days old (`crash/routing.py`). The ingress logs begin shortly
below 2^31. A broker is killed with many requests unanswered, or the power of its disk is cut (`--cuts`, see `power.py`), a full disk
included. Every acknowledged record must be in exactly one partition, the right one, in order per client and chosen partition
(`load/routed.go`). The seed that is printed replays the moments and the changes, not the scheduling of threads.

With `--control` the broker forgets how far it had come (a build with debug assertions), and the test has to find records twice.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "crash"))

from broker import Broker  # noqa: E402
from clients import ANSWER_SECONDS, Loads, Program  # noqa: E402
from disks import CannotMount, Pool  # noqa: E402
from routing import PARTITIONS, PARTITIONS_MAX, TOPIC, Changes, Rules, plant, wire, write_config  # noqa: E402

PACE = 2400            # records a second between kills
IN_FLIGHT_WANTED = 30
BURST_SECONDS_MAX = 3
SETTLE_SECONDS = 60
FRANZ, LIBRDKAFKA, JAVA = 8, 6, 3


class Clients(Loads):
    """The load of `clients.py`, and Java."""

    def __init__(self, bootstrap, work, given):
        super().__init__(bootstrap, {TOPIC: PARTITIONS}, work, given.seed, given.load, FRANZ, LIBRDKAFKA, routed=True)
        ledger, plan = os.path.join(work, "java.ledger"), os.path.join(work, "java.properties")
        with open(plan, "w") as file:
            file.write(f"bootstrap={bootstrap}\nledger={ledger}\ntopic={TOPIC}\npartitions={PARTITIONS}\nseed={given.seed}\n"
                       f"prefix=j\nclients={JAVA}\n")
        command = ["bash", "-c", f'exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx256m -cp "{given.java}" RoutedLoad {plan}']
        self.programs.append(Program("java", command, {"Ledger": ledger}, work))

    def lines(self):
        return sum(mark["Lines"] for mark in self.marks())


class Test:
    def __init__(self, given, work, pool=None):
        self.given, self.work, self.pool, self.chance = given, work, pool, random.Random(given.seed)
        self.disk = pool.disk("disk") if pool else None
        self.disks, self.shift, self.failed, self.problems_max = 1, 0, [], 8
        self.log = os.path.join(work, "broker.log")
        self.rules = Rules()
        self.broker = self.make(self.disk)
        self.changes = Changes(self.broker.bootstrap, wire.default_protocol(), given.seed, self.rules)
        self.clients = None
        self.verdict = {}

    def make(self, disk, port=None, judged=False):
        directory = os.path.join(disk.directory if disk else self.work, "data")
        log = os.path.join(self.work, "judged.log") if judged else self.log
        broker = Broker(self.given.binary, directory, log, port, judged=judged)
        broker.directory = directory
        broker.command += ["--config", write_config(self.work, self.shift)]
        if self.given.control and not judged:
            broker.command = ["env", "WATERSHED_TEST_ROUTERS_FORGET=1"] + broker.command
        return broker

    def start(self):
        self.broker.start()
        self.broker.wait_ready()
        topic_id = self.changes.create()
        # Stopped in between, so that the planted logs are there before anything uses them.
        self.broker.process.terminate()
        self.broker.process.wait()
        for partition in range(PARTITIONS):
            plant(self.broker.directory, topic_id, partition)
        self.broker.start()
        self.broker.wait_ready()
        self.changes.route()
        self.clients = Clients(self.broker.bootstrap, self.work, self.given)
        self.clients.pace(PACE)
        self.wait_for_acks(0)
        self.changes.thread.start()

    def wait_for_acks(self, before):
        deadline = time.monotonic() + SETTLE_SECONDS
        while self.clients.lines() <= before:
            if time.monotonic() > deadline or not self.broker.alive():
                raise RuntimeError(f"nothing is acknowledged: {self.broker.last_words()}")
            if self.changes.problems:
                raise RuntimeError(self.changes.problems[0])
            time.sleep(0.02)

    def burst(self):
        self.clients.burst()
        valve = self.broker.valve
        if valve:
            time.sleep(self.chance.uniform(0, 0.3))
            valve.shut()
        time.sleep(self.chance.uniform(0.1, 0.4))
        deadline = time.monotonic() + BURST_SECONDS_MAX
        while (counts := self.clients.in_flight()) and sum(counts) < IN_FLIGHT_WANTED and time.monotonic() < deadline:
            time.sleep(0.005)
        return counts

    def again(self):
        """Starts the broker that was killed, sometimes with other settings of the plugin."""
        if self.chance.random() < 0.4:
            self.shift += self.chance.randrange(1, 5)
            self.rules.shift(self.shift)
            write_config(self.work, self.shift)
        self.broker.start(with_valve=self.chance.random() < 0.4)

    def kill(self, number):
        time.sleep(self.chance.uniform(0.1, 0.8))
        counts = self.burst()
        held = ", its syncs held" if self.broker.valve else ""
        self.broker.kill()
        before = self.clients.lines()
        self.clients.pace(PACE)
        self.again()
        for _ in range([0, 0, 1, 0, 2][number % 5]):
            time.sleep(self.broker.startup_seconds * self.chance.uniform(0.05, 1.0))
            self.broker.kill()
            self.again()
        self.broker.wait_ready()
        self.wait_for_acks(before)
        print(f"  kill {number + 1}: in flight {' + '.join(map(str, counts))}, {before} acknowledged{held}", flush=True)
        return sum(counts)

    def fill(self):
        """The disk is full for a while: nothing is taken, and what waits is copied afterwards."""
        path = os.path.join(self.disk.directory, "ballast")
        with open(path, "wb") as file:
            try:
                for _ in range(4096):
                    file.write(bytes(1 << 20))
                    file.flush()
            except OSError:
                pass
        time.sleep(self.chance.uniform(0.1, 0.5))
        return path

    def cut(self, number):
        """The power goes. Every other time the clients go on with what is left, otherwise they notice nothing."""
        time.sleep(self.chance.uniform(0.1, 0.8))
        full = number % 5 == 3
        if number % 2 == 0:
            # Nothing changes from before the syncs are held: a change that waits for one would be waited for here without end.
            with self.changes.paused:
                ballast = self.fill() if full else None
                self.burst()
                marks, cut = self.clients.marks(), self.disk.cut("cut")
            if self.broker.valve:
                self.broker.valve.open()
        else:
            ballast = self.fill() if full else None
            self.burst()
            self.broker.freeze()
            cut = self.disk.cut("cut")
            self.broker.kill()
            time.sleep(0.1)
            marks = self.clients.marks()
            self.disks += 1
            after = cut.cut(f"disk{self.disks}")
            self.disk.remove()
            self.disk = after.mount()
            self.broker = self.make(self.disk, self.broker.port)
            if ballast:
                ballast = os.path.join(self.disk.directory, "ballast")
            self.again()
        if ballast and os.path.exists(ballast):
            os.unlink(ballast)
        self.clients.pace(PACE // 4)
        rules = self.rules.copy()
        judged = self.make(cut.mount(), judged=True)
        try:
            left = os.path.join(cut.directory, "ballast")
            if os.path.exists(left):
                os.unlink(left)
            judged.start()
            judged.wait_ready()
            self.judge(judged, marks, rules, f"cut {number + 1}: ")
            self.failed += judged.panics()[:3]
        finally:
            judged.end()
            cut.remove()
        self.broker.wait_ready()
        self.wait_for_acks(self.clients.lines())
        print(f"  cut {number + 1}{', the disk full' if ballast else ''}: {self.verdict['Acked']} acknowledged, "
              f"{self.verdict['Moved']} in another partition than the client's", flush=True)

    def judge(self, broker, ledgers, rules, where=""):
        plan = {"Bootstrap": broker.bootstrap, "Topic": TOPIC, "Partitions": rules[-1]["Count"], "Ledgers": ledgers, "Rules": rules}
        path = os.path.join(self.work, "judge.json")
        with open(path, "w") as file:
            json.dump(plan, file)
        done = subprocess.run([self.given.load, "judge-routed", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=2 * ANSWER_SECONDS)
        if done.returncode:
            raise RuntimeError(f"the judge could not read the broker: {done.stderr.strip()}")
        self.verdict = json.loads(done.stdout)
        wrong = {"Missing": "acknowledged records are nowhere", "Twice": "records are there twice",
                 "Disorder": "records are out of order", "Foreign": "records are where they do not belong"}
        counted = [f"{self.verdict[key]} {what}" for key, what in wrong.items() if self.verdict[key]]
        if counted:
            self.failed += [where + ", ".join(counted)] + self.verdict["Problems"][:self.problems_max]

    def finish(self):
        self.clients.pace(PACE)
        acked, failures = self.clients.stop()
        self.changes.finish()
        self.failed += failures + self.changes.problems + [f"the broker panicked: {line}" for line in self.broker.panics()[:3]]
        self.broker.kill()
        self.broker = self.make(self.disk, self.broker.port)
        self.broker.start()
        self.broker.wait_ready()
        self.judge(self.broker, self.clients.marks(), self.rules.copy())
        return acked

    def close(self):
        self.changes.finish()
        self.broker.end()
        if self.clients is not None:
            self.clients.end()
        if self.disk:
            self.disk.remove()


def run(given, work):
    pool = Pool(work) if given.cuts else None
    test, what = Test(given, work, pool), "power cuts" if given.cuts else "kills"
    try:
        test.start()
        loads = []
        for number in range(given.rounds):
            if given.cuts:
                test.cut(number)
            else:
                loads.append(test.kill(number))
            if test.failed:
                break
        acked = test.finish()
        verdict = test.verdict
        if loads:
            print(f"routed: at the kills {sorted(loads)[len(loads) // 2]} requests in flight (median)")
        print(f"routed: {given.rounds} {what}, {acked} acknowledged records, {verdict['Stored']} stored, {verdict['Moved']} in another "
              f"partition than the client's, {test.changes.done} changes of rules, {test.rules.last()['Count']} partitions at the end")
        if not verdict["Moved"] or test.changes.done < given.rounds // 4:
            test.failed.append("too little was moved or changed: the test proved less than it says")
    except Exception as error:  # noqa: BLE001 -- whatever ends the test is its failure
        test.failed.append(f"{type(error).__name__}: {error}")
    finally:
        test.close()
        if pool:
            pool.close()
    return test.failed


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--binary", required=True)
    arguments.add_argument("--load", required=True, help="the program built from load/")
    arguments.add_argument("--java", required=True, help="the class path of RoutedLoad")
    arguments.add_argument("--rounds", type=int, default=20)
    arguments.add_argument("--cuts", action="store_true", help="cut the power instead of killing the broker")
    arguments.add_argument("--control", action="store_true", help="a broker that forgets how far it came: has to fail")
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    given = arguments.parse_args()
    kind = "power cuts" if given.cuts else "kills"
    print(f"routed: {given.rounds} rounds of {kind}{', the control' if given.control else ''}, seed {given.seed}", flush=True)
    begun = time.monotonic()
    work = tempfile.mkdtemp(prefix="watershed-routed-")
    try:
        failed = run(given, work)
    except CannotMount as error:
        failed = [str(error)]
    if given.control:
        twice = [reason for reason in failed if "are there twice" in reason]
        print(f"routed: the control was found out: {twice[0]}" if twice else "routed: the control was not found out")
        failed = [] if twice else ["a broker that forgets how far it came passed: the test cannot fail", *failed]
    for reason in failed[:30]:
        print(f"FAILED {reason} (seed {given.seed})")
    if failed:
        print(f"routed: the data and logs stay in {work}")
    else:
        shutil.rmtree(work, ignore_errors=True)
    print(f"routed: {time.monotonic() - begun:.0f} s")
    print(f"{given.rounds} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
