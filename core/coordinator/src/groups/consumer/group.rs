//! A consumer group: members, their target, and who holds which partition.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use watershed_model::{Timestamp, TopicId};
use watershed_protocol::ErrorCode;

use super::member::{ConsumerMember, MemberState};
use super::partitions::Partitions;
use crate::groups::classic::Rebalance;
use crate::groups::question::Asked;
use crate::groups::{Committer, GroupError, GroupTimer, Output};
use crate::runtime::Now;

/// From this version on OffsetCommit knows epochs of members.
const EPOCHS_SINCE: i16 = 9;

/// The state of a consumer group, as Kafka names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerGroupState {
    /// It has no members.
    Empty,
    /// Its target is older than its epoch.
    Assigning,
    /// Members are on their way to the target.
    Reconciling,
    /// Every member has what it is to have.
    Stable,
}

impl ConsumerGroupState {
    /// Kafka's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

/// The topics that a regular expression matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    /// Their names.
    pub(super) topics: Arc<BTreeSet<String>>,
    /// The version of the metadata; 0 where the record says so.
    pub(super) version: i64,
    /// When they were looked up.
    pub(super) at: Timestamp,
}

/// What each regular expression of a group matched.
pub(super) type ResolvedExpressions = BTreeMap<Arc<str>, Resolved>;

/// When the metadata is looked at again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RefreshDeadline {
    pub(super) at_ms: u64,
    pub(super) epoch: i32,
}

/// A consumer group.
#[derive(Clone, Debug)]
pub struct ConsumerGroup {
    pub(in crate::groups) group_id: Arc<str>,
    pub(super) epoch: i32,
    pub(super) target_epoch: i32,
    /// Of the topics it subscribes to, as the record says.
    pub(super) metadata_hash: i64,
    pub(super) members: BTreeMap<Arc<str>, ConsumerMember>,
    pub(super) static_members: HashMap<Arc<str>, Arc<str>>,
    pub(super) targets: BTreeMap<Arc<str>, Arc<Partitions>>,
    /// The epoch at which somebody holds a partition, or still has to give it up.
    partition_epochs: HashMap<TopicId, HashMap<i32, i32>>,
    /// How many members subscribe to a topic by its name.
    topic_counts: BTreeMap<String, usize>,
    /// How many members subscribe to a regular expression.
    regex_counts: BTreeMap<Arc<str>, usize>,
    pub(super) resolved: ResolvedExpressions,
    pub(super) refresh: RefreshDeadline,
    /// The question to an assignor outside that is under way.
    pub(in crate::groups) asked: Option<Asked>,
    /// The last rebalance.
    pub(in crate::groups) rebalance: Option<Rebalance>,
}

impl ConsumerGroup {
    /// One without members.
    pub(in crate::groups) fn new(group_id: Arc<str>) -> Self {
        Self {
            group_id,
            epoch: 0,
            target_epoch: 0,
            metadata_hash: 0,
            members: BTreeMap::new(),
            static_members: HashMap::new(),
            targets: BTreeMap::new(),
            partition_epochs: HashMap::new(),
            topic_counts: BTreeMap::new(),
            regex_counts: BTreeMap::new(),
            resolved: BTreeMap::new(),
            refresh: RefreshDeadline::default(),
            asked: None,
            rebalance: None,
        }
    }

    /// The group with other regular expressions looked up.
    pub(super) fn with_resolved(&self, resolved: ResolvedExpressions) -> Self {
        Self { resolved, ..self.clone() }
    }

    /// The members, in the order of their ids.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &ConsumerMember> {
        self.members.values()
    }

    /// The member with this id.
    pub(in crate::groups) fn member(&self, member_id: &str) -> Result<&ConsumerMember, GroupError> {
        self.members.get(member_id).ok_or_else(|| {
            let message = format!("Member {member_id} is not a member of group {}.", self.group_id);
            GroupError::new(ErrorCode::UnknownMemberId, message)
        })
    }

    /// The static member of this name.
    pub(super) fn static_member(&self, instance_id: &str) -> Option<&ConsumerMember> {
        self.members.get(self.static_members.get(instance_id)?)
    }

    /// Whether it has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether the next heartbeat has the metadata looked at.
    pub(super) fn is_refresh_due(&self, now: Now) -> bool {
        now.elapsed_ms >= self.refresh.at_ms || self.epoch < self.refresh.epoch
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> ConsumerGroupState {
        if self.members.is_empty() {
            ConsumerGroupState::Empty
        } else if self.epoch > self.target_epoch {
            ConsumerGroupState::Assigning
        } else if self.members.values().all(|member| member.has_reached(self.target_epoch)) {
            ConsumerGroupState::Stable
        } else {
            ConsumerGroupState::Reconciling
        }
    }

    /// What a member is to own; a static member that comes back under a new id is to own what it was.
    pub(super) fn target(&self, member_id: &str, instance_id: Option<&str>) -> Arc<Partitions> {
        let member_id = match instance_id {
            Some(instance_id) => self.static_members.get(instance_id).map(|id| &**id),
            None => Some(member_id),
        };
        member_id.and_then(|id| self.targets.get(id)).cloned().unwrap_or_default()
    }

    /// The epoch at which somebody holds a partition; `None` if it is free.
    pub(super) fn partition_epoch(&self, topic: TopicId, partition: i32) -> Option<i32> {
        self.partition_epochs.get(&topic)?.get(&partition).copied()
    }

    /// How many members use the classic protocol.
    pub(in crate::groups) fn classic_count(&self) -> usize {
        self.members.values().filter(|member| member.is_classic()).count()
    }

    /// How many members subscribe to a regular expression.
    pub(super) fn regex_count(&self, regex: &str) -> usize {
        self.regex_counts.get(regex).copied().unwrap_or(0)
    }

    /// The regular expressions that members subscribe to.
    pub(super) fn regexes(&self) -> impl Iterator<Item = &Arc<str>> {
        self.regex_counts.keys()
    }

    /// Whether a member consumes the topic.
    #[must_use]
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.topic_counts.contains_key(topic) || self.resolved.values().any(|resolved| resolved.topics.contains(topic))
    }

    /// The topics that the group subscribes to by name when `leaving` are gone and `joining` is there (in the place of the member with
    /// its id).
    pub(super) fn topic_names<'a>(
        &'a self,
        leaving: &[&'a ConsumerMember],
        joining: Option<&'a ConsumerMember>,
    ) -> BTreeSet<&'a str> {
        let mut gone: BTreeMap<&str, usize> = BTreeMap::new();
        let replaced = joining.and_then(|member| self.members.get(&member.member_id));
        for member in leaving.iter().copied().chain(replaced) {
            for topic in member.about.topics.iter() {
                *gone.entry(topic).or_default() += 1;
            }
        }
        let stays = |(topic, count): &(&String, &usize)| gone.get(topic.as_str()).copied().unwrap_or(0) < **count;
        let mut topics: BTreeSet<&str> =
            self.topic_counts.iter().filter(stays).map(|(topic, _)| topic.as_str()).collect();
        topics.extend(joining.into_iter().flat_map(|member| member.about.topics.iter().map(String::as_str)));
        topics
    }

    /// Puts a member in the place of the one with its id, or takes the place's member away.
    pub(super) fn put(&mut self, member_id: &str, member: Option<ConsumerMember>) {
        // Most of the time a member takes a step and subscribes to what it did before.
        let is_same = |old: &ConsumerMember, new: &ConsumerMember| {
            Arc::ptr_eq(&old.about.topics, &new.about.topics) && old.about.regex == new.about.regex
        };
        let subscribes_on =
            self.members.get(member_id).zip(member.as_ref()).is_some_and(|(old, new)| is_same(old, new));
        if let Some(old) = self.members.remove(member_id) {
            if !subscribes_on {
                self.count(&old, false);
            }
            self.release(&old);
            if let Some(instance_id) = &old.about.instance_id
                && self.static_members.get(instance_id).is_some_and(|id| **id == *member_id)
            {
                self.static_members.remove(instance_id);
            }
        }
        if let Some(member) = member {
            if !subscribes_on {
                self.count(&member, true);
            }
            self.hold(&member);
            if let Some(instance_id) = &member.about.instance_id {
                self.static_members.insert(Arc::clone(instance_id), Arc::clone(&member.member_id));
            }
            self.members.insert(Arc::clone(&member.member_id), member);
        }
    }

    fn count(&mut self, member: &ConsumerMember, is_there: bool) {
        for topic in member.about.topics.iter() {
            if is_there {
                *self.topic_counts.entry(topic.clone()).or_default() += 1;
            } else if let Some(count) = self.topic_counts.get_mut(topic) {
                *count -= 1;
                if *count == 0 {
                    self.topic_counts.remove(topic);
                }
            }
        }
        let Some(regex) = member.regex() else { return };
        if is_there {
            *self.regex_counts.entry(Arc::clone(regex)).or_default() += 1;
        } else if let Some(count) = self.regex_counts.get_mut(regex) {
            *count -= 1;
            if *count == 0 {
                self.regex_counts.remove(regex);
            }
        }
    }

    fn hold(&mut self, member: &ConsumerMember) {
        for (topic, partition) in member.assigned.iter().chain(member.pending_revocation.iter()) {
            let epochs = self.partition_epochs.entry(topic).or_default();
            let epoch = epochs.entry(partition).or_insert(member.epoch);
            *epoch = (*epoch).max(member.epoch);
        }
    }

    fn release(&mut self, member: &ConsumerMember) {
        for (topic, partition) in member.assigned.iter().chain(member.pending_revocation.iter()) {
            let Some(epochs) = self.partition_epochs.get_mut(&topic) else { continue };
            // Who got it later holds it at another epoch.
            if epochs.get(&partition) == Some(&member.epoch) {
                epochs.remove(&partition);
            }
            if epochs.is_empty() {
                self.partition_epochs.remove(&topic);
            }
        }
    }

    pub(in crate::groups) fn check_commit(&self, committer: &Committer<'_>) -> Result<(), GroupError> {
        if committer.generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        let says_nothing =
            committer.generation == -1 && committer.member_id.is_empty() && committer.instance_id.is_none();
        if committer.is_transactional && says_nothing {
            return Ok(());
        }
        let member = self.member(committer.member_id)?;
        if !committer.is_transactional && !member.is_classic() && committer.version < EPOCHS_SINCE {
            let message = "OffsetCommit version 9 or above must be used by members using the modern group protocol";
            return Err(GroupError::new(ErrorCode::UnsupportedVersion, message));
        }
        check_epoch(member, committer.generation)
    }

    pub(in crate::groups) fn check_offset_fetch(&self, member_id: Option<&str>, epoch: i32) -> Result<(), GroupError> {
        match member_id {
            None if epoch < 0 => Ok(()),
            member_id => check_epoch(self.member(member_id.unwrap_or_default())?, epoch),
        }
    }

    pub(in crate::groups) fn check_delete(&self) -> Result<(), GroupError> {
        if self.members.is_empty() {
            return Ok(());
        }
        Err(GroupError::new(ErrorCode::NonEmptyGroup, "The group is not empty."))
    }

    pub(in crate::groups) fn cancel_timers(&self, out: &mut Output) {
        for member_id in self.members.keys() {
            cancel_member_timers(&self.group_id, member_id, out);
        }
        out.cancel(GroupTimer::Answer(Arc::clone(&self.group_id)));
    }
}

pub(super) fn cancel_member_timers(group_id: &Arc<str>, member_id: &Arc<str>, out: &mut Output) {
    for timer in
        [GroupTimer::ConsumerSession, GroupTimer::ConsumerRebalance, GroupTimer::ConsumerJoin, GroupTimer::ConsumerSync]
    {
        out.cancel(timer(Arc::clone(group_id), Arc::clone(member_id)));
    }
}

fn check_epoch(member: &ConsumerMember, received: i32) -> Result<(), GroupError> {
    if received == member.epoch {
        return Ok(());
    }
    let (code, what) = if member.is_classic() {
        (ErrorCode::IllegalGeneration, "generation id")
    } else {
        (ErrorCode::StaleMemberEpoch, "member epoch")
    };
    let message = format!("The received {what} {received} does not match the expected member epoch {}.", member.epoch);
    Err(GroupError::new(code, message))
}

/// Whether a member's state is one in which it holds back others.
pub(super) fn is_revoking(member: &ConsumerMember) -> bool {
    member.state == MemberState::UnrevokedPartitions
}
