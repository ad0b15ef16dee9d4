//! LeaveGroup: members leave, or an administrator removes static ones.

use watershed_protocol::ErrorCode;
use watershed_protocol::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};

use super::group::ClassicGroup;
use super::rebalance_info::RebalanceReason;
use super::state::ClassicState;
use super::{Step, replies};
use crate::groups::{Group, GroupCoordinator, GroupReply, GroupTimer, Output};
use crate::runtime::{Call, Now};

impl GroupCoordinator {
    /// A LeaveGroup. Whatever its version, it comes with a list of members and is answered with one.
    pub(in crate::groups) fn leave_group(
        &mut self,
        call: Call,
        request: LeaveGroupRequest,
        now: Now,
        out: &mut Output,
    ) {
        let members = match self.groups.get(request.group_id.as_str()) {
            None if request.group_id.is_empty() => {
                let error_code = ErrorCode::InvalidGroupId.code();
                let response = LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() };
                return out.reply(call.id, GroupReply::LeaveGroup(response));
            }
            None => {
                let unknown = |member| replies::left(member, ErrorCode::UnknownMemberId);
                request.members.into_iter().map(unknown).collect()
            }
            Some(Group::Consumer(_)) => return self.leave_consumer_group(call, request, now, out),
            Some(Group::Classic(_)) => {
                let Some((group, mut step)) = self.classic(&request.group_id, now, out) else { return };
                group.leave(request.members, &mut step)
            }
        };
        out.reply(call.id, GroupReply::LeaveGroup(LeaveGroupResponse { members, ..LeaveGroupResponse::default() }));
    }
}

impl ClassicGroup {
    fn leave(
        &mut self,
        members: Vec<MemberIdentity>,
        step: &mut Step<'_>,
    ) -> Vec<watershed_protocol::messages::leave_group::MemberResponse> {
        let mut gone = Vec::new();
        let mut responses = Vec::with_capacity(members.len());
        for member in members {
            let outcome = match self.leave_one(&member, step) {
                Ok(member_id) => {
                    let reason = member.reason.as_deref().unwrap_or("not provided");
                    tracing::info!(group = %self.group_id, member = %member_id, reason, "a member left");
                    gone.push(format!("member {member_id} left; client reason: {reason}"));
                    ErrorCode::None
                }
                Err(error) => error,
            };
            responses.push(replies::left(member, outcome));
        }
        if let Some(text) = gone.into_iter().next() {
            match self.state {
                ClassicState::Stable | ClassicState::CompletingRebalance => {
                    self.prepare_rebalance(RebalanceReason::MemberLeft, text, step);
                }
                ClassicState::PreparingRebalance => self.maybe_complete_join(step),
                ClassicState::Empty => {}
            }
        }
        responses
    }

    /// Removes a member and gives the id under which it was here. Administrators name static members without one.
    fn leave_one(&mut self, member: &MemberIdentity, step: &mut Step<'_>) -> Result<std::sync::Arc<str>, ErrorCode> {
        let instance_id = member.group_instance_id.as_deref();
        let member_id = if member.member_id.is_empty() {
            let present = instance_id.and_then(|instance_id| self.static_member_id(instance_id));
            present.cloned().ok_or(ErrorCode::UnknownMemberId)?
        } else {
            let member_id = member.member_id.as_str();
            if !self.pending_join.contains(member_id) {
                self.check_member(member_id, instance_id).map_err(|refusal| refusal.code)?;
            }
            member_id.into()
        };
        step.out.cancel(GroupTimer::ClassicHeartbeat(self.group_id.clone(), member_id.clone()));
        self.remove(&member_id, step.out);
        Ok(member_id)
    }
}
