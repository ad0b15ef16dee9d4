//! OffsetDelete (key 47): removes what a group committed for some partitions (KIP-496).

use watershed_protocol_derive::Message;

use crate::StrBytes;

/// The group and the partitions.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 47, kind = "request", versions = "0", flexible = "none")]
pub struct OffsetDeleteRequest {
    /// The group.
    #[field(versions = "0+")]
    pub group_id: StrBytes,
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<OffsetDeleteRequestTopic>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetDeleteRequestTopic {
    /// The name.
    #[field(versions = "0+")]
    pub name: StrBytes,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<OffsetDeleteRequestPartition>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetDeleteRequestPartition {
    /// The partition.
    #[field(versions = "0+")]
    pub partition_index: i32,
}

/// An error for each partition.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 47, kind = "response", versions = "0", flexible = "none")]
pub struct OffsetDeleteResponse {
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "0+", ignorable)]
    pub throttle_time_ms: i32,
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<OffsetDeleteResponseTopic>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetDeleteResponseTopic {
    /// The name.
    #[field(versions = "0+")]
    pub name: StrBytes,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<OffsetDeleteResponsePartition>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct OffsetDeleteResponsePartition {
    /// The partition.
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
}
