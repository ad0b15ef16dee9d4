//! DescribeProducers (KIP-664).

use std::sync::Arc;

use watershed_log::ActiveProducer;
use watershed_metadata::MetadataImage;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};

use super::{Call, check_topic_name};
use crate::Broker;

pub(super) async fn handle(call: &Call<'_>, request: DescribeProducersRequest) -> DescribeProducersResponse {
    let image = call.broker.image();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
        for index in topic.partition_indexes {
            let (code, message, active) = match look_up(call, &image, &topic.name, index).await {
                Ok(active) => (ErrorCode::None, None, active),
                Err((code, message)) => (code, message, Vec::new()),
            };
            partitions.push(PartitionResponse {
                partition_index: index,
                error_code: code.into(),
                error_message: message,
                active_producers: active.iter().map(state).collect(),
            });
        }
        topics.push(TopicResponse { name: topic.name, partitions });
    }
    DescribeProducersResponse { throttle_time_ms: 0, topics }
}

async fn look_up(
    call: &Call<'_>,
    image: &Arc<MetadataImage>,
    topic: &str,
    index: i32,
) -> Result<Vec<ActiveProducer>, (ErrorCode, Option<String>)> {
    check_topic_name(topic).map_err(|(code, message)| (code, Some(message)))?;
    let topic = Broker::find_topic(image, false, Default::default(), topic)
        .map_err(|code| (code, Some(code.message().to_owned())))?;
    if index < 0 || index >= topic.partition_count() {
        return Err((ErrorCode::UnknownTopicOrPartition, None));
    }
    let partition = call.broker.partition(image, &topic, index).await.map_err(|code| (code, None))?;
    Ok(partition.log.active_producers())
}

fn state(producer: &ActiveProducer) -> ProducerState {
    ProducerState {
        producer_id: producer.id.0,
        producer_epoch: i32::from(producer.epoch.0),
        last_sequence: producer.last_sequence,
        last_timestamp: producer.last_timestamp.0,
        coordinator_epoch: producer.coordinator_epoch,
        current_txn_start_offset: producer.transaction_start.map_or(-1, |offset| offset.0),
    }
}
