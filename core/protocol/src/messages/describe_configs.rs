//! DescribeConfigs (key 32): the configuration of topics and brokers, with where each value comes from (KIP-226).

use watershed_protocol_derive::Message;

/// The resources to describe.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 32, kind = "request", versions = "1-4", flexible = "4+")]
pub struct DescribeConfigsRequest {
    /// The resources.
    #[field(versions = "0+")]
    pub resources: Vec<DescribeConfigsResource>,
    /// Whether to list the other places a value could come from.
    #[field(versions = "1+")]
    pub include_synonyms: bool,
    /// Whether to explain each configuration.
    #[field(versions = "3+")]
    pub include_documentation: bool,
}

/// A resource.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeConfigsResource {
    /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
    #[field(versions = "0+")]
    pub resource_type: i8,
    /// The resource's name.
    #[field(versions = "0+")]
    pub resource_name: String,
    /// The names asked for; null for all.
    #[field(versions = "0+", nullable = "0+")]
    pub configuration_keys: Option<Vec<String>>,
}

/// Their configurations.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 32, kind = "response", versions = "1-4", flexible = "4+")]
pub struct DescribeConfigsResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// The results.
    #[field(versions = "0+")]
    pub results: Vec<DescribeConfigsResult>,
}

/// One resource's configurations.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeConfigsResult {
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The error in words, if there is one.
    #[field(versions = "0+", nullable = "0+")]
    pub error_message: Option<String>,
    /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
    #[field(versions = "0+")]
    pub resource_type: i8,
    /// The resource's name.
    #[field(versions = "0+")]
    pub resource_name: String,
    /// The configurations.
    #[field(versions = "0+")]
    pub configs: Vec<DescribeConfigsResourceResult>,
}

/// A configuration.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeConfigsResourceResult {
    /// The configuration's name.
    #[field(versions = "0+")]
    pub name: String,
    /// Its value; null if it has none or it is a secret.
    #[field(versions = "0+", nullable = "0+")]
    pub value: Option<String>,
    /// Whether it cannot be changed while the broker runs.
    #[field(versions = "0+")]
    pub read_only: bool,
    /// Where the value comes from: 1 topic, 2 broker, 3 brokers' default, 4 broker's file, 5 built-in default, 6 broker logger.
    #[field(versions = "1+", default = -1, ignorable)]
    pub config_source: i8,
    /// Whether it is a secret.
    #[field(versions = "0+")]
    pub is_sensitive: bool,
    /// Where else it is set, the effective one first; empty unless asked.
    #[field(versions = "1+", ignorable)]
    pub synonyms: Vec<DescribeConfigsSynonym>,
    /// 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password; 0 if unknown.
    #[field(versions = "3+", ignorable)]
    pub config_type: i8,
    /// What it means; null unless asked.
    #[field(versions = "3+", nullable = "0+", ignorable)]
    pub documentation: Option<String>,
}

/// Another place that gives, or would give, the value.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeConfigsSynonym {
    /// The synonym's name.
    #[field(versions = "1+")]
    pub name: String,
    /// Its value; null if it has none or it is a secret.
    #[field(versions = "1+", nullable = "0+")]
    pub value: Option<String>,
    /// Where it is, numbered as `config_source`.
    #[field(versions = "1+")]
    pub source: i8,
}
