//! The command line against our own broker: topics, records in and out, load.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Broker, run};
use serde_json::json;

fn code(broker: &Broker, args: &[&str], input: &[u8]) -> (Option<i32>, String) {
    let output = broker.run_with(args, input);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn topics_are_created_described_altered_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &[]);
    let created = broker.json(&["topic", "create", "orders", "-p", "3", "-c", "retention.ms=60000"]);
    assert_eq!(created["created"], true);
    assert_eq!(code(&broker, &["topic", "create", "orders"], b"").0, Some(8));
    assert_eq!(broker.json(&["topic", "create", "orders", "--if-not-exists"])["created"], false);
    assert_eq!(broker.json(&["topic", "create", "dry", "--dry-run"])["created"], false);
    assert_eq!(code(&broker, &["topic", "describe", "dry"], b"").0, Some(4));
    assert_eq!(code(&broker, &["topic", "create", "no/slash"], b"").0, Some(9));
    assert_eq!(code(&broker, &["topic", "create", "x", "-c", "retention.ms=soon"], b"").0, Some(9));

    let listed = broker.json(&["topic", "list"]);
    assert_eq!(listed[0]["topic"], "orders");
    assert_eq!(listed[0]["partitions"], 3);
    broker.ok(&["topic", "alter", "orders", "-p", "4", "-c", "retention.ms=120000"], b"");
    assert_eq!(code(&broker, &["topic", "alter", "orders", "-p", "2"], b"").0, Some(9));
    let http = format!("http://{}", broker.http);
    let described = broker.json(&["topic", "describe", "orders", "--http", &http]);
    assert_eq!(described["partitions"].as_array().unwrap().len(), 4);
    assert_eq!(
        described["configs"],
        json!([
            { "name": "retention.ms", "value": "120000", "source": "topic", "read_only": false }
        ])
    );
    assert_eq!(described["storage"], "disk");
    assert_eq!(described["not_cleaned_yet"], false);
    broker.ok(&["topic", "alter", "orders", "--delete-config", "retention.ms"], b"");
    assert_eq!(broker.json(&["topic", "describe", "orders"])["configs"], json!([]));

    broker.ok(&["topic", "create", "latest", "-c", "cleanup.policy=compact"], b"");
    let text = broker.ok(&["topic", "describe", "latest", "--http", &http], b"");
    assert!(String::from_utf8(text).unwrap().contains("not cleaned yet"));

    broker.ok(&["topic", "delete", "orders", "latest"], b"");
    assert_eq!(code(&broker, &["topic", "delete", "orders"], b"").0, Some(4));
    broker.ok(&["topic", "delete", "orders", "--if-exists"], b"");
    assert_eq!(broker.json(&["topic", "list"]), json!([]));
}

#[test]
fn an_unknown_extra_is_shown_as_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &[]);
    broker.ok(&["topic", "create", "t"], b"");
    // Port 9 is "discard"; nobody of ours answers there.
    let text = broker.ok(&["topic", "describe", "t", "--http", "http://127.0.0.1:9"], b"");
    assert!(String::from_utf8(text).unwrap().contains("storage   —"));
}

#[test]
fn a_file_of_paragraphs_comes_out_byte_for_byte_with_its_keys() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &[]);
    let mut index = String::new();
    for i in 0..2000 {
        index += &format!("Package: name-{i}\nVersion: 1.{i}\nDescription: é line\n continued\n\n");
    }
    let file = dir.path().join("Packages");
    std::fs::write(&file, &index).unwrap();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("packages-{codec}");
        let path = file.to_str().unwrap();
        let produce =
            ["produce", &topic, path, "--split", "paragraphs", "--key-from", "Package: ", "-z", codec, "--json"];
        let report: serde_json::Value = serde_json::from_slice(&broker.ok(&produce, b"")).unwrap();
        assert_eq!((&report["delivered"], &report["failed"]), (&json!(2000), &json!(0)));
        let back = broker.ok(&["consume", &topic, "--format", r"%s\n\n"], b"");
        assert!(back == index.as_bytes(), "{codec}");
        let keys = String::from_utf8(broker.ok(&["consume", &topic, "--format", r"%k\n", "-c", "3"], b"")).unwrap();
        assert_eq!(keys, "name-0\nname-1\nname-2\n");
    }
}

#[test]
fn records_go_through_json_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &["\"num.partitions\" = 3"]);
    let lines = [
        json!({"key": null, "value": "plain", "headers": [], "partition": 0, "timestamp": 1_700_000_000_000_i64}),
        json!({"key": {"base64": "/w=="}, "value": null, "headers": [["a", "1"], ["a", null], ["b", {"base64": "gA=="}]],
               "partition": 1, "timestamp": 1_700_000_000_001_i64}),
        json!({"key": "", "value": "", "headers": [], "partition": 2, "timestamp": 1_700_000_000_002_i64}),
    ];
    let input: String = lines.iter().map(|l| format!("{l}\n")).collect();
    broker.ok(&["produce", "t", "--format", "json"], input.as_bytes());
    let output = String::from_utf8(broker.ok(&["consume", "t", "--format", "json"], b"")).unwrap();
    let mut got: Vec<serde_json::Value> = output.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    got.sort_by_key(|v| v["partition"].as_i64());
    for (got, sent) in got.iter().zip(&lines) {
        for field in ["key", "value", "headers", "partition", "timestamp"] {
            assert_eq!(got[field], sent[field], "{field}");
        }
    }
    assert_eq!(got.len(), 3);
}

#[test]
fn consuming_begins_and_ends_where_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &[]);
    broker.ok(&["topic", "create", "t"], b"");
    for (i, timestamp) in ["1000", "2000", "3000"].into_iter().enumerate() {
        let input = format!("{i}a\n{i}b\n");
        broker.ok(&["produce", "t", "--timestamp", timestamp, "--acks", ["0", "1", "all"][i]], input.as_bytes());
    }
    let consume = |args: &[&str]| {
        let all = [&["consume", "t", "--format", "%s "], args].concat();
        String::from_utf8(broker.ok(&all, b"")).unwrap()
    };
    // acks=0 promises nothing, but what was sent has left before the command ends, and nothing is lost on the way here.
    assert_eq!(consume(&[]), "0a 0b 1a 1b 2a 2b ");
    assert_eq!(consume(&["--from", "2", "--to", "5"]), "1a 1b 2a ");
    assert_eq!(consume(&["--from", "-2"]), "2a 2b ");
    assert_eq!(consume(&["--from", "@1500"]), "1a 1b 2a 2b ");
    assert_eq!(consume(&["--from", "@1500", "--to", "@2500"]), "1a 1b ");
    assert_eq!(consume(&["--from", "@9000"]), "");
    assert_eq!(consume(&["--count", "3"]), "0a 0b 1a ");
    assert_eq!(consume(&["--from", "latest"]), "");
    assert_eq!(consume(&["--follow", "--count", "6"]), "0a 0b 1a 1b 2a 2b ");
    assert_eq!(code(&broker, &["consume", "t", "-p", "7"], b"").0, Some(4));
    assert_eq!(code(&broker, &["consume", "none"], b"").0, Some(4));
    let (exit, error) = code(&broker, &["consume", "t", "--from", "70", "--to", "80"], b"");
    assert_eq!(exit, Some(4), "{error}");
}

#[test]
fn what_the_broker_refuses_is_counted_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &[]);
    broker.ok(&["topic", "create", "compacted", "-c", "cleanup.policy=compact"], b"");
    // No key: refused by the broker, all of it.
    let (exit, error) = code(&broker, &["produce", "compacted"], b"x\n");
    assert_eq!(exit, Some(9), "{error}");
    assert!(error.contains("record 1"), "{error}");
    // The first is delivered before the second is tried.
    let input = b"{\"key\":\"k\",\"value\":\"v\"}\n{\"value\":\"no key\"}\n";
    let produce = ["produce", "compacted", "--format", "json", "--batch-bytes", "1"];
    let (exit, error) = code(&broker, &produce, input);
    assert_eq!(exit, Some(6), "{error}");
    // A line that is no JSON stops the input, not what came before it.
    let (exit, error) = code(&broker, &["produce", "other", "--format", "json"], b"{\"value\":\"v\"}\nnonsense\n");
    assert_eq!(exit, Some(6), "{error}");
    assert!(error.contains("record 2"), "{error}");
    let (exit, error) = code(&broker, &["produce", "missing", "--no-create"], b"x\n");
    assert_eq!(exit, Some(4), "{error}");
}

#[test]
fn load_is_measured() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &[]);
    broker.ok(&["topic", "create", "load", "-p", "2"], b"");
    let produced = broker.json(&["bench", "produce", "load", "-n", "5000", "-s", "100", "--producers", "2"]);
    assert_eq!(produced["records"], 5000);
    assert!(produced["latency_us"]["p99"].as_u64().unwrap() > 0);
    let consumed = broker.json(&["bench", "consume", "load", "--decode"]);
    assert_eq!(consumed["records"], 5000);
    let table = String::from_utf8(broker.ok(&["bench", "produce", "load", "-n", "100", "-r", "1000"], b"")).unwrap();
    assert!(table.contains("latency p99"), "{table}");
}

#[test]
fn a_second_broker_on_the_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _broker = Broker::start(dir.path(), 0, &[]);
    let file = dir.path().join("watershed.toml");
    let output = run(&["serve", "--config", file.to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stderr.is_empty());
}

#[test]
fn a_stopped_directory_is_verified_and_damage_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &[]);
    broker.ok(&["produce", "t", "--batch-bytes", "500"], "some record\n".repeat(1000).as_bytes());
    let data = dir.path().join("data");
    let verify = || run(&["--json", "storage", "verify", data.to_str().unwrap()], b"");
    let busy = verify();
    assert_eq!(busy.status.code(), Some(1), "a broker has it open: {}", String::from_utf8_lossy(&busy.stderr));
    broker.stop();
    let clean = verify();
    assert_eq!(clean.status.code(), Some(0), "{}", String::from_utf8_lossy(&clean.stdout));
    let summary: serde_json::Value = serde_json::from_slice(&clean.stdout).unwrap();
    assert_eq!((&summary["partitions"], &summary["damaged"]), (&json!(1), &json!(false)));
    assert!(summary["batches"].as_u64().unwrap() > 0);

    let partition = std::fs::read_dir(data.join("topics")).unwrap().flatten().find(|e| e.path().is_dir()).unwrap();
    let mut files = std::fs::read_dir(partition.path()).unwrap().flatten().map(|e| e.path());
    let log = files.find(|p| p.extension().is_some_and(|e| e == "log")).unwrap();
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&log, &bytes).unwrap();
    let damaged = verify();
    assert_eq!(damaged.status.code(), Some(7), "{}", String::from_utf8_lossy(&damaged.stdout));
    let summary: serde_json::Value = serde_json::from_slice(&damaged.stdout).unwrap();
    assert_eq!(summary["findings"][0]["severity"], "damage");
    assert_eq!(run(&["storage", "verify", "/nowhere"], b"").status.code(), Some(4));
}

#[test]
fn a_groups_offsets_are_set_shown_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &[]);
    let http = format!("http://{}", broker.http);
    broker.ok(&["topic", "create", "t", "-p", "2"], b"");
    let full = 1;
    broker.ok(&["produce", "t", "--partition", "1"], b"a\nb\nc\nd\n");

    // Nothing is done without --execute.
    let reset = ["group", "reset-offsets", "--group", "g", "--topic", "t"];
    let with = |more: &[&'static str]| [&reset[..], more].concat();
    assert_eq!(broker.json(&with(&["--to-latest"]))["executed"], false);
    assert_eq!(broker.json(&["group", "list"]), json!([]));
    assert_eq!(code(&broker, &["group", "describe", "g"], b"").0, Some(4));

    assert_eq!(broker.json(&with(&["--to-offset", "3", "--execute"]))["executed"], true);
    assert_eq!(broker.json(&["group", "list"]), json!([{ "group": "g", "type": "classic", "state": "Empty" }]));
    let described = broker.json(&["group", "describe", "g", "--http", &http]);
    assert_eq!(described["state"], "Empty");
    // An offset beyond the end became the end.
    assert_eq!(described["partitions"][0]["committed"], 0);
    let at = &described["partitions"][full];
    assert_eq!((&at["committed"], &at["end"], &at["lag"]), (&json!(3), &json!(4), &json!(1)), "{described}");
    // What was there before anybody looked has no age.
    assert_eq!(at["lag_seconds"], json!(null), "{described}");
    let age = || broker.json(&["group", "describe", "g", "--http", &http])["partitions"][full]["lag_seconds"].as_f64();
    let appended_and_seen = || {
        broker.ok(&with(&["--to-latest", "--execute"]), b"");
        broker.ok(&["produce", "t", "--partition", "1"], b"e\n");
        age().is_some()
    };
    assert!((0..1000).any(|_| appended_and_seen()), "the age of what is behind is never known");
    broker.ok(&with(&["--to-offset", "3", "--execute"]), b"");

    let plan = dir.path().join("plan.csv");
    let plan = plan.to_str().unwrap();
    let back = ["--shift-by", "-2", "--execute", "--export"];
    broker.ok(&[&with(&back)[..], &[plan]].concat(), b"");
    assert_eq!(broker.json(&["group", "describe", "g"])["partitions"][full]["committed"], 1);
    broker.ok(&with(&["--by-duration", "3600", "--execute"]), b"");
    assert_eq!(broker.json(&["group", "describe", "g"])["partitions"][full]["committed"], 0);
    broker.ok(&["group", "reset-offsets", "--group", "g", "--from-file", plan, "--execute"], b"");
    assert_eq!(broker.json(&["group", "describe", "g"])["partitions"][full]["committed"], 1);
    broker.ok(&with(&["--to-datetime", "2100-01-01T00:00:00Z", "--execute"]), b"");
    assert_eq!(broker.json(&["group", "describe", "g"])["partitions"][full]["lag"], 0);

    for wrong in [&["--to-latest", "--to-earliest"][..], &[], &["--to-datetime", "soon"], &["--from-file", "missing"]] {
        assert_eq!(code(&broker, &with(wrong), b"").0, Some(2), "{wrong:?}");
    }
    assert_eq!(
        code(&broker, &["group", "reset-offsets", "--group", "g", "--topic", "t:7", "--to-latest"], b"").0,
        Some(4)
    );

    assert_eq!(broker.json(&["group", "members", "g"]), json!([]));
    broker.ok(&["group", "delete-offsets", "g", "--topic", "t:0"], b"");
    assert_eq!(broker.json(&["group", "describe", "g"])["partitions"].as_array().unwrap().len(), 1);
    broker.ok(&["group", "delete", "g"], b"");
    assert_eq!(broker.json(&["group", "list"]), json!([]));
    assert_eq!(code(&broker, &["group", "delete", "g"], b"").0, Some(4));
}
