//! DescribeCluster (key 60): the brokers, or the controllers, of the cluster (KIP-700).

use watershed_protocol_derive::Message;

/// What to include.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 60, kind = "request", versions = "0-2", flexible = "0+")]
pub struct DescribeClusterRequest {
    /// Whether to say what the client may do with the cluster.
    #[field(versions = "0+")]
    pub include_cluster_authorized_operations: bool,
    /// 1 for brokers, 2 for controllers.
    #[field(versions = "1+", default = 1)]
    pub endpoint_type: i8,
    /// Whether to list fenced brokers too.
    #[field(versions = "2+")]
    pub include_fenced_brokers: bool,
}

/// The cluster.
#[derive(Clone, Debug, PartialEq, Message)]
#[message(api = 60, kind = "response", versions = "0-2", flexible = "0+")]
pub struct DescribeClusterResponse {
    /// How long the client should pause for a quota, in milliseconds; 0 if not at all.
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    /// The error, 0 if none.
    #[field(versions = "0+")]
    pub error_code: i16,
    /// The error in words, if there is one.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub error_message: Option<String>,
    /// 1 for brokers, 2 for controllers.
    #[field(versions = "1+", default = 1)]
    pub endpoint_type: i8,
    /// The cluster's id.
    #[field(versions = "0+")]
    pub cluster_id: String,
    /// A broker that takes requests for the controller; -1 if there is none.
    #[field(versions = "0+", default = -1)]
    pub controller_id: i32,
    /// The brokers.
    #[field(versions = "0+")]
    pub brokers: Vec<DescribeClusterBroker>,
    /// What the client may do with the cluster, a bit per operation; `i32::MIN` if not asked.
    #[field(versions = "0+", default = i32::MIN)]
    pub cluster_authorized_operations: i32,
}

/// A broker or controller.
#[derive(Clone, Debug, PartialEq, Message)]
pub struct DescribeClusterBroker {
    /// The broker's id.
    #[field(versions = "0+")]
    pub broker_id: i32,
    /// Its host name.
    #[field(versions = "0+")]
    pub host: String,
    /// Its port.
    #[field(versions = "0+")]
    pub port: i32,
    /// Its rack, if it has one.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub rack: Option<String>,
    /// Whether it is fenced.
    #[field(versions = "2+")]
    pub is_fenced: bool,
}
