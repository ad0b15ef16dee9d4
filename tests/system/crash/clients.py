"""The load programs (franz-go and librdkafka) and the judge, as this test drives them."""

import json
import os
import queue
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
ANSWER_SECONDS = 150


class Program:
    """A load program: one command in, one line out."""

    def __init__(self, name, command, plan, work):
        self.name, self.ledger = name, plan["Ledger"]
        path = os.path.join(work, f"{name}.json")
        with open(path, "w") as file:
            json.dump(plan, file)
        self.log = open(os.path.join(work, f"{name}.log"), "w")
        self.process = subprocess.Popen(command + [path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                        text=True)
        self.answers = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.answers.put(line.strip())
        self.answers.put(None)

    def send(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def answer(self):
        answer = self.answers.get(timeout=ANSWER_SECONDS)
        if answer is None or answer.startswith("error"):
            raise RuntimeError(f"{self.name}: {answer or 'ended'}; see {self.log.name}")
        return answer

    def words(self):
        with open(self.log.name) as file:
            return file.read().strip()


class Loads:
    """Both kinds of clients together."""

    def __init__(self, bootstrap, topics, work, seed, load_program, franz=24, librdkafka=16, routed=False):
        self.work, self.load_program = work, load_program
        plan = {"Bootstrap": bootstrap, "Seed": seed, "Topics": [{"Name": n, "Partitions": p} for n, p in topics.items()],
                "Routed": routed}
        kinds = [("franz", "g", franz, [load_program, "produce"]),
                 ("librdkafka", "r", librdkafka, [sys.executable, os.path.join(HERE, "librdkafka_load.py")])]
        self.programs = []
        for name, prefix, clients, command in kinds:
            own = {"Ledger": os.path.join(work, f"{name}.ledger"), "Prefix": prefix, "Clients": clients}
            self.programs.append(Program(name, command, plan | own, work))

    def ask(self, command):
        for program in self.programs:
            program.send(command)
        return [program.answer() for program in self.programs]

    def pace(self, records_per_second):
        share = records_per_second // len(self.programs)
        self.ask(f"pace {share}")

    def burst(self):
        self.ask("pace 0")

    def in_flight(self):
        """Produce requests that were sent and not answered, per kind of client."""
        return [int(answer) for answer in self.ask("inflight")]

    def marks(self):
        """What is acknowledged at this moment: the ledgers and how many of their lines."""
        return [{"File": program.ledger, "Lines": int(lines)} for program, lines in zip(self.programs, self.ask("mark"))]

    def stop(self):
        """Waits for every acknowledgement: how many there were, and the deliveries that failed."""
        acked, failures = 0, []
        for program, answer in zip(self.programs, self.ask("stop")):
            lines, failed = map(int, answer.split())
            acked += lines
            if failed:
                failures.append(f"{program.name}: {failed} deliveries failed: {program.words()[:500]}")
        return acked, failures

    def end(self):
        for program in self.programs:
            program.process.kill()
            program.process.wait()

    def judge(self, bootstrap, ledgers, topics, name="judge"):
        """The judge's verdict over a broker: see `../load/judge.go`."""
        return judge(self.load_program, self.work, bootstrap, ledgers, topics, name)


def judge(load_program, work, bootstrap, ledgers, topics, name="judge"):
    path = os.path.join(work, f"{name}.json")
    with open(path, "w") as file:
        json.dump({"Bootstrap": bootstrap, "Ledgers": ledgers, "Topics": topics}, file)
    done = subprocess.run([load_program, "judge", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=ANSWER_SECONDS)
    if done.returncode:
        raise RuntimeError(f"the judge could not read the broker: {done.stderr.strip()}")
    return json.loads(done.stdout)


WRONG = {
    "Missing": "acknowledged records are missing", "Twice": "records are there twice",
    "Disorder": "records are out of order", "Foreign": "records are where they do not belong",
    "Starts": "logs begin where they should not",
}


def complaints(verdict):
    """What the verdict holds against the broker, in words."""
    counted = [f"{verdict[key]} {what}" for key, what in WRONG.items() if verdict[key]]
    return counted and [", ".join(counted)] + verdict["Problems"][:5]
