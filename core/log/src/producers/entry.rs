//! One producer's entry: its epoch, its last batches, its open transaction.

use watershed_model::limits::PRODUCER_BATCHES_REMEMBERED;
use watershed_model::record::BatchHeader;
use watershed_model::{Offset, ProducerEpoch, ProducerId, Timestamp};

use super::ActiveProducer;
use crate::routed;

/// A batch that was appended, as far as its producer may ask again for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMeta {
    /// The last record's sequence number.
    pub last_sequence: i32,
    /// The last record's offset.
    pub last_offset: Offset,
    /// Records less one.
    pub offset_delta: i32,
    /// The batch's largest timestamp.
    pub timestamp: Timestamp,
}

impl BatchMeta {
    /// The first record's offset.
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        self.last_offset.plus(-i64::from(self.offset_delta))
    }

    /// The first record's sequence number; numbers wrap from 2^31-1 to 0.
    #[must_use]
    pub fn base_sequence(&self) -> i32 {
        let distance = i64::from(self.last_sequence) - i64::from(self.offset_delta);
        (distance & i64::from(i32::MAX)) as i32
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) epoch: ProducerEpoch,
    pub(crate) coordinator_epoch: i32,
    pub(crate) last_timestamp: Timestamp,
    /// When it last wrote, by the broker's clock.
    pub(crate) active_at: Timestamp,
    pub(crate) transaction_start: Option<Offset>,
    /// The newest batches of `epoch`, oldest first, in place: there is one entry per producer and partition.
    batches: [Option<BatchMeta>; PRODUCER_BATCHES_REMEMBERED],
}

impl Entry {
    pub(crate) fn new(epoch: ProducerEpoch) -> Self {
        Self {
            epoch,
            coordinator_epoch: -1,
            last_timestamp: Timestamp::NONE,
            active_at: Timestamp::NONE,
            transaction_start: None,
            batches: [None; PRODUCER_BATCHES_REMEMBERED],
        }
    }

    pub(crate) fn batches(&self) -> impl Iterator<Item = &BatchMeta> {
        self.batches.iter().flatten()
    }

    pub(crate) fn last_batch(&self) -> Option<&BatchMeta> {
        self.batches().last()
    }

    pub(crate) fn push(&mut self, meta: BatchMeta) {
        match self.batches.iter_mut().find(|slot| slot.is_none()) {
            Some(free) => *free = Some(meta),
            None => {
                self.batches.rotate_left(1);
                self.batches[PRODUCER_BATCHES_REMEMBERED - 1] = Some(meta);
            }
        }
    }

    fn enter_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches = [None; PRODUCER_BATCHES_REMEMBERED];
        }
    }

    pub(super) fn add(&mut self, header: &BatchHeader, base: Offset, now: Timestamp) {
        self.enter_epoch(header.producer_epoch);
        self.push(BatchMeta {
            last_sequence: header.last_sequence(),
            last_offset: base.plus(i64::from(header.last_offset_delta)),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        });
        self.last_timestamp = header.max_timestamp;
        self.active_at = now;
    }

    /// Goes on behind a batch that was appended to another log. No offset here is its: who asks for it again finds it there.
    pub(super) fn adopt(&mut self, epoch: ProducerEpoch, last_sequence: i32, now: Timestamp) {
        self.enter_epoch(epoch);
        self.push(BatchMeta { last_sequence, last_offset: Offset(-1), offset_delta: 0, timestamp: Timestamp::NONE });
        self.active_at = now;
    }

    /// How many of the newest batches were appended here without one of another log between them. A gap in the sequence tells of
    /// such a one too: what was adopted does not survive a crash.
    pub(super) fn own_batches(&self) -> usize {
        let (mut own, mut first) = (0, None);
        for batch in self.batches.iter().rev().flatten() {
            let behind = batch.last_sequence.checked_add(1).unwrap_or(0);
            if batch.last_offset < Offset::ZERO || first.is_some_and(|first| first != behind) {
                break;
            }
            own += 1;
            first = Some(batch.base_sequence());
        }
        own
    }

    /// Ends the open transaction and gives its first offset.
    pub(super) fn end_transaction(
        &mut self,
        header: &BatchHeader,
        coordinator_epoch: i32,
        now: Timestamp,
    ) -> Option<Offset> {
        self.enter_epoch(header.producer_epoch);
        self.coordinator_epoch = coordinator_epoch;
        self.last_timestamp = header.max_timestamp;
        self.active_at = now;
        self.transaction_start.take()
    }

    /// The remembered batch with this epoch and exactly this range of sequence numbers.
    pub(super) fn duplicate_of(&self, header: &BatchHeader) -> Option<BatchMeta> {
        if header.producer_epoch != self.epoch {
            return None;
        }
        let same = |meta: &&BatchMeta| {
            meta.base_sequence() == header.base_sequence && meta.last_sequence == header.last_sequence()
        };
        self.batches().find(same).copied()
    }

    /// The newest batch that was copied from the same ingress log, if this one is not newer ([`crate::routed`]).
    pub(super) fn routed_before(&self, header: &BatchHeader) -> Option<BatchMeta> {
        let newest = self.last_batch()?;
        let known = (self.epoch, newest.last_sequence);
        let is_newer = routed::is_newer((header.producer_epoch, header.last_sequence()), known);
        (!is_newer).then_some(*newest)
    }

    /// What follows the last batch: 0 after a marker, and after 2^31-1.
    pub(super) fn next_sequence(&self) -> i32 {
        self.last_batch().map_or(0, |meta| meta.last_sequence.checked_add(1).unwrap_or(0))
    }

    pub(super) fn describe(&self, id: ProducerId) -> ActiveProducer {
        ActiveProducer {
            id,
            epoch: self.epoch,
            last_sequence: self.last_batch().map_or(-1, |meta| meta.last_sequence),
            last_timestamp: self.last_timestamp,
            coordinator_epoch: self.coordinator_epoch,
            transaction_start: self.transaction_start,
        }
    }
}
