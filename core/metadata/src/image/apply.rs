//! What each record does to an image.
//!
//! A record that contradicts the image (a second topic of a name, partitions of a topic that is not there, an
//! epoch that would fall) is an error: the controller never writes one, so the log is not ours or is damaged,
//! and going on would make replicas differ.

use std::sync::Arc;

use watershed_model::limits::PARTITIONS_PER_REQUEST_MAX;
use watershed_model::{BrokerId, LeaderEpoch, Offset, ProducerId, TopicId, TopicIdPartition};

use super::partitions::{PartitionTable, ReplicaSet, Run};
use super::{ConfigMap, MetadataImage, Topic};
use crate::{BrokerRegistered, Change, ConfigResource, MetadataRecord, PartitionRun};

/// A record that cannot be applied to the image it met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The thing is there already.
    #[error("a metadata record creates {0}, which exists already")]
    Exists(String),
    /// The thing is not there.
    #[error("a metadata record changes {0}, which does not exist")]
    Missing(String),
    /// The record says something that cannot be.
    #[error("a metadata record is impossible: {0}")]
    Impossible(String),
}

impl MetadataImage {
    /// The image after a batch, and what the batch changed, in order.
    ///
    /// # Errors
    ///
    /// When a record contradicts the image. This image is unchanged in any case.
    pub fn apply_batch(&self, records: &[MetadataRecord]) -> Result<(Self, Vec<Change>), ApplyError> {
        let mut image = self.clone();
        let changes = records.iter().map(|record| image.apply(record)).collect::<Result<_, _>>()?;
        Ok((image, changes))
    }

    /// Applies one record.
    ///
    /// # Errors
    ///
    /// When the record contradicts the image, which is then unchanged.
    pub fn apply(&mut self, record: &MetadataRecord) -> Result<Change, ApplyError> {
        match record {
            MetadataRecord::ClusterCreated { cluster_id } => {
                if let Some(known) = self.cluster_id {
                    return Err(ApplyError::Exists(format!("cluster {cluster_id} beside {known}")));
                }
                self.cluster_id = Some(*cluster_id);
                Ok(Change::Cluster)
            }
            MetadataRecord::FeatureFinalized { name, level } => self.finalize_feature(name, *level),
            MetadataRecord::BrokerRegistered(registration) => self.register_broker(registration),
            MetadataRecord::BrokerStarted { broker, starts } => self.start_broker(*broker, *starts),
            MetadataRecord::TopicCreated { topic, name, partitions } => self.create_topic(*topic, name, partitions),
            MetadataRecord::PartitionsAdded { topic, first, partitions } => {
                self.add_partitions(*topic, *first, partitions)
            }
            MetadataRecord::TopicDeleted { topic } => self.delete_topic(*topic),
            MetadataRecord::ConfigChanged { resource, name, value } => {
                self.change_config(resource, name, value.as_deref())
            }
            MetadataRecord::ProducerIdsAllocated { broker: _, next } => self.allocate_producer_ids(*next),
            MetadataRecord::OffsetsReserved { topic, partition, until } => {
                self.reserve_offsets(TopicIdPartition { topic: *topic, partition: *partition }, *until)
            }
        }
    }

    fn finalize_feature(&mut self, name: &str, level: i16) -> Result<Change, ApplyError> {
        match level {
            ..0 => return Err(ApplyError::Impossible(format!("feature {name} at level {level}"))),
            0 => drop(self.features.remove(name)),
            1.. => drop(self.features.insert(name.into(), level)),
        }
        Ok(Change::Features)
    }

    fn register_broker(&mut self, registration: &BrokerRegistered) -> Result<Change, ApplyError> {
        if registration.broker.0 < 0 {
            return Err(ApplyError::Impossible(format!("broker {} is registered", registration.broker)));
        }
        self.brokers.insert(registration.broker, Arc::new(registration.clone()));
        Ok(Change::BrokerRegistered(registration.broker))
    }

    fn start_broker(&mut self, broker: BrokerId, starts: i32) -> Result<Change, ApplyError> {
        let before = self.starts(broker);
        if starts <= before {
            return Err(ApplyError::Impossible(format!("start {starts} of broker {broker} follows start {before}")));
        }
        self.starts.insert(broker, starts);
        Ok(Change::BrokerStarted(broker))
    }

    fn create_topic(&mut self, id: TopicId, name: &str, partitions: &[PartitionRun]) -> Result<Change, ApplyError> {
        if self.topics.contains_key(&id) || self.names.contains_key(name) {
            return Err(ApplyError::Exists(format!("topic {name} ({id})")));
        }
        let partitions = PartitionTable::new(self.runs(0, partitions)?);
        let name: Arc<str> = name.into();
        if name.contains(['.', '_']) {
            self.unified_names.insert(name.replace('.', "_").into(), Arc::clone(&name));
        }
        self.partition_count += usize::try_from(partitions.len()).unwrap_or(0);
        self.names.insert(Arc::clone(&name), id);
        self.topics.insert(id, Arc::new(Topic { id, name, partitions, configs: None }));
        Ok(Change::TopicCreated(id))
    }

    fn add_partitions(&mut self, id: TopicId, first: i32, more: &[PartitionRun]) -> Result<Change, ApplyError> {
        let topic = self.topic(id)?;
        let before = topic.partitions.len();
        if first != before {
            return Err(ApplyError::Impossible(format!(
                "topic {} has {before} partitions and gets more from {first} on",
                topic.name
            )));
        }
        let runs = self.runs(first, more)?;
        let partitions = topic.partitions.extended(runs);
        self.partition_count += usize::try_from(partitions.len() - before).unwrap_or(0);
        self.topics.insert(id, Arc::new(Topic { partitions, ..Topic::clone(&topic) }));
        Ok(Change::PartitionsAdded { topic: id, first })
    }

    fn delete_topic(&mut self, id: TopicId) -> Result<Change, ApplyError> {
        let topic = self.topic(id)?;
        self.topics.remove(&id);
        self.names.remove(&topic.name);
        if topic.name.contains(['.', '_']) {
            self.unified_names.remove(topic.name.replace('.', "_").as_str());
        }
        let partitions = topic.partitions.len();
        self.partition_count -= usize::try_from(partitions).unwrap_or(0);
        let first = TopicIdPartition { topic: id, partition: 0 };
        let last = TopicIdPartition { topic: id, partition: i32::MAX };
        let reserved: Vec<_> = self.reserved_offsets.range(first..=last).map(|(tp, _)| *tp).collect();
        for tp in reserved {
            self.reserved_offsets.remove(&tp);
        }
        Ok(Change::TopicDeleted { topic: id, name: Arc::clone(&topic.name), partitions })
    }

    fn change_config(
        &mut self,
        resource: &ConfigResource,
        name: &str,
        value: Option<&str>,
    ) -> Result<Change, ApplyError> {
        match resource {
            ConfigResource::Topic(id) => {
                let mut topic = Topic::clone(&*self.topic(*id)?);
                topic.configs = changed(topic.configs.as_ref(), name, value);
                self.topics.insert(*id, Arc::new(topic));
                Ok(Change::TopicConfigs(*id))
            }
            ConfigResource::Broker(broker) => Ok(self.change_broker_config(Some(*broker), name, value)),
            ConfigResource::BrokerDefault => Ok(self.change_broker_config(None, name, value)),
            ConfigResource::Group(group_id) => {
                let group_id: Arc<str> = group_id.as_str().into();
                match changed(self.group_configs.get(&group_id), name, value) {
                    Some(configs) => drop(self.group_configs.insert(Arc::clone(&group_id), configs)),
                    None => drop(self.group_configs.remove(&group_id)),
                }
                Ok(Change::GroupConfigs(group_id))
            }
        }
    }

    fn change_broker_config(&mut self, broker: Option<BrokerId>, name: &str, value: Option<&str>) -> Change {
        match changed(self.broker_configs.get(&broker), name, value) {
            Some(configs) => drop(self.broker_configs.insert(broker, configs)),
            None => drop(self.broker_configs.remove(&broker)),
        }
        Change::BrokerConfigs(broker)
    }

    fn allocate_producer_ids(&mut self, next: ProducerId) -> Result<Change, ApplyError> {
        if next <= self.next_producer_id {
            return Err(ApplyError::Impossible(format!(
                "producer ids up to {next} are given out after those up to {}",
                self.next_producer_id
            )));
        }
        self.next_producer_id = next;
        Ok(Change::ProducerIds)
    }

    fn reserve_offsets(&mut self, tp: TopicIdPartition, until: Offset) -> Result<Change, ApplyError> {
        let topic = self.topic(tp.topic)?;
        if topic.partitions.get(tp.partition).is_none() {
            return Err(ApplyError::Missing(format!("partition {} of topic {}", tp.partition, topic.name)));
        }
        let before = self.reserved_offset(&tp).unwrap_or(Offset::ZERO);
        if until <= before {
            return Err(ApplyError::Impossible(format!("offsets of {tp} up to {until} are reserved after {before}")));
        }
        self.reserved_offsets.insert(tp, until);
        Ok(Change::OffsetsReserved(tp))
    }

    fn topic(&self, id: TopicId) -> Result<Arc<Topic>, ApplyError> {
        self.topics.get(&id).cloned().ok_or_else(|| ApplyError::Missing(format!("topic {id}")))
    }

    /// The table entries for a record's partitions, numbered from `first`.
    fn runs(&mut self, first: i32, partitions: &[PartitionRun]) -> Result<Vec<Run>, ApplyError> {
        let impossible = |why: &str| Err(ApplyError::Impossible(why.to_owned()));
        // A damaged count must not become a topic of billions of partitions.
        let count: u64 = partitions.iter().map(|run| u64::from(run.count)).sum();
        if count == 0 || count > PARTITIONS_PER_REQUEST_MAX as u64 {
            return Err(ApplyError::Impossible(format!("{count} partitions in one record")));
        }
        let mut end = first;
        let mut runs = Vec::with_capacity(partitions.len());
        for run in partitions {
            let count = i32::try_from(run.count).ok().filter(|count| *count > 0);
            let Some(next) = count.and_then(|count| end.checked_add(count)) else {
                return impossible("a run of partitions is empty or ends beyond the largest partition number");
            };
            let isr = run.isr.as_ref().unwrap_or(&run.replicas);
            if !isr.contains(&run.leader) || isr.iter().any(|broker| !run.replicas.contains(broker)) {
                return impossible("a partition's leader must be in sync and its in-sync replicas must be replicas");
            }
            let Some(epoch_base) = base(run.leader_epoch, self.starts(run.leader)) else {
                return impossible("a leader epoch is negative");
            };
            let set = self.shared(ReplicaSet {
                replicas: run.replicas.as_slice().into(),
                isr: run.isr.as_deref().map(Into::into),
            });
            runs.push(Run { end: next, leader: run.leader, epoch_base, set });
            end = next;
        }
        Ok(runs)
    }

    /// The one copy of a replica set.
    fn shared(&mut self, set: ReplicaSet) -> Arc<ReplicaSet> {
        if let Some((known, ())) = self.replica_sets.get_key_value(&set) {
            return Arc::clone(known);
        }
        let set = Arc::new(set);
        self.replica_sets.insert(Arc::clone(&set), ());
        set
    }
}

/// The epoch less the starts; both are at least zero, so the difference fits.
fn base(epoch: LeaderEpoch, starts: i32) -> Option<i32> {
    (epoch.0 >= 0).then(|| epoch.0 - starts)
}

/// The configs after one was set or removed; `None` when there are none left.
fn changed(configs: Option<&Arc<ConfigMap>>, name: &str, value: Option<&str>) -> Option<Arc<ConfigMap>> {
    let mut configs = configs.map(|configs| ConfigMap::clone(configs)).unwrap_or_default();
    match value {
        Some(value) => drop(configs.insert(name.to_owned(), value.to_owned())),
        None => drop(configs.remove(name)),
    }
    (!configs.is_empty()).then(|| Arc::new(configs))
}
