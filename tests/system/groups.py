"""`kill -9` in every phase of a rebalance and of a commit: no acknowledged commit is lost, none goes back, groups recover.

Two members over raw requests go through a fixed dance (`crash/dances.py`), once per kind of group; in each round the broker is
killed while one step of it has no answer yet, until each step has had its kill. Meanwhile standalone committers, and groups of
franz-go, librdkafka and Java consumers whose members come and go, commit as fast as they can. After each start the committed
offsets are compared with what was acknowledged and sent, and the dancers with what they had been told. At the end every group
must become stable and go on. The seed that is printed replays the order and the moments, not the scheduling of threads.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "crash"))

from broker import Broker  # noqa: E402
from clients import HERE as CRASH, Program  # noqa: E402
from commits import Committers, Ledger, fetch, wire  # noqa: E402
from dances import Classic, Modern, TOPIC as DANCED, PARTITIONS  # noqa: E402

TOPIC, TOPIC_PARTITIONS = "consumed", 6
COMMITTERS = 6
PACE = 1500  # records a second
READY_SECONDS, SETTLE_SECONDS = 20, 30
STRIKE_SECONDS_MAX = 0.004
SETTINGS = {
    "group.initial.rebalance.delay.ms": 0, "group.min.session.timeout.ms": 500, "offsets.topic.num.partitions": 8,
    # A modern member that could not say goodbye to a dead broker is soon forgotten.
    "group.consumer.min.session.timeout.ms": 1000, "group.consumer.session.timeout.ms": 3000,
    "group.consumer.min.heartbeat.interval.ms": 100, "group.consumer.heartbeat.interval.ms": 200,
}
FRANZ = [{"Name": "franz-cooperative", "Balancer": "cooperative", "Members": 3}, {"Name": "franz-range", "Balancer": "range", "Members": 2},
         {"Name": "franz-modern", "Balancer": "modern", "Members": 3}]
LIBRDKAFKA = [{"Name": "rdkafka-cooperative", "Balancer": "cooperative-sticky", "Members": 2}, {"Name": "rdkafka-modern", "Balancer": "modern", "Members": 2}]
JAVA = "java-classic:classic:2,java-modern:consumer:2"


class Crowd:
    """The real clients: a producer, and consumers of three libraries."""

    def __init__(self, given, bootstrap, work):
        plan = {"Bootstrap": bootstrap, "Seed": given.seed, "Topic": TOPIC}
        path = lambda name: os.path.join(work, f"{name}.ledger")
        self.producer = Program("producer", [given.load, "produce"], {
            "Bootstrap": bootstrap, "Seed": given.seed, "Ledger": path("produced"), "Prefix": "p", "Clients": 2,
            "Topics": [{"Name": TOPIC, "Partitions": TOPIC_PARTITIONS}]}, work)
        self.consumers = [
            Program("franz", [given.load, "consume"], {**plan, "Ledger": path("franz"), "Groups": FRANZ}, work),
            Program("librdkafka", [sys.executable, os.path.join(CRASH, "librdkafka_groups.py")], {**plan, "Ledger": path("librdkafka"), "Groups": LIBRDKAFKA}, work),
        ]
        self.groups = [group["Name"] for group in FRANZ + LIBRDKAFKA]
        if given.java:
            self.consumers.append(self.java(given, bootstrap, path("java"), work))
            self.groups += [entry.split(":")[0] for entry in JAVA.split(",")]
        self.producer.send(f"pace {PACE}")
        self.producer.answer()

    @staticmethod
    def java(given, bootstrap, ledger, work):
        plan = os.path.join(work, "java.properties")
        with open(plan, "w") as file:
            file.write(f"bootstrap={bootstrap}\nledger={ledger}\ntopic={TOPIC}\nseed={given.seed}\ngroups={JAVA}\n")
        command = ["bash", "-c", f'exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx256m -cp "{given.java}" GroupLoad {plan}']
        return Program("java", command, {"Ledger": ledger}, work)

    def ledgers(self):
        return [program.ledger for program in self.consumers]

    def stop(self):
        """How many commits were acknowledged, and how many failed."""
        for program in self.consumers:
            program.send("stop")
        return [tuple(map(int, program.answer().split())) for program in self.consumers]

    def end(self):
        for program in [self.producer, *self.consumers]:
            program.process.kill()
            program.process.wait()


class Test:
    """The broker, everyone who talks to it, and what is wrong so far."""

    def __init__(self, given, work):
        self.given, self.work, self.chance = given, work, random.Random(given.seed)
        self.protocol = wire.default_protocol()
        self.broker = Broker(given.binary, os.path.join(work, "data"), os.path.join(work, "broker.log"), settings=SETTINGS)
        self.ledger, self.failed, self.compared, self.unanswered = Ledger(), [], 0, []
        self.crowd = self.committers = None

    def connect(self):
        return wire.Connection(self.broker.bootstrap, self.protocol, timeout=READY_SECONDS)

    def prepare(self):
        self.broker.start()
        self.broker.wait_ready()
        with self.connect() as connection:
            reply = connection.request("CreateTopics", 7, {"timeoutMs": 20_000, "Topics": [
                {"Name": name, "NumPartitions": count, "ReplicationFactor": 1} for name, count in ((TOPIC, TOPIC_PARTITIONS), (DANCED, PARTITIONS))]})
            topic_id = reply["Topics"][1]["TopicId"]
        self.await_coordinators()
        self.dances = [Classic(self.broker.bootstrap, self.protocol, "dance-classic", self.ledger),
                       Modern(self.broker.bootstrap, self.protocol, "dance-modern", self.ledger)]
        self.dances[1].topic_id = topic_id
        for dance in self.dances:
            dance.dance()
            self.failed += dance.problems
        self.committers = Committers(self.broker.bootstrap, self.protocol, self.ledger, DANCED, PARTITIONS, COMMITTERS, self.given.seed)
        self.committers.start()
        self.crowd = Crowd(self.given, self.broker.bootstrap, self.work)
        self.ledger.files = self.crowd.ledgers()

    def await_coordinators(self):
        """Until every partition of the groups' topic has its coordinator loaded."""
        deadline = time.monotonic() + READY_SECONDS
        names = [f"probe-{number}" for number in range(64)]
        with self.connect() as connection:
            while True:
                found = connection.request("FindCoordinator", 4, {"KeyType": 0, "CoordinatorKeys": names})["Coordinators"]
                shown = connection.request("DescribeGroups", 5, {"Groups": names})["Groups"]
                if not any(answer["ErrorCode"] for answer in found + shown):
                    return
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the coordinators are not there {READY_SECONDS} s after the start")
                time.sleep(0.01)

    def brace(self):
        if self.broker.valve:
            self.broker.valve.shut()

    def strike(self):
        """The kill, a moment after the request was sent."""
        time.sleep(self.chance.choice([0, self.chance.uniform(0, STRIKE_SECONDS_MAX)]))
        self.unanswered.append(sum(self.committers.in_flight))
        self.broker.kill()

    def round(self, number, dance, step):
        """A kill at one step, the restart, and the comparison."""
        if not dance.dance(step, self.brace, self.strike):
            raise RuntimeError(f"{dance.group} has no step {step!r}")
        floors = self.ledger.snapshot()
        held = ", syncs held" if self.broker.valve else ""
        self.broker.start(with_valve=self.chance.random() < 0.3)
        self.broker.wait_ready()
        self.await_coordinators()
        with self.connect() as connection:
            shown = fetch(connection, self.ledger.groups())
        wrong = self.ledger.judge(floors, shown)
        dance.after()
        self.failed += [f"round {number}, {dance.group} at {step!r}{held}: {problem}" for problem in wrong + dance.problems]
        dance.problems.clear()
        self.compared += len(floors)
        print(f"  kill {number}: {dance.group}, {step}{held}; {len(floors)} committed offsets, ready after {self.broker.startup_seconds * 1000:.0f} ms", flush=True)

    def rounds(self):
        plan = [(dance, step) for dance in self.dances for step in dance.steps]
        self.chance.shuffle(plan)
        for number, (dance, step) in enumerate(plan[:self.given.rounds or len(plan)], 1):
            self.round(number, dance, step)
            if len(self.failed) > 20:
                return number
        return min(self.given.rounds or len(plan), len(plan))

    def recovers(self):
        """Every group of real clients becomes stable, and each commits more than it had."""
        deadline, before = time.monotonic() + SETTLE_SECONDS, self.ledger.snapshot()
        stable, going = set(), set()
        with self.connect() as connection:
            while time.monotonic() < deadline and not stable & going >= set(self.crowd.groups):
                listed = connection.request("ListGroups", 5, {"StatesFilter": ["Stable"]})["Groups"]
                stable |= {group["GroupId"] for group in listed}
                going |= {key[0] for key, offset in self.ledger.snapshot().items() if offset > before.get(key, -1)}
                time.sleep(0.1)
        self.failed += [f"{group} was never stable again" for group in self.crowd.groups if group not in stable]
        self.failed += [f"{group} committed nothing more" for group in self.crowd.groups if group not in going]

    def finish(self):
        """All stop; once more through a restart, now that nothing is on its way."""
        answers = self.crowd.stop()
        self.committers.end()
        floors = self.ledger.snapshot()
        self.broker.kill()
        self.broker.start()
        self.broker.wait_ready()
        self.await_coordinators()
        with self.connect() as connection:
            self.failed += [f"at the end: {problem}" for problem in self.ledger.judge(floors, fetch(connection, self.ledger.groups()))]
        self.failed += self.committers.problems[:5] + [f"the broker panicked: {line}" for line in self.broker.panics()[:3]]
        if any(acked == 0 for acked, _ in answers):
            self.failed.append(f"a kind of client committed nothing: {answers}")
        return answers

    def end(self):
        if self.committers:
            self.committers.stop.set()
        self.broker.end()
        if self.crowd:
            self.crowd.end()


def run(given, work):
    test, kills = Test(given, work), 0
    try:
        test.prepare()
        kills = test.rounds()
        test.recovers()
        answers = test.finish()
        print(f"groups: {kills} kills, a committer's request unanswered in {sum(map(bool, test.unanswered))} of them; {test.ledger.count} commits acknowledged "
              f"(clients: {', '.join(f'{acked} and {failed} failed' for acked, failed in answers)}), {test.compared} offsets compared", flush=True)
    except (RuntimeError, OSError, wire.WireError, subprocess.SubprocessError) as error:
        test.failed.append(f"{type(error).__name__}: {error}; the broker's last words: {test.broker.last_words()[-600:]}")
    finally:
        test.end()
    return test.failed, kills + test.compared


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--binary", required=True)
    arguments.add_argument("--load", required=True, help="the program built from load/")
    arguments.add_argument("--java", help="the class path of GroupLoad; without it no Java consumers")
    arguments.add_argument("--rounds", type=int, default=0, help="how many kills; one at each step of the dances unless given")
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    given = arguments.parse_args()
    print(f"groups: seed {given.seed}", flush=True)
    begun, work = time.monotonic(), tempfile.mkdtemp(prefix="watershed-groups-")
    failed, passed = run(given, work)
    for reason in failed[:30]:
        print(f"FAILED {reason} (seed {given.seed})")
    if failed:
        print(f"groups: the data and logs stay in {work}")
    else:
        shutil.rmtree(work, ignore_errors=True)
    print(f"groups: {time.monotonic() - begun:.0f} s")
    print(f"{passed} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
