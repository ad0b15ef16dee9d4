//! One partition that this broker leads: its log, its epoch, and what is kept per partition beside them.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use watershed_log::UnifiedLog;
use watershed_model::{LeaderEpoch, Offset, TopicIdPartition};
use watershed_protocol::ErrorCode;

use crate::Broker;
use crate::admission::Held;
use crate::routing::Ingress;
use crate::topic::TopicEntry;

/// Offsets of a volatile partition are reserved in the metadata in blocks of this many, so that after a restart its
/// log goes on above every offset it ever gave out.
const RESERVED_BLOCK: i64 = 1 << 20;

/// A partition, open.
pub(crate) struct Partition {
    pub(crate) tp: TopicIdPartition,
    pub(crate) topic: Arc<TopicEntry>,
    pub(crate) log: Arc<UnifiedLog>,
    leader_epoch: LeaderEpoch,
    /// Producers that wait for a batch that was refused for the moment.
    pub(crate) held: Held,
    /// Where records come in that the broker takes to their partitions; only where it does, or did.
    ingress: OnceLock<Arc<Ingress>>,
    /// One caller opens it.
    opening: tokio::sync::Mutex<()>,
    /// For storage that forgets: offsets below this may be given out.
    reserved: Option<Reservation>,
}

struct Reservation {
    until: AtomicI64,
    /// One caller extends at a time.
    extending: tokio::sync::Mutex<()>,
}

impl Partition {
    pub(crate) fn new(
        tp: TopicIdPartition,
        topic: Arc<TopicEntry>,
        log: Arc<UnifiedLog>,
        leader_epoch: LeaderEpoch,
        reserved: Option<Offset>,
    ) -> Self {
        let reserved = reserved
            .map(|until| Reservation { until: AtomicI64::new(until.0), extending: tokio::sync::Mutex::default() });
        let (held, ingress, opening) = Default::default();
        Self { tp, topic, log, leader_epoch, held, ingress, opening, reserved }
    }

    /// The ingress log, if it is open.
    pub(crate) fn opened_ingress(&self) -> Option<&Arc<Ingress>> {
        self.ingress.get()
    }

    /// The ingress log, opened by `open` if need be.
    ///
    /// # Errors
    /// Those of `open`.
    pub(crate) async fn ingress<E>(
        &self,
        open: impl Future<Output = Result<Arc<Ingress>, E>>,
    ) -> Result<Arc<Ingress>, E> {
        if let Some(ingress) = self.ingress.get() {
            return Ok(Arc::clone(ingress));
        }
        let _one = self.opening.lock().await;
        if let Some(ingress) = self.ingress.get() {
            return Ok(Arc::clone(ingress));
        }
        let ingress = open.await?;
        self.topic.routing.settle(self, || {
            // We are the one who opens it.
            let _ = self.ingress.set(Arc::clone(&ingress));
        });
        Ok(ingress)
    }

    /// The epoch of this leadership.
    pub(crate) fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// Compares the epoch that a client believes in with ours (KIP-320); -1 means that it does not say.
    pub(crate) fn check_leader_epoch(&self, claimed: i32) -> Result<(), ErrorCode> {
        let own = self.leader_epoch.0;
        match claimed {
            -1 => Ok(()),
            epoch if epoch < own => Err(ErrorCode::FencedLeaderEpoch),
            epoch if epoch > own => Err(ErrorCode::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }

    /// Makes sure that the offsets of `records` more records may be given out.
    pub(crate) async fn reserve(&self, broker: &Broker, records: i64) -> Result<(), ErrorCode> {
        let Some(reservation) = &self.reserved else { return Ok(()) };
        // Other appends may be under way, so half a block is kept in hand.
        let needed = |log: &UnifiedLog| log.end().0.saturating_add(records).saturating_add(RESERVED_BLOCK / 2);
        if needed(&self.log) <= reservation.until.load(Ordering::Acquire) {
            return Ok(());
        }
        let _one = reservation.extending.lock().await;
        let until = needed(&self.log);
        if until <= reservation.until.load(Ordering::Acquire) {
            return Ok(());
        }
        let until = until + RESERVED_BLOCK;
        broker.controller().reserve_offsets(vec![(self.tp, Offset(until))]).await.map_err(|error| {
            tracing::warn!(partition = %self.tp, %error, "cannot reserve offsets");
            ErrorCode::KafkaStorageError
        })?;
        reservation.until.store(until, Ordering::Release);
        Ok(())
    }
}
