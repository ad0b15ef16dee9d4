//! What the disk backend is told.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use watershed_model::Clock;

/// The settings of one data directory.
#[derive(Clone, Debug)]
pub struct DiskConfig {
    /// The directory; made if it is not there. One process at a time may have it.
    pub data_dir: PathBuf,
    /// Threads that run `fdatasync`. What is appended while a partition waits for one shares its flush, so more threads mean
    /// more and smaller flushes: they help where the device takes many at once and cores are idle.
    pub sync_threads: usize,
    /// Threads that fetch cold data.
    pub read_threads: usize,
    /// Threads for everything else that blocks: opening, checkpoints, truncation, deletion.
    pub work_threads: usize,
    /// Appended bytes that may wait for the medium, over all partitions; [`watershed_storage::LogStorage::room`] holds
    /// callers above it.
    pub unsynced_bytes_max: u64,
    /// The kernel is asked to begin writing back every so many bytes of one partition, so that dirty pages never pile up.
    pub writeback_bytes: u64,
    /// Appended bytes, over all partitions, that count as still being in the page cache.
    pub hot_bytes: u64,
    /// The shortest time between two group-commit rounds of one partition, so that a very fast device is not asked for
    /// a flush per record.
    pub round_interval: Duration,
    /// How long relaxed appends may stay in the page cache before a background sync.
    pub relaxed_sync_interval: Duration,
    /// Segment files kept open at most. The process's limit is raised to its hard limit, and the number lowered to half
    /// of that.
    pub open_files_max: usize,
    /// Segment files unused for so long are closed.
    pub idle_close_after: Duration,
    /// How long the files of a destroyed partition that was not open stay (open ones: their `delete_delay`).
    pub delete_delay: Duration,
    /// A file of this size is given up when the disk is full, for those who share it and must write to free room. 0: none.
    pub ballast_bytes: u64,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl DiskConfig {
    /// The defaults for a directory.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self {
            data_dir: data_dir.into(),
            sync_threads: 4,
            read_threads: 4,
            work_threads: 4,
            unsynced_bytes_max: 64 << 20,
            writeback_bytes: 2 << 20,
            hot_bytes: 256 << 20,
            round_interval: Duration::from_micros(500),
            relaxed_sync_interval: Duration::from_secs(1),
            open_files_max: 8192,
            idle_close_after: Duration::from_secs(300),
            delete_delay: Duration::from_secs(60),
            ballast_bytes: 64 << 20,
            clock,
        }
    }
}
