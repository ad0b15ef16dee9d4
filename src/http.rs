//! The HTTP listener: health for whoever restarts brokers, metrics for Prometheus, and what Kafka's protocol cannot carry.
//!
//! `/health/live`: the process answers. `/health/ready`: it serves and its log directories work; which topics wait for a
//! plugin that is not loaded. `/metrics`: Prometheus' text. `/api/v1/topics`: storage backend, log bounds and cleaning state
//! of every topic, as JSON. `/api/v1/groups`: lag in records and in time, and the last rebalance of every group. `/api/v1/plugins`: calls, faults and breakers of every plugin.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use watershed_broker::{GroupPartition, GroupStatus, MissingPlugin, PartitionStatus, RunningBroker, TopicStatus};
use watershed_policy::{Origin, PluginStatus};

/// Upper bounds of the latency histograms, in seconds: from a request answered from memory to a disk that stalls.
const SECONDS_BUCKETS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// How often the recorder folds what it has collected, whether or not somebody scrapes: bounds its memory.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// How many bindings to plugins that are not loaded are told one by one.
const MISSING_TOLD_MAX: usize = 100;

/// The process's metrics recorder. A process has one, however many brokers run in it.
pub fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    RECORDER
        .get_or_init(|| {
            let builder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)
                .expect("the buckets are not empty");
            // An embedding program may have a recorder of its own; then it has the metrics.
            let handle = builder.install_recorder().ok()?;
            watershed_broker::describe_metrics();
            watershed_policy::describe_metrics();
            crate::registry::describe_metrics();
            Some(handle)
        })
        .as_ref()
}

/// Serves until `stop` fires.
pub async fn serve(listener: TcpListener, broker: Arc<RunningBroker>, stop: CancellationToken) {
    let upkeep = tokio::spawn(upkeep(stop.clone()));
    let router = Router::new()
        .route("/health/live", get(|| async { "alive\n" }))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/v1/topics", get(topics))
        .route("/api/v1/groups", get(groups))
        .route("/api/v1/plugins", get(plugins))
        .with_state(broker);
    let served = axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await;
    if let Err(error) = served {
        tracing::error!(%error, "the HTTP listener failed");
    }
    upkeep.abort();
}

async fn upkeep(stop: CancellationToken) {
    let Some(recorder) = recorder() else { return };
    loop {
        tokio::select! {
            () = tokio::time::sleep(UPKEEP_INTERVAL) => recorder.run_upkeep(),
            () = stop.cancelled() => return,
        }
    }
}

async fn ready(State(broker): State<Arc<RunningBroker>>) -> impl IntoResponse {
    let (code, said) = if broker.is_healthy() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "a log directory is offline\n")
    };
    let mut text = said.to_owned();
    // The other topics are served: it is no reason to take the broker away from them.
    let missing = broker.missing_plugins();
    for MissingPlugin { topic, hook, plugin } in missing.iter().take(MISSING_TOLD_MAX) {
        let _ = writeln!(text, "topic {topic}: the plugin {plugin} ({hook}) is not loaded, so the hook fails");
    }
    if missing.len() > MISSING_TOLD_MAX {
        let _ = writeln!(text, "and {} more", missing.len() - MISSING_TOLD_MAX);
    }
    (code, text)
}

async fn metrics(State(broker): State<Arc<RunningBroker>>) -> impl IntoResponse {
    broker.sample_metrics();
    let mut text = recorder().map(PrometheusHandle::render).unwrap_or_default();
    text.push_str(&broker.group_metrics().await);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

async fn topics(State(broker): State<Arc<RunningBroker>>) -> Json<Value> {
    let topics: Vec<Value> = broker.topics().iter().map(topic).collect();
    Json(json!({ "topics": topics }))
}

async fn groups(State(broker): State<Arc<RunningBroker>>) -> Json<Value> {
    let groups: Vec<Value> = broker.groups().await.iter().map(group).collect();
    Json(json!({ "groups": groups }))
}

async fn plugins(State(broker): State<Arc<RunningBroker>>) -> Json<Value> {
    let plugins: Vec<Value> = broker.plugins().iter().map(plugin).collect();
    Json(json!({ "plugins": plugins }))
}

fn plugin(plugin: &PluginStatus) -> Value {
    json!({
        "name": plugin.name,
        "hook": plugin.hook.name(),
        "origin": match plugin.origin {
            Origin::Native => "native",
            Origin::Sandboxed => "sandboxed",
        },
        "calls": plugin.calls,
        "faults": plugin.faults,
        "last_fault": plugin.last_fault,
        "average_us": plugin.average.as_secs_f64() * 1e6,
        "breakers_open": plugin.breakers_open,
    })
}

fn group(group: &GroupStatus) -> Value {
    let rebalance = group.rebalance.as_ref().map(|rebalance| {
        json!({
            "reason": rebalance.reason.name(),
            "text": rebalance.text,
            "started_ms": rebalance.started.0,
            "duration_ms": rebalance.duration_ms,
        })
    });
    let partitions: Vec<Value> = group.partitions.iter().map(group_partition).collect();
    json!({
        "group": group.group_id,
        "type": group.kind,
        "state": group.state,
        "members": group.members,
        "last_rebalance": rebalance,
        "partitions": partitions,
    })
}

fn group_partition(at: &GroupPartition) -> Value {
    json!({
        "topic": at.topic,
        "partition": at.partition,
        "committed": at.committed,
        "committed_at_ms": at.committed_at_ms,
        "end": at.end,
        "lag": at.lag,
        "lag_seconds": at.lag_seconds,
        "drain_seconds": at.drain_seconds,
    })
}

fn topic(topic: &TopicStatus) -> Value {
    let partitions: Vec<Value> = topic.partitions.iter().map(partition).collect();
    json!({
        "name": topic.name,
        "id": topic.id,
        "storage": topic.storage,
        "not_cleaned_yet": topic.not_cleaned_yet,
        "open_partitions": partitions,
    })
}

fn partition(partition: &PartitionStatus) -> Value {
    json!({
        "partition": partition.partition,
        "log_start_offset": partition.log_start_offset,
        "high_watermark": partition.high_watermark,
        "log_end_offset": partition.log_end_offset,
        "bytes": partition.bytes,
        "segments": partition.segments,
    })
}
