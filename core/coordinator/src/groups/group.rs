//! A group: classic, or a consumer group of KIP-848; and what both can be asked.

use watershed_protocol::ErrorCode;

/// A request that a group refuses: the code, and words for the versions that carry them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct GroupError {
    /// The code.
    pub code: ErrorCode,
    /// The reason, for people.
    pub message: String,
}

impl GroupError {
    /// A refusal.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// A group.
#[derive(Debug)]
pub enum Group {}
