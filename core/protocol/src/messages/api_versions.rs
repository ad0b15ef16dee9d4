//! ApiVersions (key 18): what the broker speaks, asked first on most connections.
//!
//! The response's header is always the old one, and a request of an unknown version is answered in version 0 (KIP-511).

use watershed_protocol_derive::Message;

/// Who asks. Empty before version 3.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 18, kind = "request", versions = "0-4", flexible = "3+")]
pub struct ApiVersionsRequest {
    /// The client's name.
    #[field(versions = "3+", ignorable)]
    pub client_software_name: String,
    /// The client's version.
    #[field(versions = "3+", ignorable)]
    pub client_software_version: String,
}

/// The APIs with their versions, and the features.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 18, kind = "response", versions = "0-4", flexible = "3+")]
pub struct ApiVersionsResponse {
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The APIs.
    #[field(versions = "0+")]
    pub api_keys: Vec<ApiVersion>,
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// The features this broker could run with. Below version 4 without those that begin at 0.
    #[field(versions = "3+", tag = 0, tagged = "3+", ignorable)]
    pub supported_features: Vec<SupportedFeatureKey>,
    /// Counts the changes of `finalized_features`; -1 if unknown.
    #[field(versions = "3+", tag = 1, tagged = "3+", default = -1, ignorable)]
    pub finalized_features_epoch: i64,
    /// The features the cluster runs with.
    #[field(versions = "3+", tag = 2, tagged = "3+", ignorable)]
    pub finalized_features: Vec<FinalizedFeatureKey>,
    /// Whether a migration from ZooKeeper could begin. Ours never could.
    #[field(versions = "3+", tag = 3, tagged = "3+", ignorable)]
    pub zk_migration_ready: bool,
}

/// An API and its versions.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ApiVersion {
    /// The API's number.
    #[field(versions = "0+")]
    pub api_key: i16,
    /// The lowest version.
    #[field(versions = "0+")]
    pub min_version: i16,
    /// The highest version.
    #[field(versions = "0+")]
    pub max_version: i16,
}

/// A feature that this broker could run with.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct SupportedFeatureKey {
    /// The feature's name.
    #[field(versions = "3+")]
    pub name: String,
    /// The lowest version.
    #[field(versions = "3+")]
    pub min_version: i16,
    /// The highest version.
    #[field(versions = "3+")]
    pub max_version: i16,
}

/// A feature as the cluster runs with it.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct FinalizedFeatureKey {
    /// The feature's name.
    #[field(versions = "3+")]
    pub name: String,
    /// The highest level.
    #[field(versions = "3+")]
    pub max_version_level: i16,
    /// The lowest level.
    #[field(versions = "3+")]
    pub min_version_level: i16,
}
