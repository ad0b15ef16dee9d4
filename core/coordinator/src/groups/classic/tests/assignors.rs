//! Two small assignors: the coordinator's tests have none of the built-in ones.

use std::collections::BTreeSet;

use watershed_hooks::{Assignor, Failure, GroupAssignment, GroupSpec, TopicPartition};

use crate::groups::Assignors;

/// Those that are built in, and perhaps one that is asked outside; that one is sticky, and has `uniform` behind it.
pub(super) fn assignors(outside: Option<&str>) -> Assignors {
    let balanced =
        |name: &str, is_sticky| -> (String, Box<dyn Assignor>) { (name.to_owned(), Box::new(Balanced { is_sticky })) };
    let mut inline = vec![balanced("range", false), balanced("sticky", true)];
    inline.extend(outside.map(|_| balanced("uniform", false)));
    Assignors::new(inline, outside.map(|name| balanced(name, true)))
}

/// Equal shares, for members that all subscribe to everything; a sticky one leaves as much as it can where it is.
struct Balanced {
    is_sticky: bool,
}

impl Assignor for Balanced {
    fn assign(&mut self, group: &GroupSpec<'_>) -> Result<GroupAssignment, Failure> {
        let (topics, members) = (group.topics(), group.members());
        let all = (0..).zip(topics).flat_map(|(topic, of_topic)| {
            (0..of_topic.partitions).map(move |partition| TopicPartition { topic, partition })
        });
        let mut free: BTreeSet<TopicPartition> = all.collect();
        let (share, mut larger) = (free.len() / members.len(), free.len() % members.len());
        let mut assignment = GroupAssignment::empty(members.len());
        let mut shares = Vec::new();
        for (member, given) in members.iter().zip(&mut assignment.members) {
            let is_larger = larger > 0 && (!self.is_sticky || member.owned.len() > share);
            larger -= usize::from(is_larger);
            let quota = share + usize::from(is_larger);
            if self.is_sticky {
                given.extend(member.owned.iter().copied().take(quota));
                free.retain(|partition| !given.contains(partition));
            }
            shares.push(quota);
        }
        for (given, quota) in assignment.members.iter_mut().zip(shares) {
            let is_larger = larger > 0 && quota == share;
            larger -= usize::from(is_larger);
            let quota = quota + usize::from(is_larger);
            while given.len() < quota {
                let Some(partition) = free.pop_first() else { break };
                given.push(partition);
            }
        }
        Ok(assignment)
    }
}
