//! Load on a schedule, and how long the answers took: the client of `benches/vs_kafka`.
//!
//! It is made of blocking threads and prebuilt frames, so that on a machine of few cores it takes next to nothing from
//! the broker it measures. Requests leave when they are due, whether or not earlier ones were answered. What it measured
//! is printed as one line of JSON, times in milliseconds.

// Measuring time on a schedule is its work.
#![allow(clippy::disallowed_methods)]

mod disk;
mod end_to_end;
mod rate;
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
    /// No broker: how long a bare pwrite + fdatasync takes on the same schedule
    Disk(disk::Disk),
}

fn main() -> Result<(), Failure> {
    let measured = match Command::parse() {
        Command::Rate(rate) => rate.run()?,
        Command::EndToEnd(end_to_end) => end_to_end.run()?,
        Command::Disk(disk) => disk.run()?,
    };
    println!("{measured}");
    Ok(())
}
