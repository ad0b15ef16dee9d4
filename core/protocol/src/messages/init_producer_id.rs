//! InitProducerId (key 22): a producer id and epoch for an idempotent or transactional producer (KIP-98).
//!
//! Version 6 (two-phase commit, KIP-939) is unstable in Kafka 4.2 and not advertised.

use watershed_protocol_derive::Message;

/// The producer that wants an id.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 22, kind = "request", versions = "0-6", flexible = "2+")]
pub struct InitProducerIdRequest {
    /// The transactional id; none for a producer without transactions.
    #[field(versions = "0+", nullable = "0+")]
    pub transactional_id: Option<String>,
    /// After how long an idle transaction may be aborted, in milliseconds.
    #[field(versions = "0+")]
    pub transaction_timeout_ms: i32,
    /// The id it has, -1 for none (KIP-360).
    #[field(versions = "3+", default = -1)]
    pub producer_id: i64,
    /// The epoch it has, -1 for none.
    #[field(versions = "3+", default = -1)]
    pub producer_epoch: i16,
    /// Whether the transactions are prepared before they are committed (KIP-939).
    #[field(versions = "6+")]
    pub enable_2pc: bool,
    /// Whether an open transaction goes on instead of being aborted.
    #[field(versions = "6+")]
    pub keep_prepared_txn: bool,
}

/// Its id and epoch.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 22, kind = "response", versions = "0-6", flexible = "2+")]
pub struct InitProducerIdResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "0+", ignorable)]
    pub throttle_time_ms: i32,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The id; -1 with an error.
    #[field(versions = "0+", default = -1)]
    pub producer_id: i64,
    /// The epoch.
    #[field(versions = "0+")]
    pub producer_epoch: i16,
    /// The open transaction's producer id, -1 for none.
    #[field(versions = "6+", default = -1)]
    pub ongoing_txn_producer_id: i64,
    /// The open transaction's epoch, -1 for none.
    #[field(versions = "6+", default = -1)]
    pub ongoing_txn_producer_epoch: i16,
}
