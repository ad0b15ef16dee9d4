#!/usr/bin/env bash
# What is stored and what is seen: addresses are masked for all but billing, until the filter is switched off.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
need kcat

watershed plugin test "$EXAMPLE_DIR/mask-mail.luau"
start_broker

# seen_by <client id>: the topic's values.
seen_by() { kcat -q -b "$BOOTSTRAP" -C -t customers -e -f '%s\n' -X "client.id=$1"; }

plain='{"name": "Ann", "mail": "ann@example.org"}'
masked='{"name": "Ann", "mail": "***"}'
other='{"name": "Bob"}'
printf '%s\n' "$plain" "$other" | kcat -q -b "$BOOTSTRAP" -P -t customers
say "the client reports reads:"
seen_by reports
expect "reports sees no address" "$masked"$'\n'"$other" "$(seen_by reports)"
say "the client billing-1 reads:"
seen_by billing-1
expect "billing sees all" "$plain"$'\n'"$other" "$(seen_by billing-1)"

say "the filter is switched off"
watershed topic alter customers -c watershed.fetch.filter=mask-mail:off
expect "what was stored is what was sent" "$plain"$'\n'"$other" "$(seen_by reports)"

say "the filter is switched on again"
watershed topic alter customers -c watershed.fetch.filter=mask-mail
expect "the address is hidden again" "$masked"$'\n'"$other" "$(seen_by reports)"
watershed plugin status --http "$HTTP" | grep "^mask-mail"
