"""Consumer groups: scenarios of several clients in order, for the classic protocol, for KIP-848 and for both in one group."""

from . import admin, classic, consumer, mixed, offsets, static

TOPICS = {"one": 3, "two": 3, "six": 6}


def groups(b):
    for name, partitions in TOPICS.items():
        b.make(name, partitions)
    admin.finding(b)
    classic.classic(b)
    static.static(b)
    offsets.offsets(b)
    consumer.consumer(b)
    mixed.mixed(b)
    admin.showing(b)
    admin.internal(b)
    classic.unreadable(b)
