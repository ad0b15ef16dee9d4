//! Brokers: registration and what is handed out to them in blocks.

use watershed_metadata::{BrokerRegistered, MetadataImage, MetadataRecord};
use watershed_model::limits::PRODUCER_IDS_PER_BLOCK;
use watershed_model::{BrokerId, Offset, ProducerId, TopicIdPartition};

use super::{Controller, Outcome, Work};
use crate::{ControllerError, ProducerIdBlock, RegisterBroker};

impl Controller {
    /// Registers a broker; a new incarnation of it also raises the leader epoch of every partition it leads, so
    /// that nobody mistakes its log's end for that of the process before. The reply is the broker's epoch.
    ///
    /// Repeating a registration is harmless: the same incarnation starts once.
    #[must_use]
    pub fn register_broker(
        &self,
        image: &MetadataImage,
        request: &RegisterBroker,
    ) -> Outcome<Result<i64, ControllerError>> {
        let mut work = Work::new(image);
        let reply = register(&mut work, request);
        work.finish(reply, false)
    }

    /// Gives a broker a block of producer ids (AllocateProducerIds, KIP-730).
    #[must_use]
    pub fn allocate_producer_ids(
        &self,
        image: &MetadataImage,
        broker: BrokerId,
        broker_epoch: i64,
    ) -> Outcome<Result<ProducerIdBlock, ControllerError>> {
        let mut work = Work::new(image);
        let reply = check_epoch(image, broker, broker_epoch).and_then(|()| {
            let first = image.next_producer_id();
            let next = first.0.checked_add(i64::from(PRODUCER_IDS_PER_BLOCK));
            let next = next.map(ProducerId).filter(|next| *next <= ProducerId::ROUTED);
            let next = next.ok_or(ControllerError::Exhausted("Producer ids"))?;
            work.emit(MetadataRecord::ProducerIdsAllocated { broker, next });
            Ok(ProducerIdBlock { first, len: PRODUCER_IDS_PER_BLOCK })
        });
        work.finish(reply, false)
    }

    /// Reserves offsets of partitions in volatile storage: after a restart no offset below is given out again.
    /// A reservation that is there already, or partitions that are gone meanwhile, need nothing.
    #[must_use]
    pub fn reserve_offsets(&self, image: &MetadataImage, until: &[(TopicIdPartition, Offset)]) -> Outcome<()> {
        let mut work = Work::new(image);
        for (tp, until) in until {
            let reserved = work.image.reserved_offset(tp).unwrap_or(Offset::ZERO);
            if *until > reserved && work.image.partition(&tp.topic, tp.partition).is_some() {
                work.emit(MetadataRecord::offsets_reserved(*tp, *until));
            }
        }
        work.finish((), false)
    }
}

fn register(work: &mut Work, request: &RegisterBroker) -> Result<i64, ControllerError> {
    let broker = request.broker;
    if broker.0 < 0 {
        return Err(ControllerError::InvalidRequest(format!("A broker's id cannot be negative: {broker}.")));
    }
    if request.listeners.is_empty() {
        return Err(ControllerError::InvalidRequest(format!("Broker {broker} registers without a listener.")));
    }
    for (name, level) in work.image.features() {
        let range = request.features.iter().find(|range| range.name == name);
        if !range.is_some_and(|range| (range.min..=range.max).contains(&level)) {
            return Err(ControllerError::InvalidRequest(format!(
                "Unable to register broker {broker}: the cluster runs {name} at level {level}, which it does not support."
            )));
        }
    }
    let registration = BrokerRegistered {
        broker,
        incarnation: request.incarnation,
        listeners: request.listeners.clone(),
        rack: request.rack.clone(),
        features: request.features.clone(),
    };
    let known = work.image.broker(broker);
    let started = known.is_some_and(|known| known.incarnation == registration.incarnation);
    if known != Some(&registration) {
        work.emit(MetadataRecord::BrokerRegistered(registration));
    }
    if !started {
        let starts = i32::try_from(work.image.broker_epoch(broker)).ok().and_then(|starts| starts.checked_add(1));
        let starts = starts.ok_or(ControllerError::Exhausted("The epochs of a broker"))?;
        work.emit(MetadataRecord::BrokerStarted { broker, starts });
    }
    Ok(work.image.broker_epoch(broker))
}

/// Whether the asking broker is the one that is registered.
fn check_epoch(image: &MetadataImage, broker: BrokerId, given: i64) -> Result<(), ControllerError> {
    if image.broker(broker).is_none() {
        return Err(ControllerError::UnknownBroker(broker));
    }
    let known = image.broker_epoch(broker);
    if given != known {
        return Err(ControllerError::StaleBrokerEpoch { broker, given, known });
    }
    Ok(())
}
