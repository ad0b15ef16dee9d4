#!/usr/bin/env bash
# A component puts every record into its tenant's partitions, whatever partition the client chose.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
need kcat

(cd "$EXAMPLE_DIR" && sha256sum -c --quiet SHA256SUMS)
watershed plugin test "$EXAMPLE_DIR/tenant-partitioner.wasm"
start_broker

say "kcat sends everything to partition 4"
for tenant in acme globex initech umbrella; do
  for order in 5 6 7 8 9 10 11 12; do printf '%s/order-%s|%s\n' "$tenant" "$order" "$order"; done
done | kcat -q -b "$BOOTSTRAP" -P -t orders -p 4 -K '|'

# A record is visible some milliseconds after its producer was told that it is there.
orders() { kcat -q -b "$BOOTSTRAP" -C -t orders -e -f '%k %p\n'; }
all_there() { [ "$(orders | wc -l)" = 32 ]; }
until_true 20 all_there
partitions_of() { orders | awk -F '[/ ]' -v tenant="$1" '$1 == tenant { print $3 }' | sort -u | tr '\n' ' '; }
expect "acme has the first two partitions" "0 1 " "$(partitions_of acme)"
expect "globex has the third" "2 " "$(partitions_of globex)"
expect "the others share the rest" "3 4 " "$( { partitions_of initech; partitions_of umbrella; } | tr ' ' '\n' | grep . | sort -u | tr '\n' ' ')"
