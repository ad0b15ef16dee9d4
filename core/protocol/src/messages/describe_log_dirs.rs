//! DescribeLogDirs (key 35): how much the partitions take on the broker's disks (KIP-113).

use watershed_protocol_derive::Message;

/// The partitions asked about, or all.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 35, kind = "request", versions = "1-4", flexible = "2+")]
pub struct DescribeLogDirsRequest {
    /// The topics; null for all.
    #[field(versions = "0+", nullable = "0+")]
    pub topics: Option<Vec<DescribableLogDirTopic>>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribableLogDirTopic {
    /// The topic's name.
    #[field(versions = "0+")]
    pub topic: String,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<i32>,
}

/// The log directories.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 35, kind = "response", versions = "1-4", flexible = "2+")]
pub struct DescribeLogDirsResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// The error, 0 if none.
    #[field(versions = "3+", ignorable)]
    pub error_code: i16,
    /// The directories.
    #[field(versions = "0+")]
    pub results: Vec<DescribeLogDirsResult>,
}

/// A log directory.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeLogDirsResult {
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// Its path.
    #[field(versions = "0+")]
    pub log_dir: String,
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<DescribeLogDirsTopic>,
    /// The size of its volume, in bytes; -1 if unknown.
    #[field(versions = "4+", default = -1, ignorable)]
    pub total_bytes: i64,
    /// What is free there, in bytes; -1 if unknown.
    #[field(versions = "4+", default = -1, ignorable)]
    pub usable_bytes: i64,
}

/// One topic in it.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeLogDirsTopic {
    /// The topic's name.
    #[field(versions = "0+")]
    pub name: String,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<DescribeLogDirsPartition>,
}

/// One partition in it.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeLogDirsPartition {
    /// The partition.
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// The size of the log, in bytes.
    #[field(versions = "0+")]
    pub partition_size: i64,
    /// How many records the log is behind.
    #[field(versions = "0+")]
    pub offset_lag: i64,
    /// Whether it is a copy that will take the place of the log.
    #[field(versions = "0+")]
    pub is_future_key: bool,
}
