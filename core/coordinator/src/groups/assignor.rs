//! Asks the hook `assignor`: from members and metadata to what it sees, and back.
//!
//! Those that are built in are asked here and now. The others, plugins that may take long, are asked outside: `question.rs`.
//!
//! What an assignor answers is checked (`watershed_hooks::assign_group`); where it fails or breaks the rules, [`FALLBACK`] takes over,
//! and the coordinator counts it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use watershed_hooks::{Assignor, GroupMember, GroupSpec, GroupTopic, TopicPartition, assign_group, by_topic};
use watershed_metadata::MetadataImage;
use watershed_model::TopicId;

use super::GroupCoordinator;
use super::consumer::Partitions;

/// The assignor that takes over where another one fails; every broker has it.
pub(super) const FALLBACK: &str = "uniform";

/// Assignors by name. One group at a time asks: an instance may keep state.
type ByName = BTreeMap<String, Mutex<Box<dyn Assignor>>>;

/// The assignors of a broker, by name.
#[derive(Default)]
pub struct Assignors {
    inline: ByName,
    outside: ByName,
}

impl fmt::Debug for Assignors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.inline.keys().chain(self.outside.keys())).finish()
    }
}

/// All of them fast enough to be asked inside the coordinator.
impl FromIterator<(String, Box<dyn Assignor>)> for Assignors {
    fn from_iter<I: IntoIterator<Item = (String, Box<dyn Assignor>)>>(assignors: I) -> Self {
        Self::new(assignors, [])
    }
}

impl Assignors {
    /// Assignors that are asked inside the coordinator, which waits for them, and others (plugins) that are asked outside, where they
    /// may take their time. Of two with one name the first kind counts.
    #[must_use]
    pub fn new(
        inline: impl IntoIterator<Item = (String, Box<dyn Assignor>)>,
        outside: impl IntoIterator<Item = (String, Box<dyn Assignor>)>,
    ) -> Self {
        let lock = |(name, assignor)| (name, Mutex::new(assignor));
        Self { inline: inline.into_iter().map(lock).collect(), outside: outside.into_iter().map(lock).collect() }
    }

    /// Whether any is asked outside.
    #[must_use]
    pub fn has_outside(&self) -> bool {
        !self.outside.is_empty()
    }

    /// Whether this one is asked outside. One that does not exist is not: that is known at once.
    #[must_use]
    pub fn is_outside(&self, name: &str) -> bool {
        self.outside.contains_key(name) && !self.inline.contains_key(name)
    }

    /// What each member is to own, by member id, as the named assignor says. It takes as long as the assignor takes.
    ///
    /// # Errors
    /// Why there is no answer, in words.
    pub(in crate::groups) fn ask(
        &self,
        name: &str,
        image: &MetadataImage,
        members: &[Candidate<'_>],
    ) -> Result<Targets, String> {
        let assignor = self.inline.get(name).or_else(|| self.outside.get(name));
        let assignor = assignor.ok_or_else(|| format!("there is no assignor {name}"))?;
        let spec = spec(image, members);
        let answer = assign_group(&mut **assignor.lock(), &spec).map_err(|failure| failure.to_string())?;
        let given = spec.members().iter().zip(&answer.members).map(|(member, partitions)| {
            let topics = by_topic(partitions).map(|(topic, of_topic)| {
                let id = spec.topics()[topic as usize].id;
                let number = |place: &TopicPartition| i32::try_from(place.partition).unwrap_or(i32::MAX);
                (id, of_topic.iter().map(number).collect())
            });
            (Arc::from(member.member_id), topics.collect())
        });
        Ok(given.collect())
    }
}

/// What each member is to own, by member id.
pub(in crate::groups) type Targets = BTreeMap<Arc<str>, Partitions>;

/// A member, as the hook is to see it.
pub(in crate::groups) struct Candidate<'a> {
    pub(in crate::groups) member_id: &'a str,
    pub(in crate::groups) instance_id: Option<&'a str>,
    pub(in crate::groups) rack: Option<&'a str>,
    /// The topics it subscribes to, by name; those that do not exist are left out.
    pub(in crate::groups) topics: BTreeSet<&'a str>,
    pub(in crate::groups) owned: &'a Partitions,
    pub(in crate::groups) user_data: &'a [u8],
}

impl GroupCoordinator {
    /// What each member is to own; by the named assignor, here and now, or where it fails by [`FALLBACK`].
    ///
    /// # Errors
    /// In words, if that fails too.
    pub(in crate::groups) fn assign(
        &self,
        group_id: &str,
        name: &str,
        members: &[Candidate<'_>],
    ) -> Result<Targets, String> {
        let answer = self.assignors.ask(name, &self.image, members);
        answer.or_else(|reason| self.assign_instead(group_id, name, &reason, members))
    }

    /// The same by [`FALLBACK`], because the named assignor has failed.
    ///
    /// # Errors
    /// In words, if that fails too.
    pub(in crate::groups) fn assign_instead(
        &self,
        group_id: &str,
        failed: &str,
        reason: &str,
        members: &[Candidate<'_>],
    ) -> Result<Targets, String> {
        tracing::warn!(group = group_id, assignor = failed, reason, "an assignor failed; {FALLBACK} takes over");
        self.failed_assignments.set(self.failed_assignments.get() + 1);
        self.assignors.ask(FALLBACK, &self.image, members)
    }
}

fn spec<'a>(image: &'a MetadataImage, members: &'a [Candidate<'a>]) -> GroupSpec<'a> {
    let names: BTreeSet<&str> = members.iter().flat_map(|member| member.topics.iter().copied()).collect();
    let known: Vec<_> = names.into_iter().filter_map(|name| image.topic_by_name(name)).collect();
    let index: BTreeMap<&str, u32> = (0..).zip(&known).map(|(index, topic)| (&**topic.name(), index)).collect();
    let by_id: BTreeMap<TopicId, u32> = (0..).zip(&known).map(|(index, topic)| (topic.id(), index)).collect();
    let has_racks = image.brokers().any(|broker| broker.rack.is_some());
    let topics = known.iter().map(|topic| GroupTopic {
        name: topic.name(),
        id: topic.id(),
        partitions: topic.partition_count().unsigned_abs(),
        racks: if has_racks { racks(image, topic) } else { Vec::new() },
    });
    let candidates = members.iter().map(|member| GroupMember {
        member_id: member.member_id,
        instance_id: member.instance_id,
        rack: member.rack,
        topics: member.topics.iter().filter_map(|name| index.get(name).copied()).collect(),
        owned: owned(member.owned, &by_id),
        user_data: member.user_data,
    });
    let spec = GroupSpec::new(topics.collect(), candidates.collect());
    let is_same = members.windows(2).all(|pair| pair[0].topics == pair[1].topics);
    if is_same { spec } else { spec.heterogeneous() }
}

fn owned(partitions: &Partitions, index: &BTreeMap<TopicId, u32>) -> Vec<TopicPartition> {
    let known = partitions.topics().filter_map(|(id, of_topic)| Some((*index.get(&id)?, of_topic)));
    let places = known.flat_map(|(topic, of_topic)| {
        of_topic.iter().map(move |partition| TopicPartition { topic, partition: partition.unsigned_abs() })
    });
    places.collect()
}

fn racks<'a>(image: &'a MetadataImage, topic: &'a watershed_metadata::Topic) -> Vec<Vec<&'a str>> {
    let of_broker = |id: &watershed_model::BrokerId| image.broker(*id)?.rack.as_deref();
    image.partitions(topic).map(|(_, partition)| partition.replicas.iter().filter_map(of_broker).collect()).collect()
}
