//! How long to wait before the next try.

use std::time::Duration;

/// Doubles from `base` to `max`, with a fifth of jitter so that many clients do not come back at once (KIP-580).
///
/// The jitter comes from a seed, not from the machine's randomness, so that a run can be repeated.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    attempts: u32,
    state: u64,
}

impl Backoff {
    /// Starts with no attempt made.
    #[must_use]
    pub const fn new(base: Duration, max: Duration, seed: u64) -> Self {
        Self { base, max, attempts: 0, state: seed }
    }

    /// The wait before the next attempt; each call counts as one attempt.
    pub fn next_wait(&mut self) -> Duration {
        let factor = 1u32 << self.attempts.min(16);
        self.attempts = self.attempts.saturating_add(1);
        let wait = self.base.saturating_mul(factor).min(self.max);
        // splitmix64: small, good enough to spread waits.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let percent = 80 + (z ^ (z >> 31)) % 41;
        wait.mul_f64(percent as f64 / 100.0)
    }

    /// Forgets the attempts: something has worked.
    pub const fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_maximum_within_the_jitter() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1), 7);
        for expect in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.next_wait().as_millis() as i64;
            assert!(wait >= expect * 8 / 10 && wait <= expect * 12 / 10, "{wait} for {expect}");
        }
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(120));
    }
}
