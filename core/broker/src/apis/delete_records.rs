//! DeleteRecords (KIP-107): everything below an offset becomes unreadable, durably.

use std::sync::Arc;

use watershed_metadata::MetadataImage;
use watershed_model::Offset;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopicResult,
};

use super::{Call, is_internal};
use crate::Broker;
use crate::errors::log_code;

/// Asks for everything below the high watermark.
const UP_TO_HIGH_WATERMARK: i64 = -1;

pub(super) async fn handle(call: &Call<'_>, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let image = call.broker.image();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let deleted = delete(call, &image, &topic.name, asked.partition_index, asked.offset).await;
            let (code, low_watermark) = deleted.map_or_else(|code| (code, -1), |start| (ErrorCode::None, start.0));
            partitions.push(DeleteRecordsPartitionResult {
                partition_index: asked.partition_index,
                low_watermark,
                error_code: code.into(),
            });
        }
        if !partitions.is_empty() {
            topics.push(DeleteRecordsTopicResult { name: topic.name, partitions });
        }
    }
    DeleteRecordsResponse { throttle_time_ms: 0, topics }
}

async fn delete(
    call: &Call<'_>,
    image: &Arc<MetadataImage>,
    topic: &str,
    index: i32,
    before: i64,
) -> Result<Offset, ErrorCode> {
    let topic = Broker::find_topic(image, false, Default::default(), topic)?;
    if is_internal(topic.name()) {
        return Err(ErrorCode::InvalidTopicException);
    }
    if index < 0 || index >= topic.partition_count() {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    let partition = call.broker.partition(image, &topic, index).await?;
    let before = (before != UP_TO_HIGH_WATERMARK).then_some(Offset(before));
    partition.log.delete_records_before(before).await.map_err(|error| {
        tracing::info!(topic = %topic.name(), partition = index, %error, "DeleteRecords was refused");
        log_code(&error)
    })
}
