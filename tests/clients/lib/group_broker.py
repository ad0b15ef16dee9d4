"""Classic groups that the broker balances (rules of `run`: `brokered-sticky-*`, `brokered-*`), and Kafka Streams.

Only Watershed knows such rules; against another broker only Streams runs, in a group as any other.
"""

from group_world import share, until

OVERLAP_S = 0.1  # Lines of two processes may be read in another order than they were written.


def two_owners(members):
    """Partitions that two members owned at one time, by their own lines."""
    spans = {}
    for member in members:
        since = {}
        for moment, event, moved in member.moves:
            for partition in moved:
                if event == "assigned":
                    since.setdefault(partition, moment)
                elif partition in since:
                    spans.setdefault(partition, []).append((since.pop(partition), min(moment, member.ended or moment), member.name))
        for partition, moment in since.items():
            spans.setdefault(partition, []).append((moment, member.ended or float("inf"), member.name))
    found = []
    for partition, owned in spans.items():
        owned.sort()
        found += [(partition, a[2], b[2]) for a, b in zip(owned, owned[1:]) if b[0] < a[1] - OVERLAP_S]
    return found


class Brokered:
    def __init__(self, world):
        self.world, self.started = world, []

    def start(self, client, group, topic, **options):
        member = self.world.start(client, group, [topic], **options)
        self.started.append(member)
        return member

    def run(self):
        for step in [self.streams, *([self.sticky, self.cooperative] if self.world.watershed else [])]:
            try:
                step()
                self.world.report.add("mixed", "g-broker", step.__doc__, True)
            except Exception as error:
                where = f"{type(error).__name__}: {error}"[:1200]
                self.world.report.add("mixed", "g-broker", step.__doc__, False, where)
                print(f"!! {step.__doc__}: {where}", flush=True)
            self.world.end(self.started)
            self.started = []

    def sticky(self):
        """classic kafka-python members that ask for range, balanced by the broker's sticky"""
        group = f"brokered-sticky-{self.world.run_id}"
        partitions = self.world.create(group, 12)
        ends = self.world.write(partitions, 5)
        members = [self.start("kafka-python", group, group) for _ in range(4)]
        share(members, partitions)
        until(lambda: {p: o for p, (o, _) in self.world.committed(group).items()} == ends, "everything is committed")
        for _ in range(2):
            gone = members.pop(0)
            had = [set(m.owned) for m in members]
            gone.stop()
            share(members, partitions)
            kept = [h <= m.owned for h, m in zip(had, members)]
            # Range would have moved most of them.
            assert all(kept), f"moved without need: {[sorted(h - m.owned) for h, m in zip(had, members)]}"
        for member in members:
            member.stop()

    def cooperative(self):
        """cooperative members under the rule: revoked first, nobody owns a partition twice"""
        group = f"brokered-cooperative-{self.world.run_id}"
        partitions = self.world.create(group, 9)
        members = []
        for client in ("java-4.2", "confluent", "franz-go"):
            members.append(self.start(client, group, group, assignor="cooperative-sticky"))
            share(members, partitions)
        members.pop(0).stop()
        share(members, partitions)
        members.pop(0).kill()
        share(members, partitions)
        twice = two_owners(self.started)
        assert not twice, f"two owners: {twice[:4]}"
        for member in members:
            member.stop()

    def streams(self):
        """Kafka Streams assigns for itself, also under the rule"""
        group = f"brokered-streams-{self.world.run_id}"
        partitions = self.world.create(group, 4)
        ends = self.world.write(partitions, 5)
        first = self.start("streams", group, group, state=f"{self.world.work}/streams-1")
        share([first], partitions)
        other = self.start("streams", group, group, state=f"{self.world.work}/streams-2")
        share([first, other], partitions)
        ends |= self.world.write(partitions, 5)
        wanted = {(t, p, o) for (t, p), end in ends.items() for o in range(end)}
        until(lambda: wanted == set(first.records) | set(other.records), lambda: f"everything is read: {first}; {other}")
        other.stop()
        share([first], partitions)
        first.stop()
