//! `round-robin`: record after record to partition after partition, whatever the keys.

use std::collections::HashMap;
use std::num::NonZeroU32;

use watershed_hooks::{
    Batch, Choice, Environment, Failure, Hook, HookKind, Partitioner, PluginError, PluginFactory, Reads, Settings,
};

use crate::settings;

/// The partitioner `round-robin`. Each topic is counted for itself, from a random partition, so that many short-lived
/// senders do not all begin with partition 0.
pub struct RoundRobin {
    next: HashMap<String, u32>,
    random: Box<dyn FnMut() -> u32 + Send>,
}

impl RoundRobin {
    /// A partitioner that draws each topic's first partition from `random` (uniform over `u32`).
    #[must_use]
    pub fn new(random: impl FnMut() -> u32 + Send + 'static) -> Self {
        Self { next: HashMap::new(), random: Box::new(random) }
    }
}

impl std::fmt::Debug for RoundRobin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RoundRobin").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Partitioner for RoundRobin {
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
        if !self.next.contains_key(batch.topic()) {
            let first = (self.random)();
            self.next.insert(batch.topic().to_owned(), first);
        }
        let next = self.next.get_mut(batch.topic()).expect("it was put there above");
        choices.extend((0..batch.len()).map(|_| {
            // Kept below the count, so that a wrap of the counter skips nothing.
            let chosen = *next % partitions;
            *next = chosen + 1;
            Choice::Partition(chosen)
        }));
        Ok(())
    }
}

/// Makes [`RoundRobin`]; no settings.
#[derive(Clone, Copy, Debug)]
pub struct RoundRobinFactory;

impl PluginFactory for RoundRobinFactory {
    fn name(&self) -> &str {
        "round-robin"
    }

    fn hook(&self) -> HookKind {
        HookKind::Partitioner
    }

    fn validate(&self, settings: &Settings) -> Result<(), PluginError> {
        settings::only(self.name(), settings, &[])
    }

    fn create(&self, settings: &Settings, environment: &Environment) -> Result<Hook, PluginError> {
        self.validate(settings)?;
        let random = environment.random.clone();
        Ok(Hook::Partitioner(Box::new(RoundRobin::new(move || random()))))
    }

    fn close(&self) {
        // Instances share nothing.
    }
}
