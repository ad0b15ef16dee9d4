//! `watershed plugin replay`: plugins asked about the records that a broker holds.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::path::Path;

use common::Broker;
use serde_json::{Value, json};

fn write(dir: &Path, name: &str, of_hooks: &str) -> String {
    let head = "{ name = 'p', version = '1', api = 1, reads = { 'keys', 'values', 'ordering_keys' }, ";
    let path = dir.join(name);
    std::fs::write(&path, format!("return {head}{of_hooks} }}")).unwrap();
    path.to_str().unwrap().to_owned()
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// Each hook's line.
fn lines(output: &std::process::Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const OLD: &str = "intercept = function(b) local v = {} for i = 1, #b do
    if b:value(i) == 'bad' then v[i] = { reject = 'no bad ones' } end end return v end";
const NEW: &str = "intercept = function(b) local v = {} for i = 1, #b do
    if b:value(i) == 'bad' then v[i] = { reject = 'no bad ones' } elseif b:value(i) == 'odd' then v[i] = false end end
    return v end";

fn broker(dir: &Path) -> Broker {
    let broker = Broker::start_with(dir, "\n[[topics]]\nname = \"t\"\npartitions = 2\n");
    for (partition, values) in [("0", "good\nbad\ngood\n"), ("1", "odd\ngood\n")] {
        broker.ok(&["produce", "t", "--partition", partition, "--key", "k"], values.as_bytes());
    }
    broker
}

#[test]
fn a_replay_counts_what_a_plugin_would_do_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path());
    let new = write(dir.path(), "new.luau", NEW);
    let replay = |arguments: &[&str]| {
        let all = [&["--json", "plugin", "replay", &new, "--topic", "t"], arguments].concat();
        broker.run_with(&all, b"")
    };
    for (arguments, records, verdicts) in [
        (&["--from-beginning"][..], 5, json!({ "keep": 3, "reject": 1, "drop": 1 })),
        (&["--last", "10m"], 5, json!({ "keep": 3, "reject": 1, "drop": 1 })),
        (&["--from-beginning", "--max", "1"], 1, Value::Null),
    ] {
        let replayed = replay(arguments);
        assert!(replayed.status.success(), "{arguments:?}: {}", said(&replayed));
        let found = lines(&replayed);
        assert_eq!(found.len(), 1);
        assert_eq!((&found[0]["hook"], &found[0]["records"]), (&json!("interceptor"), &json!(records)));
        assert_eq!(found[0]["more"], json!(records == 1));
        assert!(verdicts.is_null() || found[0]["verdicts"] == verdicts, "{}", found[0]);
    }
    let found = lines(&replay(&["--from-beginning", "--samples", "9"]));
    let mut samples = found[0]["samples"].as_array().unwrap().clone();
    samples.sort_by_key(|sample| sample["partition"].as_u64());
    let bad = json!({ "partition": 0, "offset": 1, "key": "k", "verdict": { "reject": "no bad ones" } });
    assert_eq!(samples, [bad, json!({ "partition": 1, "offset": 0, "key": "k", "verdict": "drop" })]);
    assert_eq!(broker.ok(&["consume", "t"], b"").len(), "good\nbad\ngood\nodd\ngood\n".len());
    let text = said(&broker.run_with(&["plugin", "replay", &new, "-t", "t", "--from-beginning"], b""));
    assert!(text.contains("t: 5 records\n") && text.contains("t-1 at 0 key k: \"drop\""), "{text}");
}

#[test]
fn two_versions_are_compared_record_by_record() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path());
    let (old, new) = (write(dir.path(), "old.luau", OLD), write(dir.path(), "new.luau", NEW));
    let keys = write(dir.path(), "keys.luau", "ordering_key = function(b) return {} end");
    let replay = |file: &str, other: &str| {
        let all = ["--json", "plugin", "replay", file, "--against", other, "--topic", "t", "--from-beginning"];
        broker.run_with(&all, b"")
    };
    let same = replay(&old, &old);
    assert!(same.status.success(), "{}", said(&same));
    assert_eq!(lines(&same)[0]["differ"], json!(0));
    let differs = replay(&old, &new);
    assert_eq!(differs.status.code(), Some(1), "{}", said(&differs));
    let found = &lines(&differs)[0];
    assert_eq!(found["verdicts"], json!({ "keep": 4, "reject": 1 }));
    assert_eq!(found["against"], json!({ "keep": 3, "reject": 1, "drop": 1 }));
    assert_eq!(found["differ"], json!(1));
    let odd = json!([{ "partition": 1, "offset": 0, "key": "k", "verdict": "keep", "against": "drop" }]);
    assert_eq!(found["samples"], odd);
    let other_hook = replay(&old, &keys);
    assert_eq!(other_hook.status.code(), Some(2), "{}", said(&other_hook));
}

#[test]
fn record_retention_is_asked_with_the_ranks_of_whole_partitions() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start_with(
        dir.path(),
        "\n[[topics]]\nname = \"t\"\npartitions = 2\n[[topics]]\nname = \"one\"\npartitions = 1\n",
    );
    for (topic, partition, values) in [("t", "0", "a\nb\na\na\n"), ("t", "1", "a\n"), ("one", "0", "a\nb\na\na\n")] {
        broker.ok(&["produce", topic, "--partition", partition, "--key", "k"], values.as_bytes());
    }
    // The newest two of each value; of each key, where it has no ordering keys.
    let keep = "record_retention = function(b) local s = {} for i = 1, #b do s[i] = b:rank(i) < 2 end return s end";
    let keys =
        "ordering_key = function(b) local k = {} for i = 1, #b do k[i] = b:value(i) end return k end, ".to_owned();
    let file = |name: &str, hooks: &str| {
        let head = "{ name = 'p', version = '1', api = 1, reads = { 'values', 'ranks' }, ";
        let path = dir.path().join(name);
        std::fs::write(&path, format!("return {head}{hooks} }}")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (by_value, by_key) = (file("value.luau", &(keys + keep)), file("key.luau", keep));
    let found = |output: &std::process::Output| {
        lines(output)
            .into_iter()
            .find(|line| line["hook"] == "record-retention")
            .unwrap_or_else(|| panic!("{}", said(output)))
    };
    let all = ["--json", "plugin", "replay", &by_value, "--topic", "t", "--from-beginning"];
    let replayed = found(&broker.run_with(&all, b""));
    assert_eq!(replayed["verdicts"], json!({ "keep": 4, "drop": 1 }));
    assert_eq!(replayed["samples"], json!([{ "partition": 0, "offset": 0, "key": "k", "verdict": "drop" }]));
    let by_key = ["--json", "plugin", "replay", &by_key, "--topic", "t", "--from-beginning"];
    assert_eq!(found(&broker.run_with(&by_key, b""))["verdicts"], json!({ "keep": 3, "drop": 2 }));
    // What is not asked about counts all the same.
    let first = ["--json", "plugin", "replay", &by_value, "--topic", "one", "--from-beginning", "--max", "1"];
    assert_eq!(found(&broker.run_with(&first, b""))["verdicts"], json!({ "drop": 1 }));
    assert_eq!(broker.ok(&["consume", "t"], b"").len(), "a\nb\na\na\na\n".len(), "nothing goes");
}

#[test]
fn failures_are_counted_and_partitioners_see_their_own_ordering_keys() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path());
    let failing =
        "intercept = function(b) for i = 1, #b do if b:value(i) == 'bad' then error('ouch') end end return {} end";
    let failing = write(dir.path(), "failing.luau", failing);
    let replay = |file: &str, topic: &str| {
        broker.run_with(&["--json", "plugin", "replay", file, "--topic", topic, "--from-beginning"], b"")
    };
    let failed = replay(&failing, "t");
    assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
    let verdicts = &lines(&failed)[0]["verdicts"];
    assert_eq!((&verdicts["failed"], &verdicts["keep"]), (&json!(3), &json!(2)), "a batch fails as a whole");
    let both = "ordering_key = function(b) local k = {} for i = 1, #b do k[i] = b:value(i) end return k end,
        partition = function(b) local p = {} for i = 1, #b do p[i] = b:ordering_key(i) == 'odd' and 1 or 0 end return p end";
    let both = write(dir.path(), "both.luau", both);
    let replayed = replay(&both, "t");
    assert!(replayed.status.success(), "{}", said(&replayed));
    let found = lines(&replayed);
    let partitioner = found.iter().find(|line| line["hook"] == "partitioner").unwrap();
    assert_eq!(partitioner["verdicts"], json!({ "stays": 4, "another partition": 1 }));
    let policy = write(dir.path(), "policy.luau", "judge = function() return true end");
    assert_eq!(replay(&policy, "t").status.code(), Some(2), "it serves no hook on records");
    assert_eq!(replay(&both, "nowhere").status.code(), Some(4));
}
