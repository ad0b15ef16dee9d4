//! The built-in assignors: which member of a consumer group gets which partition.
//!
//! - [`Range`] (`range`): each topic in ranges, the same partitions of equally large topics to the same member.
//! - [`Uniform`] (`uniform`): everybody the same number of partitions, and what one has one keeps (KIP-848).
//! - [`RoundRobin`] (`round-robin`): partition after partition to member after member.
//! - [`Sticky`] (`sticky`): as even as the subscriptions allow, with the fewest partitions moved.
//!
//! `range` and `uniform` give, for one group, exactly the assignment that Apache Kafka 4.2.0 gives, `round-robin` that of its
//! Java client; where Kafka's depends on the order of a hash table, `java` says which order that is. `range` and `sticky` mind
//! racks, as the Java client's do (KIP-881).

mod java;
mod racks;
mod range;
mod round_robin;
mod sticky;
mod uniform;

use watershed_hooks::{Assignor, Environment, GroupSpec, Hook, HookKind, PluginError, PluginFactory, Settings};

pub use range::Range;
pub use round_robin::RoundRobin;
pub use sticky::Sticky;
pub use uniform::Uniform;

use crate::settings;

/// Nobody has the partition.
const FREE: u32 = u32::MAX;

/// Makes one of the built-in assignors; none has settings.
#[derive(Clone, Copy, Debug)]
pub struct AssignorFactory {
    name: &'static str,
    make: fn() -> Box<dyn Assignor>,
}

/// Their factories.
pub(crate) fn factories() -> Vec<Box<dyn PluginFactory>> {
    let all: [AssignorFactory; 4] = [
        AssignorFactory { name: "range", make: || Box::new(Range) },
        AssignorFactory { name: "uniform", make: || Box::new(Uniform) },
        AssignorFactory { name: "round-robin", make: || Box::new(RoundRobin) },
        AssignorFactory { name: "sticky", make: || Box::new(Sticky) },
    ];
    all.into_iter().map(|factory| Box::new(factory) as Box<dyn PluginFactory>).collect()
}

impl PluginFactory for AssignorFactory {
    fn name(&self) -> &str {
        self.name
    }

    fn hook(&self) -> HookKind {
        HookKind::Assignor
    }

    fn validate(&self, settings: &Settings) -> Result<(), PluginError> {
        settings::only(self.name, settings, &[])
    }

    fn create(&self, settings: &Settings, _: &Environment) -> Result<Hook, PluginError> {
        self.validate(settings)?;
        Ok(Hook::Assignor((self.make)()))
    }

    fn close(&self) {
        // Instances share nothing.
    }
}

/// For each topic, a value for each partition, all the same at first.
fn per_partition<T: Clone>(group: &GroupSpec<'_>, value: T) -> Vec<Vec<T>> {
    group.topics().iter().map(|topic| vec![value.clone(); topic.partitions as usize]).collect()
}

/// For each topic, the members that subscribe to it, in this order of members.
fn subscribers(group: &GroupSpec<'_>, order: &[u32]) -> Vec<Vec<u32>> {
    let mut subscribers = vec![Vec::new(); group.topics().len()];
    for member in order {
        for topic in &group.members()[*member as usize].topics {
            subscribers[*topic as usize].push(*member);
        }
    }
    subscribers
}

#[cfg(test)]
mod tests;
