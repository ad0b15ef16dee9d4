# The usual commands. `just` lists them; each is a line you can type yourself.

set positional-arguments

_default:
    @just --list --unsorted

# Everything CI does, in its order
ci:
    .ci/run

# Run a broker with the defaults
run *args:
    cargo run --release -- "$@"

# The tests of one crate, or of all
test crate="":
    cargo test {{ if crate == "" { "--workspace" } else { "-p " + crate } }}

# Format and lint
lint:
    cargo fmt --all
    cargo clippy --workspace --all-targets -- -D warnings

# Rewrite the generated documentation
docs:
    BLESS=1 cargo test -q --test config_docs

# Rewrite the list of files and functions that are too long
ratchet:
    BLESS=1 cargo test -q --test tidy

# Real clients against the release build
clients *names:
    cargo build --release
    tests/clients/run "$@"

# Our answers against Apache Kafka's
system:
    cargo build --release
    tests/system/run

# Licences and advisories of the dependencies (needs cargo-deny)
deny:
    cargo deny check
