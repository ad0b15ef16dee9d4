//! Feature levels: what a whole cluster has agreed to speak (KIP-584).
//!
//! A broker supports a range of levels per feature, the cluster finalizes one level of it. Only features that do
//! something here are listed; the rest arrive with the code that gives them meaning.

use minicbor::{Decode, Encode};

/// Kafka's name of the feature that stands for the metadata's own format and behaviour.
pub const METADATA_VERSION: &str = "metadata.version";

/// The only level of [`METADATA_VERSION`] that this broker implements: Kafka 4.2-IV1.
///
/// Lower levels would promise behaviour of older Kafka versions that is not here, so the range is one level wide.
pub const METADATA_VERSION_LEVEL: i16 = 29;

/// The levels of one feature that a broker can run at, both ends included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct FeatureRange {
    /// The feature's name, as clients see it in ApiVersions.
    #[n(0)]
    pub name: String,
    /// The lowest level. Zero means that the feature can be off.
    #[n(1)]
    pub min: i16,
    /// The highest level.
    #[n(2)]
    pub max: i16,
}

/// The features that this program supports, sorted by name.
#[must_use]
pub fn supported_features() -> Vec<FeatureRange> {
    vec![FeatureRange { name: METADATA_VERSION.to_owned(), min: METADATA_VERSION_LEVEL, max: METADATA_VERSION_LEVEL }]
}
