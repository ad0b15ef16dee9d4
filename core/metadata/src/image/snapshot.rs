//! From an image back to records that give it.
//!
//! A snapshot is records like any others: whoever can apply a batch can load one. They come one at a time, so
//! that writing or sending a snapshot never holds a second copy of the metadata in memory.

use watershed_model::limits::PARTITIONS_PER_REQUEST_MAX;

use super::partitions::Run;
use super::{MetadataImage, Topic};
use crate::{ConfigResource, MetadataRecord, PartitionRun};

impl MetadataImage {
    /// Records that, applied to an empty image, give this one.
    ///
    /// Broker starts come before topics, because a stored leader epoch counts from them.
    pub fn records(&self) -> impl Iterator<Item = MetadataRecord> {
        let cluster = self.cluster_id.map(|cluster_id| MetadataRecord::ClusterCreated { cluster_id });
        let features = self
            .features
            .iter()
            .map(|(name, level)| MetadataRecord::FeatureFinalized { name: name.to_string(), level: *level });
        let brokers = self.brokers.values().map(|broker| MetadataRecord::BrokerRegistered((**broker).clone()));
        let starts = self
            .starts
            .iter()
            .map(|(broker, starts)| MetadataRecord::BrokerStarted { broker: *broker, starts: *starts });
        let broker_configs = self.broker_configs.iter().flat_map(|(broker, configs)| {
            let resource = broker.map_or(ConfigResource::BrokerDefault, ConfigResource::Broker);
            configs.iter().map(move |(name, value)| config(resource.clone(), name, value))
        });
        let group_configs = self.group_configs.iter().flat_map(|(group_id, configs)| {
            let resource = || ConfigResource::Group(group_id.to_string());
            configs.iter().map(move |(name, value)| config(resource(), name, value))
        });
        let producer_ids = (self.next_producer_id.0 > 0).then_some(MetadataRecord::ProducerIdsAllocated {
            broker: watershed_model::BrokerId(-1),
            next: self.next_producer_id,
        });
        let topics = self.topics().flat_map(|topic| self.topic_records(topic));
        let reserved = self.reserved_offsets.iter().map(|(tp, until)| MetadataRecord::offsets_reserved(*tp, *until));
        cluster
            .into_iter()
            .chain(features)
            .chain(brokers)
            .chain(starts)
            .chain(broker_configs)
            .chain(group_configs)
            .chain(producer_ids)
            .chain(topics)
            .chain(reserved)
    }

    /// A topic's records: its creation, more partitions where one record cannot hold them, its configs.
    fn topic_records<'a>(&'a self, topic: &'a Topic) -> impl Iterator<Item = MetadataRecord> + 'a {
        let mut records = Vec::new();
        let mut pending: Vec<PartitionRun> = Vec::new();
        let (mut first, mut done) = (0, 0);
        let max = i32::try_from(PARTITIONS_PER_REQUEST_MAX).expect("the limit is small");
        for run in topic.partitions.runs() {
            while done < run.end {
                let upto = run.end.min(first + max);
                pending.push(self.run_record(run, (upto - done).unsigned_abs()));
                done = upto;
                if done == first + max || done == topic.partitions.len() {
                    let partitions = std::mem::take(&mut pending);
                    records.push(if first == 0 {
                        MetadataRecord::TopicCreated { topic: topic.id, name: topic.name.to_string(), partitions }
                    } else {
                        MetadataRecord::PartitionsAdded { topic: topic.id, first, partitions }
                    });
                    first = done;
                }
            }
        }
        let resource = ConfigResource::Topic(topic.id);
        records
            .into_iter()
            .chain(topic.configs().iter().map(move |(name, value)| config(resource.clone(), name, value)))
    }

    fn run_record(&self, run: &Run, count: u32) -> PartitionRun {
        PartitionRun {
            count,
            replicas: run.set.replicas.to_vec(),
            isr: run.set.isr.as_deref().map(<[_]>::to_vec),
            leader: run.leader,
            leader_epoch: run.view(self.starts(run.leader)).leader_epoch,
        }
    }
}

fn config(resource: ConfigResource, name: &str, value: &str) -> MetadataRecord {
    MetadataRecord::ConfigChanged { resource, name: name.to_owned(), value: Some(value.to_owned()) }
}
