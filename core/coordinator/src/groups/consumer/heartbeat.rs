//! ConsumerGroupHeartbeat: a member joins, stays, changes or leaves, and hears what it is to own (KIP-848).
//!
//! One heartbeat goes through three steps, all in one atomic batch: the member and the group's epoch, the target of that epoch, the
//! member's own next step towards it.

use std::collections::BTreeSet;
use std::sync::Arc;

use watershed_protocol::ErrorCode;
use watershed_protocol::messages::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions, TopicPartitionsResponse,
};

use super::group::{ConsumerGroup, is_revoking};
use super::member::{ConsumerMember, EPOCH_AWAY, EPOCH_LEAVES};
use super::outside::ASSIGNING_INTERVAL_MS;
use super::partitions::Partitions;
use super::reconcile::{Reconcile, subscribed_topics};
use crate::groups::classic::RebalanceReason;
use crate::groups::{GroupCoordinator, GroupError, GroupReply, GroupTimer, Output};
use crate::records::GroupRecord;
use crate::runtime::{Call, Now};

/// From this version on the client makes the member's id.
const CLIENT_MAKES_ID_SINCE: i16 = 1;

/// A member before and after what it says now.
pub(super) struct Update<'a> {
    pub(super) group: &'a ConsumerGroup,
    /// As the group knows it; of a static member that comes back, with its new id.
    pub(super) before: ConsumerMember,
    pub(super) after: ConsumerMember,
    pub(super) owned: Option<&'a Partitions>,
}

/// What came of an [`Update`].
pub(super) struct Updated {
    pub(super) member: ConsumerMember,
    /// The group's epoch was raised.
    pub(super) is_rebalance: bool,
    /// The metadata was looked at.
    pub(super) is_refreshed: bool,
    /// The target of the group's epoch is waited for.
    pub(super) is_assigning: bool,
}

impl GroupCoordinator {
    pub(in crate::groups) fn consumer_group_heartbeat(
        &mut self,
        call: &Call,
        request: &ConsumerGroupHeartbeatRequest,
        now: Now,
        out: &mut Output,
    ) {
        let checked = check(call.version, request, &self.settings.consumer_assignors);
        let answered = checked.and_then(|()| match request.member_epoch {
            EPOCH_LEAVES | EPOCH_AWAY => self.consumer_member_leaves(request, now, out),
            _ => self.consumer_member_stays(call, request, now, out),
        });
        let response = answered.unwrap_or_else(|error| ConsumerGroupHeartbeatResponse {
            error_code: error.code.into(),
            error_message: Some(error.message),
            ..Default::default()
        });
        out.reply(call.id, GroupReply::ConsumerGroupHeartbeat(response));
    }

    fn consumer_member_stays(
        &mut self,
        call: &Call,
        request: &ConsumerGroupHeartbeatRequest,
        now: Now,
        out: &mut Output,
    ) -> Result<ConsumerGroupHeartbeatResponse, GroupError> {
        let joins = request.member_epoch == 0;
        let mut events = Output::default();
        let other = self.other_to_consumer_group(&request.group_id, joins, now, out, &mut events)?;
        let group = match &other {
            Some(group) => group,
            None => self.consumer_group(&request.group_id)?,
        };
        let is_member = group.members.contains_key(&*request.member_id);
        if !is_member && group.members.len() >= self.settings.consumer_size_max {
            let max = self.settings.consumer_size_max;
            let message = format!("The consumer group has reached its maximum capacity of {max} members.");
            return Err(GroupError::new(ErrorCode::GroupMaxSizeReached, message));
        }
        let member_id: Arc<str> =
            if request.member_id.is_empty() { self.new_member_id() } else { Arc::from(&*request.member_id) };
        let owned = request.topic_partitions.as_deref().map(owned_partitions);
        let before = known_member(group, &member_id, request, owned.as_ref(), &mut events)?;
        let after = told(&before, call, request);
        let reason = if !is_member { RebalanceReason::MemberJoined } else { RebalanceReason::MetadataChanged };
        let update = Update { group, before, after, owned: owned.as_ref() };
        let old = update.before.assigned.clone();
        let updated = self.update_member(&update, now, &mut events)?;
        let (group_id, interval_ms) = (Arc::clone(&group.group_id), self.heartbeat_interval_ms(&request.group_id));
        let interval_ms = if updated.is_assigning { interval_ms.min(ASSIGNING_INTERVAL_MS) } else { interval_ms };
        self.keep_consumer_session(&group_id, &updated.member, now, &mut events);
        self.note_update(&group_id, &updated, reason, now);
        out.append(events);
        let member = updated.member;
        let is_full = request.rebalance_timeout_ms != -1
            && (request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some())
            && request.topic_partitions.is_some();
        let is_told = joins || is_full || old != member.assigned;
        Ok(ConsumerGroupHeartbeatResponse {
            member_id: Some(member.member_id.to_string()),
            member_epoch: member.epoch,
            heartbeat_interval_ms: interval_ms,
            assignment: is_told.then(|| told_assignment(&member.assigned)),
            ..Default::default()
        })
    }

    /// Writes what has changed about a member, raises the group's epoch and computes its target where that is due, and takes the
    /// member's next step.
    pub(super) fn update_member(&self, update: &Update<'_>, now: Now, out: &mut Output) -> Result<Updated, GroupError> {
        let Update { group, before, after, owned, .. } = update;
        let group_id = &group.group_id;
        if after.about != before.about {
            out.write(GroupRecord::ConsumerGroupMemberMetadata {
                group_id: group_id.to_string(),
                member_id: after.member_id.to_string(),
                value: Some(after.about_record()),
            });
        }
        let names_changed = after.about.topics != before.about.topics;
        let (resolved, regex_changed) = self.update_regular_expressions(group, before, after, now, out)?;
        let is_resolved_anew = resolved.is_some();
        // From here on the group is seen with the regular expressions as they are now.
        let seen = resolved.map(|resolved| group.with_resolved(resolved));
        let group = seen.as_ref().unwrap_or(group);
        let has_changed = names_changed || regex_changed || is_resolved_anew;
        let (epoch, is_refreshed) = self.update_epoch(group, after, has_changed, now, out);
        let (target_epoch, target) = self.present_target(group, epoch, after, out)?;
        let has_subscription_changed = names_changed || regex_changed;
        let member = if !has_subscription_changed && after.has_reached(target_epoch) {
            after.clone()
        } else {
            let topics: BTreeSet<_> = subscribed_topics(after, group, &self.image);
            let step = Reconcile {
                group,
                target_epoch,
                target: &target,
                topics: &topics,
                has_subscription_changed,
                owned: *owned,
            };
            step.step(after)?
        };
        if member != *after {
            out.write(current_record(group_id, &member));
            if !member.is_classic() {
                let timer = GroupTimer::ConsumerRebalance(Arc::clone(group_id), Arc::clone(&member.member_id));
                match u64::try_from(member.about.rebalance_timeout_ms) {
                    Ok(timeout_ms) if is_revoking(&member) => out.schedule(timer, now.elapsed_ms + timeout_ms),
                    _ => out.cancel(timer),
                }
            }
        }
        let is_rebalance = epoch > update.group.epoch;
        Ok(Updated { member, is_rebalance, is_refreshed, is_assigning: epoch > target_epoch })
    }

    /// Raises the group's epoch where something has changed, the metadata perhaps. Gives it, and whether the metadata was looked at.
    fn update_epoch(
        &self,
        group: &ConsumerGroup,
        after: &ConsumerMember,
        has_changed: bool,
        now: Now,
        out: &mut Output,
    ) -> (i32, bool) {
        // A first target that is asked for outside has one before it that gives nothing.
        let first = if !group.has_target() && self.asks_outside(group, after) { 2 } else { 1 };
        let must_bump = has_changed || group.epoch < first;
        let is_due = must_bump || group.is_refresh_due(now);
        let mut epoch = group.epoch;
        if is_due {
            let hash = self.metadata_hash(&self.topics_of(group, Some(after)));
            if must_bump || hash != group.metadata_hash {
                epoch = first.max(epoch + 1);
                out.write(epoch_record(&group.group_id, epoch, hash));
            }
        }
        (epoch, is_due)
    }

    pub(super) fn keep_consumer_session(
        &self,
        group_id: &Arc<str>,
        member: &ConsumerMember,
        now: Now,
        out: &mut Output,
    ) {
        let timeout_ms = member.classic_session_timeout_ms().unwrap_or_else(|| self.session_timeout_ms(group_id));
        let timer = GroupTimer::ConsumerSession(Arc::clone(group_id), Arc::clone(&member.member_id));
        out.schedule(timer, now.elapsed_ms + u64::try_from(timeout_ms).unwrap_or(0));
    }
}

/// What the group knows of a member that is or becomes one; a static member that comes back takes its old place here.
fn known_member(
    group: &ConsumerGroup,
    member_id: &Arc<str>,
    request: &ConsumerGroupHeartbeatRequest,
    owned: Option<&Partitions>,
    out: &mut Output,
) -> Result<ConsumerMember, GroupError> {
    let joins = request.member_epoch == 0;
    let Some(instance_id) = request.instance_id.as_deref() else {
        return match group.members.get(member_id) {
            Some(member) => check_epoch(member, request.member_epoch, owned).map(|()| member.clone()),
            None if joins => Ok(ConsumerMember::new(Arc::clone(member_id))),
            None => group.member(member_id).cloned(),
        };
    };
    let known = group.static_member(instance_id);
    if !joins {
        let member = known_static(known, instance_id)?;
        check_instance(member, member_id, instance_id)?;
        check_epoch(member, request.member_epoch, owned)?;
        return Ok(member.clone());
    }
    let Some(known) = known else {
        let new = || ConsumerMember::new(Arc::clone(member_id));
        return Ok(group.members.get(member_id).cloned().unwrap_or_else(new));
    };
    if !known.is_classic() && known.epoch != EPOCH_AWAY {
        let message = format!(
            "Static member {member_id} with instance id {instance_id} cannot join the group because the instance id is \
             owned by {} member.",
            known.member_id
        );
        return Err(GroupError::new(ErrorCode::UnreleasedInstanceId, message));
    }
    let new = ConsumerMember { member_id: Arc::clone(member_id), epoch: 0, previous_epoch: 0, ..known.clone() };
    replace_member(group, known, &new, out);
    Ok(new)
}

/// The records that put a static member's new id in the place of the old one.
pub(super) fn replace_member(group: &ConsumerGroup, old: &ConsumerMember, new: &ConsumerMember, out: &mut Output) {
    let group_id = &group.group_id;
    remove_member(group_id, &old.member_id, out);
    out.write(GroupRecord::ConsumerGroupMemberMetadata {
        group_id: group_id.to_string(),
        member_id: new.member_id.to_string(),
        value: Some(new.about_record()),
    });
    let target = group.targets.get(&old.member_id).cloned().unwrap_or_default();
    out.write(super::target::target_record(group_id, &new.member_id, &target));
    out.write(current_record(group_id, new));
}

/// The records that remove a member.
pub(super) fn remove_member(group_id: &str, member_id: &str, out: &mut Output) {
    let (group_id, member_id) = (group_id.to_owned(), member_id.to_owned());
    out.write(GroupRecord::ConsumerGroupCurrentMemberAssignment {
        group_id: group_id.clone(),
        member_id: member_id.clone(),
        value: None,
    });
    out.write(GroupRecord::ConsumerGroupTargetAssignmentMember {
        group_id: group_id.clone(),
        member_id: member_id.clone(),
        value: None,
    });
    out.write(GroupRecord::ConsumerGroupMemberMetadata { group_id, member_id, value: None });
}

pub(super) fn current_record(group_id: &str, member: &ConsumerMember) -> GroupRecord {
    GroupRecord::ConsumerGroupCurrentMemberAssignment {
        group_id: group_id.to_owned(),
        member_id: member.member_id.to_string(),
        value: Some(member.current_record()),
    }
}

pub(super) fn epoch_record(group_id: &str, epoch: i32, metadata_hash: i64) -> GroupRecord {
    let value = Some(crate::records::ConsumerGroupMetadataValue { epoch, metadata_hash });
    GroupRecord::ConsumerGroupMetadata { group_id: group_id.to_owned(), value }
}

pub(super) fn known_static<'a>(
    member: Option<&'a ConsumerMember>,
    instance_id: &str,
) -> Result<&'a ConsumerMember, GroupError> {
    let message = || format!("Instance id {instance_id} is unknown.");
    member.ok_or_else(|| GroupError::new(ErrorCode::UnknownMemberId, message()))
}

pub(super) fn check_instance(member: &ConsumerMember, member_id: &str, instance_id: &str) -> Result<(), GroupError> {
    if *member.member_id == *member_id {
        return Ok(());
    }
    let message =
        format!("Static member {member_id} with instance id {instance_id} was fenced by member {}.", member.member_id);
    Err(GroupError::new(ErrorCode::FencedInstanceId, message))
}

/// A member's epoch must be the one that is known; with the one before, it may only own what it was told to.
fn check_epoch(member: &ConsumerMember, received: i32, owned: Option<&Partitions>) -> Result<(), GroupError> {
    if received == 0 || received == member.epoch {
        return Ok(());
    }
    let is_subset =
        || owned.is_some_and(|owned| owned.iter().all(|(topic, partition)| member.assigned.contains(topic, partition)));
    if received < member.epoch && received == member.previous_epoch && is_subset() {
        return Ok(());
    }
    let what = if received > member.epoch { "greater" } else { "smaller" };
    let message = format!(
        "The consumer group member has a {what} member epoch ({received}) than the one known by the group coordinator ({}). \
         The member must abandon all its partitions and rejoin.",
        member.epoch
    );
    Err(GroupError::new(ErrorCode::FencedMemberEpoch, message))
}

/// The member with what it says now; what it leaves out stays.
fn told(before: &ConsumerMember, call: &Call, request: &ConsumerGroupHeartbeatRequest) -> ConsumerMember {
    let mut after = before.clone();
    let about = &mut after.about;
    let text = |new: Option<&str>, old: &mut Option<Arc<str>>| {
        if let Some(new) = new.filter(|new| old.as_deref() != Some(new)) {
            *old = Some(Arc::from(new));
        }
    };
    text(request.instance_id.as_deref(), &mut about.instance_id);
    text(request.rack_id.as_deref(), &mut about.rack_id);
    text(request.subscribed_topic_regex.as_deref(), &mut about.regex);
    text(request.server_assignor.as_deref(), &mut about.assignor);
    if request.rebalance_timeout_ms != -1 {
        about.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if let Some(topics) = &request.subscribed_topic_names {
        let topics: BTreeSet<String> = topics.iter().cloned().collect();
        if topics != *about.topics {
            about.topics = Arc::new(topics);
        }
    }
    if *about.client_id != *call.client_id {
        about.client_id = Arc::from(call.client_id.as_str());
    }
    if *about.client_host != *call.client_host {
        about.client_host = Arc::from(call.client_host.as_str());
    }
    about.classic = None;
    after
}

fn owned_partitions(topics: &[TopicPartitions]) -> Partitions {
    topics.iter().map(|topic| (topic.topic_id, topic.partitions.clone())).collect()
}

fn told_assignment(assigned: &Partitions) -> Assignment {
    let topics = assigned.topics();
    let topics =
        topics.map(|(topic_id, partitions)| TopicPartitionsResponse { topic_id, partitions: partitions.to_vec() });
    Assignment { topic_partitions: topics.collect() }
}

/// What can be said of a request without knowing the group.
fn check(version: i16, request: &ConsumerGroupHeartbeatRequest, assignors: &[String]) -> Result<(), GroupError> {
    let invalid = |message: &str| Err(GroupError::new(ErrorCode::InvalidRequest, message));
    let is_empty = |text: &Option<String>| text.as_deref().is_some_and(is_blank);
    let needs_id = version >= CLIENT_MAKES_ID_SINCE || request.member_epoch > 0 || request.member_epoch == EPOCH_LEAVES;
    if needs_id && is_blank(&request.member_id) {
        return invalid("MemberId can't be empty.");
    }
    if is_blank(&request.group_id) {
        return invalid("GroupId can't be empty.");
    }
    if is_empty(&request.instance_id) {
        return invalid("InstanceId can't be empty.");
    }
    if is_empty(&request.rack_id) {
        return invalid("RackId can't be empty.");
    }
    match request.member_epoch {
        0 if request.rebalance_timeout_ms == -1 => {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        0 if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) => {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        0 if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() => {
            return invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.");
        }
        EPOCH_AWAY if request.instance_id.is_none() => return invalid("InstanceId can't be null."),
        epoch if epoch < EPOCH_AWAY => return invalid("MemberEpoch is invalid."),
        _ => {}
    }
    match &request.server_assignor {
        Some(name) if !assignors.contains(name) => {
            let supported = assignors.join(", ");
            let message = format!("ServerAssignor {name} is not supported. Supported assignors: {supported}.");
            Err(GroupError::new(ErrorCode::UnsupportedAssignor, message))
        }
        _ => Ok(()),
    }
}

/// Kafka takes a text of spaces and control characters, as Java's `trim` sees them, for an empty one.
fn is_blank(text: &str) -> bool {
    text.chars().all(|letter| letter <= ' ')
}

#[cfg(test)]
mod tests {
    use super::is_blank;

    #[test]
    fn blank_is_what_java_trims() {
        for (text, expected) in [("", true), (" \t", true), ("\0", true), ("\u{a0}", false), ("a", false)] {
            assert_eq!(is_blank(text), expected, "{text:?}");
        }
    }
}
