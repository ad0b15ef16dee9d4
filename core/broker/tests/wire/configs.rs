//! Configs of groups, and the topic in which groups keep their state.

use watershed_protocol::ErrorCode;
use watershed_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResult,
};
use watershed_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use watershed_protocol::messages::list_config_resources::ListConfigResourcesRequest;
use watershed_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};

use crate::stage::{Client, Stage};

const TOPIC_TYPE: i8 = 2;
const GROUP_TYPE: i8 = 32;
const TIMEOUT: &str = "consumer.session.timeout.ms";

async fn describe(client: &mut Client, resource_type: i8, name: &str) -> DescribeConfigsResult {
    let resource = DescribeConfigsResource { resource_type, resource_name: name.to_owned(), configuration_keys: None };
    let request = DescribeConfigsRequest { resources: vec![resource], include_synonyms: true, ..Default::default() };
    client.call(&request, 4).await.results.remove(0)
}

#[tokio::test]
async fn a_groups_configs_are_set_described_and_listed() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    let list = ListConfigResourcesRequest { resource_types: vec![GROUP_TYPE] };
    assert!(client.call(&list, 1).await.config_resources.is_empty());

    let config = AlterableConfig { name: TIMEOUT.to_owned(), config_operation: 0, value: Some("50000".to_owned()) };
    let resource =
        AlterConfigsResource { resource_type: GROUP_TYPE, resource_name: "orders".to_owned(), configs: vec![config] };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    assert_eq!(client.call(&request, 1).await.responses[0].error_code, 0);

    let listed = client.call(&list, 1).await.config_resources;
    let names: Vec<_> = listed.iter().map(|one| (one.resource_name.as_str(), one.resource_type)).collect();
    assert_eq!(names, [("orders", GROUP_TYPE)]);
    let shown = |result: DescribeConfigsResult| {
        let one = result.configs.into_iter().find(|config| config.name == TIMEOUT).unwrap();
        (one.value, one.config_source, one.read_only, one.config_type, one.synonyms.len())
    };
    assert_eq!(shown(describe(&mut client, GROUP_TYPE, "orders").await), (Some("50000".to_owned()), 8, false, 3, 1));
    assert_eq!(shown(describe(&mut client, GROUP_TYPE, "other").await), (Some("45000".to_owned()), 5, false, 3, 1));
    let nameless = describe(&mut client, GROUP_TYPE, "").await;
    assert_eq!(nameless.error_code, i16::from(ErrorCode::InvalidRequest));
    assert_eq!(nameless.error_message.as_deref(), Some("Group name must not be empty"));
}

#[tokio::test]
async fn the_offsets_topic_that_a_client_asks_for_is_created_as_it_has_to_be() {
    let stage = Stage::start().await;
    let mut client = stage.client().await;
    let topic = MetadataRequestTopic { name: Some("__consumer_offsets".to_owned()), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation: true, ..Default::default() };
    let answer = client.call(&request, 12).await.topics.remove(0);
    assert_eq!((answer.error_code, answer.is_internal, answer.partitions.len()), (0, true, 50));
    let described = describe(&mut client, TOPIC_TYPE, "__consumer_offsets").await;
    let value = |name: &str| described.configs.iter().find(|config| config.name == name).unwrap().value.as_deref();
    assert_eq!((value("cleanup.policy"), value("segment.bytes")), (Some("compact"), Some("104857600")));
    assert_eq!((value("watershed.storage"), value("watershed.flush")), (Some("disk"), Some("sync")));
}
