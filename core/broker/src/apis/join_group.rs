//! JoinGroup: a member of a classic group asks to be in the next generation, and waits until that begins.

use watershed_coordinator::groups::GroupRequest;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::{JoinGroupRequest, JoinGroupResponse};

use super::Call;
use crate::groups::reply;

/// From this version on the protocol's name may be null (KIP-559).
const NULL_PROTOCOL_SINCE: i16 = 7;

pub(super) async fn handle(call: &Call<'_>, request: JoinGroupRequest) -> JoinGroupResponse {
    let (group, member_id) = (request.group_id.clone(), request.member_id.clone());
    let asked = if group.is_empty() {
        Err(ErrorCode::InvalidGroupId)
    } else {
        let asked = call.broker.groups().ask(call, &group, GroupRequest::JoinGroup(request)).await;
        reply!(asked, JoinGroup)
    };
    let mut response = asked.unwrap_or_else(|code| JoinGroupResponse {
        error_code: code.into(),
        member_id: if code == ErrorCode::InvalidGroupId { member_id } else { Default::default() },
        ..Default::default()
    });
    if call.version < NULL_PROTOCOL_SINCE {
        response.protocol_name.get_or_insert_default();
    }
    response
}
