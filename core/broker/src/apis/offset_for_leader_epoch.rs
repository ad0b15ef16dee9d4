//! OffsetForLeaderEpoch (KIP-101, KIP-320): where an epoch ended, so that a client learns whether its log was cut.

use std::sync::Arc;

use watershed_metadata::MetadataImage;
use watershed_model::LeaderEpoch;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
};

use super::Call;
use crate::Broker;

pub(super) async fn handle(call: &Call<'_>, request: OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse {
    let image = call.broker.image();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let answer = look_up(call, &image, &topic.topic, &asked).await;
            let (code, (epoch, end)) = answer.map_or_else(|code| (code, (-1, -1)), |found| (ErrorCode::None, found));
            partitions.push(EpochEndOffset {
                error_code: code.into(),
                partition: asked.partition,
                leader_epoch: epoch,
                end_offset: end,
            });
        }
        topics.push(OffsetForLeaderTopicResult { topic: topic.topic, partitions });
    }
    OffsetForLeaderEpochResponse { throttle_time_ms: 0, topics }
}

async fn look_up(
    call: &Call<'_>,
    image: &Arc<MetadataImage>,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<(i32, i64), ErrorCode> {
    let topic = Broker::find_topic(image, false, Default::default(), topic)?;
    if asked.partition < 0 || asked.partition >= topic.partition_count() {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    let partition = call.broker.partition(image, &topic, asked.partition).await?;
    partition.check_leader_epoch(asked.current_leader_epoch)?;
    let found = partition.log.end_offset_for_epoch(LeaderEpoch(asked.leader_epoch));
    Ok(found.map_or((-1, -1), |(epoch, end)| (epoch.0, end.0)))
}
