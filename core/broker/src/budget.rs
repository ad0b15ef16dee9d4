//! How many bytes of Produce requests may be in flight: a bound per broker and per connection.
//!
//! Only Produce draws on it. Every other request has a reserve of its own, so that a disk that stalls with the budget
//! full never costs a heartbeat or a fetch. A connection whose next Produce finds no room is simply not read any
//! further, and TCP tells its client to wait: backpressure, never an unbounded queue.
//!
//! A share grows with what has arrived, so that who announces much and sends nothing holds nothing. Frames that hold a
//! part each and wait for each other's rest would never end: one of them at a time goes on without room.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Permits are counted in units of this many bytes, so that the largest budgets fit a semaphore's 32 bits.
const UNIT_BYTES: usize = 256;

/// The broker's budget. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    units: Arc<Semaphore>,
    total_units: usize,
    /// The place of the one frame that may go beyond the budget.
    overdraft: Arc<Semaphore>,
}

/// A share of the budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    permit: OwnedSemaphorePermit,
    bytes: usize,
    overdraft: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// Whether so many bytes are paid for.
    pub(crate) fn covers(&self, bytes: usize) -> bool {
        bytes <= self.bytes || self.overdraft.is_some()
    }
}

impl Budget {
    /// A budget of `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        let total_units = (bytes / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(total_units)), total_units, overdraft: Arc::new(Semaphore::new(1)) }
    }

    /// Bytes that are in flight now.
    pub(crate) fn used_bytes(&self) -> usize {
        (self.total_units - self.units.available_permits().min(self.total_units)) * UNIT_BYTES
    }

    /// A share of `bytes` (of the whole budget if it is smaller than that, so that a large request can always run
    /// alone), or `None` if it is not free now.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<Share> {
        let permit = Arc::clone(&self.units).try_acquire_many_owned(self.units_for(bytes)).ok()?;
        Some(Share { permit, bytes, overdraft: None })
    }

    /// The same, waiting for it; requests are served in the order of their asking.
    pub(crate) async fn take(self, bytes: usize) -> Share {
        let units = self.units_for(bytes);
        let permit = self.units.acquire_many_owned(units).await.expect("the budget is never closed");
        Share { permit, bytes, overdraft: None }
    }

    /// Makes a share larger if there is room now; whether there was.
    pub(crate) fn try_grow(&self, share: &mut Share, bytes: usize) -> bool {
        let more = self.units_for(bytes).saturating_sub(self.units_for(share.bytes));
        let Ok(permit) = Arc::clone(&self.units).try_acquire_many_owned(more) else { return false };
        share.permit.merge(permit);
        share.bytes = bytes;
        true
    }

    /// The same, waiting for room, or for being the one that goes on without.
    pub(crate) async fn grow(self, mut share: Share, bytes: usize) -> Share {
        let more = self.units_for(bytes).saturating_sub(self.units_for(share.bytes));
        tokio::select! {
            biased;
            permit = self.units.acquire_many_owned(more) => {
                share.permit.merge(permit.expect("the budget is never closed"));
                share.bytes = bytes;
            }
            place = self.overdraft.acquire_owned() => {
                share.overdraft = Some(place.expect("the budget is never closed"));
            }
        }
        share
    }

    fn units_for(&self, bytes: usize) -> u32 {
        let units = bytes.div_ceil(UNIT_BYTES).min(self.total_units);
        u32::try_from(units).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_given_back() {
        let budget = Budget::new(1024);
        let first = budget.try_take(800).expect("it is free");
        assert_eq!(budget.used_bytes(), 1024, "counted in whole units");
        assert!(budget.try_take(1).is_none());
        drop(first);
        assert_eq!(budget.used_bytes(), 0);
        assert!(budget.try_take(1 << 40).is_some(), "a request larger than the budget runs alone");
    }

    #[tokio::test]
    async fn shares_that_grow_do_not_wait_for_each_other_for_ever() {
        let budget = Budget::new(1024);
        let mut first = budget.try_take(256).expect("it is free");
        assert!(budget.try_grow(&mut first, 512) && first.covers(512) && !first.covers(513));
        let second = budget.try_take(512).expect("it is free");
        assert!(!budget.try_grow(&mut first, 1024), "there is no room");
        let first = budget.clone().grow(first, 1024).await;
        assert!(first.covers(usize::MAX), "one goes on all the same");
        let waiting = tokio::spawn(budget.clone().grow(second, 1024));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "the other waits for it");
        drop(first);
        let second = waiting.await.expect("it does not panic");
        assert!(second.covers(1024));
        drop(second);
        assert_eq!(budget.used_bytes(), 0);
    }
}
