//! IncrementalAlterConfigs (key 44): sets, removes, appends to or subtracts from single configurations (KIP-339).

use watershed_protocol_derive::Message;

/// Changes of configurations.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 44, kind = "request", versions = "0-1", flexible = "1+")]
pub struct IncrementalAlterConfigsRequest {
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

/// A change of one configuration.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AlterableConfig {
    /// The configuration's name.
    #[field(versions = "0+")]
    pub name: String,
    /// 0 sets, 1 goes back to the default, 2 appends to a list, 3 removes from a list.
    #[field(versions = "0+")]
    pub config_operation: i8,
    /// The value; null for the default.
    #[field(versions = "0+", nullable = "0+")]
    pub value: Option<String>,
}

/// The results.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 44, kind = "response", versions = "0-1", flexible = "1+")]
pub struct IncrementalAlterConfigsResponse {
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
