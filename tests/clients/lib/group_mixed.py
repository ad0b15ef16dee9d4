"""Groups of many clients, of both protocols, and what a deleted topic leaves behind."""

import threading
import time

from group_world import DEADLINE_S, METADATA, share, until

KINDS = ["java-4.2", "confluent", "franz-go", "kafka-python", "kafkajs", "aiokafka"]


class Writer(threading.Thread):
    """Writes into every partition until told to end."""

    def __init__(self, world, partitions):
        super().__init__(daemon=True)
        self.world, self.partitions, self.ends, self.finish = world, partitions, {}, threading.Event()

    def run(self):
        while not self.finish.is_set():
            self.ends |= self.world.write(self.partitions, 2)
            time.sleep(0.02)

    def end(self):
        self.finish.set()
        self.join(DEADLINE_S)
        return self.ends


class Mixed:
    """One classic group of members of six clients that share the assignor range."""

    def __init__(self, world):
        self.world, self.name, self.ran = world, f"{world.run_id}-mixed", []

    def start(self, client):
        member = self.world.start(client, self.name, [self.name], assignor="range")
        self.ran.append(member)
        return member

    def run(self):
        self.partitions = self.world.create(self.name, 12)
        try:
            self.members = [self.start(client) for client in KINDS]
            share(self.members, self.partitions)
            self.quiet()
            self.stormy()
        except Exception as error:
            self.world.report.add("mixed", "g-mixed", "the members share", False, f"{type(error).__name__}: {error}"[:1500])
        self.world.end(self.ran)

    def everything_read(self, ends):
        """Waits until the group has committed everything, then for what its members say of it: a commit may be quicker.
        The records, and those of them that nobody has said to have read in time."""
        until(lambda: {p: o for p, (o, _) in self.world.committed(self.name).items()} == ends,
              lambda: f"all is committed: {self.world.committed(self.name)} of {ends}; " + "; ".join(map(str, self.members)))
        wanted = {(t, p, o) for (t, p), end in ends.items() for o in range(end)}
        deadline = time.monotonic() + DEADLINE_S
        while (missing := wanted - self.read()) and time.monotonic() < deadline:
            time.sleep(0.03)
        return wanted, missing

    def read(self):
        """The records that the members said that they read."""
        return {record for member in self.ran for record in member.records}

    def quiet(self):
        """Members stop and come while nothing is written: exactly once."""
        ends = self.world.write(self.partitions, 5)
        self.everything_read(ends)
        for index, client in enumerate(KINDS[:3]):
            self.members.pop(0).stop()
            share(self.members, self.partitions)
            ends = self.world.write(self.partitions, 5)
            self.everything_read(ends)
            self.members.append(self.start(client))
            share(self.members, self.partitions)
        ends = self.world.write(self.partitions, 5)
        wanted, _ = self.everything_read(ends)
        read = self.read()
        twice = sum(len(member.records) for member in self.ran) - len(read)
        self.world.report.add("mixed", "g-mixed", "a quiet group reads each record exactly once",
                              read == wanted and twice == 0,
                              f"{len(wanted)} written, {len(read)} read, {twice} more than once")

    def stormy(self):
        """Members are killed and added while a producer writes: at least once."""
        writer = Writer(self.world, self.partitions)
        writer.start()
        for _ in range(2):
            victim = self.members.pop(0)
            victim.kill()
            self.members.append(self.start(victim.client))
            leaver = self.members.pop(0)
            leaver.stop()
            self.members.append(self.start(leaver.client))
            share(self.members, self.partitions)
        ends = writer.end()
        wanted, missing = self.everything_read(ends)
        self.world.report.add("mixed", "g-mixed", "killed and added under load: each record at least once", not missing,
                              f"{len(wanted)} written, {len(missing)} never read: {sorted(missing)[:5]}")


class Migration:
    """A group goes over to KIP-848 while its classic members stay, and back."""

    def __init__(self, world, client):
        self.world, self.client, self.name = world, client, f"{world.run_id}-migrate-{client}"

    def is_type(self, kind):
        until(lambda: (self.world.group(self.name) or ("", ""))[1] == kind, lambda: f"a {kind} group: {self.world.group(self.name)}")

    def run(self):
        partitions, running = self.world.create(self.name, 6), []
        start = lambda protocol: running.append(self.world.start(self.client, self.name, [self.name], protocol=protocol)) or running[-1]
        try:
            ends = self.world.write(partitions, 10)
            old = [start("classic"), start("classic")]
            share(old, partitions)
            until(lambda: {p: o for p, (o, _) in self.world.committed(self.name).items()} == ends, "the commits of the classic members")
            self.is_type("classic")
            new = start("consumer")
            share([*old, new], partitions)
            self.is_type("consumer")
            old.pop().stop()
            share([*old, new], partitions)
            old.pop().stop()
            share([new], partitions)
            assert not new.records, f"it starts at the commits: {new}"
            self.world.report.add("mixed", "g-migrate", f"{self.client}: classic to consumer", True)
            back = start("classic")
            share([back, new], partitions)
            new.stop()
            share([back], partitions)
            self.is_type("classic")
            ends = self.world.write(partitions, 1)
            until(lambda: back.committed == ends, lambda: f"it reads on: {back}")
            assert len(back.records) == len(partitions), f"each new record once: {back}"
            self.world.report.add("mixed", "g-migrate", f"{self.client}: consumer to classic", True)
        except Exception as error:
            self.world.report.add("mixed", "g-migrate", f"{self.client}: between the protocols", False,
                                  f"{type(error).__name__}: {error}; " + "; ".join(map(str, running)))
        self.world.end(running)


def recreated_topic(world):
    """The offsets of a deleted topic are gone when it comes back."""
    name = f"{world.run_id}-recreated"
    try:
        for protocol in ("classic", "consumer"):
            partitions = world.create(name, 2)
            ends = world.write(partitions, 5)
            member = world.start("confluent", f"{name}-{protocol}", [name], protocol=protocol)
            until(lambda: member.committed == ends, lambda: f"committed: {member}")
            member.stop()
            assert world.committed(f"{name}-{protocol}") == {p: (5, METADATA) for p in partitions}
            world.delete(name)
            until(lambda: not world.committed(f"{name}-{protocol}"), "the offsets are gone")
            world.create(name, 2)
            world.write(partitions, 3)
            member = world.start("confluent", f"{name}-{protocol}", [name], protocol=protocol)
            until(lambda: len(member.records) >= 6, lambda: f"from offset 0 again: {member}")
            assert sorted(member.records) == [(name, p, o) for p in (0, 1) for o in range(3)], member.records
            member.stop()
            world.delete(name)
            world.report.add("mixed", "g-recreated", f"{protocol}: a recreated topic is read from 0", True)
    except Exception as error:
        world.report.add("mixed", "g-recreated", "a recreated topic is read from 0", False, f"{type(error).__name__}: {error}")
