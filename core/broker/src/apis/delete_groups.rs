//! DeleteGroups: removes groups without members, with their offsets.

use watershed_coordinator::groups::GroupRequest;
use watershed_protocol::messages::delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};

use super::{Call, first_of_each};
use crate::groups::reply;

pub(super) async fn handle(call: &Call<'_>, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for group in first_of_each(request.groups_names.into_iter(), Clone::clone) {
        let asked = call.broker.groups().ask(call, &group, GroupRequest::DeleteGroups(vec![group.to_string()])).await;
        match reply!(asked, DeleteGroups) {
            Ok(answered) => results.extend(answered),
            Err(code) => results.push(DeletableGroupResult { group_id: group, error_code: code.into() }),
        }
    }
    DeleteGroupsResponse { results, ..Default::default() }
}
