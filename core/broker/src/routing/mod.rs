//! Topics whose records the broker takes to their partitions (`watershed.partitioner.mode = broker`).
//!
//! The partition that a client chose is only where a batch comes in: it is appended, with a plan that says where each record
//! belongs, to that partition's *ingress log*, and acknowledged there ([`ingress`]). A [`router`] for each ingress log copies what
//! is below its high watermark, in order, to the logs that consumers read. How far it has come stands in those logs themselves
//! ([`watershed_log::routed`]), so that after a crash every record is in exactly one of them, once.
//!
//! - [`door`] is where a produced batch finds out which of a partition's two logs it enters, and whether it is there already.
//! - [`phase`] moves a topic from one way of entering to the other: nothing enters the new way before everything that came the
//!   old way is where it belongs.
//! - [`drafts`] makes the copied batches.

mod door;
mod drafts;
mod ingress;
mod phase;
mod recent;
mod router;
mod targets;

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use door::Door;
pub(crate) use ingress::Ingress;
pub(crate) use phase::Routing;
pub(crate) use recent::budget as recent_entries;

use crate::Broker;
use crate::topic::TopicEntry;

/// What the tasks of this module are woken by.
pub(crate) enum Event {
    /// A topic's settings ask for another way to enter, or something is left over from before.
    Topic(Arc<TopicEntry>),
    /// An ingress log was opened.
    Opened(Arc<Ingress>),
}

/// Runs a task for every topic that is or was routed, and one for each ingress log, until `stop` fires.
pub(crate) async fn run(broker: Arc<Broker>, mut events: mpsc::UnboundedReceiver<Event>, stop: CancellationToken) {
    let mut tasks = JoinSet::new();
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = stop.cancelled() => None,
            Some(_ended) = tasks.join_next() => continue,
        };
        match event {
            Some(Event::Topic(topic)) if topic.routing.is_first_call() => {
                tasks.spawn(phase::follow(Arc::clone(&broker), topic, stop.clone()));
            }
            Some(Event::Topic(topic)) => topic.routing.wake(),
            Some(Event::Opened(ingress)) => {
                tasks.spawn(router::run(Arc::clone(&broker), ingress, stop.clone()));
            }
            None => break,
        }
    }
    // A task that panicked was reported when it did.
    while tasks.join_next().await.is_some() {}
}
