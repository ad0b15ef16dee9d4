//! A process that dies while it appends: what it acknowledged is there.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use watershed_model::Offset;
use watershed_storage::LogStorage;
use watershed_storage::conformance::harness::{config as segment_config, frame, partition};
use watershed_storage::framing::BatchFraming;

use super::config;
use crate::DiskStorage;
use crate::fs::RealFs;

/// The directory that the child is to write to; set only for the child.
const CHILD_DIR: &str = "WATERSHED_DISK_KILL_TEST_DIR";
const PARTITIONS: i32 = 3;

fn open(dir: &Path) -> DiskStorage {
    DiskStorage::open_on(config(dir), Arc::new(RealFs), 2).unwrap()
}

/// Appends for ever, to several partitions, and prints each end that was promised.
#[tokio::test]
async fn child() {
    let Ok(dir) = std::env::var(CHILD_DIR) else {
        return;
    };
    let storage = open(Path::new(&dir));
    let mut logs = Vec::new();
    for n in 0..PARTITIONS {
        logs.push(storage.open(partition(n), segment_config(), Arc::new(BatchFraming)).await.unwrap().0);
    }
    for round in 1u64.. {
        for (n, log) in logs.iter().enumerate() {
            let base = log.ends().end.0;
            let frames = vec![frame(base, 2, 0, base, 500), frame(base + 2, 1, 0, base, 3_000)];
            let range = log.append(frames).unwrap().await.unwrap();
            if round % 7 == 0 {
                log.roll(vec![]).unwrap().await.unwrap();
            }
            let mut out = std::io::stdout().lock();
            writeln!(out, "\nacked {n} {}", range.end).unwrap();
            out.flush().unwrap();
        }
    }
}

#[tokio::test]
async fn what_a_killed_process_acknowledged_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut acked = [0; PARTITIONS as usize];
    for life in 0..4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["tests::kill::child", "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD_DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        for line in lines {
            let line = line.unwrap();
            let mut words = line.split(' ');
            if words.next() == Some("acked") {
                let n: usize = words.next().unwrap().parse().unwrap();
                acked[n] = words.next().unwrap().parse().unwrap();
                seen += 1;
                if seen == 10 + life * 13 {
                    // SIGKILL, in the middle of whatever it does; the pipe is read to its end.
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        assert!(seen >= 10, "the child appended");
        let storage = open(dir.path());
        for n in 0..PARTITIONS {
            let (log, report) = storage.open(partition(n), segment_config(), Arc::new(BatchFraming)).await.unwrap();
            assert!(report.damage.iter().all(|d| !d.promised), "{report:?}");
            let ends = log.ends();
            assert!(ends.end >= Offset(acked[n as usize]), "{ends:?}, acknowledged {acked:?}");
            let all = log.load(ends.start, ends.end, u32::MAX, true).await.unwrap();
            let metas = watershed_storage::conformance::harness::parse(&all).unwrap();
            assert!(metas.windows(2).all(|w| w[0].last.plus(1) == w[1].base), "no hole, nothing twice");
            acked[n as usize] = ends.end.0;
        }
        drop(storage);
        let summary = crate::verify(dir.path(), &BatchFraming, &mut |_| {}).unwrap();
        assert!(summary.findings.is_empty(), "{summary:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
