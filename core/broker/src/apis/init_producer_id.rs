//! InitProducerId for idempotent producers (KIP-98): always a new id with epoch 0.

use watershed_protocol::ErrorCode;
use watershed_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use super::Call;
use crate::errors::controller_code;

pub(super) async fn handle(call: &Call<'_>, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let failed = |code: ErrorCode| InitProducerIdResponse {
        error_code: code.into(),
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdResponse::default()
    };
    match request.transactional_id.as_deref() {
        None => {}
        Some("") => return failed(ErrorCode::InvalidRequest),
        // A retriable code would keep the producer trying for ever.
        Some(_) => return failed(ErrorCode::TransactionalIdAuthorizationFailed),
    }
    // Either both are known from before, or neither is.
    if (request.producer_id == -1) != (request.producer_epoch == -1) {
        return failed(ErrorCode::InvalidRequest);
    }
    match call.broker.next_producer_id().await {
        Ok(id) => InitProducerIdResponse { producer_id: id.0, producer_epoch: 0, ..InitProducerIdResponse::default() },
        Err(error) => failed(controller_code(&error)),
    }
}
