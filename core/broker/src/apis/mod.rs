//! The APIs: the one `match` that lists them, and what they share. One API, one file: decode, act, answer.
//!
//! Produce and OffsetCommit are not in the match: their requests overlap, so `connection.rs` drives them in two steps (see
//! `pending.rs`).

mod acls;
mod alter_configs;
mod api_versions;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod pending;
mod produce;
mod sync_group;
mod update_features;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use watershed_controller::ControllerError;
use watershed_model::{BrokerId, Piece, limits};
use watershed_protocol::{ApiKey, ErrorCode, Message, RequestHeader, Response, api, encode_response};

pub(crate) use pending::{Overlapping, Pending};

use crate::Broker;
use crate::connection::Close;
use crate::errors::controller_code;

/// Every operation on a topic, as the bits of `authorized_operations` (KIP-430): without an authorizer everybody may
/// do everything. Bits are the numbers of Kafka's `AclOperation`.
pub(crate) const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;
/// The same for the cluster.
pub(crate) const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;
/// The same for a group.
pub(crate) const GROUP_OPERATIONS: i32 = 0b1101_0100_1000;
/// "Not asked for".
pub(crate) const NO_OPERATIONS: i32 = i32::MIN;

/// Who is at the other end of a connection.
#[derive(Debug)]
pub(crate) struct Client {
    listener: usize,
    /// Its address, as Kafka shows a member's host: `/127.0.0.1`.
    host: String,
    id: String,
    software: String,
}

impl Client {
    pub(crate) fn new(listener: usize, address: IpAddr) -> Self {
        Self { listener, host: format!("/{}", address.to_canonical()), id: String::new(), software: String::new() }
    }

    /// What it calls itself, cut to a length fit for logs.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The listener that it came through.
    pub(crate) fn listener(&self) -> usize {
        self.listener
    }

    /// Its address, as Kafka shows it: `/127.0.0.1`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Its library's name and version (KIP-511), empty if it did not say.
    pub(crate) fn software(&self) -> &str {
        &self.software
    }

    /// Keeps the client's id for logs.
    pub(crate) fn note(&mut self, header: &RequestHeader) {
        let id = header.client_id.as_deref().unwrap_or_default();
        if self.id != id {
            id.chars().take(limits::CLIENT_LABEL_BYTES_MAX).collect::<String>().clone_into(&mut self.id);
        }
    }
}

/// One request's surroundings.
pub(crate) struct Call<'a> {
    pub(crate) broker: &'a Arc<Broker>,
    pub(crate) version: i16,
    /// The listener the request came in on, by its position in the configuration.
    pub(crate) listener: usize,
    /// What the client calls itself, whole.
    pub(crate) client_id: &'a str,
    /// The client's address, as Kafka shows a member's host.
    pub(crate) client_host: &'a str,
    /// Fires when the broker stops: whoever waits for records answers then.
    pub(crate) stop: &'a CancellationToken,
}

impl Call<'_> {
    /// The client, as plugins see it.
    pub(crate) fn hook_client(&self) -> watershed_hooks::Client<'_> {
        watershed_hooks::Client {
            principal: crate::ANONYMOUS,
            client_id: self.client_id,
            listener: self.broker.listener_name(self.listener),
            host: self.client_host,
        }
    }

    /// The address of a broker on the listener this request came in on.
    pub(crate) fn endpoint(&self, broker: BrokerId) -> Option<(String, i32)> {
        self.broker.endpoint(self.listener, broker)
    }
}

/// Serves any request that overlaps with no other.
pub(crate) fn dispatch<'a>(
    broker: &'a Arc<Broker>,
    client: &'a mut Client,
    header: RequestHeader,
    body: Bytes,
    stop: CancellationToken,
) -> BoxFuture<'a, Result<Vec<Piece>, Close>> {
    Box::pin(async move {
        let version = header.api_version;
        let known = ApiKey::try_from(header.api_key).ok();
        let Some(key) = known.filter(|key| api::served(*key).is_some_and(|range| range.contains(version))) else {
            return not_served(&header, known);
        };
        let client_id = header.client_id.as_deref().unwrap_or_default();
        let client_host = client.host.clone();
        let call =
            Call { broker, version, listener: client.listener, client_id, client_host: &client_host, stop: &stop };
        macro_rules! serve {
            ($handler:path) => {{
                let request = Message::decode_leniently(body, version)?;
                reply(&header, version, &$handler(&call, request).await)
            }};
        }
        match key {
            ApiKey::Fetch => serve!(fetch::handle),
            ApiKey::ListOffsets => serve!(list_offsets::handle),
            ApiKey::Metadata => serve!(metadata::handle),
            ApiKey::FindCoordinator => serve!(find_coordinator::handle),
            ApiKey::ApiVersions => {
                let request = Message::decode_leniently(body, version)?;
                reply(&header, version, &api_versions::handle(&call, client, request))
            }
            ApiKey::CreateTopics => serve!(create_topics::handle),
            ApiKey::DeleteTopics => serve!(delete_topics::handle),
            ApiKey::DeleteRecords => serve!(delete_records::handle),
            ApiKey::InitProducerId => serve!(init_producer_id::handle),
            ApiKey::OffsetForLeaderEpoch => serve!(offset_for_leader_epoch::handle),
            ApiKey::DescribeAcls => serve!(acls::describe),
            ApiKey::CreateAcls => serve!(acls::create),
            ApiKey::DeleteAcls => serve!(acls::delete),
            ApiKey::DescribeConfigs => serve!(describe_configs::handle),
            ApiKey::AlterConfigs => serve!(alter_configs::replace),
            ApiKey::DescribeLogDirs => serve!(describe_log_dirs::handle),
            ApiKey::CreatePartitions => serve!(create_partitions::handle),
            ApiKey::IncrementalAlterConfigs => serve!(alter_configs::incremental),
            ApiKey::DescribeQuorum => serve!(describe_quorum::handle),
            ApiKey::UpdateFeatures => serve!(update_features::handle),
            ApiKey::DescribeCluster => serve!(describe_cluster::handle),
            ApiKey::DescribeProducers => serve!(describe_producers::handle),
            ApiKey::ListConfigResources => serve!(list_config_resources::handle),
            ApiKey::DescribeTopicPartitions => serve!(describe_topic_partitions::handle),
            ApiKey::OffsetFetch => serve!(offset_fetch::handle),
            ApiKey::OffsetDelete => serve!(offset_delete::handle),
            ApiKey::JoinGroup => serve!(join_group::handle),
            ApiKey::SyncGroup => serve!(sync_group::handle),
            ApiKey::Heartbeat => serve!(heartbeat::handle),
            ApiKey::LeaveGroup => serve!(leave_group::handle),
            ApiKey::DescribeGroups => serve!(describe_groups::handle),
            ApiKey::ListGroups => serve!(list_groups::handle),
            ApiKey::DeleteGroups => serve!(delete_groups::handle),
            ApiKey::ConsumerGroupHeartbeat => serve!(consumer_group_heartbeat::handle),
            ApiKey::ConsumerGroupDescribe => serve!(consumer_group_describe::handle),
            other => Err(Close::Unsupported { api: other.to_string(), version }),
        }
    })
}

/// The answer to an API or version that is not served: none but for ApiVersions, which every client has to understand.
fn not_served(header: &RequestHeader, known: Option<ApiKey>) -> Result<Vec<Piece>, Close> {
    if known == Some(ApiKey::ApiVersions) {
        return reply(header, 0, &api_versions::unsupported());
    }
    let api = known.map_or_else(|| format!("API {}", header.api_key), |key| key.to_string());
    Err(Close::Unsupported { api, version: header.api_version })
}

fn reply<R: Response>(header: &RequestHeader, version: i16, response: &R) -> Result<Vec<Piece>, Close> {
    Ok(encode_response(response, version, header.correlation_id)?)
}

/// One reply per item: those of the controller, or its failure as a whole for each.
pub(crate) fn each<T>(
    replies: Result<Vec<Result<T, ControllerError>>, ControllerError>,
) -> Box<dyn Iterator<Item = Result<T, ControllerError>> + Send>
where
    T: Send + 'static,
{
    match replies {
        Ok(replies) => Box::new(replies.into_iter()),
        Err(error) => Box::new(std::iter::repeat_with(move || Err(error.clone()))),
    }
}

/// Kafka answers a name that a request holds twice once.
pub(crate) fn first_of_each<T, K: Ord>(
    items: impl Iterator<Item = T>,
    key: impl Fn(&T) -> K,
) -> impl Iterator<Item = T> {
    let mut seen = BTreeSet::new();
    items.filter(move |item| seen.insert(key(item)))
}

/// Kafka's check of a topic's name, with a message.
pub(crate) fn check_topic_name(name: &str) -> Result<(), (ErrorCode, String)> {
    watershed_controller::check_topic_name(name).map_err(|error| (controller_code(&error), error.to_string()))
}

/// Whether a request's isolation level is one: read_uncommitted or read_committed.
pub(crate) fn is_isolation_level(level: i8) -> bool {
    matches!(level, 0 | 1)
}

/// Where Kafka's tools look for the metadata log, which is no topic.
const METADATA_TOPIC: &str = "__cluster_metadata";

pub(crate) use watershed_metadata::is_internal_topic as is_internal;
