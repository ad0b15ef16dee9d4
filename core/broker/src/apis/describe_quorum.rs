//! DescribeQuorum (KIP-595, KIP-836): the metadata quorum, under the name of Kafka's metadata topic.

use watershed_controller::ReplicaInfo;
use watershed_model::TopicId;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, Listener, Node, PartitionDataResponse, ReplicaState,
    TopicDataResponse,
};

use super::{Call, METADATA_TOPIC};

/// The metadata log has one partition.
const METADATA_PARTITION: i32 = 0;
/// The first version with messages.
const MESSAGES_SINCE: i16 = 2;
/// The first version that lists the nodes.
const NODES_SINCE: i16 = 2;

pub(super) async fn handle(call: &Call<'_>, request: DescribeQuorumRequest) -> DescribeQuorumResponse {
    // Only the one partition can be asked for: whatever else stands beside it makes the request wrong as a whole.
    let good = match &request.topics[..] {
        [topic] => {
            topic.topic_name == METADATA_TOPIC
                && topic.partitions.iter().map(|partition| partition.partition_index).eq([METADATA_PARTITION])
        }
        _ => false,
    };
    let message = (call.version >= MESSAGES_SINCE).then(|| ErrorCode::UnknownTopicOrPartition.message().to_owned());
    let answer = |partition_index| match good {
        true => quorum(call),
        false => PartitionDataResponse {
            partition_index,
            error_code: ErrorCode::UnknownTopicOrPartition.into(),
            error_message: message.clone(),
            ..PartitionDataResponse::default()
        },
    };
    let topics = request.topics.into_iter().map(|topic| TopicDataResponse {
        partitions: topic.partitions.iter().map(|partition| answer(partition.partition_index)).collect(),
        topic_name: topic.topic_name,
    });
    // Java's admin client takes listener names in upper case only.
    let mut response = DescribeQuorumResponse { topics: topics.collect(), ..DescribeQuorumResponse::default() };
    if good && call.version >= NODES_SINCE {
        let image = call.broker.image();
        let node = |broker: &watershed_metadata::Broker| Node {
            node_id: broker.broker.0,
            listeners: broker
                .listeners
                .iter()
                .map(|one| Listener { name: one.name.to_uppercase(), host: one.host.clone(), port: one.port })
                .collect(),
        };
        response.nodes = image.brokers().map(node).collect();
    }
    response
}

fn quorum(call: &Call<'_>) -> PartitionDataResponse {
    let info = call.broker.controller().describe_quorum();
    let replica = |replica: &ReplicaInfo| ReplicaState {
        replica_id: replica.node.0,
        replica_directory_id: TopicId::ZERO,
        log_end_offset: replica.log_end_offset.0,
        last_fetch_timestamp: replica.last_fetch.0,
        last_caught_up_timestamp: replica.last_caught_up.0,
    };
    PartitionDataResponse {
        partition_index: METADATA_PARTITION,
        error_code: ErrorCode::None.into(),
        error_message: None,
        leader_id: info.leader.map_or(-1, |leader| leader.0),
        leader_epoch: info.leader_epoch,
        high_watermark: info.high_watermark.0,
        current_voters: info.voters.iter().map(replica).collect(),
        observers: info.observers.iter().map(replica).collect(),
    }
}
