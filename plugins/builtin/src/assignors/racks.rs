//! Which member is in a rack with a replica of a partition (KIP-881).

use std::collections::{BTreeSet, HashMap};

use watershed_hooks::{GroupSpec, TopicPartition};

/// A rack without a name is none.
fn named(rack: Option<&str>) -> Option<&str> {
    rack.filter(|rack| !rack.is_empty())
}

/// The racks of a group, numbered.
#[derive(Debug)]
pub(super) struct Racks {
    members: Vec<Option<u32>>,
    /// For each topic and partition, the racks of the replicas, each once, in ascending order.
    partitions: Vec<Vec<Vec<u32>>>,
    count: usize,
}

impl Racks {
    /// The racks of a group; none if no member says where it is.
    pub(super) fn of(group: &GroupSpec<'_>) -> Option<Self> {
        let mut numbers = HashMap::new();
        let mut number = |rack| {
            let next = numbers.len() as u32;
            *numbers.entry(rack).or_insert(next)
        };
        if group.members().iter().all(|member| named(member.rack).is_none()) {
            return None;
        }
        let members = group.members().iter().map(|member| named(member.rack).map(&mut number)).collect();
        let mut partitions = Vec::with_capacity(group.topics().len());
        for topic in group.topics() {
            let racks_of = |partition| {
                let mut racks: Vec<u32> = topic.partition_racks(partition).iter().copied().map(&mut number).collect();
                racks.sort_unstable();
                racks.dedup();
                racks
            };
            partitions.push((0..topic.partitions).map(racks_of).collect());
        }
        Some(Self { members, partitions, count: numbers.len() })
    }

    /// How many racks there are; they are numbered from 0.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The rack of a member.
    pub(super) fn member(&self, member: u32) -> Option<u32> {
        self.members[member as usize]
    }

    /// The racks of a partition.
    pub(super) fn partition(&self, place: TopicPartition) -> &[u32] {
        &self.partitions[place.topic as usize][place.partition as usize]
    }

    /// Whether one of these members says where it is.
    pub(super) fn any_member(&self, members: &[u32]) -> bool {
        members.iter().any(|member| self.member(*member).is_some())
    }

    /// Whether the partition is near: in the member's rack, or the member does not say where it is.
    pub(super) fn matches(&self, member: u32, place: TopicPartition) -> bool {
        self.member(member).is_none_or(|rack| self.partition(place).contains(&rack))
    }

    /// Whether minding racks can change anything for these members and topics: some rack has both a member and a replica,
    /// and not every partition is in all racks.
    pub(super) fn matter(&self, members: &[u32], topics: &[u32]) -> bool {
        let of_members: BTreeSet<u32> = members.iter().filter_map(|member| self.member(*member)).collect();
        let partitions = || topics.iter().flat_map(|topic| &self.partitions[*topic as usize]);
        let of_partitions: BTreeSet<u32> = partitions().flatten().copied().collect();
        !of_members.is_disjoint(&of_partitions) && partitions().any(|racks| racks.len() != of_partitions.len())
    }
}
