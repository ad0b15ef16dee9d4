//! A group's target: what each member is to own, computed by an assignor when the group's epoch has been raised. `outside.rs` is for
//! assignors that are asked outside the coordinator.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher as _;
use std::sync::Arc;

use twox_hash::XxHash3_64;
use watershed_metadata::MetadataImage;
use watershed_protocol::ErrorCode;

use super::group::ConsumerGroup;
use super::member::ConsumerMember;
use super::partitions::Partitions;
use crate::groups::assignor::{Candidate, Targets};
use crate::groups::{GroupCoordinator, GroupError, GroupToken, Output};
use crate::records::{
    ConsumerGroupTargetAssignmentMemberValue, ConsumerGroupTargetAssignmentMetadataValue, GroupRecord,
};

impl GroupCoordinator {
    /// The target that a member as it is now follows, and that target's epoch. One that is due is computed and written, or asked for:
    /// then members follow the one before.
    pub(super) fn present_target(
        &self,
        group: &ConsumerGroup,
        epoch: i32,
        updated: &ConsumerMember,
        out: &mut Output,
    ) -> Result<(i32, Arc<Partitions>), GroupError> {
        let before = || group.target(&updated.member_id, updated.about.instance_id.as_deref());
        if epoch <= group.target_epoch {
            return Ok((group.target_epoch, before()));
        }
        if !self.asks_outside(group, updated) {
            return Ok((epoch, self.update_target(group, epoch, updated, out)?));
        }
        // A question that is under way is followed by the next one where that is due.
        if group.asked.is_none() {
            out.when_settled(GroupToken::ConsumerEpoch { group: Arc::clone(&group.group_id) });
        }
        if group.has_target() {
            return Ok((group.target_epoch, before()));
        }
        // Members have epochs from 1 on, and none is beyond its target: until the answer comes they follow one that gives nothing new.
        out.write(target_epoch_record(&group.group_id, epoch - 1));
        Ok((epoch - 1, before()))
    }

    /// Computes the target of an epoch with a member as it is now, writes what has changed, and gives that member's part.
    fn update_target(
        &self,
        group: &ConsumerGroup,
        epoch: i32,
        updated: &ConsumerMember,
        out: &mut Output,
    ) -> Result<Arc<Partitions>, GroupError> {
        // A static member that comes back takes the place of the one with its name.
        let replaced = updated.about.instance_id.as_ref().and_then(|instance_id| group.static_members.get(instance_id));
        let replaced = replaced.filter(|id| **id != updated.member_id);
        let others = group.members.values();
        let others =
            others.filter(|member| member.member_id != updated.member_id && Some(&member.member_id) != replaced);
        let members: Vec<&ConsumerMember> = others.chain([updated]).collect();
        let nothing = Partitions::NONE;
        let candidates: Vec<Candidate<'_>> = members
            .iter()
            .map(|member| {
                let known_as = if member.member_id == updated.member_id { replaced } else { None };
                let owned = group.targets.get(known_as.unwrap_or(&member.member_id));
                candidate(group, member, owned.map_or(&nothing, |owned| owned))
            })
            .collect();
        let name = self.assignor_of(group, Some(updated));
        let computed = self.assign(&group.group_id, &name, &candidates).map_err(|reason| {
            let message = format!("Failed to compute a new target assignment for epoch {epoch}: {reason}");
            GroupError::new(ErrorCode::UnknownServerError, message)
        })?;
        write_target(group, epoch, &computed, out);
        Ok(Arc::new(computed.get(&updated.member_id).cloned().unwrap_or_default()))
    }

    /// The operator's rule decides; without one the members vote, and without votes the operator's list begins with the default.
    pub(super) fn assignor_of(&self, group: &ConsumerGroup, updated: Option<&ConsumerMember>) -> String {
        let rule = self.rules.rule_for(&group.group_id);
        if let Some(name) = rule.and_then(|rule| rule.assignor.as_ref()) {
            return name.clone();
        }
        let is_other = |member: &&ConsumerMember| updated.is_none_or(|updated| member.member_id != updated.member_id);
        self.elected(group.members.values().filter(is_other).chain(updated))
    }

    /// The assignor that most members prefer.
    pub(super) fn elected<'a>(&self, members: impl Iterator<Item = &'a ConsumerMember>) -> String {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for name in members.filter_map(|member| member.about.assignor.as_deref()) {
            *votes.entry(name).or_default() += 1;
        }
        let elected = votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(name, _)| name);
        let default =
            self.settings.consumer_assignors.first().map_or(crate::groups::assignor::FALLBACK, String::as_str);
        elected.unwrap_or(default).to_owned()
    }

    /// The topics that a group subscribes to, by name and by regular expression, with a member that comes or changes.
    pub(super) fn topics_of<'a>(
        &self,
        group: &'a ConsumerGroup,
        joining: Option<&'a ConsumerMember>,
    ) -> BTreeSet<&'a str> {
        let mut topics = group.topic_names(&[], joining);
        topics.extend(group.resolved.values().flat_map(|resolved| resolved.topics.iter().map(String::as_str)));
        topics
    }

    /// What a rebalance depends on of topics: their ids, partitions and racks. Persisted, and compared with itself only.
    pub(super) fn metadata_hash(&self, topics: &BTreeSet<&str>) -> i64 {
        metadata_hash(&self.image, topics)
    }
}

/// [`GroupCoordinator::metadata_hash`], of any metadata.
pub(in crate::groups) fn metadata_hash(image: &MetadataImage, topics: &BTreeSet<&str>) -> i64 {
    let mut hash = XxHash3_64::new();
    for topic in topics.iter().filter_map(|name| image.topic_by_name(name)) {
        hash.write(&topic.id().0);
        hash.write_i32(topic.partition_count());
        for (number, partition) in image.partitions(topic) {
            // As a set: the order of replicas says who is to lead, and does not matter to consumers.
            let racks = partition.replicas.iter().filter_map(|id| image.broker(*id)?.rack.as_deref());
            let mut racks: Vec<&str> = racks.collect();
            racks.sort_unstable();
            if !racks.is_empty() {
                hash.write_i32(number);
            }
            for rack in racks {
                hash.write(rack.as_bytes());
                hash.write_u8(0);
            }
        }
    }
    // No topics: as Kafka has it.
    if topics.is_empty() { 0 } else { hash.finish().cast_signed() }
}

/// Writes what is new about a target, and of which epoch it is.
pub(super) fn write_target(group: &ConsumerGroup, epoch: i32, target: &Targets, out: &mut Output) {
    for (member_id, partitions) in target {
        if group.targets.get(member_id).is_none_or(|old| **old != *partitions) {
            out.write(target_record(&group.group_id, member_id, partitions));
        }
    }
    out.write(target_epoch_record(&group.group_id, epoch));
}

fn target_epoch_record(group_id: &str, epoch: i32) -> GroupRecord {
    GroupRecord::ConsumerGroupTargetAssignmentMetadata {
        group_id: group_id.to_owned(),
        value: Some(ConsumerGroupTargetAssignmentMetadataValue { assignment_epoch: epoch }),
    }
}

fn candidate<'a>(group: &'a ConsumerGroup, member: &'a ConsumerMember, owned: &'a Partitions) -> Candidate<'a> {
    let by_regex = member.regex().and_then(|regex| group.resolved.get(regex));
    let names = member.about.topics.iter().chain(by_regex.into_iter().flat_map(|resolved| resolved.topics.iter()));
    Candidate {
        member_id: &member.member_id,
        instance_id: member.about.instance_id.as_deref(),
        rack: member.about.rack_id.as_deref(),
        topics: names.map(String::as_str).collect(),
        owned,
        user_data: &[],
    }
}

pub(super) fn target_record(group_id: &str, member_id: &str, partitions: &Partitions) -> GroupRecord {
    GroupRecord::ConsumerGroupTargetAssignmentMember {
        group_id: group_id.to_owned(),
        member_id: member_id.to_owned(),
        value: Some(ConsumerGroupTargetAssignmentMemberValue { topic_partitions: partitions.to_record() }),
    }
}
