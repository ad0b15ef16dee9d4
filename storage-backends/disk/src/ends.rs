//! The file of synced ends: for each partition of the directory, up to where its log was on the medium.
//!
//! It tells recovery apart what was promised (bad bytes there are damage, and are set aside) from what was not (a torn
//! tail, which is cut). One slot of 64 bytes a partition, with a checksum, written in place after the data it speaks of
//! is durable; a thread syncs the file some milliseconds later. No ticket waits for it: a slot that is late or torn only
//! makes recovery less strict, never wrong.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use watershed_model::{Offset, TopicId, TopicIdPartition};

use crate::fs::{Fs, FsFile, OpenMode, read_full, write_all};

/// The file's name in the data directory.
pub(crate) const FILE_NAME: &str = "synced-ends";
const SLOT_BYTES: usize = 64;
const CRC_AT: usize = SLOT_BYTES - 4;
const SLOT_MAGIC: u32 = 0x5753_4531;

/// What a slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// The partition's count of cuts at that time; an entry of another count speaks of another history.
    pub(crate) cuts: u64,
    /// The log start offset.
    pub(crate) start: Offset,
    /// Everything below was on the medium.
    pub(crate) synced: Offset,
}

struct Slots {
    by_partition: HashMap<TopicIdPartition, (u64, Known)>,
    free: Vec<u64>,
    next: u64,
    /// Slots that hold something else than a note: torn in a power cut, or damaged.
    bad: Vec<u64>,
}

/// The open file.
pub(crate) struct SyncedEnds {
    file: Arc<dyn FsFile>,
    slots: Mutex<Slots>,
    dirty: AtomicBool,
}

fn encode(tp: TopicIdPartition, known: Known) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[0..4].copy_from_slice(&SLOT_MAGIC.to_be_bytes());
    slot[4..20].copy_from_slice(&tp.topic.0);
    slot[20..24].copy_from_slice(&tp.partition.to_be_bytes());
    slot[24..32].copy_from_slice(&known.cuts.to_be_bytes());
    slot[32..40].copy_from_slice(&known.start.0.to_be_bytes());
    slot[40..48].copy_from_slice(&known.synced.0.to_be_bytes());
    let crc = crc32c::crc32c(&slot[..CRC_AT]);
    slot[CRC_AT..].copy_from_slice(&crc.to_be_bytes());
    slot
}

fn field<const N: usize>(slot: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&slot[at..at + N]);
    out
}

/// Reads one slot; `None` where there is nothing, or nothing valid.
fn decode(slot: &[u8]) -> Option<(TopicIdPartition, Known)> {
    let said = u32::from_be_bytes(field(slot, CRC_AT));
    if u32::from_be_bytes(field(slot, 0)) != SLOT_MAGIC || crc32c::crc32c(&slot[..CRC_AT]) != said {
        return None;
    }
    let tp = TopicIdPartition { topic: TopicId(field(slot, 4)), partition: i32::from_be_bytes(field(slot, 20)) };
    let known = Known {
        cuts: u64::from_be_bytes(field(slot, 24)),
        start: Offset(i64::from_be_bytes(field(slot, 32))),
        synced: Offset(i64::from_be_bytes(field(slot, 40))),
    };
    Some((tp, known))
}

/// Reads every slot.
fn scan(file: &dyn FsFile) -> io::Result<Slots> {
    let mut slots = Slots { by_partition: HashMap::new(), free: Vec::new(), next: 0, bad: Vec::new() };
    let mut slot = [0; SLOT_BYTES];
    loop {
        let read = read_full(file, slots.next * SLOT_BYTES as u64, &mut slot)?;
        if read == 0 {
            return Ok(slots);
        }
        let n = slots.next;
        slots.next += 1;
        match decode(&slot).filter(|_| read == SLOT_BYTES) {
            Some((tp, known)) => {
                if let Some((old, _)) = slots.by_partition.insert(tp, (n, known)) {
                    slots.free.push(old);
                }
            }
            None => {
                slots.free.push(n);
                if slot[..read] != [0; SLOT_BYTES][..read] {
                    slots.bad.push(n);
                }
            }
        }
    }
}

/// What the file in `dir` says, and where in it are slots that say nothing any more; for a check that changes nothing. Empty
/// where there is no file.
pub(crate) fn read(fs: &dyn Fs, dir: &Path) -> io::Result<(HashMap<TopicIdPartition, Known>, Vec<u64>)> {
    match fs.open(&dir.join(FILE_NAME), OpenMode::Read) {
        Ok(file) => {
            let slots = scan(&*file)?;
            let bad = slots.bad.iter().map(|n| n * SLOT_BYTES as u64).collect();
            Ok((slots.by_partition.into_iter().map(|(tp, (_, known))| (tp, known)).collect(), bad))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok((HashMap::new(), Vec::new())),
        Err(e) => Err(e),
    }
}

impl SyncedEnds {
    /// Opens or makes the file in `dir`. The caller syncs the directory.
    pub(crate) fn open(fs: &dyn Fs, dir: &Path) -> io::Result<Self> {
        let path = dir.join(FILE_NAME);
        let file = fs.open(&path, OpenMode::Create)?;
        let slots = scan(&*file)?;
        if !slots.bad.is_empty() {
            tracing::warn!(
                file = %path.display(), notes = slots.bad.len(),
                "notes of synced ends are torn or damaged; recovery takes damage in the tails of their partitions for torn writes"
            );
        }
        Ok(Self { file, slots: Mutex::new(slots), dirty: AtomicBool::new(false) })
    }

    /// What is known of a partition.
    pub(crate) fn get(&self, tp: TopicIdPartition) -> Option<Known> {
        self.slots.lock().by_partition.get(&tp).map(|(_, k)| *k)
    }

    /// Notes what is durable already.
    pub(crate) fn put(&self, tp: TopicIdPartition, known: Known) -> io::Result<()> {
        let slot = {
            let mut slots = self.slots.lock();
            if let Some((n, old)) = slots.by_partition.get_mut(&tp) {
                *old = known;
                *n
            } else {
                let n = slots.free.pop().unwrap_or_else(|| {
                    slots.next += 1;
                    slots.next - 1
                });
                slots.by_partition.insert(tp, (n, known));
                n
            }
        };
        write_all(&*self.file, slot * SLOT_BYTES as u64, &encode(tp, known))?;
        self.dirty.store(true, Ordering::Release);
        Ok(())
    }

    /// Frees a destroyed partition's slot; durable on return, so that a later incarnation is not held to it.
    pub(crate) fn remove(&self, tp: TopicIdPartition) -> io::Result<()> {
        let Some((slot, _)) = self.slots.lock().by_partition.remove(&tp) else {
            return Ok(());
        };
        write_all(&*self.file, slot * SLOT_BYTES as u64, &[0; SLOT_BYTES])?;
        self.file.sync_data()?;
        self.slots.lock().free.push(slot);
        Ok(())
    }

    /// Syncs what was written since the last call.
    pub(crate) fn sync(&self) -> io::Result<()> {
        if self.dirty.swap(false, Ordering::AcqRel) {
            self.file.sync_data()?;
        }
        Ok(())
    }
}
