//! Files that are no plugins, and plugins that do not start.

use watershed_hooks::Settings;

use crate::guest::{BOMB, FOREVER, Guest, guest};
use crate::{check, create, load, load_bytes};

#[test]
fn a_file_that_is_no_component_is_refused() {
    let component = wat::parse_str(guest().text()).unwrap();
    let mut flipped = component.clone();
    let middle = flipped.len() / 2;
    flipped[middle..].iter_mut().for_each(|byte| *byte ^= 0x55);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("nothing", vec![], "the file is empty"),
        ("garbage", vec![0xff; 1000], "neither a WebAssembly component nor the text of one"),
        ("prose", b"to whom it may concern".to_vec(), "not the text of a WebAssembly component"),
        ("deep text", "(".repeat(1_000_000).into_bytes(), "not the text of a WebAssembly component"),
        ("a script", b"#!/bin/sh\nrm -rf /\n".to_vec(), "not the text of a WebAssembly component"),
        ("a magic number", b"\0asm".to_vec(), "it is cut short"),
        ("another version", b"\0asm\x0e\0\x01\0".to_vec(), "not a component of a version that this broker knows"),
        ("a core module", b"\0asm\x01\0\0\0".to_vec(), "make it one with `wasm-tools component new`"),
        ("the text of a core module", b"(module)".to_vec(), "make it one with `wasm-tools component new`"),
        ("an executable", b"\x7fELF\x02\x01\x01".to_vec(), "it is compiled code"),
        ("half a component", component[..component.len() / 2].to_vec(), "not a component that this broker can run"),
        ("all but a byte", component[..component.len() - 1].to_vec(), "not a component that this broker can run"),
        ("a damaged component", flipped, "not a component that this broker can run"),
        ("an empty component", b"(component)".to_vec(), "it does not export watershed:plugin/lifecycle@1.0.0"),
        ("too large a file", vec![b' '; (64 << 20) + 1], "a plugin may have 67108864"),
    ];
    for (name, contents, want) in cases {
        check(name, &load_bytes(contents).unwrap_err().to_string(), want);
    }
}

#[test]
fn a_component_that_is_no_plugin_is_refused() {
    let with = |change: &dyn Fn(&mut Guest)| {
        let mut guest = guest();
        change(&mut guest);
        guest
    };
    let threads = "(memory 1 1 shared)";
    let cases: Vec<(&str, Guest, &str)> = vec![
        ("no lifecycle", with(&|g| g.lifecycle = false), "it does not export watershed:plugin/lifecycle@1.0.0"),
        ("no hook", with(&|g| g.partitioner = false), "it exports no hook"),
        (
            "another major",
            with(&|g| g.version = "2.0.0"),
            "it was built for watershed:plugin@2.0.0, this broker serves 1.x",
        ),
        ("before the first", with(&|g| g.version = "0.9.0"), "it was built for watershed:plugin@0.9.0"),
        ("a preliminary version", with(&|g| g.version = "1.0.0-rc.1"), "it was built for watershed:plugin@1.0.0-rc.1"),
        (
            "WASI",
            with(&|g| g.imports = r#"(import "wasi:cli/environment@0.2.0" (instance (export "f" (func))))"#),
            "it imports wasi:cli/environment@0.2.0; a plugin may import types, host and helpers",
        ),
        (
            "a bare function",
            with(&|g| g.imports = r#"(import "exec" (func (param "command" string)))"#),
            "it imports exec; a plugin may import",
        ),
        (
            "a helper that is not there",
            with(&|g| g.imports = r#"(import "watershed:plugin/clock@1.0.0" (instance (export "now" (func))))"#),
            "it imports watershed:plugin/clock@1.0.0",
        ),
        (
            "a hook that is not there",
            with(
                &|g| g.exports = r#"(instance $x (export "f" (func $describe))) (export "watershed:plugin/storage@1.0.0" (instance $x))"#,
            ),
            "it exports watershed:plugin/storage@1.0.0, which this broker does not know",
        ),
        (
            "an export without a version",
            with(&|g| {
                g.exports =
                    r#"(instance $x (export "f" (func $describe))) (export "watershed:plugin/retention" (instance $x))"#
            }),
            "it names watershed:plugin/retention without a version",
        ),
        (
            "another hook's function",
            with(
                &|g| g.exports = r#"(instance $x (export "partition" (func $partition))) (export "watershed:plugin/retention@1.0.0" (instance $x))"#,
            ),
            "it exports watershed:plugin/retention@1.0.0 without the function delete-before",
        ),
        (
            "the wrong answer",
            with(&|g| g.result = "(result (list s32) (error $failure))"),
            "partition of watershed:plugin/partitioner@1.0.0 is not of the type",
        ),
        ("threads", with(&|g| g.fields = threads.to_owned()), "not a component that this broker can run"),
        (
            "a large memory",
            with(&|g| g.memory = "100"),
            "its start failed: it wanted 6553600 bytes of memory, and may have 1048576: raise `limits.memory`",
        ),
        ("a memory of 4 GiB", with(&|g| g.memory = "65536"), "byte"),
        (
            "a memory of 64 bits",
            with(&|g| g.fields = "(memory i64 1)".to_owned()),
            "not a component that this broker can run",
        ),
        (
            "two memories that are too large together",
            with(&|g| g.fields = "(memory 16)".to_owned()),
            "its start failed: it wanted 1114112 bytes of memory, and may have 1048576: raise `limits.memory`",
        ),
        ("many memories", with(&|g| g.fields = "(memory 1)".repeat(10)), "memor"),
        ("a huge table", with(&|g| g.fields = "(table 100000 funcref)".to_owned()), "table"),
        ("many tables", with(&|g| g.fields = "(table 1 funcref)".repeat(100)), "table"),
    ];
    for (name, guest, want) in cases {
        check(name, &load(&guest).unwrap_err().to_string(), want);
    }
}

/// Two components in one, each with its own memory: what one says to the other is copied by the engine.
const COMPOSED: &str = r#"
    (component $inner
      (core module $m
        (memory (export "memory") 1)
        (func (export "length") (param i32 i32) (result i32) (local.get 1))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
      (core instance $i (instantiate $m))
      (func (export "length") (param "text" string) (result u32)
        (canon lift (core func $i "length") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
    (component $outer
      (import "length" (func $length (param "text" string) (result u32)))
      (core module $libc (memory (export "memory") 1))
      (core instance $libc (instantiate $libc))
      (core func $lowered (canon lower (func $length) (memory (core memory $libc "memory"))))
      (core module $m
        (import "inner" "length" (func $length (param i32 i32) (result i32)))
        (func $start (if (i32.ne (call $length (i32.const 8) (i32.const 3)) (i32.const 3)) (then unreachable)))
        (start $start))
      (core instance (instantiate $m (with "inner" (instance (export "length" (func $lowered)))))))
    (instance $inner' (instantiate $inner))
    (instance (instantiate $outer (with "length" (func $inner' "length"))))"#;

#[test]
fn a_component_of_components_runs() {
    let composed = |imports| Guest { imports, ..guest() };
    let plugin = load(&composed(COMPOSED)).unwrap_or_else(|error| panic!("{error}"));
    assert!(create(&plugin).is_ok());
    let large = COMPOSED.replacen("(memory (export \"memory\") 1)", "(memory (export \"memory\") 16)", 1);
    let error = load(&composed(large.leak())).unwrap_err().to_string();
    check("a composed component that takes memory", &error, "it wanted");
}

#[test]
fn a_plugin_that_does_not_start_is_refused() {
    let start = |code: &str| format!("(func $start {code}) (start $start)");
    let describe = |code: &str| Guest { describe: code.to_owned(), ..guest() };
    let says = |manifest: &str| Guest { manifest: manifest.to_owned(), ..guest() };
    let cases: Vec<(&str, Guest, &str)> = vec![
        ("a start without end", Guest::fields(start(FOREVER)), "its start failed: it was stopped in `start`"),
        (
            "a start that crashes",
            Guest::fields(start("(unreachable)")),
            "its start failed: wasm trap: wasm `unreachable`",
        ),
        ("a start that takes memory", Guest::fields(start(BOMB)), "its start failed: it wanted"),
        ("describe without end", describe(FOREVER), "describe failed: it was stopped in `describe` after 1000 ms"),
        ("describe crashes", describe("(unreachable)"), "describe failed: wasm trap"),
        ("describe takes memory", describe(BOMB), "describe failed: it wanted"),
        ("a manifest beyond memory", describe("(i32.const 65532)"), "describe failed"),
        ("a manifest that is no JSON", says("yes"), "describe answered with something that is no JSON"),
        ("a manifest that is cut short", says("{\"name\": \"x\""), "describe answered with something that is no JSON"),
        ("deep JSON", says(&"[".repeat(3000)), "describe answered with something that is no JSON"),
        (
            "a manifest of another version",
            says(r#"{"name": "x", "version": "1", "api": 9}"#),
            "version 9 of the plugin API",
        ),
        (
            "a manifest with more",
            says(r#"{"name": "x", "version": "1", "api": 1, "root": true}"#),
            "unknown field `root`",
        ),
        ("a manifest that is no text", Guest::fields("(data (i32.const 1024) \"\\ff\\ff\")".to_owned()), "utf-8"),
    ];
    for (name, guest, want) in cases {
        check(name, &load(&guest).unwrap_err().to_string(), want);
    }
}

#[test]
fn an_init_that_fails_is_found_before_anything_is_bound() {
    let refusal = "(data (i32.const 16) \"\\01\\00\\00\\00\\00\\04\\00\\00\\07\\00\\00\\00\")".to_owned();
    let cases: Vec<(&str, Guest, &str)> = vec![
        (
            "init without end",
            Guest { init: FOREVER.to_owned(), ..guest() },
            "init failed (timeout): it was stopped in `init` after 1000 ms",
        ),
        ("init crashes", Guest { init: "(unreachable)".to_owned(), ..guest() }, "init failed (trap)"),
        ("init takes memory", Guest { init: BOMB.to_owned(), ..guest() }, "init failed (out_of_memory)"),
        ("init answers nonsense", Guest { init: "(i32.const 1024)".to_owned(), ..guest() }, "init failed (trap)"),
        ("init says no", Guest::fields(refusal), "init: {\"name\""),
    ];
    for (name, guest, want) in cases {
        let plugin = load(&guest).unwrap_or_else(|error| panic!("{name}: {error}"));
        check(name, &plugin.validate(&Settings::new()).unwrap_err().to_string(), want);
        check(name, &create(&plugin).err().unwrap().to_string(), want);
    }
}
