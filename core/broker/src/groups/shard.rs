//! One group coordinator with its ports: the log of its partition, its timers, threads that may be held.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use watershed_coordinator::groups::{GroupCoordinator, Question};
use watershed_coordinator::runtime::{Coordinator, CoordinatorLog, Host, NewBatch};
use watershed_log::{Mark, Origin, UnifiedLog, ValidatedBatch};
use watershed_model::record::{BatchBuilder, BatchHeader, Compression, HEADER_BYTES, NewRecord, ProducerSequence};
use watershed_model::{Clock, Offset, Timestamp};
use watershed_protocol::ErrorCode;

use super::questions::Questions;
use crate::errors::{log_code, storage_code};
use crate::partition::Partition;

/// No timer is set.
const NEVER: u64 = u64::MAX;

/// A coordinator and the partition it lives in.
pub(crate) struct Shard {
    partition: Arc<Partition>,
    coordinator: Arc<Coordinator<GroupCoordinator>>,
    host: Arc<ShardHost>,
}

impl Shard {
    pub(super) fn new(
        partition: Arc<Partition>,
        coordinator: Arc<Coordinator<GroupCoordinator>>,
        host: Arc<ShardHost>,
    ) -> Self {
        Self { partition, coordinator, host }
    }

    pub(crate) fn coordinator(&self) -> &Coordinator<GroupCoordinator> {
        &self.coordinator
    }

    pub(crate) fn log(&self) -> &Arc<UnifiedLog> {
        &self.partition.log
    }

    /// Fires its timers if one is due; when the next one is.
    pub(super) fn tick_if_due(&self, now_ms: u64) -> u64 {
        if self.host.due_ms.load(Ordering::Acquire) <= now_ms {
            self.host.due_ms.store(NEVER, Ordering::Release);
            self.coordinator.tick();
        }
        self.host.due_ms.load(Ordering::Acquire)
    }

    /// Keeps the state beside the log, so that loading it again is short.
    pub(super) async fn save_snapshot(&self) {
        let coordinator = Arc::clone(&self.coordinator);
        let taken = tokio::task::spawn_blocking(move || coordinator.snapshot()).await;
        let partition = self.log().partition().partition;
        let (at, bytes) = match taken {
            Ok(Ok(snapshot)) => snapshot,
            Ok(Err(reason)) => {
                return tracing::warn!(
                    partition,
                    reason,
                    "cannot save a group coordinator's state; loading it will take longer"
                );
            }
            // A panic was reported when it happened.
            Err(_) => return,
        };
        let size = bytes.len();
        let saved = match self.log().save_coordinator(at, bytes) {
            Ok(ticket) => ticket.await.map(drop),
            Err(error) => Err(error),
        };
        match saved {
            Ok(()) => tracing::debug!(partition, %at, bytes = size, "saved a group coordinator's state"),
            Err(error) => {
                tracing::warn!(partition, %error, "cannot save a group coordinator's state; loading it will take longer");
            }
        }
    }
}

/// The log of a partition of an internal topic, as a coordinator writes it.
pub(super) struct PartitionLog {
    partition: Arc<Partition>,
    clock: Arc<dyn Clock>,
    compression: Compression,
}

impl PartitionLog {
    pub(super) fn new(partition: Arc<Partition>, clock: Arc<dyn Clock>, compression: Compression) -> Self {
        Self { partition, clock, compression }
    }

    fn build(&self, batch: NewBatch<'_>, now: Timestamp) -> Result<Bytes, ErrorCode> {
        let mut builder = BatchBuilder::new().compression(self.compression, None);
        if let Some((id, epoch)) = batch.producer {
            builder = builder.producer(ProducerSequence { id, epoch, base_sequence: -1 }).transactional();
        }
        for (key, value) in batch.records {
            builder.push(now, NewRecord { key: Some(key), value: value.as_deref(), headers: &[] });
        }
        builder.build().map_err(|_| ErrorCode::MessageTooLarge)
    }
}

impl CoordinatorLog for PartitionLog {
    fn append(&self, batch: NewBatch<'_>) -> Result<Offset, ErrorCode> {
        let bytes = self.build(batch, self.clock.now())?;
        let log = &self.partition.log;
        if bytes.len() > log.config().max_message_bytes as usize {
            return Err(ErrorCode::MessageTooLarge);
        }
        let header = BatchHeader::parse(&bytes).map_err(|_| ErrorCode::CorruptMessage)?;
        let batch = ValidatedBatch {
            header,
            body: bytes.slice(HEADER_BYTES..),
            log_append_time: None,
            origin: Origin::Coordinator,
            uncompressed_bytes: bytes.len() as u64,
        };
        let appended = log.append_as_leader(batch, self.partition.leader_epoch()).map_err(|error| log_code(&error))?;
        // The promise is waited for by those whose replies rest on it.
        drop(appended.ticket);
        Ok(appended.base_offset)
    }

    fn batch_bytes_max(&self) -> usize {
        self.partition.log.config().max_message_bytes as usize
    }

    fn is_durable(&self, below: Offset) -> bool {
        self.partition.log.marks().get(Mark::HighWatermark) >= below
    }
}

/// Drives a coordinator.
pub(super) struct ShardHost {
    log: Arc<UnifiedLog>,
    runtime: Handle,
    alarm: Arc<Notify>,
    questions: Arc<Questions>,
    due_ms: AtomicU64,
    coordinator: OnceLock<Weak<Coordinator<GroupCoordinator>>>,
}

impl ShardHost {
    pub(super) fn new(log: Arc<UnifiedLog>, runtime: Handle, alarm: Arc<Notify>, questions: Arc<Questions>) -> Self {
        Self { log, runtime, alarm, questions, due_ms: AtomicU64::new(NEVER), coordinator: OnceLock::new() }
    }

    /// Whom it drives; called once, before the coordinator starts.
    pub(super) fn drive(&self, coordinator: &Arc<Coordinator<GroupCoordinator>>) {
        let first = self.coordinator.set(Arc::downgrade(coordinator));
        debug_assert!(first.is_ok(), "a host drives one coordinator");
    }

    fn coordinator(&self) -> Option<Arc<Coordinator<GroupCoordinator>>> {
        self.coordinator.get()?.upgrade()
    }
}

impl Host<Question> for ShardHost {
    fn wake_at(&self, at_ms: u64) {
        self.due_ms.fetch_min(at_ms, Ordering::AcqRel);
        self.alarm.notify_one();
    }

    fn hand_over(&self) {
        let Some(coordinator) = self.coordinator() else { return };
        self.runtime.spawn_blocking(move || coordinator.work());
    }

    fn watch(&self, below: Offset) {
        let Some(coordinator) = self.coordinator() else { return };
        let passed = self.log.marks().passed(Mark::HighWatermark, below.plus(-1));
        self.runtime.spawn(async move {
            let outcome = passed.await.map_err(|error| storage_code(&error));
            coordinator.settled(outcome);
        });
    }

    fn send(&self, question: Question) {
        let Some(coordinator) = self.coordinator.get() else { return };
        self.questions.carry(question, Weak::clone(coordinator), &self.runtime);
    }
}
