//! From open to destroy: what a backend lists, what outlives a handle, a restart, a deletion.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use watershed_model::{Offset, Timestamp};

use super::harness::{Log, blob, config, frame, frames, gather, partition, wire};
use super::segments::checked;
use super::{Outcome, Says, Subject, fails, holds};
use crate::framing::BatchFraming;
use crate::{Ends, Frame, StorageError};

/// How long a progress sender may outlive its log.
const SENDER_SECONDS_MAX: u64 = 5;

pub(super) async fn a_new_log_is_empty_at_zero(subject: Subject) -> Outcome {
    const SENTENCE: &str = "open makes an empty log at offset 0 where there is none";
    let log = subject.open(0).await?;
    let ends = log.ends()?;
    let zero = Offset(0);
    holds!((ends.start, ends.synced, ends.promised, ends.end) == (zero, zero, zero, zero), SENTENCE, "{ends:?}");
    let segments = checked(&log)?;
    let only = segments[0];
    holds!(segments.len() == 1 && only.base == zero && only.end == zero && only.bytes == 0, SENTENCE, "{segments:?}");
    holds!(
        only.first_timestamp.is_none() && only.max_timestamp.is_none(),
        "timestamps are `None` while a segment is empty",
        "{only:?}"
    );
    let bytes = log.read(0, 100, u32::MAX, true).await?;
    holds!(bytes.is_empty(), SENTENCE, "it reads {} bytes", bytes.len());
    let found = log.log.frame_at_time(Timestamp(0)).await;
    let found = found.says("frame_at_time succeeds")?;
    holds!(found.is_none(), SENTENCE, "frame_at_time found {found:?} in it");
    Ok(())
}

pub(super) async fn a_log_is_open_once(subject: Subject) -> Outcome {
    const SENTENCE: &str = "Opening a partition that is open already is Invalid";
    let log = subject.open(0).await?;
    let all = frames(0, 3);
    log.append(&all).await?;
    let again = || subject.storage.open(partition(0), config(), Arc::new(BatchFraming));
    fails!(again().await, StorageError::Invalid(_), SENTENCE);
    log.holds(&all, "a refused open leaves the open handle as it was").await?;
    log.append(&[frame(3, 1, 0, 0, 10)]).await?;
    log.close().await?;
    let reopened = subject.open(0).await?;
    fails!(again().await, StorageError::Invalid(_), SENTENCE);
    reopened.close().await
}

pub(super) async fn lists_what_it_holds(subject: Subject) -> Outcome {
    const SENTENCE: &str = "list: every partition with a log here";
    let list = || async {
        let listed = subject.storage.list().await;
        listed
            .map(|mut all| {
                all.sort_unstable();
                all
            })
            .says("list succeeds")
    };
    let none = list().await?;
    holds!(none.is_empty(), SENTENCE, "a fresh backend lists {} partitions", none.len());
    let mut logs = Vec::new();
    for n in [3, 0, 11] {
        let log = subject.open(n).await?;
        log.append(&frames(0, 2)).await?;
        logs.push(log);
    }
    let open = list().await?;
    holds!(open == [partition(0), partition(3), partition(11)], SENTENCE, "{open:?}");
    logs[1].close().await?;
    let closed = list().await?;
    holds!(closed == open, "a closed log is still listed", "{closed:?}, expected {open:?}");
    subject.storage.destroy(partition(3)).await.says("destroy succeeds")?;
    let left = list().await?;
    holds!(left == [partition(0), partition(11)], "a destroyed log is not listed", "{left:?}");
    Ok(())
}

/// Three segments, the start inside the first, blobs of two kinds; what it holds afterwards.
async fn furnish(log: &Log) -> Result<Vec<Frame>, super::Broken> {
    let all = frames(0, 30);
    log.append_segments(&[&all[..10], &all[10..20]]).await?;
    log.append(&all[20..]).await?;
    log.checkpoint(vec![blob(1, 20), blob(2, 25)]).await?;
    log.log.advance_start(Offset(5)).await.says("advance_start succeeds")?;
    Ok(all[5..].to_vec())
}

async fn still_furnished(log: &Log, kept: &[Frame], when: &str) -> Outcome {
    log.holds(kept, &format!("{when} the records are there")).await?;
    let ends = log.ends()?;
    let want = (Offset(5), Offset(30), Offset(30));
    holds!(
        (ends.start, ends.promised, ends.end) == want,
        format!("{when} the log begins and ends where it did"),
        "{ends:?}"
    );
    let bases: Vec<Offset> = checked(log)?.iter().map(|s| s.base).collect();
    holds!(
        bases == [Offset(0), Offset(10), Offset(20)],
        format!("{when} the segments are there"),
        "they begin at {bases:?}"
    );
    for (kind, at) in [(1, 20), (2, 25)] {
        let found = log.log.blob(kind, Offset(i64::MAX)).await.says("blob succeeds")?;
        holds!(
            found == Some(blob(kind, at)),
            format!("{when} the newest blob of each kind is there"),
            "kind {kind}: {found:?}"
        );
    }
    let found = log.log.frame_at_time(Timestamp(1_015)).await;
    let found = found.says("frame_at_time succeeds")?;
    holds!(found.map(|m| m.base) == Some(Offset(15)), format!("{when} frames are found by time"), "{found:?}");
    let next = frames(30, 33);
    log.append(&next).await?;
    let now: Vec<Frame> = kept.iter().chain(&next).cloned().collect();
    log.holds(&now, &format!("{when} the log goes on at its end")).await
}

pub(super) async fn a_closed_log_opens_again_as_it_was(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    let kept = furnish(&log).await?;
    log.close().await?;
    drop(log);
    let opened = subject.storage.open(partition(0), config(), Arc::new(BatchFraming));
    let (again, report) = opened.await.says("a closed log can be opened again")?;
    holds!(report.damage.is_empty(), "damage: what was cut or quarantined", "{report:?} after a close");
    again.close().await.says("close right after open succeeds")?;
    let log = subject.open(0).await?;
    still_furnished(&log, &kept, "after close and open").await
}

/// Every call that can fail must fail with `Gone`.
async fn is_gone(log: &Log, sentence: &str) -> Outcome {
    let log = &log.log;
    let (zero, end) = (Offset(0), Offset(10));
    fails!(log.append(frames(100, 101)), StorageError::Gone, sentence);
    fails!(log.roll(vec![]), StorageError::Gone, sentence);
    fails!(log.checkpoint(vec![]), StorageError::Gone, sentence);
    let read = log.read(zero, end, u32::MAX, true).wait().await;
    fails!(read, StorageError::Gone, sentence);
    let load = log.load(zero, end, u32::MAX, true).await;
    fails!(load, StorageError::Gone, sentence);
    let found = log.frame_at_time(Timestamp(0)).await;
    fails!(found, StorageError::Gone, sentence);
    fails!(log.blob(1, end).await, StorageError::Gone, sentence);
    fails!(log.truncate(zero).await, StorageError::Gone, sentence);
    fails!(log.reset(zero, vec![]).await, StorageError::Gone, sentence);
    fails!(log.advance_start(end).await, StorageError::Gone, sentence);
    Ok(())
}

async fn sender_goes(progress: &mut watch::Receiver<Ends>) -> Outcome {
    let ended = async { while progress.changed().await.is_ok() {} };
    let in_time = tokio::time::timeout(Duration::from_secs(SENDER_SECONDS_MAX), ended).await;
    holds!(
        in_time.is_ok(),
        "progress: the sender goes when the log is destroyed or closed",
        "it is still there after {SENDER_SECONDS_MAX} s"
    );
    Ok(())
}

pub(super) async fn a_closed_handle_is_gone(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    let all = frames(0, 10);
    log.append(&all).await?;
    let mut progress = log.log.progress();
    progress.mark_unchanged();
    log.close().await?;
    sender_goes(&mut progress).await?;
    is_gone(&log, "a closed log's handle fails with Gone").await?;
    let again = subject.open(0).await?;
    is_gone(&log, "a closed handle stays Gone when the log is opened again").await?;
    again.holds(&all, "an old handle does nothing to the new one").await
}

pub(super) async fn destroy_removes_and_handles_are_gone(subject: Subject) -> Outcome {
    let storage = &subject.storage;
    for _ in 0..2 {
        let missing = storage.destroy(partition(0)).await;
        missing.says("destroy: a log that is not there is success")?;
    }
    // Twice, the second time a log that is closed.
    for close in [false, true] {
        let log = subject.open(0).await?;
        log.append(&frames(0, 10)).await?;
        log.roll(vec![blob(1, 10)]).await?;
        let unripe = log.log.append(frames(10, 11)).says("append succeeds").map(tokio::spawn)?;
        let mut progress = log.log.progress();
        if close {
            log.close().await?;
        }
        let destroyed = storage.destroy(partition(0)).await;
        destroyed.says("destroy removes a partition's log, open or not")?;
        sender_goes(&mut progress).await?;
        is_gone(&log, "Handles that were open fail with Gone from then on").await?;
        let settled = unripe.await;
        holds!(
            matches!(settled, Ok(Ok(_) | Err(StorageError::Gone))),
            "the tickets of a destroyed log ripen or fail with Gone",
            "{settled:?}"
        );
        let new = subject.open(0).await?;
        let ends = new.ends()?;
        holds!(
            ends.end == Offset(0) && ends.start == Offset(0),
            "destroy: the log does not come back",
            "reopened, it has {ends:?}"
        );
        let blob = new.log.blob(1, Offset(10)).await.says("blob succeeds")?;
        holds!(blob.is_none(), "destroy: its blobs do not come back", "{blob:?}");
        storage.destroy(partition(0)).await.says("destroy succeeds")?;
    }
    Ok(())
}

pub(super) async fn pieces_outlive_destroy(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    let all = [frame(0, 4, 0, 0, 5_000), frame(4, 1, 0, 0, 70_000)];
    log.append_segments(&[&all[..1]]).await?;
    log.append(&all[1..]).await?;
    let pieces = log.log.read(Offset(0), Offset(5), u32::MAX, false);
    let pieces = pieces.wait().await.says("read succeeds")?;
    let destroyed = subject.storage.destroy(partition(0)).await;
    destroyed.says("destroy succeeds")?;
    drop(log);
    let later = gather(&pieces);
    holds!(
        matches!(&later, Ok(bytes) if *bytes == wire(&all)),
        "pieces already read stay readable after destroy",
        "{:?}",
        later.map(|b| b.len())
    );
    Ok(())
}

pub(super) async fn a_closed_backend_takes_nothing(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    log.append(&frames(0, 10)).await?;
    let unripe = log.log.append(frames(10, 12)).says("append succeeds")?;
    let closed = subject.storage.close().await;
    closed.says("close makes everything durable and then leaves the clean mark")?;
    unripe.await.says("what was appended before close is durable, so its ticket ripens")?;
    let refused = log.log.append(frames(12, 13));
    holds!(refused.is_err(), "after LogStorage::close appends fail", "one succeeded");
    let refused = log.log.roll(vec![]);
    holds!(refused.is_err(), "after LogStorage::close nothing is written", "a roll succeeded");
    Ok(())
}

pub(super) async fn health_and_room_are_good_at_the_start(subject: Subject) -> Outcome {
    let log = subject.open(0).await?;
    log.append(&frames(0, 10)).await?;
    if let Some(room) = subject.storage.room() {
        room.await.says("room resolves when what waits for the medium has fallen")?;
    }
    let health = subject.storage.health().borrow().clone();
    holds!(!health.places.is_empty(), "health has one entry a place", "{health:?}");
    let sound = health.places.iter().all(|p| p.offline.is_none() && !p.full);
    holds!(sound, "offline: `None` while it works; full: there is no room at present", "{health:?}");
    let caps = subject.storage.caps();
    holds!(
        !caps.name.is_empty() && (caps.survives_restart || !caps.survives_power_loss),
        "caps: what survives a power cut survives a restart",
        "{caps:?}"
    );
    Ok(())
}

pub(super) async fn a_clean_restart_keeps_everything(subject: Subject) -> Outcome {
    if !subject.storage.caps().survives_restart {
        return Ok(());
    }
    let log = subject.open(0).await?;
    let mut kept = furnish(&log).await?;
    let dead = subject.open(1).await?;
    dead.append(&frames(0, 5)).await?;
    let destroyed = subject.storage.destroy(partition(1)).await;
    destroyed.says("destroy succeeds")?;
    log.close().await?;
    let closed = subject.storage.close().await;
    closed.says("close makes everything durable")?;
    drop((log, dead));
    let subject = subject.restarted().await?;
    let listed = subject.storage.list().await.says("list succeeds")?;
    holds!(
        listed == [partition(0)],
        "destroy is durable on return, so that a log does not come back",
        "listed after a restart: {listed:?}"
    );
    let opened = subject.storage.open(partition(0), config(), Arc::new(BatchFraming));
    let (handle, report) = opened.await.says("a log opens after a restart")?;
    holds!(
        report.clean && report.damage.is_empty(),
        "clean: the log was closed cleanly, so nothing had to be scanned",
        "{report:?}"
    );
    handle.close().await.says("close succeeds")?;
    drop(handle);
    let log = subject.open(0).await?;
    still_furnished(&log, &kept, "after a clean restart").await?;
    kept.extend(frames(30, 33));
    // Now the backend is closed over an open log.
    let closed = subject.storage.close().await;
    closed.says("close makes everything durable")?;
    drop(log);
    let subject = subject.restarted().await?;
    let log = subject.open(0).await?;
    log.holds(&kept, "LogStorage::close makes everything durable").await
}

pub(super) async fn an_unclean_restart_keeps_what_was_promised(subject: Subject) -> Outcome {
    if !subject.storage.caps().survives_restart {
        return Ok(());
    }
    let log = subject.open(0).await?;
    let kept = furnish(&log).await?;
    // Never closed: the handles just go, as in a crash of the process.
    drop(log);
    let subject = subject.restarted().await?;
    let opened = subject.storage.open(partition(0), config(), Arc::new(BatchFraming));
    let (handle, report) = opened.await.says("a log opens after a crash")?;
    holds!(report.damage.is_empty(), "damage: what was cut or quarantined", "{report:?} although all was promised");
    let ends = handle.ends();
    holds!(
        ends.synced == ends.end,
        "after an unclean end everything that is still readable is durable before open returns",
        "{ends:?}"
    );
    handle.close().await.says("close succeeds")?;
    drop(handle);
    let log = subject.open(0).await?;
    still_furnished(&log, &kept, "after a crash").await
}
