# What the examples share: a broker that only this run uses, and words for what happens.
#
# Sourced by every run.sh, after `set -euo pipefail`.
#
#   WATERSHED_BIN     the broker (default: cargo run --release, from the repository's root)
#   PYTHON            a Python with kafka-python (default python3)
#   KAFKA_CLASSPATH   the jars of Apache Kafka's tools, such as "kafka/libs/*"; where it is not set, what needs them is left out
#   COMPONENTIZE_PY, COMPONENTIZE_JS   what builds guests in Python and JavaScript; see the READMEs of the examples that need it
#   KEEP=1            leaves the temporary directory behind

EXAMPLE_DIR=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
ROOT_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PYTHON=${PYTHON:-python3}
WORK=$(mktemp -d "${TMPDIR:-/tmp}/watershed-example.XXXXXX")
BROKER_PID=
BACKGROUND=()

say() { printf '%s\n' "-- $*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || die "$1 is missing"; }
need_kafka_python() { "$PYTHON" -c 'import kafka' 2>/dev/null || die "$PYTHON has no kafka-python: pip install kafka-python, or set PYTHON"; }

# What builds guests that are too large to be kept: from the variable, from the example's own directory, or from the PATH.
need_componentize_py() {
  [ -n "${COMPONENTIZE_PY:-}" ] || [ -x "$EXAMPLE_DIR/.venv/bin/componentize-py" ] || need componentize-py
}
need_componentize_js() {
  [ -n "${COMPONENTIZE_JS:-}" ] || [ -x "$EXAMPLE_DIR/node_modules/.bin/componentize-js" ] || need componentize-js
}

# watershed <arguments...>: the program itself.
watershed() {
  if [ -n "${WATERSHED_BIN:-}" ]; then
    "$WATERSHED_BIN" "$@"
  else
    cargo run --quiet --release --manifest-path "$ROOT_DIR/Cargo.toml" -- "$@"
  fi
}

# build: so that the broker's process is the broker, not cargo.
build() {
  [ -z "${WATERSHED_BIN:-}" ] || return 0
  say "building the broker"
  cargo build --quiet --release --manifest-path "$ROOT_DIR/Cargo.toml"
  WATERSHED_BIN=${CARGO_TARGET_DIR:-$ROOT_DIR/target}/release/watershed
}

# from_json <field...>: a value of the JSON on standard input.
from_json() { python3 -c 'import json, sys
value = json.load(sys.stdin)
for name in sys.argv[1:]: value = value[int(name) if isinstance(value, list) else name]
print(value)' "$@"; }

# start_broker: the example's watershed.toml on free ports and an empty directory; sets BOOTSTRAP and HTTP.
start_broker() {
  build
  mkfifo "$WORK/ready"
  "$WATERSHED_BIN" --json serve --config "$EXAMPLE_DIR/watershed.toml" --set "data_dir=$WORK/data" \
    --set http.address=127.0.0.1:0 --set 'listeners=[{ name = "PLAINTEXT", address = "127.0.0.1:0" }]' \
    >"$WORK/ready" 2>"$WORK/broker.log" &
  BROKER_PID=$!
  local ready
  # The broker says in one line that it is ready, and where.
  read -r ready <"$WORK/ready" || { cat "$WORK/broker.log" >&2; die "the broker did not start"; }
  BOOTSTRAP=$(from_json listeners 0 <<<"$ready") || { printf '%s\n' "$ready" >&2; die "the broker did not start"; }
  HTTP=http://$(from_json http <<<"$ready")
  export BOOTSTRAP HTTP WATERSHED_BOOTSTRAP=$BOOTSTRAP WATERSHED_HTTP=$HTTP
  say "a broker with $(basename "$EXAMPLE_DIR") listens on $BOOTSTRAP"
}

stop_background() {
  [ "${#BACKGROUND[@]}" -gt 0 ] || return 0
  kill "${BACKGROUND[@]}" 2>/dev/null || true
  wait "${BACKGROUND[@]}" || true
  BACKGROUND=()
}

stop_broker() {
  [ -n "$BROKER_PID" ] || return 0
  kill "$BROKER_PID" 2>/dev/null || true
  wait "$BROKER_PID" || true
  BROKER_PID=
}

clean_up() {
  local status=$?
  stop_background
  stop_broker
  if [ "$status" != 0 ] && [ -s "$WORK/broker.log" ]; then
    say "FAILED; the broker's last words:"
    tail -20 "$WORK/broker.log"
  fi
  [ -n "${KEEP:-}" ] || rm -rf "$WORK"
}
trap clean_up EXIT

# expect <what> <wanted> <found>: both are the same text.
expect() {
  [ "$2" = "$3" ] || die "$1: expected was
$2
found was
$3"
  say "ok: $1"
}

# expect_in <what> <wanted> <text>: the text has it in it.
expect_in() {
  case $3 in
    *"$2"*) say "ok: $1" ;;
    *) die "$1: expected was a text with
$2
found was
$3" ;;
  esac
}

# fails <command...>: what it says on both channels; it must not succeed.
fails() {
  local said
  if said=$("$@" 2>&1); then
    die "this should have failed: $*
$said"
  fi
  printf '%s\n' "$said"
}

# until_true <seconds> <command...>: asks until the command succeeds, four times a second.
until_true() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || die "this did not come true in time: $*"
    sleep 0.25
  done
}

# has_kafka_tools: whether Apache Kafka's own tools are there.
has_kafka_tools() { [ -n "${KAFKA_CLASSPATH:-}" ] && command -v java >/dev/null; }

# kafka_tool <class> <arguments...>: what its script in Kafka's bin directory runs.
kafka_tool() {
  java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -cp "$KAFKA_CLASSPATH" "org.apache.kafka.tools.$1" \
    --bootstrap-server "$BOOTSTRAP" "${@:2}" 2> >(grep -v ^SLF4J >&2)
}

# background_tool <file> <class> <arguments...>: the same, until the example ends; its output goes to the file.
background_tool() {
  java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -cp "$KAFKA_CLASSPATH" "org.apache.kafka.tools.$2" \
    --bootstrap-server "$BOOTSTRAP" "${@:3}" >"$1" 2>&1 &
  BACKGROUND+=($!)
}
