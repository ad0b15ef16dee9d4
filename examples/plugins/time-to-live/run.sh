#!/usr/bin/env bash
# Each record lives as long as its header says; offsets stay.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
need kcat

watershed plugin test "$ROOT_DIR/plugins/wasm/guests/ttl.wasm" --fixtures "$EXAMPLE_DIR/fixtures.yaml"
start_broker

# Offsets and values of all that is there, in one line.
held() { kcat -q -b "$BOOTSTRAP" -C -t sessions -o beginning -e -f '%o %s\n' | xargs; }
holds() { [ "$(held)" = "$1" ]; }

say "kcat writes three records: for three seconds, for an hour, for ever"
echo short | kcat -q -b "$BOOTSTRAP" -P -t sessions -H ttl-ms=3000
echo long | kcat -q -b "$BOOTSTRAP" -P -t sessions -H ttl-ms=3600000
echo ever | kcat -q -b "$BOOTSTRAP" -P -t sessions
expect "all are there" "0 short 1 long 2 ever" "$(held)"
sleep 3
say "a record more closes the segment"
echo last | kcat -q -b "$BOOTSTRAP" -P -t sessions
until_true 30 holds "1 long 2 ever 3 last"
say "ok: the record of three seconds is gone, the others are there, each with its offset"
