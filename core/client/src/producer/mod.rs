//! Producing: records are collected into one batch per partition, batches into one request per broker.
//!
//! [`Producer::send`] puts a record into its partition's open batch and returns a [`Delivery`] that ripens when the broker has
//! answered. One task, the sender, owns everything that happens to batches afterwards (`sender.rs`); what may be sent when,
//! and what a failure means for the batches behind it, is decided without I/O in `queue.rs`.
//!
//! Invariants:
//! - Records not yet delivered are bounded in bytes; beyond that [`Producer::send`] waits.
//! - An idempotent producer's batches are in each partition's log once and in order, through retries, disconnects and
//!   restarts of the broker, or their delivery says that it failed (KIP-98).
//! - Every delivery ripens: with an offset or with an error, no later than the delivery timeout and one request timeout.

mod batch;
mod queue;
mod sender;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use watershed_model::record::{Compression, HEADER_BYTES, Level, NewRecord};
use watershed_model::{Clock, Timestamp};

use crate::{Client, ClientError};

pub use batch::{Delivered, Delivery};

use batch::Batch;
use queue::PartitionQueue;

/// When the broker answers a produce request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// Not at all: what is lost is lost silently.
    None,
    /// When the leader has the records.
    Leader,
    /// When all in-sync replicas have them.
    #[default]
    All,
}

impl Acks {
    const fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// A producer's settings. Defaults are the Java client's.
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    /// When the broker answers.
    pub acks: Acks,
    /// Whether retries may not duplicate or reorder (`enable.idempotence`); needs [`Acks::All`].
    pub idempotent: bool,
    /// The codec of the batches.
    pub compression: Compression,
    /// The codec's level.
    pub compression_level: Level,
    /// How long a batch waits for more records (`linger.ms`).
    pub linger: Duration,
    /// When a batch is full, in bytes before compression (`batch.size`).
    pub batch_bytes: usize,
    /// The largest request, and so the largest record, in bytes before compression (`max.request.size`).
    pub request_bytes_max: usize,
    /// How many bytes of records may wait (`buffer.memory`).
    pub buffer_bytes_max: usize,
    /// How many requests may be unanswered per broker (`max.in.flight.requests.per.connection`); at most 5 where idempotent.
    pub in_flight_max: usize,
    /// How long a record may take from [`Producer::send`] to its delivery, retries included (`delivery.timeout.ms`).
    pub delivery_timeout: Duration,
    /// How long the broker may wait for replicas (`request.timeout.ms`).
    pub ack_timeout: Duration,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            idempotent: true,
            compression: Compression::None,
            compression_level: None,
            linger: Duration::from_millis(5),
            batch_bytes: 16 * 1024,
            request_bytes_max: 1024 * 1024,
            buffer_bytes_max: 32 * 1024 * 1024,
            in_flight_max: 5,
            delivery_timeout: Duration::from_secs(120),
            ack_timeout: Duration::from_secs(30),
        }
    }
}

/// How many batches of one producer a broker remembers, and so how many may be in flight (KIP-98).
const IDEMPOTENT_IN_FLIGHT_MAX: usize = watershed_model::limits::PRODUCER_BATCHES_REMEMBERED;

impl ProducerConfig {
    fn validate(&self) -> Result<(), ClientError> {
        let invalid = |text: &str| Err(ClientError::Invalid(text.into()));
        if self.idempotent && self.acks != Acks::All {
            return invalid("an idempotent producer needs acks=all; turn idempotence off to use fewer");
        }
        if self.in_flight_max == 0 {
            return invalid("at least one request must be allowed in flight");
        }
        if self.idempotent && self.in_flight_max > IDEMPOTENT_IN_FLIGHT_MAX {
            return invalid("an idempotent producer may have at most 5 requests in flight");
        }
        if self.batch_bytes > self.request_bytes_max {
            return invalid("a batch cannot be larger than a request");
        }
        if self.buffer_bytes_max < self.request_bytes_max || self.buffer_bytes_max > u32::MAX as usize {
            return invalid("the buffer must hold one request at least and less than 4 GiB");
        }
        Ok(())
    }
}

/// A record on its way in.
#[derive(Clone, Copy, Debug)]
pub struct ProducerRecord<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition: the caller's policy, asked with [`Producer::partitions`].
    pub partition: i32,
    /// The timestamp; `None` is now.
    pub timestamp: Option<Timestamp>,
    /// Key, value, headers.
    pub record: NewRecord<'a>,
}

/// A producer. Dropping it abandons what was not delivered; [`Producer::close`] does not.
pub struct Producer {
    shared: Arc<Shared>,
    sender: JoinHandle<()>,
}

struct Shared {
    client: Client,
    config: ProducerConfig,
    clock: Arc<dyn Clock>,
    /// Bytes of records not delivered.
    memory: Arc<Semaphore>,
    accumulator: Mutex<Accumulator>,
    /// Something may be ready to send.
    wake: Notify,
    /// Nothing waits to be delivered.
    idle: Notify,
}

#[derive(Default)]
struct Accumulator {
    /// Queues by topic and partition number.
    queues: HashMap<Arc<str>, Vec<PartitionQueue>>,
    /// Batches without an outcome.
    pending: usize,
    /// Open batches are sent without waiting for more records.
    hurry: bool,
    closing: bool,
}

impl Producer {
    /// Starts a producer. No request is sent before the first record.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] for settings that contradict each other.
    pub fn new(client: Client, config: ProducerConfig, clock: Arc<dyn Clock>) -> Result<Self, ClientError> {
        config.validate()?;
        let shared = Arc::new(Shared {
            client,
            memory: Arc::new(Semaphore::new(config.buffer_bytes_max)),
            config,
            clock,
            accumulator: Mutex::default(),
            wake: Notify::new(),
            idle: Notify::new(),
        });
        let sender = tokio::spawn(sender::run(Arc::clone(&shared)));
        Ok(Self { shared, sender })
    }

    /// How many partitions a topic has, for whoever decides which one a record belongs to.
    ///
    /// # Errors
    /// If the topic is not there.
    pub async fn partitions(&self, topic: &str) -> Result<u32, ClientError> {
        let topic = self.shared.client.topic(topic).await?;
        Ok(u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX))
    }

    /// Puts a record into its partition's batch. Waits for the topic's metadata, and while too many bytes are undelivered.
    ///
    /// Records of one partition are sent in the order in which these calls finish. Dropping the future before it is done
    /// leaves no trace.
    ///
    /// # Errors
    /// If the topic or the partition is not there, the record is too large, or the producer is closing.
    pub async fn send(&self, record: ProducerRecord<'_>) -> Result<Delivery, ClientError> {
        let shared = &*self.shared;
        let topic = shared.client.topic(record.topic).await?;
        let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        let partition = record.partition;
        if !(0..partitions).contains(&partition) {
            return Err(ClientError::Invalid(format!(
                "topic {:?} has no partition {partition}: it has {partitions}, from 0",
                record.topic
            )));
        }
        let bytes = record.record.encoded_len(i64::MAX, i32::MAX) + HEADER_BYTES;
        if bytes > shared.config.request_bytes_max {
            return Err(ClientError::RecordTooLarge { bytes, max: shared.config.request_bytes_max });
        }
        let permits = u32::try_from(bytes).expect("below the buffer's size, which fits a u32");
        let permit = Arc::clone(&shared.memory).acquire_many_owned(permits).await.map_err(|_| ClientError::Closed)?;
        let timestamp = record.timestamp.unwrap_or_else(|| shared.clock.now());
        let (delivery, opened, ready) = {
            let mut accumulator = shared.accumulator.lock();
            if accumulator.closing {
                return Err(ClientError::Closed);
            }
            let accumulator = &mut *accumulator;
            let queues = accumulator.queues.entry(Arc::clone(&topic.name)).or_default();
            while queues.len() <= partition as usize {
                queues.push(PartitionQueue::default());
            }
            let queue = &mut queues[partition as usize];
            let place = (partition, Instant::now());
            let added = queue.add(&shared.config, timestamp, record.record, permit, place);
            accumulator.pending += usize::from(added.opened);
            (added.delivery, added.opened, added.ready)
        };
        // A new batch starts a linger that the sender must know of.
        if opened || ready {
            shared.wake.notify_one();
        }
        Ok(delivery)
    }

    /// Sends what is waiting now and returns when everything sent so far, and meanwhile, has an outcome.
    pub async fn flush(&self) {
        loop {
            let idle = self.shared.idle.notified();
            {
                let mut accumulator = self.shared.accumulator.lock();
                if accumulator.pending == 0 {
                    accumulator.hurry = false;
                    return;
                }
                accumulator.hurry = true;
            }
            self.shared.wake.notify_one();
            idle.await;
        }
    }

    /// Delivers what is waiting and ends the producer. Later sends fail.
    pub async fn close(mut self) {
        self.shared.accumulator.lock().closing = true;
        self.shared.wake.notify_one();
        // The sender ends by itself once nothing is pending; it cannot be cancelled from elsewhere.
        let _ = (&mut self.sender).await;
    }

    /// How many bytes of records wait to be delivered.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.shared.config.buffer_bytes_max - self.shared.memory.available_permits()
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.sender.abort();
        let batches: Vec<Batch> = {
            let mut accumulator = self.shared.accumulator.lock();
            accumulator.closing = true;
            accumulator.queues.values_mut().flatten().flat_map(PartitionQueue::abandon).collect()
        };
        for batch in batches {
            batch.fail(ClientError::Closed);
        }
    }
}
