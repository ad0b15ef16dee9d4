//! Calls that end badly.

use watershed_hooks::{Choice, FaultKind};

use crate::guest::{BOMB, DROP, FOREVER, Guest, answer, guest};
use crate::{ask, check, create, load};

#[test]
fn the_guest_that_others_are_made_of_works() {
    let plugin = load(&guest()).unwrap();
    let mut partitioner = create(&plugin).unwrap();
    for _ in 0..3 {
        assert_eq!(ask(partitioner.as_mut()).unwrap(), [Choice::Partition(0); 3]);
    }
}

/// What a call does, how it fails, and what the message says.
fn faults() -> Vec<(&'static str, Guest, FaultKind, &'static str)> {
    use FaultKind::{OutOfMemory, Timeout, Trap, WrongAnswer};
    let hook = Guest::hook;
    let says = |case, first, second| Guest::fields(answer(case, first, second));
    let calls = |code: &str| Guest::hook(&format!("{code} {DROP} (i32.const 32)"));
    let keys = "(call $keys (local.get $b) (i32.const 64))";
    vec![
        ("a loop without end", hook(FOREVER), Timeout, "it was stopped in `partition` after 5 ms on a processor"),
        ("a loop that logs", hook("(loop $l (call $log (i32.const 0) (i32.const 0) (i32.const 9)) (br $l)) (unreachable)"), Timeout, "it was stopped"),
        ("a loop that reads keys", hook(&format!("(loop $l {keys} (br $l)) (unreachable)")), Timeout, "it was stopped"),
        ("a loop that hashes", hook("(loop $l (drop (call $hash (i32.const 0) (i32.const 65536))) (br $l)) (unreachable)"), Timeout, "it was stopped"),
        ("an endless loop in cabi_realloc", Guest { realloc: FOREVER, init: "(i32.const 16)".to_owned(), ..calls(keys) }, Timeout, "it was stopped"),
        ("calls in a circle", Guest { fields: "(func $f (result i32) (return_call $f))".to_owned(), ..hook("(call $f)") }, Timeout, "it was stopped"),
        ("a memory bomb", hook(BOMB), OutOfMemory, "bytes of memory in `partition`, and may have 1048576"),
        ("all memory at once", hook("(drop (memory.grow (i32.const 16384))) (unreachable)"), OutOfMemory, "it wanted 1073807360 bytes"),
        ("deep recursion", Guest { fields: "(func $f (param i32) (result i32) (i32.add (call $f (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))".to_owned(), ..hook("(call $f (i32.const 0))") }, Trap, "call stack exhausted"),
        ("unreachable", hook("(unreachable)"), Trap, "`unreachable` instruction executed in `partition`"),
        ("a division by zero", hook("(i32.div_u (i32.const 1) (i32.const 0))"), Trap, "integer divide by zero"),
        ("an overflowing division", hook("(i32.div_s (i32.const 0x80000000) (i32.const -1))"), Trap, "integer overflow"),
        ("a number out of range", hook("(i32.trunc_f64_s (f64.const nan))"), Trap, "invalid conversion to integer"),
        ("a read beyond memory", hook("(i32.load (i32.const -4))"), Trap, "out of bounds memory access"),
        ("a write beyond memory", hook("(i32.store (i32.const 0x7fffffff) (i32.const 1)) (i32.const 0)"), Trap, "out of bounds memory access"),
        ("a copy beyond memory", hook("(memory.copy (i32.const 0) (i32.const 1) (i32.const -1)) (i32.const 0)"), Trap, "out of bounds memory access"),
        ("a call of nothing", Guest { fields: "(table 1 funcref) (type $t (func (result i32)))".to_owned(), ..hook("(call_indirect (type $t) (i32.const 0))") }, Trap, "uninitialized element"),
        ("a call beyond the table", Guest { fields: "(table 1 funcref) (type $t (func (result i32)))".to_owned(), ..hook("(call_indirect (type $t) (i32.const 7))") }, Trap, "table access"),
        ("too few answers", says(0, 4096, 2), WrongAnswer, "the partitioner answered for 2 of 3 records"),
        ("too many answers", says(0, 4096, 4), WrongAnswer, "the partitioner answered for 4 of 3 records"),
        ("no answers", says(0, 4096, 0), WrongAnswer, "the partitioner answered for 0 of 3 records"),
        ("a list beyond memory", says(0, 65532, 3), Trap, "out of bounds"),
        ("a list of 16 GiB", says(0, 0, u32::MAX), Trap, "out of bounds"),
        ("a crooked list", says(0, 4097, 3), Trap, "aligned"),
        ("a case that there is not", says(7, 4096, 3), Trap, "discriminant"),
        ("an answer beyond memory", hook(&format!("{DROP} (i32.const -8)")), Trap, "out of bounds"),
        ("a crooked answer", hook(&format!("{DROP} (i32.const 33)")), Trap, "aligned"),
        ("a batch that is kept", hook("(i32.const 32)"), Trap, "borrow handles still remain"),
        ("a batch that is dropped twice", hook(&format!("{DROP} {DROP} (i32.const 32)")), Trap, "unknown handle"),
        ("a batch that is read when it is dropped", hook(&format!("{DROP} {keys} (i32.const 32)")), Trap, "unknown handle"),
        ("a handle out of nowhere", calls("(call $keys (i32.const 77) (i32.const 64))"), Trap, "unknown handle"),
        ("columns beyond memory", calls("(call $keys (local.get $b) (i32.const -16))"), Trap, "out of bounds"),
        ("crooked columns", calls("(call $keys (local.get $b) (i32.const 65))"), Trap, "aligned"),
        ("a realloc beyond memory", Guest { realloc: "(i32.const -16)", init: "(i32.const 16)".to_owned(), ..calls(keys) }, Trap, "realloc"),
        ("a log beyond memory", calls("(call $log (i32.const 0) (i32.const 65530) (i32.const 100))"), Trap, "out of bounds"),
        ("a log at a level that there is not", calls("(call $log (i32.const 9) (i32.const 0) (i32.const 9))"), Trap, "discriminant"),
        ("a log that is no text", Guest { fields: "(data (i32.const 256) \"\\ff\\fe\")".to_owned(), ..calls("(call $log (i32.const 0) (i32.const 256) (i32.const 2))") }, Trap, "utf-8"),
        ("JSON beyond memory", calls("(call $json (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 1) (i32.const 64))"), Trap, "out of bounds"),
        ("a hash beyond memory", calls("(drop (call $hash (i32.const -9) (i32.const 4)))"), Trap, "out of bounds"),
    ]
}

#[test]
fn a_call_that_ends_badly_is_an_error_and_no_more() {
    for (name, guest, kind, want) in faults() {
        // Where cabi_realloc is what is broken, settings cannot be handed in: `init` fails there.
        let plugin = load(&guest).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut partitioner = match create(&plugin) {
            Ok(partitioner) => partitioner,
            Err(error) if guest.realloc != crate::guest::guest().realloc => {
                let message = error.to_string();
                check(name, &message, &format!("init failed ({kind})"));
                check(name, &message, want);
                continue;
            }
            Err(error) => panic!("{name}: {error}"),
        };
        let failure = ask(partitioner.as_mut()).unwrap_err();
        assert_eq!(failure.fault(), Some(kind), "{name}: {failure}");
        check(name, &failure.to_string(), want);
        let again = ask(partitioner.as_mut()).unwrap_err();
        assert_eq!(again.fault(), Some(kind), "{name}, again: {again}");
        check(name, &again.to_string(), "has failed before and is not asked again");
        // Others of its kind are not touched.
        drop(create(&plugin).unwrap());
    }
}

#[test]
fn partitions_out_of_range_are_found_by_whoever_asks() {
    let guest =
        Guest::fields("(data (i32.const 4096) \"\\00\\00\\00\\00\\ff\\ff\\ff\\ff\\0c\\00\\00\\00\")".to_owned());
    let failure = ask(create(&load(&guest).unwrap()).unwrap().as_mut()).unwrap_err();
    assert_eq!(failure.to_string(), "the partitioner chose partition 12 of topic t, which has 12");
}

#[test]
fn an_undeclared_column_fails_the_call_and_the_instance_goes_on() {
    let keys = "(call $keys (local.get $b) (i32.const 64))";
    let manifest = r#"{"name": "hostile", "version": "1", "api": 1}"#.to_owned();
    let guest = Guest { manifest, ..Guest::hook(&format!("{keys} {DROP} (i32.const 32)")) };
    let mut partitioner = create(&load(&guest).unwrap()).unwrap();
    for _ in 0..3 {
        let failure = ask(partitioner.as_mut()).unwrap_err();
        assert_eq!(failure.fault(), None);
        assert_eq!(failure.to_string(), "the plugin does not declare that it reads keys");
    }
}

#[test]
fn a_guest_says_itself_that_it_fails() {
    // The text is the first eight bytes of the manifest; it may be tried again as often as one likes.
    let fields =
        "(data (i32.const 32) \"\\01\\00\\00\\00\\00\\00\\00\\00\\00\\04\\00\\00\\08\\00\\00\\00\")".to_owned();
    let mut partitioner = create(&load(&Guest::fields(fields)).unwrap()).unwrap();
    for _ in 0..3 {
        let failure = ask(partitioner.as_mut()).unwrap_err();
        assert_eq!(failure, watershed_hooks::Failure::Retriable("{\"name\":".to_owned()));
    }
}

#[test]
fn memory_that_is_refused_and_not_missed_is_no_failure() {
    let guest = Guest::hook(&format!("(drop (memory.grow (i32.const 16384))) {DROP} (i32.const 32)"));
    assert!(ask(create(&load(&guest).unwrap()).unwrap().as_mut()).is_ok());
}
