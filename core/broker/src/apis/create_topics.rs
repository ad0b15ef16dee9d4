//! CreateTopics (KIP-4, KIP-525: the reply describes what was created).

use std::collections::BTreeMap;

use watershed_controller::{ControllerError, CreateTopic, CreatedTopic};
use watershed_metadata::configs;
use watershed_model::{BrokerId, TopicId};
use watershed_protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};

use super::{Call, first_of_each, is_internal};
use crate::errors::controller_code;
use crate::topic_policy;

/// The first version whose reply describes the topic.
const DESCRIBED_SINCE: i16 = 5;

pub(super) async fn handle(call: &Call<'_>, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let topics: Vec<CreateTopic> = request.topics.into_iter().map(wanted).collect();
    let create = |topics| call.broker.controller().create_topics(topics, request.validate_only);
    let replies = topic_policy::judged(call.broker, &call.hook_client(), topics, create).await;
    let results = first_of_each(replies.into_iter(), |(topic, _)| topic.name.clone());
    CreateTopicsResponse {
        throttle_time_ms: 0,
        topics: results.map(|(topic, reply)| answer(call, topic, reply)).collect(),
    }
}

fn wanted(topic: CreatableTopic) -> CreateTopic {
    let assignments = topic.assignments.into_iter();
    CreateTopic {
        name: topic.name,
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assignments
            .map(|one| (one.partition_index, one.broker_ids.into_iter().map(BrokerId).collect()))
            .collect(),
        configs: topic.configs.into_iter().map(|config| (config.name, config.value)).collect(),
    }
}

fn answer(call: &Call<'_>, topic: CreateTopic, reply: Result<CreatedTopic, ControllerError>) -> CreatableTopicResult {
    let created = match reply {
        Ok(created) => created,
        Err(error) => {
            return CreatableTopicResult {
                name: topic.name,
                error_code: controller_code(&error).into(),
                error_message: Some(error.to_string()),
                configs: Some(Vec::new()),
                ..CreatableTopicResult::default()
            };
        }
    };
    let mut result = CreatableTopicResult {
        topic_id: created.topic,
        num_partitions: created.partitions,
        replication_factor: created.replication_factor,
        ..CreatableTopicResult::default()
    };
    if call.version >= DESCRIBED_SINCE {
        // The values that were sent, or set by the topic policy, are shown as they were sent, as in Kafka.
        let mut sent: BTreeMap<String, String> =
            topic.configs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let config = call.broker.config();
        if is_internal(&topic.name) {
            sent.append(&mut configs::internal_topic_configs(&config));
        }
        let entries = configs::describe_topic(&config, &sent).into_iter();
        let one = |entry: configs::ConfigEntry| CreatableTopicConfigs {
            name: entry.name.to_owned(),
            value: sent.get(entry.name).cloned().or(entry.value).filter(|_| !entry.sensitive),
            read_only: entry.read_only,
            config_source: entry.source.code(),
            is_sensitive: entry.sensitive,
        };
        result.configs = Some(entries.map(one).collect());
    } else {
        result.topic_id = TopicId::ZERO;
    }
    result.name = topic.name;
    result
}
