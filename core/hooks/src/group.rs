//! [`GroupSpec`]: a consumer group as an assignor sees it.
//!
//! Topics and members are numbered, so that a group of a thousand members and ten thousand partitions holds no name twice and
//! costs no hashing. Invariant, which [`GroupSpec::new`] establishes: whatever a member is said to subscribe to or to own
//! exists, in order, and no partition has two owners.

use watershed_model::TopicId;

/// A topic that a group may subscribe to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupTopic<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its id.
    pub id: TopicId,
    /// How many partitions it has; they are numbered from 0.
    pub partitions: u32,
    /// For each partition, the racks of its replicas. Empty, as a whole or for a partition, where they are not known.
    pub racks: Vec<Vec<&'a str>>,
}

impl GroupTopic<'_> {
    /// The racks of a partition's replicas; none when they are not known.
    #[must_use]
    pub fn partition_racks(&self, partition: u32) -> &[&str] {
        self.racks.get(partition as usize).map_or(&[], Vec::as_slice)
    }
}

/// One partition of a topic of a [`GroupSpec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's index in [`GroupSpec::topics`].
    pub topic: u32,
    /// The partition's number.
    pub partition: u32,
}

/// Splits partitions that are in order into those of one topic each: the topic's index and its partitions.
pub fn by_topic(partitions: &[TopicPartition]) -> impl Iterator<Item = (u32, &[TopicPartition])> {
    partitions.chunk_by(|a, b| a.topic == b.topic).map(|of_topic| (of_topic[0].topic, of_topic))
}

/// A member of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupMember<'a> {
    /// Its id, unique in the group.
    pub member_id: &'a str,
    /// What a static member is called (KIP-345).
    pub instance_id: Option<&'a str>,
    /// Where it is, if it says so.
    pub rack: Option<&'a str>,
    /// The topics that it subscribes to, as indexes into [`GroupSpec::topics`].
    pub topics: Vec<u32>,
    /// What it owns: the partitions of the present target assignment (KIP-848), or those that it holds (classic members).
    pub owned: Vec<TopicPartition>,
    /// The user data of a classic member's subscription; empty for others.
    pub user_data: &'a [u8],
}

/// A group for which partitions are to be assigned.
#[derive(Clone, Debug)]
pub struct GroupSpec<'a> {
    topics: Vec<GroupTopic<'a>>,
    members: Vec<GroupMember<'a>>,
    homogeneous: bool,
}

impl<'a> GroupSpec<'a> {
    /// A group of these members, who speak of these topics by index.
    ///
    /// Members may be in any order and may claim anything: they are sorted by member id, their topics and partitions in
    /// ascending order, each once, and what does not exist is dropped. A partition that several members claim to own stays
    /// with the first of them in the order of member ids; a caller who knows better (by generations) decides before.
    ///
    /// # Panics
    /// When the topics are not sorted by name, or two have the same one.
    #[must_use]
    pub fn new(topics: Vec<GroupTopic<'a>>, mut members: Vec<GroupMember<'a>>) -> Self {
        assert!(topics.is_sorted_by(|a, b| a.name < b.name), "the topics of a group are sorted by name");
        members.sort_by_key(|member| member.member_id);
        let mut owned: Vec<Vec<bool>> = topics.iter().map(|topic| vec![false; topic.partitions as usize]).collect();
        for member in &mut members {
            member.topics.sort_unstable();
            member.topics.dedup();
            member.topics.retain(|topic| (*topic as usize) < topics.len());
            member.owned.retain(|claim| {
                let place = owned.get_mut(claim.topic as usize).and_then(|of| of.get_mut(claim.partition as usize));
                place.is_some_and(|taken| !std::mem::replace(taken, true))
            });
            member.owned.sort_unstable();
        }
        let homogeneous = members.windows(2).all(|pair| pair[0].topics == pair[1].topics);
        Self { topics, members, homogeneous }
    }

    /// The same group, whose members do not all subscribe to the same, although the topics that exist are the same: Kafka
    /// counts the names of topics that do not exist, too, when it chooses the algorithm of `uniform`.
    #[must_use]
    pub fn heterogeneous(mut self) -> Self {
        self.homogeneous = false;
        self
    }

    /// The topics, in the order of their names. A topic's index here stands for it everywhere else.
    #[must_use]
    pub fn topics(&self) -> &[GroupTopic<'a>] {
        &self.topics
    }

    /// The members, in the order of their ids. A member's index here is its index in the assignment.
    #[must_use]
    pub fn members(&self) -> &[GroupMember<'a>] {
        &self.members
    }

    /// Whether all members subscribe to the same topics.
    #[must_use]
    pub fn is_homogeneous(&self) -> bool {
        self.homogeneous
    }
}
