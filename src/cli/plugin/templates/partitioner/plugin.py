"""Which partition a record belongs to: tenants with a partition of their own get it, the others share the rest by their key."""

import json

from columns import values
from wit_world.imports import helpers

MANIFEST = {
    "name": "NAME",
    "version": "1.0.0",
    "api": 1,
    "reads": ["keys", "ordering_keys"],
    # It answers by the record and the number of partitions alone, so it can be enforced.
    "deterministic": True,
    "config_schema": {
        "type": "object",
        "properties": {"own": {"type": "array", "items": {"type": "string"}}},
        "additionalProperties": False,
    },
}

CLIENT_STANDS = 0xFFFFFFFF

own = {}


class Lifecycle:
    def describe(self):
        return json.dumps(MANIFEST)

    def init(self, config_json):
        """To refuse the settings: raise Err("why"), of componentize_py_types."""
        for i, tenant in enumerate(json.loads(config_json).get("own", [])):
            own[tenant.encode()] = i


class Partitioner:
    def partition(self, b, partitions):
        """One partition a record, from 0; CLIENT_STANDS where the client's choice stands."""
        shared = partitions - len(own)
        ordered, keys = b.ordering_keys(), b.keys()
        chosen = []
        for first, second in zip(values(ordered), values(keys)):
            key = second if first is None else first
            if key is None or shared <= 0:
                chosen.append(CLIENT_STANDS)
            elif key in own:
                chosen.append(own[key])
            else:
                chosen.append(len(own) + (helpers.murmur2(key) & 0x7FFFFFFF) % shared)
        return chosen
