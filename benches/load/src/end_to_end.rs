//! From sending a record until a consumer that waits for it has it.
//!
//! The time of sending stands in the record itself, so it does not matter which fetch brings it.

use std::io::{BufReader, Write};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use watershed_model::record::batches;
use watershed_model::{Clock, SystemClock};
use watershed_protocol::StrBytes;
use watershed_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};

use crate::schedule::{Schedule, Times};
use crate::wire::Target;
use crate::{Failure, wire};

/// The last version that names topics by name.
const FETCH_VERSION: i16 = 12;

/// What a consumer asks for by default, in bytes.
const FETCH_BYTES: i32 = 50 << 20;

/// How long a fetch waits, in milliseconds.
const WAIT_MS: i32 = 500;

/// `end-to-end`
#[derive(Debug, clap::Args)]
pub(crate) struct EndToEnd {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    schedule: Schedule,
}

impl EndToEnd {
    pub(crate) fn run(&self) -> Result<Value, Failure> {
        let (skip, total) = self.schedule.counts();
        let epoch = Instant::now();
        let mut producer = wire::connect(&self.target.bootstrap)?;
        let answers = producer.try_clone()?;
        let acks = thread::spawn(move || -> Result<(), Failure> {
            let mut answers = BufReader::new(answers);
            (0..total).try_for_each(|_| wire::check_produced(wire::read_frame(&mut answers)?))
        });
        let consumer = Consumer::connect(&self.target.bootstrap, &self.target.topic, self.target.partitions)?;
        let consumed = thread::spawn(move || consumer.run(epoch, skip, total));
        // The consumer waits before the first record leaves.
        thread::sleep(Duration::from_millis(200));
        let clock = SystemClock::new();
        let mut value = vec![b'x'; self.target.bytes.max(12)];
        let begin = Instant::now();
        for number in 0..total {
            self.schedule.wait(begin, number);
            value[..4].copy_from_slice(&u32::try_from(number)?.to_be_bytes());
            value[4..12].copy_from_slice(&u64::try_from(epoch.elapsed().as_nanos())?.to_be_bytes());
            let partition = i32::try_from(number)? % self.target.partitions;
            let frame = wire::produce_frame(&self.target.topic, partition, -1, wire::batch(&value, clock.now())?)?;
            producer.write_all(&frame)?;
        }
        acks.join().map_err(|_| "the ack reader panicked")??;
        let times = consumed.join().map_err(|_| "the consumer panicked")??;
        Ok(times.report(self.schedule.seconds))
    }
}

struct Consumer {
    stream: std::net::TcpStream,
    topic: StrBytes,
    next: Vec<i64>,
}

impl Consumer {
    fn connect(bootstrap: &str, topic: &str, partitions: i32) -> Result<Self, Failure> {
        let next = vec![0; usize::try_from(partitions)?];
        Ok(Self { stream: wire::connect(bootstrap)?, topic: StrBytes::from(topic), next })
    }

    fn run(mut self, epoch: Instant, skip: usize, total: usize) -> Result<Times, Failure> {
        let mut times = Times::new();
        let mut got = 0;
        while got < total {
            let request = self.request();
            let response = wire::call(&mut self.stream, &request, FETCH_VERSION)?;
            let now = epoch.elapsed();
            for data in response.responses.into_iter().flat_map(|topic| topic.partitions) {
                if data.error_code != 0 {
                    return Err(format!("partition {}: error {}", data.partition_index, data.error_code).into());
                }
                let records = data.records.as_bytes().unwrap_or_default();
                let place = usize::try_from(data.partition_index)?;
                got += take(records, now, skip, &mut self.next[place], &mut times)?;
            }
        }
        Ok(times)
    }

    fn request(&self) -> FetchRequest {
        let partitions = self.next.iter().zip(0..).map(|(next, partition)| FetchPartition {
            partition,
            fetch_offset: *next,
            partition_max_bytes: 1 << 20,
            ..FetchPartition::default()
        });
        let topic = FetchTopic { topic: self.topic.clone(), partitions: partitions.collect(), ..FetchTopic::default() };
        FetchRequest {
            replica_id: -1,
            max_wait_ms: WAIT_MS,
            min_bytes: 1,
            max_bytes: FETCH_BYTES,
            session_epoch: -1,
            topics: vec![topic],
            ..FetchRequest::default()
        }
    }
}

/// Times every record of `records`; returns how many there are.
fn take(records: Bytes, now: Duration, skip: usize, next: &mut i64, times: &mut Times) -> Result<usize, Failure> {
    let mut count = 0;
    for batch in batches(records) {
        let batch = batch?;
        for record in batch.owned_records()? {
            let value = record.value.ok_or("a record without a value")?;
            let (number, sent) = value.split_at_checked(4).ok_or("a short record")?;
            let number = u32::from_be_bytes(number.try_into()?) as usize;
            let sent = sent.first_chunk::<8>().ok_or("a short record")?;
            if number >= skip {
                times.record(now.saturating_sub(Duration::from_nanos(u64::from_be_bytes(*sent))));
            }
            *next = record.offset.0 + 1;
            count += 1;
        }
    }
    Ok(count)
}
