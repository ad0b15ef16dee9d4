//! ListGroups (key 16): the groups that a broker coordinates.
//!
//! Filters by state came with KIP-518, by type with KIP-848.

use watershed_protocol_derive::Message;

/// Which groups are asked for.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 16, kind = "request", versions = "0-5", flexible = "3+")]
pub struct ListGroupsRequest {
    /// Only groups in these states; empty for all.
    #[field(versions = "4+")]
    pub states_filter: Vec<String>,
    /// Only groups of these types; empty for all.
    #[field(versions = "5+")]
    pub types_filter: Vec<String>,
}

/// The groups.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 16, kind = "response", versions = "0-5", flexible = "3+")]
pub struct ListGroupsResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The groups.
    #[field(versions = "0+")]
    pub groups: Vec<ListedGroup>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListedGroup {
    /// The group.
    #[field(versions = "0+")]
    pub group_id: String,
    /// The kind of protocol: `consumer` for consumers.
    #[field(versions = "0+")]
    pub protocol_type: String,
    /// The state of the group.
    #[field(versions = "4+", ignorable)]
    pub group_state: String,
    /// The type of the group: `classic` or `consumer`.
    #[field(versions = "5+", ignorable)]
    pub group_type: String,
}
