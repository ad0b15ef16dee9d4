//! The controller: requests and the image in, records and replies out.
//!
//! Pure: no I/O, no clock, no randomness (ids are passed in). Kafka's rules for topics, partitions, configs,
//! features and brokers stand here and nowhere else. A request never half-succeeds without saying so: each item
//! of a list has its own reply, and records exist only for items that succeeded.
//!
//! Where next: `controller/topics.rs`, `controller/configs.rs`, `controller/features.rs`, `controller/brokers.rs`;
//! `handle.rs` for how records become durable.

mod brokers;
mod configs;
mod features;
mod placement;
#[cfg(test)]
mod tests;
mod topics;

pub use topics::check_topic_name;

use watershed_metadata::configs::BrokerConfig;
use watershed_metadata::{Change, FeatureRange, MetadataImage, MetadataRecord, supported_features};
use watershed_model::limits::METADATA_CHANGES_PER_REQUEST_MAX;
use watershed_model::{BrokerId, TopicId};

use crate::ControllerError;

/// The answer to a request, and the records that make it true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome<T> {
    /// What to commit before the reply is given. Empty: nothing changes.
    pub records: Vec<MetadataRecord>,
    /// What to answer once the records are committed and applied.
    pub reply: T,
}

/// Kafka's rules. One per node; it holds settings, no state.
#[derive(Clone, Debug)]
pub struct Controller {
    node: BrokerId,
    config: BrokerConfig,
    features: Vec<FeatureRange>,
}

impl Controller {
    /// The controller of a node with these settings (from its file), which supports what this program supports.
    #[must_use]
    pub fn new(node: BrokerId, config: BrokerConfig) -> Self {
        Self { node, config, features: supported_features() }
    }

    /// The same for a node that supports other features.
    #[must_use]
    pub fn with_features(mut self, features: Vec<FeatureRange>) -> Self {
        self.features = features;
        self
    }

    /// The settings in force: those of the file under the dynamic ones in the image.
    fn broker_config(&self, image: &MetadataImage) -> Result<BrokerConfig, ControllerError> {
        let own = image.broker_configs(Some(self.node)).clone();
        let cluster = image.broker_configs(None).clone();
        self.config.with_dynamic(own, cluster).map_err(configs::invalid)
    }
}

/// A request at work: the image as the request's own records change it, so that its later items see its earlier
/// ones.
struct Work {
    image: MetadataImage,
    records: Vec<MetadataRecord>,
}

impl Work {
    fn new(image: &MetadataImage) -> Self {
        Self { image: image.clone(), records: Vec::new() }
    }

    /// Adds a record. The rules above keep it from contradicting the image.
    fn emit(&mut self, record: MetadataRecord) -> Change {
        let change = self.image.apply(&record).expect("the controller writes only records that fit the image");
        self.records.push(record);
        change
    }

    /// The outcome of a request that is refused as a whole.
    fn refused<T: Clone>(items: usize, error: ControllerError) -> Outcome<Vec<Result<T, ControllerError>>> {
        Outcome { records: Vec::new(), reply: vec![Err(error); items] }
    }

    /// The outcome; without records if the request only asks what would happen.
    fn finish<T>(self, reply: T, validate_only: bool) -> Outcome<T> {
        Outcome { records: if validate_only { Vec::new() } else { self.records }, reply }
    }
}

/// Where new topic ids come from: random ones in life, counted ones in tests.
pub type NewTopicId<'a> = &'a mut dyn FnMut() -> TopicId;

/// Why a request with this many changes is refused as a whole, if it is.
fn too_many(changes: usize) -> Option<ControllerError> {
    (changes > METADATA_CHANGES_PER_REQUEST_MAX).then(|| {
        ControllerError::PolicyViolation(format!(
            "The request makes {changes} changes, {METADATA_CHANGES_PER_REQUEST_MAX} are allowed: split it."
        ))
    })
}

/// The positions of items whose key occurs more than once.
fn duplicates<'a, T, K: Ord>(items: &'a [T], key: impl Fn(&'a T) -> K) -> Vec<bool> {
    let mut seen = std::collections::BTreeMap::<K, usize>::new();
    let mut duplicate = vec![false; items.len()];
    for (index, item) in items.iter().enumerate() {
        if let Some(first) = seen.get(&key(item)) {
            duplicate[*first] = true;
            duplicate[index] = true;
        } else {
            seen.insert(key(item), index);
        }
    }
    duplicate
}
