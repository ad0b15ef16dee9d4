//! Topics and partitions: create, grow, delete.

use watershed_metadata::configs::internal_topic_configs;
use watershed_metadata::{ConfigResource, MetadataImage, MetadataRecord, PartitionRun, is_internal_topic};
use watershed_model::limits::{PARTITIONS_PER_REQUEST_MAX, TOPIC_NAME_BYTES_MAX};
use watershed_model::{BrokerId, LeaderEpoch, TopicId};

use super::placement::{self, check_assignment};
use super::{Controller, NewTopicId, Outcome, Work, configs, duplicates, too_many};
use crate::ControllerError::{
    InvalidPartitions, InvalidReplicaAssignment, InvalidReplicationFactor, InvalidRequest, InvalidTopic,
    PolicyViolation, TopicAlreadyExists, UnknownTopic, UnknownTopicId,
};
use crate::{ControllerError, CreatePartitions, CreateTopic, CreatedTopic, DeletedTopic, TopicRef};

/// One reply per item of a request.
type Replies<T> = Vec<Result<T, ControllerError>>;

/// The topic Kafka keeps its own metadata in: clients may not have one of that name.
const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

impl Controller {
    /// Creates topics (CreateTopics).
    #[must_use]
    pub fn create_topics(
        &self,
        image: &MetadataImage,
        topics: &[CreateTopic],
        validate_only: bool,
        new_id: NewTopicId<'_>,
    ) -> Outcome<Replies<CreatedTopic>> {
        let default_partitions = self.config.settings().num_partitions;
        let wanted: u64 = topics.iter().map(|topic| partitions_wanted(topic, default_partitions)).sum();
        if wanted > PARTITIONS_PER_REQUEST_MAX as u64 {
            let error = PolicyViolation(format!(
                "Excessively large number of partitions per request: {wanted} are asked for, \
                 {PARTITIONS_PER_REQUEST_MAX} are allowed."
            ));
            return Work::refused(topics.len(), error);
        }
        let changes = topics.iter().map(|topic| 1 + topic.configs.len()).sum();
        if let Some(error) = too_many(changes) {
            return Work::refused(topics.len(), error);
        }
        let duplicate = duplicates(topics, |topic| topic.name.as_str());
        let mut work = Work::new(image);
        let replies = topics
            .iter()
            .zip(duplicate)
            .map(|(topic, duplicate)| match duplicate {
                true => Err(InvalidRequest("Duplicate topic name.".to_owned())),
                false => self.create_topic(&mut work, topic, new_id),
            })
            .collect();
        work.finish(replies, validate_only)
    }

    fn create_topic(
        &self,
        work: &mut Work,
        topic: &CreateTopic,
        new_id: NewTopicId<'_>,
    ) -> Result<CreatedTopic, ControllerError> {
        if work.image.topic_by_name(&topic.name).is_some() {
            return Err(TopicAlreadyExists(topic.name.clone()));
        }
        if topic.name == CLUSTER_METADATA_TOPIC {
            return Err(InvalidRequest(format!("Creation of internal topic {CLUSTER_METADATA_TOPIC} is prohibited.")));
        }
        check_topic_name(&topic.name)?;
        if let Some(other) = work.image.colliding_topic(&topic.name) {
            return Err(InvalidTopic(format!("Topic '{}' collides with existing topic: {other}", topic.name)));
        }
        let configs = self.creation_configs(&work.image, topic)?;
        let id = loop {
            let id = new_id();
            if work.image.topic_by_id(&id).is_none() && !id.is_zero() {
                break id;
            }
        };
        let partitions = match topic.assignments.is_empty() {
            true => self.place(&work.image, topic, id)?,
            false => assigned(&work.image, topic)?,
        };
        let created = CreatedTopic {
            topic: id,
            partitions: partitions.iter().map(|run| i32::try_from(run.count).unwrap_or(i32::MAX)).sum(),
            replication_factor: partitions
                .first()
                .map_or(0, |run| i16::try_from(run.replicas.len()).unwrap_or(i16::MAX)),
        };
        work.emit(MetadataRecord::TopicCreated { topic: id, name: topic.name.clone(), partitions });
        for (name, value) in configs {
            let resource = ConfigResource::Topic(id);
            work.emit(MetadataRecord::ConfigChanged { resource, name, value: Some(value) });
        }
        Ok(created)
    }

    /// Partitions where the controller sees fit.
    fn place(
        &self,
        image: &MetadataImage,
        topic: &CreateTopic,
        id: TopicId,
    ) -> Result<Vec<PartitionRun>, ControllerError> {
        if topic.replication_factor < -1 || topic.replication_factor == 0 {
            return Err(InvalidReplicationFactor(
                "Replication factor must be larger than 0, or -1 to use the default value.".to_owned(),
            ));
        }
        if topic.partitions < -1 || topic.partitions == 0 {
            return Err(InvalidPartitions("Number of partitions was set to an invalid non-positive value.".to_owned()));
        }
        let settings = self.config.settings();
        let partitions = if topic.partitions == -1 { settings.num_partitions } else { topic.partitions };
        let factor = match topic.replication_factor {
            -1 => settings.default_replication_factor,
            factor => factor,
        };
        placement::place(image, id, 0, partitions, factor)
    }

    /// Adds partitions to topics (CreatePartitions).
    #[must_use]
    pub fn create_partitions(
        &self,
        image: &MetadataImage,
        topics: &[CreatePartitions],
        validate_only: bool,
    ) -> Outcome<Replies<()>> {
        if let Some(error) = too_many(topics.len()) {
            return Work::refused(topics.len(), error);
        }
        let duplicate = duplicates(topics, |topic| topic.name.as_str());
        let mut work = Work::new(image);
        let mut budget = PARTITIONS_PER_REQUEST_MAX;
        let replies = topics
            .iter()
            .zip(duplicate)
            .map(|(topic, duplicate)| match duplicate {
                true => Err(InvalidRequest("Duplicate topic name.".to_owned())),
                false => add_partitions(&mut work, topic, &mut budget),
            })
            .collect();
        work.finish(replies, validate_only)
    }

    /// Deletes topics (DeleteTopics).
    #[must_use]
    pub fn delete_topics(&self, image: &MetadataImage, topics: &[TopicRef]) -> Outcome<Replies<DeletedTopic>> {
        if let Some(error) = too_many(topics.len()) {
            return Work::refused(topics.len(), error);
        }
        let find = |topic: &TopicRef| match topic {
            TopicRef::Name(name) => image.topic_by_name(name),
            TopicRef::Id(id) => image.topic_by_id(id),
        };
        // A topic may be named twice in two ways: by name and by id.
        let duplicate = duplicates(topics, |topic| find(topic).map_or_else(|| topic.clone(), |t| TopicRef::Id(t.id())));
        let mut work = Work::new(image);
        let replies = topics
            .iter()
            .zip(duplicate)
            .map(|(topic, duplicate)| {
                let found = match (duplicate, topic, find(topic)) {
                    (true, TopicRef::Name(_), _) => return Err(InvalidRequest("Duplicate topic name.".to_owned())),
                    (true, TopicRef::Id(_), _) => return Err(InvalidRequest("Duplicate topic id.".to_owned())),
                    (false, TopicRef::Name(name), None) => return Err(UnknownTopic(name.clone())),
                    (false, TopicRef::Id(id), None) => return Err(UnknownTopicId(*id)),
                    (false, _, Some(found)) => found,
                };
                work.emit(MetadataRecord::TopicDeleted { topic: found.id() });
                Ok(DeletedTopic { topic: found.id(), name: found.name().to_string() })
            })
            .collect();
        work.finish(replies, false)
    }

    fn creation_configs(
        &self,
        image: &MetadataImage,
        topic: &CreateTopic,
    ) -> Result<watershed_metadata::ConfigMap, ControllerError> {
        let nulls: Vec<&str> =
            topic.configs.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name.as_str()).collect();
        if !nulls.is_empty() {
            return Err(ControllerError::InvalidConfig(format!(
                "Null value not supported for topic configs: {}",
                nulls.join(",")
            )));
        }
        let mut all = topic.configs.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
        configs::check_sizes(&all)?;
        let broker = self.broker_config(image)?;
        if is_internal_topic(&topic.name) {
            configs::keep(&internal_topic_configs(&broker), &mut all)?;
        }
        configs::check_topic(&broker, &all)?;
        Ok(all)
    }
}

/// How many partitions a request for a topic asks for; nonsense counts as none, it is refused later.
fn partitions_wanted(topic: &CreateTopic, default: i32) -> u64 {
    match (topic.assignments.len(), topic.partitions) {
        (0, -1) => u64::try_from(default).unwrap_or(0),
        (0, partitions) => u64::try_from(partitions).unwrap_or(0),
        (assignments, _) => assignments as u64,
    }
}

/// The partitions of a topic whose replicas the client named.
fn assigned(image: &MetadataImage, topic: &CreateTopic) -> Result<Vec<PartitionRun>, ControllerError> {
    if topic.replication_factor != -1 {
        return Err(InvalidRequest(
            "A manual partition assignment was specified, but replication factor was not set to -1.".to_owned(),
        ));
    }
    if topic.partitions != -1 {
        return Err(InvalidRequest(
            "A manual partition assignment was specified, but numPartitions was not set to -1.".to_owned(),
        ));
    }
    let mut assignments: Vec<&(i32, Vec<BrokerId>)> = topic.assignments.iter().collect();
    assignments.sort_by_key(|(partition, _)| *partition);
    if let Some(pair) = assignments.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(InvalidReplicaAssignment(format!(
            "Found multiple manual partition assignments for partition {}",
            pair[0].0
        )));
    }
    let mut factor = None;
    let mut runs = Vec::with_capacity(assignments.len());
    for (expected, (partition, replicas)) in (0..).zip(assignments) {
        check_assignment(image, replicas, factor)?;
        factor = Some(replicas.len());
        if *partition != expected {
            return Err(InvalidReplicaAssignment(
                "partitions should be a consecutive 0-based integer sequence".to_owned(),
            ));
        }
        placement::push(&mut runs, replicas.clone());
    }
    Ok(runs)
}

fn add_partitions(work: &mut Work, request: &CreatePartitions, budget: &mut usize) -> Result<(), ControllerError> {
    let topic = work.image.topic_by_name(&request.name).ok_or_else(|| UnknownTopic(request.name.clone()))?;
    let (id, before) = (topic.id(), topic.partition_count());
    if request.count == before {
        return Err(InvalidPartitions(format!("Topic already has {before} partition(s).")));
    }
    if request.count < before {
        return Err(InvalidPartitions(format!(
            "The topic {} currently has {before} partition(s); {} would not be an increase.",
            request.name, request.count
        )));
    }
    let additional = (request.count - before).unsigned_abs() as usize;
    if let Some(assignments) = &request.assignments
        && assignments.len() != additional
    {
        return Err(InvalidReplicaAssignment(format!(
            "Attempted to add {additional} additional partition(s), but only {} assignment(s) were specified.",
            assignments.len()
        )));
    }
    if additional > *budget {
        return Err(PolicyViolation(format!(
            "Excessively large number of partitions per request: at most {PARTITIONS_PER_REQUEST_MAX} can be added."
        )));
    }
    let factor = work.image.partition(&id, 0).map_or(0, |partition| partition.replicas.len());
    let partitions = match &request.assignments {
        Some(assignments) => {
            let mut runs = Vec::with_capacity(assignments.len());
            for replicas in assignments {
                check_assignment(&work.image, replicas, Some(factor))?;
                placement::push(&mut runs, replicas.clone());
            }
            runs
        }
        None => {
            let factor = i16::try_from(factor).unwrap_or(i16::MAX);
            placement::place(&work.image, id, before, request.count - before, factor)?
        }
    };
    *budget -= additional;
    work.emit(MetadataRecord::PartitionsAdded { topic: id, first: before, partitions });
    Ok(())
}

/// Whether a topic may have this name: Kafka's alphabet and length, and not the name of its metadata log.
///
/// # Errors
///
/// [`ControllerError::InvalidTopic`].
pub fn check_topic_name(name: &str) -> Result<(), ControllerError> {
    let reason = if name.is_empty() {
        "the empty string is not allowed".to_owned()
    } else if name == "." || name == ".." {
        format!("'{name}' is not allowed")
    } else if name.len() > TOPIC_NAME_BYTES_MAX {
        format!("the length of '{}…' is longer than the max allowed length {TOPIC_NAME_BYTES_MAX}", shortened(name))
    } else if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
    } else {
        return Ok(());
    };
    Err(InvalidTopic(format!("Topic name is invalid: {reason}")))
}

/// The beginning of a name that is too long to repeat.
fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

/// A run of one partition on these brokers, led by the first.
pub(super) fn partition(replicas: Vec<BrokerId>) -> PartitionRun {
    let leader = replicas.first().copied().unwrap_or_default();
    PartitionRun { count: 1, replicas, isr: None, leader, leader_epoch: LeaderEpoch(0) }
}
