//! FindCoordinator (key 10): which broker coordinates a group or a transactional id.
//!
//! Up to version 3 for one key, from 4 for many (KIP-699): requests and responses have another shape then.

use watershed_protocol_derive::Message;

/// The groups or transactional ids.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 10, kind = "request", versions = "0-6", flexible = "3+")]
pub struct FindCoordinatorRequest {
    /// The group or transactional id.
    #[field(versions = "0-3")]
    pub key: String,
    /// 0 for groups, 1 for transactional ids, 2 for share groups.
    #[field(versions = "1+")]
    pub key_type: i8,
    /// The groups or transactional ids.
    #[field(versions = "4+")]
    pub coordinator_keys: Vec<String>,
}

/// Their coordinators.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 10, kind = "response", versions = "0-6", flexible = "3+")]
pub struct FindCoordinatorResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// The error, 0 if none.
    #[field(versions = "0-3")]
    pub error_code: i16,
    /// The error in words, if there is one.
    #[field(versions = "1-3", nullable = "1-3", ignorable)]
    pub error_message: Option<String>,
    /// The broker's id.
    #[field(versions = "0-3")]
    pub node_id: i32,
    /// Its host name.
    #[field(versions = "0-3")]
    pub host: String,
    /// Its port.
    #[field(versions = "0-3")]
    pub port: i32,
    /// The results.
    #[field(versions = "4+")]
    pub coordinators: Vec<Coordinator>,
}

/// One key's coordinator.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct Coordinator {
    /// The group or transactional id.
    #[field(versions = "4+")]
    pub key: String,
    /// The broker's id.
    #[field(versions = "4+")]
    pub node_id: i32,
    /// Its host name.
    #[field(versions = "4+")]
    pub host: String,
    /// Its port.
    #[field(versions = "4+")]
    pub port: i32,
    /// The error, 0 if none.
    #[field(versions = "4+")]
    pub error_code: i16,
    /// The error in words, if there is one.
    #[field(versions = "4+", nullable = "4+", ignorable)]
    pub error_message: Option<String>,
}
