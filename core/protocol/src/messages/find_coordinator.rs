//! FindCoordinator.

use watershed_protocol_derive::Message;

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 10, kind = "request", versions = "0-6", flexible = "3+")]
pub struct FindCoordinatorRequest {
    /// .
    #[field(versions = "0-3")]
    pub key: String,
    /// .
    #[field(versions = "1+")]
    pub key_type: i8,
    /// .
    #[field(versions = "4+")]
    pub coordinator_keys: Vec<String>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 10, kind = "response", versions = "0-6", flexible = "3+")]
pub struct FindCoordinatorResponse {
    /// .
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// .
    #[field(versions = "0-3")]
    pub error_code: i16,
    /// .
    #[field(versions = "1-3", nullable = "1-3", ignorable)]
    pub error_message: Option<String>,
    /// .
    #[field(versions = "0-3")]
    pub node_id: i32,
    /// .
    #[field(versions = "0-3")]
    pub host: String,
    /// .
    #[field(versions = "0-3")]
    pub port: i32,
    /// .
    #[field(versions = "4+")]
    pub coordinators: Vec<Coordinator>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct Coordinator {
    /// .
    #[field(versions = "4+")]
    pub key: String,
    /// .
    #[field(versions = "4+")]
    pub node_id: i32,
    /// .
    #[field(versions = "4+")]
    pub host: String,
    /// .
    #[field(versions = "4+")]
    pub port: i32,
    /// .
    #[field(versions = "4+")]
    pub error_code: i16,
    /// .
    #[field(versions = "4+", nullable = "4+", ignorable)]
    pub error_message: Option<String>,
}
