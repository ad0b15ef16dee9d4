//! Which partition our producers' records go to: a `partitioner` hook, asked for a batch of records at a time.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use watershed_client::ClientError;
use watershed_hooks::{
    Batch, Choice, Client, Environment, Hook, HookKind, Partitioner, Place, PluginFactory, Records, Settings, assign,
};
use watershed_model::{Clock, SystemClock};

use super::exit::{CliError, Exit};

/// How many records a partitioner is asked about at once.
pub const RECORDS_PER_BATCH_MAX: usize = 256;

/// The partitioner for records that the chosen one says nothing of: as in Java's client, those without a key.
const FALLBACK: &str = "sticky";

/// A partitioner with the memory it needs, and another for what it leaves open.
pub struct Partitions {
    first: Asked,
    fallback: Option<Asked>,
}

struct Asked {
    partitioner: Box<dyn Partitioner>,
    records: Records,
    choices: Vec<Choice>,
}

impl Partitions {
    /// The partitioner of that name.
    ///
    /// # Errors
    /// If there is none; the message names those there are.
    pub fn new(name: &str, factories: &[Arc<dyn PluginFactory>]) -> Result<Self, CliError> {
        let fallback = if name == FALLBACK { None } else { Some(Asked::new(FALLBACK, factories)?) };
        Ok(Self { first: Asked::new(name, factories)?, fallback })
    }

    /// The partition of each record, given as key and size in bytes, in order.
    ///
    /// # Errors
    /// What the partitioner says.
    pub fn choose<'a>(
        &mut self,
        topic: &str,
        partitions: u32,
        records: impl Iterator<Item = (Option<&'a [u8]>, usize)> + Clone,
    ) -> Result<Vec<i32>, CliError> {
        let none = || ClientError::Invalid(format!("topic {topic:?} has no partitions"));
        let partitions = NonZeroU32::new(partitions).ok_or_else(none)?;
        let mut chosen = self.first.ask(topic, partitions, records.clone())?.to_vec();
        if let (Some(fallback), true) = (&mut self.fallback, chosen.contains(&Choice::ClientStands)) {
            let open = chosen.iter().zip(records).filter(|(c, _)| **c == Choice::ClientStands);
            let open: Vec<_> = open.map(|(_, record)| record).collect();
            let mut answers = fallback.ask(topic, partitions, open.into_iter())?.iter();
            for choice in chosen.iter_mut().filter(|c| **c == Choice::ClientStands) {
                *choice = *answers.next().expect("a partitioner's answer has one choice a record");
            }
        }
        let number = |choice: Choice| match choice {
            Choice::Partition(partition) => Ok(i32::try_from(partition).unwrap_or(i32::MAX)),
            Choice::ClientStands => {
                let message = "the partitioner leaves the choice open; choose another one or give --partition";
                Err(CliError::new(Exit::Usage, message))
            }
        };
        chosen.into_iter().map(number).collect()
    }
}

impl Asked {
    fn new(name: &str, factories: &[Arc<dyn PluginFactory>]) -> Result<Self, CliError> {
        let partitioners = factories.iter().filter(|f| f.hook() == HookKind::Partitioner);
        let Some(factory) = partitioners.clone().find(|f| f.name() == name) else {
            let names: Vec<_> = partitioners.map(|f| f.name()).collect();
            let message = format!("there is no partitioner {name:?}; there are: {}", names.join(", "));
            return Err(CliError::new(Exit::Usage, message));
        };
        let made = factory.create(&Settings::new(), &environment());
        match made.map_err(|e| CliError::new(Exit::Usage, e.to_string()))? {
            Hook::Partitioner(partitioner) => {
                let records = Records::new(partitioner.reads().clone());
                Ok(Self { partitioner, records, choices: Vec::new() })
            }
            other => {
                let message = format!("{name:?} is a {}, not a partitioner", other.kind());
                Err(CliError::new(Exit::Usage, message))
            }
        }
    }

    fn ask<'a>(
        &mut self,
        topic: &str,
        partitions: NonZeroU32,
        records: impl Iterator<Item = (Option<&'a [u8]>, usize)>,
    ) -> Result<&[Choice], CliError> {
        self.records.clear();
        for (key, size) in records {
            let besides = size.saturating_sub(key.map_or(0, <[u8]>::len));
            self.records.push_key(key, besides).map_err(|e| CliError::new(Exit::Failure, e.to_string()))?;
        }
        let reads = self.records.reads().clone();
        let place = Place { topic, ..Place::default() };
        let batch = Batch::new(place, Client::default(), &self.records, &reads);
        assign(&mut *self.partitioner, &batch, partitions, &mut self.choices)
            .map_err(|failure| CliError::new(Exit::Failure, format!("the partitioner failed: {failure}")))?;
        Ok(&self.choices)
    }
}

/// Random numbers that differ from run to run; nothing secret hangs on them.
fn environment() -> Environment {
    let seed = SystemClock::new().now().0.unsigned_abs() ^ (u64::from(std::process::id()) << 32);
    let state = AtomicU64::new(seed);
    Environment::with_random(move || {
        // splitmix64
        let mut z = state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    })
}
