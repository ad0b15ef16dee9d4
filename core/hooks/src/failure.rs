//! [`Failure`]: what a hook says when it has no answer.

/// A hook that could not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The same question may be answered later.
    #[error("{0}")]
    Retriable(String),
    /// It never will be.
    #[error("{0}")]
    Permanent(String),
}
