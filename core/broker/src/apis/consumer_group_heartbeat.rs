//! ConsumerGroupHeartbeat: a member of a consumer group joins, stays, changes or leaves, and hears what it is to own (KIP-848).

use watershed_coordinator::groups::GroupRequest;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use super::Call;
use crate::groups::reply;

pub(super) async fn handle(call: &Call<'_>, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
    if !call.broker.config().settings().groups.consumer_protocol {
        return failed(ErrorCode::UnsupportedVersion);
    }
    let group = request.group_id.clone();
    let asked = call.broker.groups().ask(call, &group, GroupRequest::ConsumerGroupHeartbeat(request)).await;
    reply!(asked, ConsumerGroupHeartbeat).unwrap_or_else(failed)
}

fn failed(code: ErrorCode) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse { error_code: code.into(), ..Default::default() }
}
