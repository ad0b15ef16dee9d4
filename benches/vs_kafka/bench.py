"""Watershed beside Apache Kafka: the same clients, one after the other, round by round; one table of ratios.

Nothing here asserts on a time: the table shows the goal beside each ratio, and a reader judges.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile

import scenarios
from results import table

KINDS = ("watershed", "kafka")


def touch_memory(size):
    """A fresh virtual machine pays for the first touch of each page: let that not be a broker."""
    info = dict(line.split(":", 1) for line in open("/proc/meminfo"))
    free = int(info["MemFree"].split()[0]) * 1024
    block = bytearray(min(int(free * 0.85), size))
    for at in range(0, len(block), 4096):
        block[at] = 1


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=float, default=1e9, help="bytes of record values, the whole of the bulk scenario")
    parser.add_argument("--volume", type=float, default=5e9, help="bytes of record values of the after_load scenario")
    parser.add_argument("--seconds", type=float, default=15, help="of each measurement on a schedule")
    parser.add_argument("--flushed-rate", type=int, default=100, help="requests/s that Kafka sustains with a flush per batch")
    parser.add_argument("--commits", type=int, default=50_000_000, help="offsets that the many_commits scenario commits")
    parser.add_argument("--quick", action="store_true", help="do not touch all memory first: for trying things out")
    parser.add_argument("--only", choices=KINDS, help="one broker only")
    parser.add_argument("--figures", help="keep every figure there (JSON); rounds of earlier runs count with this one's")
    parser.add_argument("--out", help="write the table there too")
    parser.add_argument("scenarios", nargs="*", help=f"of {', '.join(scenarios.SCENARIOS)}; all without")
    options = parser.parse_args()
    options.scenarios = options.scenarios or list(scenarios.SCENARIOS)
    return options


def main():
    options = arguments()
    work = tempfile.mkdtemp(prefix="watershed-bench.", dir=os.environ.get("BENCH_DIR"))
    kinds = [options.only] if options.only else KINDS
    figures = {kind: {} for kind in kinds}
    if options.figures and os.path.exists(options.figures):
        with open(options.figures) as kept:
            figures |= json.load(kept)
    try:
        if not options.quick:
            touch_memory(1 << 40)
        records = scenarios.Records(work)
        for number in range(options.rounds):
            for name in options.scenarios:
                for kind in kinds:
                    got = scenarios.run(name, kind, work, records, options)
                    for key, value in got.items():
                        figures[kind].setdefault(key, []).append(value)
                    shown = ", ".join(f"{key} {value:.3g}" for key, value in got.items())
                    print(f"round {number + 1}, {name}, {kind}: {shown}", file=sys.stderr, flush=True)
                    if options.figures:
                        with open(options.figures, "w") as kept:
                            json.dump(figures, kept, indent=1)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    text = table(figures, options, scenarios.machine())
    print(text)
    if options.out:
        with open(options.out, "w") as out:
            out.write(text)


if __name__ == "__main__":
    main()
