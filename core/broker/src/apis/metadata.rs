//! Metadata: brokers, topics, partitions; creates topics that a client asks for by name if it and the broker allow it.

use std::collections::BTreeSet;
use std::sync::Arc;

use watershed_metadata::{MetadataImage, Topic};
use watershed_model::{BrokerId, TopicId};
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::metadata::{
    MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};

use super::{CLUSTER_OPERATIONS, Call, METADATA_TOPIC, NO_OPERATIONS, TOPIC_OPERATIONS, check_topic_name, is_internal};

/// The first version with ids (and without a name) in requests.
const IDS_SINCE: i16 = 12;
/// The first version that tells a missing listener from a missing leader.
const LISTENER_ERROR_SINCE: i16 = 6;
/// The versions that may ask for the cluster's operations.
const CLUSTER_OPERATIONS_IN: std::ops::RangeInclusive<i16> = 8..=10;

pub(super) async fn handle(call: &Call<'_>, request: MetadataRequest) -> MetadataResponse {
    let include = Include {
        cluster: request.include_cluster_authorized_operations,
        topics: request.include_topic_authorized_operations,
    };
    let topics = match asked(call.version, &request) {
        Asked::All => {
            let image = call.broker.image();
            image.topics().map(|topic| known(call, &image, topic)).collect()
        }
        Asked::Ids(ids) => {
            let image = call.broker.image();
            let one = |id| match image.topic_by_id(&id) {
                Some(topic) => known(call, &image, topic),
                None => MetadataResponseTopic { topic_id: id, ..failed(ErrorCode::UnknownTopicId, None) },
            };
            ids.into_iter().map(one).collect()
        }
        Asked::Names(names) => by_name(call, names, request.allow_auto_topic_creation).await,
        Asked::Invalid => return refused(request),
    };
    respond(call, &include, topics)
}

enum Asked {
    All,
    Ids(BTreeSet<TopicId>),
    Names(BTreeSet<String>),
    Invalid,
}

fn asked(version: i16, request: &MetadataRequest) -> Asked {
    let Some(topics) = &request.topics else { return Asked::All };
    if version == 0 && topics.is_empty() {
        return Asked::All;
    }
    if version < IDS_SINCE && topics.iter().any(|topic| topic.name.is_none() || !topic.topic_id.is_zero()) {
        return Asked::Invalid;
    }
    let ids: BTreeSet<TopicId> = topics.iter().map(|topic| topic.topic_id).filter(|id| !id.is_zero()).collect();
    if !ids.is_empty() {
        return Asked::Ids(ids);
    }
    if topics.iter().any(|topic| topic.name.is_none()) {
        return Asked::Invalid;
    }
    Asked::Names(topics.iter().filter_map(|topic| topic.name.clone()).collect())
}

/// The answer to a request that is wrong as a whole: it tells nothing of the cluster.
fn refused(request: MetadataRequest) -> MetadataResponse {
    let topics = request.topics.into_iter().flatten().map(|topic| MetadataResponseTopic {
        topic_id: topic.topic_id,
        ..failed(ErrorCode::InvalidRequest, Some(topic.name.unwrap_or_default()))
    });
    MetadataResponse {
        controller_id: -1,
        topics: topics.collect(),
        cluster_authorized_operations: NO_OPERATIONS,
        ..MetadataResponse::default()
    }
}

async fn by_name(call: &Call<'_>, names: BTreeSet<String>, may_create: bool) -> Vec<MetadataResponseTopic> {
    let image = call.broker.image();
    // Kafka's metadata log is no topic, and nobody makes one of its name by asking for it.
    let absent = |name: &&String| image.topic_by_name(name).is_none() && *name != METADATA_TOPIC;
    let missing: Vec<&String> = names.iter().filter(absent).collect();
    let create = may_create && call.broker.config().settings().auto_create_topics_enable;
    let mut refused = std::collections::BTreeMap::new();
    if create {
        for name in missing {
            if let Err(code) = call.broker.auto_create_for(&call.hook_client(), name).await {
                refused.insert(name.clone(), code);
            }
        }
    }
    let image = call.broker.image();
    let one = |name: String| match image.topic_by_name(&name) {
        Some(topic) => known(call, &image, topic),
        None => {
            let code = match refused.get(&name) {
                Some(code) => *code,
                None => check_topic_name(&name).map_or_else(|(code, _)| code, |()| ErrorCode::UnknownTopicOrPartition),
            };
            MetadataResponseTopic { is_internal: is_internal(&name), ..failed(code, Some(name)) }
        }
    };
    names.into_iter().map(one).collect()
}

fn failed(code: ErrorCode, name: Option<String>) -> MetadataResponseTopic {
    MetadataResponseTopic { error_code: code.into(), name, ..MetadataResponseTopic::default() }
}

fn known(call: &Call<'_>, image: &MetadataImage, topic: &Arc<Topic>) -> MetadataResponseTopic {
    let listener = call.broker.listener_name(call.listener);
    let reachable = |id: BrokerId| image.broker(id).is_some_and(|broker| broker.endpoint(listener).is_some());
    let partitions = image.partitions(topic).map(|(index, partition)| {
        let leader = partition.leader;
        let error = if reachable(leader) {
            ErrorCode::None
        } else if call.version >= LISTENER_ERROR_SINCE && image.broker(leader).is_some() {
            ErrorCode::ListenerNotFound
        } else {
            ErrorCode::LeaderNotAvailable
        };
        MetadataResponsePartition {
            error_code: error.into(),
            partition_index: index,
            leader_id: if error == ErrorCode::None { leader.0 } else { -1 },
            leader_epoch: partition.leader_epoch.0,
            replica_nodes: partition.replicas.iter().map(|id| id.0).collect(),
            isr_nodes: partition.isr.iter().map(|id| id.0).collect(),
            offline_replicas: partition.replicas.iter().filter(|id| !reachable(**id)).map(|id| id.0).collect(),
        }
    });
    MetadataResponseTopic {
        error_code: ErrorCode::None.into(),
        name: Some(topic.name().to_string()),
        topic_id: topic.id(),
        is_internal: is_internal(topic.name()),
        partitions: partitions.collect(),
        topic_authorized_operations: NO_OPERATIONS,
    }
}

/// Which operations the request wants listed.
struct Include {
    cluster: bool,
    topics: bool,
}

fn respond(call: &Call<'_>, include: &Include, mut topics: Vec<MetadataResponseTopic>) -> MetadataResponse {
    let image = call.broker.image();
    if include.topics {
        for topic in &mut topics {
            topic.topic_authorized_operations = TOPIC_OPERATIONS;
        }
    }
    let brokers = image.brokers().filter_map(|broker| {
        let endpoint = broker.endpoint(call.broker.listener_name(call.listener))?;
        Some(MetadataResponseBroker {
            node_id: broker.broker.0,
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            rack: broker.rack.clone(),
        })
    });
    let cluster = include.cluster && CLUSTER_OPERATIONS_IN.contains(&call.version);
    MetadataResponse {
        throttle_time_ms: 0,
        brokers: brokers.collect(),
        cluster_id: image.cluster_id().map(|id| id.to_string()),
        controller_id: call.broker.node_id().0,
        topics,
        cluster_authorized_operations: if cluster { CLUSTER_OPERATIONS } else { NO_OPERATIONS },
        error_code: 0,
    }
}
