//! DescribeConfigs.

use watershed_protocol_derive::Message;

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 32, kind = "request", versions = "1-4", flexible = "4+")]
pub struct DescribeConfigsRequest {
    /// .
    #[field(versions = "0+")]
    pub resources: Vec<DescribeConfigsResource>,
    /// .
    #[field(versions = "1+")]
    pub include_synonyms: bool,
    /// .
    #[field(versions = "3+")]
    pub include_documentation: bool,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeConfigsResource {
    /// .
    #[field(versions = "0+")]
    pub resource_type: i8,
    /// .
    #[field(versions = "0+")]
    pub resource_name: String,
    /// .
    #[field(versions = "0+", nullable = "0+")]
    pub configuration_keys: Option<Vec<String>>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 32, kind = "response", versions = "1-4", flexible = "4+")]
pub struct DescribeConfigsResponse {
    /// .
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// .
    #[field(versions = "0+")]
    pub results: Vec<DescribeConfigsResult>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeConfigsResult {
    /// .
    #[field(versions = "0+")]
    pub error_code: i16,
    /// .
    #[field(versions = "0+", nullable = "0+")]
    pub error_message: Option<String>,
    /// .
    #[field(versions = "0+")]
    pub resource_type: i8,
    /// .
    #[field(versions = "0+")]
    pub resource_name: String,
    /// .
    #[field(versions = "0+")]
    pub configs: Vec<DescribeConfigsResourceResult>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeConfigsResourceResult {
    /// .
    #[field(versions = "0+")]
    pub name: String,
    /// .
    #[field(versions = "0+", nullable = "0+")]
    pub value: Option<String>,
    /// .
    #[field(versions = "0+")]
    pub read_only: bool,
    /// .
    #[field(versions = "1+", default = -1, ignorable)]
    pub config_source: i8,
    /// .
    #[field(versions = "0+")]
    pub is_sensitive: bool,
    /// .
    #[field(versions = "1+", ignorable)]
    pub synonyms: Vec<DescribeConfigsSynonym>,
    /// .
    #[field(versions = "3+", ignorable)]
    pub config_type: i8,
    /// .
    #[field(versions = "3+", nullable = "0+", ignorable)]
    pub documentation: Option<String>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeConfigsSynonym {
    /// .
    #[field(versions = "1+")]
    pub name: String,
    /// .
    #[field(versions = "1+", nullable = "0+")]
    pub value: Option<String>,
    /// .
    #[field(versions = "1+")]
    pub source: i8,
}
