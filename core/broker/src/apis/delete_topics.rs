//! DeleteTopics, by name or by id.

use std::collections::BTreeMap;
use std::sync::Arc;

use watershed_controller::TopicRef;
use watershed_model::TopicId;
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};

use super::{Call, each, first_of_each};
use crate::errors::controller_code;

/// The first version that names topics in `topics` (by name or id) instead of `topic_names`.
const STATES_SINCE: i16 = 6;
/// The first version that knows TOPIC_DELETION_DISABLED.
const DISABLED_CODE_SINCE: i16 = 3;

pub(super) async fn handle(call: &Call<'_>, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let named =
        request.topic_names.into_iter().map(|name| DeleteTopicState { name: Some(name), topic_id: TopicId::ZERO });
    let asked: Vec<DeleteTopicState> = if call.version >= STATES_SINCE { request.topics } else { named.collect() };
    if !call.broker.config().settings().delete_topic_enable {
        let code = if call.version >= DISABLED_CODE_SINCE {
            ErrorCode::TopicDeletionDisabled
        } else {
            ErrorCode::InvalidRequest
        };
        let refused =
            asked.into_iter().map(|topic| failed(topic, code, "Topic deletion is disabled (delete.topic.enable)."));
        return DeleteTopicsResponse { throttle_time_ms: 0, responses: refused.collect() };
    }
    let mut responses = Vec::new();
    let mut topics = Vec::new();
    for topic in asked {
        match (&topic.name, topic.topic_id.is_zero()) {
            (None, true) => {
                let message = "Neither topic name nor id were specified.";
                responses.push(failed(topic, ErrorCode::InvalidRequest, message));
            }
            (Some(_), false) => {
                let message = "You may not specify both topic name and topic id.";
                responses.push(failed(topic, ErrorCode::InvalidRequest, message));
            }
            (Some(name), true) => topics.push(TopicRef::Name(name.clone())),
            (None, false) => topics.push(TopicRef::Id(topic.topic_id)),
        }
    }
    refuse_both(call, &mut topics, &mut responses);
    let deleted = call.broker.controller().delete_topics(topics.clone()).await;
    let replies: Vec<_> = topics.into_iter().zip(each(deleted)).collect();
    // A topic of the same name that is made next must not begin with the offsets of this one.
    let gone = replies.iter().filter_map(|(_, reply)| Some(Arc::from(reply.as_ref().ok()?.name.as_str())));
    call.broker.groups().topics_deleted(call.broker, &gone.collect::<Vec<_>>()).await;
    let replies = replies.into_iter();
    for (topic, reply) in first_of_each(replies, |(topic, _)| topic.clone()) {
        responses.push(match reply {
            Ok(deleted) => DeletableTopicResult {
                name: Some(deleted.name),
                topic_id: deleted.topic,
                ..DeletableTopicResult::default()
            },
            Err(error) => {
                let (name, topic_id) = match topic {
                    TopicRef::Name(name) => (Some(name), TopicId::ZERO),
                    TopicRef::Id(id) => (None, id),
                };
                failed(DeleteTopicState { name, topic_id }, controller_code(&error), &error.to_string())
            }
        });
    }
    DeleteTopicsResponse { throttle_time_ms: 0, responses }
}

/// A topic that is named by its name and by its id is not deleted at all; one answer, with both, says so.
fn refuse_both(call: &Call<'_>, topics: &mut Vec<TopicRef>, responses: &mut Vec<DeletableTopicResult>) {
    let image = call.broker.image();
    let id_of = |name: &str| image.topic_by_name(name).map(|topic| topic.id());
    let twice: BTreeMap<TopicId, String> = topics
        .iter()
        .filter_map(|topic| match topic {
            TopicRef::Name(name) => Some((id_of(name).filter(|id| topics.contains(&TopicRef::Id(*id)))?, name.clone())),
            TopicRef::Id(_) => None,
        })
        .collect();
    topics.retain(|topic| match topic {
        TopicRef::Name(name) => !twice.values().any(|other| other == name),
        TopicRef::Id(id) => !twice.contains_key(id),
    });
    let message = "The provided topic name maps to an ID that was already supplied.";
    responses.extend(twice.into_iter().map(|(topic_id, name)| {
        failed(DeleteTopicState { name: Some(name), topic_id }, ErrorCode::InvalidRequest, message)
    }));
}

fn failed(topic: DeleteTopicState, code: ErrorCode, message: &str) -> DeletableTopicResult {
    DeletableTopicResult {
        name: topic.name,
        topic_id: topic.topic_id,
        error_code: code.into(),
        error_message: Some(message.to_owned()),
    }
}
