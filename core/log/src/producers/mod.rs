//! What a log remembers of its producers, so that a batch sent twice is stored once (KIP-98).
//!
//! Per producer id: its newest epoch, its last five batches, and where its open transaction began. [`ProducerStates::check`]
//! judges a batch without changing anything; [`ProducerStates::applied`] follows once the backend has taken the batch. Replaying
//! a log's batches through [`ProducerStates::replay`] rebuilds the same state; [`snapshot`] saves having to replay all of them.
//!
//! A producer is forgotten after it has written nothing for a while. That is measured by the broker's clock, not by the
//! timestamps that the producer gives its records: a client that sends old data is still there.

mod entry;
pub(crate) mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use watershed_model::limits::{PRODUCER_BATCHES_REMEMBERED, PRODUCERS_PER_PARTITION_MAX};
use watershed_model::record::{BatchHeader, RecordBatch, RecordError};
use watershed_model::{Offset, ProducerEpoch, ProducerId, Timestamp};

use crate::{LogError, Origin};
pub use entry::BatchMeta;
pub(crate) use entry::Entry;

/// What is to be done with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Append it.
    Append,
    /// It is there already.
    Duplicate(BatchMeta),
}

/// What the transaction coordinator has said about a transactional batch (KIP-890).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionGuard {
    /// The coordinator confirmed that this partition belongs to the producer's open transaction.
    pub verified: bool,
    /// The producer speaks transactions v2, so its epoch rises with every transaction: without state only sequence 0 is
    /// acceptable.
    pub epoch_bumps: bool,
}

/// One producer as DescribeProducers shows it (KIP-664).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Who.
    pub id: ProducerId,
    /// Its newest epoch.
    pub epoch: ProducerEpoch,
    /// The last record's sequence number; -1 if unknown.
    pub last_sequence: i32,
    /// The largest timestamp of its last batch; -1 if unknown.
    pub last_timestamp: Timestamp,
    /// The epoch of the coordinator that wrote its last marker; -1 if there is none.
    pub coordinator_epoch: i32,
    /// The first offset of its open transaction.
    pub transaction_start: Option<Offset>,
}

/// The producers of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerStates {
    producers: HashMap<ProducerId, Entry>,
    /// Open transactions: first offset and producer.
    open: BTreeMap<Offset, ProducerId>,
    /// Ended transactions whose marker is not yet below the high watermark: first offset, marker's offset.
    ended: BTreeMap<Offset, Offset>,
}

impl ProducerStates {
    /// How many producers are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// Judges a batch.
    ///
    /// # Errors
    /// [`LogError::InvalidProducerEpoch`], [`LogError::OutOfOrderSequence`], [`LogError::InvalidTxnState`].
    pub fn check(&self, header: &BatchHeader, origin: Origin, guard: TransactionGuard) -> Result<Admission, LogError> {
        if !header.has_producer_id() {
            return if header.is_transactional() {
                Err(txn_state(header, "a transactional batch needs a producer id"))
            } else {
                Ok(Admission::Append)
            };
        }
        let entry = self.producers.get(&header.producer_id);
        if origin == Origin::Router {
            return Ok(match entry.and_then(|entry| entry.routed_before(header)) {
                Some(newest) => Admission::Duplicate(newest),
                None => Admission::Append,
            });
        }
        let is_client = matches!(origin, Origin::Client { .. });
        if is_client && let Some(meta) = entry.and_then(|e| e.duplicate_of(header)) {
            return Ok(Admission::Duplicate(meta));
        }
        if let Some(entry) = entry.filter(|e| header.producer_epoch < e.epoch) {
            return Err(LogError::InvalidProducerEpoch {
                producer: header.producer_id,
                found: header.producer_epoch,
                current: entry.epoch,
            });
        }
        let in_transaction = entry.and_then(|e| e.transaction_start).is_some();
        if header.is_transactional() {
            let goes_on = in_transaction && entry.is_some_and(|e| e.epoch == header.producer_epoch);
            if !goes_on && !guard.verified {
                return Err(txn_state(header, "the batch belongs to no transaction that the coordinator confirmed"));
            }
        } else if in_transaction {
            return Err(txn_state(header, "a plain batch came while its transaction is open"));
        }
        if is_client {
            check_sequence(header, entry, guard)?;
        }
        Ok(Admission::Append)
    }

    /// Takes note of a data batch that the backend has accepted at `base`; `now` is the broker's clock.
    pub fn applied(&mut self, header: &BatchHeader, base: Offset, now: Timestamp) {
        if !header.has_producer_id() || header.is_control() {
            return;
        }
        let entry = self.entry(header.producer_id, header.producer_epoch);
        entry.add(header, base, now);
        if header.is_transactional() && entry.transaction_start.is_none() {
            entry.transaction_start = Some(base);
            self.open.insert(base, header.producer_id);
        }
    }

    /// Takes note of a batch that is in the log, whoever wrote it, markers included.
    ///
    /// # Errors
    /// [`RecordError`] when a control batch cannot be read.
    pub fn replay(&mut self, batch: &RecordBatch, now: Timestamp) -> Result<(), RecordError> {
        let header = &batch.header;
        if !header.is_control() {
            self.applied(header, header.base_offset, now);
            return Ok(());
        }
        if !header.has_producer_id() {
            return Ok(());
        }
        let mut records = batch.records()?;
        // An empty control batch is what compaction leaves of a transaction that is gone altogether.
        let Some(record) = records.next()? else { return Ok(()) };
        if let Some(coordinator_epoch) = end_marker(record.key, record.value) {
            self.ended(header, coordinator_epoch, now);
        }
        Ok(())
    }

    /// The producer's entry, made if need be. Producer ids cost a client nothing, so their number is bounded: where it is
    /// reached, a sixteenth goes at once, those that have been idle for longest.
    fn entry(&mut self, id: ProducerId, epoch: ProducerEpoch) -> &mut Entry {
        if self.producers.len() >= PRODUCERS_PER_PARTITION_MAX && !self.producers.contains_key(&id) {
            let idle = self.producers.iter().filter(|(id, e)| e.transaction_start.is_none() && !id.is_routed());
            let mut idle: Vec<_> = idle.map(|(id, e)| (e.active_at, *id)).collect();
            let many = (PRODUCERS_PER_PARTITION_MAX / 16).min(idle.len());
            if many < idle.len() {
                idle.select_nth_unstable(many);
            }
            for (_, id) in &idle[..many] {
                self.producers.remove(id);
            }
        }
        self.producers.entry(id).or_insert_with(|| Entry::new(epoch))
    }

    fn ended(&mut self, header: &BatchHeader, coordinator_epoch: i32, now: Timestamp) {
        let entry = self.entry(header.producer_id, header.producer_epoch);
        let started = entry.end_transaction(header, coordinator_epoch, now);
        if let Some(first) = started {
            self.open.remove(&first);
            self.ended.insert(first, header.base_offset);
        }
    }

    /// The first offset that read_committed consumers may not pass: where the oldest undecided transaction began, or one whose
    /// end is not yet below the high watermark.
    #[must_use]
    pub fn first_unstable(&self) -> Option<Offset> {
        let open = self.open.keys().next();
        let ended = self.ended.keys().next();
        open.into_iter().chain(ended).min().copied()
    }

    /// Whether ended transactions wait for the high watermark.
    #[must_use]
    pub fn awaits_high_watermark(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Tells that everything below `offset` is replicated.
    pub fn high_watermark_reached(&mut self, offset: Offset) {
        self.ended.retain(|_, marker| *marker >= offset);
    }

    /// Forgets producers that have no open transaction and have written nothing for `idle_ms` milliseconds. What says how far
    /// records were copied from an ingress log is kept: there is one a partition, and it is never too old to count.
    pub fn expire(&mut self, now: Timestamp, idle_ms: i64) -> usize {
        let before = self.producers.len();
        self.producers.retain(|id, e| {
            let idle = now.0.saturating_sub(e.active_at.0) >= idle_ms;
            id.is_routed() || e.transaction_start.is_some() || !idle
        });
        before - self.producers.len()
    }

    /// The last batch of a producer: its epoch and its last sequence number; `None` where nothing is known.
    #[must_use]
    pub fn last_of(&self, id: ProducerId) -> Option<(ProducerEpoch, i32)> {
        let entry = self.producers.get(&id)?;
        entry.last_batch().map(|batch| (entry.epoch, batch.last_sequence))
    }

    /// The batch as it was appended before, if it is remembered.
    #[must_use]
    pub fn remembered(&self, header: &BatchHeader) -> Option<BatchMeta> {
        self.producers.get(&header.producer_id)?.duplicate_of(header)
    }

    /// Whether all the batches that the producer of this one may ask for again are here, where `other` is what it appended last to
    /// another log.
    #[must_use]
    pub fn remembers_enough(&self, header: &BatchHeader, other: (ProducerEpoch, i32)) -> bool {
        let Some(entry) = self.producers.get(&header.producer_id) else { return false };
        let Some(last) = entry.last_batch() else { return false };
        let is_behind = is_newer(other, (entry.epoch, last.last_sequence));
        !is_behind && entry.epoch == header.producer_epoch && entry.own_batches() == PRODUCER_BATCHES_REMEMBERED
    }

    /// Takes note of what a producer appended last to another log that it wrote to before: its sequence goes on behind that.
    pub fn adopt(&mut self, id: ProducerId, (epoch, last_sequence): (ProducerEpoch, i32), now: Timestamp) {
        if last_sequence < 0 || self.last_of(id).is_some_and(|known| !is_newer((epoch, last_sequence), known)) {
            return;
        }
        self.entry(id, epoch).adopt(epoch, last_sequence, now);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Every producer, in order of its id.
    #[must_use]
    pub fn describe(&self) -> Vec<ActiveProducer> {
        let mut all: Vec<_> = self.producers.iter().map(|(id, entry)| entry.describe(*id)).collect();
        all.sort_unstable_by_key(|p| p.id);
        all
    }

    /// Whether this is the newest batch of its producer that is remembered.
    pub(crate) fn is_last_of_its_producer(&self, header: &BatchHeader) -> bool {
        let entry = self.producers.get(&header.producer_id);
        entry.and_then(Entry::last_batch).is_some_and(|last| last.last_offset == header.last_offset())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ProducerId, &Entry)> {
        self.producers.iter()
    }

    pub(crate) fn insert(&mut self, id: ProducerId, entry: Entry) {
        if let Some(first) = entry.transaction_start {
            self.open.insert(first, id);
        }
        self.producers.insert(id, entry);
    }
}

/// Whether a producer came to this batch after the other. Sequence numbers go round, so the shorter way counts.
fn is_newer((epoch, sequence): (ProducerEpoch, i32), (known, last): (ProducerEpoch, i32)) -> bool {
    let ahead = (i64::from(sequence) - i64::from(last)) & i64::from(i32::MAX);
    epoch > known || (epoch == known && (1..1 << 30).contains(&ahead))
}

fn txn_state(header: &BatchHeader, reason: &'static str) -> LogError {
    LogError::InvalidTxnState { producer: header.producer_id, reason }
}

/// The coordinator's epoch in a transaction marker (key: version i16, type i16; value: version i16, epoch i32). Other control
/// records are not about producers.
fn end_marker(key: Option<&[u8]>, value: Option<&[u8]>) -> Option<i32> {
    let kind = key?.get(2..4)?;
    let epoch = value?.get(2..6)?;
    matches!(kind, [0, 0 | 1]).then(|| i32::from_be_bytes(epoch.try_into().expect("four bytes were taken")))
}

fn check_sequence(header: &BatchHeader, entry: Option<&Entry>, guard: TransactionGuard) -> Result<(), LogError> {
    let found = header.base_sequence;
    let expected = match entry {
        // Nothing is known (any more): any number is as good as another, but where each transaction has an epoch of its own.
        None if !guard.epoch_bumps => return Ok(()),
        None => 0,
        Some(entry) if entry.epoch != header.producer_epoch => 0,
        Some(entry) => entry.next_sequence(),
    };
    if found == expected {
        return Ok(());
    }
    Err(LogError::OutOfOrderSequence { producer: header.producer_id, epoch: header.producer_epoch, found, expected })
}
