//! FindCoordinator: which broker coordinates a group. `__consumer_offsets` is made when the first group asks for its coordinator.
//!
//! There are no transactions yet, and clients are told so with a fatal code, since a transactional producer would retry another
//! one for ever.

use watershed_protocol::ErrorCode;
use watershed_protocol::messages::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};

use super::Call;
use crate::groups::Groups;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// The first version that asks for several keys at once (KIP-699).
const BATCHED_SINCE: i16 = 4;

struct Found {
    node_id: i32,
    host: String,
    port: i32,
}

pub(super) async fn handle(call: &Call<'_>, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    let mut response = FindCoordinatorResponse::default();
    if call.version >= BATCHED_SINCE {
        for key in request.coordinator_keys {
            let found = find(call, request.key_type, &key).await;
            response.coordinators.push(batched(key, found));
        }
        return response;
    }
    match find(call, request.key_type, &request.key).await {
        Ok(Found { node_id, host, port }) => {
            (response.node_id, response.host, response.port) = (node_id, host, port);
            // What Kafka says where there is no error.
            response.error_message = Some("NONE".to_owned());
        }
        Err((code, message)) => {
            response.error_code = code.into();
            response.error_message = Some(message.to_owned());
            (response.node_id, response.port) = (-1, -1);
        }
    }
    response
}

fn batched(key: String, found: Result<Found, (ErrorCode, &'static str)>) -> Coordinator {
    match found {
        Ok(Found { node_id, host, port }) => {
            Coordinator { key, node_id, host, port, error_code: 0, error_message: Some(String::new()) }
        }
        Err((code, message)) => Coordinator {
            key,
            node_id: -1,
            host: String::new(),
            port: -1,
            error_code: code.into(),
            error_message: Some(message.to_owned()),
        },
    }
}

async fn find(call: &Call<'_>, key_type: i8, key: &str) -> Result<Found, (ErrorCode, &'static str)> {
    match key_type {
        GROUP => {}
        TRANSACTION => {
            return Err((
                ErrorCode::TransactionalIdAuthorizationFailed,
                "transactions are not served by this version of Watershed; an idempotent producer is (leave out transactional.id)",
            ));
        }
        _ => {
            return Err((ErrorCode::InvalidRequest, "the coordinator's key type must be 0 (group) or 1 (transaction)"));
        }
    }
    let missing = (ErrorCode::CoordinatorNotAvailable, "the group's coordinator is not available yet; try again");
    call.broker.groups().ensure_topic(call.broker).await.map_err(|_| missing)?;
    let node = Groups::coordinator_of(&call.broker.image(), key).ok_or(missing)?;
    let (host, port) = call.endpoint(node).ok_or(missing)?;
    Ok(Found { node_id: node.0, host, port })
}
