//! Every maximum that is not a setting, in one place.

/// The largest frame any connection may send, in bytes (`socket.request.max.bytes` lowers it; Kafka's default).
pub const FRAME_BYTES_MAX: usize = 100 * 1024 * 1024;

/// How much a compressed batch may decompress to, in bytes. A small batch of zeros can claim gigabytes.
pub const DECOMPRESSED_BATCH_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How many partitions one admin request may create (Kafka's limit of records per controller operation).
pub const PARTITIONS_PER_REQUEST_MAX: usize = 10_000;

/// The longest topic name, in bytes: it must fit a file name with a suffix (Kafka's limit).
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// The longest client id or software name kept for logs and metrics, in bytes; longer ones are cut there.
pub const CLIENT_LABEL_BYTES_MAX: usize = 128;

/// How many batches of one producer are remembered for duplicate detection (KIP-98; clients rely on five).
pub const PRODUCER_BATCHES_REMEMBERED: usize = 5;

/// The largest number of headers on one record that is still taken apart one by one.
pub const RECORD_HEADERS_MAX: usize = 1 << 20;
