"""The group tests: real clients as members of consumer groups that come, go and die (README.md, Groups).

Two scenarios run at a time, each with its own groups and topics; results flow into the report
of the whole run.
"""

import time
from concurrent.futures import ThreadPoolExecutor

from group_broker import Brokered
from group_mixed import Migration, Mixed, recreated_topic
from group_solo import VARIANTS, Solo
from group_tools import Tools, offsets_topic
from group_world import World

CLIENTS = [*VARIANTS, "tools-4.2", "tools-3.9", "mixed"]


def scenarios(world, clients):
    """(label, what to run): the long ones first."""
    found = []
    for client in clients:
        for index, (protocol, assignor) in enumerate(VARIANTS.get(client, [])):
            solo = Solo(world, client, protocol, assignor, everything=index == 0)
            found.append((f"{client} {solo.label}", solo.run))
        if client.startswith("tools-"):
            found.append((client, Tools(world, client.removeprefix("tools-")).run))
    if "mixed" in clients:
        found.append(("broker rules and Streams", Brokered(world).run))
        found.append(("offsets topic", lambda: offsets_topic(world)))
        found.append(("migration java-4.2", Migration(world, "java-4.2").run))
        found.append(("migration confluent", Migration(world, "confluent").run))
        found.append(("recreated topic", lambda: recreated_topic(world)))
    return found


def timed(scenario):
    label, run = scenario
    started = time.monotonic()
    run()
    print(f"-- groups {label}: {time.monotonic() - started:.0f} s", flush=True)


def run(bootstrap, clients, work, report, watershed):
    """Runs the group tests of these clients against the broker."""
    world = World(bootstrap, work, report, watershed)
    try:
        if "mixed" in clients:
            timed(("mixed", Mixed(world).run))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(timed, scenarios(world, clients)))
    finally:
        world.end()
