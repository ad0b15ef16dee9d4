//! The backend's metrics, through the `metrics` facade: names, descriptions, nothing else.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// How long one `fdatasync` of a segment took.
pub const FSYNC_SECONDS: &str = "watershed_fsync_seconds";
/// Group-commit rounds that ended, one per partition and round.
pub const FSYNC_ROUNDS: &str = "watershed_fsync_rounds_total";
/// Appended bytes that no `fdatasync` has covered yet.
pub const UNSYNCED_BYTES: &str = "watershed_storage_unsynced_bytes";
/// Bytes appended to segments.
pub const APPENDED_BYTES: &str = "watershed_storage_appended_bytes_total";
/// Reads by where the data was: label `from` = `cache` or `medium`.
pub const READS: &str = "watershed_storage_reads_total";
/// Segment files that are open.
pub const OPEN_FILES: &str = "watershed_storage_open_files";
/// Partitions that are open.
pub const OPEN_LOGS: &str = "watershed_storage_open_logs";
/// Bytes that recovery read.
pub const RECOVERED_BYTES: &str = "watershed_storage_recovery_scanned_bytes_total";
/// Damaged places that recovery found: label `promised` = `true` or `false`.
pub const DAMAGE: &str = "watershed_storage_recovery_damage_total";
/// 1 while the log directory takes nothing any more.
pub const OFFLINE: &str = "watershed_storage_offline";
/// 1 while the log directory has no room.
pub const FULL: &str = "watershed_storage_full";

/// Registers the descriptions with the installed recorder.
pub fn describe() {
    describe_histogram!(FSYNC_SECONDS, Unit::Seconds, "Duration of one fdatasync of a segment");
    describe_counter!(FSYNC_ROUNDS, "Group-commit rounds, per partition");
    describe_gauge!(UNSYNCED_BYTES, Unit::Bytes, "Appended bytes not yet covered by an fdatasync");
    describe_counter!(APPENDED_BYTES, Unit::Bytes, "Bytes appended to segments");
    describe_counter!(READS, "Reads, by whether the data was recent or had to be fetched");
    describe_gauge!(OPEN_FILES, "Open segment files");
    describe_gauge!(OPEN_LOGS, "Open partition logs");
    describe_counter!(RECOVERED_BYTES, Unit::Bytes, "Bytes read to recover after unclean ends");
    describe_counter!(DAMAGE, "Damaged places found by recovery");
    describe_gauge!(OFFLINE, "1 while the log directory is offline after a failure");
    describe_gauge!(FULL, "1 while the log directory has no room");
}
