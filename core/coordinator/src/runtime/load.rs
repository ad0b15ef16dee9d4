//! From a log's batches to a machine's state.

use bytes::Bytes;
use watershed_model::record::{RecordBatch, RecordError};
use watershed_model::{Offset, ProducerEpoch, ProducerId};

use super::{Position, StateMachine, snapshot};

/// Why a coordinator cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// A batch cannot be read.
    #[error("the batch at offset {at} cannot be read: {reason}")]
    Batch {
        /// Its first offset.
        at: Offset,
        /// What is wrong with it.
        reason: String,
    },
    /// A record cannot be read.
    #[error("the record at offset {at} cannot be read: {reason}")]
    Record {
        /// Its offset.
        at: Offset,
        /// What is wrong with it.
        reason: String,
    },
}

/// Loads one machine.
#[derive(Debug)]
pub struct Loader<M> {
    machine: M,
    next: Offset,
    records: u64,
}

impl<M: StateMachine> Loader<M> {
    /// Loads into an empty machine, from the log's start.
    #[must_use]
    pub fn new(machine: M, start: Offset) -> Self {
        Self { machine, next: start, records: 0 }
    }

    /// Begins from a snapshot that was taken at `at`. One that cannot be read leaves the machine half filled: begin again with a
    /// new one, and without it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn snapshot(&mut self, at: Offset, bytes: &Bytes) -> Result<(), String> {
        snapshot::decode(bytes, &mut self.machine)?;
        self.next = self.next.max(at);
        Ok(())
    }

    /// The offset to read from next.
    #[must_use]
    pub fn next(&self) -> Offset {
        self.next
    }

    /// Takes a batch; records below [`Loader::next`] are known already.
    ///
    /// # Errors
    /// [`LoadError`]: the state would be wrong without the record.
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<(), LoadError> {
        let header = &batch.header;
        let base = header.base_offset;
        let bad = |error: RecordError| LoadError::Batch { at: base, reason: error.to_string() };
        let producer = header.is_transactional().then_some((header.producer_id, header.producer_epoch));
        let mut records = batch.records().map_err(bad)?;
        while let Some(record) = records.next().map_err(bad)? {
            let offset = batch.offset_of(&record);
            if offset < self.next {
                continue;
            }
            // Copied, so that what the machine keeps of a record does not hold the whole batch in memory.
            let key = record.key.map(Bytes::copy_from_slice);
            if header.is_control() {
                self.marker(header.producer_id, header.producer_epoch, key.as_ref());
            } else {
                self.record(key, record.value.map(Bytes::copy_from_slice), Position { offset, producer })?;
            }
            self.records += 1;
        }
        self.next = self.next.max(header.next_offset());
        Ok(())
    }

    fn record(&mut self, key: Option<Bytes>, value: Option<Bytes>, position: Position) -> Result<(), LoadError> {
        let at = position.offset;
        let key = key.ok_or_else(|| LoadError::Record { at, reason: "it has no key".to_owned() })?;
        match M::decode(&key, value.as_ref()) {
            Ok(Some(record)) => self.machine.apply(record, position),
            Ok(None) => tracing::debug!(offset = %at, "skipped a record of a kind that this version does not know"),
            Err(reason) => return Err(LoadError::Record { at, reason }),
        }
        Ok(())
    }

    /// A control record's key: version (16 bits), then 0 for abort and 1 for commit (KIP-98). Others mean nothing here.
    fn marker(&mut self, producer: ProducerId, epoch: ProducerEpoch, key: Option<&Bytes>) {
        match key.and_then(|key| key.get(2..4)) {
            Some([0, 0]) => self.machine.end_transaction(producer, epoch, false),
            Some([0, 1]) => self.machine.end_transaction(producer, epoch, true),
            _ => {}
        }
    }

    /// The machine, the offset up to which it is loaded, and how many records were read.
    #[must_use]
    pub fn finish(self) -> (M, Offset, u64) {
        (self.machine, self.next, self.records)
    }
}
