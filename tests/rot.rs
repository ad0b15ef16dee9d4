//! A bit of a stopped broker's directory flips, and the real binary starts on it: what is damaged is found, told with what
//! to do, and never served as data; every other topic is whole.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use common::PROGRAM;
use serde_json::Value;

/// A broker whose log is kept.
struct Served {
    child: Child,
    address: String,
}

fn serve(data: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["--json", "serve", "--set"]).arg(format!("data_dir={}", data.display())).stdin(Stdio::null());
    command.args(["--set", "listeners=[{name=\"PLAINTEXT\",address=\"127.0.0.1:0\"}]"]);
    command.args(["--set", "http.address=127.0.0.1:0"]);
    command
}

impl Served {
    fn start(data: &Path) -> Self {
        let log = std::fs::File::create(data.with_extension("log")).unwrap();
        let mut child = serve(data).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("the broker did not start: {}", said(data)));
        Self { child, address: ready["listeners"][0].as_str().unwrap().to_owned() }
    }

    fn run(&self, args: &[&str], input: &[u8]) -> Output {
        common::run(&[args, &["--bootstrap", &self.address, "--wait", "10"]].concat(), input)
    }

    fn ok(&self, args: &[&str], input: &[u8]) -> String {
        let output = self.run(args, input);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn stop(mut self) {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the last start on this directory logged.
fn said(data: &Path) -> String {
    std::fs::read_to_string(data.with_extension("log")).unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to)
        } else {
            drop(std::fs::copy(entry.path(), to))
        }
    }
}

fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x04;
    std::fs::write(path, bytes).unwrap();
}

/// Two topics with the records 0 to 29, one batch each, after a clean end.
fn sample(dir: &Path) -> PathBuf {
    let data = dir.join("data");
    let broker = Served::start(&data);
    for topic in ["hit", "spared"] {
        broker.ok(&["topic", "create", topic, "-p", "1"], b"");
        for n in 0..3 {
            let lines: String = (0..10).map(|i| format!("{topic} {}\n", n * 10 + i)).collect();
            broker.ok(&["produce", topic], lines.as_bytes());
        }
    }
    broker.stop();
    data
}

fn all(topic: &str) -> String {
    (0..30).map(|n| format!("{topic} {n}\n")).collect()
}

/// The segment whose first batch holds this text.
fn segment_of(data: &Path, text: &str) -> (PathBuf, usize) {
    let holds = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(text.len()).position(|w| w == text.as_bytes())
    };
    let found = files(&data.join("topics"), ".log").into_iter().find_map(|path| holds(&path).map(|at| (path, at)));
    found.unwrap()
}

fn verify(data: &Path) -> (Option<i32>, String) {
    let output = common::run(&["storage", "verify", data.to_str().unwrap()], b"");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_damaged_record_is_told_and_not_served_and_the_rest_is() {
    let dir = tempfile::tempdir().unwrap();
    let data = sample(dir.path());
    assert_eq!(verify(&data).0, Some(0));
    // In a record of the second batch; then in the place of the whole batch, which its checksum does not cover.
    let (segment, at) = segment_of(&data, "hit 12");
    let batch = std::fs::read(&segment).unwrap().windows(6).position(|w| w == b"hit 10").unwrap() - 61 - 6;
    for at in [at, batch + 6] {
        let bad = dir.path().join(format!("bad-{at}"));
        copy(&data, &bad);
        flip(&bad.join(segment.strip_prefix(&data).unwrap()), at);
        let (code, found) = verify(&bad);
        assert!(code == Some(7) && found.contains("damage") && found.contains(".log"), "{code:?}: {found}");
        let broker = Served::start(&bad);
        assert_eq!(broker.ok(&["consume", "spared"], b""), all("spared"));
        let read = broker.run(&["consume", "hit"], b"");
        let (out, err) = (String::from_utf8_lossy(&read.stdout), String::from_utf8_lossy(&read.stderr));
        assert!(read.status.code() == Some(7) && all("hit").starts_with(&*out), "{:?}: {err}: {out}", read.status);
        assert!(out.lines().count() <= 10, "nothing of the damaged batch: {out}");
        let behind = broker.ok(&["consume", "hit", "--from", "20"], b"");
        assert_eq!(behind.lines().collect::<Vec<_>>(), all("hit").lines().skip(20).collect::<Vec<_>>());
        broker.ok(&["produce", "hit"], b"hit 30\n");
        broker.stop();
        let log = said(&bad);
        let told = log.contains("stored records are damaged and not served") && log.contains("go on at offset 20");
        assert!(told && log.contains(".log") && log.contains("storage verify"), "{log}");
    }
}

#[test]
fn damaged_shortcuts_and_notes_cost_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = sample(dir.path());
    let mut cases = files(&data.join("topics"), ".index");
    cases.extend(files(&data.join("topics"), ".state"));
    cases.extend(["synced-ends", "clean", "lock"].map(|name| data.join(name)));
    for (n, path) in cases.iter().enumerate() {
        let bad = dir.path().join(format!("bad-{n}"));
        copy(&data, &bad);
        let name = path.strip_prefix(&data).unwrap();
        let size = std::fs::metadata(path).unwrap().len() as usize;
        flip(&bad.join(name), size / 2);
        let broker = Served::start(&bad);
        for topic in ["hit", "spared"] {
            assert_eq!(broker.ok(&["consume", topic], b""), all(topic), "{}", name.display());
        }
        broker.stop();
    }
}

#[test]
fn damaged_metadata_keeps_the_broker_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let data = sample(dir.path());
    for (name, at, what_to_do) in [("metadata/quorum.redb", 3, "Restore the file"), ("cluster-id", 2, "cluster-id")] {
        let bad = dir.path().join(name.replace('/', "-"));
        copy(&data, &bad);
        flip(&bad.join(name), at);
        let mut child = serve(&bad).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = String::new();
        child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert!(!child.wait().unwrap().success(), "{name}: it started");
        assert!(log.contains(what_to_do) || log.contains("put back the metadata"), "{name}: {log}");
        // Nothing was taken for a leftover: with the file put back, everything is there.
        std::fs::copy(data.join(name), bad.join(name)).unwrap();
        let broker = Served::start(&bad);
        assert_eq!(broker.ok(&["consume", "hit"], b""), all("hit"));
        broker.stop();
    }
}
