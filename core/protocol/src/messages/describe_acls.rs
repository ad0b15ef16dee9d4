//! DescribeAcls (key 29): the access rules that match a filter.

use watershed_protocol_derive::Message;

/// A filter of access rules.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 29, kind = "request", versions = "1-3", flexible = "2+")]
pub struct DescribeAclsRequest {
    /// The type of resource, 1 for any.
    #[field(versions = "0+")]
    pub resource_type_filter: i8,
    /// The resource's name; null for any.
    #[field(versions = "0+", nullable = "0+")]
    pub resource_name_filter: Option<String>,
    /// How names match: 1 any way, 2 every rule that applies, 3 literally, 4 by prefix.
    #[field(versions = "1+", default = 3)]
    pub pattern_type_filter: i8,
    /// The principal; null for any.
    #[field(versions = "0+", nullable = "0+")]
    pub principal_filter: Option<String>,
    /// The host; null for any.
    #[field(versions = "0+", nullable = "0+")]
    pub host_filter: Option<String>,
    /// The operation, 1 for any.
    #[field(versions = "0+")]
    pub operation: i8,
    /// 1 for both, 2 for rules that deny, 3 for rules that allow.
    #[field(versions = "0+")]
    pub permission_type: i8,
}

/// The rules that match.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 29, kind = "response", versions = "1-3", flexible = "2+")]
pub struct DescribeAclsResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The error in words, if there is one.
    #[field(versions = "0+", nullable = "0+")]
    pub error_message: Option<String>,
    /// The resources.
    #[field(versions = "0+")]
    pub resources: Vec<DescribeAclsResource>,
}

/// The rules of one resource pattern.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeAclsResource {
    /// 2 topic, 3 group, 4 cluster, 5 transactional id, 6 delegation token.
    #[field(versions = "0+")]
    pub resource_type: i8,
    /// The resource's name.
    #[field(versions = "0+")]
    pub resource_name: String,
    /// 3 for the name itself, 4 for a prefix.
    #[field(versions = "1+", default = 3)]
    pub pattern_type: i8,
    /// The rules.
    #[field(versions = "0+")]
    pub acls: Vec<AclDescription>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AclDescription {
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
