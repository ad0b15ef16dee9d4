//! Requests that are wrong in themselves, answered as Apache Kafka answers them (found by `tests/system`).

use watershed_protocol::ErrorCode;
use watershed_protocol::messages::alter_configs::{AlterConfigsRequest, AlterConfigsResource, AlterableConfig};
use watershed_protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use watershed_protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use watershed_protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use watershed_protocol::messages::describe_quorum::{DescribeQuorumRequest, PartitionData, TopicData};
use watershed_protocol::messages::init_producer_id::InitProducerIdRequest;
use watershed_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};

use crate::requests::{FETCH, fetch, fetched, put};
use crate::stage::{Stage, TOPIC};

const INVALID: i16 = ErrorCode::InvalidRequest as i16;

#[tokio::test]
async fn a_topic_by_name_and_by_id_is_refused_once_and_stays() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    let id = stage.topic_id(TOPIC);
    let by_name = DeleteTopicState { name: Some(TOPIC.to_owned()), ..Default::default() };
    let by_id = DeleteTopicState { name: None, topic_id: id };
    let request = DeleteTopicsRequest { topics: vec![by_name, by_id], timeout_ms: 1000, ..Default::default() };
    let answers = client.call(&request, 6).await.responses;
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!((answers[0].name.as_deref(), answers[0].topic_id, answers[0].error_code), (Some(TOPIC), id, INVALID));
    assert_eq!(stage.topic_id(TOPIC), id);
}

#[tokio::test]
async fn a_resource_of_no_known_type_makes_the_request_wrong() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    let resource = |resource_type, name: &str| DescribeConfigsResource {
        resource_type,
        resource_name: name.to_owned(),
        configuration_keys: None,
    };
    let request =
        DescribeConfigsRequest { resources: vec![resource(2, TOPIC), resource(77, "x")], ..Default::default() };
    let answers = client.call(&request, 4).await.results;
    assert!(answers.iter().all(|answer| answer.error_code == INVALID && answer.configs.is_empty()), "{answers:?}");
}

#[tokio::test]
async fn the_quorum_is_described_when_nothing_else_is_asked_for() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    let unknown = i16::from(ErrorCode::UnknownTopicOrPartition);
    for (partitions, want) in [(vec![0], 0), (vec![1], unknown), (vec![0, 1], unknown), (vec![0, 0], unknown)] {
        let partitions = partitions.into_iter().map(|partition_index| PartitionData { partition_index });
        let topic = TopicData { topic_name: "__cluster_metadata".to_owned(), partitions: partitions.collect() };
        let answer = client.call(&DescribeQuorumRequest { topics: vec![topic] }, 2).await;
        let codes: Vec<_> = answer.topics[0].partitions.iter().map(|partition| partition.error_code).collect();
        assert!(codes.iter().all(|code| *code == want), "{codes:?}");
        assert_eq!(answer.nodes.is_empty(), want != 0);
    }
}

#[tokio::test]
async fn metadata_for_nothing_nameable_tells_nothing() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    let id = stage.topic_id(TOPIC);
    for (version, topic_id) in [(10, id), (12, watershed_model::TopicId::ZERO)] {
        let topic = MetadataRequestTopic { topic_id, name: None };
        let answer = client.call(&MetadataRequest { topics: Some(vec![topic]), ..Default::default() }, version).await;
        assert_eq!((answer.brokers.len(), answer.controller_id, answer.cluster_id), (0, -1, None));
        assert_eq!((answer.topics[0].error_code, answer.topics[0].topic_id), (INVALID, topic_id));
    }
}

#[tokio::test]
async fn a_fetch_that_makes_no_sense_is_refused_or_taken_as_in_kafka() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    put(&mut client, 3).await;
    let mut level = fetch(TOPIC, 0, 0);
    level.isolation_level = 7;
    assert_eq!(client.call(&level, FETCH).await.error_code, INVALID);
    let mut future = fetch(TOPIC, 0, 0);
    future.topics[0].partitions[0].last_fetched_epoch = 99;
    let answer = client.call(&future, FETCH).await;
    assert_eq!(fetched(&answer).error_code, i16::from(ErrorCode::OffsetOutOfRange));
    let mut negative = fetch(TOPIC, 0, 0);
    negative.topics[0].partitions[0].current_leader_epoch = -2;
    assert_eq!(fetched(&client.call(&negative, FETCH).await).error_code, 0);
}

#[tokio::test]
async fn a_producer_knows_its_id_and_epoch_or_neither() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    for (producer_id, producer_epoch, want) in [(-1, -1, 0), (7, -1, INVALID), (-1, 3, INVALID), (7, 3, 0)] {
        let request = InitProducerIdRequest { producer_id, producer_epoch, ..Default::default() };
        assert_eq!(client.call(&request, 4).await.error_code, want, "{producer_id} {producer_epoch}");
    }
}

#[tokio::test]
async fn configs_of_brokers_are_wrong_requests_where_those_of_topics_are_wrong_configs() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    for (resource_type, name, want) in [
        (4, "", ErrorCode::InvalidRequest),
        (4, "99", ErrorCode::InvalidRequest),
        (2, TOPIC, ErrorCode::InvalidConfig),
        (2, "__cluster_metadata", ErrorCode::UnknownTopicOrPartition),
        (32, "", ErrorCode::InvalidRequest),
        (32, "orders", ErrorCode::InvalidConfig),
    ] {
        let config = AlterableConfig { name: "message.max.bytes".to_owned(), value: Some("x".to_owned()) };
        let resource = AlterConfigsResource { resource_type, resource_name: name.to_owned(), configs: vec![config] };
        let request = AlterConfigsRequest { resources: vec![resource], validate_only: true };
        assert_eq!(client.call(&request, 2).await.responses[0].error_code, i16::from(want), "{resource_type} {name}");
    }
}

#[tokio::test]
async fn the_metadata_log_is_no_topic() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    let create = |name: String| CreateTopicsRequest {
        topics: vec![CreatableTopic { name, num_partitions: 1, replication_factor: 1, ..Default::default() }],
        ..Default::default()
    };
    let answer = client.call(&create("__cluster_metadata".to_owned()), 7).await;
    assert_eq!(answer.topics[0].error_code, INVALID);
    let answer = client.call(&create("x".repeat(250)), 7).await;
    assert_eq!(answer.topics[0].error_code, i16::from(ErrorCode::InvalidTopicException));
}
