//! The replies to members of classic groups.

use bytes::Bytes;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::heartbeat::HeartbeatResponse;
use watershed_protocol::messages::join_group::JoinGroupResponse;
use watershed_protocol::messages::leave_group::{MemberIdentity, MemberResponse};
use watershed_protocol::messages::sync_group::SyncGroupResponse;

use super::group::ClassicGroup;
use super::member::Waiting;
use crate::groups::{GroupReply, Output};
use crate::runtime::RequestId;

/// What a client is told when a group could not be written down.
pub(in crate::groups) fn store_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => {
            ErrorCode::UnknownServerError
        }
        other => other,
    }
}

/// Answers a JoinGroup with an error; the member id is the one that the member is to go on with.
pub(in crate::groups) fn join_error(to: Waiting, member_id: &str, error: ErrorCode, out: &mut Output) {
    let member_id = member_id.to_owned();
    let response = JoinGroupResponse { error_code: error.code(), member_id, ..JoinGroupResponse::default() };
    out.reply(to.id, GroupReply::JoinGroup(response));
}

/// Answers a SyncGroup with an error.
pub(in crate::groups) fn sync_error(to: Waiting, error: ErrorCode, out: &mut Output) {
    let response = SyncGroupResponse { error_code: error.code(), ..SyncGroupResponse::default() };
    out.reply(to.id, GroupReply::SyncGroup(response));
}

/// Answers a heartbeat.
pub(in crate::groups) fn heartbeat(to: RequestId, outcome: ErrorCode, out: &mut Output) {
    let response = HeartbeatResponse { error_code: outcome.code(), ..HeartbeatResponse::default() };
    out.reply(to, GroupReply::Heartbeat(response));
}

/// Answers a LeaveGroup for one member.
pub(in crate::groups) fn left(member: MemberIdentity, outcome: ErrorCode) -> MemberResponse {
    let MemberIdentity { member_id, group_instance_id, .. } = member;
    MemberResponse { member_id, group_instance_id, error_code: outcome.code() }
}

impl ClassicGroup {
    /// Answers a JoinGroup with the present generation. `skip_assignment` tells a leader to leave the assignment as it is
    /// (KIP-814).
    pub(super) fn reply_generation(
        &self,
        to: Waiting,
        member_id: &str,
        with_members: bool,
        skip_assignment: bool,
        out: &mut Output,
    ) {
        let protocol = self.protocol_name.as_deref().unwrap_or_default();
        let members = if with_members {
            self.members.values().map(|member| member.in_join_response(protocol)).collect()
        } else {
            Vec::new()
        };
        let response = JoinGroupResponse { skip_assignment, members, ..self.generation_for(member_id) };
        out.reply(to.id, GroupReply::JoinGroup(response));
    }

    /// The present generation, for a member that is not to assign.
    pub(super) fn generation_for(&self, member_id: &str) -> JoinGroupResponse {
        let protocol_name = self.protocol_name.as_deref().filter(|name| !name.is_empty());
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: self.protocol_type.as_deref().map(str::to_owned),
            protocol_name: protocol_name.map(str::to_owned),
            leader: self.leader.as_deref().unwrap_or_default().to_owned(),
            member_id: member_id.to_owned(),
            ..JoinGroupResponse::default()
        }
    }

    /// Answers a SyncGroup with a member's assignment.
    pub(super) fn reply_assignment(&self, to: Waiting, assignment: Bytes, out: &mut Output) {
        let response = SyncGroupResponse {
            protocol_type: self.protocol_type.as_deref().map(str::to_owned),
            protocol_name: self.protocol_name.as_deref().map(str::to_owned),
            assignment,
            ..SyncGroupResponse::default()
        };
        out.reply(to.id, GroupReply::SyncGroup(response));
    }
}
