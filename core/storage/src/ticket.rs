//! A receipt for an append, and the promise behind it.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use watershed_model::Offset;

use crate::StorageError;

/// What became of a promise.
type Outcome = Result<(), StorageError>;

/// What is to be told of it first.
type Observer = Box<dyn FnOnce(&Outcome) + Send>;

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
    Waiting(Arc<Shared>),
}

/// The backend's end of a [`Ticket`]. Dropping it unkept fails the ticket with [`StorageError::Gone`].
#[derive(Debug)]
pub struct Promise {
    end: Offset,
    shared: Arc<Shared>,
}

/// What both ends see.
#[derive(Default)]
struct Shared(Mutex<Meeting>);

#[derive(Default)]
struct Meeting {
    outcome: Option<Outcome>,
    observer: Option<Observer>,
    waker: Option<Waker>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Shared").field(&self.0.lock().outcome).finish()
    }
}

impl Shared {
    /// The first outcome stands.
    fn settle(&self, outcome: Outcome) {
        let (observer, waker) = {
            let mut meeting = self.0.lock();
            if meeting.outcome.is_some() {
                return;
            }
            meeting.outcome = Some(outcome.clone());
            (meeting.observer.take(), meeting.waker.take())
        };
        if let Some(observer) = observer {
            observer(&outcome);
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }
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
        let shared = Arc::new(Shared::default());
        let end = range.end;
        (Self { range, state: State::Waiting(Arc::clone(&shared)) }, Promise { end, shared })
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

    /// Has `observer` told of the outcome before anybody who waits for the ticket, and even if the ticket is dropped: by
    /// the thread that keeps or fails the promise, which may hold locks of its backend, so `observer` must neither wait
    /// for anything nor call the backend. If it is settled already, the caller's thread tells it now.
    pub fn observe(&self, observer: impl FnOnce(&Result<(), StorageError>) + Send + 'static) {
        let settled = match &self.state {
            State::Ripe => Ok(()),
            State::Waiting(shared) => {
                let mut meeting = shared.0.lock();
                match &meeting.outcome {
                    Some(outcome) => outcome.clone(),
                    None => {
                        meeting.observer = Some(Box::new(observer));
                        return;
                    }
                }
            }
        };
        observer(&settled);
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
        self.shared.settle(Ok(()));
    }

    /// Fails the ticket.
    pub fn fail(self, error: StorageError) {
        self.shared.settle(Err(error));
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.shared.settle(Err(StorageError::Gone));
    }
}

impl Future for Ticket {
    type Output = Result<Range<Offset>, StorageError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match &self.state {
            State::Ripe => Ok(()),
            State::Waiting(shared) => {
                let mut meeting = shared.0.lock();
                match &meeting.outcome {
                    Some(outcome) => outcome.clone(),
                    None => {
                        match &mut meeting.waker {
                            Some(waker) => waker.clone_from(cx.waker()),
                            none => *none = Some(cx.waker().clone()),
                        }
                        return Poll::Pending;
                    }
                }
            }
        };
        if outcome.is_ok() {
            self.state = State::Ripe;
        }
        Poll::Ready(outcome.map(|()| self.range.clone()))
    }
}

#[cfg(test)]
mod tests;
