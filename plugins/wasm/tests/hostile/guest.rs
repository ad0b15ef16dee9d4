//! Writes a component as text: a partitioner that works, of which a case changes one thing.
//!
//! Memory: the answer of `init` at 16, that of `partition` at 32 (a result, then a list), the list that it names at 4096, columns
//! that the host writes from 8192 on, the manifest at 1024.

use std::fmt::Write;

/// A partitioner, in parts. Code is in the text format; the functions `$keys`, `$drop`, `$log`, `$json` and `$hash` are the host's.
#[derive(Clone)]
pub(crate) struct Guest {
    /// What `describe` returns.
    pub(crate) manifest: String,
    /// The memory's type.
    pub(crate) memory: &'static str,
    /// More fields of the core module.
    pub(crate) fields: String,
    /// The code of `cabi_realloc`, `describe`, `init`, `partition`. `partition` has the batch in `$b`.
    pub(crate) realloc: &'static str,
    pub(crate) describe: String,
    pub(crate) init: String,
    pub(crate) hook: String,
    /// The type of `partition`'s result.
    pub(crate) result: &'static str,
    /// More of the component, in front and behind.
    pub(crate) imports: &'static str,
    pub(crate) exports: &'static str,
    pub(crate) version: &'static str,
    pub(crate) lifecycle: bool,
    pub(crate) partitioner: bool,
}

pub(crate) fn guest() -> Guest {
    Guest {
        manifest: r#"{"name": "hostile", "version": "1", "api": 1, "reads": ["keys"]}"#.to_owned(),
        memory: "1",
        fields: String::new(),
        realloc: "(i32.const 8192)",
        describe: "(i32.const 8)".to_owned(),
        init: "(i32.const 16)".to_owned(),
        hook: format!("{DROP} (i32.const 32)"),
        result: "(result (list u32) (error $failure))",
        imports: "",
        exports: "",
        version: "1.0.0",
        lifecycle: true,
        partitioner: true,
    }
}

/// Gives the batch back, as one must.
pub(crate) const DROP: &str = "(call $drop (local.get $b))";

/// Runs for ever.
pub(crate) const FOREVER: &str = "(loop $l (br $l)) (unreachable)";

/// A guest that asks for all the memory there is, and gives up when there is no more.
pub(crate) const BOMB: &str = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (unreachable)";

pub(crate) fn words(at: u32, words: &[u32]) -> String {
    let bytes: String = words.iter().flat_map(|word| word.to_le_bytes()).map(|byte| format!("\\{byte:02x}")).collect();
    format!("(data (i32.const {at}) \"{bytes}\")")
}

/// Sets what `partition` answers: the case, and two words.
pub(crate) fn answer(case: u32, first: u32, second: u32) -> String {
    words(32, &[case, first, second])
}

impl Guest {
    pub(crate) fn hook(code: &str) -> Self {
        Self { hook: code.to_owned(), ..guest() }
    }

    pub(crate) fn fields(fields: String) -> Self {
        Self { fields, ..guest() }
    }

    fn core(&self) -> String {
        let Self { manifest, memory, fields, realloc, describe, init, hook, .. } = self;
        let bytes: String = manifest.bytes().map(|byte| format!("\\{byte:02x}")).collect();
        let length = u32::try_from(manifest.len()).unwrap();
        let describes = words(8, &[1024, length]);
        let answers = if fields.contains("(i32.const 32)") { String::new() } else { answer(0, 4096, 3) };
        format!(
            r#"(core module $main
                (import "host" "keys" (func $keys (param i32 i32)))
                (import "host" "drop" (func $drop (param i32)))
                (import "host" "log" (func $log (param i32 i32 i32)))
                (import "host" "json" (func $json (param i32 i32 i32 i32 i32)))
                (import "host" "hash" (func $hash (param i32 i32) (result i32)))
                (import "libc" "memory" (memory {memory}))
                (data (i32.const 1024) "{bytes}") {describes} {answers}
                (func $describe (export "describe") (result i32) {describe})
                (func $init (export "init") (param i32 i32) (result i32) {init})
                (func $partition (export "partition") (param $b i32) (param i32) (result i32) {hook})
                {fields})
              (core module $libc
                (memory (export "memory") {memory})
                (func $realloc (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc}))"#
        )
    }

    /// The component's text.
    pub(crate) fn text(&self) -> String {
        let Self { result, imports, exports, version, .. } = self;
        let mut text = format!(
            r#"(component {imports}
              (import "watershed:plugin/types@{version}" (instance $types
                (export "batch" (type $batch (sub resource)))
                (type $column' (record (field "data" (list u8)) (field "ends" (list u32)) (field "valid" (list u8))))
                (export "column" (type $column (eq $column')))
                (type $failure' (variant (case "retriable" string) (case "permanent" string)))
                (export "failure" (type (eq $failure')))
                (export "[method]batch.keys" (func (param "self" (borrow $batch)) (result $column)))))
              (import "watershed:plugin/host@{version}" (instance $host
                (type $level' (enum "debug" "info" "warn" "error"))
                (export "level" (type $level (eq $level')))
                (export "log" (func (param "level" $level) (param "text" string)))))
              (import "watershed:plugin/helpers@{version}" (instance $helpers
                (export "json" (func (param "document" (list u8)) (param "path" string) (result (option (list u8)))))
                (export "murmur2" (func (param "data" (list u8)) (result u32)))))
              (alias export $types "batch" (type $batch))
              (alias export $types "failure" (type $failure))
              {core}
              (core instance $libc (instantiate $libc))
              (alias core export $libc "memory" (core memory $memory))
              (alias core export $libc "realloc" (core func $realloc))
              (core func $drop (canon resource.drop $batch))
              (core func $keys (canon lower (func $types "[method]batch.keys") (memory $memory) (realloc $realloc)))
              (core func $log (canon lower (func $host "log") (memory $memory)))
              (core func $json (canon lower (func $helpers "json") (memory $memory) (realloc $realloc)))
              (core func $hash (canon lower (func $helpers "murmur2") (memory $memory)))
              (core instance $main (instantiate $main
                (with "libc" (instance $libc))
                (with "host" (instance (export "keys" (func $keys)) (export "drop" (func $drop))
                  (export "log" (func $log)) (export "json" (func $json)) (export "hash" (func $hash))))))
              (func $describe (result string)
                (canon lift (core func $main "describe") (memory $memory) (realloc $realloc)))
              (func $init (param "config-json" string) (result (result (error string)))
                (canon lift (core func $main "init") (memory $memory) (realloc $realloc)))
              (func $partition (param "b" (borrow $batch)) (param "partitions" u32) (result {result})
                (canon lift (core func $main "partition") (memory $memory) (realloc $realloc)))
              {exports}"#,
            core = self.core()
        );
        if self.lifecycle {
            write!(
                text,
                r#"(instance $lifecycle (export "describe" (func $describe)) (export "init" (func $init)))
                   (export "watershed:plugin/lifecycle@{version}" (instance $lifecycle))"#
            )
            .unwrap();
        }
        if self.partitioner {
            write!(
                text,
                r#"(instance $partitioner (export "partition" (func $partition)))
                   (export "watershed:plugin/partitioner@{version}" (instance $partitioner))"#
            )
            .unwrap();
        }
        text + ")"
    }
}
