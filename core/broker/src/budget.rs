//! How many bytes of Produce requests may be in flight: a bound per broker and per connection.
//!
//! Only Produce draws on it. Every other request has a reserve of its own, so that a disk that stalls with the budget
//! full never costs a heartbeat or a fetch. A connection whose next Produce finds no room is simply not read any
//! further, and TCP tells its client to wait: backpressure, never an unbounded queue.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Permits are counted in units of this many bytes, so that the largest budgets fit a semaphore's 32 bits.
const UNIT_BYTES: usize = 256;

/// The broker's budget. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    units: Arc<Semaphore>,
    total_units: usize,
}

/// A share of the budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    _permit: OwnedSemaphorePermit,
}

impl Budget {
    /// A budget of `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        let total_units = (bytes / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(total_units)), total_units }
    }

    /// Bytes that are in flight now.
    pub(crate) fn used_bytes(&self) -> usize {
        (self.total_units - self.units.available_permits().min(self.total_units)) * UNIT_BYTES
    }

    /// A share of `bytes` (of the whole budget if it is smaller than that, so that a large request can always run
    /// alone), or `None` if it is not free now.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<Share> {
        let permit = Arc::clone(&self.units).try_acquire_many_owned(self.units_for(bytes)).ok()?;
        Some(Share { _permit: permit })
    }

    /// The same, waiting for it; requests are served in the order of their asking.
    pub(crate) async fn take(self, bytes: usize) -> Share {
        let units = self.units_for(bytes);
        let permit = self.units.acquire_many_owned(units).await.expect("the budget is never closed");
        Share { _permit: permit }
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
}
