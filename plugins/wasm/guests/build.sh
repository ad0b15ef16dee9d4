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
clang --target=wasm32-unknown-unknown -Oz -Wall -Wextra -Werror -ffreestanding -fno-builtin -nostdlib -Wl,--no-entry -Wl,--strip-all \
    -o "$out/keyed-core.wasm" c/keyed.c
wasm-tools component embed ../wit --world interceptor-plugin "$out/keyed-core.wasm" -o "$out/keyed-embedded.wasm"
wasm-tools component new "$out/keyed-embedded.wasm" -o "$out/keyed.wasm"
wasm-tools strip "$out/keyed.wasm" -o keyed.wasm

sha256sum reference.wasm keyed.wasm > SHA256SUMS
cat SHA256SUMS
