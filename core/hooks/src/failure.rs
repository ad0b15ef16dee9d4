//! [`Failure`]: what a hook says when it has no answer.

use std::fmt;

/// What went wrong inside a plugin that did not mean to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// It crashed: a trap, an uncaught error, a stack that ran over.
    Trap,
    /// It was stopped, because its time was over.
    Timeout,
    /// It wanted more memory than it has.
    OutOfMemory,
    /// It answered something that is no answer: too few records, a partition that does not exist.
    WrongAnswer,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Trap, Self::Timeout, Self::OutOfMemory, Self::WrongAnswer];

    /// The kind's name, as metrics carry it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Timeout => "timeout",
            Self::OutOfMemory => "out_of_memory",
            Self::WrongAnswer => "wrong_answer",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A hook that could not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The same question may be answered later.
    #[error("{0}")]
    Retriable(String),
    /// It never will be.
    #[error("{0}")]
    Permanent(String),
    /// The plugin is broken, or met a record that breaks it. The instance is not asked again.
    #[error("{message}")]
    Fault {
        /// How.
        kind: FaultKind,
        /// What happened, for people.
        message: String,
    },
}

impl Failure {
    /// An answer that is none.
    #[must_use]
    pub fn wrong_answer(message: impl Into<String>) -> Self {
        Self::Fault { kind: FaultKind::WrongAnswer, message: message.into() }
    }

    /// What happened, if it was the plugin's fault.
    #[must_use]
    pub fn fault(&self) -> Option<FaultKind> {
        match self {
            Self::Retriable(_) | Self::Permanent(_) => None,
            Self::Fault { kind, .. } => Some(*kind),
        }
    }
}
