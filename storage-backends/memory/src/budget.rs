//! Counts the bytes that all logs hold against the limit, and tells the world through [`Health`].
//!
//! Invariant: `used` never exceeds the limit through frames; blobs (few and small) are counted but never refused, so that a full
//! backend can still roll and free its oldest segments.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;
use watershed_storage::{Health, PlaceHealth, StorageError};

/// The backend's name as a place in health reports and errors.
const PLACE: &str = "memory";

/// Health is published anew when usage crosses a multiple of so many bytes, not at every append.
const PUBLISH_STEP_BYTES: u64 = 1 << 20;

#[derive(Debug)]
pub(crate) struct Budget {
    max: Option<u64>,
    used: AtomicU64,
    health: watch::Sender<Health>,
}

impl Budget {
    pub(crate) fn new(max: Option<u64>) -> Self {
        let place =
            PlaceHealth { path: PLACE.to_owned(), offline: None, full: false, total_bytes: max, usable_bytes: max };
        Self { max, used: AtomicU64::new(0), health: watch::Sender::new(Health { places: vec![place] }) }
    }

    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Takes `bytes` if the limit allows it; otherwise says that the backend is full.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), StorageError> {
        let max = self.max.unwrap_or(u64::MAX);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= max)
        });
        match taken {
            Ok(before) => {
                self.publish_step(before, before + bytes);
                Ok(())
            }
            Err(_) => {
                self.publish(true);
                Err(StorageError::Full { place: PLACE.to_owned() })
            }
        }
    }

    /// Counts `bytes` whatever the limit says.
    pub(crate) fn charge(&self, bytes: u64) {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        self.publish_step(before, before.saturating_add(bytes));
    }

    /// Gives `bytes` back; a full backend takes appends again.
    pub(crate) fn release(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let before = self.used.fetch_sub(bytes, Ordering::Relaxed);
        if self.health.borrow().places[0].full {
            self.publish(false);
        } else {
            self.publish_step(before, before.saturating_sub(bytes));
        }
    }

    fn publish_step(&self, before: u64, after: u64) {
        if before / PUBLISH_STEP_BYTES != after / PUBLISH_STEP_BYTES {
            let full = self.health.borrow().places[0].full;
            self.publish(full);
        }
    }

    fn publish(&self, full: bool) {
        self.health.send_if_modified(|health| {
            let place = &mut health.places[0];
            // Read inside the watch's own lock, so that the last to publish publishes the latest.
            let used = self.used.load(Ordering::Relaxed);
            let usable = self.max.map(|max| max.saturating_sub(used));
            let changed = place.full != full || place.usable_bytes != usable;
            place.full = full;
            place.usable_bytes = usable;
            changed
        });
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}
