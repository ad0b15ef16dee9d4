"""The requests of the differential: the same, in the same order, for both brokers.

`run(broker)` sends them and collects what came back under a name. A case is one request;
a case that must find something (a topic, records) creates it earlier. Names of topics are
fixed, so both brokers must be fresh. Where Kafka applies a change a little after it
answered, `settle` waits.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "clients", "lib"))

from . import cluster, configs, groups, produce, reading, shapes, topics  # noqa: E402
from .common import BROKER_CONFIGS, MADE_BY_BROKER, NO_ID, UNKNOWN_ID, Broker  # noqa: E402, F401

PARTS = (
    cluster.api_versions, cluster.hostile, topics.create_topics, cluster.metadata, topics.partitions, produce.produce,
    produce.idempotence, reading.list_offsets, reading.fetch, configs.describing,
    configs.altering, configs.brokers, configs.listing, configs.groups, topics.removal, cluster.acls, cluster.quorum, cluster.features,
    cluster.coordinators, groups.groups,
)


def run(broker, served):
    """`served`: API name -> (lowest, highest version) that both brokers are asked."""
    for part in PARTS:
        part(broker)
    shapes.shapes(broker, served)
    cluster.last(broker)
    return broker
