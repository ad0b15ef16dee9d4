//! Golden scripts: what a log answers to a sequence of batches, and snapshots.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use watershed_model::record::{BatchBuilder, NewRecord, ProducerSequence, batches};
use watershed_model::{LeaderEpoch, ProducerEpoch};

use super::*;

const CLIENT: Origin = Origin::Client { produce_version: 12 };

/// A batch of `count` records.
fn header(id: i64, epoch: i16, sequence: i32, count: i32) -> BatchHeader {
    let producer = ProducerSequence { id: ProducerId(id), epoch: ProducerEpoch(epoch), base_sequence: sequence };
    let mut builder = BatchBuilder::new().producer(producer);
    builder.push(Timestamp(1000), NewRecord::default());
    let mut header = BatchHeader::parse(&builder.build().unwrap()).unwrap();
    (header.record_count, header.last_offset_delta) = (count, count - 1);
    header
}

fn transactional(mut header: BatchHeader) -> BatchHeader {
    header.set_transactional(true);
    header
}

#[derive(Default)]
struct Log {
    states: ProducerStates,
    end: i64,
}

impl Log {
    /// Sends a batch as a client does and says in a word what came back.
    fn send(&mut self, header: BatchHeader) -> String {
        self.send_guarded(header, TransactionGuard::default())
    }

    fn send_guarded(&mut self, header: BatchHeader, guard: TransactionGuard) -> String {
        match self.states.check(&header, CLIENT, guard) {
            Ok(Admission::Append) => {
                let base = self.end;
                self.states.applied(&header, Offset(base), Timestamp(base));
                self.end += i64::from(header.last_offset_delta) + 1;
                format!("at {base}")
            }
            Ok(Admission::Duplicate(meta)) => format!("duplicate of {}", meta.base_offset()),
            Err(LogError::OutOfOrderSequence { expected, .. }) => format!("out of order, expected {expected}"),
            Err(LogError::InvalidProducerEpoch { current, .. }) => format!("old epoch, current {current}"),
            Err(LogError::InvalidTxnState { .. }) => "transaction state".into(),
            Err(other) => panic!("{other}"),
        }
    }

    fn marker(&mut self, id: i64, epoch: i16) {
        let producer = ProducerSequence { id: ProducerId(id), epoch: ProducerEpoch(epoch), base_sequence: -1 };
        let mut builder = BatchBuilder::new().producer(producer).transactional().control();
        let record = NewRecord { key: Some(&[0, 0, 0, 1]), value: Some(&[0, 0, 0, 0, 0, 5]), headers: &[] };
        builder.push(Timestamp(2000), record);
        let bytes = builder.position(Offset(self.end), LeaderEpoch(0)).build().unwrap();
        let batch = batches(bytes).next().unwrap().unwrap();
        self.states.replay(&batch, Timestamp(self.end)).unwrap();
        self.end += 1;
    }
}

/// Producer, epoch, first sequence, records.
type Step = (i64, i16, i32, i32);

/// Sends batches and compares each answer.
fn script(steps: &[(Step, &str)]) {
    let mut log = Log::default();
    for (n, ((id, epoch, sequence, count), expect)) in steps.iter().enumerate() {
        assert_eq!(log.send(header(*id, *epoch, *sequence, *count)), *expect, "step {n} of {steps:?}");
    }
}

#[test]
fn sequences() {
    // The usual course, a gap, a repetition.
    script(&[
        ((1, 0, 0, 10), "at 0"),
        ((1, 0, 10, 5), "at 10"),
        ((1, 0, 16, 1), "out of order, expected 15"),
        ((1, 0, 15, 1), "at 15"),
        ((1, 0, 10, 5), "duplicate of 10"),
        ((1, 0, 0, 10), "duplicate of 0"),
        // The same start with another length is no duplicate.
        ((1, 0, 10, 4), "out of order, expected 16"),
        ((2, 0, 0, 1), "at 16"),
    ]);
    // Five batches are remembered, the sixth from the end is not.
    script(&[
        ((1, 0, 0, 1), "at 0"),
        ((1, 0, 1, 1), "at 1"),
        ((1, 0, 2, 1), "at 2"),
        ((1, 0, 3, 1), "at 3"),
        ((1, 0, 4, 1), "at 4"),
        ((1, 0, 0, 1), "duplicate of 0"),
        ((1, 0, 5, 1), "at 5"),
        ((1, 0, 1, 1), "duplicate of 1"),
        ((1, 0, 0, 1), "out of order, expected 6"),
    ]);
    // An unknown producer may begin anywhere.
    script(&[((1, 3, 12345, 2), "at 0"), ((1, 3, 12347, 1), "at 2"), ((1, 3, 12345, 2), "duplicate of 0")]);
}

#[test]
fn sequences_wrap() {
    const MAX: i32 = i32::MAX;
    // Exactly at the end, then 0.
    script(&[((1, 0, MAX - 1, 2), "at 0"), ((1, 0, 0, 3), "at 2"), ((1, 0, MAX - 1, 2), "duplicate of 0")]);
    // A batch across the end: MAX-1, MAX, 0, 1.
    script(&[
        ((1, 0, MAX - 1, 4), "at 0"),
        ((1, 0, MAX - 1, 4), "duplicate of 0"),
        ((1, 0, 1, 1), "out of order, expected 2"),
        ((1, 0, 2, 1), "at 4"),
    ]);
}

#[test]
fn a_producer_goes_on_behind_what_it_wrote_elsewhere() {
    let batch = |sequence| header(1, 0, sequence, 2);
    let mut log = Log::default();
    (0..5).for_each(|n| assert_eq!(log.send(batch(2 * n)), format!("at {}", 2 * n)));
    let epoch = ProducerEpoch(0);
    let enough = |log: &Log, last| log.states.remembers_enough(&batch(0), (epoch, last));
    assert!(enough(&log, 9) && enough(&log, 3), "what is elsewhere is here too, or older");
    assert!(!enough(&log, 11), "something newer is elsewhere");
    assert_eq!(log.send(batch(12)), "out of order, expected 10");
    log.states.adopt(ProducerId(1), (epoch, 11), Timestamp(0));
    log.states.adopt(ProducerId(1), (epoch, 5), Timestamp(0));
    assert_eq!(log.send(batch(12)), "at 10");
    assert!(!enough(&log, 11), "the batch that was adopted may be asked for again");
    assert_eq!(log.send(batch(8)), "duplicate of 8", "and so may one from before");

    // What was adopted is gone after a crash, which leaves a hole in the sequence.
    let mut log = Log::default();
    (0..4).for_each(|n| drop(log.send(batch(2 * n))));
    let late = batch(10);
    log.states.applied(&late, Offset(log.end), Timestamp(log.end));
    log.end += 2;
    assert!(!enough(&log, 9));
    (6..10).for_each(|n| assert_eq!(log.send(batch(2 * n)), format!("at {}", 2 * n - 2)));
    assert!(enough(&log, 9), "five behind the hole");
    // Sequences go round, and a new epoch is newer.
    log.states.adopt(ProducerId(1), (ProducerEpoch(1), i32::MAX), Timestamp(0));
    assert_eq!(log.send(header(1, 1, 0, 2)), "at 18");
    log.states.adopt(ProducerId(1), (ProducerEpoch(1), i32::MAX), Timestamp(0));
    assert_eq!(log.send(header(1, 1, 2, 2)), "at 20");
}

#[test]
fn routed_batches_are_taken_from_further_on_only() {
    let mut states = ProducerStates::default();
    let routed = |last: i64, count| {
        let sequence = crate::routed::sequence(3, Offset(last), count as usize);
        header(sequence.id.0, sequence.epoch.0, sequence.base_sequence, count)
    };
    let mut end = 0;
    let mut take = |states: &mut ProducerStates, header: BatchHeader| {
        let judged = states.check(&header, Origin::Router, TransactionGuard::default()).unwrap();
        if judged == Admission::Append {
            states.applied(&header, Offset(end), Timestamp(0));
            end += i64::from(header.record_count);
        }
        judged == Admission::Append
    };
    let near = (1i64 << 31) - 3;
    for (last, count, taken) in [
        (5, 2, true),
        (5, 1, false),
        (4, 1, false),
        (6, 1, true),
        (near, 3, true),
        (near + 4, 4, true),
        (near + 1, 1, false),
    ] {
        assert_eq!(take(&mut states, routed(last, count)), taken, "{last}");
    }
    assert_eq!(states.expire(Timestamp(i64::MAX), 1), 0, "how far it came is never too old to count");
    assert!(!take(&mut states, routed(near + 4, 1)));
}

#[test]
fn epochs() {
    script(&[
        ((1, 5, 0, 2), "at 0"),
        ((1, 4, 2, 1), "old epoch, current 5"),
        // A new epoch begins at 0.
        ((1, 6, 2, 1), "out of order, expected 0"),
        ((1, 6, 0, 1), "at 2"),
        // What the old epoch wrote is no duplicate any more.
        ((1, 5, 0, 2), "old epoch, current 6"),
        ((1, 6, 1, 1), "at 3"),
        // Epochs may be skipped.
        ((1, 9, 0, 1), "at 4"),
    ]);
}

#[test]
fn batches_without_a_producer_are_not_remembered() {
    let mut log = Log::default();
    assert_eq!(log.send(header(-1, -1, -1, 1)), "at 0");
    assert_eq!(log.send(header(-1, -1, -1, 1)), "at 1");
    assert!(log.states.is_empty());
    assert_eq!(log.send(transactional(header(-1, -1, -1, 1))), "transaction state");
}

#[test]
fn coordinators_write_without_sequences_but_not_with_old_epochs() {
    let mut states = ProducerStates::default();
    let first = header(1, 3, -1, 1);
    assert_eq!(states.check(&first, Origin::Coordinator, TransactionGuard::default()).unwrap(), Admission::Append);
    states.applied(&first, Offset(0), Timestamp(0));
    assert_eq!(states.check(&first, Origin::Coordinator, TransactionGuard::default()).unwrap(), Admission::Append);
    assert!(states.check(&header(1, 2, -1, 1), Origin::Coordinator, TransactionGuard::default()).is_err());
}

#[test]
fn transactions() {
    let verified = TransactionGuard { verified: true, epoch_bumps: false };
    let mut log = Log::default();
    assert_eq!(log.send(transactional(header(1, 0, 0, 2))), "transaction state", "nobody confirmed it");
    assert_eq!(log.send_guarded(transactional(header(1, 0, 0, 2)), verified), "at 0");
    assert_eq!(log.states.first_unstable(), Some(Offset(0)));
    assert_eq!(log.send(transactional(header(1, 0, 2, 1))), "at 2", "once begun it goes on");
    assert_eq!(log.send(header(1, 0, 3, 1)), "transaction state", "a plain batch inside");
    assert_eq!(log.send_guarded(transactional(header(2, 0, 0, 1)), verified), "at 3");
    log.marker(1, 0);
    assert_eq!(log.states.first_unstable(), Some(Offset(0)), "the marker is not below the high watermark yet");
    log.states.high_watermark_reached(Offset(4));
    assert_eq!(log.states.first_unstable(), Some(Offset(0)));
    log.states.high_watermark_reached(Offset(5));
    assert_eq!(log.states.first_unstable(), Some(Offset(3)), "the other transaction");
    log.marker(2, 0);
    log.states.high_watermark_reached(Offset(6));
    assert_eq!(log.states.first_unstable(), None);
    assert_eq!(log.send(transactional(header(1, 0, 3, 1))), "transaction state");
    assert_eq!(log.send(header(1, 0, 3, 1)), "at 6", "sequences go on after a marker of the same epoch");
    assert_eq!(log.states.describe()[0].coordinator_epoch, 5);

    // Transactions v2: the marker raises the epoch, the next transaction begins at 0; without state only 0 will do.
    let bumps = TransactionGuard { verified: true, epoch_bumps: true };
    assert_eq!(log.send_guarded(transactional(header(7, 0, 4, 1)), bumps), "out of order, expected 0");
    assert_eq!(log.send_guarded(transactional(header(7, 0, 0, 1)), bumps), "at 7");
    log.marker(7, 1);
    assert_eq!(log.send_guarded(transactional(header(7, 0, 1, 1)), bumps), "old epoch, current 1");
    assert_eq!(log.send_guarded(transactional(header(7, 1, 1, 1)), bumps), "out of order, expected 0");
    assert_eq!(log.send_guarded(transactional(header(7, 1, 0, 1)), bumps), "at 9");
}

#[test]
fn idle_producers_are_forgotten_unless_a_transaction_is_open() {
    let mut log = Log::default();
    log.send(header(1, 0, 0, 10));
    log.send_guarded(transactional(header(2, 0, 0, 1)), TransactionGuard { verified: true, epoch_bumps: false });
    // They wrote at the clock's 0 and 10, whatever their records' timestamps are.
    assert_eq!(log.states.expire(Timestamp(99), 100), 0);
    assert_eq!(log.states.expire(Timestamp(100), 100), 1);
    assert_eq!(log.states.expire(Timestamp(i64::MAX), 100), 0);
    assert_eq!(log.send(header(1, 0, 77, 1)), "at 11", "unknown again: any sequence");
}

#[test]
fn the_number_of_producers_is_bounded_and_the_idlest_go() {
    let mut states = ProducerStates::default();
    let mut one = header(0, 0, 0, 1);
    let in_transaction = transactional(one);
    states.applied(&in_transaction, Offset(0), Timestamp(0));
    for id in 1..=PRODUCERS_PER_PARTITION_MAX as i64 {
        one.producer_id = ProducerId(id);
        states.applied(&one, Offset(id), Timestamp(id));
    }
    let many = PRODUCERS_PER_PARTITION_MAX / 16;
    assert_eq!(states.len(), PRODUCERS_PER_PARTITION_MAX - many + 1);
    let all = states.describe();
    assert_eq!(all[0].id, ProducerId(0), "an open transaction is never forgotten");
    assert_eq!(all[1].id, ProducerId(many as i64 + 1));
}

#[test]
fn describing() {
    let mut log = Log::default();
    log.send(header(5, 2, 0, 3));
    log.send(header(3, 1, 7, 1));
    let all = log.states.describe();
    assert_eq!(all.iter().map(|p| p.id.0).collect::<Vec<_>>(), [3, 5]);
    assert_eq!((all[1].epoch, all[1].last_sequence, all[1].last_timestamp), (ProducerEpoch(2), 2, Timestamp(1000)));
    assert_eq!((all[1].coordinator_epoch, all[1].transaction_start), (-1, None));
}

/// The rule in its plainest form, to compare with: every batch ever appended, oldest first.
#[derive(Default)]
struct Naive(Vec<(i64, i16, i32, i32, i64)>);

impl Naive {
    fn answer(&self, (id, epoch, sequence, count): (i64, i16, i32, i32)) -> Result<Option<i64>, &'static str> {
        let own: Vec<_> = self.0.iter().filter(|b| b.0 == id).collect();
        let Some(last) = own.last() else { return Ok(None) };
        let remembered = own.iter().rev().take_while(|b| b.1 == last.1).take(5);
        for b in remembered {
            if (b.1, b.2, b.3) == (epoch, sequence, count) {
                return Ok(Some(b.4));
            }
        }
        let expected = if last.1 == epoch { ((i64::from(last.2) + i64::from(last.3)) % (1 << 31)) as i32 } else { 0 };
        match () {
            () if epoch < last.1 => Err("epoch"),
            () if sequence != expected => Err("order"),
            () => Ok(None),
        }
    }
}

proptest! {
    #[test]
    fn agrees_with_the_naive_model(
        steps in prop::collection::vec((0..3i64, 0..3i16, prop_oneof![0..8i32, (i32::MAX - 3)..=i32::MAX], 1..4i32), 1..60)
    ) {
        let (mut log, mut naive) = (Log::default(), Naive::default());
        for step in steps {
            let (id, epoch, sequence, count) = step;
            let expect = naive.answer(step);
            let base = log.end;
            let answer = log.send(header(id, epoch, sequence, count));
            match expect {
                Ok(None) => {
                    prop_assert_eq!(answer, format!("at {base}"));
                    naive.0.push((id, epoch, sequence, count, base));
                }
                Ok(Some(at)) => prop_assert_eq!(answer, format!("duplicate of {at}")),
                Err("epoch") => prop_assert!(answer.starts_with("old epoch"), "{answer}"),
                Err(_) => prop_assert!(answer.starts_with("out of order"), "{answer}"),
            }
            // A restart in between changes nothing.
            let blob = snapshot::encode(&log.states);
            let back = snapshot::decode(&blob).unwrap();
            prop_assert_eq!(&back, &log.states);
            log.states = back;
        }
    }

    #[test]
    fn damaged_snapshots_are_noticed(at: prop::sample::Index, flip in 1u8..) {
        let mut log = Log::default();
        log.send(header(1, 0, 0, 1));
        log.send_guarded(transactional(header(2, 0, 0, 1)), TransactionGuard { verified: true, epoch_bumps: false });
        log.marker(2, 0);
        let blob = snapshot::encode(&log.states);
        prop_assert_eq!(snapshot::decode(&blob).unwrap(), log.states);
        let mut bad = blob.to_vec();
        let at = at.index(bad.len());
        bad[at] ^= flip;
        prop_assert!(snapshot::decode(&bad).is_none());
        prop_assert!(snapshot::decode(&bad[..at]).is_none());
    }
}
