"""kill -9, restart, a retry acknowledged, then the power cut: the batch is on the medium.

The broker is killed while its fdatasync calls are held (`fdatasync.Valve`): only the page cache has what the producer has
sent, and nothing of it was answered. The next broker finds the batches there and answers the producer's retry as a
duplicate. That answer is a promise: the power is cut the moment it arrives.
"""

import os
import time

from broker import Broker
from world import batches, wire

TOPIC = "retry"
VALUE = b"%d-%d-" + b"v" * 40_000
# Batches that are durable, batches that only the page cache has. The first partition has no directory; the last one rolls.
PARTITIONS = [(0, 3), (2, 3), (1, 60)]
RETRIED = 5  # what a broker remembers of a producer, so what a client may retry
HELD_SECONDS_MAX = 20


class Case:
    def __init__(self, pool, binary, work, no_sync=False):
        """With `no_sync` the broker that answers the retries does not sync: the case has to fail."""
        self.pool, self.binary, self.work, self.protocol = pool, binary, work, wire.default_protocol()
        self.no_sync = no_sync
        self.producer, self.failed = None, []

    def broker(self, disk, with_valve=False, no_sync=False):
        broker = Broker(self.binary, os.path.join(disk.directory, "data"), os.path.join(self.work, "retry.log"),
                        no_sync=no_sync)
        broker.start(with_valve)
        return broker.wait_ready(), wire.Connection(broker.bootstrap, self.protocol)

    def frame(self, connection, partition, sequence):
        records = batches.build([(None, VALUE % (partition, sequence))], timestamp=int(time.time() * 1000) - 1000,
                                producer=(*self.producer, sequence))
        connection.correlation += 1
        return connection.frame("Produce", 11, {"TransactionalId": None, "Acks": -1, "TimeoutMs": 20000, "TopicData": [
            {"Name": TOPIC, "PartitionData": [{"Index": partition, "Records": records}]}]}, connection.correlation)

    def send(self, connection, partition, sequence):
        """One batch of one record, until it is answered: the numbers are the offsets."""
        connection.send_raw(self.frame(connection, partition, sequence))
        reply = connection.decode("Produce", 11, connection.receive_raw())
        answer = reply["Responses"][0]["PartitionResponses"][0]
        if answer["ErrorCode"] or answer["BaseOffset"] != sequence:
            self.failed.append(f"retry: batch {sequence} of partition {partition} was answered with error "
                               f"{answer['ErrorCode']}, offset {answer['BaseOffset']}")

    def stored(self, cut):
        """What a broker finds after the cut: (offset, number) of the records of each partition, in order."""
        broker, connection = self.broker(cut.mount())
        found = []
        for partition in range(len(PARTITIONS)):
            records = [r for batch in batches.stored(connection, TOPIC, partition) for r in batch.records]
            found.append([(r.offset, int(r.value.split(b"-")[1])) for r in records])
        broker.kill()
        cut.remove()
        return found

    def prepare(self, connection):
        connection.request("CreateTopics", 7, {"timeoutMs": 20000, "Topics": [
            {"Name": TOPIC, "NumPartitions": len(PARTITIONS), "ReplicationFactor": 1, "Configs": [
                {"Name": "segment.bytes", "Value": "1048576"}]}]})
        answer = connection.request("InitProducerId", 4, {"TransactionalId": None, "TransactionTimeoutMs": 60000})
        self.producer = (answer["ProducerId"], answer["ProducerEpoch"])
        for partition, (durable, _) in enumerate(PARTITIONS):
            for sequence in range(durable):
                self.send(connection, partition, sequence)

    def leave_in_page_cache(self, disk):
        """A broker that is killed with everything written, nothing synced and nothing answered."""
        broker, connection = self.broker(disk, with_valve=True)
        self.prepare(connection)
        broker.valve.shut()
        for partition, (durable, more) in enumerate(PARTITIONS):
            for sequence in range(durable, durable + more):
                connection.send_raw(self.frame(connection, partition, sequence))
        data, deadline = os.path.join(disk.directory, "data"), time.monotonic() + HELD_SECONDS_MAX
        wanted = sum(sum(numbers) for numbers in PARTITIONS) * len(VALUE)
        while bytes_under(data) < wanted or not broker.valve.held:
            if time.monotonic() > deadline:
                raise RuntimeError(f"retry: {bytes_under(data)} bytes written of {wanted}, {len(broker.valve.held)} syncs held")
            time.sleep(0.05)
        connection.sock.settimeout(0.3)
        try:
            self.failed.append(f"retry: answered before it was synced: {connection.receive_raw()}")
        except TimeoutError:
            pass
        broker.kill()

    def run(self):
        """What failed."""
        disk = self.pool.disk("retry")
        self.leave_in_page_cache(disk)
        before = disk.cut("retry-before")
        broker, connection = self.broker(disk, no_sync=self.no_sync)
        retried = 0
        for partition, (durable, more) in enumerate(PARTITIONS):
            for sequence in range(max(durable, durable + more - RETRIED), durable + more):
                retried += 1
                self.send(connection, partition, sequence)
        after = disk.cut("retry-after")
        broker.kill()
        disk.remove()
        whole = [[(number, number) for number in range(durable + more)] for durable, more in PARTITIONS]
        alone = sum(map(len, whole)) - sum(map(len, self.stored(before)))
        if not alone:
            self.failed.append("retry: the page cache had nothing of its own at the kill: the case proves nothing")
        for partition, (found, wanted) in enumerate(zip(self.stored(after), whole)):
            if found != wanted:
                self.failed.append(f"retry: partition {partition} has {found[:3]}.. ({len(found)}) after the power cut, "
                                   f"acknowledged were {len(wanted)}")
        print(f"power: {alone} batches only in the page cache at the kill, {retried} retries acknowledged after the "
              "restart, power cut at once: " + ("not all there" if self.failed else "all there"), flush=True)
        return self.failed


def bytes_under(directory):
    """The sizes of the log files below a directory."""
    total = 0
    for path, _, names in os.walk(directory):
        for name in names:
            if name.endswith(".log"):
                total += os.path.getsize(os.path.join(path, name))
    return total
