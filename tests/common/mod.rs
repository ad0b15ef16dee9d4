//! A broker as its users have it: the built binary, a directory of its own, a port of its own.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_watershed");

/// A running broker; killed when it is dropped.
pub(crate) struct Broker {
    child: Child,
    /// Where Kafka clients connect.
    pub(crate) address: String,
    /// Where HTTP is.
    pub(crate) http: String,
}

impl Broker {
    /// Starts a broker on `dir` and waits until it says that it is ready. `port` 0 is any; `kafka` are lines of `[kafka]`.
    pub(crate) fn start(dir: &Path, port: u16, kafka: &[&str]) -> Self {
        Self::run_file(Command::new(PROGRAM), &Self::write_file(dir, port, kafka))
    }

    /// The same with these further lines of configuration.
    pub(crate) fn start_with(dir: &Path, lines: &str) -> Self {
        Self::run_file(Command::new(PROGRAM), &Self::write_file(dir, 0, &[lines]))
    }

    fn write_file(dir: &Path, port: u16, kafka: &[&str]) -> PathBuf {
        let file = dir.join("watershed.toml");
        let text = format!(
            "data_dir = {:?}\n[http]\naddress = \"127.0.0.1:0\"\n[[listeners]]\nname = \"PLAINTEXT\"\naddress = \"127.0.0.1:{port}\"\n[kafka]\n{}\n",
            dir.join("data"),
            kafka.join("\n"),
        );
        std::fs::write(&file, text).unwrap();
        file
    }

    /// The same where the process may have so many files open, not one more.
    pub(crate) fn start_with_files(dir: &Path, files: u32) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\""), PROGRAM]);
        Self::run_file(command, &Self::write_file(dir, 0, &[]))
    }

    fn run_file(mut command: Command, file: &Path) -> Self {
        command.args(["--json", "serve", "--config"]).arg(file);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value =
            serde_json::from_str(&line).unwrap_or_else(|e| panic!("the broker did not start: {line:?} {e}"));
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        Self { child, address: text(&ready["listeners"][0]), http: text(&ready["http"]) }
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The port for Kafka clients.
    pub(crate) fn port(&self) -> u16 {
        self.address.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// Ends it as a power switch would end a process: nothing of it runs any more when this returns.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it as an operator would, with SIGTERM, and waits for the clean end.
    pub(crate) fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        assert!(self.child.wait().unwrap().success(), "the stop was not clean");
    }

    /// Runs a command of ours against it.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.run_with(args, b"")
    }

    /// Runs a command of ours against it with this input.
    pub(crate) fn run_with(&self, args: &[&str], input: &[u8]) -> Output {
        let bootstrap = ["--bootstrap", &self.address, "--wait", "10"];
        run(&[args, &bootstrap].concat(), input)
    }

    /// As [`Broker::run_with`], for a command that must succeed: its output.
    pub(crate) fn ok(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let output = self.run_with(args, input);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// As [`Broker::ok`], with `--json`: the parsed output.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_slice(&self.ok(&[args, &["--json"]].concat(), b"")).unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the program with this input.
pub(crate) fn run(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(PROGRAM)
        .args(args)
        .env_remove("WATERSHED_BOOTSTRAP")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A command that ends without reading its input is fine.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let mut stderr = child.stderr.take().unwrap();
    let errors = std::thread::spawn(move || {
        let mut text = Vec::new();
        stderr.read_to_end(&mut text).map(|_| text)
    });
    let mut stdout = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    let status = child.wait().unwrap();
    writer.join().unwrap();
    Output { status, stdout, stderr: errors.join().unwrap().unwrap() }
}

/// An operation's deadline in tests: generous, since they run on busy machines.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Status line and body of a GET.
pub(crate) fn get(http: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(http).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}
