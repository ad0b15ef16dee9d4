#!/usr/bin/env bash
# An interceptor in Python: an order whose lines do not add up is refused, and the producer is told why.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
need kcat
need_kafka_python

need_componentize_py
watershed plugin build "$EXAMPLE_DIR"
watershed plugin test "$EXAMPLE_DIR/order-totals.wasm"
start_broker

good='{"total": 20.10, "lines": [{"price": 10.05, "count": 2}]}'
say "kcat sends an order that adds up"
printf '%s\n' "$good" | kcat -q -b "$BOOTSTRAP" -P -t orders
expect "it is there" "$good" "$(kcat -q -b "$BOOTSTRAP" -C -t orders -e -f '%s\n')"

say "kafka-python sends one that does not"
refused=$("$PYTHON" "$EXAMPLE_DIR/../refused.py" "$BOOTSTRAP" orders 0 '{"total": 21, "lines": [{"price": 10.05, "count": 2}]}')
printf '%s\n' "$refused"
expect_in "it is refused as an invalid record" "InvalidRecordError" "$refused"
expect_in "with the sums" "the lines add up to 20.10, the total is 21" "$refused"
expect "nothing was added" 1 "$(kcat -q -b "$BOOTSTRAP" -C -t orders -e | wc -l)"
watershed plugin status --http "$HTTP" | grep -E "^order-totals"
