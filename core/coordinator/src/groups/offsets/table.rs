//! A map from group, topic and partition to something.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::{FixedState, RandomState};

/// What there is of one topic, by partition. Partitions are counted from 0, so nobody can choose numbers that collide.
pub(super) type Partitions<T> = HashMap<i32, T, FixedState>;

/// What there is of one group, by topic.
pub(super) type Topics<T> = BTreeMap<Arc<str>, Partitions<T>>;

/// What there is of many groups. No entry is empty.
#[derive(Debug)]
pub(super) struct Table<T>(HashMap<Arc<str>, Topics<T>, RandomState>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<T> Table<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = (&Arc<str>, &Topics<T>)> {
        self.0.iter()
    }

    pub(super) fn of_group(&self, group: &str) -> Option<&Topics<T>> {
        self.0.get(group)
    }

    pub(super) fn get(&self, group: &str, topic: &str, partition: i32) -> Option<&T> {
        self.0.get(group)?.get(topic)?.get(&partition)
    }

    pub(super) fn get_mut(&mut self, group: &str, topic: &str, partition: i32) -> Option<&mut T> {
        self.0.get_mut(group)?.get_mut(topic)?.get_mut(&partition)
    }

    /// The partitions of a topic that is here already.
    pub(super) fn of_topic_mut(&mut self, group: &str, topic: &str) -> Option<&mut Partitions<T>> {
        self.0.get_mut(group)?.get_mut(topic)
    }

    /// The partitions of a topic, to put one there.
    pub(super) fn of_topic_or_new(&mut self, group: Arc<str>, topic: Arc<str>) -> &mut Partitions<T> {
        self.0.entry(group).or_default().entry(topic).or_default()
    }

    pub(super) fn remove(&mut self, group: &str, topic: &str, partition: i32) -> Option<T> {
        let topics = self.0.get_mut(group)?;
        let partitions = topics.get_mut(topic)?;
        let removed = partitions.remove(&partition)?;
        if partitions.is_empty() {
            topics.remove(topic);
            if topics.is_empty() {
                self.0.remove(group);
            }
        }
        Some(removed)
    }
}

impl<T> IntoIterator for Table<T> {
    type Item = (Arc<str>, Topics<T>);
    type IntoIter = std::collections::hash_map::IntoIter<Arc<str>, Topics<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A topic's partitions from the lowest up.
pub(super) fn in_order<T>(partitions: &Partitions<T>) -> Vec<(i32, &T)> {
    let mut sorted: Vec<_> = partitions.iter().map(|(partition, what)| (*partition, what)).collect();
    sorted.sort_unstable_by_key(|(partition, _)| *partition);
    sorted
}
