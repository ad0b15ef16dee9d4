"""What `watershed.partitioner.mode = broker` costs beside a topic without it: processor time per GB, acknowledgement, visibility.

    routed.py <broker binary> <load program> [records] [rounds]

Twelve partitions, uniform keys. Processor time is measured at full speed, latencies at a pace that both topics can keep.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

from measure import Broker

PARTITIONS, RECORD_BYTES, PACE = 12, 1024, 10_000
TOPICS = {"plain": "", "routed": 'config = { "watershed.partitioner" = "key-hash", "watershed.partitioner.mode" = "broker" }'}


def config(directory):
    lines = [f"data_dir = {json.dumps(str(directory / 'data'))}", '[http]\naddress = "127.0.0.1:0"',
             '[[listeners]]\nname = "PLAINTEXT"\naddress = "127.0.0.1:0"']
    lines += [f'[[topics]]\nname = "{name}"\npartitions = {PARTITIONS}\n{configs}' for name, configs in TOPICS.items()]
    path = directory / "watershed.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def main():
    binary, load = sys.argv[1:3]
    count, rounds = (int(argument) for argument in (sys.argv[3:] + ["300000", "3"])[:2])
    full, paced = ({topic: [] for topic in TOPICS} for _ in range(2))
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        path = config(directory)
        for _ in range(rounds):
            for topic in TOPICS:
                with Broker(binary, directory, path) as broker:

                    def run(records, pace):
                        before = broker.cpu_seconds()
                        flow = [load, "flow", broker.address, topic, str(PARTITIONS), str(records), str(pace)]
                        found = json.loads(subprocess.run(flow, check=True, stdout=subprocess.PIPE, text=True).stdout)
                        return found | {"cpu": (broker.cpu_seconds() - before) / (records * RECORD_BYTES / 1e9)}

                    run(count // 20, 0)
                    full[topic].append(run(count, 0))
                    paced[topic].append(run(PACE * 5, PACE))
    print("| | plain | routed | ratio |\n|---|---:|---:|---:|")
    for what, runs, field in [("processor time, s/GB", full, "cpu"), ("time for all records, s", full, "seconds"),
                              (f"ack p50 at {PACE} records/s, ms", paced, "ack_p50_ms"), ("ack p99, ms", paced, "ack_p99_ms"),
                              ("read after the ack, p50, ms", paced, "visible_p50_ms"), ("read after the ack, p99, ms", paced, "visible_p99_ms"),
                              ("processor time at that pace, s/GB", paced, "cpu")]:
        plain, routed = (statistics.median(run[field] for run in runs[topic]) for topic in TOPICS)
        print(f"| {what} | {plain:.2f} | {routed:.2f} | {routed / max(plain, 1e-9):.2f} |")


if __name__ == "__main__":
    main()
