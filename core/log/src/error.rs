//! What a log refuses, and why. The broker maps each variant to an error code in one place.

use watershed_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use watershed_storage::StorageError;

/// One record that made its batch invalid (the `record_errors` of a Produce response, KIP-467).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordIssue {
    /// The record's position in its batch, from 0.
    pub index: i32,
    /// What is wrong with it.
    pub message: String,
}

/// A refused or failed call on a log.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// The batch is not what its producer sent: wrong checksum or an impossible length. Clients send it again.
    #[error("corrupt batch: {0}")]
    Corrupt(String),
    /// The bytes are not exactly one batch of today's format: what the request holds is wrong before any log is asked.
    #[error("invalid request: {0}")]
    NotOneBatch(String),
    /// The batch or its records break the rules; sending it again gives the same answer.
    #[error("invalid batch: {message}")]
    InvalidRecord {
        /// What is wrong.
        message: String,
        /// The offending records, at most `RECORD_ISSUES_MAX` of them; empty where the batch as a whole is at fault.
        records: Vec<RecordIssue>,
    },
    /// Timestamps outside the topic's bounds.
    #[error("{message}")]
    InvalidTimestamp {
        /// What is wrong.
        message: String,
        /// The offending records, at most `RECORD_ISSUES_MAX` of them.
        records: Vec<RecordIssue>,
    },
    /// The batch is longer than `max.message.bytes`.
    #[error("the batch has {bytes} bytes, max.message.bytes allows {max}")]
    TooLarge {
        /// The batch's length, header included.
        bytes: u64,
        /// The topic's limit.
        max: u32,
    },
    /// The batch is longer than a whole segment.
    #[error("the batch has {bytes} bytes, a segment holds {max} (segment.bytes)")]
    LargerThanSegment {
        /// The batch's length, header included.
        bytes: u64,
        /// The topic's limit.
        max: u32,
    },
    /// A codec that does not exist, or that this version of the request may not use.
    #[error("unsupported compression: {0}")]
    UnsupportedCompression(String),
    /// The batch does not follow the producer's previous one (KIP-98).
    #[error("producer {producer} (epoch {epoch}) sent sequence {found} where {expected} is next")]
    OutOfOrderSequence {
        /// Who.
        producer: ProducerId,
        /// In which epoch.
        epoch: ProducerEpoch,
        /// The batch's first sequence number.
        found: i32,
        /// What would follow the last batch.
        expected: i32,
    },
    /// The producer has been replaced by a newer incarnation.
    #[error("producer {producer} sent epoch {found}, the log has seen {current}")]
    InvalidProducerEpoch {
        /// Who.
        producer: ProducerId,
        /// The batch's epoch.
        found: ProducerEpoch,
        /// The newest epoch seen.
        current: ProducerEpoch,
    },
    /// A transactional batch outside a transaction that the coordinator knows, or the reverse.
    #[error("producer {producer}: {reason}")]
    InvalidTxnState {
        /// Who.
        producer: ProducerId,
        /// What does not fit.
        reason: &'static str,
    },
    /// The offset is not in the log.
    #[error("offset {offset} is outside the log, which holds {start} to {end}")]
    OffsetOutOfRange {
        /// What was asked for.
        offset: Offset,
        /// The log start offset.
        start: Offset,
        /// The end of what may be asked for.
        end: Offset,
    },
    /// The append comes from a leader that has been replaced.
    #[error("the append carries leader epoch {found}, the log has seen {current}")]
    StaleLeaderEpoch {
        /// The append's epoch.
        found: LeaderEpoch,
        /// The newest epoch in the log.
        current: LeaderEpoch,
    },
    /// What clients send goes elsewhere, or nowhere for a moment ([`crate::UnifiedLog::refuse_clients`]).
    #[error("the partition changes how records enter it; send again")]
    Diverted,
    /// A setting of the topic forbids the call.
    #[error("{0}")]
    Policy(&'static str),
    /// The storage backend failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl LogError {
    pub(crate) fn not_one_batch(message: impl Into<String>) -> Self {
        Self::NotOneBatch(message.into())
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidRecord { message: message.into(), records: Vec::new() }
    }
}
