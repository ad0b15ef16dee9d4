//! Kafka's log semantics, above any storage backend.
//!
//! A [`UnifiedLog`] is one partition: it numbers batches, knows its producers (idempotence) and leader epochs, keeps the
//! high watermark and the last stable offset, deletes what is too old, and cleans closed segments of single records. Bytes, files and durability are the backend's
//! ([`watershed_storage::PartitionLog`]); requests, replicas and error codes are the broker's.
//!
//! Start at [`validate`](validate()), which judges a producer's bytes outside any lock, and
//! [`UnifiedLog::append_as_leader`], which numbers them. [`Marks`] is where acks and parked fetches wait. [`ingress`] and
//! [`routed`] are for topics whose records the broker itself takes to their partitions.
//!
//! Absent: no Kafka error code, no I/O of its own, no clock but the one passed in.

mod config;
mod epochs;
mod error;
pub mod ingress;
mod marks;
mod producers;
pub mod routed;
mod unified;
mod vacancies;
mod validate;

pub use config::{CleanupPolicy, CompressionPolicy, LogConfig};
pub use epochs::{EpochEntry, LeaderEpochCache};
pub use error::{LogError, RecordIssue};
pub use marks::{Listener, Mark, Marks, Passed, Reached, Registration};
pub use producers::{ActiveProducer, Admission, BatchMeta, ProducerStates, TransactionGuard};
pub use unified::{
    AppendTicket, Appended, BatchFate, Bound, Cleaned, DeletionReason, Judge, Judged, LogContext, LogRead,
    OffsetAtTime, OffsetSpec, Opened, RetentionOutcome, UnifiedLog,
};
pub use validate::{Origin, ValidatedBatch, validate};
