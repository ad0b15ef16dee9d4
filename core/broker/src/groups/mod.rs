//! The group coordinators of this broker: one for each partition of `__consumer_offsets` that it leads.
//!
//! - `shard.rs`: one of them, with its ports: the partition's log, timers, hand-over.
//! - `load.rs`: from the partition to a coordinator. `questions.rs`: asks assignors that are plugins.
//! - `lag.rs`: how far groups are behind; `report.rs`: what metrics and the HTTP API show.
//!
//! A coordinator is loaded when its partition is first needed, at start for those that hold records. Requests that come while it
//! is being loaded wait a moment and then get COORDINATOR_LOAD_IN_PROGRESS. A reply leaves once what it rests on is durable. When
//! the log fails, its coordinator goes; the next request loads it again.

mod lag;
mod load;
mod questions;
mod report;
mod shard;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use watershed_coordinator::groups::{Assignors, GroupCoordinator, GroupReply, GroupRequest, Random};
use watershed_coordinator::runtime::Replies;
use watershed_log::Mark;
use watershed_metadata::configs::{GroupRules, GroupSettings};
use watershed_metadata::{Change, MetadataDelta, MetadataImage, OFFSETS_TOPIC, Topic};
use watershed_model::{BrokerId, Offset, TopicIdPartition};
use watershed_protocol::ErrorCode;

use crate::Broker;
use crate::apis::Call;
use crate::errors::coordinator_code;

use lag::Lags;
use questions::Questions;
pub(crate) use report::run_lags;
pub use report::{GroupPartition, GroupStatus};
pub(crate) use shard::Shard;

/// Takes the reply of the kind that was asked for; another kind would be a mistake of ours, and is answered as such.
macro_rules! reply {
    ($asked:expr, $kind:ident) => {
        match $asked {
            Ok(watershed_coordinator::groups::GroupReply::$kind(reply)) => Ok(reply),
            Ok(_) => Err(watershed_protocol::ErrorCode::UnknownServerError),
            Err(code) => Err(code),
        }
    };
}
pub(crate) use reply;

/// How long a request waits for a coordinator that is being loaded.
const LOAD_PATIENCE: Duration = Duration::from_millis(250);

/// How long a coordinator that could not be loaded is left alone, in milliseconds.
const LOAD_AGAIN_MS: u64 = 5_000;

/// How many coordinators are loaded at once.
const LOADS_AT_ONCE: usize = 4;

/// After so many records a coordinator's state is saved, so that loading it again reads no more than about that many.
const SNAPSHOT_RECORDS: u64 = 1_000_000;

/// What the operator and the program give to groups.
#[derive(Debug, Default)]
pub struct GroupParts {
    /// The rules of the configuration file.
    pub rules: GroupRules,
    /// The most partitions of groups whose lag is shown.
    pub partitions_max: usize,
    /// The assignors by name; `uniform` must be among those that are asked inside the coordinator, because it takes over where another
    /// one fails.
    pub assignors: Assignors,
}

/// A request that its coordinator has.
pub(crate) struct Asked {
    shard: Arc<Shard>,
    replies: Replies<GroupReply>,
}

#[derive(Clone)]
enum Slot {
    Loading(Arc<Notify>),
    Active(Arc<Shard>),
    /// It could not be loaded; not tried again before this time, in milliseconds of the clock.
    Failed {
        code: ErrorCode,
        again_ms: u64,
    },
}

/// Where coordinators are found.
pub(crate) struct Groups {
    /// The most partitions of groups whose lag is looked at and shown.
    partitions_max: usize,
    rules: Arc<GroupRules>,
    assignors: Arc<Assignors>,
    slots: Mutex<HashMap<TopicIdPartition, Slot>>,
    runtime: Handle,
    /// Rung when a timer is to fire earlier than was planned.
    alarm: Arc<Notify>,
    loads: Arc<Semaphore>,
    questions: Arc<Questions>,
    lags: Lags,
}

impl Groups {
    /// None yet; their tasks run on the runtime that this is called in.
    pub(crate) fn new(parts: GroupParts) -> Self {
        Self {
            partitions_max: parts.partitions_max,
            rules: Arc::new(parts.rules),
            assignors: Arc::new(parts.assignors),
            slots: Mutex::default(),
            runtime: Handle::current(),
            alarm: Arc::default(),
            loads: Arc::new(Semaphore::new(LOADS_AT_ONCE)),
            questions: Arc::new(Questions::new()),
            lags: Lags::default(),
        }
    }

    /// An empty coordinator of one partition.
    fn machine(&self, settings: Arc<GroupSettings>, random: Random) -> GroupCoordinator {
        GroupCoordinator::new(settings, Arc::clone(&self.rules), Arc::clone(&self.assignors), random)
    }

    /// The partition of `__consumer_offsets` that a group belongs to: Java's hash of its id, over `count` partitions.
    pub(crate) fn partition_of(group: &str, count: i32) -> i32 {
        let hash = group.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
        // Kafka's absolute value of the smallest number is 0.
        hash.checked_abs().unwrap_or(0) % count.max(1)
    }

    /// Makes `__consumer_offsets` where it does not exist yet, as the broker settings `offsets.topic.*` say.
    ///
    /// # Errors
    /// The code of a refusal, which was logged.
    pub(crate) async fn ensure_topic(&self, broker: &Broker) -> Result<(), ErrorCode> {
        if broker.image().topic_by_name(OFFSETS_TOPIC).is_some() {
            return Ok(());
        }
        broker.auto_create(OFFSETS_TOPIC).await
    }

    /// The broker that coordinates a group, once `__consumer_offsets` exists.
    pub(crate) fn coordinator_of(image: &MetadataImage, group: &str) -> Option<BrokerId> {
        let topic = image.topic_by_name(OFFSETS_TOPIC)?;
        let partition = Self::partition_of(group, topic.partition_count());
        Some(image.partition(&topic.id(), partition)?.leader)
    }

    /// Asks a group's coordinator, and waits until the reply may leave.
    ///
    /// # Errors
    /// The code to answer with, as Kafka's coordinator maps it.
    pub(crate) async fn ask(
        &self,
        call: &Call<'_>,
        group: &str,
        request: GroupRequest,
    ) -> Result<GroupReply, ErrorCode> {
        let asked = self.begin(call, group, request).await?;
        self.finish(call.broker, asked, None, call.stop).await
    }

    /// The same for a coordinator that was found already.
    pub(crate) async fn ask_shard(
        &self,
        call: &Call<'_>,
        shard: &Arc<Shard>,
        request: GroupRequest,
    ) -> Result<GroupReply, ErrorCode> {
        let asked = Self::begin_at(call, shard, request)?;
        self.finish(call.broker, asked, None, call.stop).await
    }

    /// The ordered half of [`Groups::ask`]: on return the request has its place among those of its coordinator.
    ///
    /// # Errors
    /// As [`Groups::ask`].
    pub(crate) async fn begin(&self, call: &Call<'_>, group: &str, request: GroupRequest) -> Result<Asked, ErrorCode> {
        let image = call.broker.image();
        let topic = image.topic_by_name(OFFSETS_TOPIC).ok_or(ErrorCode::NotCoordinator)?;
        let partition = Self::partition_of(group, topic.partition_count());
        let shard = self.shard(call.broker, &image, topic, partition).await?;
        Self::begin_at(call, &shard, request)
    }

    fn begin_at(call: &Call<'_>, shard: &Arc<Shard>, request: GroupRequest) -> Result<Asked, ErrorCode> {
        let replies = shard.coordinator().request(call.version, call.client_id, call.client_host, request)?;
        Ok(Asked { shard: Arc::clone(shard), replies })
    }

    /// The other half: waits for the reply, and until it may leave. What the reply rests on has until `expires` to become durable,
    /// or `offsets.commit.timeout.ms` from the reply on.
    ///
    /// # Errors
    /// As [`Groups::ask`].
    pub(crate) async fn finish(
        &self,
        broker: &Broker,
        asked: Asked,
        expires: Option<Instant>,
        stop: &CancellationToken,
    ) -> Result<GroupReply, ErrorCode> {
        let replied = tokio::select! {
            replied = asked.replies => replied.map_err(|_| ErrorCode::NotCoordinator)?,
            () = stop.cancelled() => return Err(ErrorCode::NotCoordinator),
        };
        let reply = replied.outcome.map_err(coordinator_code)?;
        let expires = expires.unwrap_or_else(|| Self::expires(broker));
        self.durable(&asked.shard, replied.durable_below, expires).await.map_err(coordinator_code)?;
        Ok(reply)
    }

    /// Until when what is written now has to be durable.
    pub(crate) fn expires(broker: &Broker) -> Instant {
        Instant::now() + Duration::from_millis(broker.config().settings().groups.offsets_commit_timeout_ms)
    }

    async fn durable(&self, shard: &Arc<Shard>, below: Offset, expires: Instant) -> Result<(), ErrorCode> {
        let marks = shard.log().marks();
        if marks.get(Mark::HighWatermark) >= below {
            return Ok(());
        }
        match tokio::time::timeout_at(expires, marks.passed(Mark::HighWatermark, below.plus(-1))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                self.lost(shard, &error);
                Err(crate::errors::storage_code(&error))
            }
            Err(_) => Err(ErrorCode::RequestTimedOut),
        }
    }

    /// What a log may have lost, its coordinator must not go on believing.
    fn lost(&self, shard: &Arc<Shard>, error: &watershed_storage::StorageError) {
        let is_gone = {
            let mut slots = self.slots.lock();
            let tp = shard.log().partition();
            let is_this = matches!(slots.get(&tp), Some(Slot::Active(active)) if Arc::ptr_eq(active, shard));
            is_this && slots.remove(&tp).is_some()
        };
        if is_gone {
            let partition = shard.log().partition().partition;
            tracing::error!(partition, %error, "a group coordinator's log failed; it is loaded again when it is asked");
        }
        shard.coordinator().close(ErrorCode::NotCoordinator);
    }

    /// The coordinators of all partitions that this broker leads, loaded where need be.
    ///
    /// # Errors
    /// The first one that is not there, by its code.
    pub(crate) async fn shards(&self, broker: &Arc<Broker>) -> Result<Vec<Arc<Shard>>, ErrorCode> {
        let image = broker.image();
        let Some(topic) = image.topic_by_name(OFFSETS_TOPIC) else { return Ok(Vec::new()) };
        let mut shards = Vec::new();
        for partition in 0..topic.partition_count() {
            match self.shard(broker, &image, topic, partition).await {
                Ok(shard) => shards.push(shard),
                Err(ErrorCode::NotCoordinator | ErrorCode::NotLeaderOrFollower) => {}
                Err(code) => return Err(code),
            }
        }
        Ok(shards)
    }

    /// How many are being loaded.
    fn loading(&self) -> usize {
        self.slots.lock().values().filter(|slot| matches!(slot, Slot::Loading(_))).count()
    }

    /// Those that are loaded.
    pub(crate) fn active(&self) -> Vec<Arc<Shard>> {
        let slots = self.slots.lock();
        let active = slots.values().filter_map(|slot| match slot {
            Slot::Active(shard) => Some(Arc::clone(shard)),
            Slot::Loading(_) | Slot::Failed { .. } => None,
        });
        active.collect()
    }

    async fn shard(
        &self,
        broker: &Arc<Broker>,
        image: &Arc<MetadataImage>,
        topic: &Arc<Topic>,
        partition: i32,
    ) -> Result<Arc<Shard>, ErrorCode> {
        let tp = TopicIdPartition { topic: topic.id(), partition };
        let loading = match self.slot(broker, image, topic, tp) {
            Slot::Active(shard) => return Ok(shard),
            Slot::Loading(loaded) => loaded,
            Slot::Failed { code, .. } => return Err(coordinator_code(code)),
        };
        let notified = loading.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        // It may have been loaded before we began to listen.
        if let Some(Slot::Active(shard)) = self.slots.lock().get(&tp) {
            return Ok(Arc::clone(shard));
        }
        // Whether it came or not is seen below.
        let _ = tokio::time::timeout(LOAD_PATIENCE, notified).await;
        match self.slots.lock().get(&tp) {
            Some(Slot::Active(shard)) => Ok(Arc::clone(shard)),
            Some(Slot::Loading(_)) => Err(ErrorCode::CoordinatorLoadInProgress),
            Some(Slot::Failed { code, .. }) => Err(coordinator_code(*code)),
            None => Err(ErrorCode::NotCoordinator),
        }
    }

    /// The slot of a partition; an empty one begins to load.
    fn slot(&self, broker: &Arc<Broker>, image: &Arc<MetadataImage>, topic: &Arc<Topic>, tp: TopicIdPartition) -> Slot {
        let mut slots = self.slots.lock();
        if matches!(slots.get(&tp), Some(Slot::Failed { again_ms, .. }) if *again_ms <= broker.elapsed_ms()) {
            slots.remove(&tp);
        }
        let slot = slots.entry(tp).or_insert_with(|| {
            let loaded = Arc::new(Notify::new());
            let (broker, image, topic) = (Arc::clone(broker), Arc::clone(image), Arc::clone(topic));
            let (permits, done) = (Arc::clone(&self.loads), Arc::clone(&loaded));
            self.runtime.spawn(async move {
                // The semaphore is never closed.
                let _permit = permits.acquire().await;
                let outcome = load::load(&broker, &image, &topic, tp.partition).await;
                broker.groups().loaded(&broker, tp, outcome);
                done.notify_waiters();
            });
            Slot::Loading(loaded)
        });
        slot.clone()
    }

    fn loaded(&self, broker: &Broker, tp: TopicIdPartition, outcome: Result<Arc<Shard>, ErrorCode>) {
        match outcome {
            Ok(shard) => {
                self.slots.lock().insert(tp, Slot::Active(Arc::clone(&shard)));
                // The metadata may have changed since loading began.
                shard.coordinator().metadata(broker.image());
            }
            Err(code) => {
                let again_ms = broker.elapsed_ms().saturating_add(LOAD_AGAIN_MS);
                self.slots.lock().insert(tp, Slot::Failed { code, again_ms });
            }
        }
    }

    /// Loads the coordinators whose partitions hold records, so that they are there when clients come.
    pub(crate) fn load_all(&self, broker: &Arc<Broker>) {
        let image = broker.image();
        let Some(topic) = image.topic_by_name(OFFSETS_TOPIC) else { return };
        for partition in 0..topic.partition_count() {
            if broker.replicas().open_partition(topic.id(), partition).is_some() {
                self.slot(broker, &image, topic, TopicIdPartition { topic: topic.id(), partition });
            }
        }
    }

    /// Follows the metadata.
    pub(crate) async fn follow(&self, broker: &Arc<Broker>, delta: &MetadataDelta) {
        let mut deleted = Vec::new();
        for change in &delta.changes {
            if let Change::TopicDeleted { topic, name, .. } = change {
                if &**name == OFFSETS_TOPIC {
                    self.unload(|tp| tp.topic == *topic);
                } else {
                    deleted.push(Arc::clone(name));
                }
            }
        }
        for shard in self.active() {
            shard.coordinator().metadata(Arc::clone(&delta.image));
        }
        if !deleted.is_empty() {
            self.topics_deleted(broker, &deleted).await;
        }
    }

    /// Has every group forget the offsets of topics that are gone; on return that is durable, or was reported.
    pub(crate) async fn topics_deleted(&self, broker: &Arc<Broker>, names: &[Arc<str>]) {
        for shard in self.active() {
            let request = GroupRequest::TopicsDeleted(names.to_vec());
            let Ok(replies) = shard.coordinator().request(0, "", "", request) else { continue };
            let Ok(replied) = replies.await else { continue };
            let outcome = match replied.outcome {
                Ok(_) => self.durable(&shard, replied.durable_below, Self::expires(broker)).await,
                Err(code) => Err(code),
            };
            if let Err(code) = outcome {
                // What could not be written now is deleted when the coordinator is loaded again.
                tracing::warn!(?names, %code, "offsets of deleted topics could not be deleted");
            }
        }
    }

    fn unload(&self, which: impl Fn(&TopicIdPartition) -> bool) {
        let gone: Vec<Slot> = self.slots.lock().extract_if(|tp, _| which(tp)).map(|(_, slot)| slot).collect();
        for slot in gone {
            if let Slot::Active(shard) = slot {
                shard.coordinator().close(ErrorCode::NotCoordinator);
            }
        }
    }

    /// Saves the state of those that have written much since the last time.
    pub(crate) async fn save_snapshots(&self, records_min: u64) {
        for shard in self.active() {
            if shard.coordinator().records_since_snapshot() >= records_min {
                shard.save_snapshot().await;
            }
        }
    }

    /// Ends all of them; what they have is saved, so that the next start need not read their logs.
    pub(crate) async fn close(&self) {
        self.save_snapshots(1).await;
        self.unload(|_| true);
    }
}

/// Fires timers until the broker stops.
pub(crate) async fn run_timers(broker: Arc<Broker>, stop: CancellationToken) {
    let groups = broker.groups();
    loop {
        let rung = groups.alarm.notified();
        let now_ms = broker.elapsed_ms();
        let mut next_ms = u64::MAX;
        for shard in groups.active() {
            next_ms = next_ms.min(shard.tick_if_due(now_ms));
        }
        let sleep = Duration::from_millis(next_ms.saturating_sub(now_ms).clamp(1, TIMER_LOOK_MS));
        tokio::select! {
            () = rung => {}
            () = tokio::time::sleep(sleep) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// How often timers are looked at, at the least, in milliseconds.
const TIMER_LOOK_MS: u64 = 10_000;

/// The number of records after which housekeeping saves a coordinator's state.
pub(crate) const fn snapshot_records() -> u64 {
    SNAPSHOT_RECORDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_partition_is_that_of_javas_hash() {
        let cases = [
            ("", 50, 0),
            ("a", 50, 47),
            ("test-group", 50, 12),
            ("polygenelubricants", 50, 0),
            ("grüße-\u{1F600}", 50, 27),
            ("a", 1, 0),
        ];
        for (group, count, partition) in cases {
            assert_eq!(Groups::partition_of(group, count), partition, "{group}");
        }
    }
}
