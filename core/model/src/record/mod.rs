//! The record batch, magic 2: its header, its records, how they are read, built and compressed.

mod header;

pub use header::{BatchHeader, Compression, HEADER_BYTES, HeaderError, TimestampType};
