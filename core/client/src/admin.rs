//! Administration: topics and partitions, configs, records, offsets, the cluster, log directories.
//!
//! Each call is one operation of Kafka's admin protocol with its retries. A result per item is given where Kafka gives one,
//! so that one wrong topic does not hide the others' fate.

mod configs;
mod groups;
mod offsets;
mod topics;

use std::sync::Arc;

use watershed_model::BrokerId;
use watershed_protocol::messages::{DescribeClusterRequest, DescribeLogDirsRequest, DescribeLogDirsResponse};

pub use configs::{AlterOp, ConfigEntry, ConfigResource, ConfigSource};
pub use groups::{GroupDescription, GroupMember, GroupOffset, ListedGroup};
pub use offsets::{OffsetAt, OffsetSpec};
pub use topics::NewTopic;

pub(crate) use offsets::list_offsets;

use crate::{Client, ClientError, Lane, Metadata, Node};

/// Administration of a cluster.
#[derive(Clone, Debug)]
pub struct Admin {
    client: Client,
}

/// The cluster's brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// The controller, or the broker that stands for it.
    pub controller: Option<BrokerId>,
    /// The brokers by number.
    pub brokers: Vec<Node>,
}

/// A log directory of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDir {
    /// The broker.
    pub broker: BrokerId,
    /// Its path there.
    pub path: String,
    /// The volume's size in bytes; -1 where the broker does not say.
    pub total_bytes: i64,
    /// What is free, in bytes; -1 where the broker does not say.
    pub usable_bytes: i64,
    /// What lies in it.
    pub replicas: Vec<LogDirReplica>,
}

/// A partition in a log directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDirReplica {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Its size in bytes.
    pub bytes: i64,
    /// How far it is behind the high watermark, in records.
    pub offset_lag: i64,
}

impl Admin {
    /// Administration through this client.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// The client underneath.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn timeout_ms(&self) -> i32 {
        i32::try_from(self.client.config().operation_timeout.as_millis()).unwrap_or(i32::MAX)
    }

    /// The cluster's brokers, from DescribeCluster, or from Metadata where the broker does not know that.
    ///
    /// # Errors
    /// If no broker answers.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, ClientError> {
        let asked = self
            .client
            .retry("describing the cluster", || async {
                let response = self.client.call_any(&DescribeClusterRequest::default()).await?;
                ClientError::check(response.error_code, response.error_message.as_deref(), || {
                    "describing the cluster".into()
                })?;
                Ok(response)
            })
            .await;
        let metadata = match asked {
            Ok(response) => {
                let brokers = response.brokers.iter().map(|b| Node {
                    id: BrokerId(b.broker_id),
                    address: format!("{}:{}", b.host, b.port),
                    rack: b.rack.as_ref().map(ToString::to_string),
                });
                let mut brokers: Vec<_> = brokers.collect();
                brokers.sort_by_key(|b| b.id);
                return Ok(ClusterDescription {
                    cluster_id: Some(response.cluster_id.to_string()),
                    controller: (response.controller_id >= 0).then_some(BrokerId(response.controller_id)),
                    brokers,
                });
            }
            Err(ClientError::Unsupported { .. }) => self.client.ask_metadata(Some(&[])).await?,
            Err(error) => return Err(error),
        };
        let mut brokers: Vec<_> = metadata.brokers.values().cloned().collect();
        brokers.sort_by_key(|b| b.id);
        Ok(ClusterDescription { cluster_id: metadata.cluster_id.clone(), controller: metadata.controller, brokers })
    }

    /// All topics of the cluster.
    ///
    /// # Errors
    /// If no broker answers.
    pub async fn list_topics(&self) -> Result<Arc<Metadata>, ClientError> {
        self.client.retry("listing topics", || self.client.ask_metadata(None)).await
    }

    /// The log directories of every broker, with the sizes of the partitions in them.
    ///
    /// # Errors
    /// If a broker cannot be reached or may not say.
    pub async fn describe_log_dirs(&self) -> Result<Vec<LogDir>, ClientError> {
        let metadata = self.client.metadata();
        let mut brokers: Vec<_> = metadata.brokers.keys().copied().collect();
        brokers.sort();
        let mut out = Vec::new();
        for broker in brokers {
            let what = format!("the log directories of broker {broker}");
            let response: DescribeLogDirsResponse = self
                .client
                .retry(&what, || async {
                    let connection = self.client.broker(broker, Lane::Control).await?;
                    connection.call(&DescribeLogDirsRequest::default()).await
                })
                .await?;
            ClientError::check(response.error_code, None, || what.clone())?;
            for dir in response.results {
                ClientError::check(dir.error_code, None, || {
                    format!("log directory {} of broker {broker}", dir.log_dir)
                })?;
                let replicas = dir.topics.iter().flat_map(|t| {
                    t.partitions.iter().map(|p| LogDirReplica {
                        topic: t.name.to_string(),
                        partition: p.partition_index,
                        bytes: p.partition_size,
                        offset_lag: p.offset_lag,
                    })
                });
                out.push(LogDir {
                    broker,
                    path: dir.log_dir.to_string(),
                    total_bytes: dir.total_bytes,
                    usable_bytes: dir.usable_bytes,
                    replicas: replicas.collect(),
                });
            }
        }
        Ok(out)
    }
}
