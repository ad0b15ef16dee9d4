//! LeaveGroup (key 13): members leave a classic group.
//!
//! Up to version 2 one, from 3 on many (KIP-345), in other fields.

use watershed_protocol_derive::Message;

/// The members that leave.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 13, kind = "request", versions = "0-5", flexible = "4+")]
pub struct LeaveGroupRequest {
    /// The group.
    #[field(versions = "0+")]
    pub group_id: String,
    /// The member that leaves.
    #[field(versions = "0-2")]
    pub member_id: String,
    /// The members.
    #[field(versions = "3+")]
    pub members: Vec<MemberIdentity>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct MemberIdentity {
    /// The member's id; empty if only its name is known.
    #[field(versions = "3+")]
    pub member_id: String,
    /// The name of a static member (KIP-345); null for a dynamic one.
    #[field(versions = "3+", nullable = "3+", default = null)]
    pub group_instance_id: Option<String>,
    /// Why, in words (KIP-800).
    #[field(versions = "5+", nullable = "5+", default = null, ignorable)]
    pub reason: Option<String>,
}

/// An error for each member.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 13, kind = "response", versions = "0-5", flexible = "4+")]
pub struct LeaveGroupResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The members.
    #[field(versions = "3+")]
    pub members: Vec<MemberResponse>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct MemberResponse {
    /// The member's id.
    #[field(versions = "3+")]
    pub member_id: String,
    /// The name of a static member (KIP-345); null for a dynamic one.
    #[field(versions = "3+", nullable = "3+")]
    pub group_instance_id: Option<String>,
    /// The error, 0 if none.
    #[field(versions = "3+")]
    pub error_code: i16,
}
