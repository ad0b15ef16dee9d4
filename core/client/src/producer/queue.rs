//! One partition's batches: which may go next, and what an answer means for the others. No I/O, no clock.
//!
//! With idempotence every batch has a sequence number, given when it first leaves and kept through retries. The rules that
//! keep the log free of gaps and duplicates (KIP-98, and the Java client's):
//! - Batches leave in order. The first of an identity goes alone, since a broker that knows nothing of a producer takes any
//!   sequence.
//! - A batch that comes back goes to the front and travels alone: nothing else is in flight when it leaves.
//! - A batch behind a lost one gets `OUT_OF_ORDER_SEQUENCE_NUMBER` and comes back; the same answer for the oldest batch means
//!   that acknowledged records are gone, which no retry mends.
//! - When a batch with a sequence fails for good, the numbers behind it no longer fit: once nothing is in flight the epoch
//!   goes up and numbers start at 0. Batches whose earlier attempt may have reached the log fail too, since sending them
//!   under a new number could duplicate them.

use std::collections::VecDeque;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use watershed_model::record::{NewRecord, ProducerSequence};
use watershed_model::{ProducerEpoch, ProducerId, Timestamp};
use watershed_protocol::ErrorCode;

use super::batch::{Batch, Delivery, sequence_plus};
use super::{IDEMPOTENT_IN_FLIGHT_MAX, ProducerConfig};
use crate::ClientError;

/// A producer id and its epoch.
pub(super) type Identity = (ProducerId, ProducerEpoch);

#[derive(Debug, Default)]
pub(super) struct PartitionQueue {
    /// Takes records.
    open: Option<Batch>,
    /// Full or due; those that came back are in front.
    ready: VecDeque<Batch>,
    in_flight: usize,
    /// The first sequence numbers of the batches in flight and of those that came back, oldest first.
    unacked: VecDeque<i32>,
    identity: Option<Identity>,
    /// An id whose epochs are used up.
    spent: Option<ProducerId>,
    next_sequence: i32,
    /// The broker has acknowledged a batch of this identity.
    established: bool,
    /// A batch with a sequence has failed for good.
    reset: bool,
    not_before: Option<Instant>,
}

/// What [`PartitionQueue::add`] did.
pub(super) struct Added {
    pub(super) delivery: Delivery,
    /// A batch was opened.
    pub(super) opened: bool,
    /// A batch is full.
    pub(super) ready: bool,
}

/// What to do with a batch that failed.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It was put back.
    Retry,
    /// It is over.
    Fail(Batch, ClientError),
    /// It is too large and has several records.
    Split(Batch),
}

impl PartitionQueue {
    /// Adds a record to the open batch, or to a new one if it does not fit.
    pub(super) fn add(
        &mut self,
        config: &ProducerConfig,
        timestamp: Timestamp,
        record: NewRecord<'_>,
        permit: OwnedSemaphorePermit,
        (partition, now): (i32, Instant),
    ) -> Added {
        let bytes = permit.num_permits();
        let full = |batch: &Batch| batch.bytes() + bytes > config.batch_bytes;
        let mut ready = false;
        if self.open.as_ref().is_some_and(full) {
            self.seal();
            ready = true;
        }
        let opened = self.open.is_none();
        let batch = self.open.get_or_insert_with(|| Batch::open(config, partition, now));
        let delivery = batch.add(timestamp, record, permit);
        ready |= batch.bytes() >= config.batch_bytes;
        Added { delivery, opened, ready }
    }

    fn seal(&mut self) {
        self.ready.extend(self.open.take());
    }

    /// Moves the open batch to the ready ones if it is full, has waited long enough, or `hurry`.
    pub(super) fn seal_if_due(&mut self, config: &ProducerConfig, now: Instant, hurry: bool) {
        let due = |b: &Batch| hurry || b.bytes() >= config.batch_bytes || now >= b.created + config.linger;
        // What is behind others would only wait there, and may as well take more records.
        let next = self.ready.is_empty() || hurry;
        if next && self.open.as_ref().is_some_and(due) {
            self.seal();
        }
    }

    /// When something changes here though nobody does anything: a linger, a backoff, a delivery timeout.
    pub(super) fn next_event(&self, config: &ProducerConfig, now: Instant) -> Option<Instant> {
        let linger = self.open.as_ref().map(|b| b.created + config.linger);
        let expiry = self.ready.iter().chain(&self.open).map(|b| b.created + config.delivery_timeout).min();
        [linger, self.not_before, expiry].into_iter().flatten().filter(|at| *at > now).min()
    }

    /// Takes out the batches whose time is over.
    pub(super) fn expire(&mut self, config: &ProducerConfig, now: Instant) -> Vec<Batch> {
        let is_over = |b: &Batch| now >= b.created + config.delivery_timeout;
        if !self.ready.iter().chain(&self.open).any(is_over) {
            return Vec::new();
        }
        let (over, stay): (VecDeque<_>, _) = self.ready.drain(..).partition(is_over);
        self.ready = stay;
        let mut over = Vec::from(over);
        if self.open.as_ref().is_some_and(is_over) {
            over.extend(self.open.take());
        }
        for batch in &over {
            self.forget(batch);
            self.reset |= batch.sequence.is_some();
        }
        over
    }

    /// Whether the next ready batch may leave now.
    pub(super) fn may_send(&self, config: &ProducerConfig, now: Instant) -> bool {
        let Some(head) = self.ready.front() else {
            return false;
        };
        if self.not_before.is_some_and(|at| at > now) {
            return false;
        }
        if self.in_flight == 0 {
            return true;
        }
        let came_back = head.sequence.is_some() || head.last_error.is_some();
        let sequences_settled = !config.idempotent || (self.established && self.in_flight < IDEMPOTENT_IN_FLIGHT_MAX);
        !came_back && !self.reset && sequences_settled
    }

    /// The size of the next ready batch, in bytes.
    pub(super) fn next_bytes(&self) -> usize {
        self.ready.front().map_or(0, Batch::bytes)
    }

    /// Starts numbers anew if a batch failed and nothing is in flight. Gives the batches that cannot get a new number.
    pub(super) fn settle(&mut self) -> Vec<Batch> {
        if !self.reset || self.in_flight > 0 {
            return Vec::new();
        }
        self.reset = false;
        self.established = false;
        self.next_sequence = 0;
        self.unacked.clear();
        // An identity without a further epoch is given back, and the partition waits for a new one.
        if let Some((id, epoch)) = self.identity {
            let next = epoch.0.checked_add(1);
            self.spent = next.is_none().then_some(id);
            self.identity = next.map(|next| (id, ProducerEpoch(next)));
        }
        let (lost, mut stay): (VecDeque<_>, VecDeque<_>) = self.ready.drain(..).partition(|b| b.outcome_unknown);
        for batch in &mut stay {
            batch.sequence = None;
        }
        self.ready = stay;
        lost.into()
    }

    /// The producer id whose epochs were used up here, and which must not be given again.
    pub(super) fn spent(&self) -> Option<ProducerId> {
        self.spent
    }

    /// Whether an identity must be given before a batch can leave.
    pub(super) fn wants_identity(&self) -> bool {
        self.identity.is_none()
    }

    pub(super) fn set_identity(&mut self, identity: Identity) {
        self.identity = Some(identity);
        self.next_sequence = 0;
        self.established = false;
    }

    /// Takes the next batch for sending; only after [`PartitionQueue::may_send`].
    pub(super) fn take(&mut self) -> Option<Batch> {
        let mut batch = self.ready.pop_front()?;
        self.in_flight += 1;
        if let (Some((id, epoch)), None) = (self.identity, batch.sequence) {
            batch.sequence = Some(ProducerSequence { id, epoch, base_sequence: self.next_sequence });
            self.unacked.push_back(self.next_sequence);
            self.next_sequence = sequence_plus(self.next_sequence, batch.len());
        }
        Some(batch)
    }

    fn forget(&mut self, batch: &Batch) {
        if let Some(sequence) = batch.sequence {
            self.unacked.retain(|s| *s != sequence.base_sequence);
        }
    }

    /// A batch was acknowledged.
    pub(super) fn acked(&mut self, batch: &Batch) {
        self.in_flight -= 1;
        self.forget(batch);
        self.established = true;
        self.not_before = None;
    }

    /// A batch came back with an error.
    pub(super) fn failed(
        &mut self,
        config: &ProducerConfig,
        mut batch: Batch,
        error: ClientError,
        (now, retry_at): (Instant, Instant),
    ) -> Verdict {
        self.in_flight -= 1;
        batch.outcome_unknown |= error.is_outcome_unknown();
        let oldest = batch.sequence.is_none_or(|s| self.unacked.front() == Some(&s.base_sequence));
        let code = error.code();
        if code == Some(ErrorCode::MessageTooLarge) && batch.len() > 1 {
            return Verdict::Split(batch);
        }
        let behind_a_lost_one = code == Some(ErrorCode::OutOfOrderSequenceNumber) && (!oldest || self.reset);
        let retry = error.is_retriable() || behind_a_lost_one;
        if retry && retry_at.max(now) < batch.created + config.delivery_timeout {
            batch.last_error = Some(error);
            // One that only waits for those in front need not wait longer than they.
            if !behind_a_lost_one {
                self.not_before = Some(retry_at);
            }
            self.put_back(batch);
            return Verdict::Retry;
        }
        self.forget(&batch);
        self.reset |= batch.sequence.is_some();
        Verdict::Fail(batch, error)
    }

    /// A batch is too large and cannot be cut in two.
    pub(super) fn give_up_split(&mut self, batch: &Batch, topic: &str) -> ClientError {
        self.forget(batch);
        self.reset |= batch.sequence.is_some();
        crate::client::topic_error(topic, ErrorCode::MessageTooLarge)
    }

    /// Puts the halves of a batch in its place.
    pub(super) fn put_back_halves(&mut self, halves: [Batch; 2]) {
        let [left, mut right] = halves;
        if let (Some(first), Some(second)) = (left.sequence, right.sequence) {
            let at = self.unacked.iter().position(|s| *s == first.base_sequence);
            let at = at.map_or(self.unacked.len(), |at| at + 1);
            self.unacked.insert(at, second.base_sequence);
        }
        right.last_error = left.last_error.clone();
        self.put_back(right);
        self.put_back(left);
    }

    /// Puts a batch in front of those that follow it.
    fn put_back(&mut self, batch: Batch) {
        let rank = |b: &Batch| {
            let sequence = b.sequence?.base_sequence;
            self.unacked.iter().position(|s| *s == sequence)
        };
        let at = match rank(&batch) {
            None => 0,
            Some(mine) => {
                self.ready.iter().position(|b| rank(b).is_none_or(|other| other > mine)).unwrap_or(self.ready.len())
            }
        };
        self.ready.insert(at, batch);
    }

    /// Takes out everything that is not in flight.
    pub(super) fn abandon(&mut self) -> Vec<Batch> {
        self.ready.drain(..).chain(self.open.take()).collect()
    }
}

#[cfg(test)]
mod tests;
