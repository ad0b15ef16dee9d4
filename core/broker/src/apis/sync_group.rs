//! SyncGroup: the leader of a classic group brings the assignment, everyone gets their part of it.

use watershed_coordinator::groups::GroupRequest;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use super::Call;
use crate::groups::reply;

/// From this version on the type and the name of the protocol have to be said (KIP-559).
const PROTOCOL_SINCE: i16 = 5;

pub(super) async fn handle(call: &Call<'_>, request: SyncGroupRequest) -> SyncGroupResponse {
    let group = request.group_id.clone();
    let is_complete = request.protocol_type.is_some() && request.protocol_name.is_some();
    let asked = if call.version >= PROTOCOL_SINCE && !is_complete {
        Err(ErrorCode::InconsistentGroupProtocol)
    } else if group.is_empty() {
        Err(ErrorCode::InvalidGroupId)
    } else {
        let asked = call.broker.groups().ask(call, &group, GroupRequest::SyncGroup(request)).await;
        reply!(asked, SyncGroup)
    };
    asked.unwrap_or_else(|code| SyncGroupResponse { error_code: code.into(), ..Default::default() })
}
