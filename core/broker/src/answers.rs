//! The requests of a connection whose ordered part is done, in their order, until their responses may leave.

use std::collections::VecDeque;

use futures_util::FutureExt;
use watershed_model::Piece;

use crate::Broker;
use crate::apis::{Overlapping, Pending};
use crate::connection::Close;
use crate::transport::Transport;

/// Overlapping requests that are to be answered, all of one API.
#[derive(Default)]
pub(crate) struct Answers {
    queue: VecDeque<Pending>,
    /// Of the requests in the queue.
    bytes: usize,
}

impl Answers {
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// The size of the requests.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What they are, if there are any.
    pub(crate) fn kind(&self) -> Option<Overlapping> {
        self.queue.front().map(Pending::kind)
    }

    pub(crate) fn push(&mut self, pending: Pending) {
        self.bytes += pending.bytes();
        self.queue.push_back(pending);
    }

    fn pop(&mut self) -> Option<Pending> {
        let done = self.queue.pop_front()?;
        self.bytes -= done.bytes();
        Some(done)
    }

    /// Waits until the first response is there; for ever if none is owed. Cancel-safe: the response stays where it is.
    pub(crate) async fn first(&mut self) -> Result<Vec<Piece>, Close> {
        match self.queue.front_mut() {
            Some(first) => std::future::poll_fn(|cx| first.poll_response(cx)).await,
            None => std::future::pending().await,
        }
    }

    /// Sends the first response, which [`Answers::first`] gave, and those behind it that are there too, in one go.
    pub(crate) async fn send(
        &mut self,
        broker: &Broker,
        transport: &mut Transport,
        first: Vec<Piece>,
    ) -> Result<(), Close> {
        let mut all = Vec::new();
        let mut next = Some(Ok(first));
        let mut outcome = Ok(());
        while let Some(ready) = next {
            let done = self.pop();
            match ready {
                Ok(pieces) => {
                    if let Some(done) = done {
                        let took = broker.clock().elapsed().saturating_sub(done.started());
                        let sent = pieces.iter().map(|piece| piece.len() as u64).sum();
                        broker.metrics.request(done.kind().api() as i16, took, done.bytes() as u64, sent);
                    }
                    all.extend(pieces);
                }
                Err(close) => {
                    outcome = Err(close);
                    break;
                }
            }
            next = self.first().now_or_never();
        }
        transport.send(all).await?;
        outcome
    }
}
