//! Power cuts and failing disks, below redb.
//!
//! A backend keeps what was synced apart from what was only written. A cut at a sync point keeps what was synced
//! before, and any part of what was written since: nothing, everything, one write alone, everything but one write, and
//! some subsets of all sectors (512 bytes) by the toss of a coin; every subset of writes where there are few.
//! `WATERSHED_CRASH_SEED` sets the coin, `WATERSHED_CRASH_STATES` how often it is tossed for a cut.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use redb::{BackendError, StorageBackend};
use watershed_model::BrokerId;

use super::super::{NoPeers, OpenError, Store};
use super::{broker, options, topic};
use crate::{ControllerError, ControllerHandle};

#[derive(Debug, Default)]
struct Disk {
    synced: Vec<u8>,
    now: Vec<u8>,
    /// What was written since the last sync, in order.
    pending: Vec<Write>,
    /// The states a power cut may have left: one per sync, with the writes that were pending before it and what
    /// had been acknowledged by then.
    cuts: Vec<Cut>,
    acknowledged: usize,
    /// Syncs report success and do nothing.
    lying: bool,
}

#[derive(Clone, Debug)]
enum Write {
    At(u64, Vec<u8>),
    Len(u64),
}

#[derive(Clone, Debug)]
struct Cut {
    synced: Vec<u8>,
    pending: Vec<Write>,
    acknowledged: usize,
}

#[derive(Clone, Debug, Default)]
struct Backend {
    disk: Arc<Mutex<Disk>>,
    broken: Arc<AtomicBool>,
}

impl Backend {
    fn holding(bytes: Vec<u8>) -> Self {
        let disk = Disk { synced: bytes.clone(), now: bytes, ..Disk::default() };
        Self { disk: Arc::new(Mutex::new(disk)), broken: Arc::default() }
    }
}

fn apply(bytes: &mut Vec<u8>, write: &Write) {
    match write {
        Write::Len(len) => bytes.resize(*len as usize, 0),
        Write::At(at, data) => {
            let at = *at as usize;
            if bytes.len() < at + data.len() {
                bytes.resize(at + data.len(), 0);
            }
            bytes[at..at + data.len()].copy_from_slice(data);
        }
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.disk.lock().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let disk = self.disk.lock();
        let offset = offset as usize;
        let bytes = disk.now.get(offset..offset + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let mut disk = self.disk.lock();
        let write = Write::Len(len);
        apply(&mut disk.now, &write);
        disk.pending.push(write);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let mut disk = self.disk.lock();
        let pending = std::mem::take(&mut disk.pending);
        if pending.is_empty() {
            return Ok(());
        }
        let cut = Cut { synced: disk.synced.clone(), pending, acknowledged: disk.acknowledged };
        disk.cuts.push(cut);
        if !disk.lying {
            disk.synced = disk.now.clone();
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut disk = self.disk.lock();
        let write = Write::At(offset, data.to_vec());
        apply(&mut disk.now, &write);
        disk.pending.push(write);
        Ok(())
    }

    fn try_lock_range(&self, _: std::ops::Bound<u64>, _: std::ops::Bound<u64>) -> Result<bool, BackendError> {
        Err(BackendError::Unsupported)
    }
}

/// The disk after a cut, when `keep` decides on each sector written since the last sync; it is told which write it is of.
fn survivor(cut: &Cut, mut keep: impl FnMut(usize) -> bool) -> Vec<u8> {
    let mut bytes = cut.synced.clone();
    for (n, write) in cut.pending.iter().enumerate() {
        match write {
            Write::Len(_) if keep(n) => apply(&mut bytes, write),
            Write::Len(_) => {}
            Write::At(at, data) => {
                for (sector, piece) in data.chunks(512).enumerate() {
                    if keep(n) {
                        apply(&mut bytes, &Write::At(at + sector as u64 * 512, piece.to_vec()));
                    }
                }
            }
        }
    }
    bytes
}

/// Up to how many writes every subset of them is tried.
const EVERY_UP_TO: usize = 4;

fn from_env(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// The states that a cut may leave, each once.
fn survivors(cut: &Cut, coin: &mut impl FnMut() -> bool) -> Vec<Vec<u8>> {
    let writes = cut.pending.len();
    let mut states = vec![survivor(cut, |_| false), survivor(cut, |_| true)];
    if writes <= EVERY_UP_TO {
        states.extend((0..1u32 << writes).map(|bits| survivor(cut, |n| bits >> n & 1 == 1)));
    } else {
        states.extend((0..writes).flat_map(|one| [survivor(cut, |n| n == one), survivor(cut, |n| n != one)]));
    }
    states.extend((0..from_env("WATERSHED_CRASH_STATES", 4)).map(|_| survivor(cut, |_| coin())));
    let mut seen = HashSet::new();
    states.retain(|state| seen.insert(state.clone()));
    states
}

/// A history of a store that is cut at every sync: the states, and how many topics were acknowledged in each.
async fn history(topics: usize, lying: bool) -> Vec<Cut> {
    // A store is made under another name and renamed, so that no cut happens before this.
    let backend = Backend::default();
    drop(Store::with_backend(backend.clone(), BrokerId(1)).unwrap());
    backend.disk.lock().cuts.clear();
    backend.disk.lock().lying = lying;
    let handle = start(backend.clone()).await.unwrap();
    handle.register_broker(broker(1)).await.unwrap();
    for i in 0..topics {
        handle.create_topics(vec![topic(format!("t{i}"), 2)], false).await.unwrap().remove(0).unwrap();
        backend.disk.lock().acknowledged = i + 1;
    }
    handle.shutdown().await;
    drop(handle);
    let cuts = std::mem::take(&mut backend.disk.lock().cuts);
    assert!(cuts.len() > topics, "{} syncs for {topics} topics", cuts.len());
    cuts
}

/// Opens what a cut left: everything that was acknowledged is there, nothing that nobody asked for, and the store works on.
async fn judge(state: Vec<u8>, acknowledged: usize) -> Result<(), String> {
    let handle = start(Backend::holding(state)).await.map_err(|error| error.to_string())?;
    let image = handle.image();
    for i in 0..acknowledged {
        image.topic_by_name(&format!("t{i}")).ok_or_else(|| format!("t{i} is lost"))?;
    }
    if image.topic_count() > acknowledged + 1 {
        return Err("a topic nobody asked for".to_owned());
    }
    handle.register_broker(broker(2)).await.map_err(|error| error.to_string())?;
    let created = handle.create_topics(vec![topic("after", 1)], false).await.map_err(|error| error.to_string())?;
    handle.shutdown().await;
    created.into_iter().try_for_each(|created| created.map(drop).map_err(|error| error.to_string()))
}

fn coin(seed: u64) -> impl FnMut() -> bool {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 63 == 1
    }
}

async fn start(backend: Backend) -> Result<ControllerHandle, OpenError> {
    let store = Store::with_backend(backend, BrokerId(1))?;
    let dir = std::path::Path::new("unused");
    ControllerHandle::start(store, options(dir), NoPeers, 8).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_at_any_sync_keeps_what_was_acknowledged() {
    let seed = from_env("WATERSHED_CRASH_SEED", 1);
    let mut coin = coin(seed);
    let cuts = history(8, false).await;
    let mut judged = 0;
    for (number, cut) in cuts.iter().enumerate() {
        for (kind, state) in survivors(cut, &mut coin).into_iter().enumerate() {
            let wrong = judge(state, cut.acknowledged).await;
            wrong.unwrap_or_else(|wrong| panic!("cut {number}, state {kind}, WATERSHED_CRASH_SEED={seed}: {wrong}"));
            judged += 1;
        }
    }
    println!("{} cuts, {judged} different states", cuts.len());
    assert!(judged > 8 * cuts.len(), "{judged} states of {} cuts", cuts.len());
}

/// The control: were its syncs left out, the test above would fail.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_sync_is_noticed() {
    let cuts = history(3, true).await;
    let last = cuts.last().unwrap();
    assert_eq!(last.acknowledged, 3);
    let wrong = judge(survivor(last, |_| false), last.acknowledged).await;
    assert!(wrong.is_err(), "nothing was synced, and nothing is missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_sync_stops_everything_and_says_why() {
    let backend = Backend::default();
    let handle = start(backend.clone()).await.unwrap();
    handle.register_broker(broker(1)).await.unwrap();
    let mut failure = handle.failure();
    assert!(failure.borrow().is_none());

    backend.broken.store(true, Ordering::SeqCst);
    let error = handle.create_topics(vec![topic("t", 1)], false).await.unwrap_err();
    assert!(matches!(error, ControllerError::StoreFailed(_)), "{error}");
    let reason = failure.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert!(reason.contains("appending to the log") && reason.contains("os error 5"), "{reason}");

    // Even if the disk recovers: pages may be gone, so nothing is accepted any more.
    backend.broken.store(false, Ordering::SeqCst);
    let error = handle.create_topics(vec![topic("u", 1)], false).await.unwrap_err();
    assert!(matches!(error, ControllerError::StoreFailed(_)), "{error}");
    assert!(handle.image().topic_by_name("t").is_none());
    handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bit_that_turned_over_is_found_or_harmless() {
    let backend = Backend::default();
    let handle = start(backend.clone()).await.unwrap();
    handle.register_broker(broker(1)).await.unwrap();
    for i in 0..20 {
        handle.create_topics(vec![topic(format!("t{i}"), 2)], false).await.unwrap().remove(0).unwrap();
    }
    handle.shutdown().await;
    let before = handle.image();
    drop(handle);
    let good = backend.disk.lock().synced.clone();
    // Every byte that is not zero counts; a sample of them, since each open reads the whole file, and the first bytes, which
    // everything hangs on.
    let used: Vec<usize> = (0..good.len()).filter(|at| good[*at] != 0).collect();
    let seed = from_env("WATERSHED_ROT_SEED", 1);
    let mut coin = coin(seed);
    let mut found = 0;
    for at in used.iter().step_by(used.len() / 150).chain(&used[..64]) {
        let mut bytes = good.clone();
        bytes[*at] ^= 1 << (0..3).fold(0, |bit, _| bit * 2 + u8::from(coin()));
        match start(Backend::holding(bytes)).await {
            Ok(handle) => {
                assert_eq!(*handle.image(), *before, "byte {at}: metadata changed silently; WATERSHED_ROT_SEED={seed}");
                handle.shutdown().await;
            }
            Err(OpenError::Corrupt { .. } | OpenError::Format { .. } | OpenError::Quorum(_)) => found += 1,
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    // Most of the file is pages that are not in use any more, where damage is harmless.
    assert!(found > 5, "only {found} of the damaged files were noticed");
}
