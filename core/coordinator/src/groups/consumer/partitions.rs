//! Sets of partitions, as consumer groups share them out: by topic id, sorted, without empty topics.

use std::collections::BTreeMap;

use watershed_model::TopicId;

use crate::records::TopicPartitions;

/// Partitions of some topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partitions(BTreeMap<TopicId, Vec<i32>>);

impl Partitions {
    /// No partitions.
    pub const NONE: Self = Self(BTreeMap::new());

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn contains(&self, topic: TopicId, partition: i32) -> bool {
        self.of(topic).binary_search(&partition).is_ok()
    }

    /// Those of one topic, sorted.
    #[must_use]
    pub fn of(&self, topic: TopicId) -> &[i32] {
        self.0.get(&topic).map_or(&[], Vec::as_slice)
    }

    /// The topics, each with its partitions.
    pub fn topics(&self) -> impl Iterator<Item = (TopicId, &[i32])> {
        self.0.iter().map(|(topic, partitions)| (*topic, partitions.as_slice()))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (TopicId, i32)> {
        self.0.iter().flat_map(|(topic, partitions)| partitions.iter().map(move |partition| (*topic, *partition)))
    }

    /// Adds partitions of a topic; those that are there already are no error.
    pub fn extend(&mut self, topic: TopicId, partitions: impl IntoIterator<Item = i32>) {
        let all = self.0.entry(topic).or_default();
        all.extend(partitions);
        all.sort_unstable();
        all.dedup();
        if all.is_empty() {
            self.0.remove(&topic);
        }
    }

    /// Those for which `keep` holds.
    #[must_use]
    pub fn filter(&self, mut keep: impl FnMut(TopicId, i32) -> bool) -> Self {
        let topics = self.0.iter().filter_map(|(topic, partitions)| {
            let kept: Vec<i32> = partitions.iter().copied().filter(|partition| keep(*topic, *partition)).collect();
            (!kept.is_empty()).then_some((*topic, kept))
        });
        Self(topics.collect())
    }

    /// These and those.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        for (topic, partitions) in other.topics() {
            self.extend(topic, partitions.iter().copied());
        }
        self
    }

    /// As records hold them.
    #[must_use]
    pub fn to_record(&self) -> Vec<TopicPartitions> {
        let topic = |(topic_id, partitions): (&TopicId, &Vec<i32>)| TopicPartitions {
            topic_id: *topic_id,
            partitions: partitions.clone(),
        };
        self.0.iter().map(topic).collect()
    }
}

impl FromIterator<(TopicId, Vec<i32>)> for Partitions {
    fn from_iter<I: IntoIterator<Item = (TopicId, Vec<i32>)>>(topics: I) -> Self {
        let mut all = Self::NONE;
        for (topic, partitions) in topics {
            all.extend(topic, partitions);
        }
        all
    }
}

impl From<Vec<TopicPartitions>> for Partitions {
    fn from(record: Vec<TopicPartitions>) -> Self {
        record.into_iter().map(|of_topic| (of_topic.topic_id, of_topic.partitions)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_sorted_sets_without_empty_topics() {
        let (a, b) = (TopicId([1; 16]), TopicId([2; 16]));
        let all: Partitions = [(b, vec![3, 1, 3]), (a, vec![]), (a, vec![0])].into_iter().collect();
        assert_eq!(all.iter().collect::<Vec<_>>(), [(a, 0), (b, 1), (b, 3)]);
        assert_eq!(
            (all.count(), all.contains(b, 3), all.contains(a, 3), all.of(TopicId::ZERO).len()),
            (3, true, false, 0)
        );
        let odd = all.filter(|_, partition| partition % 2 == 1);
        assert_eq!(odd.iter().collect::<Vec<_>>(), [(b, 1), (b, 3)]);
        assert_eq!(odd.union(&all), all);
        assert_eq!(Partitions::from(all.to_record()), all);
        assert!(Partitions::NONE.is_empty() && !all.is_empty());
    }
}
