//! The broker's process, from outside.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::common::{Broker, PATIENCE};

/// The kernel's unit of CPU time in `/proc`: a hundredth of a second on every Linux there is.
const TICK: Duration = Duration::from_millis(10);

/// Resident memory, in KiB.
pub(crate) fn resident_kib(broker: &Broker) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", broker.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// CPU time spent so far, by all threads, in user and system mode.
pub(crate) fn cpu(broker: &Broker) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", broker.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u32 = fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap();
    TICK * ticks
}

/// Open sockets of the broker.
pub(crate) fn sockets(broker: &Broker) -> usize {
    let entries = std::fs::read_dir(format!("/proc/{}/fd", broker.pid())).unwrap();
    let is_socket = |entry: &std::fs::DirEntry| {
        std::fs::read_link(entry.path()).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    };
    entries.filter(|entry| entry.as_ref().is_ok_and(is_socket)).count()
}

/// Looks again and again until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < patience, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Says something even when the test passes: what a test measures is for people.
pub(crate) fn say(text: &str) {
    // Not through `eprintln!`, which the test harness swallows; a closed stderr is nobody's problem.
    let _ = writeln!(std::io::stderr(), "{text}");
}
