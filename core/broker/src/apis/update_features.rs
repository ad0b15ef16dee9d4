//! UpdateFeatures (KIP-584).

use watershed_controller::{FeatureUpdate, UpgradeType};
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::update_features::{
    UpdatableFeatureResult, UpdateFeaturesRequest, UpdateFeaturesResponse,
};

use super::Call;
use crate::errors::controller_code;

/// The first version with an upgrade type; before it there is only a flag.
const TYPES_SINCE: i16 = 1;
/// Up to this version every feature has a result of its own.
const RESULTS_UNTIL: i16 = 1;

pub(super) async fn handle(call: &Call<'_>, request: UpdateFeaturesRequest) -> UpdateFeaturesResponse {
    let updates: Vec<FeatureUpdate> = request
        .feature_updates
        .into_iter()
        .map(|update| FeatureUpdate {
            feature: update.feature,
            level: update.max_version_level,
            upgrade_type: match (call.version >= TYPES_SINCE, update.allow_downgrade) {
                (true, _) => UpgradeType::from_code(update.upgrade_type),
                (false, true) => UpgradeType::SafeDowngrade,
                (false, false) => UpgradeType::Upgrade,
            },
        })
        .collect();
    let names: Vec<String> = updates.iter().map(|update| update.feature.clone()).collect();
    let outcome = call.broker.controller().update_features(updates, request.validate_only).await;
    let (code, message) = match &outcome {
        Ok(()) => (ErrorCode::None, None),
        Err(error) => (controller_code(error), Some(error.to_string())),
    };
    let one = |feature| UpdatableFeatureResult { feature, error_code: 0, error_message: None };
    let listed = call.version <= RESULTS_UNTIL && outcome.is_ok();
    UpdateFeaturesResponse {
        throttle_time_ms: 0,
        error_code: code.into(),
        error_message: message,
        results: if listed { names.into_iter().map(one).collect() } else { Vec::new() },
    }
}
