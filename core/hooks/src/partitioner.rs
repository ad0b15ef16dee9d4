//! The hook `partitioner`: which partition each record belongs to.

use std::num::NonZeroU32;

use crate::verdict::complete;
use crate::{Batch, Failure, Reads};

/// What a partitioner says of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// It belongs to this partition.
    Partition(u32),
    /// Nothing: whoever sent the record decides (for Kafka's clients: their own partitioner).
    ClientStands,
}

/// Decides which partition each record of a batch belongs to.
///
/// An instance is used by one thread at a time and may keep state between batches (a counter, the current partition).
/// It does no I/O, does not block, and is asked with at most a few hundred records at a time.
pub trait Partitioner: Send {
    /// Whether a record's partition follows from the record and the number of partitions alone. Only such a partitioner
    /// can be enforced on clients that choose for themselves.
    fn deterministic(&self) -> bool;

    /// Which columns it reads.
    fn reads(&self) -> &Reads;

    /// Appends one [`Choice`] a record, in the records' order, to `choices` (which is empty), each below `partitions`.
    ///
    /// # Errors
    /// [`Failure`]; what was appended is ignored then. The sender sends the batch again after [`Failure::Retriable`]; after
    /// [`Failure::Permanent`] the batch is refused.
    fn partition(
        &mut self,
        batch: &Batch<'_>,
        partitions: NonZeroU32,
        choices: &mut Vec<Choice>,
    ) -> Result<(), Failure>;
}

/// Asks a partitioner, replacing what `choices` held, and checks its answer: as many choices as records, all in range.
///
/// # Errors
/// The partitioner's own [`Failure`], or a wrong answer.
pub fn assign(
    partitioner: &mut dyn Partitioner,
    batch: &Batch<'_>,
    partitions: NonZeroU32,
    choices: &mut Vec<Choice>,
) -> Result<(), Failure> {
    choices.clear();
    partitioner.partition(batch, partitions, choices)?;
    complete("partitioner", choices.len(), batch.len())?;
    let wrong = choices.iter().find_map(|choice| match choice {
        Choice::Partition(chosen) if *chosen >= partitions.get() => Some(chosen),
        Choice::Partition(_) | Choice::ClientStands => None,
    });
    match wrong {
        None => Ok(()),
        Some(chosen) => Err(Failure::wrong_answer(format!(
            "the partitioner chose partition {chosen} of topic {}, which has {partitions}",
            batch.topic()
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{Client, Place, Records};

    type Answer = Result<Vec<Choice>, Failure>;

    struct Says(Answer);

    impl Partitioner for Says {
        fn deterministic(&self) -> bool {
            true
        }

        fn reads(&self) -> &Reads {
            &Reads::NOTHING
        }

        fn partition(&mut self, _: &Batch<'_>, _: NonZeroU32, choices: &mut Vec<Choice>) -> Result<(), Failure> {
            choices.extend(self.0.clone()?);
            Ok(())
        }
    }

    #[test]
    fn answers_are_checked() {
        use Choice::{ClientStands, Partition};
        let mut records = Records::new(Reads::NOTHING);
        for key in [&b"a"[..], b"b"] {
            records.push_key(Some(key), 9).unwrap();
        }
        let place = Place { topic: "orders", ..Place::default() };
        let batch = Batch::new(place, Client::default(), &records, &Reads::NOTHING);
        let short = "the partitioner answered for 1 of 2 records";
        let long = "the partitioner answered for 3 of 2 records";
        let range = "the partitioner chose partition 4 of topic orders, which has 4";
        let later = Failure::Retriable("not now".into());
        let cases: &[(Answer, Result<(), &str>)] = &[
            (Ok(vec![Partition(3), ClientStands]), Ok(())),
            (Ok(vec![Partition(0)]), Err(short)),
            (Ok(vec![Partition(0); 3]), Err(long)),
            (Ok(vec![Partition(0), Partition(4)]), Err(range)),
            (Err(later), Err("not now")),
        ];
        for (answer, want) in cases {
            // What an earlier batch left must not count.
            let mut choices = vec![ClientStands; 5];
            let seen = assign(&mut Says(answer.clone()), &batch, NonZeroU32::new(4).unwrap(), &mut choices);
            assert_eq!(seen.map_err(|e| e.to_string()), want.map_err(str::to_owned), "{answer:?}");
        }
    }
}
