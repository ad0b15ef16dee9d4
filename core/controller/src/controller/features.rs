//! Feature levels (UpdateFeatures, KIP-584).

use watershed_metadata::{FeatureRange, MetadataImage, MetadataRecord};
use watershed_model::ClusterId;

use super::{Controller, Outcome, Work, duplicates};
use crate::{ControllerError, FeatureUpdate, UpgradeType};

impl Controller {
    /// The first records of a new cluster: its identity, and every feature that cannot be off at its highest level.
    #[must_use]
    pub fn bootstrap(&self, cluster_id: ClusterId) -> Vec<MetadataRecord> {
        let features = self.features.iter().filter(|range| range.min > 0);
        let levels =
            features.map(|range| MetadataRecord::FeatureFinalized { name: range.name.clone(), level: range.max });
        std::iter::once(MetadataRecord::ClusterCreated { cluster_id }).chain(levels).collect()
    }

    /// The feature levels this node supports.
    #[must_use]
    pub fn supported_features(&self) -> &[FeatureRange] {
        &self.features
    }

    /// Sets feature levels, all of them or none.
    #[must_use]
    pub fn update_features(
        &self,
        image: &MetadataImage,
        updates: &[FeatureUpdate],
        validate_only: bool,
    ) -> Outcome<Result<(), ControllerError>> {
        let mut work = Work::new(image);
        for update in updates {
            if let Err(reason) = self.check_update(image, update) {
                let (feature, level) = (update.feature.clone(), update.level);
                let error = ControllerError::InvalidUpdateVersion { feature, level, reason };
                return Outcome { records: Vec::new(), reply: Err(error) };
            }
            if image.feature_level(&update.feature) != update.level {
                let (name, level) = (update.feature.clone(), update.level);
                work.emit(MetadataRecord::FeatureFinalized { name, level });
            }
        }
        if duplicates(updates, |update| update.feature.as_str()).contains(&true) {
            let error = ControllerError::InvalidRequest("A feature is named more than once.".to_owned());
            return Outcome { records: Vec::new(), reply: Err(error) };
        }
        work.finish(Ok(()), validate_only)
    }

    fn check_update(&self, image: &MetadataImage, update: &FeatureUpdate) -> Result<(), String> {
        if update.upgrade_type == UpgradeType::Unknown {
            return Err("The controller does not support the given upgrade type.".to_owned());
        }
        if update.level < 0 {
            return Err("A feature version cannot be less than 0.".to_owned());
        }
        if !self.features.iter().any(|range| range.name == update.feature) {
            return Err(format!("Controller {} does not support this feature.", self.node));
        }
        check_supported(&self.features, update, &format!("Controller {}", self.node))?;
        for broker in image.brokers() {
            check_supported(&broker.features, update, &format!("Broker {}", broker.broker))?;
        }
        let current = image.feature_level(&update.feature);
        if update.level < current && update.upgrade_type == UpgradeType::Upgrade {
            return Err("Can't downgrade the version of this feature without setting the upgrade type to either safe \
                        or unsafe downgrade."
                .to_owned());
        }
        if update.level > current && update.upgrade_type != UpgradeType::Upgrade {
            return Err("Can't downgrade to a newer version.".to_owned());
        }
        Ok(())
    }
}

/// Whether a node that supports these ranges can run at the level. What a node does not know is off there.
fn check_supported(ranges: &[FeatureRange], update: &FeatureUpdate, node: &str) -> Result<(), String> {
    let range = ranges.iter().find(|range| range.name == update.feature);
    let (min, max) = range.map_or((0, 0), |range| (range.min, range.max));
    if (min..=max).contains(&update.level) {
        return Ok(());
    }
    Err(match (min, max) {
        (0, 0) => format!("{node} does not support this feature."),
        _ => format!("{node} only supports versions {min}-{max}"),
    })
}
