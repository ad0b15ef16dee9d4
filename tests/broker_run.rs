//! The built broker from start to stop: declared topics, what memory topics keep, HTTP, listeners, signals, lost metadata.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use common::{Broker, PROGRAM, get};
use serde_json::{Value, json};
use watershed_client::{Client, ClientConfig};

/// A broker whose whole configuration is the test's; killed when it is dropped.
struct Served {
    child: Child,
    ready: Value,
}

fn write_config(dir: &Path, text: &str) -> PathBuf {
    let file = dir.join("watershed.toml");
    let data = dir.join("data");
    std::fs::write(&file, format!("data_dir = {data:?}\n[http]\naddress = \"127.0.0.1:0\"\n{text}")).unwrap();
    file
}

/// One listener on any port, then `rest`.
fn listening(rest: &str) -> String {
    format!("[[listeners]]\nname = \"PLAINTEXT\"\naddress = \"127.0.0.1:0\"\n{rest}")
}

fn serve(file: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["--json", "serve", "--config"]).arg(file).stdin(Stdio::null());
    command
}

impl Served {
    fn start(dir: &Path, text: &str) -> Self {
        let mut child = serve(&write_config(dir, text)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(ready) = serde_json::from_str(&line) else {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("the broker did not start: {said}");
        };
        Self { child, ready }
    }

    fn address(&self, listener: usize) -> &str {
        self.ready["listeners"][listener].as_str().unwrap()
    }

    fn http(&self) -> &str {
        self.ready["http"].as_str().unwrap()
    }

    /// Runs a command of ours against it: its output as JSON.
    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_slice(&self.ok(args, b"")).unwrap()
    }

    fn ok(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let bootstrap = ["--bootstrap", self.address(0), "--wait", "10", "--json"];
        let output = common::run(&[args, &bootstrap].concat(), input);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// The exit code and everything that it logged, after a SIGTERM.
    fn terminate(mut self) -> (Option<i32>, String) {
        let mut stderr = self.child.stderr.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut said = String::new();
            stderr.read_to_string(&mut said).unwrap();
            said
        });
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let status = self.child.wait().unwrap();
        (status.code(), reader.join().unwrap())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A start that must fail: what is left of it.
fn refused(dir: &Path, text: &str) -> Output {
    let output = serve(&write_config(dir, text)).output().unwrap();
    assert!(!output.status.success(), "it started");
    output
}

fn topic(name: &str, partitions: u32, configs: &str) -> String {
    format!("[[topics]]\nname = \"{name}\"\npartitions = {partitions}\nconfig = {{ {configs} }}\n")
}

#[test]
fn declared_topics_are_created_grown_and_altered_but_never_shrunk() {
    let dir = tempfile::tempdir().unwrap();
    let partitions = |topic: &Value| topic["partitions"].as_array().unwrap().len();
    let value = |topic: &Value, name: &str| {
        let configs = topic["configs"].as_array().unwrap().clone();
        configs.iter().find(|config| config["name"] == name).map(|config| config["value"].clone())
    };
    {
        let broker = Served::start(dir.path(), &listening(&topic("tide", 2, "\"retention.ms\" = 60000")));
        let described = broker.json(&["topic", "describe", "tide"]);
        assert_eq!((partitions(&described), value(&described, "retention.ms")), (2, Some(json!("60000"))));
        broker.ok(&["topic", "alter", "tide", "-c", "max.message.bytes=5000"], b"");
        assert_eq!(broker.terminate().0, Some(0));
    }
    {
        let broker = Served::start(dir.path(), &listening(&topic("tide", 3, "\"retention.ms\" = 70000")));
        let described = broker.json(&["topic", "describe", "tide"]);
        assert_eq!((partitions(&described), value(&described, "retention.ms")), (3, Some(json!("70000"))));
        assert_eq!(value(&described, "max.message.bytes"), Some(json!("5000")), "what is not declared stays");
        assert_eq!(broker.terminate().0, Some(0));
    }
    let output = refused(dir.path(), &listening(&topic("tide", 1, "")));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(10), "{said}");
    assert!(said.contains("tide"), "the error names the topic: {said}");
    // The refusal changed nothing, and a topic that is no longer declared stays.
    let broker = Served::start(dir.path(), &listening(""));
    assert_eq!(partitions(&broker.json(&["topic", "describe", "tide"])), 3);
}

/// The marks of partition 0 of a topic that was used, from the HTTP API.
fn marks(http: &str, topic: &str) -> (i64, i64) {
    let (status, body) = get(http, "/api/v1/topics");
    assert!(status.contains("200"), "{status}");
    let topics: Value = serde_json::from_str(&body).unwrap();
    let found = topics["topics"].as_array().unwrap().iter().find(|t| t["name"] == topic).unwrap().clone();
    let partition = &found["open_partitions"][0];
    (partition["log_start_offset"].as_i64().unwrap(), partition["log_end_offset"].as_i64().unwrap())
}

#[test]
fn a_memory_topic_goes_on_above_its_old_offsets_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &[]);
    broker.ok(&["topic", "create", "brief", "-p", "1", "-c", "watershed.storage=memory"], b"");
    broker.ok(&["produce", "brief"], b"one\ntwo\nthree\n");
    let (start, end) = marks(&broker.http, "brief");
    assert_eq!((start, end), (0, 3));
    broker.kill();
    let broker = Broker::start(dir.path(), 0, &[]);
    broker.ok(&["produce", "brief"], b"four\n");
    let (start, after) = marks(&broker.http, "brief");
    assert!(start >= end, "no offset is given twice: {start} after {end}");
    assert_eq!(after, start + 1, "what was in memory is gone, what is new is there");
    let read = broker.ok(&["consume", "brief"], b"");
    assert_eq!(String::from_utf8(read).unwrap(), "four\n");
}

#[test]
fn http_tells_health_metrics_and_topics() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &[]);
    broker.ok(&["topic", "create", "tide", "-p", "1"], b"");
    broker.ok(&["produce", "tide"], b"one\ntwo\n");
    broker.ok(&["consume", "tide"], b"");
    let code = broker.run(&["topic", "describe", "nothing"]).status.code();
    assert_eq!(code, Some(4));
    for path in ["/health/live", "/health/ready"] {
        let (status, _) = get(&broker.http, path);
        assert!(status.contains("200"), "{path}: {status}");
    }
    assert!(get(&broker.http, "/nothing").0.contains("404"));
    let (_, body) = get(&broker.http, "/api/v1/topics");
    let topics: Value = serde_json::from_str(&body).unwrap();
    let found = &topics["topics"][0];
    assert_eq!((&found["name"], &found["storage"]), (&json!("tide"), &json!("disk")));
    assert_eq!(found["open_partitions"][0]["high_watermark"], 2);
    let (status, metrics) = get(&broker.http, "/metrics");
    assert!(status.contains("200"), "{status}");
    for name in [
        "watershed_requests_total{api=\"Produce\"}",
        "watershed_requests_total{api=\"Fetch\"}",
        "watershed_request_seconds_bucket{api=\"Produce\"",
        "watershed_response_bytes_total{api=\"Fetch\"}",
        "watershed_connections ",
        "watershed_connections_refused_total",
        "watershed_in_flight_produce_bytes",
        "watershed_topic_bytes_in_total{topic=\"tide\"}",
        "watershed_topic_records_in_total{topic=\"tide\"} 2",
        "watershed_topic_bytes_out_total{topic=\"tide\"}",
        "watershed_log_bytes{",
        "watershed_log_start_offset{topic=\"tide\",partition=\"0\"} 0",
        "watershed_log_end_offset{topic=\"tide\",partition=\"0\"} 2",
        "watershed_high_watermark{topic=\"tide\",partition=\"0\"} 2",
        "watershed_fetch_sessions",
        "watershed_compacted_topics_not_cleaned",
        "watershed_log_directory_offline{",
        "watershed_log_directory_full{",
    ] {
        assert!(metrics.contains(name), "no {name} in\n{metrics}");
    }
}

#[test]
fn each_listener_tells_its_own_advertised_address() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[[listeners]]\nname = \"INSIDE\"\naddress = \"127.0.0.1:0\"\nadvertised = \"inside.example:19092\"\n\
                [[listeners]]\nname = \"OUTSIDE\"\naddress = \"127.0.0.1:0\"\nadvertised = \"outside.example:29092\"\n";
    let broker = Served::start(dir.path(), text);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (listener, host, port) in [(0, "inside.example", 19092), (1, "outside.example", 29092)] {
        let bootstrap = vec![broker.address(listener).to_owned()];
        let brokers = runtime.block_on(async {
            let client = Client::connect(ClientConfig { bootstrap, ..ClientConfig::default() }).await.unwrap();
            let request =
                watershed_protocol::messages::metadata::MetadataRequest { topics: None, ..Default::default() };
            client.any_broker().await.unwrap().call(&request).await.unwrap().brokers
        });
        let told: Vec<_> = brokers.iter().map(|broker| (broker.host.as_str(), broker.port)).collect();
        assert_eq!(told, [(host, port)]);
    }
}

#[test]
fn sigterm_stops_cleanly_and_the_next_start_recovers_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Served::start(dir.path(), &listening(&topic("tide", 1, "")));
    broker.ok(&["produce", "tide"], b"one\ntwo\n");
    let (code, said) = broker.terminate();
    assert_eq!(code, Some(0), "{said}");
    let broker = Served::start(dir.path(), &listening(""));
    assert_eq!(marks(broker.http(), "tide"), (0, 2));
    let (_, metrics) = get(broker.http(), "/metrics");
    let recovered = metrics.lines().filter(|line| line.starts_with(RECOVERED_BYTES) && !line.ends_with(" 0"));
    assert_eq!(recovered.count(), 0, "a clean end needs no recovery:\n{metrics}");
}

/// The disk backend's count of the bytes it had to read after unclean ends.
const RECOVERED_BYTES: &str = "watershed_storage_recovery_scanned_bytes_total";

/// What shows that the test above can fail: after a kill there is something to recover.
#[test]
fn a_kill_is_recovered_from() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::start(dir.path(), 0, &[]);
    broker.ok(&["topic", "create", "tide", "-p", "1"], b"");
    broker.ok(&["produce", "tide"], b"one\ntwo\n");
    broker.kill();
    let broker = Broker::start(dir.path(), 0, &[]);
    assert_eq!(marks(&broker.http, "tide"), (0, 2));
    let (_, metrics) = get(&broker.http, "/metrics");
    let mut recovered = metrics.lines().filter(|line| line.starts_with(RECOVERED_BYTES));
    assert!(recovered.any(|line| !line.ends_with(" 0")), "{metrics}");
}

#[test]
fn records_without_their_metadata_are_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Served::start(dir.path(), &listening(&topic("tide", 1, "")));
    broker.ok(&["produce", "tide"], b"one\n");
    assert_eq!(broker.terminate().0, Some(0));
    let metadata = dir.path().join("data/metadata");
    let kept = dir.path().join("kept");
    std::fs::rename(&metadata, &kept).unwrap();
    let output = refused(dir.path(), &listening(""));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains("metadata is gone"), "{said}");
    assert!(!metadata.exists(), "no new metadata is begun over old records");
    // Nothing was harmed: with the metadata put back the records are there.
    std::fs::rename(&kept, &metadata).unwrap();
    let broker = Served::start(dir.path(), &listening(""));
    assert_eq!(marks(broker.http(), "tide"), (0, 1));
}
