//! `sticky`: as even as the subscriptions allow, with the fewest partitions moved; for the purpose of the Java client's
//! `StickyAssignor` and `CooperativeStickyAssignor`, with algorithms of its own.
//!
//! Two algorithms: `even` where all members subscribe to the same topics, `mixed` otherwise. Both first decide what each member
//! keeps, then give away what is free, to members in a rack of the partition first where racks matter (KIP-881).
//! With equal subscriptions and no racks the moves are the fewest that there can be; otherwise nearly always.

mod even;
mod lightest;
mod mixed;
mod search;

use std::collections::BTreeSet;

use watershed_hooks::{Assignor, Failure, GroupAssignment, GroupSpec, TopicPartition};

use super::racks::Racks;
use super::{FREE, per_partition};

/// The assignor `sticky`.
#[derive(Clone, Copy, Debug)]
pub struct Sticky;

impl Assignor for Sticky {
    fn assign(&mut self, group: &GroupSpec<'_>) -> Result<GroupAssignment, Failure> {
        let racks = Racks::of(group).filter(|racks| matter(group, racks));
        Ok(if group.is_homogeneous() {
            even::assign(group, racks.as_ref())
        } else {
            mixed::assign(group, racks.as_ref())
        })
    }
}

/// Whether minding racks can change anything in this group.
fn matter(group: &GroupSpec<'_>, racks: &Racks) -> bool {
    let members: Vec<u32> = (0..group.members().len() as u32).collect();
    let topics: BTreeSet<u32> = group.members().iter().flat_map(|member| &member.topics).copied().collect();
    racks.matter(&members, &topics.into_iter().collect::<Vec<_>>())
}

/// Whether a partition may stay with a member: where racks matter, only within the member's rack.
fn near(racks: Option<&Racks>, member: u32, place: TopicPartition) -> bool {
    racks.is_none_or(|racks| racks.matches(member, place))
}

/// For each topic and partition, who owned it before, or [`FREE`].
fn owners(group: &GroupSpec<'_>) -> Vec<Vec<u32>> {
    let mut owners = per_partition(group, FREE);
    for (index, member) in (0..).zip(group.members()) {
        for place in &member.owned {
            owners[place.topic as usize][place.partition as usize] = index;
        }
    }
    owners
}

/// Puts the partitions with the fewest members nearby first, who would otherwise find these members' quotas used up.
fn sort_by_neighbours(racks: &Racks, members: usize, partitions: &mut [TopicPartition]) {
    let mut neighbours = vec![0u32; racks.count()];
    (0..members as u32).filter_map(|member| racks.member(member)).for_each(|rack| neighbours[rack as usize] += 1);
    partitions.sort_by_key(|place| racks.partition(*place).iter().map(|rack| neighbours[*rack as usize]).sum::<u32>());
}
