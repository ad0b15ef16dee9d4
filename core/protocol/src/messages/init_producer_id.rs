//! InitProducerId.

use watershed_protocol_derive::Message;

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 22, kind = "request", versions = "0-6", flexible = "2+")]
pub struct InitProducerIdRequest {
    /// .
    #[field(versions = "0+", nullable = "0+")]
    pub transactional_id: Option<String>,
    /// .
    #[field(versions = "0+")]
    pub transaction_timeout_ms: i32,
    /// .
    #[field(versions = "3+", default = -1)]
    pub producer_id: i64,
    /// .
    #[field(versions = "3+", default = -1)]
    pub producer_epoch: i16,
    /// .
    #[field(versions = "6+")]
    pub enable_2pc: bool,
    /// .
    #[field(versions = "6+")]
    pub keep_prepared_txn: bool,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 22, kind = "response", versions = "0-6", flexible = "2+")]
pub struct InitProducerIdResponse {
    /// .
    #[field(versions = "0+", ignorable)]
    pub throttle_time_ms: i32,
    /// .
    #[field(versions = "0+")]
    pub error_code: i16,
    /// .
    #[field(versions = "0+", default = -1)]
    pub producer_id: i64,
    /// .
    #[field(versions = "0+")]
    pub producer_epoch: i16,
    /// .
    #[field(versions = "6+", default = -1)]
    pub ongoing_txn_producer_id: i64,
    /// .
    #[field(versions = "6+", default = -1)]
    pub ongoing_txn_producer_epoch: i16,
}
