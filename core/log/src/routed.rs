//! How far the records of an ingress log have been copied, told by the batches that they were copied into.
//!
//! A copied batch carries the producer id of the partition that its records came in through ([`ProducerId::routed`]), and of
//! the last of its records the offset in the ingress log: the low 31 bits are the batch's last sequence number, the next 15
//! its producer epoch. The log it is copied to takes only batches that come from further on, so nothing is copied twice, and
//! it says itself from where to go on after a crash: the fields are in every batch, in producer snapshots, and survive as they
//! do. With 46 bits the numbers repeat after 70 million million records.

use watershed_model::record::ProducerSequence;
use watershed_model::{Offset, ProducerEpoch, ProducerId};

const SEQUENCE_BITS: u32 = 31;
const BITS: u32 = SEQUENCE_BITS + 15;
const MASK: i64 = (1 << BITS) - 1;

fn number((epoch, sequence): (ProducerEpoch, i32)) -> i64 {
    (i64::from(epoch.0) << SEQUENCE_BITS | i64::from(sequence)) & MASK
}

/// What a batch of `records` records carries that came in through `partition`, the last of them at offset `last` of the ingress log.
#[must_use]
pub fn sequence(partition: i32, last: Offset, records: usize) -> ProducerSequence {
    let low = i64::from(i32::MAX);
    let first = (last.0 & low) - (records as i64 - 1);
    ProducerSequence {
        id: ProducerId::routed(partition),
        epoch: ProducerEpoch(((last.0 >> SEQUENCE_BITS) & i64::from(i16::MAX)) as i16),
        base_sequence: (first & low) as i32,
    }
}

/// The offset in the ingress log that a batch tells by its epoch and last sequence number, where that log ends at `end`.
#[must_use]
pub fn offset(told: (ProducerEpoch, i32), end: Offset) -> Offset {
    let newest = end.0 - 1;
    Offset(newest - ((newest - number(told)) & MASK))
}

/// Whether what is told lies behind what is known.
pub(crate) fn is_newer(told: (ProducerEpoch, i32), known: (ProducerEpoch, i32)) -> bool {
    (1..1 << (BITS - 1)).contains(&((number(told) - number(known)) & MASK))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use watershed_model::record::BatchBuilder;

    use super::*;

    fn told(last: i64, records: usize) -> (ProducerEpoch, i32) {
        let mut builder = BatchBuilder::new().producer(sequence(3, Offset(last), records));
        for _ in 0..records {
            builder.push(watershed_model::Timestamp(0), Default::default());
        }
        let bytes = builder.build().expect("an ordinary batch");
        let header = watershed_model::record::BatchHeader::parse(&bytes).expect("an ordinary batch");
        assert_eq!(header.producer_id, ProducerId::routed(3));
        (header.producer_epoch, header.last_sequence())
    }

    #[test]
    fn offsets_survive_the_ends_of_the_fields() {
        for last in [0, 1, i64::from(i32::MAX) - 1, 1 << 31, (1 << 31) + 1, 5 << 31, (1 << 46) - 1, 1 << 46] {
            for records in [1, 2, 7] {
                for ahead in [1, 2, 1000, 1 << 40] {
                    assert_eq!(
                        offset(told(last, records), Offset(last + ahead)),
                        Offset(last),
                        "{last} {records} {ahead}"
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn order_is_that_of_the_offsets(a in 0..1i64 << 48, ahead in 1..1i64 << 44, records in 1..4usize) {
            let (before, behind) = (told(a, records), told(a + ahead, records));
            prop_assert!(is_newer(behind, before));
            prop_assert!(!is_newer(before, behind));
            prop_assert!(!is_newer(before, before));
            prop_assert_eq!(offset(before, Offset(a + ahead)), Offset(a));
        }
    }
}
