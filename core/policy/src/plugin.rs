//! One hook of one plugin: its instances, and asking one of them.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use watershed_hooks::{
    Client, Environment, Failure, FaultKind, Hook, HookKind, LogLevel, PluginError, PluginFactory, Reads, Settings,
};
use watershed_model::Clock;

use crate::breaker::{BreakerSettings, Breakers};
use crate::log::LogLimit;
use crate::metrics::{self, Metrics};
use crate::produce::Sequence;

/// How many idle instances are kept: more are only there while more calls run at once.
const IDLE_INSTANCES_MAX: usize = 16;

/// A plugin whose calls take longer than this, on average, does not run on a network thread.
const SLOW: Duration = Duration::from_micros(200);

/// A new call counts for one part in so many of the average.
const AVERAGE_OVER: u32 = 8;

/// How many batches that broke a plugin are remembered; when there are more, all are forgotten.
const POISON_MAX: usize = 1024;

/// What follows from a plugin that has no answer through its own fault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// What it was asked about is refused.
    #[default]
    Closed,
    /// Things go on as if it were not there.
    Open,
    /// The records it was asked about go to this topic; for interceptors.
    DeadLetter(String),
}

/// Where a plugin comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It comes with the broker, or was compiled in: trusted code.
    Native,
    /// It was loaded from a file, into a sandbox.
    Sandboxed,
}

/// What a plugin is made from.
pub struct PluginParts {
    /// Makes its instances.
    pub factory: Arc<dyn PluginFactory>,
    /// Its settings.
    pub settings: Settings,
    /// What follows from a failure.
    pub on_error: OnError,
    /// Where records go of which it says that they belong there.
    pub dead_letter_topic: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// Randomness for native plugins.
    pub random: Arc<dyn Fn() -> u32 + Send + Sync>,
    /// When breakers open.
    pub breaker: BreakerSettings,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// A call that has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plugin {plugin} ({hook}): {reason}")]
pub struct CallError {
    /// The plugin.
    pub plugin: String,
    /// The hook.
    pub hook: HookKind,
    /// Whether asking again would give the same.
    pub permanent: bool,
    /// It is the plugin's fault (its own refusals are not), so that [`OnError`] says what follows.
    pub fault: Option<FaultKind>,
    /// The plugin has seen what it was to be asked about: not while a breaker is open, nor without an instance.
    pub asked: bool,
    /// Why, for people.
    pub reason: String,
}

/// What is known of a plugin, for people.
#[derive(Clone, Debug)]
pub struct PluginStatus {
    /// Its name.
    pub name: String,
    /// Its hook.
    pub hook: HookKind,
    /// Where it comes from.
    pub origin: Origin,
    /// Calls so far.
    pub calls: u64,
    /// Calls that failed through its fault.
    pub faults: u64,
    /// The latest of them.
    pub last_fault: Option<String>,
    /// The average time of a call.
    pub average: Duration,
    /// Clients whose breaker is open.
    pub breakers_open: usize,
}

/// One hook of one plugin.
pub struct Plugin {
    name: String,
    hook: HookKind,
    factory: Arc<dyn PluginFactory>,
    settings: Settings,
    on_error: OnError,
    dead_letter_topic: Option<String>,
    origin: Origin,
    environment: Environment,
    reads: Reads,
    deterministic: bool,
    idle: Mutex<Vec<Hook>>,
    breakers: Breakers,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    failures: LogLimit,
    /// The average of a call, in nanoseconds.
    average: AtomicU32,
    calls: AtomicU64,
    faults: AtomicU64,
    last_fault: Mutex<Option<String>>,
    /// Batches of idempotent producers that broke it.
    poison: Mutex<HashSet<(Box<str>, u32, Sequence)>>,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.hook)
    }
}

impl Plugin {
    /// Makes the first instance, which shows that the plugin can be made and which columns it reads.
    ///
    /// # Errors
    /// [`PluginError`], what is wrong with the plugin or its settings.
    pub fn new(parts: PluginParts) -> Result<Self, PluginError> {
        let PluginParts { factory, settings, on_error, dead_letter_topic, origin, random, breaker, clock } = parts;
        let (name, hook) = (factory.name().to_owned(), factory.hook());
        let environment = environment(&name, hook, random, &clock);
        let first = factory.create(&settings, &environment)?;
        if first.kind() != hook {
            let reason = format!("it says that it serves {hook} and made an instance for {}", first.kind());
            return Err(PluginError::Broken { plugin: name, reason });
        }
        let reads = first.reads().cloned().unwrap_or_default();
        let deterministic = matches!(&first, Hook::Partitioner(partitioner) if partitioner.deterministic());
        Ok(Self {
            metrics: Metrics::new(&name, hook),
            name,
            hook,
            factory,
            settings,
            on_error,
            dead_letter_topic,
            origin,
            environment,
            reads,
            deterministic,
            idle: Mutex::new(vec![first]),
            breakers: Breakers::new(breaker),
            clock,
            failures: LogLimit::default(),
            average: AtomicU32::new(0),
            calls: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            last_fault: Mutex::new(None),
            poison: Mutex::default(),
        })
    }

    /// The name by which it is bound.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The hook that it serves.
    #[must_use]
    pub fn hook(&self) -> HookKind {
        self.hook
    }

    /// Which columns it reads.
    #[must_use]
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Of a partitioner: whether it answers by the record and the number of partitions alone.
    #[must_use]
    pub fn is_deterministic(&self) -> bool {
        self.deterministic
    }

    /// Where it comes from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// What follows from a failure.
    #[must_use]
    pub fn on_error(&self) -> &OnError {
        &self.on_error
    }

    /// Where records go of which it says that they belong there; without a topic of its own, the one for its faults.
    #[must_use]
    pub fn dead_letter_topic(&self) -> Option<&str> {
        let of_errors = match &self.on_error {
            OnError::DeadLetter(topic) => Some(topic.as_str()),
            OnError::Closed | OnError::Open => None,
        };
        self.dead_letter_topic.as_deref().or(of_errors)
    }

    /// Whether its calls are too long for a thread that serves connections.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        Duration::from_nanos(self.average.load(Ordering::Relaxed).into()) > SLOW
    }

    /// What is known of it.
    #[must_use]
    pub fn status(&self) -> PluginStatus {
        PluginStatus {
            name: self.name.clone(),
            hook: self.hook,
            origin: self.origin,
            calls: self.calls.load(Ordering::Relaxed),
            faults: self.faults.load(Ordering::Relaxed),
            last_fault: self.last_fault.lock().clone(),
            average: Duration::from_nanos(self.average.load(Ordering::Relaxed).into()),
            breakers_open: self.breakers.open(self.clock.elapsed()),
        }
    }

    /// Asks an instance. `records` says how many records it is about, for the metrics.
    ///
    /// # Errors
    /// [`CallError`]. After a fault the instance is gone, and the next call gets a new one.
    pub fn call<R>(
        &self,
        client: &Client<'_>,
        records: usize,
        ask: impl FnOnce(&mut Hook) -> Result<R, Failure>,
    ) -> Result<R, CallError> {
        let began = self.clock.elapsed();
        if !self.breakers.lets_through(client, began) {
            self.metrics.skipped.increment(1);
            let reason = "it failed again and again for this client and is not asked for a while".to_owned();
            return Err(CallError { asked: false, ..self.error(false, Some(FaultKind::Trap), reason) });
        }
        let idle = self.idle.lock().pop();
        let made = idle.map_or_else(|| self.factory.create(&self.settings, &self.environment), Ok);
        let mut instance = made.map_err(|error| {
            let failed = self.failed(client, FaultKind::Trap, &error.to_string(), began);
            CallError { asked: false, ..failed }
        })?;
        let answer = ask(&mut instance);
        let took = self.clock.elapsed().saturating_sub(began);
        self.count(records, took);
        match answer {
            Ok(answer) => {
                self.give_back(instance);
                self.breakers.answered(client);
                Ok(answer)
            }
            Err(Failure::Fault { kind, message }) => Err(self.failed(client, kind, &message, began)),
            Err(Failure::Retriable(reason)) => {
                self.give_back(instance);
                self.breakers.answered(client);
                self.metrics.refusals.increment(1);
                Err(self.error(false, None, reason))
            }
            Err(Failure::Permanent(reason)) => {
                self.give_back(instance);
                self.breakers.answered(client);
                self.metrics.refusals.increment(1);
                Err(self.error(true, None, reason))
            }
        }
    }

    /// Remembers that this batch broke the plugin; whether it did so before.
    pub(crate) fn is_poison(&self, topic: &str, partition: u32, sequence: Sequence) -> bool {
        let mut poison = self.poison.lock();
        if poison.len() >= POISON_MAX {
            poison.clear();
        }
        !poison.insert((topic.into(), partition, sequence))
    }

    /// Counts verdicts on records.
    pub(crate) fn count_verdicts(&self, verdict: &'static str, shadow: bool, records: u64) {
        self.metrics.verdict(verdict, shadow, records);
    }

    /// Counts a call after which things go on without it, and says so in the log.
    pub(crate) fn failed_open(&self, error: &CallError) {
        self.metrics.failed_open.increment(1);
        if let Some(suppressed) = self.failures.take(self.clock.elapsed()) {
            tracing::warn!(plugin = %self.name, hook = %self.hook, %error, suppressed,
                "a plugin failed and its on_error is open: going on without it");
        }
    }

    fn give_back(&self, instance: Hook) {
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_INSTANCES_MAX {
            idle.push(instance);
        }
    }

    fn count(&self, records: usize, took: Duration) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.metrics.calls.increment(1);
        self.metrics.records.increment(records as u64);
        self.metrics.seconds.record(took);
        let took = u32::try_from(took.as_nanos()).unwrap_or(u32::MAX);
        // Two threads may overwrite each other's average; it stays one.
        let before = self.average.load(Ordering::Relaxed);
        let after = if before == 0 { took } else { before - before / AVERAGE_OVER + took / AVERAGE_OVER };
        self.average.store(after, Ordering::Relaxed);
    }

    fn failed(&self, client: &Client<'_>, kind: FaultKind, message: &str, began: Duration) -> CallError {
        let now = self.clock.elapsed();
        self.metrics.fault(kind);
        self.faults.fetch_add(1, Ordering::Relaxed);
        *self.last_fault.lock() = Some(format!("{kind}: {message}"));
        if let Some(suppressed) = self.failures.take(now) {
            let took_ms = now.saturating_sub(began).as_secs_f64() * 1e3;
            tracing::warn!(plugin = %self.name, hook = %self.hook, %kind, message, took_ms, suppressed,
                client = client.client_id, "a plugin failed");
        }
        if self.breakers.failed(client, now) {
            self.metrics.opened.increment(1);
        }
        self.error(false, Some(kind), format!("{kind}: {message}"))
    }

    fn error(&self, permanent: bool, fault: Option<FaultKind>, reason: String) -> CallError {
        CallError { plugin: self.name.clone(), hook: self.hook, permanent, fault, asked: true, reason }
    }
}

/// What instances are given: a rate-limited log, and counters.
fn environment(
    name: &str,
    hook: HookKind,
    random: Arc<dyn Fn() -> u32 + Send + Sync>,
    clock: &Arc<dyn Clock>,
) -> Environment {
    let (limit, clock, plugin) = (LogLimit::default(), Arc::clone(clock), name.to_owned());
    let log = move |level: LogLevel, line: &str| {
        let Some(suppressed) = limit.take(clock.elapsed()) else { return };
        match level {
            LogLevel::Debug => tracing::debug!(plugin, %hook, suppressed, "{line}"),
            LogLevel::Info => tracing::info!(plugin, %hook, suppressed, "{line}"),
            LogLevel::Warn => tracing::warn!(plugin, %hook, suppressed, "{line}"),
            LogLevel::Error => tracing::error!(plugin, %hook, suppressed, "{line}"),
        }
    };
    let plugin = name.to_owned();
    let count = move |counter: &str, n: u64| metrics::count(&plugin, counter, n);
    Environment { random, log: Arc::new(log), count: Arc::new(count) }
}
