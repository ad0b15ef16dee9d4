#!/usr/bin/env bash
# Orders of a tenant belong to one partition: a producer that partitions by tenant is let in, one that does not is refused.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
need kcat
need_kafka_python

watershed plugin test "$EXAMPLE_DIR/by-field.luau"
start_broker

say "kcat partitions by the key as Java's client does, and the key is the tenant"
kcat -q -b "$BOOTSTRAP" -P -t orders -K '|' -X partitioner=murmur2_random <<'RECORDS'
acme|{"tenant": "acme", "order": 1}
globex|{"tenant": "globex", "order": 2}
acme|{"tenant": "acme", "order": 3}
RECORDS
found=$(kcat -q -b "$BOOTSTRAP" -C -t orders -e -f '%k %p %s\n')
printf '%s\n' "$found" | sort
expect "all three are there" 3 "$(printf '%s\n' "$found" | wc -l)"
partitions=$(printf '%s\n' "$found" | awk '$1 == "acme" { print $2 }' | sort -u)
expect "acme has one partition" 1 "$(printf '%s\n' "$partitions" | wc -l)"

wrong=$(((partitions + 1) % 3))
say "kcat sends an order of acme to partition $wrong"
refused=$(fails kcat -b "$BOOTSTRAP" -P -t orders -p "$wrong" -X retries=0 <<<'{"tenant": "acme", "order": 4}')
printf '%s\n' "$refused"
expect_in "it is refused as an invalid record" "Broker failed to validate record" "$refused"

say "kafka-python does the same, and shows the reason"
refused=$("$PYTHON" "$EXAMPLE_DIR/../refused.py" "$BOOTSTRAP" orders "$wrong" '{"tenant": "acme", "order": 5}')
printf '%s\n' "$refused"
expect_in "the error is INVALID_RECORD" "InvalidRecordError" "$refused"
expect_in "the reason names the right partition" "partition $partitions" "$refused"
expect "nothing was added" 3 "$(kcat -q -b "$BOOTSTRAP" -C -t orders -e | wc -l)"
