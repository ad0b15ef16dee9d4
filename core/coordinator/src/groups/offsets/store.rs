//! Committed offsets by group, topic and partition, and those that wait for the end of a transaction.
//!
//! Names are shared texts: a million offsets hold each group's and topic's name once. Everything is ordered, so that answers and
//! records come in the same order after a restart.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use watershed_model::{Offset, ProducerId, Timestamp, TopicId};

use crate::records::OffsetCommitValue;
use crate::runtime::Position;

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The offset of the next record to consume.
    pub offset: i64,
    /// The leader epoch of the last record that was consumed; -1 if unknown.
    pub leader_epoch: i32,
    /// What the client keeps beside the offset.
    pub metadata: Box<str>,
    /// When it was committed.
    pub commit_timestamp: Timestamp,
    /// When it expires; by the broker's retention where it does not say.
    pub expire_timestamp: Option<Timestamp>,
    /// The topic's id; zero where the client named the topic only.
    pub topic_id: TopicId,
    /// Where its record lies: of two commits the later one counts.
    pub record: Offset,
}

impl CommittedOffset {
    pub(super) fn of(value: OffsetCommitValue, record: Offset) -> Self {
        Self {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata.into_boxed_str(),
            commit_timestamp: Timestamp(value.commit_timestamp),
            expire_timestamp: (value.expire_timestamp >= 0).then_some(Timestamp(value.expire_timestamp)),
            topic_id: value.topic_id,
            record,
        }
    }

    pub(super) fn to_value(&self) -> OffsetCommitValue {
        OffsetCommitValue {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: self.metadata.to_string(),
            commit_timestamp: self.commit_timestamp.0,
            expire_timestamp: self.expire_timestamp.map_or(-1, |at| at.0),
            topic_id: self.topic_id,
        }
    }
}

/// One group's offsets: by topic, then by partition.
pub type GroupOffsets = BTreeMap<Arc<str>, BTreeMap<i32, CommittedOffset>>;

/// Offsets of many groups. No entry is empty.
#[derive(Debug, Default)]
struct Table(HashMap<Arc<str>, GroupOffsets>);

impl Table {
    fn insert(&mut self, group: Arc<str>, topic: Arc<str>, partition: i32, offset: CommittedOffset) -> bool {
        let partitions = self.0.entry(group).or_default().entry(topic).or_default();
        partitions.insert(partition, offset).is_none()
    }

    fn remove(&mut self, group: &str, topic: &str, partition: i32) -> bool {
        let Some(topics) = self.0.get_mut(group) else { return false };
        let Some(partitions) = topics.get_mut(topic) else { return false };
        let was_there = partitions.remove(&partition).is_some();
        if partitions.is_empty() {
            topics.remove(topic);
        }
        if topics.is_empty() {
            self.0.remove(group);
        }
        was_there
    }
}

/// A partition of a topic, as a group names it.
type GroupPartition = (Arc<str>, Arc<str>, i32);

/// All offsets of one coordinator.
#[derive(Debug, Default)]
pub struct Offsets {
    committed: Table,
    count: usize,
    /// Per producer, what its open transaction has committed so far.
    pending: BTreeMap<ProducerId, Table>,
    /// Which producers have something pending, by group, topic and partition.
    open: BTreeMap<GroupPartition, BTreeSet<ProducerId>>,
    names: HashSet<Arc<str>>,
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
        self.committed.0.get(group)
    }

    /// One committed offset.
    #[must_use]
    pub fn get(&self, group: &str, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        self.of_group(group)?.get(topic)?.get(&partition)
    }

    /// All committed offsets, by group.
    pub fn groups(&self) -> impl Iterator<Item = (&Arc<str>, &GroupOffsets)> {
        self.committed.0.iter()
    }

    /// Whether a transaction is about to change an offset.
    #[must_use]
    pub fn is_pending(&self, group: &str, topic: &str, partition: i32) -> bool {
        !self.open.is_empty() && self.open.contains_key(&(Arc::from(group), Arc::from(topic), partition))
    }

    /// Whether a transaction is about to change any of a group's offsets.
    #[must_use]
    pub fn has_pending(&self, group: &str) -> bool {
        self.pending_of(group).next().is_some()
    }

    /// What transactions are about to change of a group's offsets.
    pub(in crate::groups) fn pending_of(&self, group: &str) -> impl Iterator<Item = (&Arc<str>, i32)> {
        let from: GroupPartition = (Arc::from(group), Arc::from(""), i32::MIN);
        let of_group = self.open.range(from.clone()..).take_while(move |((other, ..), _)| *other == from.0);
        of_group.map(|((_, topic, partition), _)| (topic, *partition))
    }

    /// Every partition that has an offset or is about to get one, of the topics that `wanted` names.
    pub(super) fn of_topics(&self, wanted: impl Fn(&str) -> bool) -> BTreeSet<GroupPartition> {
        let committed = self.committed.0.iter().flat_map(|(group, topics)| {
            topics
                .iter()
                .flat_map(move |(topic, partitions)| partitions.keys().map(move |partition| (group, topic, *partition)))
        });
        let pending = self.open.keys().map(|(group, topic, partition)| (group, topic, *partition));
        committed
            .chain(pending)
            .filter(|(_, topic, _)| wanted(topic))
            .map(|(group, topic, partition)| (Arc::clone(group), Arc::clone(topic), partition))
            .collect()
    }

    /// Takes a commit's record.
    pub(super) fn insert(&mut self, group: &str, topic: &str, partition: i32, value: OffsetCommitValue, at: Position) {
        let offset = CommittedOffset::of(value, at.offset);
        if let Some((producer, _)) = at.producer {
            let (group, topic) = (self.name(group), self.name(topic));
            self.open.entry((Arc::clone(&group), Arc::clone(&topic), partition)).or_default().insert(producer);
            self.pending.entry(producer).or_default().insert(group, topic, partition, offset);
            return;
        }
        // The usual case: there is one already.
        let known = self.committed.0.get_mut(group).and_then(|topics| topics.get_mut(topic));
        let is_new = match known {
            Some(partitions) => partitions.insert(partition, offset).is_none(),
            None => {
                let (group, topic) = (self.name(group), self.name(topic));
                self.committed.insert(group, topic, partition, offset)
            }
        };
        self.count += usize::from(is_new);
    }

    /// Takes a tombstone: what is committed and what is pending goes.
    pub(super) fn remove(&mut self, group: &str, topic: &str, partition: i32) {
        self.count -= usize::from(self.committed.remove(group, topic, partition));
        if self.open.is_empty() {
            return;
        }
        let producers = self.open.remove(&(Arc::from(group), Arc::from(topic), partition)).unwrap_or_default();
        for producer in producers {
            if let Some(table) = self.pending.get_mut(&producer) {
                table.remove(group, topic, partition);
            }
        }
    }

    /// Takes a transaction's end. Of a pending and a committed offset the one whose record is later stands.
    pub(in crate::groups) fn end_transaction(&mut self, producer: ProducerId, committed: bool) {
        let Some(table) = self.pending.remove(&producer) else { return };
        for (group, topics) in table.0 {
            for (topic, partitions) in topics {
                for (partition, offset) in partitions {
                    self.close(&group, &topic, partition, producer);
                    let is_later = self.get(&group, &topic, partition).is_none_or(|other| offset.record > other.record);
                    if committed && is_later {
                        let is_new = self.committed.insert(Arc::clone(&group), Arc::clone(&topic), partition, offset);
                        self.count += usize::from(is_new);
                    }
                }
            }
        }
    }

    fn close(&mut self, group: &Arc<str>, topic: &Arc<str>, partition: i32, producer: ProducerId) {
        let key = (Arc::clone(group), Arc::clone(topic), partition);
        if let Some(producers) = self.open.get_mut(&key) {
            producers.remove(&producer);
            if producers.is_empty() {
                self.open.remove(&key);
            }
        }
    }

    /// Everything, with where it was written: first what is committed, then what is pending.
    pub(super) fn each(&self, emit: &mut dyn FnMut(&str, &str, i32, &CommittedOffset, Option<ProducerId>)) {
        let pending = self.pending.iter().map(|(producer, table)| (table, Some(*producer)));
        for (table, producer) in std::iter::once((&self.committed, None)).chain(pending) {
            for (group, topics) in &table.0 {
                for (topic, partitions) in topics {
                    for (partition, offset) in partitions {
                        emit(group, topic, *partition, offset, producer);
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
        let mut all = Vec::new();
        for (group, topics) in offsets.groups() {
            for partitions in topics.values() {
                all.extend(partitions.iter().map(|(partition, offset)| (group.to_string(), *partition, offset.offset)));
            }
        }
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
        assert_eq!(offsets.of_topics(|topic| topic == "t").len(), 1);
        offsets.remove("g", "t", 0);
        offsets.end_transaction(ProducerId(7), true);
        assert!(offsets.is_empty() && !offsets.has_pending("g"));
    }
}
