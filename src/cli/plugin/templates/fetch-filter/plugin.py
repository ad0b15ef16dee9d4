"""What a consumer sees: everybody but the clients of one team gets values without e-mail addresses. What is stored stays."""

import json
import re

from columns import column, no_headers, values
from wit_world.exports.fetch_filter import Answer_Each, Answer_ShowAll, Visibilities

MANIFEST = {
    "name": "NAME",
    "version": "1.0.0",
    "api": 1,
    "reads": ["values"],
    "config_schema": {
        "type": "object",
        "properties": {"trusted": {"type": "string"}},
        "additionalProperties": False,
    },
}

SHOW, REDACT = 0, 2
MAIL = re.compile(rb"[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+")

trusted = "billing-"


class Lifecycle:
    def describe(self):
        return json.dumps(MANIFEST)

    def init(self, config_json):
        """To refuse the settings: raise Err("why"), of componentize_py_types."""
        global trusted
        trusted = json.loads(config_json).get("trusted", trusted)


class FetchFilter:
    def filter(self, b):
        """One code a record, and a value for each that is shown with another one."""
        if b.client().client_id.startswith(trusted):
            return Answer_ShowAll()
        codes, masked = bytearray(), []
        for value in values(b.values()):
            new, found = (value, 0) if value is None else MAIL.subn(b"***", value)
            codes.append(REDACT if found else SHOW)
            if found:
                masked.append(new)
        if not masked:
            return Answer_ShowAll()
        return Answer_Each(Visibilities(bytes(codes), column(masked), no_headers()))
