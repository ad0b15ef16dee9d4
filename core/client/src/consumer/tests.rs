//! What a fetch's bytes come to: cut batches, damage, aborted transactions.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use watershed_model::record::{BatchBuilder, NewRecord, ProducerSequence};
use watershed_model::{LeaderEpoch, ProducerEpoch, ProducerId, Timestamp};
use watershed_protocol::messages::fetch::AbortedTransaction;

use super::*;

/// A batch at an offset, with one record for each value.
fn batch(base: i64, producer: Option<i64>, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new().position(Offset(base), LeaderEpoch(0));
    if let Some(id) = producer {
        let sequence = ProducerSequence { id: ProducerId(id), epoch: ProducerEpoch(0), base_sequence: 0 };
        builder = builder.producer(sequence).transactional();
    }
    for value in values {
        builder.push(Timestamp(1), NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() });
    }
    builder.build().unwrap()
}

/// A transaction marker: kind 0 aborts, 1 commits.
fn marker(base: i64, producer: i64, kind: u8) -> Bytes {
    let sequence = ProducerSequence { id: ProducerId(producer), epoch: ProducerEpoch(0), base_sequence: -1 };
    let mut builder =
        BatchBuilder::new().position(Offset(base), LeaderEpoch(0)).producer(sequence).transactional().control();
    builder.push(Timestamp(1), NewRecord { key: Some(&[0, 0, 0, kind]), value: Some(b""), headers: &[] });
    builder.build().unwrap()
}

fn fetched(parts: &[Bytes], from: i64, aborted: &[(i64, i64)], isolation: IsolationLevel) -> Fetched {
    let bytes: Vec<u8> = parts.concat();
    let aborted = aborted.iter();
    Fetched {
        topic: "t".into(),
        partition: 0,
        from: Offset(from),
        high_watermark: Offset(100),
        log_start: Offset(0),
        bytes: bytes.len(),
        batches: whole_batches(bytes.into()).unwrap(),
        aborted: aborted.map(|(p, o)| AbortedTransaction { producer_id: *p, first_offset: *o }).collect(),
        isolation,
    }
}

fn values(fetched: &Fetched) -> Vec<String> {
    let records = fetched.records().unwrap();
    records.into_iter().map(|r| String::from_utf8(r.value.unwrap().to_vec()).unwrap()).collect()
}

#[test]
fn a_cut_batch_at_the_end_is_left_for_the_next_fetch() {
    let (first, second) = (batch(0, None, &["a", "b"]), batch(2, None, &["c"]));
    let both = [first.clone(), second.clone()].concat();
    for cut in [first.len(), first.len() + 1, first.len() + 61, both.len() - 1] {
        let batches = whole_batches(both[..cut].to_vec().into()).unwrap();
        assert_eq!(batches.len(), 1, "{cut}");
    }
    assert_eq!(whole_batches(both.clone().into()).unwrap().len(), 2);
    // The first batch is whole, whatever the limits say; less than that is damage.
    assert!(whole_batches(first.slice(..first.len() - 1)).is_err());
    let mut wrong_magic = both;
    wrong_magic[first.len() + 16] = 1;
    assert!(whole_batches(wrong_magic.into()).is_err());
}

#[test]
fn damage_is_found_by_the_crc() {
    let good = batch(5, None, &["a"]);
    let mut bad = good.to_vec();
    *bad.last_mut().unwrap() ^= 1;
    let what = || "fetching".to_owned();
    assert!(check_crcs(&whole_batches(good).unwrap(), &what).is_ok());
    let error = check_crcs(&whole_batches(bad.into()).unwrap(), &what).unwrap_err();
    assert!(matches!(error, ClientError::Crc { .. }));
    assert!(error.to_string().contains("offset 5"), "{error}");
}

#[test]
fn records_before_the_offset_asked_for_are_not_shown() {
    let one = fetched(&[batch(0, None, &["a", "b", "c"])], 1, &[], IsolationLevel::ReadUncommitted);
    assert_eq!(values(&one), ["b", "c"]);
    assert_eq!(one.next_offset(), Offset(3));
    let none = fetched(&[], 7, &[], IsolationLevel::ReadUncommitted);
    assert_eq!((values(&none), none.next_offset()), (Vec::new(), Offset(7)));
}

#[test]
fn aborted_records_and_markers_are_hidden_from_those_who_read_committed() {
    let parts = [
        batch(0, Some(1), &["aborted 1"]),
        batch(1, Some(2), &["committed 2"]),
        batch(2, None, &["plain"]),
        marker(3, 1, 0),
        batch(4, Some(1), &["committed 1"]),
        marker(5, 2, 1),
        batch(6, Some(2), &["aborted 2"]),
        marker(7, 1, 1),
        marker(8, 2, 0),
    ];
    // In any order: the broker sorts, we need not rely on it.
    let aborted = [(2, 6), (1, 0)];
    let committed = fetched(&parts, 0, &aborted, IsolationLevel::ReadCommitted);
    assert_eq!(values(&committed), ["committed 2", "plain", "committed 1"]);
    assert_eq!(committed.next_offset(), Offset(9));
    let all = fetched(&parts, 0, &[], IsolationLevel::ReadUncommitted);
    assert_eq!(values(&all).len(), 5);
}

#[test]
fn the_walk_ends_when_the_caller_has_enough() {
    let one = fetched(&[batch(0, None, &["a", "b"]), batch(2, None, &["c"])], 0, &[], IsolationLevel::ReadUncommitted);
    let mut seen = Vec::new();
    one.for_each(|offset, _, _| {
        seen.push(offset.0);
        seen.len() < 2
    })
    .unwrap();
    assert_eq!(seen, [0, 1]);
}
