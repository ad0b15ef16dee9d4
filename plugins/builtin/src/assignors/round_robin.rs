//! `round-robin`: partition after partition to member after member; as the Java client's `RoundRobinAssignor`.

use watershed_hooks::{Assignor, Failure, GroupAssignment, GroupSpec, TopicPartition};

use super::java;

/// The assignor `round-robin`. Where subscriptions differ, a member that does not subscribe to a topic is passed over.
#[derive(Clone, Copy, Debug)]
pub struct RoundRobin;

impl Assignor for RoundRobin {
    fn assign(&mut self, group: &GroupSpec<'_>) -> Result<GroupAssignment, Failure> {
        let order = java::member_order(group);
        let mut assignment = GroupAssignment::empty(group.members().len());
        let mut turns = order.iter().copied().cycle();
        let mut subscribed = vec![false; group.members().len()];
        for ((topic, about), subscribers) in (0..).zip(group.topics()).zip(super::subscribers(group, &order)) {
            subscribers.iter().for_each(|member| subscribed[*member as usize] = true);
            for partition in 0..if subscribers.is_empty() { 0 } else { about.partitions } {
                let member =
                    turns.find(|member| subscribed[*member as usize]).expect("somebody subscribes to the topic");
                assignment.members[member as usize].push(TopicPartition { topic, partition });
            }
            subscribers.iter().for_each(|member| subscribed[*member as usize] = false);
        }
        Ok(assignment)
    }
}
