//! What metrics and tools see of groups beyond Kafka's protocol.

use std::sync::Arc;

use watershed_model::{Timestamp, TopicId};

use super::classic::Rebalance;
use super::{Group, GroupCoordinator};

/// A group, from outside.
#[derive(Clone, Debug)]
pub struct GroupStatus {
    /// Its id.
    pub group_id: Arc<str>,
    /// Kafka's name of its type.
    pub kind: &'static str,
    /// Kafka's name of its state.
    pub state: &'static str,
    /// How many members it has.
    pub members: usize,
    /// Its last rebalance since the coordinator was loaded.
    pub rebalance: Option<Rebalance>,
    /// What it has committed.
    pub committed: Vec<CommittedAt>,
}

/// A committed offset, from outside.
#[derive(Clone, Debug)]
pub struct CommittedAt {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The topic's id; zero where the client named the topic only.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: i32,
    /// The offset of the next record to consume.
    pub offset: i64,
    /// When it was committed.
    pub at: Timestamp,
}

impl Group {
    /// The last rebalance since the coordinator was loaded.
    #[must_use]
    pub fn rebalance(&self) -> Option<&Rebalance> {
        match self {
            Self::Classic(group) => group.rebalance.as_ref(),
            Self::Consumer(group) => group.rebalance.as_ref(),
        }
    }
}

impl GroupCoordinator {
    /// Every group, in the order of their ids, with at most so many committed offsets in all; the second is how many were left out.
    #[must_use]
    pub fn statuses(&self, offsets_max: usize) -> (Vec<GroupStatus>, usize) {
        let mut ids: Vec<_> = self.groups.iter().collect();
        ids.sort_by_key(|(group_id, _)| *group_id);
        let mut left = offsets_max;
        let mut all = Vec::with_capacity(ids.len());
        for (group_id, group) in ids {
            let committed = self.committed(group_id, left);
            left -= committed.len();
            all.push(GroupStatus {
                group_id: Arc::clone(group_id),
                kind: group.type_name(),
                state: group.state_name(),
                members: group.member_count(),
                rebalance: group.rebalance().cloned(),
                committed,
            });
        }
        (all, self.offsets.len().saturating_sub(offsets_max - left))
    }

    fn committed(&self, group_id: &str, count_max: usize) -> Vec<CommittedAt> {
        let topics = self.offsets.of_group(group_id).into_iter().flatten();
        let offsets = topics.flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(partition, offset)| CommittedAt {
                topic: Arc::clone(topic),
                topic_id: offset.topic_id,
                partition: *partition,
                offset: offset.offset,
                at: offset.commit_timestamp,
            })
        });
        offsets.take(count_max).collect()
    }
}
