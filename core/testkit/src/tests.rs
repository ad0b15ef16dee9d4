//! The wrapper without faults conforms; with faults a golden script says what is seen; the script runner can fail.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::runtime::Runtime;
use watershed_model::{ManualClock, Offset, Piece, Timestamp};
use watershed_storage::conformance::harness::{config, frame, parse, partition};
use watershed_storage::conformance::{self, Subject};
use watershed_storage::framing::BatchFraming;
use watershed_storage::{LogStorage, PartitionLog, StorageError, Ticket};
use watershed_storage_memory::MemoryStorage;

use crate::golden::{self, Case};
use crate::{Faults, FaultyStorage, Op};

fn storage() -> FaultyStorage {
    FaultyStorage::new(MemoryStorage::new(Arc::new(ManualClock::at(Timestamp(0))), None))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_faults_it_conforms() {
    conformance::run(|| async { Subject::new(storage()) }).await;
}

/// A log under faults, driven by a script; each answer ends with the ends and the tickets.
struct Stage {
    runtime: Runtime,
    storage: FaultyStorage,
    faults: Faults,
    log: Arc<dyn PartitionLog>,
    tickets: Vec<Ticket>,
}

fn op(case: &Case) -> Op {
    match case.arg("op") {
        Some("append") => Op::Append,
        Some("read") => Op::Read,
        other => panic!("line {}: no such op: {other:?}", case.line),
    }
}

fn outcome<T>(result: Result<T, StorageError>) -> String {
    result.map_or_else(|e| format!("error: {e}\n"), |_| String::new())
}

impl Stage {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let storage = storage();
        let opened = runtime.block_on(storage.open(partition(0), config(), Arc::new(BatchFraming)));
        let (faults, log) = (storage.faults(), opened.unwrap().0);
        Self { runtime, storage, faults, log, tickets: Vec::new() }
    }

    fn append(&mut self, case: &Case) -> String {
        let one = frame(case.get("base"), case.get("count"), 0, 0, 10);
        outcome(self.log.append(vec![one]).map(|ticket| self.tickets.push(ticket)))
    }

    fn read(&self, case: &Case) -> String {
        let end = self.log.ends().end;
        let read = self.log.read(Offset(case.get("from")), end, u32::MAX, false).wait();
        let waited = self.runtime.block_on(async {
            // One turn is enough for whatever does not wait for the script.
            tokio::select! { biased; pieces = read => Some(pieces), () = tokio::task::yield_now() => None }
        });
        let pieces = match waited {
            None => return "waits\n".to_owned(),
            Some(Err(error)) => return format!("error: {error}\n"),
            Some(Ok(pieces)) => pieces,
        };
        let bytes = pieces.iter().map(|piece| match piece {
            Piece::Bytes(bytes) => parse(bytes).unwrap(),
            Piece::File { .. } => panic!("memory has no files"),
        });
        let ranges = bytes.flatten().map(|m| format!("{}..={}", m.base, m.last));
        format!("frames {}\n", ranges.collect::<Vec<_>>().join(" "))
    }

    fn command(&mut self, case: &Case) -> String {
        let dead = StorageError::Offline { place: "d".into(), reason: "test".into() };
        let (faults, tp) = (self.faults.clone(), partition(0));
        match case.command.as_str() {
            "append" => return self.append(case),
            "read" => return self.read(case),
            "hold" => faults.hold_tickets(),
            "release" => return format!("{} released\n", faults.release(tp, case.get("count"))),
            "release-all" => faults.release_all(),
            "fail-held" => return format!("{} failed\n", faults.fail_held(tp, case.get("count"), &dead)),
            "fail-next" => faults.fail_next(op(case), dead),
            "fail" => faults.fail(op(case), dead),
            "stall" => faults.stall(op(case)),
            "go-on" => faults.go_on(op(case)),
            "full" => faults.set_full(true),
            "offline" => faults.set_offline("pulled out"),
            "heal" => faults.heal(),
            "calls" => return format!("{}\n", faults.calls(op(case))),
            "truncate" => return outcome(self.runtime.block_on(self.log.truncate(Offset(case.get("end"))))),
            "reset" => return outcome(self.runtime.block_on(self.log.reset(Offset(case.get("next")), vec![]))),
            "destroy" => return outcome(self.runtime.block_on(self.storage.destroy(tp))),
            other => panic!("line {}: no such command: {other}", case.line),
        }
        String::new()
    }

    fn state(&mut self) -> String {
        let ends = self.log.ends();
        let told = *self.log.progress().borrow();
        assert_eq!(told, ends, "progress is the same as ends");
        let mut out =
            format!("start={} synced={} promised={} end={}\n", ends.start, ends.synced, ends.promised, ends.end);
        let place = self.storage.health().borrow().places[0].clone();
        if place.full || place.offline.is_some() {
            out += &format!("full={} offline={:?}\n", place.full, place.offline);
        }
        let mut waiting = Vec::new();
        for mut ticket in self.tickets.drain(..) {
            let range = ticket.range();
            let polled = self.runtime.block_on(async {
                tokio::select! { biased; kept = &mut ticket => Some(kept), () = tokio::task::yield_now() => None }
            });
            match polled {
                None => {
                    out += &format!("ticket {}..{} waits\n", range.start, range.end);
                    waiting.push(ticket);
                }
                Some(Ok(range)) => out += &format!("ticket {}..{} is ripe\n", range.start, range.end),
                Some(Err(error)) => out += &format!("ticket {}..{} failed: {error}\n", range.start, range.end),
            }
        }
        self.tickets = waiting;
        out
    }
}

#[test]
fn faults_by_script() {
    let stage = RefCell::new(Stage::new());
    golden::run(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/faults.txt"), |case| {
        let mut stage = stage.borrow_mut();
        stage.command(case) + &stage.state()
    });
}

/// What a run of `script` complains of, when every command answers with its arguments and input.
fn complaint(script: &str) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("script.txt");
    fs::write(&path, script).unwrap();
    let run = || golden::run(&path, |case| case.args.join("\n") + "\n" + &case.input);
    let caught = catch_unwind(AssertUnwindSafe(run)).err()?;
    Some(caught.downcast_ref::<String>().cloned().unwrap_or_default())
}

#[test]
fn a_script_that_is_right_passes() {
    for script in [
        "echo a b\n----\na\nb\n",
        "# first\n\necho a\ninput\n----\na\ninput\n\n# last\n",
        "echo a\nx\n----\n----\na\nx\n----\n----\n\necho b\n----\nb\n",
        "echo a\n\nx\n----\n----\na\n\nx\n----\n----\n",
    ] {
        assert_eq!(complaint(script), None, "{script}");
    }
}

#[test]
fn a_script_that_is_wrong_fails_and_says_where() {
    for (script, want) in [
        ("echo a\n----\nb\n", "script.txt:1: echo\nexpected:\nb\nfound:\na\n"),
        ("echo a\n----\na\n\necho c\n----\n", "script.txt:5: echo\nexpected:\nfound:\nc\n"),
        ("echo a\n", "line 1: `echo` has no `----`"),
        ("echo a\n----\n----\na\n", "line 1: the output's end is missing"),
        ("# nothing\n", "no command in it"),
    ] {
        let said = complaint(script).unwrap_or_default();
        assert!(said.contains(want), "{script:?} said {said:?}");
    }
}
