//! When to send, and what became of it.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// The longest time that is told apart.
const LONGEST_NANOS: u64 = 3_600_000_000_000;

/// How often, how long.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Schedule {
    /// Requests per second
    #[arg(long, default_value_t = 1000.0)]
    pub(crate) rate: f64,
    /// Seconds that count
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// Seconds before them that do not
    #[arg(long, default_value_t = 1.0)]
    pub(crate) warm_up: f64,
}

impl Schedule {
    /// How many requests do not count, and how many there are in all.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let count = |seconds: f64| (self.rate * seconds) as usize;
        (count(self.warm_up), count(self.warm_up + self.seconds))
    }

    /// Waits for the time of request `number`.
    pub(crate) fn wait(&self, begin: Instant, number: usize) {
        let due = begin + Duration::from_secs_f64(number as f64 / self.rate);
        let left = due.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            std::thread::sleep(left);
        }
    }
}

/// Times of what was answered, in nanoseconds.
pub(crate) struct Times(Histogram<u64>);

impl Times {
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_max(LONGEST_NANOS, 3).expect("three digits of an hour are possible"))
    }

    pub(crate) fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0 += &other.0;
    }

    /// The quantiles in milliseconds, and how many requests were answered per second of `seconds`.
    pub(crate) fn report(&self, seconds: f64) -> Value {
        let at = |quantile: f64| self.0.value_at_quantile(quantile) as f64 / 1e6;
        json!({
            "count": self.0.len(),
            "per_second": self.0.len() as f64 / seconds,
            "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999), "max": self.0.max() as f64 / 1e6,
        })
    }
}
