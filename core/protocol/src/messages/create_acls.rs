//! CreateAcls (key 30): adds access rules.

use watershed_protocol_derive::Message;

/// Rules to add.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 30, kind = "request", versions = "1-3", flexible = "2+")]
pub struct CreateAclsRequest {
    /// The rules.
    #[field(versions = "0+")]
    pub creations: Vec<AclCreation>,
}

/// A rule to add.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AclCreation {
    /// 2 topic, 3 group, 4 cluster, 5 transactional id, 6 delegation token.
    #[field(versions = "0+")]
    pub resource_type: i8,
    /// The resource's name.
    #[field(versions = "0+")]
    pub resource_name: String,
    /// 3 for the name itself, 4 for a prefix.
    #[field(versions = "1+", default = 3)]
    pub resource_pattern_type: i8,
    /// Whom it is about, such as `User:alice`.
    #[field(versions = "0+")]
    pub principal: String,
    /// The host it is about, `*` for all.
    #[field(versions = "0+")]
    pub host: String,
    /// The operation, by its number.
    #[field(versions = "0+")]
    pub operation: i8,
    /// 2 denies, 3 allows.
    #[field(versions = "0+")]
    pub permission_type: i8,
}

/// The results, in the order of the request.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 30, kind = "response", versions = "1-3", flexible = "2+")]
pub struct CreateAclsResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// The results.
    #[field(versions = "0+")]
    pub results: Vec<AclCreationResult>,
}

/// One rule's result.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AclCreationResult {
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The error in words, if there is one.
    #[field(versions = "0+", nullable = "0+")]
    pub error_message: Option<String>,
}
