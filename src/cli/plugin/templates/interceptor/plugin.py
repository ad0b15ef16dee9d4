"""What enters a topic: records whose JSON value lacks a field are refused."""

import json

from columns import column, no_headers, values
from wit_world.exports.interceptor import Answer_Each, Answer_KeepAll, Verdicts

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

KEEP, REJECT = 0, 2

field = "tenant"


class Lifecycle:
    def describe(self):
        return json.dumps(MANIFEST)

    def init(self, config_json):
        """To refuse the settings: raise Err("why")."""
        global field
        field = json.loads(config_json).get("field", field)


class Interceptor:
    def intercept(self, b):
        """One code a record, and a reason for each that is refused. To fail: raise Err(Failure_Permanent("why"))."""
        fields = b.value_fields(field)
        codes = bytes(REJECT if value is None else KEEP for value in values(fields))
        refused = codes.count(REJECT)
        if refused == 0:
            return Answer_KeepAll()
        reason = f"the value has no field {field}".encode()
        return Answer_Each(Verdicts(codes, column([reason] * refused), column([]), no_headers()))
