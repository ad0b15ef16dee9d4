//! DescribeLogDirs (KIP-113, KIP-827): the places of every storage backend and what lies in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use watershed_protocol::ErrorCode;
use watershed_protocol::messages::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeLogDirsResult,
    DescribeLogDirsTopic,
};
use watershed_storage::PlaceHealth;

use super::Call;
use crate::partition::Partition;

pub(super) async fn handle(call: &Call<'_>, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let partitions = wanted(call, &request).await;
    let storages = call.broker.replicas().storages();
    let results = storages.values().flat_map(|storage| {
        let here = partitions.iter().filter(|partition| Arc::ptr_eq(&partition.topic.storage, storage));
        let here: Vec<_> = here.collect();
        let places = storage.health().borrow().places.clone();
        // A backend spreads nothing over its places yet: all of its partitions are in the first.
        places.into_iter().enumerate().map(move |(index, place)| describe(&place, if index == 0 { &here } else { &[] }))
    });
    DescribeLogDirsResponse { throttle_time_ms: 0, error_code: ErrorCode::None.into(), results: results.collect() }
}

/// The partitions that are asked for and exist; all for null.
async fn wanted(call: &Call<'_>, request: &DescribeLogDirsRequest) -> Vec<Arc<Partition>> {
    let image = call.broker.image();
    let mut asked = Vec::new();
    match &request.topics {
        None => {
            for topic in image.topics() {
                asked.extend((0..topic.partition_count()).map(|index| (Arc::clone(topic), index)));
            }
        }
        Some(topics) => {
            for topic in topics {
                let Some(found) = image.topic_by_name(&topic.topic) else { continue };
                let exists = |index: &&i32| (0..found.partition_count()).contains(*index);
                asked.extend(topic.partitions.iter().filter(exists).map(|index| (Arc::clone(found), *index)));
            }
        }
    }
    let mut partitions = Vec::with_capacity(asked.len());
    for (topic, index) in asked {
        // One that cannot be opened is not in any directory that works.
        partitions.extend(call.broker.partition(&image, &topic, index).await.ok());
    }
    partitions
}

fn describe(place: &PlaceHealth, partitions: &[&Arc<Partition>]) -> DescribeLogDirsResult {
    let mut topics: BTreeMap<&str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic.name).or_default().push(DescribeLogDirsPartition {
            partition_index: partition.tp.partition,
            partition_size: i64::try_from(partition.log.size_bytes()).unwrap_or(i64::MAX),
            // How far the high watermark is ahead of the log end: never, on the leader.
            offset_lag: 0,
            is_future_key: false,
        });
    }
    let code = if place.offline.is_some() { ErrorCode::KafkaStorageError } else { ErrorCode::None };
    let bytes = |bytes: Option<u64>| bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    let topics =
        topics.into_iter().map(|(name, partitions)| DescribeLogDirsTopic { name: name.to_owned(), partitions });
    DescribeLogDirsResult {
        error_code: code.into(),
        log_dir: place.path.clone(),
        topics: if place.offline.is_some() { Vec::new() } else { topics.collect() },
        total_bytes: bytes(place.total_bytes),
        usable_bytes: bytes(place.usable_bytes),
    }
}
