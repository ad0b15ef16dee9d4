"""A member by kafka-python."""

import time

from kafka import ConsumerRebalanceListener, KafkaConsumer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from member import Member

M = Member()
PLAN = M.plan
ASSIGNORS = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor,
             "sticky": StickyPartitionAssignor, "cooperative-sticky": CooperativeStickyAssignor}


class Listener(ConsumerRebalanceListener):
    def on_partitions_assigned(self, assigned):
        M.event("assigned", p=[list(p) for p in assigned])

    def on_partitions_revoked(self, revoked):
        M.event("revoked", p=[list(p) for p in revoked])

    def on_partitions_lost(self, lost):
        M.event("lost", p=[list(p) for p in lost])


def committed(consumer):
    found = {p: consumer.committed(p, metadata=True) for p in consumer.assignment()}
    return [[p.topic, p.partition, o.offset, o.metadata] for p, o in found.items() if o is not None]


def mend(consumer):
    """kafka-python 3.0.12 never looks at a join again that ends in the moment in which a poll's time is over: the member has an assignment
    and does not know it. It joins again."""
    coordinator = consumer._coordinator
    if not coordinator.need_rejoin() and coordinator._join_task is not None and coordinator._join_task.is_done:
        coordinator.request_rejoin()


def poll(consumer):
    offsets = {}
    for partition, records in consumer.poll(timeout_ms=100).items():
        for record in records:
            M.event("record", t=record.topic, p=record.partition, o=record.offset)
        offsets[partition] = OffsetAndMetadata(records[-1].offset + 1, PLAN["metadata"], -1)
    if not offsets:
        return
    shown = [[p.topic, p.partition, o.offset, o.metadata] for p, o in offsets.items()]
    if PLAN.get("commit") == "async":
        consumer.commit_async(offsets, callback=lambda _, answer: isinstance(answer, Exception) or M.event("committed", p=shown))
    else:
        consumer.commit(offsets)
        M.event("committed", p=shown)


def main():
    consumer = KafkaConsumer(
        bootstrap_servers=PLAN["bootstrap"], group_id=PLAN["group"], client_id=PLAN["name"],
        auto_offset_reset=PLAN["reset"], enable_auto_commit=False, metadata_max_age_ms=1000, fetch_max_wait_ms=100,
        session_timeout_ms=PLAN["session_ms"], heartbeat_interval_ms=300, group_instance_id=PLAN.get("instance"),
        partition_assignment_strategy=(ASSIGNORS[PLAN.get("assignor") or "range"],))
    if PLAN.get("pattern"):
        consumer.subscribe(pattern=PLAN["pattern"], listener=Listener())
    else:
        consumer.subscribe(PLAN["topics"], listener=Listener())
    while (command := M.command()) != "stop":
        try:
            if command == "unsubscribe":
                consumer.unsubscribe()
                M.event("unsubscribed")
                M.commands.put(M.command(wait=True))
                continue
            if command == "seek":
                consumer.seek_to_beginning(*consumer.assignment())
            elif command == "committed":
                M.event("fetched", p=committed(consumer))
            poll(consumer)
            mend(consumer)
        except KafkaError as error:
            M.error(error)
            time.sleep(0.1)
    consumer.close()
    M.event("stopped")


main()
