//! DeleteTopics (key 20): by name, and from version 6 by topic id (KIP-516).

use watershed_model::TopicId;
use watershed_protocol_derive::Message;

/// Topics to delete.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 20, kind = "request", versions = "1-6", flexible = "4+")]
pub struct DeleteTopicsRequest {
    /// The topics.
    #[field(versions = "6+")]
    pub topics: Vec<DeleteTopicState>,
    /// The names.
    #[field(versions = "0-5", ignorable)]
    pub topic_names: Vec<String>,
    /// How long the broker may take, in milliseconds.
    #[field(versions = "0+")]
    pub timeout_ms: i32,
}

/// A topic by name, or by id.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeleteTopicState {
    /// The name; null where the id is given.
    #[field(versions = "6+", nullable = "6+", default = null)]
    pub name: Option<String>,
    /// The id; zero where the name is given.
    #[field(versions = "6+")]
    pub topic_id: TopicId,
}

/// What became of each topic.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 20, kind = "response", versions = "1-6", flexible = "4+")]
pub struct DeleteTopicsResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// The results.
    #[field(versions = "0+")]
    pub responses: Vec<DeletableTopicResult>,
}

/// One topic's result.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeletableTopicResult {
    /// The name; null for an id that does not exist.
    #[field(versions = "0+", nullable = "6+")]
    pub name: Option<String>,
    /// The topic's id.
    #[field(versions = "6+", ignorable)]
    pub topic_id: TopicId,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The error in words, if there is one.
    #[field(versions = "5+", nullable = "5+", default = null, ignorable)]
    pub error_message: Option<String>,
}
