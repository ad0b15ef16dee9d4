"""A member by aiokafka."""

import asyncio

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError

from member import Member

M = Member()
PLAN = M.plan
ASSIGNORS = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor, "sticky": StickyPartitionAssignor}


class Listener(ConsumerRebalanceListener):
    def on_partitions_assigned(self, assigned):
        M.event("assigned", p=[list(p) for p in assigned])

    def on_partitions_revoked(self, revoked):
        M.event("revoked", p=[list(p) for p in revoked])


async def poll(consumer):
    offsets = {}
    for partition, records in (await consumer.getmany(timeout_ms=100)).items():
        for record in records:
            M.event("record", t=record.topic, p=record.partition, o=record.offset)
        offsets[partition] = (records[-1].offset + 1, PLAN["metadata"])
    if offsets:
        await consumer.commit(offsets)
        M.event("committed", p=[[p.topic, p.partition, *o] for p, o in offsets.items()])


async def committed(consumer):
    found = {p: await consumer.committed(p) for p in consumer.assignment()}
    return [[p.topic, p.partition, offset, None] for p, offset in found.items() if offset is not None]


async def main():
    consumer = AIOKafkaConsumer(
        bootstrap_servers=PLAN["bootstrap"], group_id=PLAN["group"], client_id=PLAN["name"],
        auto_offset_reset=PLAN["reset"], enable_auto_commit=False, metadata_max_age_ms=1000, fetch_max_wait_ms=100,
        session_timeout_ms=PLAN["session_ms"], heartbeat_interval_ms=300, group_instance_id=PLAN.get("instance"),
        partition_assignment_strategy=(ASSIGNORS[PLAN.get("assignor") or "range"],))
    await consumer.start()
    if PLAN.get("pattern"):
        consumer.subscribe(pattern=PLAN["pattern"], listener=Listener())
    else:
        consumer.subscribe(PLAN["topics"], listener=Listener())
    while (command := M.command()) != "stop":
        try:
            if command == "unsubscribe":
                consumer.unsubscribe()
                M.event("unsubscribed")
                while M.commands.empty():
                    await asyncio.sleep(0.05)
                continue
            if command == "seek":
                await consumer.seek_to_beginning(*consumer.assignment())
            elif command == "committed":
                M.event("fetched", p=await committed(consumer))
            await poll(consumer)
        except KafkaError as error:
            M.error(error)
            await asyncio.sleep(0.1)
    await consumer.stop()
    M.event("stopped")


asyncio.run(main())
