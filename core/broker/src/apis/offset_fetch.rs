//! OffsetFetch: how far groups have come; one group up to version 7, several from 8 on, topics by id from 10 on.

use futures_util::future::join_all;
use watershed_coordinator::groups::GroupRequest;
use watershed_metadata::MetadataImage;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};

use super::Call;
use crate::groups::reply;

/// From this version on a request may name several groups (KIP-709).
const BATCHED_SINCE: i16 = 8;
/// From this version on topics are named by their ids.
const BY_ID_SINCE: i16 = 10;
/// From this version on an error is told for the whole group.
const GROUP_ERROR_SINCE: i16 = 2;

pub(super) async fn handle(call: &Call<'_>, mut request: OffsetFetchRequest) -> OffsetFetchResponse {
    if call.version >= BATCHED_SINCE {
        let require_stable = request.require_stable;
        let groups = request.groups.into_iter().map(|group| fetch(call, group, require_stable));
        return OffsetFetchResponse { groups: join_all(groups).await, ..Default::default() };
    }
    let topics = request.topics.take().map(|topics| {
        let topic =
            |topic: watershed_protocol::messages::offset_fetch::OffsetFetchRequestTopic| OffsetFetchRequestTopics {
                name: topic.name,
                partition_indexes: topic.partition_indexes,
                ..Default::default()
            };
        topics.into_iter().map(topic).collect()
    });
    let group = OffsetFetchRequestGroup { group_id: request.group_id, topics, ..Default::default() };
    let group = fetch(call, group, request.require_stable).await;
    OffsetFetchResponse {
        error_code: group.error_code,
        topics: group.topics.into_iter().map(single).collect(),
        ..Default::default()
    }
}

async fn fetch(call: &Call<'_>, mut group: OffsetFetchRequestGroup, require_stable: bool) -> OffsetFetchResponseGroup {
    let image = call.broker.image();
    let by_id = call.version >= BY_ID_SINCE;
    let unknown = if by_id { take_unknown(&image, &mut group) } else { Vec::new() };
    let asked_for = group.clone();
    let group_id = group.group_id.clone();
    let request = GroupRequest::OffsetFetch { group, require_stable };
    let asked = call.broker.groups().ask(call, &group_id, request).await;
    let mut response = match reply!(asked, OffsetFetch) {
        Ok(response) => response,
        Err(code) => return failed(asked_for, code, call.version),
    };
    if response.error_code != 0 {
        return failed_with(asked_for, response.error_code, call.version);
    }
    if by_id {
        for topic in &mut response.topics {
            if topic.topic_id.is_zero()
                && let Some(known) = image.topic_by_name(&topic.name)
            {
                topic.topic_id = known.id();
            }
        }
        // A topic without an id cannot be told.
        response.topics.retain(|topic| !topic.topic_id.is_zero());
    }
    response.topics.extend(unknown);
    response
}

/// Gives topics their names; those that nobody knows are taken out and answered.
fn take_unknown(image: &MetadataImage, group: &mut OffsetFetchRequestGroup) -> Vec<OffsetFetchResponseTopics> {
    let Some(topics) = &mut group.topics else { return Vec::new() };
    let mut unknown = Vec::new();
    topics.retain_mut(|topic| {
        if let Some(known) = image.topic_by_id(&topic.topic_id) {
            topic.name = (&**known.name()).into();
            return true;
        }
        unknown.push(answer(topic, ErrorCode::UnknownTopicId.into()));
        false
    });
    unknown
}

fn answer(topic: &OffsetFetchRequestTopics, error_code: i16) -> OffsetFetchResponseTopics {
    let partition = |index: &i32| OffsetFetchResponsePartitions {
        partition_index: *index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(Default::default()),
        error_code,
    };
    OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic.partition_indexes.iter().map(partition).collect(),
    }
}

/// An error for the whole group, in the way of the version.
fn failed(group: OffsetFetchRequestGroup, code: ErrorCode, version: i16) -> OffsetFetchResponseGroup {
    // These two make old consumers give up, where NOT_COORDINATOR has them look for the coordinator again.
    let code = if code == ErrorCode::CoordinatorNotAvailable { ErrorCode::NotCoordinator } else { code };
    failed_with(group, code.into(), version)
}

fn failed_with(group: OffsetFetchRequestGroup, error_code: i16, version: i16) -> OffsetFetchResponseGroup {
    if version >= GROUP_ERROR_SINCE {
        return OffsetFetchResponseGroup { group_id: group.group_id, error_code, ..Default::default() };
    }
    let topics = group.topics.iter().flatten().map(|topic| answer(topic, error_code)).collect();
    OffsetFetchResponseGroup { group_id: group.group_id, topics, ..Default::default() }
}

/// A topic in the form of the versions with one group.
fn single(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partition = |p: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
        partition_index: p.partition_index,
        committed_offset: p.committed_offset,
        committed_leader_epoch: p.committed_leader_epoch,
        metadata: p.metadata,
        error_code: p.error_code,
    };
    OffsetFetchResponseTopic { name: topic.name, partitions: topic.partitions.into_iter().map(partition).collect() }
}
