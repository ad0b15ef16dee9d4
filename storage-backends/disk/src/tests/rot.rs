//! One flipped bit in any byte of any file of a data directory, after a clean end and after a kill: it is found, what it
//! hit is never served as data, and everything else is there.
//!
//! Each byte has one bit flipped, which one a seed draws; `WATERSHED_ROT_SEED` sets it. Every fetch is made as a consumer
//! makes it, offset by offset, and once more after another start.
//!
//! One kind of bit cannot be found here: a batch's leader epoch is in no checksum, and one that becomes its neighbour's (or
//! rises in the last batch after a kill) is a legal log. [`is_legal`] leaves these out and nothing else.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use watershed_model::Offset;
use watershed_storage::conformance::harness::{config as segment_config, frame, gather, partition, wire};
use watershed_storage::framing::BatchFraming;
use watershed_storage::{Blob, Framing, LogStorage, PartitionLog, RecoveryReport, StorageError};

use super::config;
use crate::DiskStorage;
use crate::fs::recording::RecordingFs;
use crate::fs::{Fs, OpenMode};
use crate::verify::{Severity, Summary, verify_on};

const FRAMES: i64 = 10;

fn open(fs: &RecordingFs) -> DiskStorage {
    DiskStorage::open_on(config(Path::new("/data")), Arc::new(fs.clone()), 8).unwrap()
}

async fn open_log(storage: &DiskStorage, n: i32) -> (Arc<dyn PartitionLog>, RecoveryReport) {
    storage.open(partition(n), segment_config(), Arc::new(BatchFraming)).await.unwrap()
}

fn blob(at: i64) -> Blob {
    Blob { kind: 1, at: Offset(at), bytes: Bytes::from(vec![at as u8; 40]) }
}

/// The bytes of frame `base`; epochs 0, 0, 1, 1, ….
fn original(base: i64) -> Vec<u8> {
    wire([&frame(base, 1, (base / 2) as i32, base, 100)])
}

/// Two partitions with a sealed and an active segment each; the newest frames above the recovery point.
async fn sample(clean: bool) -> RecordingFs {
    let fs = RecordingFs::new();
    let storage = open(&fs);
    for n in 0..2 {
        let (log, _) = open_log(&storage, n).await;
        for base in 0..FRAMES {
            log.append(vec![frame(base, 1, (base / 2) as i32, base, 100)]).unwrap().await.unwrap();
            if base == 4 {
                log.roll(vec![blob(5)]).unwrap().await.unwrap();
            }
            if base == 7 {
                log.checkpoint(vec![blob(8)]).unwrap().await.unwrap();
            }
        }
    }
    if clean {
        storage.close().await.unwrap();
    } else {
        // The notes of synced ends follow the tickets.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let left = fs.kill();
    drop(storage);
    left
}

/// Every file below `dir`.
fn files(fs: &RecordingFs, dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs.read_dir(dir).unwrap() {
        let path = dir.join(entry.name);
        if entry.dir { found.extend(files(fs, &path)) } else { found.push(path) }
    }
    found
}

fn check(fs: &RecordingFs) -> Summary {
    verify_on(fs, Path::new("/data"), &BatchFraming, &mut |_| {}).unwrap()
}

/// Fetches from every offset; which frames came, and which offsets were refused as damaged. What comes must be what was
/// appended, to the last bit.
async fn fetch_all(log: &dyn PartitionLog, what: &str) -> (BTreeSet<i64>, BTreeSet<i64>) {
    let ends = log.ends();
    let (mut came, mut refused) = (BTreeSet::new(), BTreeSet::new());
    let mut take = |bytes: &[u8], from: i64| {
        let mut rest = bytes;
        let mut first = None;
        while !rest.is_empty() {
            let meta = BatchFraming.parse(rest).unwrap_or_else(|e| panic!("{what}: fetch at {from}: {e}"));
            let base = meta.base.0;
            let frame = &rest[..meta.len as usize];
            assert!(
                base >= FRAMES || frame == original(base),
                "{what}: fetch at {from} serves damaged bytes at {base}"
            );
            came.insert(base);
            first.get_or_insert(base);
            rest = &rest[meta.len as usize..];
        }
        first
    };
    for from in ends.start.0..ends.end.0 {
        for max in [1, u32::MAX] {
            match log.read(Offset(from), ends.end, max, true).wait().await {
                Ok(pieces) => drop(take(&gather(&pieces).unwrap(), from)),
                Err(StorageError::Corrupt { .. }) => drop(refused.insert(from)),
                Err(e) => panic!("{what}: fetch at {from}: {e}"),
            }
        }
        match log.load(Offset(from), ends.end, 1, true).await {
            Ok(bytes) => drop(take(&bytes, from)),
            Err(StorageError::Corrupt { .. }) => drop(refused.insert(from)),
            Err(e) => panic!("{what}: load at {from}: {e}"),
        }
    }
    (came, refused)
}

/// Opens a directory with one flipped bit, and judges. `told`: what an earlier start said is lost. Gives what is.
async fn judge(bad: &RecordingFs, told: &BTreeSet<i64>, what: &str) -> BTreeSet<i64> {
    let storage = open(bad);
    let (log, report) = open_log(&storage, 0).await;
    let (beside, quiet) = open_log(&storage, 1).await;
    let (came, refused) = fetch_all(&*log, what).await;
    let set_aside: BTreeSet<i64> =
        report.damage.iter().filter(|d| d.promised).flat_map(|d| d.offsets.start.0..d.offsets.end.0).collect();
    let lost: BTreeSet<i64> = (0..FRAMES).filter(|base| !came.contains(base)).collect();
    for base in &lost {
        let known = told.contains(base) || set_aside.contains(base) || refused.contains(base);
        assert!(known, "{what}: {base} is gone and nobody said so: {report:?}, refused {refused:?}");
    }
    assert!(refused.is_subset(&lost), "{what}: refused {refused:?}, though only {lost:?} are damaged");
    let late = log.blob(1, Offset(FRAMES)).await.unwrap();
    assert!(late.is_none_or(|b| b == blob(b.at.0)), "{what}: a damaged blob is given out");
    assert!(quiet.damage.is_empty(), "{what}: the partition beside: {quiet:?}");
    let whole: BTreeSet<i64> = (0..FRAMES).collect();
    assert_eq!(fetch_all(&*beside, what).await, (whole, BTreeSet::new()), "{what}: the partition beside");
    let end = log.ends().end.0;
    assert!(end >= FRAMES - 1, "{what}: the log ends at {end}");
    log.append(vec![frame(end.max(FRAMES), 1, 99, 0, 10)]).unwrap().await.unwrap();
    lost
}

/// Whether the flipped bit makes another log that is as legal as the one before.
fn is_legal(name: &str, at: usize, bit: u8, clean: bool) -> bool {
    let Some(base) = name.strip_suffix(".log").and_then(|n| n.rsplit('/').next()?.parse::<i64>().ok()) else {
        return false;
    };
    let bytes = original(0).len();
    let (base, at) = (base + (at / bytes) as i64, at % bytes);
    if !(12..16).contains(&at) {
        return false;
    }
    let epoch = |base: i64| (base / 2) as i32;
    let flipped = epoch(base) ^ i32::from(bit) << (8 * (15 - at));
    let above = if base == FRAMES - 1 && !clean { i32::MAX } else { epoch((base + 1).min(FRAMES - 1)) };
    let below = if base == 0 { -1 } else { epoch(base - 1) };
    (below..=above).contains(&flipped)
}

struct Bits(u64);

impl Bits {
    fn next(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        1 << (self.0 >> 40 & 7)
    }
}

async fn every_byte(clean: bool) {
    let seed = std::env::var("WATERSHED_ROT_SEED").map_or(1, |text| text.parse().unwrap());
    println!("WATERSHED_ROT_SEED={seed}");
    let mut bits = Bits(seed);
    let fs = sample(clean).await;
    assert!(check(&fs).findings.is_empty());
    let (mut kinds, mut tried, mut lost_by_logs) = (HashSet::new(), 0, HashSet::new());
    for path in files(&fs, Path::new("/data")) {
        // The partition beside has the same files.
        let name = path.to_string_lossy().into_owned();
        if name.contains(&partition(1).to_string()) {
            continue;
        }
        kinds.insert(path.extension().map_or_else(|| name.clone(), |e| e.to_string_lossy().into_owned()));
        let size = fs.open(&path, OpenMode::Read).unwrap().size().unwrap() as usize;
        for at in 0..size {
            let bad = fs.kill();
            let bit = bits.next();
            if is_legal(&name, at, bit, clean) {
                continue;
            }
            assert!(bad.flip(&path, at, bit));
            let what = format!("{name}, byte {at} of {size}, mask {bit:#04x}, clean end: {clean}, seed {seed}");
            let seen = check(&bad);
            let silent = seen.findings.is_empty();
            assert!(!silent || name == "/data/clean", "{what}: the offline check sees nothing");
            let records = name.ends_with(".log");
            assert!(!records || seen.findings.iter().any(|f| f.severity == Severity::Damage), "{what}: {seen:?}");
            let lost = judge(&bad, &BTreeSet::new(), &what).await;
            assert!(lost.len() <= usize::from(records), "{what}: {lost:?} are lost");
            lost_by_logs.extend(lost.iter().copied());
            let again = judge(&bad, &lost, &format!("{what}, next start")).await;
            assert!(again.is_subset(&lost), "{what}: first {lost:?}, then {again:?} are lost");
            tried += 1;
        }
    }
    assert!(["log", "index", "state", "/data/synced-ends"].iter().all(|kind| kinds.contains(*kind)), "{kinds:?}");
    assert_eq!(lost_by_logs.len(), FRAMES as usize, "every frame was hit");
    println!("{tried} flipped bits, clean end: {clean}");
}

#[tokio::test]
async fn a_flipped_bit_is_found_and_never_served_after_a_clean_end() {
    every_byte(true).await;
}

#[tokio::test]
async fn a_flipped_bit_is_found_and_never_served_after_a_kill() {
    every_byte(false).await;
}
