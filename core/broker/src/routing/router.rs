//! Copies what an ingress log holds to the logs that consumers read.
//!
//! Records are read below the ingress log's high watermark, in order, and appended to their targets; a target says itself how far
//! it has come, so each record is appended to one log, once. A target that takes nothing now is *behind*: the others go on, and it
//! catches up from where it stands. An entry is done with when every target has promised its records.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use watershed_log::ingress::{EntryError, unwrap};
use watershed_log::{Bound, LogError, Mark, Origin};
use watershed_model::Offset;
use watershed_model::limits::DECOMPRESSED_BATCH_BYTES_MAX;
use watershed_model::record::{RecordError, Records, batches};
use watershed_protocol::ErrorCode;
use watershed_storage::{FlushMode, StorageError};

use super::Ingress;
use super::drafts::{Copy, Drafts};
use super::recent::Step;
use super::targets::{PAUSE_MAX, PAUSE_MIN, Promise, Round, Target, promised};
use crate::Broker;
use crate::admission::level;

/// How much of an ingress log is read at once, in bytes.
const READ_BYTES: u32 = 1024 * 1024;

/// How many bytes of entries that are in memory are copied at once.
const ROUND_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// How many bytes of records are held before they are appended: what a batch decompresses to is its producer's choice.
const HELD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How many rounds may wait for their targets' promises. While they do, entries gather for the next.
const ROUNDS_MAX: usize = 2;

/// Entries are copied so often, unless many wait. All routers of a broker copy at the same moments, so that one sync of a target
/// is for what many of them appended. Nobody waits for it: the entries are acknowledged.
const GATHER: Duration = Duration::from_millis(3);

/// What was copied is let go after so many bytes, or so long.
const TRIM_BYTES: u64 = 16 * 1024 * 1024;
const TRIM_INTERVAL: Duration = Duration::from_secs(5);

/// Why a router cannot go on.
#[derive(Debug, thiserror::Error)]
enum RouteError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Entry(#[from] EntryError),
}

impl From<RecordError> for RouteError {
    fn from(error: RecordError) -> Self {
        Self::Entry(error.into())
    }
}

struct Router {
    broker: Arc<Broker>,
    ingress: Arc<Ingress>,
    targets: BTreeMap<i32, Target>,
    /// When the entries behind `front` are copied; `None` where there are none, or it was not asked yet.
    due: Option<Instant>,
    /// Entries below were appended to all targets that are not behind.
    front: Offset,
    rounds: VecDeque<Round>,
    /// Where the last round ended whose promises are known.
    settled: Offset,
    /// Entries whose targets have not all promised them: where they end, and what they weigh in the backlog.
    unsettled: VecDeque<(Offset, u64)>,
    trimmed_at: Instant,
    untrimmed_bytes: u64,
}

/// Copies until `stop` fires or the log is gone.
pub(super) async fn run(broker: Arc<Broker>, ingress: Arc<Ingress>, stop: CancellationToken) {
    let start = ingress.log.start();
    let mut router = Router {
        front: start,
        settled: start,
        broker,
        ingress,
        targets: BTreeMap::new(),
        due: None,
        rounds: VecDeque::new(),
        unsettled: VecDeque::new(),
        trimmed_at: Instant::now(),
        untrimmed_bytes: 0,
    };
    let mut pause = PAUSE_MIN;
    loop {
        let outcome = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            outcome = router.step() => outcome,
        };
        let (topic, partition) = (&router.ingress.topic.name, router.ingress.partition.partition);
        match outcome {
            Ok(()) => pause = PAUSE_MIN,
            Err(RouteError::Log(LogError::Storage(StorageError::Gone))) => return,
            Err(error) => {
                // Nothing is skipped: what cannot be read was acknowledged.
                tracing::error!(%topic, partition, at = %router.front, %error,
                    "an ingress log cannot be read on; what it holds waits, and is tried again");
                tokio::select! {
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX * 30),
                    () = stop.cancelled() => break,
                }
            }
        }
    }
    router.finish().await;
}

impl Router {
    /// One thing that is due.
    async fn step(&mut self) -> Result<(), RouteError> {
        if self.rounds.len() >= ROUNDS_MAX {
            self.settle_round().await;
            return Ok(());
        }
        if self.untrimmed_bytes >= TRIM_BYTES {
            return self.trim().await;
        }
        let waits = self.front < self.ingress.log.high_watermark();
        if !waits {
            self.due = None;
        } else if self.due.is_none() {
            self.due = Some(self.next_moment());
        }
        if self.due.is_some_and(|due| due <= Instant::now()) {
            if let Some(room) = self.ingress.topic.storage.room() {
                room.await.map_err(LogError::from)?;
            }
            let mut found = self.ingress.take_recent(self.front, ROUND_BYTES_MAX);
            if found.is_empty() {
                found = steps(self.ingress.log.load(self.front, Bound::HighWatermark, READ_BYTES).await?)?;
                self.ingress.forget_recent(found.last().map_or(self.front, |step| step.end));
            }
            // Where many wait, what is left does not wait for the next moment.
            let bytes = found.iter().map(|step| u64::from(step.bytes)).sum::<u64>();
            self.due = (bytes >= u64::from(READ_BYTES) / 2).then(Instant::now);
            return self.route(found).await;
        }
        let retry = self.targets.iter().filter_map(|(n, target)| Some((target.behind?.retry, *n))).min();
        let trim = self.is_trimmable().then(|| self.trimmed_at + TRIM_INTERVAL);
        let news = self.ingress.log.marks().passed(Mark::HighWatermark, self.front);
        tokio::select! {
            () = promised(&mut self.rounds) => self.publish(),
            () = at(self.due) => {}
            () = at(retry.map(|(when, _)| when)) => self.catch_up(retry.map_or(0, |(_, n)| n)).await?,
            () = at(trim) => self.trim().await?,
            passed = news, if !waits => { passed.map_err(LogError::from)?; }
        }
        Ok(())
    }

    /// When the routers of this broker copy next.
    fn next_moment(&self) -> Instant {
        let interval = GATHER.as_millis() as u64;
        let left = interval - self.broker.elapsed_ms() % interval;
        Instant::now() + Duration::from_millis(left)
    }

    /// Copies the entries behind `front` to their targets.
    async fn route(&mut self, steps: Vec<Step>) -> Result<(), RouteError> {
        // A retried target may be due although there is always something new.
        let now = Instant::now();
        let due = self.targets.iter().find(|(_, target)| target.behind.is_some_and(|behind| behind.retry <= now));
        if let Some(number) = due.map(|(number, _)| *number) {
            self.catch_up(number).await?;
        }
        self.prepare(self.front, &steps).await;
        let mut promises = Vec::new();
        self.copy(&steps, None, &mut promises)?;
        for step in &steps {
            self.front = step.end;
            self.unsettled.push_back((step.end, self.ingress.weight(step.end, step.bytes)));
        }
        self.rounds.push_back(Round { upto: self.front, promises });
        Ok(())
    }

    /// Opens the targets of entries that have not been met before, and asks storage that forgets for their offsets.
    async fn prepare(&mut self, from: Offset, steps: &[Step]) {
        let mut records = BTreeMap::<i32, i64>::new();
        for entry in steps.iter().filter_map(|step| step.entry.as_ref()) {
            for index in 0..usize::try_from(entry.header.record_count).unwrap_or(0) {
                if let Some(target) = entry.plan.target(index) {
                    *records.entry(target).or_default() += 1;
                }
            }
        }
        for (number, records) in records {
            if let Err((code, target)) = self.prepare_one(from, number, records).await {
                self.targets.insert(number, target);
                self.report(number, code.name());
            }
        }
    }

    async fn prepare_one(&mut self, from: Offset, number: i32, records: i64) -> Result<(), (ErrorCode, Target)> {
        let mut target = match self.targets.remove(&number) {
            Some(target) => target,
            None => {
                let mut target = Target { partition: None, next: from, behind: None };
                if let Err(code) = open(&self.broker, &self.ingress, number, &mut target).await {
                    target.fall_behind(from);
                    return Err((code, target));
                }
                target
            }
        };
        if let (Some(partition), None) = (&target.partition, target.behind)
            && let Err(code) = partition.reserve(&self.broker, records).await
        {
            target.fall_behind(from.max(target.next));
            return Err((code, target));
        }
        self.targets.insert(number, target);
        Ok(())
    }

    /// Appends the records of entries to the targets that are not behind, or to `only` one that is.
    fn copy(&mut self, steps: &[Step], only: Option<i32>, promises: &mut Vec<Promise>) -> Result<(), RouteError> {
        let config = self.ingress.topic.config();
        let bytes: usize = steps.iter().map(|step| step.bytes as usize).sum();
        // Some more than the mean: most batches then never move.
        let expected = bytes / self.targets.len().max(1) * 5 / 4;
        let partition = self.ingress.partition.partition;
        let mut drafts = Drafts::new(partition, level(&config), config.max_message_bytes, expected);
        for entry in steps.iter().filter_map(|step| step.entry.as_ref()) {
            let wanted = |router: &Self, number: i32, offset: Offset| {
                router.targets.get(&number).is_some_and(|target| {
                    offset >= target.next && only.map_or(target.behind.is_none(), |only| only == number)
                })
            };
            if entry.plan.is_uniform()
                && let Some(number) = entry.plan.target(0)
                && wanted(self, number, entry.base)
                && drafts.push_whole(entry, number)
            {
                continue;
            }
            let mut records = Records::new(&entry.header, entry.body.clone(), DECOMPRESSED_BATCH_BYTES_MAX)?;
            let mut index = 0;
            while let Some(record) = records.next()? {
                let number = entry.plan.target(index).ok_or(EntryError::Plan)?;
                index += 1;
                if !wanted(self, number, entry.base.plus(i64::from(record.offset_delta))) {
                    continue;
                }
                drafts.push(entry, number, &record)?;
                if drafts.bytes() >= HELD_BYTES_MAX {
                    self.append(drafts.take()?, promises);
                }
            }
            if drafts.bytes() >= HELD_BYTES_MAX {
                self.append(drafts.take()?, promises);
            }
        }
        self.append(drafts.take()?, promises);
        Ok(())
    }

    /// Appends batches to their targets. One that refuses falls behind.
    fn append(&mut self, copies: Vec<(i32, Vec<Copy>)>, promises: &mut Vec<Promise>) {
        for (number, copies) in copies {
            let Some(target) = self.targets.get_mut(&number) else { continue };
            let Some(partition) = target.partition.clone() else { continue };
            for Copy { first, last, mut batch } in copies {
                if forgets() {
                    batch.origin = Origin::Coordinator;
                }
                match partition.log.append_as_leader(batch, partition.leader_epoch()) {
                    Ok(appended) => {
                        target.next = last.plus(1);
                        promises.push(Promise { target: number, first, ticket: appended.ticket, outcome: None });
                    }
                    Err(error) => {
                        target.fall_behind(first);
                        self.report(number, &error.to_string());
                        break;
                    }
                }
            }
        }
    }

    /// Takes a target that is behind as far as the others are, or as far as it goes.
    async fn catch_up(&mut self, number: i32) -> Result<(), RouteError> {
        let Some(target) = self.targets.get_mut(&number) else { return Ok(()) };
        if target.partition.is_none()
            && let Err(code) = open(&self.broker, &self.ingress, number, target).await
        {
            let next = target.next;
            target.fall_behind(next);
            self.report(number, code.name());
            return Ok(());
        }
        // What is there without its promise is read again: the log says that it has it.
        let mut from = self.ingress.copied_to();
        while from < self.front {
            let bytes = self.ingress.log.load(from, Bound::HighWatermark, READ_BYTES).await?;
            let mut steps = steps(bytes)?;
            steps.retain(|step| step.end <= self.front);
            let Some(upto) = steps.last().map(|step| step.end) else { break };
            let mut promises = Vec::new();
            let retry = |router: &Self| Some(router.targets.get(&number)?.behind?.retry);
            let before = retry(self);
            self.copy(&steps, Some(number), &mut promises)?;
            for Promise { target, first, ticket, .. } in promises {
                if let Err(error) = ticket.await {
                    self.broken(target, first, &error);
                    return Ok(());
                }
            }
            if retry(self) != before {
                // It refused again.
                return Ok(());
            }
            let Some(target) = self.targets.get_mut(&number) else { return Ok(()) };
            target.next = target.next.max(upto);
            if let Some(behind) = &mut target.behind {
                behind.floor = behind.floor.max(upto);
            }
            from = upto;
        }
        if let Some(target) = self.targets.get_mut(&number) {
            target.behind = None;
            let (topic, partition) = (&self.ingress.topic.name, self.ingress.partition.partition);
            tracing::info!(%topic, partition, target = number, "a partition that took nothing takes records again");
        }
        self.publish();
        Ok(())
    }

    /// Waits for the promises of the oldest round.
    async fn settle_round(&mut self) {
        promised(&mut self.rounds).await;
        self.publish();
    }

    /// A promise was broken: the target's log has failed.
    fn broken(&mut self, number: i32, first: Offset, error: &StorageError) {
        if let Some(target) = self.targets.get_mut(&number) {
            let next = target.next.min(first);
            target.fall_behind(next);
        }
        self.report(number, &error.to_string());
    }

    /// Tells how far everything is where it belongs.
    fn publish(&mut self) {
        let is_done = |round: &mut Round| round.promises.iter().all(|promise| promise.outcome.is_some());
        while let Some(round) = self.rounds.pop_front_if(is_done) {
            self.settled = round.upto;
            for Promise { target, first, outcome, .. } in round.promises {
                if let Some(Err(error)) = outcome {
                    self.broken(target, first, &error);
                }
            }
        }
        let behind = self.targets.values().filter_map(|target| Some(target.behind?.floor));
        let low = behind.min().map_or(self.settled, |floor| floor.min(self.settled));
        let mut bytes = 0;
        while let Some((_, weight)) = self.unsettled.pop_front_if(|(end, _)| *end <= low) {
            bytes += weight;
        }
        if low > self.ingress.copied_to() {
            self.untrimmed_bytes += bytes;
            self.ingress.copied(low, bytes);
        }
    }

    fn is_trimmable(&self) -> bool {
        self.ingress.copied_to() > self.ingress.log.start()
    }

    /// Lets go of what was copied.
    async fn trim(&mut self) -> Result<(), RouteError> {
        self.trimmed_at = Instant::now();
        self.untrimmed_bytes = 0;
        if self.ingress.topic.config().flush == FlushMode::Relaxed {
            // A promise says less there, and what is let go here must not go with a power cut there.
            for partition in self.targets.values().filter_map(|target| target.partition.as_ref()) {
                partition.log.sync().await.map_err(LogError::from)?;
            }
        }
        self.ingress.log.delete_records_before(Some(self.ingress.copied_to())).await?;
        Ok(())
    }

    /// The end: what was appended is waited for, so that the next start has little to look at.
    async fn finish(&mut self) {
        while !self.rounds.is_empty() {
            self.settle_round().await;
        }
        if self.is_trimmable()
            && let Err(error) = self.trim().await
        {
            let (topic, partition) = (&self.ingress.topic.name, self.ingress.partition.partition);
            tracing::debug!(%topic, partition, %error, "what was copied is let go after the next start");
        }
    }

    fn report(&self, target: i32, error: &str) {
        let (topic, partition) = (&self.ingress.topic.name, self.ingress.partition.partition);
        tracing::warn!(%topic, partition, target, error,
            "a partition takes no records now; what belongs to it waits, and is tried again");
    }
}

/// Opens a target, which says how far it has come.
async fn open(broker: &Arc<Broker>, ingress: &Ingress, number: i32, target: &mut Target) -> Result<(), ErrorCode> {
    let image = broker.image();
    let topic = image.topic_by_id(&ingress.topic.id).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let partition = broker.partition(&image, topic, number).await?;
    if let Some(copied) = partition.log.copied_from(ingress.partition.partition, ingress.log.end())
        && !forgets()
    {
        target.next = target.next.max(copied.plus(1));
    }
    target.partition = Some(partition);
    Ok(())
}

/// Whether this is the control of the crash tests, which has to be found out: routers that begin again after a restart.
fn forgets() -> bool {
    cfg!(debug_assertions) && std::env::var_os("WATERSHED_TEST_ROUTERS_FORGET").is_some()
}

/// The batches in a run of bytes.
fn steps(bytes: Bytes) -> Result<Vec<Step>, RouteError> {
    let each = batches(bytes).map(|batch| {
        let batch = batch?;
        let (end, bytes) = (batch.header.next_offset(), batch.header.total_bytes);
        let entry = if batch.header.record_count == 0 { None } else { Some(unwrap(&batch.header, &batch.body())?) };
        Ok(Step { end, bytes, entry })
    });
    each.collect()
}

/// Resolves at a moment; never without one.
async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
