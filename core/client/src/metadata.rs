//! What we believe of the cluster: its brokers, and topics with their leaders.

use std::collections::HashMap;
use std::sync::Arc;

use watershed_model::{BrokerId, LeaderEpoch, TopicId};
use watershed_protocol::ErrorCode;
use watershed_protocol::messages::MetadataResponse;

/// A broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its number.
    pub id: BrokerId,
    /// Where it listens for us: `host:port`.
    pub address: String,
    /// Its rack, if it has one.
    pub rack: Option<String>,
}

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// Its number.
    pub index: i32,
    /// What is wrong with it, or [`ErrorCode::None`].
    pub error: ErrorCode,
    /// Its leader; `None` while it has none.
    pub leader: Option<BrokerId>,
    /// The leader's epoch; -1 where the broker is too old to say.
    pub leader_epoch: LeaderEpoch,
    /// The brokers that hold it.
    pub replicas: Vec<i32>,
    /// Those that have everything.
    pub isr: Vec<i32>,
    /// Those that are not there.
    pub offline: Vec<i32>,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicMetadata {
    /// Its name.
    pub name: Arc<str>,
    /// Its id; zero where the broker is too old to have ids.
    pub id: TopicId,
    /// Whether the broker keeps it for itself.
    pub internal: bool,
    /// What is wrong with it, or [`ErrorCode::None`].
    pub error: ErrorCode,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionMetadata>,
}

impl TopicMetadata {
    /// The partition with this number.
    #[must_use]
    pub fn partition(&self, index: i32) -> Option<&PartitionMetadata> {
        self.partitions.iter().find(|p| p.index == index)
    }
}

/// The cluster as one answer, or several merged, described it.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    /// Counts the refreshes; a caller that found something stale says which one it saw.
    pub generation: u64,
    /// The cluster's id, if it has one.
    pub cluster_id: Option<String>,
    /// The controller, or the broker that stands for it.
    pub controller: Option<BrokerId>,
    /// The brokers.
    pub brokers: HashMap<BrokerId, Node>,
    /// The topics that were asked for, by name.
    pub topics: HashMap<Arc<str>, Arc<TopicMetadata>>,
}

impl Metadata {
    /// The leader of a partition, with its epoch and the topic's id.
    #[must_use]
    pub fn leader(&self, topic: &str, partition: i32) -> Option<(BrokerId, LeaderEpoch, TopicId)> {
        let topic = self.topics.get(topic)?;
        let found = topic.partition(partition)?;
        Some((found.leader?, found.leader_epoch, topic.id))
    }

    /// The name of a topic id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<TopicMetadata>> {
        self.topics.values().find(|t| t.id == id)
    }

    /// Takes over an answer: all of its brokers, and the topics in it; topics not in it stay as they are.
    ///
    /// A leader epoch that is older than the one we know for the same topic id comes from a broker that lags behind; the
    /// newer one is kept (KIP-320).
    pub(crate) fn merge(&self, response: MetadataResponse) -> Self {
        let mut topics = self.topics.clone();
        for topic in response.topics {
            let Some(name) = topic.name else { continue };
            let name: Arc<str> = name.to_string().into();
            let old = topics.get(&name).filter(|old| old.id == topic.topic_id);
            let partitions = topic.partitions.iter().map(|p| {
                let new = partition(p);
                old.and_then(|old| old.partition(new.index))
                    .filter(|old| old.leader_epoch > new.leader_epoch)
                    .cloned()
                    .unwrap_or(new)
            });
            let mut partitions: Vec<_> = partitions.collect();
            partitions.sort_by_key(|p| p.index);
            let new = TopicMetadata {
                name: Arc::clone(&name),
                id: topic.topic_id,
                internal: topic.is_internal,
                error: code(topic.error_code),
                partitions,
            };
            topics.insert(name, Arc::new(new));
        }
        let brokers = response.brokers.iter().map(|b| {
            let host: &str = &b.host;
            // An IPv6 address needs brackets in front of a port.
            let address =
                if host.contains(':') { format!("[{host}]:{}", b.port) } else { format!("{host}:{}", b.port) };
            let node = Node { id: BrokerId(b.node_id), address, rack: b.rack.as_ref().map(ToString::to_string) };
            (node.id, node)
        });
        Self {
            generation: self.generation + 1,
            cluster_id: response.cluster_id.as_ref().map(ToString::to_string),
            controller: (response.controller_id >= 0).then_some(BrokerId(response.controller_id)),
            brokers: brokers.collect(),
            topics,
        }
    }
}

fn code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)
}

fn partition(p: &watershed_protocol::messages::metadata::MetadataResponsePartition) -> PartitionMetadata {
    PartitionMetadata {
        index: p.partition_index,
        error: code(p.error_code),
        leader: (p.leader_id >= 0).then_some(BrokerId(p.leader_id)),
        leader_epoch: LeaderEpoch(p.leader_epoch),
        replicas: p.replica_nodes.clone(),
        isr: p.isr_nodes.clone(),
        offline: p.offline_replicas.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use watershed_protocol::messages::metadata::{
        MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
    };

    use super::*;

    fn answer(id: u8, leader_id: i32, leader_epoch: i32) -> MetadataResponse {
        let partition = MetadataResponsePartition { partition_index: 0, leader_id, leader_epoch, ..Default::default() };
        let topic = MetadataResponseTopic {
            name: Some("t".into()),
            topic_id: TopicId([id; 16]),
            partitions: vec![partition],
            ..Default::default()
        };
        let broker = MetadataResponseBroker { node_id: 1, host: "::1".into(), port: 9, rack: None };
        MetadataResponse { topics: vec![topic], brokers: vec![broker], controller_id: -1, ..Default::default() }
    }

    #[test]
    fn an_older_epoch_of_the_same_topic_is_not_believed() {
        let known = Metadata::default().merge(answer(1, 5, 7));
        assert_eq!(known.leader("t", 0).unwrap().0, BrokerId(5));
        let stale = known.merge(answer(1, 4, 6));
        assert_eq!(stale.leader("t", 0).unwrap(), (BrokerId(5), LeaderEpoch(7), TopicId([1; 16])));
        let newer = stale.merge(answer(1, 3, 8));
        assert_eq!(newer.leader("t", 0).unwrap().0, BrokerId(3));
        // A new topic of the same name begins anew.
        let recreated = newer.merge(answer(2, 2, 0));
        assert_eq!(recreated.leader("t", 0).unwrap(), (BrokerId(2), LeaderEpoch(0), TopicId([2; 16])));
        assert_eq!(recreated.generation, 4);
        assert!(recreated.topic_by_id(TopicId([1; 16])).is_none());
    }

    #[test]
    fn what_is_missing_is_none() {
        let known = Metadata::default().merge(answer(1, -1, 7));
        assert_eq!((known.leader("t", 0), known.leader("t", 1), known.leader("u", 0)), (None, None, None));
        assert_eq!(known.controller, None);
        assert_eq!(known.brokers[&BrokerId(1)].address, "[::1]:9");
    }
}
