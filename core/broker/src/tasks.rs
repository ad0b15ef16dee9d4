//! Housekeeping: follow the metadata, apply retention, save what recovery would otherwise read again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use watershed_hooks::{Client, Hook, LogSummary, SegmentSummary};
use watershed_log::RetentionOutcome;
use watershed_metadata::{Change, MetadataDelta};
use watershed_model::{Offset, Timestamp};
use watershed_policy::wrong_hook;
use watershed_storage::SegmentMeta;

use crate::partition::Partition;
use crate::{Broker, groups, record_retention};

/// How often every log is looked at for what is due: expired producers, a checkpoint.
const MAINTAIN_INTERVAL: Duration = Duration::from_secs(5);

/// How many partitions are cared for before other tasks get a turn.
const PARTITIONS_PER_TURN: usize = 64;

/// Starts the broker's tasks; they end when `stop` fires.
pub(crate) fn spawn(
    broker: &Arc<Broker>,
    changes: mpsc::Receiver<MetadataDelta>,
    stop: &CancellationToken,
) -> Vec<JoinHandle<()>> {
    vec![
        tokio::spawn(follow_metadata(Arc::clone(broker), changes, stop.clone())),
        tokio::spawn(retention(Arc::clone(broker), stop.clone())),
        tokio::spawn(record_retention::run(Arc::clone(broker), stop.clone())),
        tokio::spawn(maintenance(Arc::clone(broker), stop.clone())),
        tokio::spawn(groups::run_timers(Arc::clone(broker), stop.clone())),
        tokio::spawn(groups::run_lags(Arc::clone(broker), stop.clone())),
    ]
}

async fn follow_metadata(broker: Arc<Broker>, mut changes: mpsc::Receiver<MetadataDelta>, stop: CancellationToken) {
    loop {
        let delta = tokio::select! {
            delta = changes.recv() => delta,
            () = stop.cancelled() => return,
        };
        let Some(delta) = delta else { return };
        let configs = |change: &Change| matches!(change, Change::BrokerConfigs(_) | Change::Everything);
        if delta.changes.iter().any(configs)
            && let Err(errors) = broker.reconfigure(&delta.image)
        {
            tracing::error!(?errors, "stored broker configs cannot be applied; the ones before stay in force");
        }
        broker.replicas.apply(&delta, &broker.config());
        broker.groups().follow(&broker, &delta).await;
    }
}

async fn retention(broker: Arc<Broker>, stop: CancellationToken) {
    loop {
        let interval = Duration::from_millis(broker.config().settings().retention_check_interval_ms);
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = stop.cancelled() => return,
        }
        for (index, partition) in broker.replicas.open_partitions().into_iter().enumerate() {
            if stop.is_cancelled() {
                return;
            }
            if index % PARTITIONS_PER_TURN == 0 {
                tokio::task::yield_now().await;
            }
            retain(&broker, &partition).await;
            tokio::select! {
                before = policy_offset(&broker, &partition) => delete_before(&partition, before).await,
                () = stop.cancelled() => return,
            }
        }
    }
}

/// Applies the built-in retention.
async fn retain(broker: &Broker, partition: &Partition) {
    let (topic, number) = (&partition.topic.name, partition.tp.partition);
    match partition.log.apply_retention(broker.clock.now()).await {
        Ok(outcome) => {
            report(partition, &outcome);
            if outcome.future > 0 {
                tracing::warn!(%topic, partition = number, segments = outcome.future,
                    "segments hold timestamps in the future and are kept until then \
                     (message.timestamp.after.max.ms keeps them out)");
            }
        }
        Err(error) => tracing::warn!(%topic, partition = number, %error, "retention failed; trying again later"),
    }
}

fn report(partition: &Partition, outcome: &RetentionOutcome) {
    let (topic, number) = (&partition.topic.name, partition.tp.partition);
    for (segment, reason) in &outcome.deleted {
        tracing::info!(%topic, partition = number, base = %segment.base, bytes = segment.bytes, ?reason,
            "deleted a segment");
    }
}

/// Asks the topic's retention policy, if it has one: the offset below which everything may go.
async fn policy_offset(broker: &Broker, partition: &Partition) -> Option<Offset> {
    let binding = partition.topic.bindings()?.retention.clone()?;
    let log = &partition.log;
    let segments = log.segments();
    // Only closed segments are ever deleted: without one there is no question.
    if !log.config().cleanup.delete || !segments.iter().any(|segment| segment.sealed) {
        return None;
    }
    let (topic, number) = (Arc::clone(&partition.topic.name), partition.tp.partition);
    let (now, start, high_watermark) = (broker.clock.now(), log.start(), log.high_watermark());
    let asked = binding.clone();
    let question = move || {
        let summary = LogSummary {
            topic: &topic,
            partition: number.unsigned_abs(),
            now: now.0,
            start_offset: start.0,
            high_watermark: high_watermark.0,
            segments: segments.iter().map(summarized).collect(),
        };
        asked.ask(&Client::default(), 0, |hook| match hook {
            Hook::Retention(retention) => retention.delete_before(&summary),
            other => Err(wrong_hook(other)),
        })
    };
    let topic = &partition.topic.name;
    let before = match broker.on_plugin_pool(question).await {
        Ok(Ok(answer)) => Offset(answer.flatten()?),
        // What is the plugin's fault was logged where it was met.
        Ok(Err(error)) => {
            tracing::debug!(%topic, partition = number, %error, "no answer from a retention policy: all is kept");
            return None;
        }
        Err(error) => {
            tracing::warn!(%topic, partition = number, error, "a retention policy did not end as it should: all is kept");
            return None;
        }
    };
    let segments = log.segments_before(before).len();
    binding.count_verdicts("delete", segments);
    if binding.is_shadow() {
        tracing::debug!(%topic, partition = number, %before, segments, "a retention policy in shadow would delete");
        return None;
    }
    Some(before)
}

fn summarized(segment: &SegmentMeta) -> SegmentSummary {
    SegmentSummary {
        base_offset: segment.base.0,
        end_offset: segment.end.0,
        bytes: segment.bytes,
        records: segment.records,
        first_timestamp: segment.first_timestamp.unwrap_or(Timestamp::NONE).0,
        max_timestamp: segment.max_timestamp.unwrap_or(Timestamp::NONE).0,
        sealed: segment.sealed,
    }
}

/// Deletes what the topic's policy needs no longer.
async fn delete_before(partition: &Partition, before: Option<Offset>) {
    let Some(before) = before else { return };
    let (topic, number) = (&partition.topic.name, partition.tp.partition);
    match partition.log.delete_segments_before(before).await {
        Ok(outcome) => report(partition, &outcome),
        Err(error) => {
            tracing::warn!(%topic, partition = number, %error, "a retention policy's deletion failed; trying again later");
        }
    }
}

async fn maintenance(broker: Arc<Broker>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(MAINTAIN_INTERVAL) => {}
            () = stop.cancelled() => return,
        }
        broker.frames.trim();
        broker.groups().save_snapshots(groups::snapshot_records()).await;
        for (index, partition) in broker.replicas.open_partitions().into_iter().enumerate() {
            if index % PARTITIONS_PER_TURN == 0 {
                tokio::task::yield_now().await;
            }
            let ingress = partition.opened_ingress().map_or(Ok(()), |ingress| ingress.log.maintain());
            if let Err(error) = partition.log.maintain().and(ingress) {
                let (topic, number) = (&partition.topic.name, partition.tp.partition);
                tracing::debug!(%topic, partition = number, %error, "no checkpoint now; trying again later");
            }
        }
    }
}
