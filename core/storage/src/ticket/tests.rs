//! Every end that a ticket can come to.
#![allow(clippy::unwrap_used)]

use super::*;

#[tokio::test]
async fn a_ticket_ends_as_its_promise_does() {
    let range = Offset(3)..Offset(7);
    let ripe = Ticket::ripe(range.clone());
    assert!(ripe.is_ripe());
    assert_eq!(ripe.await.unwrap(), range);

    let (mut ticket, promise) = Ticket::pending(range.clone());
    assert_eq!((ticket.range(), promise.end()), (range.clone(), Offset(7)));
    assert!(!ticket.is_ripe());
    promise.keep();
    assert_eq!((&mut ticket).await.unwrap(), range);
    // Asked again, it still knows.
    assert!(ticket.is_ripe());
    assert_eq!(ticket.await.unwrap(), range);

    let (ticket, promise) = Ticket::pending(range.clone());
    promise.fail(StorageError::Truncated);
    assert!(matches!(ticket.await, Err(StorageError::Truncated)));

    let (ticket, promise) = Ticket::pending(range.clone());
    drop(promise);
    assert!(matches!(ticket.await, Err(StorageError::Gone)));

    // Nobody waits any more.
    let (ticket, promise) = Ticket::pending(range);
    drop(ticket);
    promise.keep();
}

#[tokio::test]
async fn an_observer_is_told_first_and_once_whoever_else_waits() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let told = Arc::new(AtomicUsize::new(0));
    let observe = |ticket: &Ticket, ok: bool| {
        let told = Arc::clone(&told);
        ticket.observe(move |outcome| {
            assert_eq!(outcome.is_ok(), ok);
            told.fetch_add(1, Ordering::SeqCst);
        });
    };
    let range = Offset(0)..Offset(1);

    let (ticket, promise) = Ticket::pending(range.clone());
    observe(&ticket, true);
    drop(ticket);
    assert_eq!(told.load(Ordering::SeqCst), 0);
    promise.keep();
    assert_eq!(told.load(Ordering::SeqCst), 1, "though nobody waits");

    let (ticket, promise) = Ticket::pending(range.clone());
    observe(&ticket, false);
    let waiting = {
        let told = Arc::clone(&told);
        tokio::spawn(async move {
            assert!(ticket.await.is_err());
            assert_eq!(told.load(Ordering::SeqCst), 2, "before the one who waits");
        })
    };
    tokio::task::yield_now().await;
    drop(promise);
    waiting.await.unwrap();

    let (ticket, promise) = Ticket::pending(range.clone());
    promise.keep();
    observe(&ticket, true);
    observe(&Ticket::ripe(range), true);
    assert_eq!(told.load(Ordering::SeqCst), 4, "at once, where it is settled");
}
