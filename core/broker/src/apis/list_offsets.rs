//! ListOffsets: by time, or by one of the special timestamps.

use std::collections::HashMap;
use std::sync::Arc;

use watershed_log::{Bound, OffsetSpec};
use watershed_metadata::MetadataImage;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};

use super::{Call, first_of_each, is_isolation_level};
use crate::Broker;
use crate::errors::log_code;

const READ_COMMITTED: i8 = 1;
/// The first version whose reply carries the leader epoch.
const EPOCH_SINCE: i16 = 4;
/// The first versions that know the special timestamps below -2: each is unknown before its own.
const SPECIAL_SINCE: [(i64, i16); 4] = [(-3, 7), (-4, 8), (-5, 9), (-6, 11)];

pub(super) async fn handle(call: &Call<'_>, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let image = call.broker.image();
    let wrong = !is_isolation_level(request.isolation_level);
    let bound = if request.isolation_level == READ_COMMITTED { Bound::LastStable } else { Bound::HighWatermark };
    let mut named: HashMap<(String, i32), usize> = HashMap::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            *named.entry((topic.name.to_string(), partition.partition_index)).or_default() += 1;
        }
    }
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in first_of_each(topic.partitions.into_iter(), |partition| partition.partition_index) {
            let twice = named.get(&(topic.name.to_string(), partition.partition_index)).is_some_and(|n| *n > 1);
            let found = match wrong || twice {
                true => Err(ErrorCode::InvalidRequest),
                false => look_up(call, &image, &topic.name, &partition, bound).await,
            };
            partitions.push(found.unwrap_or_else(|code| ListOffsetsPartitionResponse {
                partition_index: partition.partition_index,
                error_code: code.into(),
                timestamp: -1,
                offset: -1,
                ..ListOffsetsPartitionResponse::default()
            }));
        }
        if !partitions.is_empty() {
            topics.push(ListOffsetsTopicResponse { name: topic.name, partitions });
        }
    }
    ListOffsetsResponse { throttle_time_ms: 0, topics }
}

async fn look_up(
    call: &Call<'_>,
    image: &Arc<MetadataImage>,
    topic: &str,
    asked: &ListOffsetsPartition,
    bound: Bound,
) -> Result<ListOffsetsPartitionResponse, ErrorCode> {
    let since = SPECIAL_SINCE.iter().find(|(timestamp, _)| *timestamp == asked.timestamp);
    let spec = OffsetSpec::from_wire(asked.timestamp).filter(|_| since.is_none_or(|(_, since)| call.version >= *since));
    let spec = spec.ok_or(ErrorCode::UnsupportedVersion)?;
    let topic = Broker::find_topic(image, false, Default::default(), topic)?;
    if asked.partition_index < 0 || asked.partition_index >= topic.partition_count() {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    let partition = call.broker.partition(image, &topic, asked.partition_index).await?;
    partition.check_leader_epoch(asked.current_leader_epoch)?;
    // While the high watermark is still below where this leadership began, "latest" could go back (KIP-207).
    let epoch_start = partition.log.latest_epoch().filter(|entry| entry.epoch == partition.leader_epoch());
    let behind = epoch_start.is_some_and(|entry| partition.log.high_watermark() < entry.start);
    if behind && matches!(spec, OffsetSpec::Latest) {
        return Err(if call.version >= 5 { ErrorCode::OffsetNotAvailable } else { ErrorCode::LeaderNotAvailable });
    }
    let found = partition.log.offset_for(spec, bound).await.map_err(|error| log_code(&error))?;
    let epoch = found.and_then(|found| found.leader_epoch).map_or(-1, |epoch| epoch.0);
    Ok(ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        error_code: ErrorCode::None.into(),
        timestamp: found.map_or(-1, |found| found.timestamp.0),
        offset: found.map_or(-1, |found| found.offset.0),
        leader_epoch: if call.version >= EPOCH_SINCE { epoch } else { -1 },
    })
}
