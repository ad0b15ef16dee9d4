"""`kill -9` under load, again and again, some of it in the middle of recovery: what was acknowledged is there.

Idempotent clients of two kinds write to topics with small segments while topics are created, deleted, grown and altered
and records deleted (`crash/world.py`). Before each kill the load goes as fast as it can, and the requests in flight are
counted. After each start the metadata must be what was answered; at the end the judge reads everything
(`load/judge.go`). The seed that is printed replays the moments and the operations, not the scheduling of threads.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "crash"))

import birth  # noqa: E402
from broker import Broker  # noqa: E402
from clients import Loads, complaints  # noqa: E402
from world import LOAD_TOPICS, RELAXED_TOPICS, World, wire  # noqa: E402

PACE = 3000            # records a second between kills
IN_FLIGHT_WANTED = 100
BURST_SECONDS_MAX = 5
SETTLE_SECONDS = 60


def burst_until_loaded(broker, loads, chance):
    """All clients at full speed until enough requests wait for their answer; how many, just before the kill."""
    loads.burst()
    if broker.valve:
        # What is written from here on is not answered: it will all be sent again.
        broker.valve.shut()
    time.sleep(chance.uniform(0.1, 0.4))
    deadline = time.monotonic() + BURST_SECONDS_MAX
    while True:
        counts = loads.in_flight()
        if sum(counts) >= IN_FLIGHT_WANTED or time.monotonic() > deadline:
            return counts
        time.sleep(0.005)


def wait_for_clients(loads, world, checks):
    """Until the load is acknowledged again and the metadata was checked more than `checks` times."""
    before = sum(mark["Lines"] for mark in loads.marks())
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        if sum(mark["Lines"] for mark in loads.marks()) > before and world.checks > checks:
            return
        if not world.thread.is_alive():
            raise RuntimeError("; ".join(world.problems[-3:]))
        time.sleep(0.02)
    raise RuntimeError(f"no acknowledgement or no check of the metadata {SETTLE_SECONDS} s after the start")


def kill_rounds(broker, loads, world, rounds, chance):
    """The kills: the requests in flight at each, and how many met a recovery."""
    in_flight, in_recovery = [], 0
    for number in range(rounds):
        loads.pace(PACE)
        time.sleep(chance.uniform(0.2, 1.0))
        held = ", its syncs held" if broker.valve else ""
        in_flight.append(burst_until_loaded(broker, loads, chance))
        broker.kill()
        checks = world.checks
        loads.pace(PACE)
        broker.start(with_valve=chance.random() < 0.3)
        for _ in range([0, 0, 1, 0, 2][number % 5]):
            time.sleep(broker.startup_seconds * chance.uniform(0.05, 0.6))
            in_recovery += not broker.accepts()
            broker.kill()
            broker.start(with_valve=chance.random() < 0.3)
        broker.wait_ready()
        wait_for_clients(loads, world, checks)
        print(f"  kill {number + 1}: in flight {' + '.join(map(str, in_flight[-1]))}, "
              f"ready after {broker.startup_seconds * 1000:.0f} ms" + held, flush=True)
    return in_flight, in_recovery


def run(given, work):
    chance = random.Random(given.seed)
    data, log = os.path.join(work, "data"), os.path.join(work, "broker.log")
    broker = Broker(given.binary, data, log)
    world = World(broker.bootstrap, wire.default_protocol(), given.seed)
    loads, failed = None, birth.killed(given.binary, work, chance)
    try:
        broker.start()
        broker.wait_ready()
        topics = LOAD_TOPICS | RELAXED_TOPICS
        world.create_loaded(topics)
        topics = {name: partitions for name, (partitions, _) in topics.items()}
        loads = Loads(broker.bootstrap, topics, work, given.seed, given.load)
        loads.pace(PACE)
        world.start()
        wait_for_clients(loads, world, 0)
        in_flight, in_recovery = kill_rounds(broker, loads, world, given.rounds, chance)
        acked, failures = loads.stop()
        world.finish()
        # Once more through recovery, now that nothing is written: the judge reads what came of it.
        broker.kill()
        broker = Broker(given.binary, data, log, broker.port, judged=True)
        broker.start()
        broker.wait_ready()
        world.check()
        ledgers = [{"File": mark["File"], "Lines": -1} for mark in loads.marks()]
        ledgers.append(world.state.write_ledger(os.path.join(work, "world.ledger")))
        world.producer_id()
        world.disconnect()
        verdict = loads.judge(broker.bootstrap, ledgers, world.state.facts())
        failed += complaints(verdict) + failures + world.problems
        failed += [f"the broker panicked: {line}" for line in broker.panics()[:3]]
        least = min(map(sum, in_flight))
        if least < IN_FLIGHT_WANTED:
            failed.append(f"only {least} requests were in flight at a kill: the load is too small to prove anything")
        if not verdict["Deleted"] or not world.state.gone:
            failed.append("nothing was deleted: the test proved less than it says")
        median = sorted(map(sum, in_flight))[len(in_flight) // 2]
        print(f"kills: {given.rounds} kills under load with {least} requests in flight at least (median {median}), "
              f"{in_recovery} more during recovery")
        print(f"kills: {acked} acknowledged records, {verdict['Stored']} stored, {verdict['Deleted']} deleted since; "
              f"{world.state.answered} operations on topics answered, {len(world.state.gone)} topics deleted, "
              f"metadata compared {world.checks} times")
    except Exception as error:  # noqa: BLE001 -- whatever ends the test is its failure
        failed += [f"{type(error).__name__}: {error}"] + world.problems
    finally:
        world.stop.set()
        broker.end()
        if loads is not None:
            loads.end()
    return failed, given.rounds + world.checks


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--binary", required=True)
    arguments.add_argument("--load", required=True, help="the program built from load/")
    arguments.add_argument("--rounds", type=int, default=36)
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    given = arguments.parse_args()
    print(f"kills: {given.rounds} rounds, seed {given.seed}", flush=True)
    begun = time.monotonic()
    work = tempfile.mkdtemp(prefix="watershed-kills-")
    failed, passed = run(given, work)
    for reason in failed[:30]:
        print(f"FAILED {reason} (seed {given.seed})")
    if failed:
        print(f"kills: the data and logs stay in {work}")
    else:
        shutil.rmtree(work, ignore_errors=True)
    print(f"kills: {time.monotonic() - begun:.0f} s")
    print(f"{passed} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
