#!/usr/bin/env bash
# A topic that belongs to no team is refused with the reason; a retention of for ever becomes thirty days.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
need_kafka_python

watershed plugin test "$EXAMPLE_DIR/team-names.luau"
start_broker

say "kafka-python creates the topic stuff"
refused=$("$PYTHON" "$EXAMPLE_DIR/create.py" "$BOOTSTRAP" stuff)
printf '%s\n' "$refused"
expect_in "it is refused as a violation of the policy" "PolicyViolation" "$refused"
expect_in "the reason is the plugin's" "stuff begins with no team" "$refused"

say "kafka-python creates billing.invoices, which keeps its records for ever"
expect "it is created" created "$("$PYTHON" "$EXAMPLE_DIR/create.py" "$BOOTSTRAP" billing.invoices retention.ms=-1)"
described=$(watershed topic describe billing.invoices)
printf '%s\n' "$described"
expect_in "the plugin's retention stands" 2592000000 "$described"

say "watershed topic alter asks for a year"
watershed topic alter billing.invoices -c retention.ms=31536000000
expect_in "it is thirty days again" 2592000000 "$(watershed topic describe billing.invoices)"

if has_kafka_tools; then
  say "kafka-topics creates the topic other"
  refused=$(fails kafka_tool TopicCommand --create --topic other --partitions 1)
  printf '%s\n' "$refused"
  expect_in "it is refused with the same reason" "other begins with no team" "$refused"
  kafka_tool TopicCommand --create --topic shipping.parcels --partitions 1
  expect "these topics there are" "billing.invoices
shipping.parcels" "$(kafka_tool TopicCommand --list | sort)"
fi
