//! Where a produced batch enters its partition.

use std::sync::Arc;

use watershed_log::{Appended, LogError, Origin, UnifiedLog, ValidatedBatch};
use watershed_model::LeaderEpoch;
use watershed_model::record::BatchHeader;
use watershed_policy::TopicBindings;

use super::Ingress;
use super::phase::Phase;
use crate::Broker;
use crate::partition::Partition;

/// The way into a partition, as it is now.
pub(crate) struct Door {
    /// The log that takes what clients send.
    log: Arc<UnifiedLog>,
    epoch: LeaderEpoch,
    /// The partition's ingress log, where that is the way.
    ingress: Option<Arc<Ingress>>,
    /// The log that took it before, or after, where the partition has two.
    other: Option<Arc<UnifiedLog>>,
}

impl Door {
    /// Finds the way in.
    ///
    /// # Errors
    /// Why there is none now; there will be one in a moment.
    pub(crate) async fn find(
        broker: &Broker,
        partition: &Arc<Partition>,
        bindings: Option<&TopicBindings>,
    ) -> Result<Self, String> {
        let epoch = partition.leader_epoch();
        let routed = bindings.is_some_and(|bindings| bindings.routed.is_some());
        match (partition.topic.routing.phase(), routed) {
            (Phase::Direct, false) => {
                let other = partition.opened_ingress().map(|ingress| Arc::clone(&ingress.log));
                Ok(Self { log: Arc::clone(&partition.log), epoch, ingress: None, other })
            }
            (Phase::Routed, true) => {
                let ingress = broker.replicas().ingress(partition).await.map_err(|error| error.to_string())?;
                let (log, other) = (Arc::clone(&ingress.log), Some(Arc::clone(&partition.log)));
                Ok(Self { log, epoch, ingress: Some(ingress), other })
            }
            _ => Err("the topic changes how its records enter it".to_owned()),
        }
    }

    /// What would be said of a batch by its producer and sequence alone: that it is there already, or (`None`) that nothing speaks
    /// against it now.
    ///
    /// # Errors
    /// As [`UnifiedLog::find_duplicate`].
    pub(crate) fn find_duplicate(&self, header: &BatchHeader, origin: Origin) -> Result<Option<Appended>, LogError> {
        if let Some(appended) = self.seen_elsewhere(header) {
            return Ok(Some(appended));
        }
        self.log.find_duplicate(header, origin, self.epoch)
    }

    /// A producer that wrote to the partition's other log goes on here: what it wrote there is known here, until as many of its
    /// batches are here as it may ask for again.
    fn seen_elsewhere(&self, header: &BatchHeader) -> Option<Appended> {
        let other = self.other.as_ref().filter(|_| header.has_producer_id())?;
        let last = other.last_of(header.producer_id)?;
        if self.log.remembers_enough(header, last) {
            return None;
        }
        if let Some(appended) = other.remembered(header) {
            return Some(appended);
        }
        self.log.adopt(header.producer_id, last);
        None
    }

    /// Whether the partition has two logs, so that a duplicate has to be looked for before the append.
    pub(crate) fn has_two_logs(&self) -> bool {
        self.other.is_some()
    }

    /// Whether there is room for what comes in.
    ///
    /// # Errors
    /// Why there is none now.
    pub(crate) fn admits(&self) -> Result<(), String> {
        let Some(ingress) = &self.ingress else { return Ok(()) };
        let (waiting, max) = (ingress.backlog_bytes(), ingress.topic.routing.backlog_max());
        if waiting < max {
            return Ok(());
        }
        Err(format!(
            "{waiting} bytes wait to be taken to their partitions, watershed.partitioner.backlog.bytes allows {max}"
        ))
    }

    /// Whether what enters here is given to a router.
    pub(crate) fn is_ingress(&self) -> bool {
        self.ingress.is_some()
    }

    /// Appends a batch; `plan` is the partition of each of its records, where a router is to take them there.
    ///
    /// # Errors
    /// As [`UnifiedLog::append_as_leader`].
    pub(crate) fn append(&self, batch: ValidatedBatch, plan: &[u32]) -> Result<Appended, LogError> {
        match &self.ingress {
            Some(ingress) => ingress.append(&batch, plan),
            None => self.log.append_as_leader(batch, self.epoch),
        }
    }
}
