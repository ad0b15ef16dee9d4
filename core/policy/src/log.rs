//! A line in the broker's log, not more often than so often.

use std::time::Duration;

use parking_lot::Mutex;

/// How many lines a plugin may write in how long.
const LINES_MAX: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Window {
    began: Duration,
    lines: u32,
    suppressed: u64,
}

/// Counts lines and says which may be written.
#[derive(Debug, Default)]
pub(crate) struct LogLimit(Mutex<Window>);

impl LogLimit {
    /// `Some(n)`: the line may be written, and `n` lines before it were not.
    pub(crate) fn take(&self, now: Duration) -> Option<u64> {
        let mut window = self.0.lock();
        if now.saturating_sub(window.began) >= WINDOW {
            window.began = now;
            window.lines = 0;
        }
        if window.lines >= LINES_MAX {
            window.suppressed += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let limit = LogLimit::default();
        let written = (0..100).filter(|_| limit.take(Duration::from_millis(5)).is_some()).count();
        assert_eq!(written, 10);
        assert_eq!(limit.take(Duration::from_millis(1005)), Some(90));
        assert_eq!(limit.take(Duration::from_millis(1005)), Some(0));
    }
}
