"""What defines the order of a record: a field of its JSON value, in place of its key."""

import json

MANIFEST = {
    "name": "NAME",
    "version": "1.0.0",
    "api": 1,
    "reads": ["values"],
    "config_schema": {
        "type": "object",
        "properties": {"field": {"type": "string"}},
        "additionalProperties": False,
    },
}

field = "tenant"


class Lifecycle:
    def describe(self):
        return json.dumps(MANIFEST)

    def init(self, config_json):
        """To refuse the settings: raise Err("why"), of componentize_py_types."""
        global field
        field = json.loads(config_json).get("field", field)


class OrderingKey:
    def ordering_keys(self, b):
        """One ordering key a record; where it is null, the record's key stands."""
        return b.value_fields(field)
