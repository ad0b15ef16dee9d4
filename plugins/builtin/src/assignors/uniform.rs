//! `uniform`: everybody the same number of partitions, and what one has one keeps; as Kafka's `UniformAssignor` (KIP-848).
//!
//! Two algorithms, as in Kafka: `homogeneous` where all members subscribe to the same topics, `heterogeneous` otherwise.
//! Racks play no part.

mod balancer;
mod heterogeneous;
mod homogeneous;

use watershed_hooks::{Assignor, Failure, GroupAssignment, GroupSpec};

use super::java::{self, Table};

/// The assignor `uniform`.
#[derive(Clone, Copy, Debug)]
pub struct Uniform;

impl Assignor for Uniform {
    fn assign(&mut self, group: &GroupSpec<'_>) -> Result<GroupAssignment, Failure> {
        if group.is_homogeneous() { homogeneous::assign(group) } else { Ok(heterogeneous::assign(group)) }
    }
}

/// The members in the order of Kafka's table of members, if they were put there in the order of their ids.
fn member_order(group: &GroupSpec<'_>) -> Vec<u32> {
    let hashes: Vec<u32> = group.members().iter().map(|member| java::string_hash(member.member_id)).collect();
    java::table_order(&hashes, Table::Default)
}
