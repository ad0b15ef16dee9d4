"""A broker as a process that may be killed, frozen and started again on its directory."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time

from fdatasync import Valve

HERE = os.path.dirname(os.path.abspath(__file__))
SHIM = [sys.executable, os.path.join(HERE, "fdatasync.py")]
ENV_SH = os.path.join(HERE, "..", "..", "clients", "lib", "env.sh")
START_SECONDS, START_SECONDS_OF_KAFKA = 60, 240
# How often retention looks; a broker that is judged leaves everything where it found it.
RETENTION_MS, RETENTION_OF_JUDGED_MS = 300, 3_600_000
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """So that no broker outlives a test that crashed."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """The binary under test on one data directory."""

    patience_seconds = START_SECONDS

    def __init__(self, binary, directory, log, port=None, no_sync=False, judged=False, settings=None):
        self.port, self.log = port or free_port(), log
        self.bootstrap = f"127.0.0.1:{self.port}"
        listener = f'listeners=[{{name="PLAINTEXT",address="127.0.0.1:{self.port}"}}]'
        self.command = [binary, "serve", "--set", f"data_dir={directory}", "--set", listener]
        self.command += ["--set", f"http.address=127.0.0.1:{free_port()}"]
        retention = RETENTION_OF_JUDGED_MS if judged else RETENTION_MS
        self.command += ["--set", f'kafka."log.retention.check.interval.ms"={retention}']
        for name, value in (settings or {}).items():
            self.command += ["--set", f'kafka."{name}"={value}']
        if no_sync:
            self.command = SHIM + ["no-op"] + self.command
        self.process = self.valve = None
        self.startup_seconds = 0.2

    def start(self, with_valve=False):
        """With a valve its fdatasync calls can be held: see `fdatasync.Valve`."""
        self.valve = Valve() if with_valve else None
        asked = [self.valve.theirs.fileno()] if with_valve else []
        shim = SHIM + ["ask", str(asked[0])] if with_valve else []
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(shim + self.command, stdout=log, stderr=log, preexec_fn=die_with_parent,
                                            pass_fds=asked)
        if with_valve:
            self.valve.attach()

    def accepts(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def wait_ready(self):
        """Until it accepts; the listeners open last."""
        begun = time.monotonic()
        while not self.accepts():
            if self.process.poll() is not None:
                raise RuntimeError(f"the broker ended with {self.process.returncode}: {self.last_words()}")
            if time.monotonic() - begun > self.patience_seconds:
                raise RuntimeError(f"the broker is not ready after {self.patience_seconds} s: {self.last_words()}")
            time.sleep(0.005)
        self.startup_seconds = time.monotonic() - begun
        return self

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """SIGKILL. A broker that had already ended by itself is an error."""
        if not self.alive():
            raise RuntimeError(f"the broker ended by itself: {self.last_words()}")
        self.process.kill()
        self.process.wait()

    def freeze(self):
        """On return it runs no more: what it answered, it has answered. System calls under way may still end."""
        self.process.send_signal(signal.SIGSTOP)
        tasks = f"/proc/{self.process.pid}/task"
        while any(self._runs(f"{tasks}/{task}/stat") for task in os.listdir(tasks)):
            time.sleep(0.0002)

    @staticmethod
    def _runs(path):
        try:
            with open(path) as file:
                return file.read().rsplit(")", 1)[1].split()[0] not in "TtDZX"
        except FileNotFoundError:
            return False

    def end(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def last_words(self):
        try:
            with open(self.log, errors="replace") as log:
                return " | ".join(log.read().splitlines()[-12:])
        except OSError as error:
            return str(error)

    def panics(self):
        with open(self.log, errors="replace") as log:
            return [line.strip() for line in log if "panicked at" in line]


class Kafka(Broker):
    """Apache Kafka 4.2 with its defaults, for comparison."""

    patience_seconds = START_SECONDS_OF_KAFKA

    def __init__(self, directory, log, port=None):
        self.port, self.log, self.process, self.valve = port or free_port(), log, None, None
        self.bootstrap, self.startup_seconds = f"127.0.0.1:{self.port}", 5.0
        self.directory = directory
        self.command = ["bash", "-c", f". {ENV_SH}; exec_kafka {directory}"]

    def prepare(self):
        """A formatted directory, or the addresses of this process in one that is there."""
        what = "write_kafka_config" if os.path.exists(f"{self.directory}/server.properties") else "prepare_kafka"
        extra = free_port() if what == "write_kafka_config" else ""
        subprocess.run(["bash", "-c", f". {ENV_SH}; {what} {self.directory} {self.port} {extra}"], check=True,
                       stdout=subprocess.DEVNULL)
        return self
