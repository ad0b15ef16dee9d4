//! ApiVersions: what we serve, and the finalized features (KIP-35, KIP-511, KIP-584).

use watershed_protocol::messages::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use watershed_protocol::{ApiKey, ErrorCode, api};

use super::{Call, Client};

/// The first version that may name a feature whose lowest level is 0 (older clients fail on it).
const ZERO_LEVELS_SINCE: i16 = 4;

/// The first version in which clients name their software.
const SOFTWARE_SINCE: i16 = 3;

pub(super) fn handle(call: &Call<'_>, client: &mut Client, request: ApiVersionsRequest) -> ApiVersionsResponse {
    if call.version >= SOFTWARE_SINCE {
        let ApiVersionsRequest { client_software_name: name, client_software_version: version } = request;
        if !is_software_label(&name) || !is_software_label(&version) {
            return ApiVersionsResponse {
                error_code: ErrorCode::InvalidRequest.into(),
                ..ApiVersionsResponse::default()
            };
        }
        client.software = format!("{name} {version}");
        client.software.truncate(watershed_model::limits::CLIENT_LABEL_BYTES_MAX);
    }
    let image = call.broker.image();
    let supported = call
        .broker
        .controller()
        .supported_features()
        .iter()
        .filter(|range| range.min > 0 || call.version >= ZERO_LEVELS_SINCE);
    let finalized = image.features().map(|(name, level)| FinalizedFeatureKey {
        name: name.to_owned(),
        max_version_level: level,
        min_version_level: level,
    });
    ApiVersionsResponse {
        api_keys: api::ADVERTISED.iter().map(|(key, min, max)| entry(*key, *min, *max)).collect(),
        supported_features: supported
            .map(|range| SupportedFeatureKey {
                name: range.name.clone(),
                min_version: range.min,
                max_version: range.max,
            })
            .collect(),
        finalized_features_epoch: call.broker.controller().describe_quorum().high_watermark.0 - 1,
        finalized_features: finalized.collect(),
        ..ApiVersionsResponse::default()
    }
}

/// The answer to a version we do not know: in version 0, with the versions of this API alone, so that the client can
/// ask again.
pub(super) fn unsupported() -> ApiVersionsResponse {
    let own = api::ADVERTISED.iter().filter(|(key, ..)| *key == ApiKey::ApiVersions);
    ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.into(),
        api_keys: own.map(|(key, min, max)| entry(*key, *min, *max)).collect(),
        ..ApiVersionsResponse::default()
    }
}

fn entry(key: ApiKey, min_version: i16, max_version: i16) -> ApiVersion {
    ApiVersion { api_key: key.get(), min_version, max_version }
}

/// Letters, digits, dots and dashes, beginning and ending with a letter or digit (KIP-511).
fn is_software_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_labels() {
        for good in ["apache-kafka-java", "4.2.0", "a", "librdkafka"] {
            assert!(is_software_label(good), "{good}");
        }
        for bad in ["", "-a", "a.", "a b", "a/b", "\u{e9}"] {
            assert!(!is_software_label(bad), "{bad}");
        }
    }
}
