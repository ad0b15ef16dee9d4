//! How many newer records of the same ordering key there are, for each record of a partition.
//!
//! The partition is walked twice, oldest first: the first walk counts the records of each key, the second says of each record how
//! many are still to come. Keys are known by 128 bits of a keyed hash, so that no sender can make two of them meet. Where there are
//! more keys than are counted at once, a part of them is counted, another part the next time, and of the rest nothing is said:
//! nobody takes a record for older than it is.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use watershed_model::limits::RANKED_KEYS_MAX;

#[derive(Clone, Copy, Default)]
struct Count {
    all: u32,
    seen: u32,
}

/// The counts of one look at a partition.
pub struct Ranks {
    counts: HashMap<u128, Count>,
    hashers: [RandomState; 2],
    keys_max: usize,
    /// Of this many bits of a hash, those that are counted have the lowest of `turn`.
    bits: u32,
    turn: u64,
}

impl Ranks {
    /// Nothing counted yet. Looks with ascending numbers take all keys in turn.
    #[must_use]
    pub fn new(turn: u64) -> Self {
        Self::with(turn, RANKED_KEYS_MAX)
    }

    fn with(turn: u64, keys_max: usize) -> Self {
        let hashers = [RandomState::new(), RandomState::new()];
        Self { counts: HashMap::new(), hashers, keys_max, bits: 0, turn }
    }

    /// Whether all keys are counted.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.bits == 0
    }

    fn hash(&self, key: &[u8]) -> u128 {
        let [high, low] = [0, 1].map(|i| u128::from(self.hashers[i].hash_one(key)));
        (high << 64) | low
    }

    fn is_counted(hash: u128, bits: u32, turn: u64) -> bool {
        let mask = (1u64 << bits) - 1;
        // The two halves are of different hashers: one spreads the map's entries, the other chooses.
        ((hash >> 64) as u64) & mask == turn & mask
    }

    /// Counts a record with this key, the next of the partition.
    pub fn count(&mut self, key: Option<&[u8]>) {
        let Some(hash) = key.map(|key| self.hash(key)) else { return };
        if !Self::is_counted(hash, self.bits, self.turn) {
            return;
        }
        let count = self.counts.entry(hash).or_default();
        count.all = count.all.saturating_add(1);
        while self.counts.len() > self.keys_max && self.bits < 63 {
            self.bits += 1;
            let (bits, turn) = (self.bits, self.turn);
            self.counts.retain(|hash, _| Self::is_counted(*hash, bits, turn));
        }
    }

    /// How many newer records of its key there are, of the next record; `None` where its key is not counted. A record without a key
    /// has none.
    pub fn next(&mut self, key: Option<&[u8]>) -> Option<u32> {
        let Some(key) = key else { return Some(0) };
        let hash = self.hash(key);
        if !Self::is_counted(hash, self.bits, self.turn) {
            return None;
        }
        // What came since the count is newer than all that was counted: it makes nothing older.
        let Some(count) = self.counts.get_mut(&hash) else { return Some(0) };
        count.seen = count.seen.saturating_add(1);
        Some(count.all.saturating_sub(count.seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Vec<u8> {
        format!("key {n}").into_bytes()
    }

    #[test]
    fn the_newest_is_0() {
        let mut ranks = Ranks::with(0, 10);
        let keys = [Some(&b"a"[..]), Some(b"b"), None, Some(b"a"), Some(b""), Some(b"a"), None];
        keys.iter().for_each(|key| ranks.count(*key));
        let next = keys.map(|key| ranks.next(key));
        assert_eq!(next, [Some(2), Some(0), Some(0), Some(1), Some(0), Some(0), Some(0)]);
        assert_eq!(ranks.next(Some(b"new")), Some(0), "what was not counted is not old");
        assert!(ranks.is_complete());
    }

    #[test]
    fn more_keys_than_fit_come_in_turns_and_never_with_a_wrong_rank() {
        const KEYS: usize = 1_000;
        let mut ranked = vec![false; KEYS];
        for turn in 0..64 {
            let mut ranks = Ranks::with(turn, 64);
            for n in (0..KEYS).chain(0..KEYS) {
                ranks.count(Some(&key(n)));
                assert!(ranks.counts.len() <= 64);
            }
            for (wanted, n) in [(1, 0..KEYS), (0, 0..KEYS)].into_iter().flat_map(|(w, keys)| keys.map(move |n| (w, n)))
            {
                let rank = ranks.next(Some(&key(n)));
                assert!(rank.is_none_or(|rank| rank == wanted), "key {n}: {rank:?}");
                ranked[n] |= rank.is_some();
            }
        }
        let left = ranked.iter().filter(|ranked| !**ranked).count();
        // The hash of each look is another, so that it is a matter of chance: (31/32)^64 of them, and the chance that many more are
        // left is nothing.
        assert!(left < KEYS / 4, "{left} keys were never counted");
    }
}
