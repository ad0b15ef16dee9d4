"""An order enters only if its lines add up to its total, in whole cents: a check that takes more than one field."""

import json
from decimal import Decimal, InvalidOperation

from columns import column, no_headers, values
from wit_world.exports.interceptor import Answer_Each, Answer_KeepAll, Verdicts
from wit_world.imports import host

MANIFEST = {
    "name": "order-totals",
    "version": "1.0.0",
    "api": 1,
    "reads": ["values"],
    "counters": ["orders_refused"],
    "config_schema": {
        "type": "object",
        "properties": {"lines_max": {"type": "integer", "minimum": 1}},
        "additionalProperties": False,
    },
}

KEEP, REJECT = 0, 2

lines_max = 100


class Lifecycle:
    def describe(self):
        return json.dumps(MANIFEST)

    def init(self, config_json):
        global lines_max
        lines_max = json.loads(config_json).get("lines_max", lines_max)


def problem(value):
    """Why a value is no order; None if it is one."""
    try:
        order = json.loads(value or b"", parse_float=Decimal)
        total, lines = order["total"], order["lines"]
        if len(lines) > lines_max:
            return f"the order has {len(lines)} lines, {lines_max} are allowed"
        found = sum(Decimal(line["price"]) * line["count"] for line in lines)
    except (ValueError, KeyError, TypeError, InvalidOperation):
        return "an order is JSON with a total and lines of price and count"
    return None if found == total else f"the lines add up to {found}, the total is {total}"


class Interceptor:
    def intercept(self, b):
        problems = [problem(value) for value in values(b.values())]
        reasons = [text.encode() for text in problems if text is not None]
        if not reasons:
            return Answer_KeepAll()
        host.count("orders_refused", len(reasons))
        codes = bytes(KEEP if text is None else REJECT for text in problems)
        return Answer_Each(Verdicts(codes, column(reasons), column([]), no_headers()))
