//! ConsumerGroupDescribe: members, epochs and assignments of consumer groups (KIP-848).

use futures_util::future::join_all;
use watershed_coordinator::groups::GroupRequest;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::consumer_group_describe::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup,
};

use super::{Call, GROUP_OPERATIONS, NO_OPERATIONS};
use crate::groups::reply;

pub(super) async fn handle(call: &Call<'_>, request: ConsumerGroupDescribeRequest) -> ConsumerGroupDescribeResponse {
    let operations = if request.include_authorized_operations { GROUP_OPERATIONS } else { NO_OPERATIONS };
    let is_served = call.broker.config().settings().groups.consumer_protocol;
    let described = request.group_ids.into_iter().map(|group| async move {
        let asked = if !is_served {
            Err(ErrorCode::UnsupportedVersion)
        } else if group.is_empty() {
            Err(ErrorCode::InvalidGroupId)
        } else {
            let request = GroupRequest::ConsumerGroupDescribe(vec![group.to_string()]);
            reply!(call.broker.groups().ask(call, &group, request).await, ConsumerGroupDescribe)
        };
        asked.unwrap_or_else(|code| {
            vec![DescribedGroup { group_id: group, error_code: code.into(), ..Default::default() }]
        })
    });
    let mut groups: Vec<_> = join_all(described).await.into_iter().flatten().collect();
    for group in &mut groups {
        group.authorized_operations = if group.error_code == 0 { operations } else { NO_OPERATIONS };
    }
    ConsumerGroupDescribeResponse { groups, ..Default::default() }
}
