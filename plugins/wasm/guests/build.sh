#!/bin/sh
# Builds the guests again. Their components are kept in the repository, so nobody needs these tools to run the tests.
#
# Needs: a Rust compiler with its sources (Debian: rustc-web, rust-web-src; given as RUSTC where it is not the default),
# cargo, clang, wasm-ld (Debian: clang, lld), wasm-tools.
set -eu
cd "$(dirname "$0")"
out=${OUT:-$(mktemp -d)}

# Rust: the standard library's core and alloc are built along, for want of a ready-made one.
RUSTC=${RUSTC:-rustc} RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$out/target" RUSTFLAGS="-Clinker=wasm-ld --remap-path-prefix=$HOME=/" \
    cargo build --release -Zbuild-std=core,alloc --target wasm32-unknown-unknown --manifest-path reference/Cargo.toml
wasm-tools component new "$out/target/wasm32-unknown-unknown/release/watershed_reference_guest.wasm" -o "$out/reference.wasm"
wasm-tools strip "$out/reference.wasm" -o reference.wasm

# C: no library at all.
build_c() {
    clang --target=wasm32-unknown-unknown -Oz -Wall -Wextra -Werror -ffreestanding -fno-builtin -nostdlib -Wl,--no-entry -Wl,--strip-all \
        -o "$out/$1-core.wasm" "c/$1.c"
    wasm-tools component embed ../wit --world "$2" "$out/$1-core.wasm" -o "$out/$1-embedded.wasm"
    wasm-tools component new "$out/$1-embedded.wasm" -o "$out/$1.wasm"
    wasm-tools strip "$out/$1.wasm" -o "$1.wasm"
}
build_c keyed interceptor-plugin
build_c ttl record-retention-plugin

sha256sum reference.wasm keyed.wasm ttl.wasm > SHA256SUMS
cat SHA256SUMS
