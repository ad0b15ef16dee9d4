"""A broker that dies in its very first start: the next one starts, on whatever the first has left."""

import os
import time

from broker import Broker

TIMES = 8
# About how long a start takes.
MOMENTS_SECONDS = 0.1


def alive(broker, what):
    """What is wrong with a broker that should start, in words."""
    try:
        broker.start()
        broker.wait_ready()
        return []
    except RuntimeError as error:
        return [f"{what}: {error}"]
    finally:
        broker.end()


def begin(binary, directory, log, chance):
    """A broker in the middle of its first start."""
    broker = Broker(binary, directory, log)
    broker.start()
    time.sleep(chance.uniform(0, MOMENTS_SECONDS))
    return broker


def killed(binary, work, chance):
    failed = []
    for number in range(TIMES):
        directory, log = os.path.join(work, f"birth{number}"), os.path.join(work, "birth.log")
        begin(binary, directory, log, chance).kill()
        failed += alive(Broker(binary, directory, log), "after a kill in its first start")
    return failed


def cut(binary, pool, work, chance):
    failed, log = [], os.path.join(work, "birth.log")
    for number in range(TIMES):
        disk = pool.disk(f"birth{number}")
        broker = begin(binary, os.path.join(disk.directory, "data"), log, chance)
        left = disk.cut(f"birth{number}-cut").mount()
        broker.end()
        failed += alive(Broker(binary, os.path.join(left.directory, "data"), log), "after a power cut in its first start")
        left.remove()
        disk.remove()
    return failed
