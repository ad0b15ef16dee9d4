//! What a storage backend is: the contract between Kafka's semantics (`core/log`) and bytes on some medium.
//!
//! A backend stores *frames* (a frame is one record batch, but a backend never looks inside: [`Framing`] tells it
//! where one ends), in offset order, in segments. It knows bytes, offsets and epochs. It has never heard of groups,
//! transactions, in-sync replicas or Kafka's error codes.
//!
//! - [`LogStorage`] opens, lists and destroys partitions.
//! - [`PartitionLog`] is one partition's log: ordered appends whose [`Ticket`]s ripen when the backend's promise holds,
//!   reads that return [`Piece`]s, truncation, checkpoints; [`SegmentRewrite`] puts fewer or smaller frames in the place of a
//!   sealed segment's.
//! - [`framing`] holds the framing of Kafka's batches.
//! - [`conformance`] is the suite that every backend must pass.
//!
//! The traits are object-safe; the hot path (`append`, `read` of recent data) boxes no future.

pub mod conformance;
mod error;
pub mod framing;
mod rewrite;
mod ticket;

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use watershed_model::record::HEADER_BYTES;
use watershed_model::{LeaderEpoch, Offset, Timestamp, TopicIdPartition};

pub use error::StorageError;
pub use framing::{Framing, FramingError};
pub use rewrite::check_rewritten;
pub use ticket::{Promise, Ticket};
pub use watershed_model::Piece;

/// A boxed future of a storage call.
pub type Fut<'a, T> = Pin<Box<dyn Future<Output = Result<T, StorageError>> + Send + 'a>>;

/// What a backend knows of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameMeta {
    /// The first offset in the frame.
    pub base: Offset,
    /// The last offset in the frame (inclusive).
    pub last: Offset,
    /// The epoch of the leader that appended it.
    pub epoch: LeaderEpoch,
    /// The largest timestamp of its records; -1 where it has none.
    pub max_timestamp: Timestamp,
    /// Its length in bytes, header included.
    pub len: u32,
    /// How many records are in it: no more than it has offsets, and fewer where some were taken out.
    pub records: u32,
}

/// A frame to be appended: a patched header and the untouched rest, so that no byte of the body is copied.
#[derive(Clone, Debug)]
pub struct Frame {
    /// What the header says, parsed once by the caller.
    pub meta: FrameMeta,
    /// The header as it goes to the medium.
    pub head: [u8; HEADER_BYTES],
    /// Everything after the header.
    pub body: Bytes,
}

/// Bytes of the layer above that belong to a position of the log: a producer snapshot, the leader epochs.
/// Opaque to the backend, which keeps at least the newest of each kind at or below the log's end, and guards
/// them with a checksum of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// What it is, in the numbering of the layer above.
    pub kind: u8,
    /// The position: the state after every record below this offset.
    pub at: Offset,
    /// The content.
    pub bytes: Bytes,
}

/// Where a log begins and ends, and how much of it is promised.
///
/// `start <= end`, `synced <= promised <= end`. A truncation may lower everything but `start` and raises `generation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The first offset that may be read.
    pub start: Offset,
    /// Everything below is on the medium, whatever the flush mode (for a memory backend: equal to `end`).
    pub synced: Offset,
    /// Everything below is kept as the flush mode promises.
    pub promised: Offset,
    /// The offset that the next record gets.
    pub end: Offset,
    /// Counts truncations.
    pub generation: u64,
}

/// When an append counts as promised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlushMode {
    /// On the medium (`fdatasync`): survives a power cut.
    #[default]
    Sync,
    /// With the operating system: survives a crash of the process, not of the machine. What Apache Kafka does.
    Relaxed,
}

/// A partition's settings, as far as a backend acts on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentConfig {
    /// The size at which the layer above will roll, in bytes; a hint for preallocation and index sizes.
    pub segment_bytes: u32,
    /// One index entry for about so many bytes.
    pub index_interval_bytes: u32,
    /// When an append is promised.
    pub flush: FlushMode,
    /// How long the files of deleted segments stay on the medium (`file.delete.delay.ms`).
    pub delete_delay: Duration,
}

/// A segment, as retention and rolling see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentMeta {
    /// The offset that it began with; names it. A rewrite may have taken that record out.
    pub base: Offset,
    /// The offset after its last frame.
    pub end: Offset,
    /// The bytes of its frames.
    pub bytes: u64,
    /// The records in its frames.
    pub records: u64,
    /// The largest timestamp of its first frame; `None` while it is empty.
    pub first_timestamp: Option<Timestamp>,
    /// The largest timestamp in it; `None` while it is empty.
    pub max_timestamp: Option<Timestamp>,
    /// Wall-clock time of the last append (or of the file), for frames without timestamps.
    pub modified: Timestamp,
    /// Whether it is closed for appends. The last segment of a log is the one that is not.
    pub sealed: bool,
}

/// What a backend can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The name by which configuration chooses the backend: `disk`, `memory`.
    pub name: &'static str,
    /// Reads may return [`Piece::File`].
    pub file_pieces: bool,
    /// Promised frames survive the end of the process.
    pub survives_restart: bool,
    /// Promised frames survive a power cut, in [`FlushMode::Sync`].
    pub survives_power_loss: bool,
}

/// The result of a read: at once where the data is at hand, otherwise a future that waits for the medium.
pub enum Read<'a> {
    /// The pieces, whole frames in offset order; empty if there is nothing below the bound.
    Now(Vec<Piece>),
    /// The same, later.
    Later(Fut<'a, Vec<Piece>>),
}

impl Read<'_> {
    /// Waits where there is something to wait for.
    ///
    /// # Errors
    /// What the read met.
    pub async fn wait(self) -> Result<Vec<Piece>, StorageError> {
        match self {
            Self::Now(pieces) => Ok(pieces),
            Self::Later(future) => future.await,
        }
    }
}

/// Part of a log that opening it found unusable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The offsets that are gone (what the damaged place claimed, as far as it could be read).
    pub offsets: Range<Offset>,
    /// How many bytes were cut or set aside.
    pub bytes: u64,
    /// What was wrong, for people.
    pub reason: String,
    /// Whether the bytes had been promised durable: then they were set aside (quarantined), not dropped, and an
    /// operator must know. A torn tail that nobody was promised is `false`.
    pub promised: bool,
}

/// What opening a partition had to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The log was closed cleanly, so nothing had to be scanned.
    pub clean: bool,
    /// Bytes read to recover.
    pub scanned_bytes: u64,
    /// What was cut or quarantined.
    pub damage: Vec<Damage>,
}

/// One place (a log directory) of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceHealth {
    /// Where: a directory's path, or `memory`.
    pub path: String,
    /// Why it takes nothing any more; `None` while it works.
    pub offline: Option<String>,
    /// There is no room at present; appends fail with [`StorageError::Full`] and come back by themselves.
    pub full: bool,
    /// The medium's size in bytes, where known.
    pub total_bytes: Option<u64>,
    /// What is free of it, where known.
    pub usable_bytes: Option<u64>,
}

/// The state of a backend's places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// One entry a place.
    pub places: Vec<PlaceHealth>,
}

/// A storage backend: opens, lists and destroys partitions' logs.
pub trait LogStorage: Send + Sync {
    /// What it can do.
    fn caps(&self) -> Caps;

    /// Every partition with a log here. The caller judges which are strays.
    fn list(&self) -> Fut<'_, Vec<TopicIdPartition>>;

    /// Opens a partition's log, making an empty one at offset 0 where there is none, and recovers it: after an unclean
    /// end everything that is still readable is durable before this returns. Opening a partition that is open already is
    /// [`StorageError::Invalid`].
    fn open(
        &self,
        tp: TopicIdPartition,
        config: SegmentConfig,
        framing: Arc<dyn Framing>,
    ) -> Fut<'_, (Arc<dyn PartitionLog>, RecoveryReport)>;

    /// Removes a partition's log, open or not; durable on return, so that it does not come back. A log that is not there
    /// is success. Handles that were open fail with [`StorageError::Gone`] from then on; pieces already read stay
    /// readable.
    fn destroy(&self, tp: TopicIdPartition) -> Fut<'_, ()>;

    /// `None` when an append may go on; otherwise a future that resolves when the bytes that wait for the medium have
    /// fallen below the backend's bound. A caller that appends without asking is not refused, but breaks the bound.
    fn room(&self) -> Option<Fut<'_, ()>>;

    /// The state of the backend's places, and its changes.
    fn health(&self) -> watch::Receiver<Health>;

    /// Makes everything durable and then leaves the clean mark. Appends fail from then on.
    fn close(&self) -> Fut<'_, ()>;
}

/// One partition's log. All methods may be called from any thread; appends are ordered by their calls.
pub trait PartitionLog: Send + Sync {
    /// Takes new settings.
    fn configure(&self, config: SegmentConfig);

    /// Appends frames whose `meta.base` is at or above the end (gaps are legal: compaction leaves them). On return they
    /// are ordered and readable; the ticket ripens when they are promised.
    ///
    /// # Errors
    /// [`StorageError::Full`], [`StorageError::Offline`], [`StorageError::Gone`]; nothing of the frames remains then.
    fn append(&self, frames: Vec<Frame>) -> Result<Ticket, StorageError>;

    /// Where the log begins and ends now.
    fn ends(&self) -> Ends;

    /// The same, and its changes. The sender goes when the log is destroyed or closed.
    fn progress(&self) -> watch::Receiver<Ends>;

    /// Whole frames from the one that holds `from` (a compacted log: the first at or after it), as long as they lie
    /// completely below `upto` and fit into `max_bytes`; with `min_one` the first comes whole whatever `max_bytes` says.
    /// The first frame may begin below `from`. `from` outside `start..=end` is [`StorageError::OutOfRange`].
    fn read(&self, from: Offset, upto: Offset, max_bytes: u32, min_one: bool) -> Read<'_>;

    /// The same read, into memory.
    fn load(&self, from: Offset, upto: Offset, max_bytes: u32, min_one: bool) -> Fut<'_, Bytes>;

    /// The first frame, at or above the start, whose largest timestamp is at least `at`.
    fn frame_at_time(&self, at: Timestamp) -> Fut<'_, Option<FrameMeta>>;

    /// Seals the active segment: later appends go to a new one that begins at the end. Ordered on return; the ticket
    /// ripens when segment, indexes and blobs are durable. Rolling an empty segment does nothing but keep the blobs.
    ///
    /// # Errors
    /// As [`PartitionLog::append`].
    fn roll(&self, blobs: Vec<Blob>) -> Result<Ticket, StorageError>;

    /// Makes everything appended so far, and the blobs, durable without sealing, which bounds the next recovery scan.
    ///
    /// # Errors
    /// As [`PartitionLog::append`].
    fn checkpoint(&self, blobs: Vec<Blob>) -> Result<Ticket, StorageError>;

    /// The newest blob of a kind whose position is at or below `upto`.
    fn blob(&self, kind: u8, upto: Offset) -> Fut<'_, Option<Blob>>;

    /// Cuts the log so that it ends at `end` (at a frame boundary at or below it); durable on return. Blobs above go, the
    /// generation rises, tickets of what was cut fail with [`StorageError::Truncated`].
    fn truncate(&self, end: Offset) -> Fut<'_, ()>;

    /// Empties the log; it goes on at `next`. Durable on return.
    fn reset(&self, next: Offset, blobs: Vec<Blob>) -> Fut<'_, ()>;

    /// Moves the start forward (never back; at most to the end); durable on return. Segments that lie wholly below are
    /// deleted, their files after [`SegmentConfig::delete_delay`].
    fn advance_start(&self, to: Offset) -> Fut<'_, ()>;

    /// Begins to write the sealed segment with this base anew. Nothing changes before [`SegmentRewrite::commit`]; dropping the
    /// rewrite gives it up. One rewrite of a log is under way at a time, and appends and reads go on meanwhile.
    ///
    /// [`StorageError::Invalid`] where there is no such segment, or it is not sealed or not synced.
    fn rewrite(self: Arc<Self>, base: Offset) -> Fut<'static, Box<dyn SegmentRewrite>>;

    /// The segments from the oldest to the active one. Never empty.
    fn segments(&self) -> Vec<SegmentMeta>;

    /// Bytes on the medium that readers can reach.
    fn bytes(&self) -> u64;

    /// Makes everything durable and closes the log's handles, so that it can be opened again.
    fn close(&self) -> Fut<'_, ()>;
}

/// A sealed segment that is being written anew: with frames taken out, or smaller ones in their places. The offsets that are
/// left over become a gap.
pub trait SegmentRewrite: Send {
    /// Writes the next frames. They lie within the segment's offsets, in order, and their epochs do not fall.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] for frames that do not belong here, or what writing meets; the rewrite is of no use then, and
    /// the log is as it was.
    fn write(&mut self, frames: Vec<Frame>) -> Fut<'_, ()>;

    /// Puts what was written in the place of the segment's frames: all or nothing, durable on return. A segment without frames
    /// is no more. Ends, blobs and generation stay as they are, and pieces that were read before stay readable.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] where the segment is not what it was (deleted, cut), or what writing meets; the log is as it
    /// was.
    fn commit(self: Box<Self>) -> Fut<'static, ()>;
}
