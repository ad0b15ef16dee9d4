//! A receipt for an append, and the promise behind it.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use watershed_model::Offset;

use crate::StorageError;

/// What an append returns: the offsets at once, and a future that resolves when they are promised.
/// Dropping it is free; the append stands.
#[derive(Debug)]
pub struct Ticket {
    range: Range<Offset>,
    state: State,
}

#[derive(Debug)]
enum State {
    Ripe,
    Waiting(oneshot::Receiver<Result<(), StorageError>>),
}

/// The backend's end of a [`Ticket`]. Dropping it unkept fails the ticket with [`StorageError::Gone`].
#[derive(Debug)]
pub struct Promise {
    end: Offset,
    sender: oneshot::Sender<Result<(), StorageError>>,
}

impl Ticket {
    /// A ticket for something that is promised already.
    #[must_use]
    pub fn ripe(range: Range<Offset>) -> Self {
        Self { range, state: State::Ripe }
    }

    /// A ticket and the promise that ripens it.
    #[must_use]
    pub fn pending(range: Range<Offset>) -> (Self, Promise) {
        let (sender, receiver) = oneshot::channel();
        let end = range.end;
        (Self { range, state: State::Waiting(receiver) }, Promise { end, sender })
    }

    /// The first offset, and the one after the last.
    #[must_use]
    pub fn range(&self) -> Range<Offset> {
        self.range.clone()
    }

    /// Whether it is known to be promised without waiting.
    #[must_use]
    pub fn is_ripe(&self) -> bool {
        matches!(self.state, State::Ripe)
    }
}

impl Promise {
    /// The offset up to which the log must be promised for this to be kept.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Ripens the ticket.
    pub fn keep(self) {
        // The holder may have gone; then nobody is told.
        let _ = self.sender.send(Ok(()));
    }

    /// Fails the ticket.
    pub fn fail(self, error: StorageError) {
        let _ = self.sender.send(Err(error));
    }
}

impl Future for Ticket {
    type Output = Result<Range<Offset>, StorageError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match &mut self.state {
            State::Ripe => Ok(()),
            State::Waiting(receiver) => match Pin::new(receiver).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(kept) => kept.unwrap_or(Err(StorageError::Gone)),
            },
        };
        if outcome.is_ok() {
            self.state = State::Ripe;
        }
        Poll::Ready(outcome.map(|()| self.range.clone()))
    }
}

#[cfg(test)]
mod tests;
