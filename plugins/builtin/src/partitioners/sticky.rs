//! `sticky`: fill a batch for one partition, then turn to another (KIP-480, counted in bytes as in KIP-794).
//!
//! Spreading every record for itself makes many small batches; staying until a batch is full makes few large ones, and
//! over time the partitions still get equal shares.

use std::collections::HashMap;
use std::num::NonZeroU32;

use watershed_hooks::{
    Batch, Choice, Environment, Failure, Hook, HookKind, Partitioner, PluginError, PluginFactory, Reads, Settings,
};

use crate::settings;

/// How many bytes go to a partition before the next one's turn, where nothing is set: the Java client's `batch.size`.
pub const STICKY_BATCH_BYTES_DEFAULT: u32 = 16_384;

const BATCH_BYTES: &str = "batch_bytes";

/// The partitioner `sticky`. Keys play no part; each topic has a current partition of its own.
pub struct Sticky {
    batch_bytes: u32,
    current: HashMap<String, Current>,
    random: Box<dyn FnMut() -> u32 + Send>,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    partition: u32,
    bytes: u64,
}

impl Sticky {
    /// A partitioner that turns to another random partition once `batch_bytes` bytes went to one. `random` is uniform
    /// over `u32`.
    #[must_use]
    pub fn new(batch_bytes: NonZeroU32, random: impl FnMut() -> u32 + Send + 'static) -> Self {
        Self { batch_bytes: batch_bytes.get(), current: HashMap::new(), random: Box::new(random) }
    }
}

impl std::fmt::Debug for Sticky {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sticky").field("current", &self.current).finish_non_exhaustive()
    }
}

/// A uniform number below `n` (biased by less than `n` / 2^32).
fn below(n: u32, random: &mut dyn FnMut() -> u32) -> u32 {
    ((u64::from(random()) * u64::from(n)) >> 32) as u32
}

/// A partition other than `last`, where there is another.
fn draw(last: Option<u32>, partitions: NonZeroU32, random: &mut dyn FnMut() -> u32) -> u32 {
    let n = partitions.get();
    match last.filter(|last| n > 1 && *last < n) {
        None => below(n, random),
        Some(last) => {
            let other = below(n - 1, random);
            other + u32::from(other >= last)
        }
    }
}

impl Partitioner for Sticky {
    fn deterministic(&self) -> bool {
        false
    }

    fn reads(&self) -> &Reads {
        &Reads::NOTHING
    }

    fn partition(
        &mut self,
        batch: &Batch<'_>,
        partitions: NonZeroU32,
        choices: &mut Vec<Choice>,
    ) -> Result<(), Failure> {
        let random = &mut *self.random;
        // A topic made anew can have fewer partitions than its predecessor.
        let known = self.current.get(batch.topic()).filter(|c| c.partition < partitions.get()).copied();
        let mut current = known.unwrap_or_else(|| Current { partition: draw(None, partitions, random), bytes: 0 });
        for bytes in batch.record_bytes() {
            if current.bytes >= u64::from(self.batch_bytes) {
                current = Current { partition: draw(Some(current.partition), partitions, random), bytes: 0 };
            }
            current.bytes += u64::from(*bytes);
            choices.push(Choice::Partition(current.partition));
        }
        match self.current.get_mut(batch.topic()) {
            Some(kept) => *kept = current,
            None => drop(self.current.insert(batch.topic().to_owned(), current)),
        }
        Ok(())
    }
}

/// Makes [`Sticky`]; its one setting is `batch_bytes` ([`STICKY_BATCH_BYTES_DEFAULT`]).
#[derive(Clone, Copy, Debug)]
pub struct StickyFactory;

impl StickyFactory {
    fn batch_bytes(&self, settings: &Settings) -> Result<NonZeroU32, PluginError> {
        settings::only(self.name(), settings, &[BATCH_BYTES])?;
        let default = NonZeroU32::new(STICKY_BATCH_BYTES_DEFAULT).expect("the default is not 0");
        settings::positive(self.name(), settings, BATCH_BYTES, default)
    }
}

impl PluginFactory for StickyFactory {
    fn name(&self) -> &str {
        "sticky"
    }

    fn hook(&self) -> HookKind {
        HookKind::Partitioner
    }

    fn validate(&self, settings: &Settings) -> Result<(), PluginError> {
        self.batch_bytes(settings).map(drop)
    }

    fn create(&self, settings: &Settings, environment: &Environment) -> Result<Hook, PluginError> {
        let random = environment.random.clone();
        let sticky = Sticky::new(self.batch_bytes(settings)?, move || random());
        Ok(Hook::Partitioner(Box::new(sticky)))
    }

    fn close(&self) {
        // Instances share nothing.
    }
}
