//! Load on a schedule, and how long the answers took: the client of `benches/vs_kafka`.
//!
//! It is made of blocking threads and prebuilt frames, so that on a machine of few cores it takes next to nothing from
//! the broker it measures. Requests leave when they are due, whether or not earlier ones were answered. What it measured
//! is printed as one line of JSON, times in milliseconds.

// Measuring time on a schedule is its work.
#![allow(clippy::disallowed_methods)]

mod commits;
mod coordinator;
mod disk;
mod end_to_end;
mod heartbeats;
mod rate;
mod rebalance;
mod schedule;
mod wire;

use clap::Parser;

/// What any command may fail with.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
#[command(about, version)]
enum Command {
    /// Produce requests of one record each: how long until they are acknowledged
    Rate(rate::Rate),
    /// The same, read back by a consumer: how long from sending a record until it is there
    EndToEnd(end_to_end::EndToEnd),
    /// OffsetCommit requests: how long until they are acknowledged
    Commits(commits::Commits),
    /// OffsetCommit requests as fast as they are answered
    Fill(commits::Fill),
    /// How long until the coordinators of all groups answer
    Loaded(commits::Loaded),
    /// Rebalances of a classic group: from the last JoinGroup to the last SyncGroup
    Classic(rebalance::Classic),
    /// Members that leave a KIP-848 group: from there to the next target assignment
    Consumer(rebalance::Consumer),
    /// Classic groups of one member that do nothing but heartbeat
    Heartbeats(heartbeats::Heartbeats),
    /// No broker: how long a bare pwrite + fdatasync takes on the same schedule
    Disk(disk::Disk),
}

fn main() -> Result<(), Failure> {
    let measured = match Command::parse() {
        Command::Rate(rate) => rate.run()?,
        Command::EndToEnd(end_to_end) => end_to_end.run()?,
        Command::Commits(commits) => commits.run()?,
        Command::Fill(fill) => fill.run()?,
        Command::Loaded(loaded) => loaded.run()?,
        Command::Classic(classic) => classic.run()?,
        Command::Consumer(consumer) => consumer.run()?,
        Command::Heartbeats(heartbeats) => heartbeats.run()?,
        Command::Disk(disk) => disk.run()?,
    };
    println!("{measured}");
    Ok(())
}
