//! A run of bytes on its way out: in memory, or still in a file.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;

/// A run of bytes that a read returned and a connection will send. A file range is sent by `sendfile` and is
/// never copied through user space; the `Arc` keeps the file readable after it was unlinked or replaced.
#[derive(Clone, Debug)]
pub enum Piece {
    /// A range of an open file.
    File {
        /// The file, open for reading.
        file: Arc<File>,
        /// Where the range begins, in bytes.
        pos: u64,
        /// How long it is, in bytes.
        len: u32,
        /// Recently written, so that its pages are in the page cache and sending it will not wait for a disk.
        hot: bool,
    },
    /// Bytes in memory.
    Bytes(Bytes),
}

impl Piece {
    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::File { len, .. } => *len as usize,
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
