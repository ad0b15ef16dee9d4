//! CreatePartitions (KIP-195).

use watershed_controller::CreatePartitions;
use watershed_model::BrokerId;
use watershed_protocol::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopicResult,
};

use super::{Call, first_of_each};
use crate::errors::controller_code;
use crate::topic_policy;

pub(super) async fn handle(call: &Call<'_>, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let brokers = |ids: Vec<i32>| ids.into_iter().map(BrokerId).collect();
    let topics = request.topics.into_iter().map(|topic| CreatePartitions {
        name: topic.name,
        count: topic.count,
        assignments: topic.assignments.map(|all| all.into_iter().map(|one| brokers(one.broker_ids)).collect()),
    });
    let topics: Vec<CreatePartitions> = topics.collect();
    let create = |topics| call.broker.controller().create_partitions(topics, request.validate_only);
    let replies = topic_policy::judged(call.broker, &call.hook_client(), topics, create).await;
    let replies = replies.into_iter().map(|(topic, reply)| (topic.name, reply));
    let results = first_of_each(replies, |(name, _)| name.clone());
    let answer = |(name, reply): (String, Result<(), _>)| {
        let error = reply.err();
        CreatePartitionsTopicResult {
            name,
            error_code: error.as_ref().map_or(0, |error| controller_code(error).into()),
            error_message: error.map(|error| error.to_string()),
        }
    };
    CreatePartitionsResponse { throttle_time_ms: 0, results: results.map(answer).collect() }
}
