//! Stops asking a plugin for a client whose records break it, for a while.
//!
//! Breakers are kept per client, so that one client's poison does not stop the others; only clients that met a fault have one,
//! so that the usual call costs one load of a counter.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use watershed_hooks::Client;

/// How many clients with faults are remembered; when there are more, those that are not open are forgotten.
const CLIENTS_MAX: usize = 4096;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// After so many faults one behind the other.
    pub faults: u32,
    /// For so long; then one call is let through to see.
    pub open: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { faults: 5, open: Duration::from_secs(10) }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Breaker {
    faults: u32,
    open_until: Option<Duration>,
}

/// The breakers of one plugin.
#[derive(Debug)]
pub(crate) struct Breakers {
    settings: BreakerSettings,
    clients: Mutex<HashMap<Box<str>, Breaker>>,
    known: AtomicUsize,
}

fn key(client: &Client<'_>) -> Box<str> {
    format!("{}\n{}", client.principal, client.client_id).into()
}

impl Breakers {
    pub(crate) fn new(settings: BreakerSettings) -> Self {
        Self { settings, clients: Mutex::default(), known: AtomicUsize::new(0) }
    }

    /// Whether the plugin may be asked for this client. When an open breaker's time is over, one caller is let through and
    /// the others wait for what becomes of it.
    pub(crate) fn lets_through(&self, client: &Client<'_>, now: Duration) -> bool {
        if self.known.load(Ordering::Acquire) == 0 {
            return true;
        }
        let mut clients = self.clients.lock();
        match clients.get_mut(&key(client)).and_then(|breaker| breaker.open_until.as_mut()) {
            Some(until) if now < *until => false,
            Some(until) => {
                *until = now + self.settings.open;
                true
            }
            None => true,
        }
    }

    /// The plugin answered.
    pub(crate) fn answered(&self, client: &Client<'_>) {
        if self.known.load(Ordering::Acquire) > 0 {
            let mut clients = self.clients.lock();
            clients.remove(&key(client));
            self.known.store(clients.len(), Ordering::Release);
        }
    }

    /// The plugin failed; whether the breaker opened with it.
    pub(crate) fn failed(&self, client: &Client<'_>, now: Duration) -> bool {
        let mut clients = self.clients.lock();
        let key = key(client);
        if clients.len() >= CLIENTS_MAX && !clients.contains_key(&key) {
            clients.retain(|_, breaker| breaker.open_until.is_some_and(|until| now < until));
            if clients.len() >= CLIENTS_MAX {
                return false;
            }
        }
        let breaker = clients.entry(key).or_default();
        breaker.faults = breaker.faults.saturating_add(1);
        let opens = breaker.faults >= self.settings.faults;
        if opens {
            breaker.open_until = Some(now + self.settings.open);
        }
        self.known.store(clients.len(), Ordering::Release);
        opens
    }

    /// How many are open.
    pub(crate) fn open(&self, now: Duration) -> usize {
        if self.known.load(Ordering::Acquire) == 0 {
            return 0;
        }
        self.clients.lock().values().filter(|breaker| breaker.open_until.is_some_and(|until| now < until)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breaker_is_one_clients_own() {
        let second = Duration::from_secs;
        let breakers = Breakers::new(BreakerSettings { faults: 2, open: second(10) });
        let (bad, good) = (Client { client_id: "bad", ..Client::default() }, Client::default());
        assert!(!breakers.failed(&bad, second(0)));
        assert!(breakers.lets_through(&bad, second(0)), "one fault opens nothing");
        breakers.answered(&bad);
        assert!(!breakers.failed(&bad, second(1)), "an answer between them: they do not count together");
        assert!(breakers.failed(&bad, second(1)));
        assert!(!breakers.lets_through(&bad, second(10)));
        assert!(breakers.lets_through(&good, second(10)), "another client's own breaker");
        assert_eq!(breakers.open(second(10)), 1);
        assert!(breakers.lets_through(&bad, second(11)), "one call, to see");
        assert!(!breakers.lets_through(&bad, second(11)), "and no second one with it");
        assert!(breakers.failed(&bad, second(11)));
        assert!(!breakers.lets_through(&bad, second(20)));
        assert!(breakers.lets_through(&bad, second(21)));
        breakers.answered(&bad);
        assert!(breakers.lets_through(&bad, second(21)));
        assert_eq!(breakers.open(second(21)), 0);
    }

    #[test]
    fn the_number_of_breakers_is_bounded() {
        let breakers = Breakers::new(BreakerSettings { faults: 2, open: Duration::from_secs(10) });
        for id in 0..2 * CLIENTS_MAX {
            let id = id.to_string();
            breakers.failed(&Client { client_id: &id, ..Client::default() }, Duration::ZERO);
            assert!(breakers.known.load(Ordering::Relaxed) <= CLIENTS_MAX);
        }
    }
}
