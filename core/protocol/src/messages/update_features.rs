//! UpdateFeatures.

use watershed_protocol_derive::Message;

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 57, kind = "request", versions = "0-2", flexible = "0+")]
pub struct UpdateFeaturesRequest {
    /// .
    #[field(versions = "0+", default = 60000)]
    pub timeout_ms: i32,
    /// .
    #[field(versions = "0+")]
    pub feature_updates: Vec<FeatureUpdateKey>,
    /// .
    #[field(versions = "1+")]
    pub validate_only: bool,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct FeatureUpdateKey {
    /// .
    #[field(versions = "0+")]
    pub feature: String,
    /// .
    #[field(versions = "0+")]
    pub max_version_level: i16,
    /// .
    #[field(versions = "0")]
    pub allow_downgrade: bool,
    /// .
    #[field(versions = "1+", default = 1)]
    pub upgrade_type: i8,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 57, kind = "response", versions = "0-2", flexible = "0+")]
pub struct UpdateFeaturesResponse {
    /// .
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// .
    #[field(versions = "0+")]
    pub error_code: i16,
    /// .
    #[field(versions = "0+", nullable = "0+")]
    pub error_message: Option<String>,
    /// .
    #[field(versions = "0-1", ignorable)]
    pub results: Vec<UpdatableFeatureResult>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct UpdatableFeatureResult {
    /// .
    #[field(versions = "0+")]
    pub feature: String,
    /// .
    #[field(versions = "0+")]
    pub error_code: i16,
    /// .
    #[field(versions = "0+", nullable = "0+")]
    pub error_message: Option<String>,
}
