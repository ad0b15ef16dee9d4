//! What can go wrong below the log.

use std::io;
use std::sync::Arc;

use watershed_model::Offset;

/// A failed storage call. Cheap to clone: one failure reaches everyone who waits for it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    /// There is no room. Nothing was kept; the same call works again when there is.
    #[error("no space left in {place}: free some, or lower retention; writes resume by themselves")]
    Full {
        /// The log directory.
        place: String,
    },
    /// The place failed and takes nothing any more in this process's life (a failed fsync is never retried).
    #[error("log directory {place} is offline: {reason}; check the device, then restart the broker")]
    Offline {
        /// The log directory.
        place: String,
        /// What failed.
        reason: String,
    },
    /// The partition's log was destroyed, or closed.
    #[error("the partition's log is gone: it was deleted or closed")]
    Gone,
    /// The offset is outside the log.
    #[error("offset {offset} is outside the log, which holds {start} to {end}")]
    OutOfRange {
        /// What was asked for.
        offset: Offset,
        /// The first readable offset.
        start: Offset,
        /// The end.
        end: Offset,
    },
    /// What the ticket stood for was cut off.
    #[error("the records were cut off by a truncation before they were durable")]
    Truncated,
    /// The stored bytes are not what was written.
    #[error("corrupt data in {place}: {reason}; run `watershed storage verify` on the data directory")]
    Corrupt {
        /// File and position.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// The caller broke the contract.
    #[error("refused by the storage backend: {0}")]
    Invalid(String),
    /// Another failure of the operating system.
    #[error("{action} failed: {source}")]
    Io {
        /// What was tried, on what.
        action: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
}

impl StorageError {
    /// Wraps what the system said about `action`.
    pub fn io(action: impl Into<String>, source: io::Error) -> Self {
        Self::Io { action: action.into(), source: Arc::new(source) }
    }
}
