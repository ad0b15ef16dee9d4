//! AlterConfigs (key 33): replaces the whole configuration of topics or brokers.
//!
//! Old: what is not named goes back to its default. IncrementalAlterConfigs took its place.

use watershed_protocol_derive::Message;

/// Resources with their whole configuration.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 33, kind = "request", versions = "0-2", flexible = "2+")]
pub struct AlterConfigsRequest {
    /// The resources.
    #[field(versions = "0+")]
    pub resources: Vec<AlterConfigsResource>,
    /// Whether only to check, and change nothing.
    #[field(versions = "0+")]
    pub validate_only: bool,
}

/// A resource.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AlterConfigsResource {
    /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
    #[field(versions = "0+")]
    pub resource_type: i8,
    /// The resource's name.
    #[field(versions = "0+")]
    pub resource_name: String,
    /// The configurations.
    #[field(versions = "0+")]
    pub configs: Vec<AlterableConfig>,
}

/// A configuration.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AlterableConfig {
    /// The configuration's name.
    #[field(versions = "0+")]
    pub name: String,
    /// The value; null for the default.
    #[field(versions = "0+", nullable = "0+")]
    pub value: Option<String>,
}

/// The results.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 33, kind = "response", versions = "0-2", flexible = "2+")]
pub struct AlterConfigsResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// The results.
    #[field(versions = "0+")]
    pub responses: Vec<AlterConfigsResourceResponse>,
}

/// One resource's result.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AlterConfigsResourceResponse {
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The error in words, if there is one.
    #[field(versions = "0+", nullable = "0+")]
    pub error_message: Option<String>,
    /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
    #[field(versions = "0+")]
    pub resource_type: i8,
    /// The resource's name.
    #[field(versions = "0+")]
    pub resource_name: String,
}
