//! What holds for the topics in which brokers keep state of their own, whatever the defaults of other topics are.

use std::collections::BTreeMap;

use super::broker::BrokerConfig;
use super::topic_table::{FLUSH_CONFIG, STORAGE_CONFIG, topic_config_def};

/// The configs that every internal topic has from its creation on and that never change: it lies in the storage that is
/// built in as the default, since its records have to survive, and is synced before anything is acknowledged.
///
/// A broker that was built without that storage has its own default instead.
#[must_use]
pub fn internal_topic_configs(broker: &BrokerConfig) -> BTreeMap<String, String> {
    let built_in = topic_config_def(STORAGE_CONFIG).and_then(|def| def.default).unwrap_or_default();
    let storage = match broker.parts().storages.iter().any(|storage| storage == built_in) {
        true => built_in.to_owned(),
        false => topic_config_def(STORAGE_CONFIG)
            .and_then(|def| broker.inherited(def))
            .map(|value| value.to_string())
            .unwrap_or_default(),
    };
    [(STORAGE_CONFIG.to_owned(), storage), (FLUSH_CONFIG.to_owned(), "sync".to_owned())].into()
}
