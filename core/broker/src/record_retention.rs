//! Record retention: asks a topic's plugin which records of closed segments may go, and has the segments rewritten without them.
//!
//! One partition at a time, a few batches at a time, on the plugins' own threads; the task rests as long as it worked. A segment
//! in which nothing could go is asked about again later and later, as what may go is often a matter of time. A plugin that has
//! no answer changes nothing: all of the segment stays, and is asked about the next time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use watershed_log::{BatchFate, Bound, Cleaned, Judge, Judged, UnifiedLog};
use watershed_model::limits::REPLAY_READ_BYTES;
use watershed_model::record::{Level, RecordBatch, batches};
use watershed_model::{Offset, TopicIdPartition};
use watershed_policy::{Held, Ranks, RecordKeeper};
use watershed_storage::SegmentMeta;

use crate::partition::Partition;
use crate::{Broker, admission, metrics};

/// Of so many looks a segment is left out of all but one, if there was nothing to drop in it for long.
const LOOKS_SKIPPED_MAX: u32 = 16;

/// What is remembered of partitions between two looks.
type Memories = HashMap<TopicIdPartition, Memory>;

#[derive(Default)]
struct Memory {
    /// Whom the rest is about.
    plugin: String,
    looks: u64,
    /// By base: in how many looks it is asked about again, and how many were waited the last time.
    segments: HashMap<Offset, (u32, u32)>,
}

impl Memory {
    /// Begins a look: the segments that are due.
    fn due(&mut self, plugin: &str, segments: &[SegmentMeta]) -> Vec<SegmentMeta> {
        if self.plugin != plugin {
            *self = Self { plugin: plugin.to_owned(), ..Self::default() };
        }
        self.looks += 1;
        self.segments.retain(|base, _| segments.iter().any(|s| s.base == *base));
        let mut due = Vec::new();
        for segment in segments {
            let (left, _) = self.segments.entry(segment.base).or_default();
            if *left == 0 {
                due.push(*segment);
            } else {
                *left -= 1;
            }
        }
        due
    }

    fn asked(&mut self, segment: &SegmentMeta, cleaned: &Cleaned) {
        let (left, waited) = self.segments.entry(segment.base).or_default();
        *waited = if cleaned.rewritten { 0 } else { (*waited * 2 + 1).min(LOOKS_SKIPPED_MAX - 1) };
        *left = *waited;
    }
}

/// The task.
pub(crate) async fn run(broker: Arc<Broker>, stop: CancellationToken) {
    let mut memories = Memories::new();
    loop {
        let interval = Duration::from_millis(broker.config().settings().record_retention_check_interval_ms);
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = stop.cancelled() => return,
        }
        let partitions = broker.replicas.open_partitions();
        memories.retain(|tp, _| partitions.iter().any(|partition| partition.tp == *tp));
        for partition in partitions {
            // Nothing of a rewrite that is given up remains.
            tokio::select! {
                () = look(&broker, &partition, &mut memories) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

async fn look(broker: &Arc<Broker>, partition: &Partition, memories: &mut Memories) {
    let bindings = partition.topic.bindings();
    let keeper = bindings.as_ref().and_then(|bindings| {
        let binding = bindings.record_retention.clone()?;
        Some(RecordKeeper { binding, ordering_key: bindings.ordering_key.clone() })
    });
    let Some(keeper) = keeper.filter(|_| partition.log.config().cleanup.delete) else {
        memories.remove(&partition.tp);
        return;
    };
    let memory = memories.entry(partition.tp).or_default();
    let segments = partition.log.cleanable_segments();
    let mut due = memory.due(keeper.binding.name(), &segments);
    if due.is_empty() {
        return;
    }
    let mut asker = Asker::new(broker, partition, keeper);
    if asker.keeper.needs_ranks() {
        // A record's rank shows when all before it are passed.
        due = segments;
        let start = partition.log.start();
        asker.ranks = asker.rank(start, memory.looks).await;
        if asker.ranks.is_none() {
            return;
        }
        asker.counted_from = Some(start);
    }
    for segment in due {
        match partition.log.clean(&segment, &mut asker).await {
            Ok(Some(cleaned)) => {
                memory.asked(&segment, &cleaned);
                report(partition, &segment, &cleaned);
            }
            Ok(None) => return,
            Err(error) => {
                let (topic, number) = (&partition.topic.name, partition.tp.partition);
                tracing::warn!(%topic, partition = number, base = %segment.base, %error,
                    "record retention could not rewrite a segment; it stays as it is, and is tried again later");
                // Its records were not passed: the ranks of those behind it would be wrong.
                return;
            }
        }
    }
}

fn report(partition: &Partition, segment: &SegmentMeta, cleaned: &Cleaned) {
    if !cleaned.rewritten {
        return;
    }
    let (topic, number) = (&partition.topic.name, partition.tp.partition);
    let dropped = cleaned.records_before - cleaned.records_after;
    let Cleaned { records_after: left, bytes_before, bytes_after, .. } = *cleaned;
    tracing::info!(%topic, partition = number, base = %segment.base, dropped, left, bytes_before, bytes_after,
        "record retention rewrote a segment");
    metrics::count_cleaned(topic, dropped, bytes_before.saturating_sub(bytes_after));
}

/// Asks a partition's plugin.
struct Asker {
    broker: Arc<Broker>,
    keeper: Arc<RecordKeeper>,
    topic: Arc<str>,
    partition: i32,
    level: Level,
    now: i64,
    ranks: Option<Ranks>,
    log: Arc<UnifiedLog>,
    /// Where the log began when its keys were counted.
    counted_from: Option<Offset>,
}

impl Asker {
    fn new(broker: &Arc<Broker>, partition: &Partition, keeper: RecordKeeper) -> Self {
        Self {
            broker: Arc::clone(broker),
            keeper: Arc::new(keeper),
            topic: Arc::clone(&partition.topic.name),
            partition: partition.tp.partition,
            level: admission::level(&partition.topic.config()),
            now: broker.clock.now().0,
            ranks: None,
            log: Arc::clone(&partition.log),
            counted_from: None,
        }
    }

    /// Runs `ask` on the plugins' own threads, and then rests as long as it took. `None` where there is no answer.
    async fn ask<R: Send + 'static, E: std::fmt::Display + Send + 'static>(
        &self,
        ask: impl FnOnce(&RecordKeeper, &Held<'_>) -> Result<R, E> + Send + 'static,
    ) -> Option<R> {
        let (keeper, topic) = (Arc::clone(&self.keeper), Arc::clone(&self.topic));
        let (partition, now, level) = (self.partition.unsigned_abs(), self.now, self.level);
        let began = self.broker.clock.elapsed();
        let answer =
            self.broker.on_plugin_pool(move || ask(&keeper, &Held { topic: &topic, partition, now, level })).await;
        tokio::time::sleep(self.broker.clock.elapsed().saturating_sub(began)).await;
        let error = match answer {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => error.to_string(),
            Err(panicked) => panicked,
        };
        // What is the plugin's fault was logged where it was met.
        tracing::debug!(topic = %self.topic, partition = self.partition, error,
            "no answer from a record retention: everything is kept");
        None
    }

    /// Counts the keys of all records that are there.
    async fn rank(&self, start: Offset, look: u64) -> Option<Ranks> {
        let mut ranks = Ranks::new(look);
        let (mut at, end) = (start, self.log.high_watermark());
        while at < end {
            let loaded = match self.log.load(at, Bound::HighWatermark, REPLAY_READ_BYTES).await {
                Err(error) => {
                    tracing::debug!(topic = %self.topic, partition = self.partition, %error, "records cannot be ranked");
                    return None;
                }
                Ok(loaded) => loaded,
            };
            let read: Vec<RecordBatch> = batches(loaded).collect::<Result<_, _>>().ok()?;
            at = read.last()?.header.next_offset();
            let data: Vec<RecordBatch> = read.into_iter().filter(|batch| is_ranked(batch, end)).collect();
            ranks = self.ask(move |keeper, held| keeper.count(held, &data, &mut ranks).map(|()| ranks)).await?;
        }
        Some(ranks)
    }
}

/// Records of transactions are not counted: they are never asked about.
fn is_ranked(batch: &RecordBatch, end: Offset) -> bool {
    let header = &batch.header;
    !header.is_control() && !header.is_transactional() && header.record_count > 0 && header.base_offset < end
}

impl Judge for Asker {
    fn judge(&mut self, batches: Vec<RecordBatch>) -> Judged<'_> {
        Box::pin(async move {
            // Records that were counted and are gone would not be passed, and others would seem older than they are.
            if self.counted_from.is_some_and(|start| start != self.log.start()) {
                return None;
            }
            let mut ranks = self.ranks.take();
            let (ranks, rests) = self
                .ask(move |keeper, held| keeper.judge(held, &batches, ranks.as_mut()).map(|rests| (ranks, rests)))
                .await?;
            self.ranks = ranks;
            let fate =
                |rest: Option<_>| rest.map_or(BatchFate::Keep, |(header, body)| BatchFate::Rewrite(header, body));
            Some(rests.into_iter().map(fate).collect())
        })
    }
}
