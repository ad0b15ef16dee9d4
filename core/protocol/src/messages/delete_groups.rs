//! DeleteGroups (key 42): removes groups without members, with their offsets.

use watershed_protocol_derive::Message;

/// The groups to remove.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 42, kind = "request", versions = "0-2", flexible = "2+")]
pub struct DeleteGroupsRequest {
    /// The groups.
    #[field(versions = "0+")]
    pub groups_names: Vec<String>,
}

/// An error for each group.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 42, kind = "response", versions = "0-2", flexible = "2+")]
pub struct DeleteGroupsResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// The results.
    #[field(versions = "0+")]
    pub results: Vec<DeletableGroupResult>,
}

/// What became of one group.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DeletableGroupResult {
    /// The group.
    #[field(versions = "0+")]
    pub group_id: String,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
}
