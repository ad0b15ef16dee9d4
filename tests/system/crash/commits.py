"""What was committed: every offset that was sent, the highest that was acknowledged, and committers that do nothing else."""

import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "clients", "lib"))

import wire  # noqa: E402

NOT_NOW = {14, 15, 16}
ANSWER_SECONDS, RETRY_SECONDS = 10, 0.02
NEVER = -1


class Ledger:
    """Sent and acknowledged offsets by (group, topic, partition), of this process and of the files of the clients."""

    def __init__(self, files=()):
        self.files, self.read = list(files), {}
        self.all_sent, self.floors, self.lock, self.count = {}, {}, threading.Lock(), 0

    def sent(self, group, topic, partition, offset):
        with self.lock:
            self.all_sent.setdefault((group, topic, partition), set()).add(offset)

    def acked(self, group, topic, partition, offset):
        with self.lock:
            key = (group, topic, partition)
            self.floors[key] = max(offset, self.floors.get(key, NEVER))
            self.count += 1

    def refresh(self):
        """Takes in what the clients have written since: whole lines only."""
        for path in self.files:
            if not os.path.exists(path):
                continue
            with open(path) as file:
                file.seek(self.read.get(path, 0))
                for line in iter(file.readline, ""):
                    if not line.endswith("\n"):
                        break
                    self.read[path] = self.read.get(path, 0) + len(line.encode())
                    kind, group, topic, partition, offset = line.split()
                    (self.sent if kind == "S" else self.acked)(group, topic, int(partition), int(offset))

    def snapshot(self):
        self.refresh()
        with self.lock:
            return dict(self.floors)

    def groups(self):
        with self.lock:
            return sorted({group for group, _, _ in self.all_sent})

    def judge(self, floors, shown):
        """`floors`: what was acknowledged before the kill; `shown`: what the broker has after it."""
        self.refresh()
        wrong = []
        for key, floor in floors.items():
            offset = shown.get(key, NEVER)
            if offset < floor:
                wrong.append(f"{key}: {floor} was acknowledged, the broker has {offset}")
        for key, offset in shown.items():
            if offset != NEVER and offset not in self.all_sent.get(key, ()):
                wrong.append(f"{key}: the broker has {offset}, which nobody sent")
        return wrong


def fetch(connection, groups):
    """All committed offsets of the groups; an error of a group that loads is waited for."""
    while True:
        reply = connection.request("OffsetFetch", 9, {"Groups": [{"GroupId": group, "Topics": None} for group in groups], "RequireStable": True})
        errors = {group["ErrorCode"] for group in reply["Groups"]} - {0}
        if not errors:
            return {(group["GroupId"], topic["Name"], part["PartitionIndex"]): part["CommittedOffset"]
                    for group in reply["Groups"] for topic in group["Topics"] for part in topic["Partitions"]}
        if errors - NOT_NOW:
            raise RuntimeError(f"OffsetFetch: errors {errors}")
        time.sleep(RETRY_SECONDS)


class Committers:
    """Threads that commit ever higher offsets as standalone consumers, one request at a time, several partitions each."""

    def __init__(self, bootstrap, protocol, ledger, topic, partitions, count, seed):
        self.bootstrap, self.protocol, self.ledger = bootstrap, protocol, ledger
        self.topic, self.partitions, self.problems = topic, partitions, []
        self.in_flight, self.stop = [0] * count, threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(number, random.Random(f"{seed} {number}")), daemon=True) for number in range(count)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def run(self, number, chance):
        group, offset, connection = f"committer-{number}", 0, None
        while not self.stop.is_set():
            try:
                if connection is None:
                    connection = wire.Connection(self.bootstrap, self.protocol, timeout=ANSWER_SECONDS)
                offset += chance.randint(1, 3)
                self.commit(connection, number, group, offset, chance.sample(range(self.partitions), chance.randint(1, self.partitions)))
            except (OSError, wire.WireError):
                connection = connection and connection.close()
                time.sleep(RETRY_SECONDS)
            finally:
                self.in_flight[number] = 0

    def commit(self, connection, number, group, offset, partitions):
        for partition in partitions:
            self.ledger.sent(group, self.topic, partition, offset)
        self.in_flight[number] = 1
        reply = connection.request("OffsetCommit", 8, {"GroupId": group, "Topics": [{"Name": self.topic, "Partitions": [
            {"PartitionIndex": partition, "CommittedOffset": offset, "CommittedMetadata": f"{number}"} for partition in partitions]}]})
        for part in reply["Topics"][0]["Partitions"]:
            if part["ErrorCode"] == 0:
                self.ledger.acked(group, self.topic, part["PartitionIndex"], offset)
            elif part["ErrorCode"] not in NOT_NOW:
                self.problems.append(f"{group}: a commit was refused with error {part['ErrorCode']}")
