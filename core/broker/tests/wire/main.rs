//! A broker in this process, over a storage that misbehaves on command, spoken to in raw frames over loopback.
//!
//! - `stage.rs` builds the broker and its clients; `requests.rs` the requests that several files send.
//! - `produce.rs`: when an acknowledgement may go out. `pipeline.rs`: what overlaps on a connection.
//! - `fetch.rs`: the long poll and its limits. `sessions.rs`: fetch sessions.
//! - `connections.rs`: limits, silence, the end. `offsets.rs`: the APIs about offsets and producer ids.
//! - `configs.rs`: configs of groups and of the topic in which they keep their state.
//! - `plugins.rs`: what plugins do to what is produced and fetched. `retention.rs`: what they delete. `topic_policy.rs`: which
//!   topics they let be.
//! - `senders.rs`: frames that come in parts or not at all, answers that are not read.
//! - `wrong.rs`: requests that are wrong in themselves.
//! - `bad_days/`: the same broker on the disk backend, whose file system fills up, fails, stalls, or whose clock jumps.
//!
//! All connections are served by one thread: when another connection has been answered, whatever could be done for a
//! request that was sent before has been done. That is how these tests see that something does *not* happen, without sleeping.
#![allow(clippy::unwrap_used)]

mod bad_days;
mod configs;
mod connections;
mod fetch;
mod offsets;
mod pipeline;
mod plugins;
mod produce;
mod record_retention;
mod requests;
mod retention;
mod senders;
mod sessions;
mod stage;
mod topic_policy;
mod wrong;
