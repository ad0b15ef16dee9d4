//! `flush = "relaxed"`: a power cut may take a tail of what was acknowledged, never more than had not been synced, and
//! never anything from the middle. A kill takes nothing.

use std::sync::Arc;

use watershed_storage::conformance::harness::{config as segment_config, frame, gather, partition};
use watershed_storage::framing::BatchFraming;
use watershed_storage::{FlushMode, LogStorage, PartitionLog, SegmentConfig};

use super::run::{Seen, frames_of, open};
use crate::DiskStorage;
use crate::fs::recording::{RecordingFs, States};

async fn log_of(storage: &DiskStorage) -> Option<Arc<dyn PartitionLog>> {
    let relaxed = SegmentConfig { flush: FlushMode::Relaxed, ..segment_config() };
    storage.open(partition(0), relaxed, Arc::new(BatchFraming)).await.ok().map(|(log, _)| log)
}

async fn all(log: &dyn PartitionLog) -> Vec<Seen> {
    let ends = log.ends();
    let pieces = log.read(ends.start, ends.end, u32::MAX, true).wait().await.unwrap();
    frames_of(&gather(&pieces).unwrap()).unwrap()
}

/// Appends, rolls and checkpoints until the power goes; what was acknowledged, and how much of it was synced for certain.
async fn run(fs: &RecordingFs) -> (Vec<Seen>, usize, bool) {
    let (mut acked, mut synced) = (Vec::new(), 0);
    let Some(storage) = open(fs) else { return (acked, synced, false) };
    let Some(log) = log_of(&storage).await else { return (acked, synced, false) };
    for n in 0..12 {
        let one = frame(n, 1, 0, n, 200);
        let bytes = watershed_storage::conformance::harness::wire([&one]);
        let Ok(ticket) = log.append(vec![one]) else { return (acked, synced, false) };
        assert!(ticket.is_ripe());
        acked.extend(frames_of(&bytes).unwrap());
        let pause = match n % 4 {
            1 => log.roll(vec![]),
            3 => log.checkpoint(vec![]),
            _ => continue,
        };
        let Ok(ticket) = pause else { return (acked, synced, false) };
        if ticket.await.is_err() {
            return (acked, synced, false);
        }
        synced = acked.len();
    }
    (acked, synced, true)
}

#[tokio::test]
async fn relaxed_appends_lose_a_tail_at_most() {
    let (mut fewest, mut judged) = (usize::MAX, 0);
    for fuse in 0.. {
        let fs = RecordingFs::new();
        fs.set_fuse(fuse);
        let (acked, synced, through) = run(&fs).await;
        let states = States { every_up_to: 5, drawn: 4, seed: fuse };
        for state in states.of(fs.choices()) {
            let storage = open(&fs.crash_to(state)).unwrap();
            let found = all(&*log_of(&storage).await.unwrap()).await;
            let right = acked.starts_with(&found) && found.len() >= synced;
            assert!(right, "fuse {fuse}, {state:?}: {found:?} of {acked:?}, {synced} synced");
            fewest = fewest.min(found.len() + usize::from(!through) * 100);
            judged += 1;
        }
        let storage = open(&fs.kill()).unwrap();
        assert!(all(&*log_of(&storage).await.unwrap()).await.starts_with(&acked), "fuse {fuse}: lost by a kill alone");
        if through {
            break;
        }
    }
    assert!(judged > 300 && fewest == 12, "{judged} states, {fewest} frames after the last checkpoint");
}
