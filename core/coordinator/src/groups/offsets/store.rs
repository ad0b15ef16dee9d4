//! Committed offsets, and those that wait for the end of a transaction.
//!
//! Names are shared texts: a million offsets hold each group's and topic's name once. Groups and partitions are found by their hash
//! (`table.rs`); what is answered or written is put in order first, so that it comes in the same order after a restart.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use watershed_model::{Offset, ProducerId, Timestamp, TopicId};

use super::table::{Partitions, Table, Topics, in_order};
use crate::records::OffsetCommitValue;
use crate::runtime::Position;

/// Stands for no expiry of its own in the records.
pub(super) const NO_EXPIRY: i64 = -1;

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The offset of the next record to consume.
    pub offset: i64,
    /// When it was committed.
    pub commit_timestamp: Timestamp,
    /// Where its record lies: of two commits the later one counts.
    pub record: Offset,
    /// What the client keeps beside the offset.
    pub metadata: Box<str>,
    /// The topic's id; zero where the client named the topic only.
    pub topic_id: TopicId,
    /// The leader epoch of the last record that was consumed; -1 if unknown.
    pub leader_epoch: i32,
    expire_timestamp: Timestamp,
}

impl CommittedOffset {
    pub(super) fn of(value: OffsetCommitValue, record: Offset) -> Self {
        Self {
            offset: value.offset,
            commit_timestamp: Timestamp(value.commit_timestamp),
            record,
            metadata: value.metadata.into_boxed_str(),
            topic_id: value.topic_id,
            leader_epoch: value.leader_epoch,
            expire_timestamp: Timestamp(value.expire_timestamp),
        }
    }

    pub(super) fn to_value(&self) -> OffsetCommitValue {
        OffsetCommitValue {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: self.metadata.to_string(),
            commit_timestamp: self.commit_timestamp.0,
            expire_timestamp: self.expire_timestamp.0,
            topic_id: self.topic_id,
        }
    }

    /// When it expires, where its client said so (OffsetCommit up to version 4); otherwise that is for the broker's retention.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expire_timestamp).filter(|at| at.0 != NO_EXPIRY)
    }

    /// Whether it is known to have been committed for another topic of the same name than the one with this id.
    pub(super) fn is_of_another(&self, topic: TopicId) -> bool {
        !self.topic_id.is_zero() && !topic.is_zero() && self.topic_id != topic
    }
}

/// One group's offsets, by topic and partition.
pub type GroupOffsets = Topics<CommittedOffset>;

/// One topic's offsets in a group, by partition.
pub type TopicOffsets = Partitions<CommittedOffset>;

/// An offset and what it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct OffsetOf<'a> {
    /// The group.
    pub group: &'a Arc<str>,
    /// The topic.
    pub topic: &'a Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: &'a CommittedOffset,
}

/// A partition of a topic, as a group names it.
pub(super) type GroupPartition = (Arc<str>, Arc<str>, i32);

/// All offsets of one coordinator.
#[derive(Debug, Default)]
pub struct Offsets {
    committed: Table<CommittedOffset>,
    count: usize,
    /// Per producer, what its open transaction has committed so far.
    pending: BTreeMap<ProducerId, Table<CommittedOffset>>,
    /// Which producers have something pending.
    open: Table<BTreeSet<ProducerId>>,
    names: HashSet<Arc<str>, RandomState>,
}

impl Offsets {
    /// How many committed offsets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// A group's committed offsets.
    #[must_use]
    pub fn of_group(&self, group: &str) -> Option<&GroupOffsets> {
        self.committed.of_group(group)
    }

    /// One committed offset.
    #[must_use]
    pub fn get(&self, group: &str, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        self.committed.get(group, topic, partition)
    }

    /// All committed offsets by group, in no order.
    pub fn groups(&self) -> impl Iterator<Item = (&Arc<str>, &GroupOffsets)> {
        self.committed.groups()
    }

    /// All committed offsets, in no order but those of a group together.
    pub fn iter(&self) -> impl Iterator<Item = OffsetOf<'_>> {
        self.groups().flat_map(|(group, topics)| {
            topics.iter().flat_map(move |(topic, partitions)| {
                partitions.iter().map(move |(partition, offset)| OffsetOf {
                    group,
                    topic,
                    partition: *partition,
                    offset,
                })
            })
        })
    }

    /// Whether a transaction is about to change an offset.
    #[must_use]
    pub fn is_pending(&self, group: &str, topic: &str, partition: i32) -> bool {
        self.open.get(group, topic, partition).is_some()
    }

    /// Whether a transaction is about to change any of a group's offsets.
    #[must_use]
    pub fn has_pending(&self, group: &str) -> bool {
        self.open.of_group(group).is_some()
    }

    /// Every partition that has an offset in the group or is about to get one, in order.
    pub(in crate::groups) fn partitions_of_group(&self, group: &str) -> Vec<(Arc<str>, i32)> {
        let mut partitions = BTreeSet::new();
        for (topic, of_topic) in self.committed.of_group(group).into_iter().flatten() {
            partitions.extend(of_topic.keys().map(|partition| (Arc::clone(topic), *partition)));
        }
        for (topic, of_topic) in self.open.of_group(group).into_iter().flatten() {
            partitions.extend(of_topic.keys().map(|partition| (Arc::clone(topic), *partition)));
        }
        partitions.into_iter().collect()
    }

    /// Every partition of topics that are gone which has an offset or is about to get one, in order. `present` gives the id of the
    /// topic with this name, zero if any will do: what was committed for a topic with another id is gone as well.
    pub(super) fn of_gone_topics(&self, present: impl Fn(&str) -> Option<TopicId>) -> BTreeSet<GroupPartition> {
        let mut gone = BTreeSet::new();
        for (group, topics) in self.groups() {
            for (topic, partitions) in topics {
                let id = present(topic);
                let gone_here = partitions.iter().filter(|(_, offset)| id.is_none_or(|id| offset.is_of_another(id)));
                gone.extend(gone_here.map(|(partition, _)| (Arc::clone(group), Arc::clone(topic), *partition)));
            }
        }
        for (group, topics) in self.open.groups() {
            for (topic, partitions) in topics.iter().filter(|(topic, _)| present(topic).is_none()) {
                gone.extend(partitions.keys().map(|partition| (Arc::clone(group), Arc::clone(topic), *partition)));
            }
        }
        gone
    }

    /// Takes a commit's record.
    pub(super) fn insert(&mut self, group: &str, topic: &str, partition: i32, value: OffsetCommitValue, at: Position) {
        let offset = CommittedOffset::of(value, at.offset);
        let Some((producer, _)) = at.producer else { return self.put(group, topic, partition, offset) };
        let (group, topic) = (self.name(group), self.name(topic));
        let open = self.open.of_topic_or_new(Arc::clone(&group), Arc::clone(&topic));
        open.entry(partition).or_default().insert(producer);
        self.pending.entry(producer).or_default().of_topic_or_new(group, topic).insert(partition, offset);
    }

    fn put(&mut self, group: &str, topic: &str, partition: i32, offset: CommittedOffset) {
        // The usual case: there are offsets of this topic already.
        let replaced = match self.committed.of_topic_mut(group, topic) {
            Some(partitions) => partitions.insert(partition, offset),
            None => {
                let (group, topic) = (self.name(group), self.name(topic));
                self.committed.of_topic_or_new(group, topic).insert(partition, offset)
            }
        };
        self.count += usize::from(replaced.is_none());
    }

    /// Takes a tombstone: what is committed and what is pending goes.
    pub(super) fn remove(&mut self, group: &str, topic: &str, partition: i32) {
        self.count -= usize::from(self.committed.remove(group, topic, partition).is_some());
        for producer in self.open.remove(group, topic, partition).unwrap_or_default() {
            if let Some(table) = self.pending.get_mut(&producer) {
                table.remove(group, topic, partition);
                if table.is_empty() {
                    self.pending.remove(&producer);
                }
            }
        }
    }

    /// Takes a transaction's end. Of a pending and a committed offset the one whose record is later stands.
    pub(in crate::groups) fn end_transaction(&mut self, producer: ProducerId, committed: bool) {
        for (group, topics) in self.pending.remove(&producer).unwrap_or_default() {
            for (topic, partitions) in topics {
                for (partition, offset) in partitions {
                    self.close(&group, &topic, partition, producer);
                    let is_later = self.get(&group, &topic, partition).is_none_or(|other| offset.record > other.record);
                    if committed && is_later {
                        self.put(&group, &topic, partition, offset);
                    }
                }
            }
        }
    }

    fn close(&mut self, group: &str, topic: &str, partition: i32, producer: ProducerId) {
        let Some(producers) = self.open.get_mut(group, topic, partition) else { return };
        producers.remove(&producer);
        if producers.is_empty() {
            self.open.remove(group, topic, partition);
        }
    }

    /// Everything, with who has it pending: what is committed, then what is pending. Partitions of a topic come in order.
    pub(super) fn each(&self, emit: &mut dyn FnMut(OffsetOf<'_>, Option<ProducerId>)) {
        let pending = self.pending.iter().map(|(producer, table)| (table, Some(*producer)));
        for (table, producer) in std::iter::once((&self.committed, None)).chain(pending) {
            for (group, topics) in table.groups() {
                for (topic, partitions) in topics {
                    for (partition, offset) in in_order(partitions) {
                        emit(OffsetOf { group, topic, partition, offset }, producer);
                    }
                }
            }
        }
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let new: Arc<str> = Arc::from(name);
        self.names.insert(Arc::clone(&new));
        new
    }

    /// Lets go of names that nothing has any more.
    pub(super) fn tidy(&mut self) {
        self.names.retain(|name| Arc::strong_count(name) > 1);
    }
}

#[cfg(test)]
mod tests {
    use watershed_model::ProducerEpoch;

    use super::*;

    fn commit(offsets: &mut Offsets, group: &str, partition: i32, offset: i64, record: i64, producer: Option<i64>) {
        let value = OffsetCommitValue { offset, ..Default::default() };
        let producer = producer.map(|id| (ProducerId(id), ProducerEpoch(0)));
        offsets.insert(group, "t", partition, value, Position { offset: Offset(record), producer });
    }

    fn shown(offsets: &Offsets) -> Vec<(String, i32, i64)> {
        let mut all: Vec<_> = offsets.iter().map(|of| (of.group.to_string(), of.partition, of.offset.offset)).collect();
        all.sort();
        all
    }

    #[test]
    fn commits_replace_each_other_and_tombstones_remove_them() {
        let mut offsets = Offsets::default();
        for (partition, offset) in [(0, 5), (1, 6), (0, 7)] {
            commit(&mut offsets, "g", partition, offset, offset, None);
        }
        commit(&mut offsets, "h", 0, 1, 9, None);
        assert_eq!(shown(&offsets), [("g".into(), 0, 7), ("g".into(), 1, 6), ("h".into(), 0, 1)]);
        assert_eq!(offsets.len(), 3);
        offsets.remove("g", "t", 0);
        offsets.remove("g", "t", 0);
        offsets.remove("nobody", "t", 0);
        offsets.remove("h", "t", 0);
        assert_eq!(shown(&offsets), [("g".into(), 1, 6)]);
        assert_eq!((offsets.len(), offsets.of_group("h")), (1, None));
        offsets.remove("g", "t", 1);
        offsets.tidy();
        assert!(offsets.is_empty() && offsets.names.is_empty());
    }

    #[test]
    fn a_transaction_decides_its_offsets() {
        for committed in [true, false] {
            let mut offsets = Offsets::default();
            commit(&mut offsets, "g", 0, 1, 0, None);
            commit(&mut offsets, "g", 0, 2, 1, Some(7));
            commit(&mut offsets, "g", 1, 3, 2, Some(7));
            commit(&mut offsets, "g", 1, 4, 3, Some(8));
            assert!(offsets.is_pending("g", "t", 0) && offsets.is_pending("g", "t", 1) && offsets.has_pending("g"));
            assert!(!offsets.is_pending("g", "t", 2) && !offsets.has_pending("f") && !offsets.has_pending("h"));
            offsets.end_transaction(ProducerId(7), committed);
            let want: &[(String, i32, i64)] =
                if committed { &[("g".into(), 0, 2), ("g".into(), 1, 3)] } else { &[("g".into(), 0, 1)] };
            assert_eq!(shown(&offsets), want);
            assert!(!offsets.is_pending("g", "t", 0) && offsets.is_pending("g", "t", 1));
            // A commit outside the transaction that was written later stands.
            commit(&mut offsets, "g", 1, 9, 4, None);
            offsets.end_transaction(ProducerId(8), true);
            assert_eq!(offsets.get("g", "t", 1).map(|o| o.offset), Some(9));
            assert!(!offsets.has_pending("g"));
        }
    }

    #[test]
    fn a_tombstone_removes_what_is_pending() {
        let mut offsets = Offsets::default();
        commit(&mut offsets, "g", 0, 2, 1, Some(7));
        assert_eq!(offsets.of_gone_topics(|topic| (topic != "t").then_some(TopicId::ZERO)).len(), 1);
        offsets.remove("g", "t", 0);
        offsets.end_transaction(ProducerId(7), true);
        assert!(offsets.is_empty() && !offsets.has_pending("g") && offsets.pending.is_empty());
    }
}
