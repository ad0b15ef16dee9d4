//! Produce requests on a schedule.

use std::io::{BufReader, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

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
        let (_, total) = self.schedule.counts();
        let mut senders = Vec::new();
        let mut readers = Vec::new();
        for _ in 0..self.connections {
            let stream = wire::connect(&self.target.bootstrap)?;
            let answers = stream.try_clone()?;
            let (sent, waiting) = mpsc::channel();
            senders.push((stream, sent));
            readers.push(thread::spawn(move || read_answers(answers, &waiting)));
        }
        let (skip, _) = self.schedule.counts();
        let begin = Instant::now();
        for number in 0..total {
            self.schedule.wait(begin, number);
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
        Ok(times.report(self.schedule.seconds))
    }
}

/// Reads the answer to each request of `waiting`, in their order.
fn read_answers(stream: std::net::TcpStream, waiting: &mpsc::Receiver<(Instant, bool)>) -> Result<Times, Failure> {
    let mut stream = BufReader::new(stream);
    let mut times = Times::new();
    for (sent, counts) in waiting {
        let frame = wire::read_frame(&mut stream)?;
        if counts {
            times.record(sent.elapsed());
        }
        wire::check_produced(frame)?;
    }
    Ok(times)
}
