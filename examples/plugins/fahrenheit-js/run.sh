#!/usr/bin/env bash
# A fetch filter in JavaScript: readings are stored in degrees Celsius, and some clients see Fahrenheit.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
need kcat

need_componentize_js
watershed plugin build "$EXAMPLE_DIR"
watershed plugin test "$EXAMPLE_DIR/fahrenheit.wasm"
start_broker

reading='{"sensor": "roof", "celsius": 21.5}'
say "kcat sends a reading"
printf '%s\n' "$reading" | kcat -q -b "$BOOTSTRAP" -P -t readings
seen_by() { kcat -q -b "$BOOTSTRAP" -X "client.id=$1" -C -t readings -e -f '%s\n'; }
expect "a client elsewhere sees what is stored" "$reading" "$(seen_by dashboard)"
expect "one in the United States sees Fahrenheit" '{"sensor":"roof","fahrenheit":70.7}' "$(seen_by us-dashboard)"
watershed plugin status --http "$HTTP" | grep -E "^fahrenheit"
