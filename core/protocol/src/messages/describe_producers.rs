//! DescribeProducers (key 61): the producers a partition's leader knows of (KIP-664).

use watershed_protocol_derive::Message;

/// The partitions asked about.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 61, kind = "request", versions = "0", flexible = "0+")]
pub struct DescribeProducersRequest {
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<TopicRequest>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TopicRequest {
    /// The topic's name.
    #[field(versions = "0+")]
    pub name: String,
    /// The partitions.
    #[field(versions = "0+")]
    pub partition_indexes: Vec<i32>,
}

/// Their producers.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 61, kind = "response", versions = "0", flexible = "0+")]
pub struct DescribeProducersResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// The topics.
    #[field(versions = "0+")]
    pub topics: Vec<TopicResponse>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct TopicResponse {
    /// The topic's name.
    #[field(versions = "0+")]
    pub name: String,
    /// The partitions.
    #[field(versions = "0+")]
    pub partitions: Vec<PartitionResponse>,
}

/// One partition's producers.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct PartitionResponse {
    /// The partition.
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The error in words, if there is one.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub error_message: Option<String>,
    /// The producers.
    #[field(versions = "0+")]
    pub active_producers: Vec<ProducerState>,
}

/// A producer.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct ProducerState {
    /// Its id.
    #[field(versions = "0+")]
    pub producer_id: i64,
    /// Its epoch.
    #[field(versions = "0+")]
    pub producer_epoch: i32,
    /// The last sequence number; -1 for none.
    #[field(versions = "0+", default = -1)]
    pub last_sequence: i32,
    /// The last timestamp, in milliseconds; -1 for none.
    #[field(versions = "0+", default = -1)]
    pub last_timestamp: i64,
    /// The epoch of the coordinator that wrote its last marker.
    #[field(versions = "0+")]
    pub coordinator_epoch: i32,
    /// Where its open transaction begins; -1 for none.
    #[field(versions = "0+", default = -1)]
    pub current_txn_start_offset: i64,
}
