//! The disk backend: [`watershed_storage::LogStorage`] over files.
//!
//! ```text
//! <data>/lock                                  held by the one process that has the directory
//! <data>/clean                                 the last process ended cleanly; removed at the next start
//! <data>/synced-ends                           what was durable, per partition (`ends.rs`)
//! <data>/ballast                               given up when the disk is full
//! <data>/topics/<topic id>-<partition>/        made at the first append
//!     <base offset, 20 digits>.log             record batches exactly as on the wire
//!     <base offset, 20 digits>.index           a shortcut, rebuilt when wrong (`index.rs`)
//!     <sequence, 20 digits>.state              log start, recovery point, blobs (`state.rs`)
//!     *.quarantine                             damaged bytes, kept for people
//!     *.deleted, *.tmp                         on their way out
//! ```
//!
//! Invariants:
//! - A ticket ripens after the `fdatasync` of its own file returned (in [`watershed_storage::FlushMode::Sync`]), and after
//!   that of everything before it.
//! - A failed sync is never retried: the directory goes offline for the life of the process.
//! - Appends write on the caller's thread, one `pwritev` for up to 32 frames; they order and read data in the page cache at
//!   once. [`watershed_storage::LogStorage::room`] is the bound on bytes that wait for the medium.
//! - No other call of the contract does I/O on the caller's thread.
//!
//! Where next: `storage.rs` (the directory), `log/` (a partition), `sync.rs` (group commit), `recovery.rs` (opening),
//! `fs/` (the system calls, and their recording twin for crash tests), `verify.rs` (the offline check).

#[cfg(not(target_os = "linux"))]
compile_error!("the disk backend needs Linux: it relies on fdatasync, sync_file_range and fallocate");

mod codec;
mod config;
mod ends;
pub mod fs;
mod index;
mod janitor;
mod log;
pub mod metrics;
mod pool;
mod recovery;
mod segment;
mod shared;
mod state;
mod storage;
mod sync;
#[cfg(test)]
mod tests;
pub mod verify;
mod walk;

pub use config::DiskConfig;
pub use storage::{DiskStorage, OpenError};
pub use verify::verify;
