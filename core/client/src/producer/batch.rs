//! One batch from its first record to its outcome, and the handle by which the sender of a record learns of it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;
use watershed_model::record::{
    BatchBuilder, BatchHeader, HEADER_BYTES, NewRecord, ProducerSequence, RecordBatch, RecordError,
};
use watershed_model::{Offset, Timestamp};

use super::ProducerConfig;
use crate::ClientError;

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The partition.
    pub partition: i32,
    /// The record's offset; `None` where the broker does not say: acks=0, and duplicates it has forgotten the offset of.
    pub offset: Option<Offset>,
    /// The timestamp that the broker gave the batch; `None` where the record kept its own.
    pub append_time: Option<Timestamp>,
    /// When the answer came.
    pub acked: Instant,
}

/// What became of a whole batch. A split batch points to its halves.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    state: OnceLock<State>,
    ripe: Notify,
}

#[derive(Debug)]
enum State {
    Done(Result<Delivered, ClientError>),
    Split { at: usize, halves: [Arc<Outcome>; 2] },
}

impl Outcome {
    fn set(&self, state: State) {
        // Only the batch's owner sets it, once: finishing takes the batch.
        let _ = self.state.set(state);
        self.ripe.notify_waiters();
    }
}

/// Tells what became of one record.
#[derive(Clone, Debug)]
pub struct Delivery {
    outcome: Arc<Outcome>,
    index: usize,
}

impl Delivery {
    /// Waits until the broker has the record or it has failed.
    ///
    /// # Errors
    /// Why the record was not delivered, or why nobody knows ([`ClientError::is_outcome_unknown`]).
    pub async fn wait(self) -> Result<Delivered, ClientError> {
        let Self { mut outcome, mut index } = self;
        loop {
            let next = {
                let ripe = outcome.ripe.notified();
                match outcome.state.get() {
                    None => {
                        ripe.await;
                        continue;
                    }
                    Some(State::Done(Err(error))) => return Err(error.clone()),
                    Some(State::Done(Ok(batch))) => {
                        return Ok(Delivered { offset: batch.offset.map(|o| o.plus(index as i64)), ..*batch });
                    }
                    Some(State::Split { at, halves }) if index < *at => Arc::clone(&halves[0]),
                    Some(State::Split { at, halves }) => {
                        index -= at;
                        Arc::clone(&halves[1])
                    }
                }
            };
            outcome = next;
        }
    }
}

#[derive(Debug)]
enum Body {
    Open(BatchBuilder),
    /// As it was or will be sent, but for a sequence that changed since.
    Built(Bytes),
}

/// A batch of one partition.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) partition: i32,
    pub(super) created: Instant,
    /// Who sends it, with the first sequence number. Given at the first attempt, kept through retries.
    pub(super) sequence: Option<ProducerSequence>,
    /// An earlier attempt may have reached the log.
    pub(super) outcome_unknown: bool,
    pub(super) last_error: Option<ClientError>,
    records: usize,
    body: Body,
    memory: Option<OwnedSemaphorePermit>,
    outcome: Arc<Outcome>,
}

impl Batch {
    pub(super) fn open(config: &ProducerConfig, partition: i32, now: Instant) -> Self {
        let builder = BatchBuilder::new().compression(config.compression, config.compression_level);
        Self {
            partition,
            created: now,
            sequence: None,
            outcome_unknown: false,
            last_error: None,
            records: 0,
            body: Body::Open(builder),
            memory: None,
            outcome: Arc::default(),
        }
    }

    /// How many records are in it.
    pub(super) const fn len(&self) -> usize {
        self.records
    }

    /// Its length in bytes: before compression while it is open.
    pub(super) fn bytes(&self) -> usize {
        match &self.body {
            Body::Open(builder) => builder.uncompressed_len(),
            Body::Built(bytes) => bytes.len(),
        }
    }

    /// Adds a record; only to a batch that was not built.
    pub(super) fn add(
        &mut self,
        timestamp: Timestamp,
        record: NewRecord<'_>,
        permit: OwnedSemaphorePermit,
    ) -> Delivery {
        match &mut self.body {
            Body::Open(builder) => builder.push(timestamp, record),
            Body::Built(_) => unreachable!("only the open batch of a queue is added to"),
        };
        match &mut self.memory {
            Some(memory) => memory.merge(permit),
            None => self.memory = Some(permit),
        }
        self.records += 1;
        Delivery { outcome: Arc::clone(&self.outcome), index: self.records - 1 }
    }

    /// The bytes to send, compressed, with the sequence it has now.
    pub(super) fn build(&mut self) -> Result<Bytes, RecordError> {
        let built = match &mut self.body {
            Body::Open(builder) => {
                let builder = std::mem::take(builder);
                builder.producer(self.sequence.unwrap_or(ProducerSequence::NONE)).build()?
            }
            Body::Built(bytes) => patch_sequence(bytes, self.sequence)?,
        };
        self.body = Body::Built(built.clone());
        Ok(built)
    }

    pub(super) fn finish(self, delivered: Delivered) {
        self.outcome.set(State::Done(Ok(delivered)));
    }

    pub(super) fn fail(self, error: ClientError) {
        self.outcome.set(State::Done(Err(error)));
    }

    /// Two batches of half the records each, for a broker that found this one too large. Their sequences are this one's, cut
    /// in two.
    ///
    /// # Errors
    /// The batch itself, if it has one record or does not read back.
    pub(super) fn split(mut self, config: &ProducerConfig) -> Result<[Self; 2], Box<Self>> {
        let Body::Built(bytes) = &self.body else {
            return Err(Box::new(self));
        };
        let records = RecordBatch::split_from(&mut bytes.clone()).and_then(|batch| batch.owned_records());
        let Ok(records) = records else {
            return Err(Box::new(self));
        };
        if records.len() < 2 {
            return Err(Box::new(self));
        }
        let at = records.len() / 2;
        let mut base = self.sequence;
        let halves = [&records[..at], &records[at..]].map(|part| {
            let mut half = Self::open(config, self.partition, self.created);
            half.sequence = base;
            base = base.map(|s| ProducerSequence { base_sequence: sequence_plus(s.base_sequence, part.len()), ..s });
            let Body::Open(builder) = &mut half.body else {
                unreachable!("it was just opened");
            };
            for record in part {
                let headers: Vec<_> = record.headers.iter().map(|(k, v)| (&k[..], v.as_deref())).collect();
                let new = NewRecord { key: record.key.as_deref(), value: record.value.as_deref(), headers: &headers };
                builder.push(record.timestamp, new);
            }
            half.records = part.len();
            half
        });
        let [mut left, mut right] = halves;
        let bytes_left = left.bytes();
        right.memory = self.memory.take();
        left.memory = right.memory.as_mut().and_then(|m| m.split(bytes_left.min(m.num_permits())));
        self.outcome.set(State::Split { at, halves: [Arc::clone(&left.outcome), Arc::clone(&right.outcome)] });
        Ok([left, right])
    }
}

/// A sequence number so many records on: after 2^31-1 comes 0.
pub(super) fn sequence_plus(sequence: i32, records: usize) -> i32 {
    ((i64::from(sequence) + records as i64) & i64::from(i32::MAX)) as i32
}

/// The same batch with another producer and sequence.
fn patch_sequence(bytes: &Bytes, sequence: Option<ProducerSequence>) -> Result<Bytes, RecordError> {
    let sequence = sequence.unwrap_or(ProducerSequence::NONE);
    let mut header = BatchHeader::parse(bytes)?;
    let same = header.producer_id == sequence.id
        && header.producer_epoch == sequence.epoch
        && header.base_sequence == sequence.base_sequence;
    if same {
        return Ok(bytes.clone());
    }
    header.producer_id = sequence.id;
    header.producer_epoch = sequence.epoch;
    header.base_sequence = sequence.base_sequence;
    header.crc = header.compute_crc(&bytes[HEADER_BYTES..]);
    let mut patched = bytes.to_vec();
    patched[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
    Ok(patched.into())
}
