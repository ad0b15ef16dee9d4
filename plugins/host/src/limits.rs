//! What one instance of a plugin may use.

use std::time::Duration;

use watershed_hooks::HookKind;

/// The memory of an instance where nothing is set, in bytes.
const MEMORY_BYTES_DEFAULT: usize = 16 << 20;

/// The smallest and the largest that may be set.
const MEMORY_BYTES: std::ops::RangeInclusive<usize> = (1 << 20)..=(1 << 30);
const BUDGET: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(10);

/// A limit that cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// The memory.
    #[error("memory must be from 1MiB to 1GiB")]
    Memory,
    /// The time.
    #[error("budget must be from 1ms to 10s")]
    Budget,
}

/// What one instance of a plugin may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    memory_bytes: usize,
    budget: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: MEMORY_BYTES_DEFAULT, budget: None }
    }
}

impl Limits {
    /// These limits; what is `None` has its default.
    ///
    /// # Errors
    /// [`LimitError`] where one is out of range.
    pub fn new(memory_bytes: Option<usize>, budget: Option<Duration>) -> Result<Self, LimitError> {
        let memory_bytes = memory_bytes.unwrap_or(MEMORY_BYTES_DEFAULT);
        if !MEMORY_BYTES.contains(&memory_bytes) {
            return Err(LimitError::Memory);
        }
        if budget.is_some_and(|budget| !BUDGET.contains(&budget)) {
            return Err(LimitError::Budget);
        }
        Ok(Self { memory_bytes, budget })
    }

    /// How much memory an instance may have, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// How long one call of a hook may take, in time on a processor: for hooks on records, for at most 256 records and 1 MiB.
    #[must_use]
    pub fn budget(&self, hook: HookKind) -> Duration {
        self.budget.unwrap_or(match hook {
            HookKind::Assignor => Duration::from_millis(500),
            HookKind::Retention | HookKind::TopicPolicy => Duration::from_millis(50),
            _ => Duration::from_millis(5),
        })
    }

    /// How long a plugin may take to load and to take its settings.
    #[must_use]
    pub fn init_budget(&self) -> Duration {
        self.budget.unwrap_or_default().max(Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_limits() {
        let ms = Duration::from_millis;
        for (memory, budget, want) in [
            (None, None, Ok((16 << 20, ms(5), ms(500)))),
            (Some(1 << 20), Some(ms(1)), Ok((1 << 20, ms(1), ms(1)))),
            (Some(1 << 30), Some(ms(10_000)), Ok((1 << 30, ms(10_000), ms(10_000)))),
            (Some((1 << 20) - 1), None, Err(LimitError::Memory)),
            (Some((1 << 30) + 1), None, Err(LimitError::Memory)),
            (None, Some(Duration::from_micros(999)), Err(LimitError::Budget)),
            (None, Some(ms(10_001)), Err(LimitError::Budget)),
        ] {
            let limits = Limits::new(memory, budget);
            let seen =
                limits.map(|l| (l.memory_bytes(), l.budget(HookKind::Partitioner), l.budget(HookKind::Assignor)));
            assert_eq!(seen, want, "{memory:?} {budget:?}");
        }
    }
}
