//! CreateAcls.

use watershed_protocol_derive::Message;

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 30, kind = "request", versions = "1-3", flexible = "2+")]
pub struct CreateAclsRequest {
    /// .
    #[field(versions = "0+")]
    pub creations: Vec<AclCreation>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AclCreation {
    /// .
    #[field(versions = "0+")]
    pub resource_type: i8,
    /// .
    #[field(versions = "0+")]
    pub resource_name: String,
    /// .
    #[field(versions = "1+", default = 3)]
    pub resource_pattern_type: i8,
    /// .
    #[field(versions = "0+")]
    pub principal: String,
    /// .
    #[field(versions = "0+")]
    pub host: String,
    /// .
    #[field(versions = "0+")]
    pub operation: i8,
    /// .
    #[field(versions = "0+")]
    pub permission_type: i8,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 30, kind = "response", versions = "1-3", flexible = "2+")]
pub struct CreateAclsResponse {
    /// .
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// .
    #[field(versions = "0+")]
    pub results: Vec<AclCreationResult>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct AclCreationResult {
    /// .
    #[field(versions = "0+")]
    pub error_code: i16,
    /// .
    #[field(versions = "0+", nullable = "0+")]
    pub error_message: Option<String>,
}
