//! FindCoordinator. There are no groups and no transactions yet, and clients are told so: for a group the answer is the
//! retriable COORDINATOR_NOT_AVAILABLE with a message; a transactional producer would retry that for ever, so it gets a
//! fatal code. The API is advertised because librdkafka ties LZ4 to its being there.

use watershed_protocol::ErrorCode;
use watershed_protocol::messages::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};

use super::Call;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// The first version that asks for several keys at once (KIP-699).
const BATCHED_SINCE: i16 = 4;

pub(super) async fn handle(call: &Call<'_>, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    let (code, message) = match request.key_type {
        GROUP => (ErrorCode::CoordinatorNotAvailable, "consumer groups are not served by this version of Watershed"),
        TRANSACTION => (
            ErrorCode::TransactionalIdAuthorizationFailed,
            "transactions are not served by this version of Watershed; an idempotent producer is (leave out transactional.id)",
        ),
        _ => (ErrorCode::InvalidRequest, "the coordinator's key type must be 0 (group) or 1 (transaction)"),
    };
    let mut response = FindCoordinatorResponse::default();
    if call.version >= BATCHED_SINCE {
        let one = |key| Coordinator {
            key,
            node_id: -1,
            host: String::new(),
            port: -1,
            error_code: code.into(),
            error_message: Some(message.to_owned()),
        };
        response.coordinators = request.coordinator_keys.into_iter().map(one).collect();
    } else {
        response.error_code = code.into();
        response.error_message = Some(message.to_owned());
        response.node_id = -1;
        response.port = -1;
    }
    response
}
