#!/usr/bin/env bash
# Of each tenant the newest three readings stay, and none that is older than seven days; offsets stay.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
need kcat
need_kafka_python

watershed plugin test "$EXAMPLE_DIR/newest-per-tenant.luau"
start_broker

# Offsets and values of all that is there, in one line.
held() { kcat -q -b "$BOOTSTRAP" -C -t readings -o beginning -e -f '%o %s\n' | sed 's/{"tenant":"\(.*\)","n":\(.*\)}/\1\2/' | xargs; }
holds() { [ "$(held)" = "$1" ]; }

say "kcat writes five readings of acme and two of bolt"
for n in 1 2 3 4 5; do echo "{\"tenant\":\"acme\",\"n\":$n}"; done | kcat -q -b "$BOOTSTRAP" -P -t readings
for n in 1 2; do echo "{\"tenant\":\"bolt\",\"n\":$n}"; done | kcat -q -b "$BOOTSTRAP" -P -t readings
expect "all are there" "0 acme1 1 acme2 2 acme3 3 acme4 4 acme5 5 bolt1 6 bolt2" "$(held)"

say "kafka-python writes a reading of eight days ago, of a tenant of its own"
"$PYTHON" "$EXAMPLE_DIR/old.py" "$BOOTSTRAP" readings
sleep 3
say "a reading more closes the segment"
echo '{"tenant":"acme","n":6}' | kcat -q -b "$BOOTSTRAP" -P -t readings
until_true 30 holds "3 acme4 4 acme5 5 bolt1 6 bolt2 8 acme6"
say "ok: the newest three of acme and both of bolt are there, each with its offset; the old one is gone"
watershed topic describe readings
