//! How records enter a topic now, and the way from one way to the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use watershed_log::Mark;
use watershed_model::Offset;

use crate::Broker;
use crate::partition::Partition;
use crate::topic::TopicEntry;

/// How long to wait before an ingress log that could not be opened is tried again.
const OPEN_AGAIN: Duration = Duration::from_secs(1);

/// How records enter a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Into the logs that consumers read.
    Direct,
    /// Not at all: what was appended to those logs is not promised yet.
    Entering,
    /// Through the ingress logs.
    Routed,
    /// Not at all: not everything that came in has been taken to its partition.
    Leaving,
}

/// What a topic knows of its routing.
pub(crate) struct Routing {
    phase: Mutex<Phase>,
    /// A task follows the topic.
    followed: AtomicBool,
    /// The topic is deleted.
    over: AtomicBool,
    changed: Notify,
    backlog_max: AtomicU64,
    /// Partitions whose ingress logs were found at start.
    found: Vec<i32>,
}

impl Routing {
    /// Of a topic of which no partition is open: nothing is under way, but for what was `found` in ingress logs.
    pub(crate) fn new(routed: bool, found: Vec<i32>) -> Self {
        let phase = match (routed, found.is_empty()) {
            (true, _) => Phase::Routed,
            (false, true) => Phase::Direct,
            (false, false) => Phase::Leaving,
        };
        Self {
            phase: Mutex::new(phase),
            followed: AtomicBool::new(false),
            over: AtomicBool::new(false),
            changed: Notify::new(),
            backlog_max: AtomicU64::new(u64::MAX),
            found,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.lock()
    }

    /// Whether a task has to see to the topic that is routed, or is not.
    pub(crate) fn needs_care(&self, routed: bool) -> bool {
        !self.found.is_empty() || self.phase() != if routed { Phase::Routed } else { Phase::Direct }
    }

    pub(super) fn is_first_call(&self) -> bool {
        !self.followed.swap(true, Ordering::AcqRel)
    }

    /// The topic's settings may have changed.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    /// The topic is deleted.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.wake();
    }

    /// How many bytes may wait to be taken to their partitions, by ingress log.
    pub(crate) fn backlog_max(&self) -> u64 {
        self.backlog_max.load(Ordering::Relaxed)
    }

    pub(crate) fn set_backlog_max(&self, bytes: u64) {
        self.backlog_max.store(bytes, Ordering::Relaxed);
    }

    /// Opens and shuts a partition's logs as the phase says; `also` happens before the phase can change.
    pub(crate) fn settle(&self, partition: &Partition, also: impl FnOnce()) {
        let phase = self.phase.lock();
        also();
        apply(*phase, partition);
    }

    fn enter(&self, topic: &TopicEntry, phase: Phase) {
        let mut current = self.phase.lock();
        if *current != phase {
            tracing::info!(topic = %topic.name, from = ?*current, to = ?phase, "how records enter a topic changes");
        }
        *current = phase;
        for partition in topic.open_partitions() {
            apply(phase, &partition);
        }
    }
}

fn apply(phase: Phase, partition: &Partition) {
    partition.log.refuse_clients(phase != Phase::Direct);
    if let Some(ingress) = partition.opened_ingress() {
        ingress.log.refuse_clients(phase != Phase::Routed);
    }
}

/// Takes a topic through its phases, until it is deleted or `stop` fires.
pub(super) async fn follow(broker: Arc<Broker>, topic: Arc<TopicEntry>, stop: CancellationToken) {
    let routing = &topic.routing;
    tokio::select! {
        () = open_found(&broker, &topic) => {}
        () = stop.cancelled() => return,
    }
    loop {
        if routing.over.load(Ordering::Acquire) {
            return;
        }
        let next = match (routing.phase(), topic.is_routed()) {
            (Phase::Direct, true) => Some(Phase::Entering),
            (Phase::Entering, false) => Some(Phase::Direct),
            (Phase::Routed, false) => Some(Phase::Leaving),
            (Phase::Leaving, true) => Some(Phase::Routed),
            (Phase::Entering, true) => tokio::select! {
                () = all_promised(&topic) => Some(Phase::Routed),
                () = routing.changed.notified() => None,
                () = stop.cancelled() => return,
            },
            (Phase::Leaving, false) => tokio::select! {
                () = all_drained(&topic) => Some(Phase::Direct),
                () = routing.changed.notified() => None,
                () = stop.cancelled() => return,
            },
            (Phase::Direct, false) | (Phase::Routed, true) => tokio::select! {
                () = routing.changed.notified() => None,
                () = stop.cancelled() => return,
            },
        };
        if let Some(next) = next {
            routing.enter(&topic, next);
        }
    }
}

/// Opens the ingress logs that were found at start: what is in them has been acknowledged.
async fn open_found(broker: &Arc<Broker>, topic: &Arc<TopicEntry>) {
    for number in &topic.routing.found {
        while !topic.routing.over.load(Ordering::Acquire) {
            let image = broker.image();
            let Some(known) = image.topic_by_id(&topic.id) else { return };
            let opened = match broker.partition(&image, known, *number).await {
                Ok(partition) => broker.replicas().ingress(&partition).await.map(drop).map_err(|e| e.to_string()),
                Err(code) => Err(code.name().to_owned()),
            };
            let Err(error) = opened else { break };
            tracing::warn!(topic = %topic.name, partition = *number, error,
                "an ingress log cannot be opened; what is in it waits, and is tried again");
            tokio::time::sleep(OPEN_AGAIN).await;
        }
    }
}

/// Resolves when everything that was appended to the topic's logs is promised. A log that has failed has nothing more to promise.
async fn all_promised(topic: &TopicEntry) {
    for partition in topic.open_partitions() {
        let last = Offset(partition.log.end().0 - 1);
        let _ = partition.log.marks().passed(Mark::Promised, last).await;
    }
}

/// Resolves when everything that came in is where it belongs.
async fn all_drained(topic: &TopicEntry) {
    for partition in topic.open_partitions() {
        if let Some(ingress) = partition.opened_ingress() {
            ingress.drained().await;
        }
    }
}
