//! The rules of idempotence, without a broker: batches in, answers in, what may leave and under which number out.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use watershed_model::record::RecordBatch;

use super::*;

const ID: Identity = (ProducerId(7), ProducerEpoch(0));

struct Table {
    queue: PartitionQueue,
    config: ProducerConfig,
    memory: Arc<Semaphore>,
    now: Instant,
}

impl Table {
    fn new() -> Self {
        // A batch is full with its first record.
        let config = ProducerConfig { batch_bytes: 1, linger: Duration::from_secs(3600), ..ProducerConfig::default() };
        let mut queue = PartitionQueue::default();
        queue.set_identity(ID);
        Self { queue, config, memory: Arc::new(Semaphore::new(1 << 20)), now: Instant::now() }
    }

    fn add(&mut self, records: usize) {
        let one = self.config.batch_bytes;
        for i in 0..records {
            // All but the first go into the same batch.
            self.config.batch_bytes = if i == 0 { one } else { 1 << 20 };
            let permit = Arc::clone(&self.memory).try_acquire_many_owned(100).unwrap();
            let record = NewRecord { value: Some(b"x"), ..NewRecord::default() };
            self.queue.add(&self.config, Timestamp(1), record, permit, (0, self.now));
        }
        self.config.batch_bytes = one;
    }

    /// Takes every batch that may leave now.
    fn leave(&mut self) -> Vec<Batch> {
        let mut out = Vec::new();
        loop {
            for lost in self.queue.settle() {
                lost.fail(ClientError::Closed);
            }
            self.queue.seal_if_due(&self.config, self.now, true);
            if !self.queue.may_send(&self.config, self.now) {
                return out;
            }
            out.push(self.queue.take().unwrap());
        }
    }

    fn come_back(&mut self, batch: Batch, error: ClientError) -> Verdict {
        self.queue.failed(&self.config, batch, error, (self.now, self.now))
    }

    /// One batch was acknowledged, so that several may fly.
    fn established() -> Self {
        let mut table = Self::new();
        table.add(1);
        let first = table.leave().pop().unwrap();
        table.queue.acked(&first);
        table
    }
}

fn sequences(batches: &[Batch]) -> Vec<(i16, i32)> {
    batches.iter().map(|b| b.sequence.unwrap()).map(|s| (s.epoch.0, s.base_sequence)).collect()
}

fn disconnected() -> ClientError {
    ClientError::Disconnected { address: "x".into(), reason: "gone".into() }
}

fn answered(code: ErrorCode) -> ClientError {
    ClientError::Broker { what: "x".into(), code, message: None }
}

#[test]
fn the_first_batch_of_an_identity_goes_alone_then_five() {
    let mut table = Table::new();
    for _ in 0..8 {
        table.add(1);
    }
    let first = table.leave();
    assert_eq!(sequences(&first), [(0, 0)]);
    table.queue.acked(&first[0]);
    let next = table.leave();
    assert_eq!(sequences(&next), [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5)]);
    table.queue.acked(&next[0]);
    assert_eq!(sequences(&table.leave()), [(0, 6)]);
}

#[test]
fn batches_count_their_records_and_wrap() {
    let mut table = Table::established();
    table.queue.next_sequence = i32::MAX - 1;
    table.add(3);
    table.add(2);
    let batches = table.leave();
    assert_eq!(sequences(&batches), [(0, i32::MAX - 1), (0, 1)]);
}

#[test]
fn after_a_disconnect_all_come_back_in_order_one_by_one_under_their_numbers() {
    let mut table = Table::established();
    for _ in 0..4 {
        table.add(1);
    }
    let flying = table.leave();
    assert_eq!(sequences(&flying), [(0, 1), (0, 2), (0, 3), (0, 4)]);
    // Their answers arrive in any order.
    let mut flying: Vec<_> = flying.into_iter().map(Some).collect();
    for i in [2, 0, 3, 1] {
        let batch = flying[i].take().unwrap();
        assert!(matches!(table.come_back(batch, disconnected()), Verdict::Retry));
        if i != 1 {
            assert!(table.leave().is_empty(), "nothing leaves while others are in flight");
        }
    }
    for sequence in 1..=4 {
        let alone = table.leave();
        assert_eq!(sequences(&alone), [(0, sequence)]);
        table.queue.acked(&alone[0]);
    }
    table.add(1);
    assert_eq!(sequences(&table.leave()), [(0, 5)]);
}

#[test]
fn behind_a_lost_batch_out_of_order_is_tried_again() {
    let mut table = Table::established();
    table.add(1);
    table.add(1);
    let mut flying = table.leave();
    let second = flying.pop().unwrap();
    let first = flying.pop().unwrap();
    let verdict = table.come_back(second, answered(ErrorCode::OutOfOrderSequenceNumber));
    assert!(matches!(verdict, Verdict::Retry));
    assert!(matches!(table.come_back(first, disconnected()), Verdict::Retry));
    let first = table.leave();
    assert_eq!(sequences(&first), [(0, 1)]);
    table.queue.acked(&first[0]);
    assert_eq!(sequences(&table.leave()), [(0, 2)]);
}

#[test]
fn out_of_order_for_the_oldest_is_final_and_starts_a_new_epoch() {
    let mut table = Table::established();
    table.add(1);
    table.add(1);
    let mut flying = table.leave();
    let (second, first) = (flying.pop().unwrap(), flying.pop().unwrap());
    let gap = || answered(ErrorCode::OutOfOrderSequenceNumber);
    assert!(matches!(table.come_back(first, gap()), Verdict::Fail(..)));
    // The second was refused for the same reason, for certain: it goes again under a new number.
    assert!(matches!(table.come_back(second, gap()), Verdict::Retry));
    let mut again = table.leave();
    assert_eq!(sequences(&again), [(1, 0)]);
    let bytes = again[0].build().unwrap();
    let batch = RecordBatch::split_from(&mut bytes.clone()).unwrap();
    assert!(batch.crc_is_valid());
    assert_eq!((batch.header.producer_epoch, batch.header.base_sequence), (ProducerEpoch(1), 0));
}

#[test]
fn a_batch_whose_fate_is_unknown_never_gets_a_new_number() {
    let mut table = Table::established();
    table.add(1);
    table.add(1);
    table.add(1);
    let mut flying = table.leave();
    let (third, second, first) = (flying.pop().unwrap(), flying.pop().unwrap(), flying.pop().unwrap());
    assert!(matches!(table.come_back(second, disconnected()), Verdict::Retry));
    assert!(matches!(table.come_back(third, answered(ErrorCode::NotLeaderOrFollower)), Verdict::Retry));
    assert!(matches!(table.come_back(first, answered(ErrorCode::InvalidRecord)), Verdict::Fail(..)));
    let lost = table.queue.settle();
    assert_eq!(sequences(&lost), [(0, 2)], "the second may be in the log");
    assert_eq!(sequences(&table.leave()), [(1, 0)], "the third is not");
}

#[test]
fn a_new_epoch_waits_until_nothing_is_in_flight() {
    let mut table = Table::established();
    table.add(1);
    table.add(1);
    let mut flying = table.leave();
    let (second, first) = (flying.pop().unwrap(), flying.pop().unwrap());
    assert!(matches!(table.come_back(first, answered(ErrorCode::InvalidRecord)), Verdict::Fail(..)));
    table.add(1);
    assert!(table.leave().is_empty());
    assert!(matches!(table.come_back(second, answered(ErrorCode::OutOfOrderSequenceNumber)), Verdict::Retry));
    assert_eq!(sequences(&table.leave()), [(1, 0)]);
}

#[test]
fn a_spent_identity_is_given_back() {
    let mut table = Table::new();
    table.queue.set_identity((ID.0, ProducerEpoch(i16::MAX)));
    table.add(1);
    let batch = table.leave().pop().unwrap();
    assert!(matches!(table.come_back(batch, answered(ErrorCode::InvalidRecord)), Verdict::Fail(..)));
    assert!(table.queue.settle().is_empty());
    assert!(table.queue.wants_identity());
    assert_eq!(table.queue.spent(), Some(ID.0));
}

#[test]
fn too_large_is_cut_in_two_under_the_same_numbers() {
    let mut table = Table::established();
    table.add(5);
    table.add(1);
    let mut flying = table.leave();
    let (after, mut large) = (flying.pop().unwrap(), flying.pop().unwrap());
    large.build().unwrap();
    let Verdict::Split(large) = table.come_back(large, answered(ErrorCode::MessageTooLarge)) else {
        panic!("it has five records");
    };
    let halves = large.split(&table.config).unwrap();
    table.queue.put_back_halves(halves);
    assert!(matches!(table.come_back(after, answered(ErrorCode::OutOfOrderSequenceNumber)), Verdict::Retry));
    for (sequence, records) in [(1, 2), (3, 3), (6, 1)] {
        let one = table.leave();
        assert_eq!(sequences(&one), [(0, sequence)]);
        assert_eq!(one[0].len(), records);
        table.queue.acked(&one[0]);
    }
}

#[test]
fn time_runs_out() {
    let mut table = Table::established();
    table.add(1);
    table.add(1);
    let mut flying = table.leave();
    let (second, first) = (flying.pop().unwrap(), flying.pop().unwrap());
    assert!(matches!(table.come_back(first, disconnected()), Verdict::Retry));
    assert!(matches!(table.come_back(second, disconnected()), Verdict::Retry));
    table.now += table.config.delivery_timeout;
    assert_eq!(table.queue.expire(&table.config, table.now).len(), 2);
    table.add(1);
    assert_eq!(sequences(&table.leave()), [(1, 0)]);
}
