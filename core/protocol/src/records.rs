//! Records in messages: bytes that are handed on as they are, in both directions.

use std::sync::Arc;

use bytes::Bytes;
use watershed_model::Piece;

/// Record batches on their way to a consumer. Never null: "none" is an empty run.
#[derive(Clone, Debug, Default)]
pub struct Records {
    pieces: Vec<Piece>,
    len: usize,
}

impl Records {
    /// The length, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The runs, in order.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The runs, in order.
    #[must_use]
    pub fn into_pieces(self) -> Vec<Piece> {
        self.pieces
    }

    /// The bytes, if they are one run in memory, as in every decoded response.
    #[must_use]
    pub fn as_bytes(&self) -> Option<Bytes> {
        match &self.pieces[..] {
            [] => Some(Bytes::new()),
            [Piece::Bytes(bytes)] => Some(bytes.clone()),
            _ => None,
        }
    }
}

impl From<Vec<Piece>> for Records {
    fn from(pieces: Vec<Piece>) -> Self {
        let len = pieces.iter().map(Piece::len).sum();
        Self { pieces, len }
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::default() } else { Self::from(vec![Piece::Bytes(bytes)]) }
    }
}

impl PartialEq for Records {
    /// The same runs: equal bytes in memory, the same ranges of the same files.
    fn eq(&self, other: &Self) -> bool {
        let same = |pair: (&Piece, &Piece)| match pair {
            (Piece::Bytes(a), Piece::Bytes(b)) => a == b,
            (Piece::File { file: a, pos: p, len: l, .. }, Piece::File { file: b, pos: q, len: m, .. }) => {
                Arc::ptr_eq(a, b) && (p, l) == (q, m)
            }
            (Piece::Bytes(_), Piece::File { .. }) | (Piece::File { .. }, Piece::Bytes(_)) => false,
        };
        self.pieces.len() == other.pieces.len() && self.pieces.iter().zip(&other.pieces).all(same)
    }
}

/// The records of a produce request: a slice of its frame.
///
/// On the wire they look like `bytes`; the type says that they are records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordBytes(Bytes);

impl RecordBytes {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The bytes.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl From<Bytes> for RecordBytes {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}
