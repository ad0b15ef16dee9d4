//! Native plugins that do what the records say.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use watershed_hooks::{
    Batch, Choice, Column, Environment, Failure, FaultKind, FetchFilter, Hook, HookKind, Interceptor, OrderingKey,
    Partitioner, PluginError, PluginFactory, Reads, Replacement, Settings, Verdict, Visibility, murmur2,
};
use watershed_model::{ManualClock, Timestamp};
use watershed_policy::{OnError, Origin, Plugin, PluginParts, PluginSet};

use crate::stage::NOW;

const EVERYTHING: Reads = Reads {
    keys: true,
    values: true,
    timestamps: true,
    ordering_keys: true,
    ranks: false,
    headers: watershed_hooks::HeaderReads::All,
};

/// Does what the records' values say.
struct Obedient(Arc<AtomicUsize>);

fn orders<'a>(batch: &Batch<'a>) -> Result<Vec<&'a str>, Failure> {
    Ok(batch.values()?.iter().map(|value| std::str::from_utf8(value.unwrap_or_default()).unwrap()).collect())
}

fn new_value(value: &str) -> Replacement {
    Replacement { value: Some(Some(value.as_bytes().to_vec())), headers: None }
}

impl Interceptor for Obedient {
    fn reads(&self) -> &Reads {
        &EVERYTHING
    }

    fn intercept(&mut self, batch: &Batch<'_>, verdicts: &mut Vec<Verdict>) -> Result<(), Failure> {
        self.0.fetch_add(1, Ordering::SeqCst);
        for order in orders(batch)? {
            verdicts.push(match order.split_once(':').unwrap_or((order, "")) {
                ("drop", _) => Verdict::Drop,
                ("reject", why) => Verdict::Reject(why.to_owned()),
                ("dead", why) => Verdict::DeadLetter(why.to_owned()),
                ("replace", with) => Verdict::Replace(new_value(with)),
                ("later", why) => return Err(Failure::Retriable(why.to_owned())),
                ("never", why) => return Err(Failure::Permanent(why.to_owned())),
                ("trap", _) => return Err(Failure::Fault { kind: FaultKind::Trap, message: "ouch".to_owned() }),
                _ => Verdict::Keep,
            });
        }
        Ok(())
    }
}

impl FetchFilter for Obedient {
    fn reads(&self) -> &Reads {
        &EVERYTHING
    }

    fn filter(&mut self, batch: &Batch<'_>, visibilities: &mut Vec<Visibility>) -> Result<(), Failure> {
        for order in orders(batch)? {
            visibilities.push(match order {
                "secret" => Visibility::Hide,
                "password" => Visibility::Redact(new_value("***")),
                "trap" => return Err(Failure::Fault { kind: FaultKind::Trap, message: "ouch".to_owned() }),
                _ => Visibility::Show,
            });
        }
        Ok(())
    }
}

/// The first byte of the value is the ordering key.
struct FirstByte;

impl OrderingKey for FirstByte {
    fn reads(&self) -> &Reads {
        &EVERYTHING
    }

    fn ordering_keys(&mut self, batch: &Batch<'_>, ordering_keys: &mut Column) -> Result<(), Failure> {
        for value in batch.values()?.iter() {
            ordering_keys.push(value.map(|value| &value[..1])).unwrap();
        }
        Ok(())
    }
}

struct ByKey;

impl Partitioner for ByKey {
    fn deterministic(&self) -> bool {
        true
    }

    fn reads(&self) -> &Reads {
        &Reads::KEYS
    }

    fn partition(&mut self, batch: &Batch<'_>, n: NonZeroU32, choices: &mut Vec<Choice>) -> Result<(), Failure> {
        choices.extend(batch.order_keys()?.map(|key| match key {
            Some(key) => Choice::Partition(partition_of(key, n.get())),
            None => Choice::ClientStands,
        }));
        Ok(())
    }
}

pub(super) fn partition_of(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions
}

struct Factory(&'static str, HookKind, Arc<AtomicUsize>);

impl PluginFactory for Factory {
    fn name(&self) -> &str {
        self.0
    }

    fn hook(&self) -> HookKind {
        self.1
    }

    fn validate(&self, _: &Settings) -> Result<(), PluginError> {
        Ok(())
    }

    fn create(&self, _: &Settings, _: &Environment) -> Result<Hook, PluginError> {
        let obedient = Obedient(Arc::clone(&self.2));
        Ok(match self.1 {
            HookKind::Interceptor => Hook::Interceptor(Box::new(obedient)),
            HookKind::FetchFilter => Hook::FetchFilter(Box::new(obedient)),
            HookKind::OrderingKey => Hook::OrderingKey(Box::new(FirstByte)),
            _ => Hook::Partitioner(Box::new(ByKey)),
        })
    }

    fn close(&self) {}
}

pub(super) fn plugins(on_error: &OnError) -> (PluginSet, Arc<AtomicUsize>) {
    let (mut set, calls) = (PluginSet::default(), Arc::new(AtomicUsize::new(0)));
    for (name, hook) in [
        ("obedient", HookKind::Interceptor),
        ("again", HookKind::Interceptor),
        ("mask", HookKind::FetchFilter),
        ("first-byte", HookKind::OrderingKey),
        ("by-key", HookKind::Partitioner),
    ] {
        let parts = PluginParts {
            factory: Arc::new(Factory(name, hook, Arc::clone(&calls))),
            settings: Settings::new(),
            on_error: on_error.clone(),
            dead_letter_topic: Some("dead".to_owned()),
            origin: Origin::Native,
            random: Arc::new(|| 0),
            breaker: Default::default(),
            clock: Arc::new(ManualClock::at(Timestamp(NOW))),
        };
        set.add(Plugin::new(parts).unwrap());
    }
    (set, calls)
}
