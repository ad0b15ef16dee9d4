//! SyncGroup: the leader of a classic group brings the assignment, everyone gets their part of it.

use watershed_coordinator::groups::GroupRequest;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use super::Call;
use crate::groups::reply;

pub(super) async fn handle(call: &Call<'_>, request: SyncGroupRequest) -> SyncGroupResponse {
    let group = request.group_id.clone();
    let asked = if group.is_empty() {
        Err(ErrorCode::InvalidGroupId)
    } else {
        let asked = call.broker.groups().ask(call, &group, GroupRequest::SyncGroup(request)).await;
        reply!(asked, SyncGroup)
    };
    asked.unwrap_or_else(|code| SyncGroupResponse { error_code: code.into(), ..Default::default() })
}
