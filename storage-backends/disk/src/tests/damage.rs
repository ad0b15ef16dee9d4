//! What recovery and the offline check make of torn tails and of bits that turned.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use watershed_model::Offset;
use watershed_storage::conformance::harness::{config as segment_config, frame, gather, parse, partition};
use watershed_storage::framing::BatchFraming;
use watershed_storage::{Blob, LogStorage, PartitionLog, RecoveryReport};

use super::config;
use crate::DiskStorage;
use crate::fs::recording::RecordingFs;
use crate::fs::{Fs, OpenMode};
use crate::verify::{Severity, Summary, verify_on};

fn dir() -> PathBuf {
    Path::new("/data/topics").join(partition(0).to_string())
}

fn open(fs: &RecordingFs) -> DiskStorage {
    DiskStorage::open_on(config(Path::new("/data")), Arc::new(fs.clone()), 8).unwrap()
}

async fn open_log(storage: &DiskStorage) -> (Arc<dyn PartitionLog>, RecoveryReport) {
    storage.open(partition(0), segment_config(), Arc::new(BatchFraming)).await.unwrap()
}

async fn offsets(log: &dyn PartitionLog) -> Vec<i64> {
    let ends = log.ends();
    let pieces = log.read(ends.start, ends.end, u32::MAX, true).wait().await.unwrap();
    parse(&gather(&pieces).unwrap()).unwrap().iter().map(|m| m.base.0).collect()
}

fn check(fs: &RecordingFs) -> Summary {
    verify_on(fs, Path::new("/data"), &BatchFraming, &mut |_| {}).unwrap()
}

fn blob(at: i64) -> Blob {
    Blob { kind: 1, at: Offset(at), bytes: Bytes::from(vec![at as u8; 40]) }
}

/// A cleanly closed log: a sealed segment with frames 0 to 4, an active one with 5 to 9, blobs at 5 and 10.
async fn sample() -> RecordingFs {
    let fs = RecordingFs::new();
    let storage = open(&fs);
    let (log, _) = open_log(&storage).await;
    for base in 0..10 {
        log.append(vec![frame(base, 1, 0, base, 100)]).unwrap().await.unwrap();
        if base == 4 {
            log.roll(vec![blob(5)]).unwrap().await.unwrap();
        }
    }
    log.checkpoint(vec![blob(10)]).unwrap().await.unwrap();
    storage.close().await.unwrap();
    drop((log, storage));
    fs.kill()
}

fn size(fs: &RecordingFs, name: &str) -> usize {
    fs.open(&dir().join(name), OpenMode::Read).unwrap().size().unwrap() as usize
}

fn names(fs: &RecordingFs, ending: &str) -> Vec<String> {
    let all = fs.read_dir(&dir()).unwrap();
    all.into_iter().map(|e| e.name).filter(|n| n.ends_with(ending)).collect()
}

#[tokio::test]
async fn a_write_torn_at_any_byte_is_cut_at_the_frame_before() {
    let fs = RecordingFs::new();
    let storage = open(&fs);
    let (log, _) = open_log(&storage).await;
    log.append(vec![frame(0, 2, 0, 0, 80), frame(2, 1, 0, 0, 90)]).unwrap().await.unwrap();
    let before = size(&fs, "00000000000000000000.log");
    log.append(vec![frame(3, 2, 0, 0, 70)]).unwrap().await.unwrap();
    let after = size(&fs, "00000000000000000000.log");
    for len in before..=after {
        let torn = fs.kill();
        torn.chop(&dir().join("00000000000000000000.log"), len);
        // As if the last round had not reached the note of synced ends either.
        torn.chop(Path::new("/data/synced-ends"), 0);
        let storage = open(&torn);
        let (log, report) = open_log(&storage).await;
        let whole = len == after;
        assert_eq!(log.ends().end, Offset(if whole { 5 } else { 3 }), "cut at {len}");
        assert_eq!(offsets(&*log).await, if whole { vec![0, 2, 3] } else { vec![0, 2] });
        let torn_bytes: u64 = report.damage.iter().map(|d| d.bytes).sum();
        assert_eq!(torn_bytes as usize, if whole { 0 } else { len - before }, "cut at {len}: {report:?}");
        assert!(report.damage.iter().all(|d| !d.promised) && !report.clean, "{report:?}");
        let next = log.ends().end.0;
        log.append(vec![frame(next, 1, 1, 0, 10)]).unwrap().await.unwrap();
        drop((log, storage));
        let summary = check(&torn);
        assert!(summary.findings.is_empty(), "{summary:?}");
    }
}

#[tokio::test]
async fn a_promised_tail_that_is_gone_is_reported() {
    let fs = RecordingFs::new();
    let storage = open(&fs);
    let (log, _) = open_log(&storage).await;
    for base in 0..4 {
        log.append(vec![frame(base, 1, 0, 0, 80)]).unwrap().await.unwrap();
    }
    // A ticket ripens before its end is noted; a checkpoint comes after the note.
    log.checkpoint(vec![]).unwrap().await.unwrap();
    let bytes = size(&fs, "00000000000000000000.log");
    for len in [bytes - 1, bytes / 2, bytes / 4, 0] {
        let lost = fs.kill();
        lost.chop(&dir().join("00000000000000000000.log"), len);
        let storage = open(&lost);
        let (log, report) = open_log(&storage).await;
        let end = (len / (bytes / 4)) as i64;
        assert_eq!(log.ends().end, Offset(end));
        let promised: Vec<_> = report.damage.iter().filter(|d| d.promised).collect();
        assert!(promised.iter().any(|d| d.offsets == (Offset(end)..Offset(4))), "{len}: {report:?}");
    }
}

#[tokio::test]
async fn a_bad_frame_in_the_middle_is_set_aside_and_the_rest_goes_on() {
    let fs = RecordingFs::new();
    let storage = open(&fs);
    let (log, _) = open_log(&storage).await;
    for base in 0..6 {
        log.append(vec![frame(base, 1, 0, base, 100)]).unwrap().await.unwrap();
    }
    // Waits until the note of the synced end is written: it follows the last ticket at once.
    log.advance_start(Offset(0)).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let path = dir().join("00000000000000000000.log");
    let each = size(&fs, "00000000000000000000.log") / 6;
    for bit in (0..each * 8).step_by(37) {
        let bad = fs.kill();
        assert!(bad.flip(&path, 2 * each + bit / 8, 1 << (bit % 8)));
        let damaged = check(&bad);
        assert!(!damaged.findings.is_empty(), "bit {bit} is seen");
        let storage = open(&bad);
        let (log, report) = open_log(&storage).await;
        assert_eq!(offsets(&*log).await, [0, 1, 3, 4, 5], "bit {bit}");
        let promised: Vec<_> = report.damage.iter().filter(|d| d.promised).collect();
        assert!(promised.len() == 1 && promised[0].offsets == (Offset(2)..Offset(3)), "bit {bit}: {report:?}");
        assert_eq!(promised[0].bytes as usize, each);
        assert_eq!(names(&bad, ".quarantine").len(), 1);
        log.append(vec![frame(6, 1, 0, 6, 100)]).unwrap().await.unwrap();
        let found = log.load(Offset(2), Offset(7), 1, true).await.unwrap();
        assert_eq!(parse(&found).unwrap()[0].base, Offset(3), "the first at or after");
        drop((log, storage));
        let storage = open(&bad);
        let (log, report) = open_log(&storage).await;
        assert!(report.damage.is_empty(), "it is reported once: {report:?}");
        assert_eq!(offsets(&*log).await, [0, 1, 3, 4, 5, 6]);
    }
}

#[tokio::test]
async fn flipped_bits_of_small_files_cost_time_not_records() {
    let fs = sample().await;
    assert!(check(&fs).findings.is_empty());
    let files: Vec<String> = names(&fs, ".index")
        .into_iter()
        .chain(names(&fs, ".state"))
        .map(|n| format!("topics/{}/{n}", partition(0)))
        .collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files.iter().map(String::as_str).chain(["synced-ends", "clean"]) {
        let path = Path::new("/data").join(file);
        let bytes = fs.open(&path, OpenMode::Read).unwrap().size().unwrap() as usize;
        for bit in (0..bytes * 8).step_by(if bytes > 50 { 61 } else { 3 }) {
            let bad = fs.kill();
            assert!(bad.flip(&path, bit / 8, 1 << (bit % 8)));
            let seen = check(&bad);
            let ours = file != "clean";
            assert_eq!(seen.findings.is_empty(), !ours, "{file}, bit {bit}: {seen:?}");
            assert!(seen.findings.iter().all(|f| f.severity == Severity::Note || file.ends_with(".state")));
            let storage = open(&bad);
            let (log, report) = open_log(&storage).await;
            let what = format!("{file}, bit {bit}: {report:?}");
            assert_eq!(log.ends().end, Offset(10), "{what}");
            assert_eq!(offsets(&*log).await, (0..10).collect::<Vec<_>>(), "{what}");
            let found = log.blob(1, Offset(10)).await.unwrap();
            assert!(found.is_none_or(|b| b == blob(b.at.0)), "a damaged blob is never given out: {what}");
            let late = log.frame_at_time(watershed_model::Timestamp(3)).await.unwrap();
            assert_eq!(late.map(|m| m.base), Some(Offset(3)), "{what}");
            drop((log, storage));
            let storage = open(&bad);
            let (log, again) = open_log(&storage).await;
            assert!(again.damage.is_empty(), "{what}, again: {again:?}");
            assert_eq!(offsets(&*log).await.len(), 10);
        }
    }
}

#[tokio::test]
async fn a_missing_segment_is_reported() {
    let fs = sample().await;
    fs.unlink(&dir().join("00000000000000000000.log")).unwrap();
    assert!(check(&fs).is_damaged());
    let storage = open(&fs);
    let (log, report) = open_log(&storage).await;
    assert!(report.damage.iter().any(|d| d.promised && d.offsets == (Offset(0)..Offset(5))), "{report:?}");
    assert_eq!(offsets(&*log).await, [5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn a_clean_start_reads_no_segment() {
    let fs = sample().await;
    let storage = open(&fs);
    let (log, report) = open_log(&storage).await;
    assert!(report.clean && report.scanned_bytes == 0, "{report:?}");
    assert_eq!(log.blob(1, Offset(9)).await.unwrap(), Some(blob(5)));
    assert_eq!(log.blob(1, Offset(10)).await.unwrap(), Some(blob(10)));
    drop((log, storage));
    // The second start comes after an unclean end in which nothing was appended.
    let storage = open(&fs);
    let (log, report) = open_log(&storage).await;
    assert!(!report.clean && report.scanned_bytes == 0 && report.damage.is_empty(), "{report:?}");
    assert_eq!(offsets(&*log).await, (0..10).collect::<Vec<_>>());
}

/// Without a checkpoint only the note of synced ends says what was promised: the offline check reads it, as recovery does.
#[tokio::test]
async fn damage_after_a_kill_is_damage_where_it_had_been_promised() {
    let fs = RecordingFs::new();
    let storage = open(&fs);
    let (log, _) = open_log(&storage).await;
    for base in 0..3 {
        log.append(vec![frame(base, 1, 0, base, 100)]).unwrap().await.unwrap();
    }
    let killed = fs.kill();
    drop((log, storage));
    assert!(!check(&killed).is_damaged(), "a kill alone damages nothing");
    killed.flip(&dir().join("00000000000000000000.log"), 80, 1);
    let summary = check(&killed);
    assert!(summary.is_damaged(), "{:?}", summary.findings);
    let storage = open(&killed);
    let (log, report) = open_log(&storage).await;
    assert!(report.damage.iter().all(|damage| damage.promised) && report.damage.len() == 1, "{report:?}");
    assert_eq!(offsets(&*log).await, [1, 2], "what follows the damage stays");
}

#[tokio::test]
async fn a_file_that_begins_inside_the_segment_before_it_never_lowers_the_end() {
    let whole = frame(0, 1, 0, 0, 100);
    let whole = [&whole.head[..], &whole.body[..]].concat();
    // What overlaps is nothing, noise, or frames of another history.
    let other = frame(3, 1, 0, 3, 100);
    let other = [&other.head[..], &other.body[..]].concat();
    for stray in [vec![0; 100], vec![b'x'; 10], whole, other] {
        let fs = sample().await;
        for entry in fs.read_dir(&dir()).unwrap() {
            if entry.name.ends_with(".state") {
                fs.unlink(&dir().join(entry.name)).unwrap();
            }
        }
        let file = fs.open(&dir().join(format!("{:020}.log", 7)), OpenMode::Create).unwrap();
        crate::fs::write_all(&*file, 0, &stray).unwrap();
        drop(file);
        let storage = open(&fs);
        let (log, report) = open_log(&storage).await;
        assert_eq!((log.ends().start.0, log.ends().end.0), (0, 10), "{report:?}");
        assert_eq!(offsets(&*log).await, (0..10).collect::<Vec<_>>());
        assert!(report.damage.iter().any(|d| d.reason.contains("set aside")), "{report:?}");
        drop((log, storage));
        let storage = open(&fs.kill());
        let (log, _) = open_log(&storage).await;
        assert_eq!(offsets(&*log).await, (0..10).collect::<Vec<_>>(), "and the next time");
    }
}

#[tokio::test]
async fn a_segment_that_was_set_aside_as_a_whole_does_not_stop_readers() {
    let fs = sample().await;
    // The mark of a clean end goes, and every frame of the first segment.
    fs.unlink(Path::new("/data/clean")).unwrap();
    for entry in fs.read_dir(&dir()).unwrap() {
        if entry.name.ends_with(".state") {
            fs.unlink(&dir().join(entry.name)).unwrap();
        }
    }
    let first = dir().join(format!("{:020}.log", 0));
    let size = fs.open(&first, OpenMode::Read).unwrap().size().unwrap();
    for pos in 0..usize::try_from(size).unwrap() {
        fs.flip(&first, pos, 0x55);
    }
    for fs in [fs.clone(), fs.kill()] {
        let storage = open(&fs);
        let (log, _) = open_log(&storage).await;
        assert_eq!(log.ends().end.0, 10);
        assert_eq!(offsets(&*log).await, (5..10).collect::<Vec<_>>());
        drop((log, storage));
    }
}

#[test]
fn the_search_for_intact_frames_ends_where_the_file_does() {
    let fs = RecordingFs::new();
    let file = fs.open(Path::new("/short"), OpenMode::Create).unwrap();
    crate::fs::write_all(&*file, 0, &[7; 200]).unwrap();
    // Its state file says that it is far longer.
    let mut walker = crate::walk::Walker::new(&*file, &BatchFraming, 0, 1 << 60, 64);
    assert_eq!(walker.find_intact().unwrap(), None);
}
