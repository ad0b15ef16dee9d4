//! The one thread that looks after things: removes what was deleted, closes idle files, watches the room, syncs the note of
//! synced ends.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::fs::{Fs, OpenMode};
use crate::metrics;
use crate::shared::{Place, Shared};

/// How often it looks.
const TICK: Duration = Duration::from_millis(100);
/// Ticks between looks at things that change slowly.
const SLOW_TICKS: u64 = 50;
/// What must be free, ballast apart, before writes resume on a full disk, in bytes.
const ROOM_TO_RESUME_BYTES: u64 = 4 << 20;
/// The ballast file's name in the data directory.
pub(crate) const BALLAST_NAME: &str = "ballast";

/// Tells the thread to end.
#[derive(Default)]
pub(crate) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    pub(crate) fn stop(&self) {
        *self.stopped.lock() = true;
        self.changed.notify_all();
    }

    /// Waits for a tick; whether to go on.
    fn tick(&self) -> bool {
        let mut stopped = self.stopped.lock();
        if !*stopped {
            self.changed.wait_for(&mut stopped, TICK);
        }
        !*stopped
    }
}

/// The thread's life.
pub(crate) fn work(shared: &Shared, stop: &Arc<Stop>) {
    let mut ticks = 0;
    let mut ballast = has_ballast(shared);
    while stop.tick() {
        ticks += 1;
        remove_doomed(shared);
        if shared.is_offline() {
            continue;
        }
        if let Err(e) = shared.ends.sync() {
            shared.go_offline("syncing the note of synced ends", &e);
            continue;
        }
        if shared.is_full() {
            watch_room(shared, &mut ballast);
        }
        if ticks % SLOW_TICKS == 0 {
            look_around(shared);
        }
    }
}

fn look_around(shared: &Shared) {
    shared.measure();
    let open = shared.files.sweep(shared.elapsed(), shared.config.idle_close_after);
    let logs = {
        let logs = shared.logs.lock();
        logs.values().filter(|p| matches!(p, Place::Open(_))).count()
    };
    ::metrics::gauge!(metrics::OPEN_FILES).set(open as f64);
    ::metrics::gauge!(metrics::OPEN_LOGS).set(logs as f64);
    ::metrics::gauge!(metrics::UNSYNCED_BYTES).set(shared.unsynced() as f64);
}

/// On a full disk: gives the ballast up at once, and takes it back when there is room for it and more.
fn watch_room(shared: &Shared, ballast: &mut bool) {
    let path = shared.config.data_dir.join(BALLAST_NAME);
    if *ballast {
        *ballast = false;
        if let Err(e) = shared.fs.unlink(&path) {
            tracing::warn!(file = %path.display(), "cannot give the ballast up: {e}");
        }
        return;
    }
    let needed = shared.config.ballast_bytes * 2 + ROOM_TO_RESUME_BYTES;
    if shared.measure().is_some_and(|usable| usable >= needed) {
        *ballast = make_ballast(shared);
        shared.has_room_again();
    }
}

fn has_ballast(shared: &Shared) -> bool {
    let path = shared.config.data_dir.join(BALLAST_NAME);
    shared.fs.open(&path, OpenMode::Read).is_ok()
}

/// Makes the ballast file, if there is to be one; whether it stands.
pub(crate) fn make_ballast(shared: &Shared) -> bool {
    let bytes = shared.config.ballast_bytes;
    if bytes == 0 {
        return false;
    }
    let path = shared.config.data_dir.join(BALLAST_NAME);
    let made = shared.fs.open(&path, OpenMode::Create).and_then(|file| {
        if file.size()? < bytes {
            file.allocate(bytes)?;
        }
        Ok(())
    });
    if let Err(e) = made {
        tracing::warn!(file = %path.display(), "cannot make the ballast: {e}");
        // Part of one would be in the way of what it is for.
        let _ = shared.fs.unlink(&path);
        return false;
    }
    true
}

/// Removes what was set aside long enough ago.
pub(crate) fn remove_doomed(shared: &Shared) {
    let now = shared.elapsed();
    let due: Vec<_> = {
        let mut doomed = shared.doomed.lock();
        if doomed.iter().all(|(at, _)| *at > now) {
            return;
        }
        let (due, later) = std::mem::take(&mut *doomed).into_iter().partition(|(at, _)| *at <= now);
        *doomed = later;
        due
    };
    for (_, path) in due {
        if let Err(e) = remove(&*shared.fs, &path) {
            // The next start finds it by its ending and tries again.
            tracing::warn!(path = %path.display(), "cannot remove a deleted file: {e}");
        }
    }
}

/// Removes a file, or a directory of files.
fn remove(fs: &dyn Fs, path: &Path) -> io::Result<()> {
    let Ok(entries) = fs.read_dir(path) else {
        return match fs.unlink(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        };
    };
    for entry in entries {
        remove(fs, &path.join(entry.name))?;
    }
    fs.rmdir(path)
}
