//! DescribeGroups (key 15): members and states of classic groups.

use bytes::Bytes;
use watershed_protocol_derive::Message;

/// The groups asked about.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 15, kind = "request", versions = "0-6", flexible = "5+")]
pub struct DescribeGroupsRequest {
    /// The groups.
    #[field(versions = "0+")]
    pub groups: Vec<String>,
    /// Whether to tell what the client may do with the groups.
    #[field(versions = "3+")]
    pub include_authorized_operations: bool,
}

/// The groups.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 15, kind = "response", versions = "0-6", flexible = "5+")]
pub struct DescribeGroupsResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// The groups.
    #[field(versions = "0+")]
    pub groups: Vec<DescribedGroup>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribedGroup {
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The error in words, if there is one.
    #[field(versions = "6+", nullable = "6+", default = null)]
    pub error_message: Option<String>,
    /// The group.
    #[field(versions = "0+")]
    pub group_id: String,
    /// The state of the group, such as `Stable`; `Dead` if there is no such group.
    #[field(versions = "0+")]
    pub group_state: String,
    /// The kind of protocol: `consumer` for consumers.
    #[field(versions = "0+")]
    pub protocol_type: String,
    /// The protocol in use; empty if there is none.
    #[field(versions = "0+")]
    pub protocol_data: String,
    /// The members.
    #[field(versions = "0+")]
    pub members: Vec<DescribedGroupMember>,
    /// What the client may do with the group, as bits; the smallest number if it did not ask.
    #[field(versions = "3+", default = i32::MIN)]
    pub authorized_operations: i32,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribedGroupMember {
    /// The member's id.
    #[field(versions = "0+")]
    pub member_id: String,
    /// The name of a static member (KIP-345); null for a dynamic one.
    #[field(versions = "4+", nullable = "4+", default = null, ignorable)]
    pub group_instance_id: Option<String>,
    /// What the client calls itself.
    #[field(versions = "0+")]
    pub client_id: String,
    /// The client's address.
    #[field(versions = "0+")]
    pub client_host: String,
    /// What it said when it joined, in the terms of the protocol.
    #[field(versions = "0+")]
    pub member_metadata: Bytes,
    /// What it was assigned, in the terms of the protocol.
    #[field(versions = "0+")]
    pub member_assignment: Bytes,
}
