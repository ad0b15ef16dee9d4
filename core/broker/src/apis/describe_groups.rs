//! DescribeGroups: the members and state of classic groups.

use futures_util::future::join_all;
use watershed_coordinator::groups::GroupRequest;
use watershed_protocol::messages::describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup};

use super::{Call, GROUP_OPERATIONS, NO_OPERATIONS};
use crate::groups::reply;

pub(super) async fn handle(call: &Call<'_>, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let operations = if request.include_authorized_operations { GROUP_OPERATIONS } else { NO_OPERATIONS };
    let described = request.groups.into_iter().map(|group| async move {
        let asked = call.broker.groups().ask(call, &group, GroupRequest::DescribeGroups(vec![group.to_string()])).await;
        match reply!(asked, DescribeGroups) {
            Ok(answered) => answered,
            Err(code) => vec![DescribedGroup { group_id: group, error_code: code.into(), ..Default::default() }],
        }
    });
    let mut groups: Vec<_> = join_all(described).await.into_iter().flatten().collect();
    for group in &mut groups {
        group.authorized_operations = if group.error_code == 0 { operations } else { NO_OPERATIONS };
    }
    DescribeGroupsResponse { groups, ..Default::default() }
}
