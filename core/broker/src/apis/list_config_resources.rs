//! ListConfigResources (KIP-1142; version 0 was KIP-714's ListClientMetricsResources).

use watershed_protocol::ErrorCode;
use watershed_protocol::messages::list_config_resources::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};

use super::Call;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

/// The types that version 1 may ask for. Client metrics have no configurations here yet, which an empty list says
/// truthfully.
const TYPES: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];

pub(super) async fn handle(call: &Call<'_>, request: ListConfigResourcesRequest) -> ListConfigResourcesResponse {
    let supported: &[i8] = if call.version == 0 { &[CLIENT_METRICS] } else { &TYPES };
    let asked = if request.resource_types.is_empty() { supported } else { &request.resource_types[..] };
    if asked.iter().any(|kind| !supported.contains(kind)) {
        let error_code = ErrorCode::UnsupportedVersion.into();
        return ListConfigResourcesResponse { error_code, ..Default::default() };
    }
    let image = call.broker.image();
    let mut config_resources = Vec::new();
    if asked.contains(&GROUP) {
        let groups = image.groups_with_configs().map(|group_id| group_id.to_string());
        config_resources.extend(groups.map(|resource_name| ConfigResource { resource_name, resource_type: GROUP }));
    }
    // There are no loggers whose levels could be changed through the protocol, so none is listed.
    if asked.contains(&BROKER) {
        let brokers = image.brokers().map(|broker| broker.broker.to_string());
        config_resources.extend(brokers.map(|resource_name| ConfigResource { resource_name, resource_type: BROKER }));
    }
    if asked.contains(&TOPIC) {
        let topics = image.topics().map(|topic| topic.name().to_string());
        config_resources.extend(topics.map(|resource_name| ConfigResource { resource_name, resource_type: TOPIC }));
    }
    ListConfigResourcesResponse { config_resources, ..Default::default() }
}
