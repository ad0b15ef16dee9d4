//! Housekeeping: follow the metadata, apply retention, save what recovery would otherwise read again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use watershed_metadata::{Change, MetadataDelta};

use crate::{Broker, groups};

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
            let (topic, number) = (&partition.topic.name, partition.tp.partition);
            match partition.log.apply_retention(broker.clock.now()).await {
                Ok(outcome) => {
                    for (segment, reason) in &outcome.deleted {
                        tracing::info!(%topic, partition = number, base = %segment.base, bytes = segment.bytes, ?reason,
                            "deleted a segment");
                    }
                    if outcome.future > 0 {
                        tracing::warn!(%topic, partition = number, segments = outcome.future,
                            "segments hold timestamps in the future and are kept until then \
                             (message.timestamp.after.max.ms keeps them out)");
                    }
                }
                Err(error) => {
                    tracing::warn!(%topic, partition = number, %error, "retention failed; trying again later")
                }
            }
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
            if let Err(error) = partition.log.maintain() {
                let (topic, number) = (&partition.topic.name, partition.tp.partition);
                tracing::debug!(%topic, partition = number, %error, "no checkpoint now; trying again later");
            }
        }
    }
}
