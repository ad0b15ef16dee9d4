//! Heartbeat: a member is there, and hears whether it has to join again.

use watershed_protocol::ErrorCode;
use watershed_protocol::messages::HeartbeatRequest;

use super::group::ClassicGroup;
use super::state::ClassicState;
use super::{Step, replies};
use crate::groups::{Group, GroupCoordinator, Output};
use crate::runtime::{Call, Now};

impl GroupCoordinator {
    /// A Heartbeat.
    pub(in crate::groups) fn heartbeat(&mut self, call: Call, request: HeartbeatRequest, now: Now, out: &mut Output) {
        if request.group_id.is_empty() {
            return replies::heartbeat(call.id, ErrorCode::InvalidGroupId, out);
        }
        match self.groups.get(request.group_id.as_str()) {
            None => replies::heartbeat(call.id, ErrorCode::UnknownMemberId, out),
            Some(Group::Consumer(_)) => self.heartbeat_consumer_group(call, request, now, out),
            Some(Group::Classic(_)) => {
                if let Some((group, mut step)) = self.classic(&request.group_id, now, out) {
                    let outcome = group.heartbeat(&request, &mut step);
                    replies::heartbeat(call.id, outcome, step.out);
                }
            }
        }
    }
}

impl ClassicGroup {
    fn heartbeat(&self, request: &HeartbeatRequest, step: &mut Step<'_>) -> ErrorCode {
        if let Err(refusal) = self.check_member(&request.member_id, request.group_instance_id.as_deref()) {
            return refusal.code;
        }
        if request.generation_id != self.generation {
            return ErrorCode::IllegalGeneration;
        }
        match self.state {
            ClassicState::Empty => ErrorCode::UnknownMemberId,
            ClassicState::PreparingRebalance => {
                self.schedule_heartbeat(&request.member_id, step);
                ErrorCode::RebalanceInProgress
            }
            // In CompletingRebalance it knows the generation, and is about to fetch its assignment.
            ClassicState::CompletingRebalance | ClassicState::Stable => {
                self.schedule_heartbeat(&request.member_id, step);
                ErrorCode::None
            }
        }
    }
}
