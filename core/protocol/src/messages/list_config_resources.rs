//! ListConfigResources (key 74): the names of everything that has a configuration (KIP-1142).
//!
//! Version 0 knew client metrics resources only.

use watershed_protocol_derive::Message;

/// The types asked about.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 74, kind = "request", versions = "0-1", flexible = "0+")]
pub struct ListConfigResourcesRequest {
    /// The types; empty for all.
    #[field(versions = "1+")]
    pub resource_types: Vec<i8>,
}

/// The resources.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 74, kind = "response", versions = "0-1", flexible = "0+")]
pub struct ListConfigResourcesResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The resources.
    #[field(versions = "0+")]
    pub config_resources: Vec<ConfigResource>,
}

/// A resource.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ConfigResource {
    /// The resource's name.
    #[field(versions = "0+")]
    pub resource_name: String,
    /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
    #[field(versions = "1+", default = 16, ignorable)]
    pub resource_type: i8,
}
