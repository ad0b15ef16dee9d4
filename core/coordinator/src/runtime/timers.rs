//! The timers of one machine: each name is set at most once; heartbeats move theirs all the time.

use std::collections::BTreeMap;

/// Timers by name and by time.
#[derive(Debug)]
pub(super) struct Timers<T> {
    /// The number keeps timers of one moment in the order in which they were set.
    by_time: BTreeMap<(u64, u64), T>,
    by_name: BTreeMap<T, (u64, u64)>,
    next: u64,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { by_time: BTreeMap::new(), by_name: BTreeMap::new(), next: 0 }
    }
}

impl<T: Clone + Ord> Timers<T> {
    pub(super) fn set(&mut self, name: T, at_ms: u64) {
        let key = (at_ms, self.next);
        self.next += 1;
        if let Some(old) = self.by_name.get_mut(&name) {
            let old = std::mem::replace(old, key);
            // The name that is stored already is used again: it is shared by both maps.
            if let Some(stored) = self.by_time.remove(&old) {
                self.by_time.insert(key, stored);
                return;
            }
        }
        self.by_name.insert(name.clone(), key);
        self.by_time.insert(key, name);
    }

    pub(super) fn set_if_absent(&mut self, name: T, at_ms: u64) {
        if !self.by_name.contains_key(&name) {
            self.set(name, at_ms);
        }
    }

    pub(super) fn cancel(&mut self, name: &T) {
        if let Some(key) = self.by_name.remove(name) {
            self.by_time.remove(&key);
        }
    }

    /// When the first one is due.
    pub(super) fn first_at(&self) -> Option<u64> {
        self.by_time.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the first one that is due.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Option<T> {
        let entry = self.by_time.first_entry()?;
        if entry.key().0 > now_ms {
            return None;
        }
        let name = entry.remove();
        self.by_name.remove(&name);
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_in_order_once() {
        let mut timers = Timers::default();
        for (name, at) in [("c", 30), ("a", 10), ("b", 20), ("a", 25), ("d", 20), ("b", 20)] {
            timers.set(name, at);
        }
        timers.cancel(&"c");
        timers.cancel(&"nobody");
        assert_eq!(timers.first_at(), Some(20));
        assert_eq!(timers.take_due(19), None);
        let mut fired = Vec::new();
        while let Some(name) = timers.take_due(25) {
            fired.push(name);
        }
        assert_eq!(fired, ["d", "b", "a"]);
        assert_eq!(timers.first_at(), None);
    }
}
