//! DescribeTopicPartitions (KIP-966): topics in order of their names, page by page.

use std::collections::BTreeSet;

use watershed_metadata::{MetadataImage, Topic};
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};

use super::{Call, NO_OPERATIONS, TOPIC_OPERATIONS, check_topic_name, is_internal};

pub(super) async fn handle(
    call: &Call<'_>,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let image = call.broker.image();
    let all = request.topics.is_empty();
    let asked: BTreeSet<String> = request.topics.iter().map(|topic| topic.name.clone()).collect();
    let from = request.cursor.as_ref().map_or("", |cursor| &cursor.topic_name);
    let valid = match &request.cursor {
        Some(cursor) => cursor.partition_index >= 0 && (all || asked.contains(&cursor.topic_name)),
        None => true,
    };
    if !valid {
        let names = asked.into_iter().map(|name| DescribeTopicPartitionsResponseTopic {
            topic_authorized_operations: NO_OPERATIONS,
            ..failed(ErrorCode::InvalidRequest, name)
        });
        return DescribeTopicPartitionsResponse { topics: names.collect(), ..Default::default() };
    }
    let names: Vec<String> = if all {
        image.topics_from(from).map(|topic| topic.name().to_string()).collect()
    } else {
        asked.into_iter().filter(|name| name.as_str() >= from).collect()
    };
    let limit_max = call.broker.config().settings().request_partitions_max as i32;
    let mut room = request.response_partition_limit.min(limit_max).max(1);
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names {
        if room == 0 {
            response.next_cursor = Some(Cursor { topic_name: name, partition_index: 0 });
            break;
        }
        let Some(topic) = image.topic_by_name(&name) else {
            if !all {
                let code =
                    check_topic_name(&name).map_or_else(|(code, _)| code, |()| ErrorCode::UnknownTopicOrPartition);
                response.topics.push(failed(code, name));
            }
            continue;
        };
        let first = request.cursor.as_ref().filter(|cursor| cursor.topic_name == name).map_or(0, |c| c.partition_index);
        let described = describe(call, &image, topic, first, room);
        let next = first.saturating_add(described.partitions.len() as i32);
        room -= described.partitions.len() as i32;
        response.topics.push(described);
        if next < topic.partition_count() {
            response.next_cursor = Some(Cursor { topic_name: name, partition_index: next });
            break;
        }
    }
    response
}

fn failed(code: ErrorCode, name: String) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: code.into(),
        is_internal: is_internal(&name),
        // Nobody may do anything with a topic that has no name.
        topic_authorized_operations: if name.is_empty() { NO_OPERATIONS } else { TOPIC_OPERATIONS },
        name: Some(name),
        ..Default::default()
    }
}

fn describe(
    call: &Call<'_>,
    image: &MetadataImage,
    topic: &Topic,
    first: i32,
    limit: i32,
) -> DescribeTopicPartitionsResponseTopic {
    let partitions = image.partitions(topic).skip(first as usize).take(limit as usize).map(|(index, partition)| {
        let reachable = call.endpoint(partition.leader).is_some();
        DescribeTopicPartitionsResponsePartition {
            error_code: if reachable { ErrorCode::None } else { ErrorCode::LeaderNotAvailable }.into(),
            partition_index: index,
            leader_id: if reachable { partition.leader.0 } else { -1 },
            leader_epoch: partition.leader_epoch.0,
            replica_nodes: partition.replicas.iter().map(|id| id.0).collect(),
            isr_nodes: partition.isr.iter().map(|id| id.0).collect(),
            eligible_leader_replicas: Some(Vec::new()),
            last_known_elr: Some(Vec::new()),
            offline_replicas: Vec::new(),
        }
    });
    DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::None.into(),
        name: Some(topic.name().to_string()),
        topic_id: topic.id(),
        is_internal: is_internal(topic.name()),
        partitions: partitions.collect(),
        topic_authorized_operations: TOPIC_OPERATIONS,
    }
}
