//! The hook `assignor`: which member of a consumer group gets which partition.

use crate::{Failure, GroupSpec, GroupTopic, TopicPartition};

/// Who gets what: for each member, in the order of [`GroupSpec::members`], its partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupAssignment {
    /// The members' partitions. From [`assign_group`] they come in ascending order, topic by topic; see
    /// [`crate::by_topic`].
    pub members: Vec<Vec<TopicPartition>>,
}

impl GroupAssignment {
    /// An assignment that gives nothing to each of that many members.
    #[must_use]
    pub fn empty(members: usize) -> Self {
        Self { members: vec![Vec::new(); members] }
    }
}

/// Decides which member of a group gets which partition.
///
/// An instance is used by one thread at a time. The assignment should follow from the group alone, so that asking again
/// changes nothing; what a member owns is part of the group. It does no I/O and does not block.
pub trait Assignor: Send {
    /// Gives every partition of every topic that somebody subscribes to, to one subscriber.
    ///
    /// # Errors
    /// [`Failure`], of either kind: the caller falls back to a built-in assignor.
    fn assign(&mut self, group: &GroupSpec<'_>) -> Result<GroupAssignment, Failure>;
}

/// Asks an assignor and checks its answer: it names no stranger and no partition that does not exist, and every partition
/// of a topic that a member subscribes to belongs to exactly one member, who subscribes to the topic. Each member's
/// partitions come back in ascending order.
///
/// # Errors
/// The assignor's own [`Failure`], or a wrong answer where it breaks these rules.
pub fn assign_group(assignor: &mut dyn Assignor, group: &GroupSpec<'_>) -> Result<GroupAssignment, Failure> {
    let mut assignment = assignor.assign(group)?;
    check(group, &assignment).map_err(Failure::wrong_answer)?;
    assignment.members.iter_mut().for_each(|partitions| partitions.sort_unstable());
    Ok(assignment)
}

/// Nobody has it yet.
const FREE: u32 = u32::MAX;

/// What is wrong with an assignment, for people.
fn check(group: &GroupSpec<'_>, assignment: &GroupAssignment) -> Result<(), String> {
    let (topics, members) = (group.topics(), group.members());
    if assignment.members.len() != members.len() {
        let (given, asked) = (assignment.members.len(), members.len());
        return Err(format!("the assignor answered for {given} members, the group has {asked}"));
    }
    let mut owners: Vec<Vec<u32>> = topics.iter().map(|topic| vec![FREE; topic.partitions as usize]).collect();
    let mut subscribed = vec![false; topics.len()];
    for ((index, member), given) in (0..).zip(members).zip(&assignment.members) {
        member.topics.iter().for_each(|topic| subscribed[*topic as usize] = true);
        for TopicPartition { topic, partition } in given {
            let Some(of_topic) = owners.get_mut(*topic as usize) else {
                return Err(format!("the assignor named topic {topic}, the group has {}", topics.len()));
            };
            let GroupTopic { name, partitions, .. } = &topics[*topic as usize];
            let Some(owner) = of_topic.get_mut(*partition as usize) else {
                return Err(format!(
                    "the assignor named partition {partition} of topic {name}, which has {partitions}"
                ));
            };
            if member.topics.binary_search(topic).is_err() {
                let id = member.member_id;
                return Err(format!("the assignor gave topic {name} to member {id}, who does not subscribe to it"));
            }
            if *owner != FREE {
                let (first, second) = (members[*owner as usize].member_id, member.member_id);
                return Err(format!(
                    "the assignor gave partition {partition} of topic {name} twice, to member {first} and to {second}"
                ));
            }
            *owner = index;
        }
    }
    for ((topic, of_topic), _) in topics.iter().zip(&owners).zip(&subscribed).filter(|(_, subscribed)| **subscribed) {
        if let Some(partition) = of_topic.iter().position(|owner| *owner == FREE) {
            return Err(format!("the assignor gave partition {partition} of topic {} to nobody", topic.name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
