//! What a router knows of the logs that it copies to, and of the promises that it waits for.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use watershed_log::AppendTicket;
use watershed_model::Offset;
use watershed_storage::StorageError;

use crate::partition::Partition;

/// How long a target that took nothing is left alone at first, and at most.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(20);
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A log that records are copied to.
pub(super) struct Target {
    /// `None` until it could be opened.
    pub(super) partition: Option<Arc<Partition>>,
    /// Records below this offset of the ingress log are in it, or do not belong to it.
    pub(super) next: Offset,
    /// It took nothing, and has not caught up since.
    pub(super) behind: Option<Behind>,
}

#[derive(Clone, Copy)]
pub(super) struct Behind {
    /// When it is tried again.
    pub(super) retry: Instant,
    pub(super) pause: Duration,
    /// Records below this offset are in it and promised.
    pub(super) floor: Offset,
}

impl Target {
    /// Leaves it alone for a while; it has nothing from `next` on.
    pub(super) fn fall_behind(&mut self, next: Offset) {
        let pause = self.behind.map_or(PAUSE_MIN, |behind| (behind.pause * 2).min(PAUSE_MAX));
        let floor = self.behind.map_or(next, |behind| behind.floor.min(next));
        self.behind = Some(Behind { retry: Instant::now() + pause, pause, floor });
        self.next = next;
    }
}

/// Records that were appended and are not promised yet.
pub(super) struct Round {
    /// Everything below was appended, but for what belongs to targets that are behind.
    pub(super) upto: Offset,
    pub(super) promises: Vec<Promise>,
}

pub(super) struct Promise {
    pub(super) target: i32,
    pub(super) first: Offset,
    pub(super) ticket: AppendTicket,
    pub(super) outcome: Option<Result<(), StorageError>>,
}

impl Promise {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.outcome.is_none() {
            match Pin::new(&mut self.ticket).poll(cx) {
                Poll::Ready(outcome) => self.outcome = Some(outcome),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }
}

/// Resolves when every promise of the oldest round is kept or broken; never without a round.
pub(super) async fn promised(rounds: &mut VecDeque<Round>) {
    let Some(round) = rounds.front_mut() else { return std::future::pending().await };
    poll_fn(|cx| {
        // Each is polled, so that each can wake us.
        let pending =
            round.promises.iter_mut().filter_map(|promise| promise.poll(cx).is_pending().then_some(())).count();
        if pending == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
