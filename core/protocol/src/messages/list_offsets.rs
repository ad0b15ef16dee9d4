//! ListOffsets (key 2): finds the offset for a timestamp, or for a special one such as "latest".
//!
//! The special timestamps: -1 latest, -2 earliest, -3 that of the largest timestamp (version 7), -4 earliest on local
//! storage (8), -5 latest in tiered storage (9), -6 earliest not yet uploaded (11).

use watershed_protocol_derive::Message;

/// Timestamps to find offsets for.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 2, kind = "request", versions = "1-11", flexible = "6+")]
pub struct ListOffsetsRequest {
    /// The follower; -1 for a consumer.
    #[field(versions = "0+")]
    pub replica_id: i32,
    /// 0 reads all records, 1 those of committed transactions only.
    #[field(versions = "2+")]
    pub isolation_level: i8,
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<ListOffsetsTopic>,
    /// How long to wait for tiered storage, in milliseconds.
    #[field(versions = "10+", ignorable)]
    pub timeout_ms: i32,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListOffsetsTopic {
    /// The topic's name.
    #[field(versions = "0+")]
    pub name: String,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<ListOffsetsPartition>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListOffsetsPartition {
    /// The partition.
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// The epoch in which the client takes the broker for the leader; -1 leaves the check out (KIP-320).
    #[field(versions = "4+", default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// The time in milliseconds, or a special one.
    #[field(versions = "0+")]
    pub timestamp: i64,
}

/// The offsets found.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 2, kind = "response", versions = "1-11", flexible = "6+")]
pub struct ListOffsetsResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<ListOffsetsTopicResponse>,
}

/// One topic's results.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListOffsetsTopicResponse {
    /// The topic's name.
    #[field(versions = "0+")]
    pub name: String,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<ListOffsetsPartitionResponse>,
}

/// One partition's result; timestamp and offset are -1 if there is none.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ListOffsetsPartitionResponse {
    /// The partition.
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The timestamp of the record found, in milliseconds.
    #[field(versions = "1+", default = -1)]
    pub timestamp: i64,
    /// Its offset.
    #[field(versions = "1+", default = -1)]
    pub offset: i64,
    /// Its epoch.
    #[field(versions = "4+", default = -1)]
    pub leader_epoch: i32,
}
