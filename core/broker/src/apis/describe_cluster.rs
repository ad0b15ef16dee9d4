//! DescribeCluster (KIP-700).

use watershed_protocol::ErrorCode;
use watershed_protocol::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};

use super::{CLUSTER_OPERATIONS, Call, NO_OPERATIONS};

/// The brokers are wanted, not the controllers (KIP-919).
const ENDPOINT_BROKERS: i8 = 1;
const ENDPOINT_CONTROLLERS: i8 = 2;

pub(super) async fn handle(call: &Call<'_>, request: DescribeClusterRequest) -> DescribeClusterResponse {
    if request.endpoint_type != ENDPOINT_BROKERS {
        let (code, message) = if request.endpoint_type == ENDPOINT_CONTROLLERS {
            (ErrorCode::MismatchedEndpointType, "this is a broker's listener, and controllers are asked for")
        } else {
            (ErrorCode::UnsupportedEndpointType, "the endpoint type must be 1 (brokers) or 2 (controllers)")
        };
        return DescribeClusterResponse {
            error_code: code.into(),
            error_message: Some(message.to_owned()),
            endpoint_type: ENDPOINT_BROKERS,
            ..DescribeClusterResponse::default()
        };
    }
    let image = call.broker.image();
    let brokers = image.brokers().filter_map(|broker| {
        let endpoint = broker.endpoint(call.broker.listener_name(call.listener))?;
        Some(DescribeClusterBroker {
            broker_id: broker.broker.0,
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            rack: broker.rack.clone(),
            is_fenced: false,
        })
    });
    let operations = if request.include_cluster_authorized_operations { CLUSTER_OPERATIONS } else { NO_OPERATIONS };
    DescribeClusterResponse {
        endpoint_type: ENDPOINT_BROKERS,
        cluster_id: image.cluster_id().map(|id| id.to_string()).unwrap_or_default(),
        controller_id: call.broker.node_id().0,
        brokers: brokers.collect(),
        cluster_authorized_operations: operations,
        ..DescribeClusterResponse::default()
    }
}
