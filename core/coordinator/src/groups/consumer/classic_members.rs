//! Members of a consumer group that speak the classic protocol (KIP-848): each JoinGroup is a heartbeat in other words, each SyncGroup
//! fetches what it brought, and REBALANCE_IN_PROGRESS asks for the next JoinGroup.

use std::sync::Arc;

use watershed_protocol::ErrorCode;
use watershed_protocol::messages::leave_group::{
    LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse,
};
use watershed_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse,
};

use super::group::{ConsumerGroup, is_revoking};
use super::heartbeat::{Update, check_instance, known_static, replace_member};
use super::member::{ConsumerMember, EPOCH_AWAY, MemberState};
use super::migration::{by_id, consumer_assignment, downgraded};
use super::partitions::Partitions;
use crate::groups::classic::{ClassicGroup, ClassicState, RebalanceReason};
use crate::groups::protocol::{PROTOCOL_TYPE, Subscription};
use crate::groups::{Group, GroupCoordinator, GroupError, GroupReply, GroupTimer, Output};
use crate::records::{ClassicMemberMetadata, ClassicProtocol};
use crate::runtime::{Call, Now};

/// From this version on a new dynamic member has to come back with the id it is given (KIP-394).
const ID_REQUIRED_SINCE: i16 = 4;

impl GroupCoordinator {
    pub(in crate::groups) fn join_consumer_group(
        &mut self,
        call: Call,
        request: JoinGroupRequest,
        now: Now,
        out: &mut Output,
    ) {
        let mut events = Output::default();
        let response = match self.join_as_classic_member(&call, &request, now, &mut events) {
            Ok(response) => {
                out.append(events);
                response
            }
            // Without the member id, as Kafka answers here.
            Err(error) => JoinGroupResponse { error_code: error.code.into(), ..Default::default() },
        };
        out.reply(call.id, GroupReply::JoinGroup(response));
    }

    fn join_as_classic_member(
        &mut self,
        call: &Call,
        request: &JoinGroupRequest,
        now: Now,
        out: &mut Output,
    ) -> Result<JoinGroupResponse, GroupError> {
        let group = self.consumer_group(&request.group_id)?;
        let is_unknown = request.member_id.is_empty();
        let member_id = if is_unknown { self.new_member_id() } else { Arc::from(request.member_id.as_str()) };
        let instance_id = request.group_instance_id.as_deref();
        if group.members.len() >= self.settings.consumer_size_max && !group.members.contains_key(&member_id) {
            return Err(GroupError::new(ErrorCode::GroupMaxSizeReached, "The consumer group is full."));
        }
        if !supports(group, request) {
            let message = format!("Member {member_id}'s protocols are not supported.");
            return Err(GroupError::new(ErrorCode::InconsistentGroupProtocol, message));
        }
        if is_unknown && instance_id.is_none() && call.version >= ID_REQUIRED_SINCE {
            return Ok(JoinGroupResponse {
                error_code: ErrorCode::MemberIdRequired.into(),
                member_id: member_id.to_string(),
                ..Default::default()
            });
        }
        let before = self.joining_member(group, &member_id, instance_id, is_unknown, out)?;
        let first = request.protocols.first();
        let subscription = first.and_then(|protocol| Subscription::decode(&protocol.metadata));
        let Some(subscription) = subscription else {
            let message = "Malformed embedded consumer protocol in subscription deserialization.";
            return Err(GroupError::new(ErrorCode::UnknownServerError, message));
        };
        let after = told(&before, call, request, &subscription);
        let owned = by_id(&subscription.owned_partitions, &self.image);
        let reason = if group.members.contains_key(&member_id) {
            RebalanceReason::MetadataChanged
        } else {
            RebalanceReason::MemberJoined
        };
        let group_id = Arc::clone(&group.group_id);
        let replaced = instance_id.and_then(|instance_id| group.static_member(instance_id));
        if let Some(replaced) = replaced
            && !replaced.is_classic()
            && self.may_turn_classic(group)
        {
            let has_changed = after.about.topics != before.about.topics;
            let target = group.target(&after.member_id, instance_id);
            return Ok(self.downgrade_with(&group_id, &after, &target, has_changed, now, out));
        }
        let update = Update { group, before, after, owned: Some(&owned) };
        let updated = self.update_member(&update, now, out)?;
        let member = updated.member.clone();
        self.note_update(&group_id, &updated, reason, now);
        let timer =
            |timer: fn(Arc<str>, Arc<str>) -> GroupTimer| timer(Arc::clone(&group_id), Arc::clone(&member.member_id));
        out.cancel(timer(GroupTimer::ConsumerJoin));
        self.keep_consumer_session(&group_id, &member, now, out);
        let sync_within_ms = u64::try_from(request.rebalance_timeout_ms).unwrap_or(0);
        out.schedule(timer(GroupTimer::ConsumerSync), now.elapsed_ms + sync_within_ms);
        Ok(joined(&member))
    }

    /// A member as it was before it joined; a static one that comes back takes its old place here.
    fn joining_member(
        &self,
        group: &ConsumerGroup,
        member_id: &Arc<str>,
        instance_id: Option<&str>,
        is_unknown: bool,
        out: &mut Output,
    ) -> Result<ConsumerMember, GroupError> {
        let Some(instance_id) = instance_id else {
            let new = || ConsumerMember::new(Arc::clone(member_id));
            return Ok(group.members.get(member_id).cloned().unwrap_or_else(new));
        };
        let known = group.static_member(instance_id);
        if !is_unknown {
            let member = known_static(known, instance_id)?;
            check_instance(member, member_id, instance_id)?;
            return Ok(member.clone());
        }
        let Some(known) = known else { return Ok(ConsumerMember::new(Arc::clone(member_id))) };
        let new = ConsumerMember { member_id: Arc::clone(member_id), epoch: 0, previous_epoch: 0, ..known.clone() };
        replace_member(group, known, &new, out);
        Ok(new)
    }

    /// Whether the group has only members with the classic protocol when the one other is replaced by one that speaks it.
    fn may_turn_classic(&self, group: &ConsumerGroup) -> bool {
        let count = group.members().len();
        group.classic_count() + 1 == count
            && self.settings.consumer_migration_policy.downgrade
            && count <= self.settings.classic_size_max
    }

    /// The last member with the consumer protocol comes back with the classic one: the group follows.
    fn downgrade_with(
        &mut self,
        group_id: &Arc<str>,
        joining: &ConsumerMember,
        target: &Partitions,
        has_changed: bool,
        now: Now,
        out: &mut Output,
    ) -> JoinGroupResponse {
        let Some(Group::Consumer(group)) = self.groups.get(group_id) else { return joined(joining) };
        let mut classic = ClassicGroup::at(Arc::clone(group_id), ClassicState::Stable, Some(now.wall));
        for member in group.members().filter(|member| member.about.instance_id != joining.about.instance_id) {
            let target = group.targets.get(&member.member_id).cloned().unwrap_or_default();
            classic.add(downgraded(member, &target, &self.image), PROTOCOL_TYPE, None);
        }
        classic.add(downgraded(joining, target, &self.image), PROTOCOL_TYPE, None);
        let generation = group.epoch;
        // What was written for the replacement goes with the consumer group.
        *out = Output::default();
        self.turn_classic(group_id, classic, now, out);
        if has_changed && let Some((group, mut step)) = self.classic(group_id, now, out) {
            let text = "a static member came back with another protocol and subscription".to_owned();
            group.prepare_rebalance(RebalanceReason::ProtocolDowngraded, text, &mut step);
        }
        JoinGroupResponse { generation_id: generation, ..joined(joining) }
    }

    pub(in crate::groups) fn sync_consumer_group(
        &mut self,
        call: Call,
        request: SyncGroupRequest,
        now: Now,
        out: &mut Output,
    ) {
        let response = self
            .sync_as_classic_member(&request, now, out)
            .unwrap_or_else(|error| SyncGroupResponse { error_code: error.code.into(), ..Default::default() });
        out.reply(call.id, GroupReply::SyncGroup(response));
    }

    fn sync_as_classic_member(
        &self,
        request: &SyncGroupRequest,
        now: Now,
        out: &mut Output,
    ) -> Result<SyncGroupResponse, GroupError> {
        let group = self.consumer_group(&request.group_id)?;
        let member = classic_member(group, &request.member_id, request.group_instance_id.as_deref())?;
        check_generation(member, request.generation_id)?;
        let name = first_protocol(member);
        let is_other = |said: Option<&str>, own: &str| said.is_some_and(|said| said != own);
        if is_other(request.protocol_type.as_deref(), PROTOCOL_TYPE) || is_other(request.protocol_name.as_deref(), name)
        {
            let message = "The protocol is not that of the join response.";
            return Err(GroupError::new(ErrorCode::InconsistentGroupProtocol, message));
        }
        if group.epoch_to_join() > member.epoch && !is_revoking(member) {
            expect_join(group, member, now, out);
            let message = "A new rebalance is triggered; the member should rejoin to catch up.";
            return Err(GroupError::new(ErrorCode::RebalanceInProgress, message));
        }
        out.cancel(GroupTimer::ConsumerSync(Arc::clone(&group.group_id), Arc::clone(&member.member_id)));
        self.keep_consumer_session(&group.group_id, member, now, out);
        Ok(SyncGroupResponse {
            protocol_type: request.protocol_type.clone(),
            protocol_name: request.protocol_name.clone(),
            assignment: consumer_assignment(&member.assigned, member.classic_metadata(name), &self.image),
            ..Default::default()
        })
    }

    pub(in crate::groups) fn heartbeat_consumer_group(
        &mut self,
        call: Call,
        request: HeartbeatRequest,
        now: Now,
        out: &mut Output,
    ) {
        let code = match self.heartbeat_as_classic_member(&request, now, out) {
            Ok(code) => code,
            Err(error) => error.code,
        };
        out.reply(call.id, GroupReply::Heartbeat(HeartbeatResponse { error_code: code.into(), ..Default::default() }));
    }

    fn heartbeat_as_classic_member(
        &self,
        request: &HeartbeatRequest,
        now: Now,
        out: &mut Output,
    ) -> Result<ErrorCode, GroupError> {
        let group = self.consumer_group(&request.group_id)?;
        let member = classic_member(group, &request.member_id, request.group_instance_id.as_deref())?;
        check_generation(member, request.generation_id)?;
        self.keep_consumer_session(&group.group_id, member, now, out);
        let is_free = member.state == MemberState::UnreleasedPartitions && !waits_for_others(group, member);
        if member.epoch < group.epoch_to_join() || is_revoking(member) || is_free {
            expect_join(group, member, now, out);
            return Ok(ErrorCode::RebalanceInProgress);
        }
        Ok(ErrorCode::None)
    }

    pub(in crate::groups) fn leave_consumer_group(
        &mut self,
        call: Call,
        request: LeaveGroupRequest,
        now: Now,
        out: &mut Output,
    ) {
        let (mut members, mut leaving) = (Vec::new(), Vec::new());
        let Ok(group) = self.consumer_group(&request.group_id) else { return };
        let group_id = Arc::clone(&group.group_id);
        for identity in request.members {
            let error_code = match leaving_member(group, &identity) {
                Ok(member) => {
                    leaving.push(Arc::clone(&member.member_id));
                    0
                }
                Err(error) => error.code.into(),
            };
            let MemberIdentity { member_id, group_instance_id, .. } = identity;
            members.push(MemberResponse { member_id, group_instance_id, error_code });
        }
        leaving.sort();
        leaving.dedup();
        self.remove_members(&group_id, &leaving, RebalanceReason::MemberLeft, now, out);
        out.reply(call.id, GroupReply::LeaveGroup(LeaveGroupResponse { members, ..Default::default() }));
    }
}

/// The member is expected to join again within its rebalance timeout. A timer that runs is left alone: it was told before.
fn expect_join(group: &ConsumerGroup, member: &ConsumerMember, now: Now, out: &mut Output) {
    let timer = GroupTimer::ConsumerJoin(Arc::clone(&group.group_id), Arc::clone(&member.member_id));
    let within_ms = u64::try_from(member.about.rebalance_timeout_ms).unwrap_or(0);
    out.schedule_if_absent(timer, now.elapsed_ms + within_ms);
}

fn leaving_member<'a>(group: &'a ConsumerGroup, who: &MemberIdentity) -> Result<&'a ConsumerMember, GroupError> {
    let Some(instance_id) = who.group_instance_id.as_deref() else { return group.member(&who.member_id) };
    let member = known_static(group.static_member(instance_id), instance_id)?;
    // An administrator removes a static member by its name alone.
    if !who.member_id.is_empty() {
        check_instance(member, &who.member_id, instance_id)?;
    }
    Ok(member)
}

fn classic_member<'a>(
    group: &'a ConsumerGroup,
    member_id: &str,
    instance_id: Option<&str>,
) -> Result<&'a ConsumerMember, GroupError> {
    let member = match instance_id {
        None => group.member(member_id)?,
        Some(instance_id) => {
            let member = known_static(group.static_member(instance_id), instance_id)?;
            check_instance(member, member_id, instance_id)?;
            member
        }
    };
    if member.is_classic() {
        return Ok(member);
    }
    let message = format!("Member {member_id} does not use the classic protocol.");
    Err(GroupError::new(ErrorCode::UnknownMemberId, message))
}

fn check_generation(member: &ConsumerMember, generation: i32) -> Result<(), GroupError> {
    if member.epoch == generation {
        return Ok(());
    }
    let (id, epoch) = (&member.member_id, member.epoch);
    let message =
        format!("The request generation id {generation} is not equal to the member epoch {epoch} of member {id}.");
    Err(GroupError::new(ErrorCode::IllegalGeneration, message))
}

/// Whether a partition of the member's target is still held by somebody else.
fn waits_for_others(group: &ConsumerGroup, member: &ConsumerMember) -> bool {
    let target = group.targets.get(&member.member_id).cloned().unwrap_or_default();
    target.iter().any(|(topic, partition)| {
        !member.assigned.contains(topic, partition) && group.partition_epoch(topic, partition).is_some()
    })
}

/// Whether the member and all others with the classic protocol have one in common.
fn supports(group: &ConsumerGroup, request: &JoinGroupRequest) -> bool {
    if request.protocol_type != PROTOCOL_TYPE {
        return false;
    }
    let classic: Vec<_> = group.members().filter_map(|member| member.about.classic.as_deref()).collect();
    request.protocols.iter().any(|protocol| {
        classic.iter().all(|other| other.supported_protocols.iter().any(|supported| supported.name == protocol.name))
    })
}

fn first_protocol(member: &ConsumerMember) -> &str {
    let classic = member.about.classic.as_deref();
    classic.and_then(|classic| classic.supported_protocols.first()).map_or("", |protocol| &protocol.name)
}

/// The member with what it says now.
fn told(
    before: &ConsumerMember,
    call: &Call,
    request: &JoinGroupRequest,
    subscription: &Subscription,
) -> ConsumerMember {
    let mut after = before.clone();
    // A static member that was away is back.
    if after.epoch == EPOCH_AWAY {
        after.epoch = 0;
    }
    let about = &mut after.about;
    if let Some(instance_id) = request.group_instance_id.as_deref() {
        about.instance_id = Some(Arc::from(instance_id));
    }
    if let Some(rack_id) = subscription.rack_id.as_deref() {
        about.rack_id = Some(Arc::from(rack_id));
    }
    if request.rebalance_timeout_ms != -1 {
        about.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    about.topics = Arc::new(subscription.topics.iter().cloned().collect());
    // Regular expressions are the client's own affair in this protocol.
    about.regex = Some(Arc::from(""));
    about.client_id = Arc::from(call.client_id.as_str());
    about.client_host = Arc::from(call.client_host.as_str());
    let protocols = request.protocols.iter().map(|protocol| ClassicProtocol {
        name: protocol.name.clone(),
        // Copied, so that it does not hold the whole request in memory.
        metadata: bytes::Bytes::copy_from_slice(&protocol.metadata),
    });
    about.classic = Some(Arc::new(ClassicMemberMetadata {
        session_timeout_ms: request.session_timeout_ms,
        supported_protocols: protocols.collect(),
    }));
    after
}

fn joined(member: &ConsumerMember) -> JoinGroupResponse {
    JoinGroupResponse {
        member_id: member.member_id.to_string(),
        generation_id: member.epoch,
        protocol_type: Some(PROTOCOL_TYPE.to_owned()),
        protocol_name: Some(first_protocol(member).to_owned()),
        ..Default::default()
    }
}
