//! AlterConfigs.

use watershed_protocol_derive::Message;

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 33, kind = "request", versions = "0-2", flexible = "2+")]
pub struct AlterConfigsRequest {
    /// .
    #[field(versions = "0+")]
    pub resources: Vec<AlterConfigsResource>,
    /// .
    #[field(versions = "0+")]
    pub validate_only: bool,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AlterConfigsResource {
    /// .
    #[field(versions = "0+")]
    pub resource_type: i8,
    /// .
    #[field(versions = "0+")]
    pub resource_name: String,
    /// .
    #[field(versions = "0+")]
    pub configs: Vec<AlterableConfig>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AlterableConfig {
    /// .
    #[field(versions = "0+")]
    pub name: String,
    /// .
    #[field(versions = "0+", nullable = "0+")]
    pub value: Option<String>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 33, kind = "response", versions = "0-2", flexible = "2+")]
pub struct AlterConfigsResponse {
    /// .
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// .
    #[field(versions = "0+")]
    pub responses: Vec<AlterConfigsResourceResponse>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AlterConfigsResourceResponse {
    /// .
    #[field(versions = "0+")]
    pub error_code: i16,
    /// .
    #[field(versions = "0+", nullable = "0+")]
    pub error_message: Option<String>,
    /// .
    #[field(versions = "0+")]
    pub resource_type: i8,
    /// .
    #[field(versions = "0+")]
    pub resource_name: String,
}
