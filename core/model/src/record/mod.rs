//! The record batch, magic 2: its header, its records, how they are read, built and compressed.
//!
//! A batch is opaque bytes to most of the house: [`RecordBatch`] parses the 61-byte header and shares the rest. Who must see
//! records walks them with [`Records`], which lends one at a time and never trusts a length. Everything here is pure and
//! takes hostile bytes: the answer is an error, never a panic, never memory that was merely claimed.

mod batch;
mod builder;
mod compress;
mod crc;
mod error;
mod header;
mod single;
mod stream;
mod varint;

#[cfg(test)]
mod tests;

pub use batch::{Batches, RecordBatch, batches};
pub use builder::{BatchBuilder, ProducerSequence};
pub use compress::{Level, compress, decompress};
pub use error::RecordError;
pub use header::{BatchHeader, Compression, HEADER_BYTES, HeaderError, TimestampType};
pub use single::{Headers, NewRecord, OwnedRecord, Record, put_record};
pub use stream::Records;
