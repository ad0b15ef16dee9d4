//! Hostile and mistaken peers against the real binary: each is cut off, held back or told what is wrong, and nobody else
//! notices.
//!
//! - `peer.rs` is one connection in raw frames; `witness.rs` a well-behaved client that works through it all and fails
//!   the test if one of its requests is not answered; `process.rs` looks at the broker from outside.
//! - `frames.rs`: bytes that are no requests, requests that cannot be. `senders.rs`: those who send slowly, or too much.
//!   `readers.rs`: those who do not read. `crowds.rs`: very many connections, and no file descriptors left.
//!   `groups.rs`: members of groups that say nonsense, come in a crowd, go without a word.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "what a test waits for is another process")]

#[path = "../common/mod.rs"]
mod common;

mod crowds;
mod frames;
mod groups;
mod peer;
mod process;
mod readers;
mod senders;
mod witness;
