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

/// How many producers one partition remembers. Each costs some 200 bytes; beyond it the idlest are forgotten, and with them
/// only the means to recognise what they sent before.
pub const PRODUCERS_PER_PARTITION_MAX: usize = 100_000;

/// The largest number of headers on one record that is still taken apart one by one.
pub const RECORD_HEADERS_MAX: usize = 1 << 20;

/// How many records a plugin is asked about at once.
pub const SLICE_RECORDS_MAX: usize = 256;

/// How many bytes the records that a plugin is asked about at once have together, unless it is a single one.
pub const SLICE_BYTES_MAX: usize = 1 << 20;

/// How many ordering keys are counted at once to rank the records of a partition; each costs some 64 bytes. Where there are more,
/// they are taken in turns.
pub const RANKED_KEYS_MAX: usize = 1 << 19;

/// How many offending records a refused batch names; a batch can hold a million of them.
pub const RECORD_ISSUES_MAX: usize = 100;

/// How many bytes are appended to a partition before its log makes a checkpoint, which bounds the scan of the next
/// recovery.
pub const CHECKPOINT_BYTES: u64 = 64 * 1024 * 1024;

/// How old an unsaved part of a log gets before a checkpoint, in milliseconds.
pub const CHECKPOINT_AGE_MS: u64 = 60_000;

/// How much of a log is read at a time when its producers and epochs are replayed or its records searched, in bytes.
pub const REPLAY_READ_BYTES: u32 = 1024 * 1024;

/// How many ranges of offsets without a record one partition remembers. Each takes 24 bytes; beyond it neighbours are joined, and a
/// group's lag is then known less exactly.
pub const VACANT_RANGES_MAX: usize = 512;

/// The longest value a dynamic config may have, in bytes (Kafka's limit).
pub const CONFIG_VALUE_BYTES_MAX: usize = 32_767;

/// The longest group id for which configs may be set, in bytes (the longest text of Kafka's older formats).
pub const GROUP_ID_BYTES_MAX: usize = 32_767;

/// The longest pattern of group ids in the configuration, in characters besides `*`: its positions are the bits of one
/// machine word.
pub const GROUP_PATTERN_CHARS_MAX: usize = 127;

/// How many producer ids a broker gets at a time (Kafka's block size).
pub const PRODUCER_IDS_PER_BLOCK: i32 = 1_000;

/// How many metadata changes one admin request may make beside partitions (Kafka's limit of records per operation).
pub const METADATA_CHANGES_PER_REQUEST_MAX: usize = 10_000;

/// How many requests wait for the controller before callers have to wait themselves.
pub const CONTROLLER_QUEUE_MAX: usize = 1_024;

/// How many requests the controller commits in one batch, that is, with one sync of the metadata store.
pub const CONTROLLER_GROUP_MAX: usize = 128;

/// How many metadata deltas a reader may lag behind before the application of further batches waits for it.
pub const METADATA_DELTAS_MAX: usize = 1_024;

/// The cache of the metadata store, in bytes (redb's own default is 1 GiB).
pub const METADATA_CACHE_BYTES: usize = 8 * 1024 * 1024;

/// After how many entries in the metadata log a snapshot is made, which lets the older ones be deleted.
pub const METADATA_SNAPSHOT_ENTRIES: u64 = 2_000;

/// After how many bytes in the metadata log a snapshot is made.
pub const METADATA_SNAPSHOT_BYTES: u64 = 16 * 1024 * 1024;

/// About how large one piece of a metadata snapshot is, in bytes.
pub const METADATA_SNAPSHOT_CHUNK_BYTES: usize = 256 * 1024;

/// How much memory the arrays of a decoded message may take, as a multiple of its bytes. An element of one byte on the
/// wire can be a struct of a hundred in memory; the largest honest ratio is about 13 (one-letter names).
pub const DECODED_MEMORY_PER_BYTE_MAX: usize = 16;

/// What the arrays of a decoded message may take however short it is, in bytes.
pub const DECODED_MEMORY_MIN: usize = 4096;

/// The longest regular expression that a member of a consumer group may subscribe to, in bytes.
pub const GROUP_REGEX_BYTES_MAX: usize = 4 * 1024;

/// The most memory that such an expression may take once it is compiled, in bytes.
pub const GROUP_REGEX_COMPILED_BYTES_MAX: usize = 1024 * 1024;
