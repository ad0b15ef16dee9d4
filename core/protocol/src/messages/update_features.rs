//! UpdateFeatures (key 57): finalizes feature levels for the cluster (KIP-584).

use watershed_protocol_derive::Message;

/// The levels wanted.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 57, kind = "request", versions = "0-2", flexible = "0+")]
pub struct UpdateFeaturesRequest {
    /// How long the broker may take, in milliseconds.
    #[field(versions = "0+", default = 60000)]
    pub timeout_ms: i32,
    /// The features.
    #[field(versions = "0+")]
    pub feature_updates: Vec<FeatureUpdateKey>,
    /// Whether only to check, and change nothing.
    #[field(versions = "1+")]
    pub validate_only: bool,
}

/// One feature.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct FeatureUpdateKey {
    /// The feature's name.
    #[field(versions = "0+")]
    pub feature: String,
    /// The level wanted; below 1 removes the feature.
    #[field(versions = "0+")]
    pub max_version_level: i16,
    /// Whether the level may fall. From version 1 in `upgrade_type`.
    #[field(versions = "0")]
    pub allow_downgrade: bool,
    /// 1 only rises, 2 may fall without loss, 3 may fall with loss.
    #[field(versions = "1+", default = 1)]
    pub upgrade_type: i8,
}

/// The results; from version 2 all or nothing.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 57, kind = "response", versions = "0-2", flexible = "0+")]
pub struct UpdateFeaturesResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The error in words, if there is one.
    #[field(versions = "0+", nullable = "0+")]
    pub error_message: Option<String>,
    /// The results.
    #[field(versions = "0-1", ignorable)]
    pub results: Vec<UpdatableFeatureResult>,
}

/// One feature's result.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct UpdatableFeatureResult {
    /// The feature's name.
    #[field(versions = "0+")]
    pub feature: String,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The error in words, if there is one.
    #[field(versions = "0+", nullable = "0+")]
    pub error_message: Option<String>,
}
