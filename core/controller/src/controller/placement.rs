//! Which brokers hold a new partition.
//!
//! Brokers are taken in a circle in which racks alternate; each partition starts one broker further, and each
//! time round the followers shift by one, so that leaders and followers spread evenly and replicas of a
//! partition lie in different racks where there are enough. The circle's start comes from the topic's random id.

use std::collections::BTreeMap;

use watershed_metadata::{MetadataImage, PartitionRun};
use watershed_model::{BrokerId, TopicId};

use super::topics::partition;
use crate::ControllerError;
use crate::ControllerError::{InvalidReplicaAssignment, InvalidReplicationFactor};

/// Places `count` partitions, numbered from `first`, with `factor` replicas each.
pub(super) fn place(
    image: &MetadataImage,
    topic: TopicId,
    first: i32,
    count: i32,
    factor: i16,
) -> Result<Vec<PartitionRun>, ControllerError> {
    let circle = circle(image);
    let replicas = usize::try_from(factor).unwrap_or(0);
    if replicas == 0 || replicas > circle.len() {
        return Err(InvalidReplicationFactor(format!(
            "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot be \
             reached because only {} broker(s) are registered.",
            circle.len()
        )));
    }
    let seed = topic.0.iter().fold(0usize, |seed, byte| seed.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let mut runs = Vec::new();
    for number in first..first + count {
        let number = usize::try_from(number).expect("partition numbers are not negative");
        let leader = (seed % circle.len() + number) % circle.len();
        let shift = if circle.len() > 1 { number / circle.len() % (circle.len() - 1) } else { 0 };
        let others = (1..replicas).map(|i| (leader + 1 + (i - 1 + shift) % (circle.len() - 1)) % circle.len());
        push(&mut runs, std::iter::once(leader).chain(others).map(|i| circle[i]).collect());
    }
    Ok(runs)
}

/// Adds a partition, to the last run if it is alike.
pub(super) fn push(runs: &mut Vec<PartitionRun>, replicas: Vec<BrokerId>) {
    match runs.last_mut() {
        Some(last) if last.replicas == replicas => last.count += 1,
        _ => runs.push(partition(replicas)),
    }
}

/// All brokers, racks in turn.
fn circle(image: &MetadataImage) -> Vec<BrokerId> {
    let mut racks: BTreeMap<Option<&str>, Vec<BrokerId>> = BTreeMap::new();
    for broker in image.brokers() {
        racks.entry(broker.rack.as_deref()).or_default().push(broker.broker);
    }
    let longest = racks.values().map(Vec::len).max().unwrap_or(0);
    (0..longest).flat_map(|i| racks.values().filter_map(move |rack| rack.get(i).copied())).collect()
}

/// Whether these replicas, named by a client, are possible; `factor` is how many the topic's others have.
pub(super) fn check_assignment(
    image: &MetadataImage,
    replicas: &[BrokerId],
    factor: Option<usize>,
) -> Result<(), ControllerError> {
    let error =
        |text: String| Err(InvalidReplicaAssignment(format!("The manual partition assignment includes {text}")));
    if replicas.is_empty() {
        return error("an empty replica list.".to_owned());
    }
    let mut sorted = replicas.to_vec();
    sorted.sort_unstable();
    for (index, broker) in sorted.iter().enumerate() {
        if image.broker(*broker).is_none() {
            return error(format!("broker {broker}, but no such broker is registered."));
        }
        if index > 0 && sorted[index - 1] == *broker {
            return error(format!("the broker {broker} more than once."));
        }
    }
    match factor {
        Some(factor) if factor != replicas.len() => error(format!(
            "a partition with {} replica(s), but this is not consistent with previous partitions, which have {factor} \
             replica(s).",
            replicas.len()
        )),
        _ => Ok(()),
    }
}
