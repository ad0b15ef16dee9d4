//! The recording file system itself: what may be lost, what may not, and that every state is listed.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::fs::{read_file, write_all};

#[test]
fn what_no_sync_covered_may_be_lost_and_the_rest_may_not() {
    let fs = RecordingFs::new();
    let (dir, path) = (Path::new("/d"), Path::new("/d/f"));
    fs.mkdir(dir).unwrap();
    let file = fs.open(path, OpenMode::Create).unwrap();
    write_all(&*file, 0, b"old").unwrap();
    file.sync_data().unwrap();
    assert!(read_file(&fs.crash(0), path, 99).is_err(), "no name is durable yet");
    assert_eq!(read_file(&fs.crash(1), path, 99).unwrap(), b"old");
    fs.sync_dir(Path::new("/")).unwrap();
    fs.sync_dir(dir).unwrap();
    write_all(&*file, 0, &[b'n'; 2000]).unwrap();
    assert_eq!(read_file(&fs.crash(0), path, 9999).unwrap(), b"old");
    assert_eq!(read_file(&fs.kill(), path, 9999).unwrap(), [b'n'; 2000]);
    assert_eq!(read_file(&fs.kill().crash(0), path, 9999).unwrap(), b"old");
    let states: HashSet<Vec<u8>> = (0..200).map(|s| read_file(&fs.crash(s), path, 9999).unwrap()).collect();
    assert!(states.len() >= 12, "4 pages have 16 subsets, {} were seen", states.len());
    fs.rename(path, Path::new("/d/g")).unwrap();
    for seed in 0..50 {
        let names = fs.crash(seed).read_dir(dir).unwrap();
        assert!(names.len() == 1, "a rename is whole or not at all: {names:?}");
    }
}

/// One name and three pages that no sync covered, and a length: every subset of them.
#[test]
fn every_state_is_listed_once() {
    let fs = RecordingFs::new();
    let path = Path::new("/f");
    let file = fs.open(path, OpenMode::Create).unwrap();
    file.sync_data().unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    write_all(&*file, 0, &[1; 1100]).unwrap();
    fs.open(Path::new("/g"), OpenMode::Create).unwrap();
    assert_eq!(fs.choices(), 5, "three pages, whether the file is that long, one name");
    let every = States { every_up_to: 6, drawn: 3, seed: 9 };
    let states = every.of(fs.choices());
    assert_eq!(states.len(), 32);
    let distinct: HashSet<u64> = states.iter().map(|s| fs.crash_to(*s).digest()).collect();
    // The length alone makes no difference where the last page is there.
    assert_eq!(distinct.len(), 2 * (4 + 8));
    let zeros = fs.crash_to(State::Bits(0b10000));
    assert_eq!(read_file(&zeros, path, 9999).unwrap(), [0; 1100], "a length without its pages is zeros");
    let sampled = States { every_up_to: 4, ..every }.of(5);
    assert_eq!(sampled.len(), 2 + 2 * 5 + 3);
}

#[test]
fn what_lies_is_lost_and_what_stalls_goes_on() {
    let fs = RecordingFs::new();
    fs.lie(Call::SyncDir, |path| path == Path::new("/"));
    fs.mkdir(Path::new("/d")).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    assert!(fs.crash(0).read_dir(Path::new("/d")).is_err());
    assert!(fs.crash(1).crash(0).read_dir(Path::new("/d")).is_ok(), "what a state holds is durable");
    fs.stall(Call::Write);
    let file = fs.open(Path::new("/d/f"), OpenMode::Create).unwrap();
    let writer = std::thread::spawn(move || write_all(&*file, 0, b"late"));
    while fs.waiting(Call::Write) == 0 {
        std::thread::yield_now();
    }
    assert_eq!(read_file(&fs, Path::new("/d/f"), 9).unwrap(), b"");
    fs.go_on();
    writer.join().unwrap().unwrap();
    assert_eq!(read_file(&fs, Path::new("/d/f"), 9).unwrap(), b"late");
}
