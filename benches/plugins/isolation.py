"""What others notice of a plugin that always fails, or uses nearly all of its budget; and how long a runaway is let run.

    isolation.py <broker binary> <load program> [seconds] [rounds]

The acknowledgements of one topic are timed while a client sends to another: one without plugins, one whose plugin always fails, one
whose plugin takes nearly its whole budget a call. Then single records are sent to a topic whose plugin never ends.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

PACE, BUDGET_MS = 2000, 5
SCRIPTS = {
    "fails": 'return { name = "fails", version = "1", api = 1, intercept = function(b) error("always") end }',
    "slow": """
local P = { name = "slow", version = "1", api = 1, reads = { "values" } }
function P.intercept(b)
	local sum = 0
	for i = 1, STEPS do sum = sum + i % 7 end
	return {}
end
return P
""",
    "endless": 'return { name = "endless", version = "1", api = 1, intercept = function(b) while true do end end }',
}


def config(directory, steps):
    lines = [f"data_dir = {json.dumps(str(directory / 'data'))}", '[http]\naddress = "127.0.0.1:0"',
             '[[listeners]]\nname = "PLAINTEXT"\naddress = "127.0.0.1:0"', '[[topics]]\nname = "quiet"\npartitions = 4',
             '[[topics]]\nname = "plain"\npartitions = 1']
    for name, script in SCRIPTS.items():
        (directory / f"{name}.luau").write_text(script.replace("STEPS", str(steps)))
        lines.append(f'[[plugins]]\nname = "{name}"\nfile = "{name}.luau"')
        lines.append(f'[[topics]]\nname = "{name}"\npartitions = 1\nconfig = {{ "watershed.interceptors" = "{name}" }}')
    path = directory / "watershed.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def main():
    binary, load = sys.argv[1:3]
    seconds, rounds = (int(argument) for argument in (sys.argv[3:] + ["5", "3"])[:2])
    steps = int(sys.argv[5]) if len(sys.argv) > 5 else 400_000
    with tempfile.TemporaryDirectory() as name:
        broker = subprocess.Popen([binary, "--json", "serve", "--config", str(config(pathlib.Path(name), steps))],
                                  stdout=subprocess.PIPE, text=True)
        try:
            address = json.loads(broker.stdout.readline())["listeners"][0]
            ask = lambda *words: json.loads(subprocess.run([load, *words], check=True, stdout=subprocess.PIPE, text=True).stdout)
            found = {beside: [] for beside in ["plain", "fails", "slow"]}
            for number in range(rounds + 1):
                for beside in found:
                    noise = subprocess.Popen([load, "insist", address, beside, "1"])
                    try:
                        result = ask("flow", address, "quiet", "4", str(PACE * seconds), str(PACE))
                    finally:
                        noise.kill()
                        noise.wait()
                    if number > 0:
                        found[beside].append(result)
            refusals = {topic: ask("refused", address, topic, "20") for topic in ["fails", "endless"]}
        finally:
            broker.terminate()
            broker.wait()
    print(f"| beside a topic | ack p50, ms | ack p99, ms | p99, ratio |\n|---|---:|---:|---:|")
    base = statistics.median(run["ack_p99_ms"] for run in found["plain"])
    for beside, runs in found.items():
        p50, p99 = (statistics.median(run[field] for run in runs) for field in ["ack_p50_ms", "ack_p99_ms"])
        print(f"| {beside} | {p50:.2f} | {p99:.2f} | {p99 / base:.2f} |")
    for topic, times in refusals.items():
        print(f"refused by {topic}: p50 {times['p50_ms']:.1f} ms, p99 {times['p99_ms']:.1f} ms (budget {BUDGET_MS} ms)")


if __name__ == "__main__":
    main()
