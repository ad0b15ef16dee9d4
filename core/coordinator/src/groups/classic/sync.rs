//! SyncGroup: the leader brings the assignment of its generation, every member gets its part.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::SyncGroupRequest;

use super::broker_assignment::ByBroker;
use super::group::{AwaitedAssignment, ClassicGroup, StoringAssignment};
use super::member::Waiting;
use super::queries::refusal;
use super::rebalance_info::RebalanceReason;
use super::state::ClassicState;
use super::{Step, replies};
use crate::groups::{Group, GroupCoordinator, GroupError, GroupTimer, GroupToken, Output};
use crate::runtime::{Call, Now};

/// The first version of SyncGroup that must name the protocol (KIP-559).
const PROTOCOL_REQUIRED: i16 = 5;

impl GroupCoordinator {
    /// A SyncGroup.
    pub(in crate::groups) fn sync_group(&mut self, call: Call, request: SyncGroupRequest, now: Now, out: &mut Output) {
        let waiting = Waiting { id: call.id, version: call.version };
        if call.version >= PROTOCOL_REQUIRED && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
            return replies::sync_error(waiting, ErrorCode::InconsistentGroupProtocol, out);
        }
        if request.group_id.is_empty() {
            return replies::sync_error(waiting, ErrorCode::InvalidGroupId, out);
        }
        match self.groups.get(request.group_id.as_str()) {
            Some(group) if group.is_empty() => replies::sync_error(waiting, ErrorCode::UnknownMemberId, out),
            None => replies::sync_error(waiting, ErrorCode::UnknownMemberId, out),
            Some(Group::Consumer(_)) => self.sync_consumer_group(call, request, now, out),
            Some(Group::Classic(group)) => {
                let decides = group.awaits_assignment_of(&request);
                let by_broker = if decides { self.broker_assignment(&request.group_id, now, out) } else { None };
                if let Some((group, mut step)) = self.classic(&request.group_id, now, out) {
                    group.sync(waiting, request, by_broker, &mut step);
                }
            }
        }
    }
}

impl ClassicGroup {
    /// Whether this request decides the assignment of the present generation.
    fn awaits_assignment_of(&self, request: &SyncGroupRequest) -> bool {
        self.is_in(ClassicState::CompletingRebalance)
            && self.storing.is_none()
            && self.awaited.is_none()
            && self.is_leader(&request.member_id)
            && self.check_sync(request).is_ok()
    }

    fn sync(&mut self, waiting: Waiting, request: SyncGroupRequest, by_broker: Option<ByBroker>, step: &mut Step<'_>) {
        if let Err(refusal) = self.check_sync(&request) {
            return replies::sync_error(waiting, refusal.code, step.out);
        }
        match self.state {
            ClassicState::Empty => replies::sync_error(waiting, ErrorCode::UnknownMemberId, step.out),
            ClassicState::PreparingRebalance => {
                replies::sync_error(waiting, ErrorCode::RebalanceInProgress, step.out);
            }
            ClassicState::CompletingRebalance => {
                let decides = self.awaits_assignment_of(&request);
                self.await_sync(&request.member_id, waiting, step.out);
                self.has_synced(&request.member_id, step);
                if decides {
                    match by_broker {
                        None => self.store_assignment(self.assignment_of_leader(request), step),
                        Some(ByBroker::Assigned(assignment)) => self.store_assignment(assignment, step),
                        Some(ByBroker::Asked(asked)) => {
                            let by_leader = self.assignment_of_leader(request);
                            self.awaited = Some(Box::new(AwaitedAssignment { asked, by_leader }));
                        }
                    }
                }
            }
            ClassicState::Stable => {
                self.has_synced(&request.member_id, step);
                let assignment = self.member(&request.member_id).map(|member| member.assignment.clone());
                self.reply_assignment(waiting, assignment.unwrap_or_default(), step.out);
            }
        }
    }

    fn check_sync(&self, request: &SyncGroupRequest) -> Result<(), GroupError> {
        self.check_member(&request.member_id, request.group_instance_id.as_deref())?;
        let differs = |theirs: &Option<String>, ours: &Option<Arc<str>>| match (theirs, ours) {
            (Some(theirs), Some(ours)) => **theirs != **ours,
            _ => false,
        };
        if request.generation_id != self.generation {
            Err(refusal(ErrorCode::IllegalGeneration))
        } else if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol_name)
        {
            Err(refusal(ErrorCode::InconsistentGroupProtocol))
        } else {
            Ok(())
        }
    }

    fn has_synced(&mut self, member_id: &str, step: &mut Step<'_>) {
        self.pending_sync.remove(member_id);
        if self.pending_sync.is_empty() {
            step.out.cancel(GroupTimer::ClassicSync(self.group_id.clone()));
        }
    }

    /// The leader's assignment. Members it does not name get nothing; strangers it names are left out.
    fn assignment_of_leader(&self, request: SyncGroupRequest) -> HashMap<Arc<str>, Bytes> {
        let mut assignment = HashMap::with_capacity(self.members.len());
        for part in request.assignments {
            if let Some((member_id, _)) = self.members.get_key_value(part.member_id.as_str()) {
                // Copied, so that one member's part does not hold the frame with everyone's.
                assignment.insert(member_id.clone(), Bytes::copy_from_slice(&part.assignment));
            }
        }
        let without = self.members.len() - assignment.len();
        if without > 0 {
            tracing::warn!(
                group = %self.group_id, generation = self.generation, members = without,
                "the leader's assignment leaves members out",
            );
        }
        assignment
    }

    /// An assignment goes to the log.
    pub(super) fn store_assignment(&mut self, assignment: HashMap<Arc<str>, Bytes>, step: &mut Step<'_>) {
        self.write(&assignment, step.out);
        self.storing = Some(Box::new(StoringAssignment { generation: self.generation, assignment }));
        step.out
            .when_settled(GroupToken::ClassicAssignment { group: self.group_id.clone(), generation: self.generation });
    }

    /// The assignment is durable: everyone gets theirs. Or it was refused: everyone starts again.
    pub(super) fn assignment_settled(&mut self, generation: i32, outcome: Result<(), ErrorCode>, step: &mut Step<'_>) {
        // Another rebalance may have begun in the meantime.
        if !self.is_in(ClassicState::CompletingRebalance) {
            return;
        }
        let Some(storing) = self.storing.take_if(|storing| storing.generation == generation) else { return };
        match outcome {
            Ok(()) => self.give_out(storing.assignment, step),
            Err(error) => {
                let error = replies::store_error(error);
                self.fail_assignment(error, step);
                let text = format!("the assignment could not be written down: {}", error.name());
                self.prepare_rebalance(RebalanceReason::AssignmentNotStored, text, step);
            }
        }
    }

    fn give_out(&mut self, mut assignment: HashMap<Arc<str>, Bytes>, step: &mut Step<'_>) {
        let mut told = Vec::new();
        for (member_id, member) in &mut self.members {
            member.assignment = assignment.remove(member_id).unwrap_or_default();
            if let Some(waiting) = member.awaiting_sync.take() {
                told.push((member_id.clone(), waiting, member.assignment.clone()));
            }
        }
        for (member_id, waiting, assignment) in told {
            self.reply_assignment(waiting, assignment, step.out);
            // While it waited, silence was no sign that it had gone; from now on it is.
            self.schedule_heartbeat(&member_id, step);
        }
        self.transition_to(ClassicState::Stable, step.now);
        self.end_rebalance(step);
    }
}
