//! ApiVersions.

use watershed_protocol_derive::Message;

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 18, kind = "request", versions = "0-4", flexible = "3+")]
pub struct ApiVersionsRequest {
    /// .
    #[field(versions = "3+", ignorable)]
    pub client_software_name: String,
    /// .
    #[field(versions = "3+", ignorable)]
    pub client_software_version: String,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 18, kind = "response", versions = "0-4", flexible = "3+")]
pub struct ApiVersionsResponse {
    /// .
    #[field(versions = "0+")]
    pub error_code: i16,
    /// .
    #[field(versions = "0+")]
    pub api_keys: Vec<ApiVersion>,
    /// .
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// .
    #[field(versions = "3+", tag = 0, tagged = "3+", ignorable)]
    pub supported_features: Vec<SupportedFeatureKey>,
    /// .
    #[field(versions = "3+", tag = 1, tagged = "3+", default = -1, ignorable)]
    pub finalized_features_epoch: i64,
    /// .
    #[field(versions = "3+", tag = 2, tagged = "3+", ignorable)]
    pub finalized_features: Vec<FinalizedFeatureKey>,
    /// .
    #[field(versions = "3+", tag = 3, tagged = "3+", ignorable)]
    pub zk_migration_ready: bool,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ApiVersion {
    /// .
    #[field(versions = "0+")]
    pub api_key: i16,
    /// .
    #[field(versions = "0+")]
    pub min_version: i16,
    /// .
    #[field(versions = "0+")]
    pub max_version: i16,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct SupportedFeatureKey {
    /// .
    #[field(versions = "3+")]
    pub name: String,
    /// .
    #[field(versions = "3+")]
    pub min_version: i16,
    /// .
    #[field(versions = "3+")]
    pub max_version: i16,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct FinalizedFeatureKey {
    /// .
    #[field(versions = "3+")]
    pub name: String,
    /// .
    #[field(versions = "3+")]
    pub max_version_level: i16,
    /// .
    #[field(versions = "3+")]
    pub min_version_level: i16,
}
