//! From a classic group to a consumer group and back, while members stay (KIP-848's online migration).
//!
//! Upgrade: the first member that speaks the consumer protocol turns the group; the classic members stay in it, with what they own, and
//! speak their protocol on. Downgrade: when the last member that speaks the consumer protocol goes, the rest is a classic group again.

use std::sync::Arc;

use bytes::Bytes;
use watershed_metadata::MetadataImage;
use watershed_protocol::ErrorCode;

use super::group::ConsumerGroup;
use super::member::{About, ConsumerMember, MemberState};
use super::partitions::Partitions;
use crate::groups::classic::{ClassicGroup, ClassicMember, ClassicProtocol, ClassicState, RebalanceReason};
use crate::groups::protocol::{self, PROTOCOL_TYPE, Subscription};
use crate::groups::{Group, GroupCoordinator, GroupError, GroupToken, Output};
use crate::records;
use crate::runtime::Now;

impl GroupCoordinator {
    /// The consumer group that a member is about to be in where there is none: a new one, or what becomes of a classic group. `None`:
    /// there is one, or it must be there. What `told` gets must be said even if nothing comes of it: members that wait in the classic
    /// group are sent away.
    pub(super) fn other_to_consumer_group(
        &mut self,
        group_id: &str,
        joins: bool,
        now: Now,
        told: &mut Output,
        out: &mut Output,
    ) -> Result<Option<ConsumerGroup>, GroupError> {
        let group = match self.groups.get_mut(group_id) {
            Some(Group::Consumer(_)) => return Ok(None),
            Some(Group::Classic(_)) | None if !joins => {
                return match self.groups.get(group_id) {
                    Some(_) => self.consumer_group(group_id).map(|_| None),
                    None => Err(GroupError::not_found(group_id)),
                };
            }
            None => return Ok(Some(ConsumerGroup::new(Arc::from(group_id)))),
            Some(Group::Classic(group)) => group,
        };
        if group.is_empty() {
            let id = Arc::clone(&group.group_id);
            group.write_tombstones(out);
            group.cancel_timers(out);
            return Ok(Some(ConsumerGroup::new(id)));
        }
        self.upgrade(group_id, now, told, out).map(Some)
    }

    fn upgrade(
        &mut self,
        group_id: &str,
        now: Now,
        told: &mut Output,
        out: &mut Output,
    ) -> Result<ConsumerGroup, GroupError> {
        let Some(Group::Classic(group)) = self.groups.get_mut(group_id) else {
            return Err(GroupError::not_found(group_id));
        };
        let refuse = |reason: &str| {
            let message = format!("Cannot upgrade classic group {group_id} to consumer group because {reason}.");
            Err(GroupError::new(ErrorCode::GroupIdNotFound, message))
        };
        if !self.settings.consumer_migration_policy.upgrade {
            return refuse("online upgrade is disabled");
        }
        if !group.uses_consumer_protocol() {
            return refuse("the group does not use the consumer embedded protocol");
        }
        if group.members().len() > self.settings.consumer_size_max {
            return refuse("the group size exceeds the consumer group maximum size");
        }
        // Whoever waits is to join again, in the new group.
        group.fail_joins(ErrorCode::RebalanceInProgress, told);
        group.fail_syncs(ErrorCode::RebalanceInProgress, told);
        group.forget_question(told);
        let mut upgraded = match upgraded(group, &self.image) {
            Ok(upgraded) => upgraded,
            Err(reason) => return refuse(reason),
        };
        group.write_tombstones(out);
        group.cancel_timers(out);
        let Some(Group::Classic(_)) = self.groups.get(group_id) else { return Err(GroupError::not_found(group_id)) };
        upgraded.metadata_hash = self.metadata_hash(&self.topics_of(&upgraded, None));
        upgraded.write_all(&mut |record| out.write(record));
        for member in upgraded.members() {
            self.keep_consumer_session(&upgraded.group_id, member, now, out);
        }
        tracing::info!(group = group_id, "a classic group became a consumer group");
        Ok(upgraded)
    }

    /// Whether only members with the classic protocol are left when these have gone, and the operator lets the group follow them.
    pub(super) fn may_become_classic(&self, group: &ConsumerGroup, leaving: &[&ConsumerMember]) -> bool {
        let left = group.members().len() - leaving.len();
        let classic = group.classic_count() - leaving.iter().filter(|member| member.is_classic()).count();
        classic == left
            && left > 0
            && self.settings.consumer_migration_policy.downgrade
            && left <= self.settings.classic_size_max
    }

    /// Makes a classic group of the members that stay, and has them rebalance.
    pub(super) fn become_classic(&mut self, group_id: &Arc<str>, leaving: &[Arc<str>], now: Now, out: &mut Output) {
        let Some(Group::Consumer(group)) = self.groups.get(group_id) else { return };
        let staying = group.members().filter(|member| !leaving.contains(&member.member_id));
        let mut classic = ClassicGroup::at(Arc::clone(group_id), ClassicState::Stable, Some(now.wall));
        for member in staying {
            let target = group.targets.get(&member.member_id).cloned().unwrap_or_default();
            classic.add(downgraded(member, &target, &self.image), PROTOCOL_TYPE, None);
        }
        self.turn_classic(group_id, classic, now, out);
        if let Some((group, mut step)) = self.classic(group_id, now, out) {
            let text = "the last member with the consumer protocol has left".to_owned();
            group.prepare_rebalance(RebalanceReason::ProtocolDowngraded, text, &mut step);
        }
    }

    /// Puts a classic group in the place of a consumer group, and writes that down; if that fails, the old one is back.
    pub(super) fn turn_classic(&mut self, group_id: &Arc<str>, mut classic: ClassicGroup, now: Now, out: &mut Output) {
        let Some(Group::Consumer(group)) = self.groups.get(group_id) else { return };
        classic.generation = group.epoch;
        classic.protocol_name = classic.select_protocol();
        classic.subscribed_topics = classic.compute_subscribed_topics();
        let mut tombstones = Output::default();
        group.write_tombstones(&mut tombstones);
        group.cancel_timers(out);
        // The memory has the new group already, which these must not remove.
        for write in tombstones.writes() {
            out.write_only(write.record.clone());
        }
        classic.write_present(out);
        let generation = classic.generation;
        if let Some(mut before) = self.groups.insert(Arc::clone(group_id), Group::Classic(classic))
            && let Some(Group::Classic(group)) = self.groups.get_mut(group_id)
        {
            if let Group::Consumer(before) = &mut before {
                // The answer will not find it.
                before.asked = None;
            }
            group.stands_for(before);
        }
        out.when_settled(GroupToken::ClassicEmpty { group: Arc::clone(group_id), generation });
        if let Some((group, mut step)) = self.classic(group_id, now, out) {
            group.schedule_heartbeats(&mut step);
        }
        tracing::info!(group = &**group_id, "a consumer group became a classic group");
    }
}

/// A classic group's members in a consumer group, each with what it owns.
fn upgraded(group: &ClassicGroup, image: &MetadataImage) -> Result<ConsumerGroup, &'static str> {
    const MALFORMED: &str = "the embedded consumer protocol is malformed";
    let mut upgraded = ConsumerGroup::new(Arc::clone(&group.group_id));
    upgraded.epoch = group.generation;
    upgraded.target_epoch = group.generation;
    let protocol = group.protocol_name.as_deref().unwrap_or_default();
    for member in group.members() {
        let assigned = if member.assignment.is_empty() {
            Partitions::NONE
        } else {
            let assignment = protocol::Assignment::decode(&member.assignment).ok_or(MALFORMED)?;
            if assignment.user_data.is_some_and(|data| !data.is_empty()) {
                return Err(
                    "an unsupported custom assignor is in use. Please refer to the documentation or switch to a \
                            default assignor before re-attempting the upgrade",
                );
            }
            by_id(&assignment.partitions, image)
        };
        // Before the first generation there is no common protocol: the first of its own says the same.
        let metadata = member.metadata(protocol).or_else(|| member.protocols.first().map(|own| &own.metadata));
        let subscription = metadata.and_then(Subscription::decode).ok_or(MALFORMED)?;
        let about = About {
            instance_id: member.instance_id.clone(),
            rack_id: subscription.rack_id.as_deref().map(Arc::from),
            client_id: Arc::clone(&member.client_id),
            client_host: Arc::clone(&member.client_host),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            topics: Arc::new(subscription.topics.into_iter().collect()),
            regex: None,
            assignor: None,
            classic: Some(Arc::new(records::ClassicMemberMetadata {
                session_timeout_ms: member.session_timeout_ms,
                supported_protocols: member.protocols.iter().map(to_record).collect(),
            })),
        };
        let new = ConsumerMember {
            member_id: Arc::clone(&member.member_id),
            about,
            epoch: group.generation,
            previous_epoch: group.generation,
            state: MemberState::Stable,
            assigned: assigned.clone(),
            pending_revocation: Partitions::NONE,
        };
        upgraded.targets.insert(Arc::clone(&member.member_id), Arc::new(assigned));
        upgraded.put(&member.member_id, Some(new));
    }
    Ok(upgraded)
}

fn to_record(protocol: &ClassicProtocol) -> records::ClassicProtocol {
    records::ClassicProtocol { name: protocol.name.to_string(), metadata: protocol.metadata.clone() }
}

/// A member as a classic group has it; its assignment is what it is to own.
pub(super) fn downgraded(member: &ConsumerMember, target: &Partitions, image: &MetadataImage) -> ClassicMember {
    let about = &member.about;
    let classic = about.classic.as_deref();
    let protocols = classic.into_iter().flat_map(|classic| &classic.supported_protocols);
    let protocols = protocols.map(|protocol| ClassicProtocol {
        name: Arc::from(protocol.name.as_str()),
        metadata: protocol.metadata.clone(),
    });
    let timeouts = (about.rebalance_timeout_ms, classic.map_or(0, |classic| classic.session_timeout_ms));
    let mut new = ClassicMember::new(
        Arc::clone(&member.member_id),
        about.instance_id.clone(),
        (&about.client_id, &about.client_host),
        timeouts,
        protocols.collect(),
    );
    let metadata = new.protocols.first().map(|protocol| protocol.metadata.clone());
    new.assignment = consumer_assignment(target, metadata.as_ref(), image);
    new
}

/// Partitions in the consumer protocol's terms, in the version that the member's own message has.
pub(super) fn consumer_assignment(partitions: &Partitions, metadata: Option<&Bytes>, image: &MetadataImage) -> Bytes {
    let named = partitions.topics().filter_map(|(id, of_topic)| {
        let topic = image.topic_by_id(&id)?.name().to_string();
        Some(protocol::TopicPartitions { topic, partitions: of_topic.to_vec() })
    });
    let assignment = protocol::Assignment { partitions: named.collect(), user_data: None };
    assignment.encode(metadata.and_then(protocol::version).unwrap_or(0))
}

/// Partitions by the topics' ids; topics that are gone are left out.
pub(super) fn by_id(partitions: &[protocol::TopicPartitions], image: &MetadataImage) -> Partitions {
    let known = partitions.iter().filter_map(|of_topic| {
        let topic = image.topic_by_name(&of_topic.topic)?;
        Some((topic.id(), of_topic.partitions.clone()))
    });
    known.collect()
}
