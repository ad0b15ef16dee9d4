"""Produces the same records to topics with different plugins and compares the broker's processor time."""

import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
GUESTS = HERE.parent.parent / "plugins" / "wasm" / "guests"
EXAMPLES = HERE.parent.parent / "examples" / "plugins"

# The topic, what it shows, its configs.
TOPICS = [
    ("plain", "no plugin", {}),
    ("native-enforce", "native partitioner, enforced (reads keys)",
     {"watershed.partitioner": "key-hash", "watershed.partitioner.mode": "enforce"}),
    ("luau-keep", "Luau interceptor that keeps everything", {"watershed.interceptors": "keep"}),
    ("luau-json", "Luau ordering key from a JSON field, native partitioner enforced",
     {"watershed.ordering.key": "tenant", "watershed.partitioner": "key-hash", "watershed.partitioner.mode": "enforce"}),
    ("wasm-keep", "Wasm interceptor that keeps everything (reads keys)", {"watershed.interceptors": "keyed"}),
    ("wasm-enforce", "Wasm partitioner, enforced (reads keys)",
     {"watershed.partitioner": "by-tenant", "watershed.partitioner.mode": "enforce"}),
    ("wasm-key-enforce", "Wasm ordering key and partitioner, enforced (all columns are read)",
     {"watershed.ordering.key": "reference", "watershed.partitioner": "reference", "watershed.partitioner.mode": "enforce"}),
]

KEEP = """
return { name = "keep", version = "1", api = 1, intercept = function(b) return {} end }
"""
TENANT = """
local P = { name = "tenant", version = "1", api = 1, reads = { "values" } }
function P.ordering_key(b)
	local keys = table.create(#b)
	for i = 1, #b do
		keys[i] = b:value_field(i, "tenant")
	end
	return keys
end
return P
"""


def config(directory):
    (directory / "keep.luau").write_text(KEEP)
    (directory / "tenant.luau").write_text(TENANT)
    lines = [
        f"data_dir = {json.dumps(str(directory / 'data'))}",
        '[http]\naddress = "127.0.0.1:0"',
        '[[listeners]]\nname = "PLAINTEXT"\naddress = "127.0.0.1:0"',
        '[[plugins]]\nname = "keep"\nfile = "keep.luau"',
        '[[plugins]]\nname = "tenant"\nfile = "tenant.luau"',
        f'[[plugins]]\nname = "keyed"\nfile = {json.dumps(str(GUESTS / "keyed.wasm"))}',
        f'[[plugins]]\nname = "by-tenant"\nfile = {json.dumps(str(EXAMPLES / "tenant-partitioner" / "tenant-partitioner.wasm"))}\n'
        "config = { tenants = [] }",
        f'[[plugins]]\nname = "reference"\nfile = {json.dumps(str(GUESTS / "reference.wasm"))}\nconfig = {{ field = "tenant" }}',
    ]
    for name, _, configs in TOPICS:
        pairs = ", ".join(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in configs.items())
        lines.append(f'[[topics]]\nname = "{name}"\npartitions = 1\nconfig = {{ {pairs} }}')
    path = directory / "watershed.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


class Broker:
    """A broker of its own for each measurement: the next one's log takes the memory that this one's had. Memory that nobody had for a
    while may have to be asked of the host of a virtual machine, page by page, which costs more than what is measured."""

    def __init__(self, binary, directory, path):
        self.data = directory / "data"
        command = [binary, "--json", "serve", "--config", str(path)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.address = json.loads(self.process.stdout.readline())["listeners"][0]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.data)

    def cpu_seconds(self):
        """By the scheduler's clock: the ticks of `stat` are too coarse for runs of half a second."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def records(path, count):
    filler = "x" * 930
    with path.open("w") as out:
        for n in range(count):
            out.write(f'key-{n % 1000}\t{{"tenant":"tenant-{n % 100}","id":{n:09d},"text":"{filler}"}}\n')
    return path.stat().st_size


def produce(address, topic, path):
    subprocess.run(
        ["kcat", "-P", "-b", address, "-t", topic, "-p", "0", "-K", "\t", "-l", str(path), "-X", "enable.idempotence=true",
         "-X", "acks=all", "-X", "linger.ms=20", "-X", "batch.size=262144", "-X", "queue.buffering.max.messages=1000000"],
        check=True, stdout=subprocess.DEVNULL)


def main():
    binary, count, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    costs = {topic: [] for topic, _, _ in TOPICS}
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        records(directory / "first", count // 20)
        size = records(directory / "records", count)
        path = config(directory)
        for _ in range(rounds):
            for topic, _, _ in TOPICS:
                with Broker(binary, directory, path) as broker:
                    produce(broker.address, topic, directory / "first")
                    before = broker.cpu_seconds()
                    produce(broker.address, topic, directory / "records")
                    costs[topic].append((broker.cpu_seconds() - before) / (size / 1e9))
    plain = statistics.median(costs["plain"])
    print("| Topic with | CPU s/GB | ratio |\n|---|---:|---:|")
    for topic, what, _ in TOPICS:
        cost = statistics.median(costs[topic])
        print(f"| {what} | {cost:.2f} | {cost / plain:.2f} |")


if __name__ == "__main__":
    main()
