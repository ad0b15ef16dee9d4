//! Heartbeat: a member of a classic group is alive, and hears whether a rebalance is under way.

use watershed_coordinator::groups::GroupRequest;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::Call;
use crate::groups::reply;

pub(super) async fn handle(call: &Call<'_>, request: HeartbeatRequest) -> HeartbeatResponse {
    let group = request.group_id.clone();
    let asked = if group.is_empty() {
        Err(ErrorCode::InvalidGroupId)
    } else {
        let asked = call.broker.groups().ask(call, &group, GroupRequest::Heartbeat(request)).await;
        reply!(asked, Heartbeat)
    };
    asked.unwrap_or_else(|code| {
        // A member need not know that its coordinator is being loaded: it was heard.
        let code = if code == ErrorCode::CoordinatorLoadInProgress { ErrorCode::None } else { code };
        HeartbeatResponse { error_code: code.into(), ..Default::default() }
    })
}
