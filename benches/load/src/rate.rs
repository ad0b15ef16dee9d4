//! Requests on a schedule: Produce, or whatever frames are given.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;
use watershed_model::{Clock, SystemClock};

use crate::schedule::{Schedule, Times};
use crate::wire::Target;
use crate::{Failure, wire};

/// `rate`
#[derive(Debug, clap::Args)]
pub(crate) struct Rate {
    #[command(flatten)]
    target: Target,
    /// How many connections take turns
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// acks: -1, 1
    #[arg(long, default_value_t = -1, allow_hyphen_values = true)]
    acks: i16,
    #[command(flatten)]
    schedule: Schedule,
}

impl Rate {
    pub(crate) fn run(&self) -> Result<Value, Failure> {
        let records = wire::batch(&vec![b'x'; self.target.bytes], SystemClock::new().now())?;
        let frames: Vec<_> = (0..self.target.partitions)
            .map(|partition| wire::produce_frame(&self.target.topic, partition, self.acks, records.clone()))
            .collect::<Result<_, _>>()?;
        drive(&self.target.bootstrap, self.connections, &self.schedule, &frames, wire::check_produced)
    }
}

/// Sends `frames` in turns on a schedule; how long it took until each was answered.
pub(crate) fn drive(
    bootstrap: &str,
    connections: usize,
    schedule: &Schedule,
    frames: &[Bytes],
    check: fn(Bytes) -> Result<(), Failure>,
) -> Result<Value, Failure> {
    let (skip, total) = schedule.counts();
    let mut senders = Vec::new();
    let mut readers = Vec::new();
    for _ in 0..connections {
        let stream = wire::connect(bootstrap)?;
        let answers = stream.try_clone()?;
        let (sent, waiting) = mpsc::channel();
        senders.push((stream, sent));
        readers.push(thread::spawn(move || read_answers(answers, &waiting, check)));
    }
    let begin = Instant::now();
    for number in 0..total {
        schedule.wait(begin, number);
        let connection = number % senders.len();
        let (stream, sent) = &mut senders[connection];
        let is_read = sent.send((Instant::now(), number >= skip)).is_ok();
        // The reader says why it ended.
        if !is_read || stream.write_all(&frames[number % frames.len()]).is_err() {
            break;
        }
    }
    drop(senders);
    let mut times = Times::new();
    for reader in readers {
        times.add(&reader.join().map_err(|_| "a reader panicked")??);
    }
    Ok(times.report(schedule.seconds))
}

/// Reads the answer to each request of `waiting`, in their order.
fn read_answers(
    stream: TcpStream,
    waiting: &mpsc::Receiver<(Instant, bool)>,
    check: fn(Bytes) -> Result<(), Failure>,
) -> Result<Times, Failure> {
    let mut stream = BufReader::new(stream);
    let mut times = Times::new();
    for (sent, counts) in waiting {
        let frame = wire::read_frame(&mut stream)?;
        if counts {
            times.record(sent.elapsed());
        }
        check(frame)?;
    }
    Ok(times)
}
