"""Both brokers as processes: started alike, capped alike, measured alike by the operating system's accounting."""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
LIB = os.path.join(HERE, "..", "..", "tests", "clients", "lib")
sys.path.insert(0, LIB)

import wire  # noqa: E402

PROTOCOL = wire.default_protocol()
LOAD = os.environ.get("LOAD_BIN", "watershed-load")

# A process's CPU clock, all threads, in nanoseconds: what clock_getcpuclockid(3) gives for a pid.
CPUCLOCK_SCHED = 2


def shell(text, *args):
    return subprocess.run(["bash", "-c", f'. "$0/env.sh"; {text}', LIB, *args], check=True, capture_output=True, text=True).stdout


def load(*args):
    """Runs the load generator; what it measured."""
    done = subprocess.run([LOAD, *map(str, args)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"load {' '.join(map(str, args))}: {done.stderr.strip()[-400:]}")
    return json.loads(done.stdout)


def sync():
    """Lets no dirty page of an earlier measurement fall into the next."""
    ctypes.CDLL(None).sync()


class Broker:
    """One broker on a directory of its own. `kind` is `watershed` or `kafka`."""

    def __init__(self, kind, work, settings=()):
        self.kind, self.dir = kind, os.path.join(work, kind)
        shutil.rmtree(self.dir, ignore_errors=True)
        self.port = int(shell("free_port"))
        self.bootstrap = f"127.0.0.1:{self.port}"
        shell(f'prepare_{kind} "$1" "$2"', self.dir, str(self.port))
        if kind == "kafka" and settings:
            with open(os.path.join(self.dir, "server.properties"), "a") as out:
                out.writelines(line + "\n" for line in settings)
        self.start_ms = self.start()

    def start(self):
        """Starts the process; milliseconds until its first answer to a Metadata request."""
        log = open(os.path.join(self.dir, "broker.log"), "a")
        started = time.perf_counter()
        self.process = subprocess.Popen(["bash", "-c", f'. "$0/env.sh"; exec_{self.kind} "$1"', LIB, self.dir], stdout=log, stderr=log)
        self.pid = self.process.pid
        return (self._first_answer(started) - started) * 1000

    def _first_answer(self, started):
        while time.perf_counter() - started < 120:
            if self.process.poll() is not None:
                raise SystemExit(f"{self.kind} ended: {open(os.path.join(self.dir, 'broker.log')).read()[-800:]}")
            try:
                with wire.Connection(self.bootstrap, PROTOCOL, timeout=5) as connection:
                    if connection.request("Metadata", 9, {"Topics": []})["Brokers"]:
                        return time.perf_counter()
            except (OSError, wire.WireError):
                pass
            time.sleep(0.001)
        raise SystemExit(f"{self.kind} did not answer in 120 s")

    def cpu(self):
        """CPU seconds so far, user and system, of all threads."""
        return time.clock_gettime(((~self.pid) << 3) | CPUCLOCK_SCHED)

    def rss(self):
        """Resident megabytes."""
        line = next(line for line in open(f"/proc/{self.pid}/status") if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1000

    def create(self, topic, partitions=6, **configs):
        """Creates a topic and waits until all partitions have a leader; seconds until CreateTopics answered."""
        with wire.Connection(self.bootstrap, PROTOCOL, timeout=120) as connection:
            began = time.perf_counter()
            reply = connection.request("CreateTopics", 5, {"timeoutMs": 60000, "Topics": [
                {"Name": topic, "NumPartitions": partitions, "ReplicationFactor": 1,
                 "Configs": [{"Name": name.replace("_", "."), "Value": value} for name, value in configs.items()]}]})
            took = time.perf_counter() - began
            assert reply["Topics"][0]["ErrorCode"] == 0, reply
            # Kafka tells of leaders in Metadata before they take requests: they are asked themselves.
            ends = {"ReplicaId": -1, "IsolationLevel": 0, "Topics": [{"Name": topic, "Partitions": [
                {"PartitionIndex": index, "CurrentLeaderEpoch": -1, "Timestamp": -1} for index in range(partitions)]}]}
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                got = connection.request("ListOffsets", 5, ends)["Topics"][0]["Partitions"]
                if all(partition["ErrorCode"] == 0 for partition in got):
                    return took
                time.sleep(0.05)
        raise RuntimeError(f"{topic} has no leaders after 60 s")

    def cap(self, cores):
        """Lets the broker have so much of a core and no more (cgroup); `None` takes the cap away."""
        name = f"bench-{self.kind}"
        if os.path.exists("/sys/fs/cgroup/cpu/tasks"):
            group = f"/sys/fs/cgroup/cpu/{name}"
            os.makedirs(group, exist_ok=True)
            write(f"{group}/cpu.cfs_quota_us", -1 if cores is None else int(cores * 100_000))
        else:
            group = f"/sys/fs/cgroup/{name}"
            os.makedirs(group, exist_ok=True)
            write(f"{group}/cpu.max", "max" if cores is None else f"{int(cores * 100_000)} 100000")
        write(f"{group}/cgroup.procs", self.pid)

    def kill(self):
        """SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """Ends the process and removes its directory."""
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


def write(path, value):
    with open(path, "w") as out:
        out.write(str(value))
