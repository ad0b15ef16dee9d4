//! ListConfigResources.

use watershed_protocol_derive::Message;

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 74, kind = "request", versions = "0-1", flexible = "0+")]
pub struct ListConfigResourcesRequest {
    /// .
    #[field(versions = "1+")]
    pub resource_types: Vec<i8>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 74, kind = "response", versions = "0-1", flexible = "0+")]
pub struct ListConfigResourcesResponse {
    /// .
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// .
    #[field(versions = "0+")]
    pub error_code: i16,
    /// .
    #[field(versions = "0+")]
    pub config_resources: Vec<ConfigResource>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ConfigResource {
    /// .
    #[field(versions = "0+")]
    pub resource_name: String,
    /// .
    #[field(versions = "1+", default = 16, ignorable)]
    pub resource_type: i8,
}
