//! What a log promises, on the memory backend, and on one whose promises wait for the test.
#![allow(clippy::unwrap_used)]

mod ends;
mod held;
mod model;
mod policy;
mod promises;
mod reading;
mod restart;
mod routing;
mod vacant;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use watershed_model::record::{BatchBuilder, NewRecord, OwnedRecord, ProducerSequence, RecordBatch, batches};
use watershed_model::{
    LeaderEpoch, ManualClock, Offset, Piece, ProducerEpoch, ProducerId, Timestamp, TopicId, TopicIdPartition,
};
use watershed_storage::{Blob, LogStorage, StorageError};
use watershed_storage_memory::MemoryStorage;

use super::*;
use crate::{LogConfig, LogError, Origin, ValidatedBatch, validate};

const CLIENT: Origin = Origin::Client { produce_version: 12 };
const NOW: Timestamp = Timestamp(1_700_000_000_000);
const EPOCH: LeaderEpoch = LeaderEpoch(3);
const TP: TopicIdPartition = TopicIdPartition { topic: TopicId([7; 16]), partition: 0 };

/// One partition's log with its clock and its storage, which outlives it.
struct Bench<S: LogStorage> {
    clock: Arc<ManualClock>,
    storage: S,
    config: LogConfig,
}

fn memory(config: LogConfig) -> Bench<MemoryStorage> {
    let clock = Arc::new(ManualClock::at(NOW));
    Bench { storage: MemoryStorage::new(clock.clone(), None), clock, config }
}

fn held(config: LogConfig) -> Bench<held::HeldStorage> {
    let clock = Arc::new(ManualClock::at(NOW));
    Bench { storage: held::HeldStorage::new(clock.clone()), clock, config }
}

impl<S: LogStorage> Bench<S> {
    async fn open(&self) -> Arc<UnifiedLog> {
        self.opened().await.log
    }

    async fn opened(&self) -> Opened {
        let context = LogContext { clock: self.clock.clone() };
        UnifiedLog::open(&self.storage, TP, self.config.clone(), context).await.unwrap()
    }

    fn advance_ms(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }
}

/// A batch of one record a timestamp, each with a value of 100 bytes.
fn batch_at(timestamps: &[i64], producer: ProducerSequence) -> Bytes {
    let mut builder = BatchBuilder::new().producer(producer);
    for t in timestamps {
        let record = NewRecord { key: Some(b"k"), value: Some(&[b'v'; 100]), headers: &[] };
        builder.push(Timestamp(*t), record);
    }
    builder.build().unwrap()
}

fn producer(id: i64, epoch: i16, sequence: i32) -> ProducerSequence {
    ProducerSequence { id: ProducerId(id), epoch: ProducerEpoch(epoch), base_sequence: sequence }
}

fn validated(log: &UnifiedLog, bytes: Bytes) -> ValidatedBatch {
    validate(bytes, &log.config(), CLIENT, NOW).unwrap()
}

fn append(log: &Arc<UnifiedLog>, records: usize) -> Appended {
    append_at(log, &vec![NOW.0; records])
}

fn append_at(log: &Arc<UnifiedLog>, timestamps: &[i64]) -> Appended {
    log.append_as_leader(validated(log, batch_at(timestamps, ProducerSequence::NONE)), EPOCH).unwrap()
}

fn append_as(log: &Arc<UnifiedLog>, records: usize, who: ProducerSequence) -> Result<Appended, LogError> {
    log.append_as_leader(validated(log, batch_at(&vec![NOW.0; records], who)), EPOCH)
}

async fn read_batches(log: &UnifiedLog, from: Offset, bound: Bound, max: u32) -> Vec<RecordBatch> {
    let pieces = log.read(from, bound, max, true).unwrap().pieces().await.unwrap();
    let all: Vec<u8> = pieces
        .iter()
        .flat_map(|piece| match piece {
            Piece::Bytes(bytes) => bytes.to_vec(),
            Piece::File { .. } => panic!("memory has no files"),
        })
        .collect();
    batches(all.into()).collect::<Result<_, _>>().unwrap()
}

async fn read_records(log: &UnifiedLog, from: Offset, bound: Bound) -> Vec<OwnedRecord> {
    let batches = read_batches(log, from, bound, u32::MAX).await;
    batches.iter().flat_map(|b| b.owned_records().unwrap()).filter(|r| r.offset >= from).collect()
}

/// Lets spawned tasks run.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
