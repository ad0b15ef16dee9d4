//! Guests of the hook `record-retention`, whose answers may delete: none that is wrong deletes anything.

use watershed_hooks::{
    Batch, Client, Environment, Failure, FaultKind, Hook, Place, Reads, RecordRetention, Records, Settings, Stay,
    retain,
};

use crate::guest::{BOMB, DROP, FOREVER, words};
use crate::{check, load_bytes};

const MANIFEST: &str = r#"{"name": "hostile", "version": "1", "api": 1, "reads": ["keys"]}"#;

/// A component whose `retain` runs `code`, with the batch in `$b`. Memory: what `describe` answers at 8, `init` at 16, `retain` at
/// 32 (a result, a case of `answer`, a list), the codes at 4096, the manifest at 1024.
fn text(code: &str, fields: &str) -> String {
    let manifest: String = MANIFEST.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let describes = words(8, &[1024, u32::try_from(MANIFEST.len()).unwrap()]);
    format!(
        r#"(component
          (import "watershed:plugin/types@1.0.0" (instance $types
            (export "batch" (type $batch (sub resource)))
            (type $failure' (variant (case "retriable" string) (case "permanent" string)))
            (export "failure" (type (eq $failure')))))
          (alias export $types "batch" (type $batch))
          (alias export $types "failure" (type $failure))
          (core module $main
            (import "host" "drop" (func $drop (param i32)))
            (import "libc" "memory" (memory 1))
            (data (i32.const 1024) "{manifest}") {describes} {fields}
            (func (export "describe") (result i32) (i32.const 8))
            (func (export "init") (param i32 i32) (result i32) (i32.const 16))
            (func $retain (export "retain") (param $b i32) (param i64) (result i32) {code}))
          (core module $libc (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8192)))
          (core instance $libc (instantiate $libc))
          (alias core export $libc "memory" (core memory $memory))
          (alias core export $libc "realloc" (core func $realloc))
          (core func $drop (canon resource.drop $batch))
          (core instance $main (instantiate $main
            (with "libc" (instance $libc)) (with "host" (instance (export "drop" (func $drop))))))
          (func $describe (result string)
            (canon lift (core func $main "describe") (memory $memory) (realloc $realloc)))
          (func $init (param "config-json" string) (result (result (error string)))
            (canon lift (core func $main "init") (memory $memory) (realloc $realloc)))
          (type $answer' (variant (case "keep-all") (case "each" (list u8))))
          (export $answer "answer" (type $answer'))
          (func $retain (param "b" (borrow $batch)) (param "now" s64) (result (result $answer (error $failure)))
            (canon lift (core func $main "retain") (memory $memory) (realloc $realloc)))
          (instance $lifecycle (export "describe" (func $describe)) (export "init" (func $init)))
          (export "watershed:plugin/lifecycle@1.0.0" (instance $lifecycle))
          (instance $retention (export "answer" (type $answer)) (export "retain" (func $retain)))
          (export "watershed:plugin/record-retention@1.0.0" (instance $retention)))"#
    )
}

/// A guest that answers with these words and codes.
fn says(answer: [u32; 4], codes: &str) -> String {
    text(&format!("{DROP} (i32.const 32)"), &format!("{} (data (i32.const 4096) \"{codes}\")", words(32, &answer)))
}

fn create(name: &str, text: String) -> Box<dyn RecordRetention> {
    let plugin = load_bytes(text.into_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
    match plugin.factories[0].create(&Settings::new(), &Environment::with_random(|| 0)) {
        Ok(Hook::RecordRetention(plugin)) => plugin,
        other => panic!("{name}: {other:?}"),
    }
}

/// Asks about three records.
fn ask(plugin: &mut dyn RecordRetention) -> Result<Vec<Stay>, Failure> {
    let mut records = Records::new(Reads { keys: true, ..Reads::NOTHING });
    for key in [&b"a"[..], b"b", b"c"] {
        records.push_key(Some(key), 10).unwrap();
    }
    let reads = plugin.reads().clone();
    let batch = Batch::new(Place { topic: "t", ..Place::default() }, Client::default(), &records, &reads);
    let mut stays = Vec::new();
    retain(plugin, &batch, 0, &mut stays).map(|()| stays)
}

#[test]
fn an_answer_that_is_one_is_taken() {
    let mut keeps = create("keep-all", says([0, 0, 0, 0], ""));
    assert_eq!(ask(keeps.as_mut()).unwrap(), [Stay::Keep; 3]);
    let mut each = create("each", says([0, 1, 4096, 3], "\\00\\01\\00"));
    assert_eq!(ask(each.as_mut()).unwrap(), [Stay::Keep, Stay::Drop, Stay::Keep]);
    // The text is the first eight bytes of the manifest.
    let mut fails = create("retriable", says([1, 0, 1024, 8], ""));
    assert_eq!(ask(fails.as_mut()).unwrap_err(), Failure::Retriable("{\"name\":".to_owned()));
}

#[test]
fn a_wrong_answer_deletes_nothing() {
    use FaultKind::{OutOfMemory, Timeout, Trap, WrongAnswer};
    let all_go = "\\01\\01\\01\\01";
    let runs = |code: &str| text(code, "");
    for (name, text, kind, want) in [
        ("too few", says([0, 1, 4096, 2], all_go), WrongAnswer, "the record retention answered for 2 of 3 records"),
        ("too many", says([0, 1, 4096, 4], all_go), WrongAnswer, "the record retention answered for 4 of 3 records"),
        ("none", says([0, 1, 4096, 0], all_go), WrongAnswer, "the record retention answered for 0 of 3 records"),
        (
            "no such code",
            says([0, 1, 4096, 3], "\\01\\02\\01"),
            WrongAnswer,
            "record 1: 2 is no code of a record retention",
        ),
        ("no such case", says([0, 2, 4096, 3], all_go), Trap, "discriminant"),
        ("neither answer nor failure", says([7, 1, 4096, 3], all_go), Trap, "discriminant"),
        ("codes beyond memory", says([0, 1, 65_534, 3], all_go), Trap, "out of bounds"),
        ("4 GiB of codes", says([0, 1, 0, u32::MAX], all_go), Trap, "out of bounds"),
        ("an answer beyond memory", runs(&format!("{DROP} (i32.const -8)")), Trap, "out of bounds"),
        ("a crooked answer", runs(&format!("{DROP} (i32.const 33)")), Trap, "aligned"),
        ("a batch that is kept", runs("(i32.const 32)"), Trap, "borrow handles still remain"),
        ("a loop without end", runs(FOREVER), Timeout, "it was stopped in `retain` after 5 ms on a processor"),
        ("a memory bomb", runs(BOMB), OutOfMemory, "bytes of memory in `retain`, and may have 1048576"),
        ("unreachable", runs("(unreachable)"), Trap, "`unreachable` instruction executed in `retain`"),
    ] {
        let mut plugin = create(name, text);
        let failure = ask(plugin.as_mut()).unwrap_err();
        assert_eq!(failure.fault(), Some(kind), "{name}: {failure}");
        check(name, &failure.to_string(), want);
        let again = ask(plugin.as_mut()).unwrap_err();
        check(name, &again.to_string(), "has failed before and is not asked again");
    }
}
