//! ListGroups: the groups that this broker coordinates, by state (KIP-518) and type (KIP-848).

use watershed_coordinator::groups::GroupRequest;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};

use super::Call;
use crate::groups::reply;

pub(super) async fn handle(call: &Call<'_>, request: ListGroupsRequest) -> ListGroupsResponse {
    match list(call, request).await {
        Ok(groups) => ListGroupsResponse { groups, ..Default::default() },
        Err(code) => ListGroupsResponse { error_code: code.into(), ..Default::default() },
    }
}

async fn list(call: &Call<'_>, request: ListGroupsRequest) -> Result<Vec<ListedGroup>, ErrorCode> {
    let texts = |texts: Vec<_>| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (states, types) = (texts(request.states_filter), texts(request.types_filter));
    let groups = call.broker.groups();
    let mut listed = Vec::new();
    for shard in groups.shards(call.broker).await? {
        let request = GroupRequest::ListGroups { states: states.clone(), types: types.clone() };
        match reply!(groups.ask_shard(call, &shard, request).await, ListGroups) {
            Ok(some) => listed.extend(some),
            // It was moved away meanwhile.
            Err(ErrorCode::NotCoordinator) => {}
            Err(code) => return Err(code),
        }
    }
    Ok(listed)
}
