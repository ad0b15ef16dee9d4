#!/usr/bin/env bash
# A WebAssembly component and a script decide together what enters a topic; the producer sees which one refused, and why.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
need kcat
need_kafka_python

watershed plugin test "$ROOT_DIR/plugins/wasm/guests/keyed.wasm" --fixtures "$EXAMPLE_DIR/keyed.fixtures.yaml"
watershed plugin test "$EXAMPLE_DIR/whole-orders.luau"
start_broker

good='{"id": 1, "total": 20}' odd='{"id": 2, "total": -20}'
say "kcat sends a good order and one with a negative total"
printf '%s\n' "ann|$good" "bob|$odd" | kcat -q -b "$BOOTSTRAP" -P -t orders -K '|'
expect "the good one is in the topic" "$good" "$(kcat -q -b "$BOOTSTRAP" -C -t orders -e -f '%s\n')"
dead=$(kcat -q -b "$BOOTSTRAP" -C -t orders-to-look-at -e -f '%k %s %h\n')
printf '%s\n' "$dead"
expect_in "the other is in the dead-letter topic" "bob $odd" "$dead"
expect_in "with the reason" "the total is negative" "$dead"

say "kafka-python sends an order without a key"
refused=$("$PYTHON" "$EXAMPLE_DIR/../refused.py" "$BOOTSTRAP" orders 0 "$good")
printf '%s\n' "$refused"
expect_in "the component refuses it" "InvalidRecordError" "$refused"
expect_in "with its reason" "a record of this topic must have a key" "$refused"

say "kafka-python sends an order without an id"
refused=$("$PYTHON" "$EXAMPLE_DIR/../refused.py" "$BOOTSTRAP" orders 0 '{"total": 20}' ann)
printf '%s\n' "$refused"
expect_in "the script refuses it, with its reason" "an order is JSON with an id" "$refused"
expect "nothing was added" 1 "$(kcat -q -b "$BOOTSTRAP" -C -t orders -e | wc -l)"
watershed plugin status --http "$HTTP" | grep -E "^(keyed|whole-orders)"
