//! What a log does for a topic whose records the broker itself takes to their partitions.
//!
//! Then a partition has two logs: the one that consumers read and an ingress log. Clients append to one of them at a time.

use std::sync::Arc;

use watershed_model::record::{BatchBuilder, BatchHeader, HEADER_BYTES};
use watershed_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use watershed_storage::StorageError;

use super::{Appended, UnifiedLog};
use crate::{LogError, Origin, ValidatedBatch, routed};

impl UnifiedLog {
    /// From here on appends of clients are refused ([`crate::LogError::Diverted`]), or taken again. When this returns, every append
    /// that was taken before has its offsets. Gives the log's end.
    pub fn refuse_clients(&self, refuse: bool) -> Offset {
        let mut state = self.state.lock();
        state.clients_refused = refuse;
        state.end
    }

    /// The offset in the ingress log, which ends at `end`, of the last record that came in through `partition` and was copied to
    /// this log; `None` where there is none.
    #[must_use]
    pub fn copied_from(&self, partition: i32, end: Offset) -> Option<Offset> {
        let told = self.state.lock().producers.last_of(ProducerId::routed(partition))?;
        Some(routed::offset(told, end))
    }

    /// The epoch and the last sequence number of a producer here, if it is known.
    #[must_use]
    pub fn last_of(&self, producer: ProducerId) -> Option<(ProducerEpoch, i32)> {
        self.state.lock().producers.last_of(producer)
    }

    /// Whether all the batches that the producer of this one may ask for again are in this log, where `other` is what it appended
    /// last to the other log of its partition.
    #[must_use]
    pub fn remembers_enough(&self, header: &BatchHeader, other: (ProducerEpoch, i32)) -> bool {
        self.state.lock().producers.remembers_enough(header, other)
    }

    /// Makes everything that was appended so far durable, whatever the flush mode.
    ///
    /// # Errors
    /// What the backend meets.
    pub async fn sync(&self) -> Result<(), StorageError> {
        let saved = {
            let mut state = self.state.lock();
            if state.cutting {
                return Err(StorageError::Gone);
            }
            self.checkpoint(&mut state)?
        };
        saved.await.map(drop)
    }

    /// Lets the log go on at `next`, above its end, without losing what it holds: the offsets between are taken by batches without
    /// records.
    ///
    /// # Errors
    /// As [`UnifiedLog::append_as_leader`].
    pub async fn skip_to(self: &Arc<Self>, next: Offset, epoch: LeaderEpoch) -> Result<(), LogError> {
        while self.end() < next {
            let offsets = (next.0 - self.end().0).min(i64::from(i32::MAX));
            let bytes = BatchBuilder::new().build().map_err(|error| LogError::Corrupt(error.to_string()))?;
            let mut header = BatchHeader::parse(&bytes).map_err(|error| LogError::Corrupt(error.to_string()))?;
            header.last_offset_delta = (offsets - 1) as i32;
            header.crc = header.compute_crc(&[]);
            let (body, origin) = (bytes.slice(HEADER_BYTES..), Origin::Coordinator);
            let batch = ValidatedBatch { header, body, log_append_time: None, origin, uncompressed_bytes: 0 };
            self.append_as_leader(batch, epoch)?.ticket.await?;
        }
        Ok(())
    }

    /// Takes note of what a producer appended last to the other log of its partition: its sequence goes on behind that.
    pub fn adopt(&self, producer: ProducerId, last: (ProducerEpoch, i32)) {
        let now = self.context.clock.now();
        self.state.lock().producers.adopt(producer, last, now);
    }

    /// The batch as it was appended here before, if it is remembered.
    #[must_use]
    pub fn remembered(self: &Arc<Self>, header: &BatchHeader) -> Option<Appended> {
        let original = self.state.lock().producers.remembered(header)?;
        Some(self.duplicate(original))
    }
}
