//! What can be wrong with bytes that came in, and with a message that is to go out.
//!
//! Both errors name the message, its version and the field. They are boxed inside, because they ride in every
//! `Result` of the codec.

use std::fmt;

/// Where in which message an error happened.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    message: &'static str,
    version: i16,
    owner: &'static str,
    field: &'static str,
    offset: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} v{}", self.message, self.version)?;
        if !self.field.is_empty() {
            write!(f, ", {}.{}", self.owner, self.field)?;
        }
        write!(f, ", at byte {}", self.offset)
    }
}

/// Why bytes are not the message they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    /// The message does not have this version.
    #[error("there is no such version")]
    UnsupportedVersion,
    /// A fixed or announced length goes past the end.
    #[error("{needed} bytes are needed, {remaining} remain")]
    Truncated {
        /// How many bytes the value needs.
        needed: usize,
        /// How many there are.
        remaining: usize,
    },
    /// A count of elements that the remaining bytes cannot hold.
    #[error("{count} elements cannot be in {remaining} bytes")]
    TooManyElements {
        /// The announced number of elements.
        count: usize,
        /// How many bytes there are.
        remaining: usize,
    },
    /// Decoded, the message would take far more memory than its frame: only made-up frames do.
    #[error("it would take {needed} bytes of memory, {budget} remain of the frame's budget")]
    TooMuchMemory {
        /// What the next array would take, in bytes.
        needed: usize,
        /// What may still be taken, in bytes.
        budget: usize,
    },
    /// A length below zero that does not stand for null.
    #[error("the length {0} is negative")]
    NegativeLength(i32),
    /// Null where the version allows none.
    #[error("null is not allowed")]
    UnexpectedNull,
    /// A variable-length number with more than 32 bits.
    #[error("the variable-length number is too long")]
    BadVarint,
    /// A text of more than 32,767 bytes.
    #[error("the text of {0} bytes is longer than the 32767 that a text may have")]
    TextTooLong(usize),
    /// A text that is not UTF-8.
    #[error("the text is not UTF-8")]
    BadText,
    /// A tagged field whose content is shorter than its announced size.
    #[error("{0} bytes are left over in the tagged field")]
    TaggedFieldTooLong(usize),
    /// Bytes after the end of the message.
    #[error("{0} bytes follow the end of the message")]
    TrailingBytes(usize),
}

/// Bytes that are not the message they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", .0.0, .0.1)]
pub struct DecodeError(Box<(Place, DecodeErrorKind)>);

impl DecodeError {
    pub(crate) fn new(
        (message, version): (&'static str, i16),
        (owner, field): (&'static str, &'static str),
        offset: usize,
        kind: DecodeErrorKind,
    ) -> Self {
        Self(Box::new((Place { message, version, owner, field, offset }, kind)))
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &DecodeErrorKind {
        &self.0.1
    }

    /// The message's name.
    #[must_use]
    pub fn message(&self) -> &'static str {
        self.0.0.message
    }

    /// The struct and the field that was being read; empty before the first field.
    #[must_use]
    pub fn field(&self) -> (&'static str, &'static str) {
        (self.0.0.owner, self.0.0.field)
    }

    /// How many bytes into the message (its header not counted) the reader was.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.0.0.offset
    }
}

/// Why a message cannot be written in a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeErrorKind {
    /// The message does not have this version.
    #[error("there is no such version")]
    UnsupportedVersion,
    /// The field has a value but the version has no place for it.
    #[error("this version cannot carry a value of this field")]
    FieldNotInVersion,
    /// The field is null and the version has no null for it.
    #[error("null is not allowed in this version")]
    UnexpectedNull,
    /// A text, a byte string, an array or a whole frame longer than the protocol can say.
    #[error("its length {length} is over the maximum {max}")]
    TooLong {
        /// The length, in bytes or elements.
        length: usize,
        /// The longest possible.
        max: usize,
    },
    /// The message holds a range of a file, which cannot become bytes in memory.
    #[error("a range of a file is sent as it is, not copied into memory")]
    FileRange,
}

/// A message that cannot be written in a version. Always a mistake of the one who made the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", .0.0, .0.1)]
pub struct EncodeError(Box<(Place, EncodeErrorKind)>);

impl EncodeError {
    pub(crate) fn new(
        (message, version): (&'static str, i16),
        (owner, field): (&'static str, &'static str),
        offset: usize,
        kind: EncodeErrorKind,
    ) -> Self {
        Self(Box::new((Place { message, version, owner, field, offset }, kind)))
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &EncodeErrorKind {
        &self.0.1
    }

    /// The struct and the field that was being written.
    #[must_use]
    pub fn field(&self) -> (&'static str, &'static str) {
        (self.0.0.owner, self.0.0.field)
    }
}
