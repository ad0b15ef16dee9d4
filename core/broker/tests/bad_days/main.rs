//! Bad days: a broker in this process on the disk backend, whose file system fills up, fails, stalls, or whose clock jumps.
//!
//! Each test says what those who are hit are told, and shows that nobody else notices: metadata, fetches, other
//! storages and other connections go on. The stage's clients are those of the `wire` tests.
#![allow(clippy::unwrap_used)]

#[path = "../wire/requests.rs"]
#[allow(dead_code, reason = "shared with the wire tests; this file needs a part of it")]
mod requests;
#[path = "../wire/stage.rs"]
#[allow(dead_code, reason = "shared with the wire tests; this file needs a part of it")]
mod stage;

mod clock;
mod disk;
mod world;
