//! `key-hash`: equal keys go to one partition, the same one that Kafka's Java client chooses.

use std::num::NonZeroU32;

use watershed_hooks::{
    Batch, Choice, Environment, Failure, Hook, HookKind, Partitioner, PluginError, PluginFactory, Reads, Settings,
    murmur2,
};

use crate::settings;

/// The partitioner `key-hash`: murmur2 of the key, without its sign bit, modulo the number of partitions. A record
/// without a key (null; the empty key is a key) is left to its sender. Where the topic has an ordering key, that stands for
/// the key.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyHash;

impl KeyHash {
    /// The partition of a key.
    #[must_use]
    pub fn partition_of(key: &[u8], partitions: NonZeroU32) -> u32 {
        // Java's toPositive: the sign bit is masked away, not negated.
        (murmur2(key) & 0x7fff_ffff) % partitions
    }
}

impl Partitioner for KeyHash {
    fn deterministic(&self) -> bool {
        true
    }

    fn reads(&self) -> &Reads {
        &Reads::KEYS
    }

    fn partition(
        &mut self,
        batch: &Batch<'_>,
        partitions: NonZeroU32,
        choices: &mut Vec<Choice>,
    ) -> Result<(), Failure> {
        choices.extend(batch.order_keys()?.map(|key| match key {
            Some(key) => Choice::Partition(Self::partition_of(key, partitions)),
            None => Choice::ClientStands,
        }));
        Ok(())
    }
}

/// Makes [`KeyHash`]; no settings.
#[derive(Clone, Copy, Debug)]
pub struct KeyHashFactory;

impl PluginFactory for KeyHashFactory {
    fn name(&self) -> &str {
        "key-hash"
    }

    fn hook(&self) -> HookKind {
        HookKind::Partitioner
    }

    fn validate(&self, settings: &Settings) -> Result<(), PluginError> {
        settings::only(self.name(), settings, &[])
    }

    fn create(&self, settings: &Settings, _environment: &Environment) -> Result<Hook, PluginError> {
        self.validate(settings)?;
        Ok(Hook::Partitioner(Box::new(KeyHash)))
    }

    fn close(&self) {
        // Instances share nothing.
    }
}
