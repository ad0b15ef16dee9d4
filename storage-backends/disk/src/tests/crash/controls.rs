//! Positive controls: with a sync left out the crash tests must fail. Otherwise they would prove nothing.
//!
//! A journaling file system hides a directory sync that is missing: it usually writes names with the next file's sync. So
//! only this test, and none on a mounted file system, shows that they are all there.

use std::path::Path;

use super::SCRIPTS;
use super::judge::{Effort, every_cut};
use crate::fs::recording::{Call, RecordingFs};

/// What the first script says that notices the lie.
async fn noticed(call: Call, about: fn(&Path) -> bool, scripts: &[&str]) -> Option<String> {
    let effort = Effort::of_controls();
    let prepare = |fs: &RecordingFs| fs.lie(call, about);
    for (name, script) in SCRIPTS.iter().filter(|(name, _)| scripts.is_empty() || scripts.contains(name)) {
        if let Err(wrong) = every_cut(name, script, &effort, prepare).await {
            return Some(wrong);
        }
    }
    None
}

fn is_in_partition(path: &Path) -> bool {
    path.parent().is_some_and(|above| above.ends_with("topics"))
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.to_string_lossy().ends_with(ending)
}

/// What is left out: its name, the call, and the paths.
type Control = (&'static str, Call, fn(&Path) -> bool);

const CONTROLS: [Control; 10] = [
    ("every directory sync", Call::SyncDir, |_| true),
    ("the sync of partitions' directories", Call::SyncDir, is_in_partition),
    ("the sync of the directory of partitions", Call::SyncDir, |path| path.ends_with("topics")),
    ("the sync of the data directory", Call::SyncDir, |path| path == Path::new("/data")),
    ("the sync of the directory above", Call::SyncDir, |path| path == Path::new("/")),
    ("every file sync", Call::Sync, |_| true),
    ("the sync of segments", Call::Sync, |path| has_ending(path, ".log")),
    ("the sync of segments that are written anew", Call::Sync, |path| has_ending(path, ".log.tmp")),
    ("the sync of state files", Call::Sync, |path| has_ending(path, ".state.tmp")),
    ("the sync of the note of synced ends", Call::Sync, |path| has_ending(path, "synced-ends")),
];

#[tokio::test]
async fn a_sync_that_is_left_out_is_noticed() {
    for (what, call, about) in CONTROLS {
        let wrong = noticed(call, about, &[]).await;
        let wrong = wrong.unwrap_or_else(|| panic!("{what} could be left out and no crash test would fail"));
        println!("without {what}: {}", wrong.lines().next().unwrap_or_default());
    }
}

/// An index is a shortcut: one that a power cut spoiled is rebuilt.
#[tokio::test]
async fn an_index_needs_no_sync() {
    let wrong = noticed(Call::Sync, |path| has_ending(path, ".index.tmp"), &["appends and rolls"]).await;
    assert_eq!(wrong, None);
}
