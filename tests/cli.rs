//! The command line without a broker: usage, exit codes, completions, the documentation.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::net::TcpListener;

use common::run;
use watershed::cli::exit::TABLE;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn wrong_command_lines_end_with_2() {
    for args in [
        &["nonsense"][..],
        &["topic"],
        &["topic", "create"],
        &["topic", "create", "t", "--config", "no-equals-sign"],
        &["produce", "t", "--acks", "2"],
        &["produce", "t", "--split", "lines", "--delimiter", "x"],
        &["produce", "t", "--delimiter", r"\q"],
        &["produce", "t", "--partitioner", "nobody"],
        &["consume", "t", "--from", "yesterday"],
        &["consume", "t", "--format", "%x"],
        &["topic", "alter", "t"],
        &["topic", "list", "--bootstrap", ","],
        &["topic", "list", "--timeout", "-1"],
    ] {
        let output = run(args, b"");
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn nobody_listening_ends_with_3_and_says_where() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    for args in [&["topic", "list"][..], &["consume", "t"], &["produce", "t"], &["bench", "produce", "t"]] {
        let output = run(&[args, &["--bootstrap", &address]].concat(), b"x\n");
        assert_eq!(output.status.code(), Some(3), "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(&address), "{}", text(&output.stderr));
    }
    let output = run(&["--json", "topic", "list", "--bootstrap", &address], b"");
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["exit"], 3);
}

#[test]
fn a_missing_file_ends_with_4() {
    let output = run(&["produce", "t", "/nowhere/at/all"], b"");
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("/nowhere/at/all"));
}

#[test]
fn the_version_and_completions_are_printed() {
    let output = run(&["--version"], b"");
    assert!(text(&output.stdout).starts_with(concat!("watershed ", env!("CARGO_PKG_VERSION"))));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell], b"");
        assert!(output.status.success() && text(&output.stdout).contains("watershed"), "{shell}");
    }
}

#[test]
fn a_wrong_configuration_ends_with_10_and_says_what() {
    for command in ["check", "config", "serve"] {
        let output = run(&[command, "--set", "no.such.key=1"], b"");
        assert_eq!(output.status.code(), Some(10), "{command}: {}", text(&output.stderr));
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(said.contains("no.such"), "{command}: {said}");
    }
}

#[test]
fn nothing_is_coloured_in_a_pipe() {
    for args in [&["--help"][..], &["topic", "create", "--help"], &["nonsense"], &["config"]] {
        let output = run(args, b"");
        assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b), "{args:?}");
    }
}

#[test]
fn the_documentation_has_the_exit_codes_of_the_code() {
    let documentation = include_str!("../docs/cli.md");
    let rows: Vec<_> = TABLE.iter().map(|(exit, meaning)| format!("| {} | {meaning} |", exit.code())).collect();
    let found: Vec<_> =
        documentation.lines().filter(|l| l.starts_with("| ") && l.as_bytes()[2].is_ascii_digit()).collect();
    assert_eq!(found, rows, "docs/cli.md must have exactly these rows");
}
