#!/usr/bin/env bash
# Two consumers share two topics so that equal partition numbers are together; with both of Kafka's group protocols.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
need_kafka_python

watershed plugin test "$EXAMPLE_DIR/by-number.luau"
start_broker

# Kafka's range assignor, which kafka-python asks for, would give 0 and 1 to the first, 2 and 3 to the second.
wanted="orders-0 orders-2 payments-0 payments-2
orders-1 orders-3 payments-1 payments-3"
say "two members by kafka-python, with the classic protocol"
found=$("$PYTHON" "$EXAMPLE_DIR/members.py" "$BOOTSTRAP" billing-python orders payments)
printf '%s\n' "$found"
expect "equal numbers are together" "$wanted" "$found"

if has_kafka_tools; then
  say "two members by kafka-console-consumer, with the consumer protocol"
  for number in 1 2; do
    background_tool "$WORK/consumer-$number.log" consumer.ConsoleConsumer --include 'orders|payments' --group billing-java \
      --command-property group.protocol=consumer
  done
  # shares: what each member of the group has, one a line.
  shares() {
    watershed --json group members billing-java 2>/dev/null | python3 "$EXAMPLE_DIR/shares.py"
  }
  as_wanted() { [ "$(shares)" = "$wanted" ]; }
  until_true 60 as_wanted
  shares
  say "ok: equal numbers are together"
fi
