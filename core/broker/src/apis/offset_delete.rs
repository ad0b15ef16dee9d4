//! OffsetDelete: forgets what a group committed for partitions it does not consume (KIP-496).

use watershed_coordinator::groups::GroupRequest;
use watershed_metadata::MetadataImage;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestTopic, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};

use super::Call;
use crate::groups::reply;

pub(super) async fn handle(call: &Call<'_>, mut request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let image = call.broker.image();
    let mut missing = Vec::new();
    let topics = std::mem::take(&mut request.topics);
    request.topics = topics.into_iter().filter_map(|topic| existing(&image, topic, &mut missing)).collect();
    let group = request.group_id.clone();
    let asked = if group.is_empty() {
        Err(ErrorCode::InvalidGroupId)
    } else {
        let asked = call.broker.groups().ask(call, &group, GroupRequest::OffsetDelete(request)).await;
        reply!(asked, OffsetDelete)
    };
    match asked {
        Ok(response) if response.error_code == 0 => {
            let mut topics = missing;
            for topic in response.topics {
                match topics.iter_mut().find(|other: &&mut OffsetDeleteResponseTopic| other.name == topic.name) {
                    Some(entry) => entry.partitions.extend(topic.partitions),
                    None => topics.push(topic),
                }
            }
            OffsetDeleteResponse { topics, ..response }
        }
        Ok(response) => response,
        Err(code) => OffsetDeleteResponse { error_code: code.into(), ..Default::default() },
    }
}

/// What of a topic exists; the rest is answered in `missing`.
fn existing(
    image: &MetadataImage,
    mut topic: OffsetDeleteRequestTopic,
    missing: &mut Vec<OffsetDeleteResponseTopic>,
) -> Option<OffsetDeleteRequestTopic> {
    let count = image.topic_by_name(&topic.name).map_or(0, |topic| topic.partition_count());
    let all = std::mem::take(&mut topic.partitions);
    let (exist, gone): (Vec<_>, Vec<_>) = all.into_iter().partition(|p| (0..count).contains(&p.partition_index));
    if !gone.is_empty() {
        let partitions = gone.iter().map(|p| OffsetDeleteResponsePartition {
            partition_index: p.partition_index,
            error_code: ErrorCode::UnknownTopicOrPartition.into(),
        });
        missing.push(OffsetDeleteResponseTopic { name: topic.name.clone(), partitions: partitions.collect() });
    }
    topic.partitions = exist;
    Some(topic).filter(|topic| !topic.partitions.is_empty())
}
