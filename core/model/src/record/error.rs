//! What can be wrong with a batch's records.

use super::{Compression, HeaderError};

/// Bytes that are not the records they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The header itself is wrong.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A batch says that it is longer than the bytes that are there.
    #[error("the batch's length field says {claimed} bytes, {remain} are there")]
    BatchLength {
        /// What the length field says, header included.
        claimed: u32,
        /// How many bytes remain.
        remain: usize,
    },
    /// A record or a part of one ends too early.
    #[error("the records end in the middle of one")]
    Truncated,
    /// A number takes more bytes than its width allows.
    #[error("a varint in a record is too long")]
    Varint,
    /// A record's size is negative or above every bound.
    #[error("a record says its size is {0} bytes")]
    RecordSize(i32),
    /// Bytes follow the last part of a record.
    #[error("{0} bytes follow the last header of a record")]
    Leftover(usize),
    /// The number of headers is negative or more than can be there.
    #[error("a record says it has {0} headers")]
    HeaderCount(i32),
    /// A header without a key.
    #[error("a record's header has a null key")]
    NullHeaderKey,
    /// The header's count is negative.
    #[error("the batch says it has {0} records")]
    RecordCount(i32),
    /// Bytes follow the last record.
    #[error("bytes follow the {0} records that the batch says it has")]
    MoreThanCounted(i32),
    /// A compression codec that nobody defined.
    #[error("unknown compression codec {0}")]
    UnknownCodec(u8),
    /// The compressed bytes are not what the codec expects.
    #[error("the batch does not decompress as {codec:?}: {reason}")]
    Codec {
        /// The codec that the batch names.
        codec: Compression,
        /// What the codec says.
        reason: String,
    },
    /// A batch that decompresses to more than anybody may ask for.
    #[error("the batch decompresses to more than {limit} bytes")]
    DecompressedSize {
        /// The bound in bytes.
        limit: usize,
    },
}
