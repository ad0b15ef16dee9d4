//! CreatePartitions.

use watershed_protocol_derive::Message;

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 37, kind = "request", versions = "0-3", flexible = "2+")]
pub struct CreatePartitionsRequest {
    /// .
    #[field(versions = "0+")]
    pub topics: Vec<CreatePartitionsTopic>,
    /// .
    #[field(versions = "0+")]
    pub timeout_ms: i32,
    /// .
    #[field(versions = "0+")]
    pub validate_only: bool,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct CreatePartitionsTopic {
    /// .
    #[field(versions = "0+")]
    pub name: String,
    /// .
    #[field(versions = "0+")]
    pub count: i32,
    /// .
    #[field(versions = "0+", nullable = "0+")]
    pub assignments: Option<Vec<CreatePartitionsAssignment>>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct CreatePartitionsAssignment {
    /// .
    #[field(versions = "0+")]
    pub broker_ids: Vec<i32>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 37, kind = "response", versions = "0-3", flexible = "2+")]
pub struct CreatePartitionsResponse {
    /// .
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// .
    #[field(versions = "0+")]
    pub results: Vec<CreatePartitionsTopicResult>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct CreatePartitionsTopicResult {
    /// .
    #[field(versions = "0+")]
    pub name: String,
    /// .
    #[field(versions = "0+")]
    pub error_code: i16,
    /// .
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub error_message: Option<String>,
}
