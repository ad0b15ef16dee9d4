"""Groups of one client: joining, sharing, leaving, dying, committing, resuming, and what only some clients have."""

import time

from group_world import METADATA, SESSION_MS, share, until

PARTITIONS = 6
# client -> (protocol, assignor) of its groups; the first goes through everything.
VARIANTS = {
    "confluent": [("classic", "range"), ("classic", "cooperative-sticky"), ("consumer", None)],
    "kafka-python": [("classic", "range"), ("classic", "sticky"), ("classic", "cooperative-sticky")],
    "aiokafka": [("classic", "range"), ("classic", "sticky")],
    "kafkajs": [("classic", "roundrobin"), ("classic", "range")],
    "franz-go": [("classic", "cooperative-sticky"), ("classic", "range"), ("consumer", "uniform")],
    "java-4.2": [("classic", "range"), ("classic", "sticky"), ("classic", "cooperative-sticky"), ("consumer", None),
                 ("consumer", "range")],
    "java-3.9": [("classic", "range"), ("classic", "cooperative-sticky"), ("consumer", None)],
}
# kafkajs has no static members; franz-go's leave a KIP-848 group when they close, with Apache Kafka too.
NO_STATIC = {("kafkajs", "classic"), ("franz-go", "consumer")}
NO_ASYNC = {"kafkajs", "aiokafka"}
NO_METADATA = {"aiokafka", "franz-go"}  # They do not show a committed offset's metadata.
# kafkajs resolves its pattern once; kafka-python now and then ends without partitions when a topic comes (on Apache Kafka too).
ONLY_KNOWN_TOPICS = {"kafkajs", "kafka-python"}


class Solo:
    def __init__(self, world, client, protocol, assignor, everything):
        self.world, self.client, self.everything = world, client, everything
        self.protocol, self.options = protocol, {"protocol": protocol, "assignor": assignor}
        self.label = f"{protocol} {assignor or 'default'}"
        self.name = f"{world.run_id}-{client}-{protocol}-{assignor or 'default'}"
        self.started = []

    def start(self, group=None, topics=None, **options):
        topics = [self.topic] if topics is None else topics
        member = self.world.start(self.client, group or self.name, topics, **{**self.options, **options})
        self.started.append(member)
        return member

    def run(self):
        steps = [self.join, self.second, self.third, self.leave, self.die, self.commit, self.resume]
        if self.everything or self.protocol == "consumer":
            steps += [self.seek, self.unsubscribe, self.static, self.latest, self.pattern, self.asynchronous]
        self.topic = self.name
        self.partitions = self.world.create(self.topic, PARTITIONS)
        for step in steps:
            if not self.check(step):
                break
        self.world.end(self.started)

    def check(self, step):
        feature, name = step.__doc__.split(": ", 1)
        began = time.monotonic()
        try:
            step()
            self.world.report.add(self.client, feature, f"{self.label}: {name}", True)
        except Exception as error:
            where = f"group {self.name}: {type(error).__name__}: {error}"
            self.world.report.add(self.client, feature, f"{self.label}: {name}", False, where[:900])
            print(f"!! {self.client} {self.label}: {name}: {where[:900]}", flush=True)
            return False
        if (took := time.monotonic() - began) > 10:
            print(f"   {self.client} {self.label}: {step.__name__} took {took:.0f} s", flush=True)
        return True

    def reads(self, member, wanted, what):
        """Waits until the member has read as many records, and nothing else."""
        until(lambda: len(member.records) >= wanted, lambda: f"{what}, {wanted} records: {member}")
        assert len(member.records) == wanted, f"{what}: {wanted} records expected: {member}"

    def commits(self, member, group, ends):
        until(lambda: member.committed == ends, lambda: f"all is committed: {member} {member.committed} of {ends}")
        until(lambda: self.world.committed(group) == {p: (o, METADATA) for p, o in ends.items()},
              lambda: f"the broker has the commits: {self.world.committed(group)} of {ends}")

    def join(self):
        """g-join: one member gets everything and reads from the earliest record"""
        self.world.write(self.partitions, 10)
        self.first = self.start()
        share([self.first], self.partitions)
        self.reads(self.first, 10 * PARTITIONS, "from the earliest")

    def second(self):
        """g-join: two members share"""
        self.other = self.start()
        share([self.first, self.other], self.partitions)

    def third(self):
        """g-join: three members share"""
        self.last = self.start()
        share([self.first, self.other, self.last], self.partitions)

    def leave(self):
        """g-leave: who leaves is missed at once"""
        self.last.stop()
        share([self.first, self.other], self.partitions, SESSION_MS / 1000 - 0.5)

    def die(self):
        """g-kill: who was killed is missed after its session"""
        self.other.kill()
        share([self.first], self.partitions)

    def commit(self):
        """g-commit: what was read is committed, metadata and all"""
        before = len(self.first.records)
        ends = self.world.write(self.partitions, 10)
        self.reads(self.first, before + 10 * PARTITIONS, "new records")
        self.commits(self.first, self.name, ends)
        self.first.say("committed")
        wanted = {p: (o, None if self.client in NO_METADATA else METADATA) for p, o in ends.items()}
        until(lambda: self.first.fetched is not None, lambda: f"the client shows its commits: {self.first}")
        assert self.first.fetched == wanted, f"{self.first.fetched}, expected {wanted}"
        self.first.stop()
        self.empties(self.name)

    def empties(self, group):
        until(lambda: (self.world.group(group) or ("",))[0] == "Empty", lambda: f"{group} is empty: {self.world.group(group)}")

    def resume(self):
        """g-resume: a new member goes on at the committed offsets"""
        ends = self.world.write(self.partitions, 2)
        self.first = self.start()
        share([self.first], self.partitions)
        self.reads(self.first, 2 * PARTITIONS, "from the commit")
        assert {o for _, _, o in self.first.records} == {20, 21}, self.first.records
        self.commits(self.first, self.name, ends)

    def seek(self):
        """g-seek: back to the beginning"""
        self.first.say("seek")
        self.reads(self.first, (2 + 22) * PARTITIONS, "after the seek")

    def unsubscribe(self):
        """g-leave: who unsubscribes leaves the group"""
        self.first.say("unsubscribe")
        self.empties(self.name)
        self.first.stop()

    def static(self):
        """g-static: a static member comes back to what it had, and nobody else notices"""
        if (self.client, self.protocol) in NO_STATIC:
            return
        group = self.name + "-static"
        if self.protocol == "consumer":
            self.world.set_session(group, 30_000)
        first, other = (self.start(group, instance=name, session_ms=30_000) for name in ("s1", "s2"))
        share([first, other], self.partitions)
        had, said = first.owned, list(other.said)
        if self.protocol == "classic":
            first.kill()
        else:
            first.stop()  # Who was killed has to wait for its own session (KIP-848: UNRELEASED_INSTANCE_ID).
        first = self.start(group, instance="s1", session_ms=30_000)
        until(lambda: first.owned == had, lambda: f"back to {sorted(had)}: {first}")
        assert other.said == said, f"the other member noticed: {other.said[len(said):]}"
        first.stop()
        other.stop()

    def latest(self):
        """g-reset: without a commit, latest reads only what comes after"""
        group, before = self.name + "-latest", self.world.write(self.partitions, 1)
        member = self.start(group, reset="latest")
        share([member], self.partitions)
        deadline = time.monotonic() + 20
        while not member.records and time.monotonic() < deadline:
            self.world.write(self.partitions, 1)  # Its position may not be known yet: write until it reads.
            time.sleep(0.1)
        assert member.records, f"it reads: {member}"
        old = [r for r in member.records if r[2] < before[r[:2]]]
        assert not old, f"older records: {old[:5]}"
        member.stop()

    def pattern(self):
        """g-pattern: a pattern finds the topics that fit, and new ones"""
        prefix, known = self.name + "-fits-", self.client in ONLY_KNOWN_TOPICS
        partitions = self.world.create(prefix + "a", 2)
        if known:
            partitions |= self.world.create(prefix + "b", 2)
        how = "pattern"
        if self.protocol == "consumer" and self.client == "java-4.2":
            how = "regex"  # The broker resolves it (RE2/J): the whole name has to match.
        member = self.start(self.name + "-pattern", [], **{how: f"^{prefix.replace('.', '[.]')}.*"})
        share([member], partitions)
        if not known:
            partitions |= self.world.create(prefix + "b", 2)
            share([member], partitions)
        member.stop()

    def asynchronous(self):
        """g-commit: asynchronous commits arrive"""
        if self.client in NO_ASYNC:
            return
        group, ends = self.name + "-async", self.world.write(self.partitions, 1)
        member = self.start(group, commit="async")
        self.commits(member, group, ends)
        member.stop()
