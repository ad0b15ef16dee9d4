//! How members of a consumer group go: they leave, are silent for too long, or take too long to give up partitions.

use std::sync::Arc;

use watershed_protocol::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
};

use super::group::{ConsumerGroup, cancel_member_timers, is_revoking};
use super::heartbeat::{check_instance, current_record, epoch_record, known_static, remove_member};
use super::member::{ConsumerMember, EPOCH_AWAY};
use super::partitions::Partitions;
use crate::groups::classic::RebalanceReason;
use crate::groups::{Group, GroupCoordinator, GroupError, GroupToken, Output};
use crate::records::GroupRecord;
use crate::runtime::Now;

impl GroupCoordinator {
    pub(super) fn consumer_member_leaves(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
        now: Now,
        out: &mut Output,
    ) -> Result<ConsumerGroupHeartbeatResponse, GroupError> {
        let group = self.consumer_group(&request.group_id)?;
        let member = match request.instance_id.as_deref() {
            None => group.member(&request.member_id)?,
            Some(instance_id) => {
                let member = known_static(group.static_member(instance_id), instance_id)?;
                check_instance(member, &request.member_id, instance_id)?;
                member
            }
        };
        let response = ConsumerGroupHeartbeatResponse {
            member_id: Some(request.member_id.clone()),
            member_epoch: request.member_epoch,
            ..Default::default()
        };
        if request.instance_id.is_some() && request.member_epoch == EPOCH_AWAY {
            let away = ConsumerMember { epoch: EPOCH_AWAY, pending_revocation: Partitions::NONE, ..member.clone() };
            out.write(current_record(&group.group_id, &away));
        } else {
            let (group_id, member_id) = (Arc::clone(&group.group_id), Arc::clone(&member.member_id));
            self.remove_members(&group_id, &[member_id], RebalanceReason::MemberLeft, now, out);
        }
        Ok(response)
    }

    /// Takes members out of a group, which begins a rebalance; a group that is left with classic members only becomes classic.
    pub(in crate::groups) fn remove_members(
        &mut self,
        group_id: &Arc<str>,
        member_ids: &[Arc<str>],
        reason: RebalanceReason,
        now: Now,
        out: &mut Output,
    ) {
        let Some(Group::Consumer(group)) = self.groups.get(group_id) else { return };
        let members: Vec<&ConsumerMember> = member_ids.iter().filter_map(|id| group.members.get(id)).collect();
        if members.is_empty() {
            return;
        }
        if self.may_become_classic(group, &members) {
            let leaving: Vec<Arc<str>> = members.iter().map(|member| Arc::clone(&member.member_id)).collect();
            return self.become_classic(group_id, &leaving, now, out);
        }
        for member in &members {
            remove_member(group_id, &member.member_id, out);
        }
        let gone = self.drop_regular_expressions(group, &members, out);
        let mut topics = group.topic_names(&members, None);
        let staying = group.resolved.iter().filter(|(regex, _)| !gone.contains(regex));
        topics.extend(staying.flat_map(|(_, resolved)| resolved.topics.iter().map(String::as_str)));
        let hash = self.metadata_hash(&topics);
        out.write(epoch_record(group_id, group.epoch + 1, hash));
        for member in &members {
            cancel_member_timers(group_id, &member.member_id, out);
        }
        if self.assignors.has_outside() {
            out.when_settled(GroupToken::ConsumerEpoch { group: Arc::clone(group_id) });
        }
        self.rebalance_begins(group_id, reason, now);
    }

    /// Regular expressions that nobody subscribes to without these members are removed.
    fn drop_regular_expressions(
        &self,
        group: &ConsumerGroup,
        members: &[&ConsumerMember],
        out: &mut Output,
    ) -> Vec<Arc<str>> {
        let mut gone = Vec::new();
        for regex in group.regexes() {
            let leaving = members.iter().filter(|member| member.regex() == Some(regex)).count();
            if leaving > 0 && leaving == group.regex_count(regex) {
                out.write(regex_tombstone(&group.group_id, regex));
                gone.push(Arc::clone(regex));
            }
        }
        gone
    }

    /// A session, a join or a sync of a classic member was waited for in vain.
    pub(in crate::groups) fn consumer_member_expired(
        &mut self,
        group_id: &Arc<str>,
        member_id: &Arc<str>,
        now: Now,
        out: &mut Output,
    ) {
        self.remove_members(group_id, &[Arc::clone(member_id)], RebalanceReason::MemberTimedOut, now, out);
    }

    /// A member did not give up partitions in time. If it has moved on meanwhile, it has; a static member that is away has let go of
    /// them, and its session goes on.
    pub(in crate::groups) fn consumer_rebalance_expired(
        &mut self,
        group_id: &Arc<str>,
        member_id: &Arc<str>,
        now: Now,
        out: &mut Output,
    ) {
        let Some(Group::Consumer(group)) = self.groups.get(group_id) else { return };
        if group.members.get(member_id).is_some_and(|member| is_revoking(member) && member.epoch != EPOCH_AWAY) {
            self.remove_members(group_id, &[Arc::clone(member_id)], RebalanceReason::MemberTimedOut, now, out);
        }
    }
}

/// The record that removes a regular expression.
pub(super) fn regex_tombstone(group_id: &str, regex: &str) -> GroupRecord {
    GroupRecord::ConsumerGroupRegularExpression {
        group_id: group_id.to_owned(),
        regular_expression: regex.to_owned(),
        value: None,
    }
}
