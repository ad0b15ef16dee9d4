//! SyncGroup (key 14): the leader of a classic group brings the assignment, every member gets its part.

use bytes::Bytes;
use watershed_protocol_derive::Message;

/// The member that waits for its part, and the assignment if it is the leader.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 14, kind = "request", versions = "0-5", flexible = "4+")]
pub struct SyncGroupRequest {
    /// The group.
    #[field(versions = "0+")]
    pub group_id: String,
    /// The generation of the group.
    #[field(versions = "0+")]
    pub generation_id: i32,
    /// The member's id.
    #[field(versions = "0+")]
    pub member_id: String,
    /// The name of a static member (KIP-345); null for a dynamic one.
    #[field(versions = "3+", nullable = "3+", default = null)]
    pub group_instance_id: Option<String>,
    /// The kind of protocol: `consumer` for consumers.
    #[field(versions = "5+", nullable = "5+", default = null, ignorable)]
    pub protocol_type: Option<String>,
    /// The protocol that the members share.
    #[field(versions = "5+", nullable = "5+", default = null, ignorable)]
    pub protocol_name: Option<String>,
    /// Each member's part; empty but from the leader.
    #[field(versions = "0+")]
    pub assignments: Vec<SyncGroupRequestAssignment>,
}

/// One member's part.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct SyncGroupRequestAssignment {
    /// The member's id.
    #[field(versions = "0+")]
    pub member_id: String,
    /// What it is to own, in the terms of the protocol.
    #[field(versions = "0+")]
    pub assignment: Bytes,
}

/// The member's part of the assignment.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 14, kind = "response", versions = "0-5", flexible = "4+")]
pub struct SyncGroupResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The kind of protocol: `consumer` for consumers.
    #[field(versions = "5+", nullable = "5+", default = null, ignorable)]
    pub protocol_type: Option<String>,
    /// The protocol that the members share.
    #[field(versions = "5+", nullable = "5+", default = null, ignorable)]
    pub protocol_name: Option<String>,
    /// What the member is to own, in the terms of the protocol.
    #[field(versions = "0+")]
    pub assignment: Bytes,
}
