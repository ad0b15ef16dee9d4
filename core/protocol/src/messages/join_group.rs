//! JoinGroup (key 11): a member of a classic group asks to be in the next generation.
//!
//! It waits until that begins. From version 4 on a new member is first given its id (KIP-394).

use bytes::Bytes;
use watershed_protocol_derive::Message;

/// A member and the protocols it can use.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 11, kind = "request", versions = "0-9", flexible = "6+")]
pub struct JoinGroupRequest {
    /// The group.
    #[field(versions = "0+")]
    pub group_id: String,
    /// How long the member may be silent, in milliseconds.
    #[field(versions = "0+")]
    pub session_timeout_ms: i32,
    /// How long the member may take to join again, in milliseconds; -1 for as long as it may be silent.
    #[field(versions = "1+", default = -1, ignorable)]
    pub rebalance_timeout_ms: i32,
    /// The member's id; empty if it has none yet.
    #[field(versions = "0+")]
    pub member_id: String,
    /// The name of a static member (KIP-345); null for a dynamic one.
    #[field(versions = "5+", nullable = "5+", default = null)]
    pub group_instance_id: Option<String>,
    /// The kind of protocol: `consumer` for consumers.
    #[field(versions = "0+")]
    pub protocol_type: String,
    /// What the member supports, the preferred one first.
    #[field(versions = "0+")]
    pub protocols: Vec<JoinGroupRequestProtocol>,
    /// Why, in words (KIP-800).
    #[field(versions = "8+", nullable = "8+", default = null, ignorable)]
    pub reason: Option<String>,
}

/// A protocol, and what the member says in its terms.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct JoinGroupRequestProtocol {
    /// The name.
    #[field(versions = "0+")]
    pub name: String,
    /// What the member says, in the terms of the protocol.
    #[field(versions = "0+")]
    pub metadata: Bytes,
}

/// The new generation, and all its members if the member is its leader.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 11, kind = "response", versions = "0-9", flexible = "6+")]
pub struct JoinGroupResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The new generation; -1 with an error.
    #[field(versions = "0+", default = -1)]
    pub generation_id: i32,
    /// The kind of protocol: `consumer` for consumers.
    #[field(versions = "7+", nullable = "7+", default = null, ignorable)]
    pub protocol_type: Option<String>,
    /// The protocol that the members share; null if there is none, empty before version 7.
    #[field(versions = "0+", nullable = "7+")]
    pub protocol_name: Option<String>,
    /// The leader's member id.
    #[field(versions = "0+")]
    pub leader: String,
    /// Whether the leader is to leave the assignment as it is (KIP-814).
    #[field(versions = "9+")]
    pub skip_assignment: bool,
    /// The member's id.
    #[field(versions = "0+")]
    pub member_id: String,
    /// The members, for their leader only.
    #[field(versions = "0+")]
    pub members: Vec<JoinGroupResponseMember>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct JoinGroupResponseMember {
    /// The member's id.
    #[field(versions = "0+")]
    pub member_id: String,
    /// The name of a static member (KIP-345); null for a dynamic one.
    #[field(versions = "5+", nullable = "5+", default = null, ignorable)]
    pub group_instance_id: Option<String>,
    /// What the member says, in the terms of the protocol.
    #[field(versions = "0+")]
    pub metadata: Bytes,
}
