//! Heartbeat (key 12): a member of a classic group is alive.

use watershed_protocol_derive::Message;

use crate::StrBytes;

/// The member that is alive.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 12, kind = "request", versions = "0-4", flexible = "4+")]
pub struct HeartbeatRequest {
    /// The group.
    #[field(versions = "0+")]
    pub group_id: StrBytes,
    /// The generation of the group.
    #[field(versions = "0+")]
    pub generation_id: i32,
    /// The member's id.
    #[field(versions = "0+")]
    pub member_id: StrBytes,
    /// The name of a static member (KIP-345); null for a dynamic one.
    #[field(versions = "3+", nullable = "3+", default = null)]
    pub group_instance_id: Option<StrBytes>,
}

/// Whether the member may go on.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 12, kind = "response", versions = "0-4", flexible = "4+")]
pub struct HeartbeatResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
}
