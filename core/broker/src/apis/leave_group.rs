//! LeaveGroup: members of a classic group leave it; from version 3 on several at once (KIP-345).

use watershed_coordinator::groups::GroupRequest;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};

use super::Call;
use crate::groups::reply;

/// From this version on a request lists members, and the response has an error for each.
const BATCHED_SINCE: i16 = 3;

pub(super) async fn handle(call: &Call<'_>, mut request: LeaveGroupRequest) -> LeaveGroupResponse {
    if call.version < BATCHED_SINCE {
        let member_id = std::mem::take(&mut request.member_id);
        request.members = vec![MemberIdentity { member_id, ..Default::default() }];
    }
    let group = request.group_id.clone();
    let asked = if group.is_empty() {
        Err(ErrorCode::InvalidGroupId)
    } else {
        let asked = call.broker.groups().ask(call, &group, GroupRequest::LeaveGroup(request)).await;
        reply!(asked, LeaveGroup)
    };
    let mut response =
        asked.unwrap_or_else(|code| LeaveGroupResponse { error_code: code.into(), ..Default::default() });
    if call.version < BATCHED_SINCE {
        let members = std::mem::take(&mut response.members);
        if response.error_code == 0 {
            response.error_code = members.first().map_or(0, |member| member.error_code);
        }
    }
    response
}
