//! `uniform` where all members subscribe to the same topics; as Kafka's `UniformHomogeneousAssignmentBuilder`.
//!
//! Each member keeps what it owns up to its quota. What nobody owns and what exceeds quotas then fills the others' quotas.

use watershed_hooks::{Failure, GroupAssignment, GroupSpec, TopicPartition, by_topic};

use super::java::{self, Table};

/// Quotas: everybody `share`, and some one more.
struct Quotas {
    share: usize,
    /// How many members may still get one more.
    extra: usize,
}

pub(super) fn assign(group: &GroupSpec<'_>) -> Result<GroupAssignment, Failure> {
    let mut assignment = GroupAssignment::empty(group.members().len());
    let Some(first) = group.members().first() else { return Ok(assignment) };
    let topics = &first.topics;
    let total: usize = topics.iter().map(|topic| group.topics()[*topic as usize].partitions as usize).sum();
    let mut quotas = Quotas { share: total / group.members().len(), extra: total % group.members().len() };
    let mut unassigned = unowned(group, topics);
    let mut unfilled = Vec::new();
    let order = super::member_order(group);
    for (position, index) in order.iter().enumerate() {
        let owned = &group.members()[*index as usize].owned;
        let subscribed = |place: &TopicPartition| topics.binary_search(&place.topic).is_ok();
        let mut has_extra = quotas.extra > 0;
        let quota = quotas.share + usize::from(has_extra);
        let kept = &mut assignment.members[*index as usize];
        kept.extend(owned.iter().copied().filter(subscribed));
        if kept.len() > quota {
            *kept = revocation_order(group, owned, quota, subscribed);
            unassigned.extend(kept.drain(quota..));
        }
        let mut room = quota - kept.len();
        // The one more is left to others, unless it takes all who follow to use it up.
        if room > 0 && has_extra && order.len() - position > quotas.extra {
            room -= 1;
            has_extra = false;
        }
        quotas.extra -= usize::from(has_extra);
        if room > 0 {
            unfilled.push((*index, room));
        }
    }
    let mut rest = unassigned.into_iter();
    for (index, room) in unfilled {
        assignment.members[index as usize].extend(rest.by_ref().take(room));
    }
    match rest.len() {
        0 => Ok(assignment),
        left => Err(Failure::Permanent(format!("the assignor uniform had nobody for {left} partitions"))),
    }
}

/// What nobody owns, in the order of Kafka's set of topics.
fn unowned(group: &GroupSpec<'_>, topics: &[u32]) -> Vec<TopicPartition> {
    let mut owned = super::super::per_partition(group, false);
    for place in group.members().iter().flat_map(|member| &member.owned) {
        owned[place.topic as usize][place.partition as usize] = true;
    }
    let hashes: Vec<u32> = topics.iter().map(|topic| java::topic_hash(group.topics()[*topic as usize].id)).collect();
    let mut unowned = Vec::new();
    for at in java::table_order(&hashes, Table::Copy) {
        let topic = topics[at as usize];
        let free = (0..).zip(&owned[topic as usize]).filter(|(_, owned)| !**owned);
        unowned.extend(free.map(|(partition, _)| TopicPartition { topic, partition }));
    }
    unowned
}

/// What a member owns and subscribes to, in the order in which Kafka looks at it when the member must give something up:
/// topics, and within a topic partitions, in the order of their tables. A topic that fits into what is left of the quota
/// is taken as a whole, so its partitions' order does not matter.
fn revocation_order(
    group: &GroupSpec<'_>,
    owned: &[TopicPartition],
    quota: usize,
    subscribed: impl Fn(&TopicPartition) -> bool,
) -> Vec<TopicPartition> {
    let of_topics: Vec<(u32, &[TopicPartition])> = by_topic(owned).collect();
    let hash = |(topic, _): &(u32, _)| java::topic_hash(group.topics()[*topic as usize].id);
    let hashes: Vec<u32> = of_topics.iter().map(hash).collect();
    let mut order = Vec::with_capacity(owned.len());
    let in_order = java::table_order(&hashes, Table::Default).into_iter().map(|at| of_topics[at as usize].1);
    for of_topic in in_order.filter(|of_topic| subscribed(&of_topic[0])) {
        if order.len() + of_topic.len() <= quota {
            order.extend(of_topic);
        } else {
            let hashes: Vec<u32> = of_topic.iter().map(|place| place.partition).collect();
            order.extend(java::table_order(&hashes, Table::Copy).into_iter().map(|at| of_topic[at as usize]));
        }
    }
    order
}
