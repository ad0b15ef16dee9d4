//! OffsetCommit: keeps how far a group, or a consumer without one, has come.
//!
//! What does not exist is answered here; the coordinator gets the rest. From version 10 on topics are named by their ids.

use watershed_coordinator::groups::GroupRequest;
use watershed_metadata::MetadataImage;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestTopic, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};

use super::Call;
use crate::groups::reply;

/// From this version on topics are named by their ids.
const BY_ID_SINCE: i16 = 10;

pub(super) async fn handle(call: &Call<'_>, mut request: OffsetCommitRequest) -> OffsetCommitResponse {
    let image = call.broker.image();
    let by_id = call.version >= BY_ID_SINCE;
    let mut refused = Vec::new();
    let mut known = Vec::with_capacity(request.topics.len());
    for topic in std::mem::take(&mut request.topics) {
        let (accepted, missing) = divide(&image, by_id, topic);
        known.extend(accepted);
        refused.extend(missing);
    }
    if known.is_empty() {
        return OffsetCommitResponse { topics: refused, ..Default::default() };
    }
    request.topics = known;
    let group = request.group_id.clone();
    // In case of an error every partition is answered with it.
    let asked_for: Vec<_> = request.topics.iter().map(|topic| answer(topic, None)).collect();
    let asked = call.broker.groups().ask(call, &group, GroupRequest::OffsetCommit(request)).await;
    let answered = match reply!(asked, OffsetCommit) {
        Ok(response) => response.topics,
        Err(code) => with_code(asked_for, code),
    };
    OffsetCommitResponse { topics: merge(refused, answered, by_id), ..Default::default() }
}

/// What of a topic exists, with its name and id, and the answer to the rest.
fn divide(
    image: &MetadataImage,
    by_id: bool,
    mut topic: OffsetCommitRequestTopic,
) -> (Option<OffsetCommitRequestTopic>, Option<OffsetCommitResponseTopic>) {
    let found = if by_id { image.topic_by_id(&topic.topic_id) } else { image.topic_by_name(&topic.name) };
    let Some(found) = found else {
        let code = if by_id { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
        return (None, Some(answer(&topic, Some(code))));
    };
    if by_id {
        topic.name = (&**found.name()).into();
    }
    let count = found.partition_count();
    let all = std::mem::take(&mut topic.partitions);
    let (exist, missing): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|partition| (0..count).contains(&partition.partition_index));
    let missing = (!missing.is_empty()).then(|| {
        let rest = OffsetCommitRequestTopic { partitions: missing, ..topic.clone() };
        answer(&rest, Some(ErrorCode::UnknownTopicOrPartition))
    });
    topic.partitions = exist;
    (Some(topic).filter(|topic| !topic.partitions.is_empty()), missing)
}

fn answer(topic: &OffsetCommitRequestTopic, code: Option<ErrorCode>) -> OffsetCommitResponseTopic {
    let error_code = code.map_or(0, i16::from);
    let partitions = topic
        .partitions
        .iter()
        .map(|partition| OffsetCommitResponsePartition { partition_index: partition.partition_index, error_code });
    OffsetCommitResponseTopic { name: topic.name.clone(), topic_id: topic.topic_id, partitions: partitions.collect() }
}

fn with_code(mut topics: Vec<OffsetCommitResponseTopic>, code: ErrorCode) -> Vec<OffsetCommitResponseTopic> {
    for partition in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        partition.error_code = code.into();
    }
    topics
}

/// One entry per topic: the refused partitions first, as Kafka does.
fn merge(
    mut topics: Vec<OffsetCommitResponseTopic>,
    answered: Vec<OffsetCommitResponseTopic>,
    by_id: bool,
) -> Vec<OffsetCommitResponseTopic> {
    if topics.is_empty() {
        return answered;
    }
    for topic in answered {
        let same = |other: &&mut OffsetCommitResponseTopic| {
            if by_id { other.topic_id == topic.topic_id } else { other.name == topic.name }
        };
        match topics.iter_mut().find(same) {
            Some(entry) => entry.partitions.extend(topic.partitions),
            None => topics.push(topic),
        }
    }
    topics
}
