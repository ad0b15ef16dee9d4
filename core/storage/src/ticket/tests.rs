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
