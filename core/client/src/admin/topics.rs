//! Topics: create, delete, grow, and delete the records in front.

use watershed_model::{Offset, TopicId};
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::create_partitions::CreatePartitionsTopic;
use watershed_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use watershed_protocol::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use watershed_protocol::messages::delete_topics::DeleteTopicState;
use watershed_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
};

use super::Admin;
use crate::{ClientError, Lane};

/// DeleteTopics names topics in a struct of its own from this version on.
const DELETE_TOPICS_STRUCT_VERSION: i16 = 6;

/// A topic to create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; `None` is the broker's `num.partitions`.
    pub partitions: Option<i32>,
    /// How many replicas of each; `None` is the broker's `default.replication.factor`.
    pub replication_factor: Option<i16>,
    /// Configs that differ from the broker's defaults.
    pub configs: Vec<(String, String)>,
}

impl Admin {
    /// Creates a topic, or only says whether it could be created.
    ///
    /// # Errors
    /// The broker's refusal, such as `TOPIC_ALREADY_EXISTS`; note that a retry after a lost answer can meet its own topic.
    pub async fn create_topic(&self, topic: &NewTopic, validate_only: bool) -> Result<TopicId, ClientError> {
        let configs = topic.configs.iter().map(|(name, value)| CreatableTopicConfig {
            name: name.as_str().into(),
            value: Some(value.as_str().into()),
        });
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: topic.name.as_str().into(),
                num_partitions: topic.partitions.unwrap_or(-1),
                replication_factor: topic.replication_factor.unwrap_or(-1),
                assignments: Vec::new(),
                configs: configs.collect(),
            }],
            timeout_ms: self.timeout_ms(),
            validate_only,
        };
        let what = format!("creating topic {:?}", topic.name);
        self.client
            .retry(&what, || async {
                let response = self.client.call_any(&request).await?;
                let result = response.topics.first().ok_or_else(|| no_result(&what))?;
                let message = result.error_message.as_deref();
                ClientError::check(result.error_code, message, || what.clone())?;
                Ok(result.topic_id)
            })
            .await
    }

    /// Deletes a topic and everything in it.
    ///
    /// # Errors
    /// The broker's refusal, such as `UNKNOWN_TOPIC_OR_PARTITION` (at once: a topic that is not there is not waited for).
    pub async fn delete_topic(&self, name: &str) -> Result<(), ClientError> {
        let what = format!("deleting topic {name:?}");
        self.client
            .retry(&what, || async {
                let connection = self.client.any_broker().await?;
                let version = connection.version_of::<DeleteTopicsRequest>()?;
                let mut request =
                    DeleteTopicsRequest { timeout_ms: self.timeout_ms(), ..DeleteTopicsRequest::default() };
                if version >= DELETE_TOPICS_STRUCT_VERSION {
                    request.topics = vec![DeleteTopicState { name: Some(name.into()), topic_id: TopicId::ZERO }];
                } else {
                    request.topic_names = vec![name.into()];
                }
                let reply = connection.send_version(&request, version).await?;
                let response = reply.wait().await?;
                let result = response.responses.first().ok_or_else(|| no_result(&what))?;
                let message = result.error_message.as_deref();
                final_if_unknown(ClientError::check(result.error_code, message, || what.clone()))
            })
            .await?
    }

    /// Grows a topic to `count` partitions.
    ///
    /// # Errors
    /// The broker's refusal, such as `INVALID_PARTITIONS` for a count that is not higher.
    pub async fn create_partitions(&self, topic: &str, count: i32, validate_only: bool) -> Result<(), ClientError> {
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic { name: topic.into(), count, assignments: None }],
            timeout_ms: self.timeout_ms(),
            validate_only,
        };
        let what = format!("growing topic {topic:?} to {count} partitions");
        self.client
            .retry(&what, || async {
                let response = self.client.call_any(&request).await?;
                let result = response.results.first().ok_or_else(|| no_result(&what))?;
                let message = result.error_message.as_deref();
                final_if_unknown(ClientError::check(result.error_code, message, || what.clone()))
            })
            .await?
    }

    /// Deletes a partition's records before `offset`; `None` deletes all that consumers may see. Gives the new log start.
    ///
    /// # Errors
    /// The broker's refusal, such as `OFFSET_OUT_OF_RANGE` or `POLICY_VIOLATION`.
    pub async fn delete_records(
        &self,
        topic: &str,
        partition: i32,
        offset: Option<Offset>,
    ) -> Result<Offset, ClientError> {
        let request = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: topic.into(),
                partitions: vec![DeleteRecordsPartition {
                    partition_index: partition,
                    offset: offset.map_or(-1, Offset::get),
                }],
            }],
            timeout_ms: self.timeout_ms(),
        };
        let what = format!("deleting records of {topic}-{partition}");
        self.client.topic(topic).await?;
        self.client
            .retry(&what, || async {
                let metadata = self.client.metadata();
                let Some((leader, ..)) = metadata.leader(topic, partition) else {
                    return Err(no_leader(&what));
                };
                let connection = self.client.broker(leader, Lane::Control).await?;
                let response = connection.call(&request).await?;
                let result =
                    response.topics.first().and_then(|t| t.partitions.first()).ok_or_else(|| no_result(&what))?;
                ClientError::check(result.error_code, None, || what.clone())?;
                Ok(Offset(result.low_watermark))
            })
            .await
    }
}

pub(super) fn no_leader(what: &str) -> ClientError {
    ClientError::Broker { what: what.to_owned(), code: ErrorCode::LeaderNotAvailable, message: None }
}

pub(super) fn no_result(what: &str) -> ClientError {
    ClientError::Broker {
        what: what.to_owned(),
        code: ErrorCode::UnknownServerError,
        message: Some("the broker's answer has no result for it".into()),
    }
}

/// A topic that is not there is an answer, not a reason to try again.
fn final_if_unknown(result: Result<(), ClientError>) -> Result<Result<(), ClientError>, ClientError> {
    match result {
        Err(error) if error.code() != Some(ErrorCode::UnknownTopicOrPartition) => Err(error),
        result => Ok(result),
    }
}
