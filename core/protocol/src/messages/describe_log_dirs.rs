//! DescribeLogDirs.

use watershed_protocol_derive::Message;

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 35, kind = "request", versions = "1-4", flexible = "2+")]
pub struct DescribeLogDirsRequest {
    /// .
    #[field(versions = "0+", nullable = "0+")]
    pub topics: Option<Vec<DescribableLogDirTopic>>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribableLogDirTopic {
    /// .
    #[field(versions = "0+")]
    pub topic: String,
    /// .
    #[field(versions = "0+")]
    pub partitions: Vec<i32>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 35, kind = "response", versions = "1-4", flexible = "2+")]
pub struct DescribeLogDirsResponse {
    /// .
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// .
    #[field(versions = "3+", ignorable)]
    pub error_code: i16,
    /// .
    #[field(versions = "0+")]
    pub results: Vec<DescribeLogDirsResult>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeLogDirsResult {
    /// .
    #[field(versions = "0+")]
    pub error_code: i16,
    /// .
    #[field(versions = "0+")]
    pub log_dir: String,
    /// .
    #[field(versions = "0+")]
    pub topics: Vec<DescribeLogDirsTopic>,
    /// .
    #[field(versions = "4+", default = -1, ignorable)]
    pub total_bytes: i64,
    /// .
    #[field(versions = "4+", default = -1, ignorable)]
    pub usable_bytes: i64,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeLogDirsTopic {
    /// .
    #[field(versions = "0+")]
    pub name: String,
    /// .
    #[field(versions = "0+")]
    pub partitions: Vec<DescribeLogDirsPartition>,
}

/// A part of the message.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeLogDirsPartition {
    /// .
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// .
    #[field(versions = "0+")]
    pub partition_size: i64,
    /// .
    #[field(versions = "0+")]
    pub offset_lag: i64,
    /// .
    #[field(versions = "0+")]
    pub is_future_key: bool,
}
