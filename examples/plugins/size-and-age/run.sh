#!/usr/bin/env bash
# Eight megabytes are written and three stay; what is two hours old goes, what is new stays.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
need kcat
need_kafka_python

watershed plugin test "$EXAMPLE_DIR/size-and-age.luau"
start_broker

# start_of <topic>: the offset of the first record that is there.
start_of() { kcat -b "$BOOTSTRAP" -Q -t "$1:0:-2" | awk '{ print $NF }'; }
# starts_in <topic> <from> <to>
starts_in() {
  local start
  start=$(start_of "$1")
  [ "$start" -ge "$2" ] && [ "$start" -le "$3" ]
}

say "kcat writes 8000 records of 1000 bytes"
awk 'BEGIN { line = sprintf("%0999d", 0); for (i = 0; i < 8000; i++) print line i % 10 }' |
  kcat -q -b "$BOOTSTRAP" -P -t samples -X batch.size=65536
# By whole segments of a megabyte: three megabytes are full when the oldest of at least two, at most four segments goes.
until_true 30 starts_in samples 4500 6500
say "ok: the log starts at $(start_of samples) now"
watershed topic describe samples

say "kafka-python writes two megabytes with timestamps of two hours ago, then a record of now"
last=$("$PYTHON" "$EXAMPLE_DIR/readings.py" "$BOOTSTRAP" readings)
expect "the record of now has offset" 2100 "$last"
until_true 30 starts_in readings 900 2100
say "ok: the log starts at $(start_of readings) now; old records that share the newest segment stay with it"
newest=$(kcat -q -b "$BOOTSTRAP" -C -t readings -o -1 -c 1 -f '%o %s\n' | cut -c1-8)
expect "the record of now is there" "2100 nnn" "$newest"
