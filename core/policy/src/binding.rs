//! Plugins bound to a topic.

use std::sync::Arc;
use std::time::Duration;

use watershed_hooks::{Client, Failure, FaultKind, Hook, HookKind, Reads};

use crate::plugin::{CallError, OnError, Plugin};

/// Whether a binding has effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BindingState {
    /// What the plugin says holds.
    #[default]
    On,
    /// The plugin is asked, and what it says is counted and has no effect.
    Shadow,
}

/// A plugin bound to something.
#[derive(Clone, Debug)]
pub struct Binding {
    plugin: Bound,
    state: BindingState,
}

#[derive(Clone, Debug)]
enum Bound {
    Loaded(Arc<Plugin>),
    /// The binding was made when there was such a plugin.
    Missing {
        hook: HookKind,
        name: String,
    },
}

impl Binding {
    /// Binds a plugin.
    #[must_use]
    pub fn new(plugin: Arc<Plugin>, state: BindingState) -> Self {
        Self { plugin: Bound::Loaded(plugin), state }
    }

    /// A binding to a plugin that is not there any more: it fails, closed.
    #[must_use]
    pub fn missing(hook: HookKind, name: impl Into<String>, state: BindingState) -> Self {
        Self { plugin: Bound::Missing { hook, name: name.into() }, state }
    }

    /// The name of the plugin.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.plugin {
            Bound::Loaded(plugin) => plugin.name(),
            Bound::Missing { name, .. } => name,
        }
    }

    /// The hook that it is bound to.
    #[must_use]
    pub fn hook(&self) -> HookKind {
        match &self.plugin {
            Bound::Loaded(plugin) => plugin.hook(),
            Bound::Missing { hook, .. } => *hook,
        }
    }

    /// The plugin, if it is there.
    #[must_use]
    pub fn plugin(&self) -> Option<&Arc<Plugin>> {
        match &self.plugin {
            Bound::Loaded(plugin) => Some(plugin),
            Bound::Missing { .. } => None,
        }
    }

    /// Whether it has no effect.
    #[must_use]
    pub fn is_shadow(&self) -> bool {
        self.state == BindingState::Shadow
    }

    pub(crate) fn reads(&self) -> &Reads {
        self.plugin().map_or(&Reads::NOTHING, |plugin| plugin.reads())
    }

    /// Counts verdicts, as what holds or, in shadow, as what would.
    pub fn count_verdicts(&self, verdict: &'static str, records: usize) {
        if let Bound::Loaded(plugin) = &self.plugin {
            plugin.count_verdicts(verdict, self.is_shadow(), records as u64);
        }
    }

    /// Asks the plugin. What follows from a failure is the caller's business.
    pub(crate) fn ask_strictly<R>(
        &self,
        client: &Client<'_>,
        records: usize,
        ask: impl FnOnce(&mut Hook) -> Result<R, Failure>,
    ) -> Result<R, CallError> {
        match &self.plugin {
            Bound::Loaded(plugin) => plugin.call(client, records, ask),
            Bound::Missing { hook, name } => Err(CallError {
                plugin: name.clone(),
                hook: *hook,
                permanent: false,
                fault: Some(FaultKind::Trap),
                asked: false,
                reason: "it is not loaded; name it under [[plugins]] again, or take it out of the topic's configs"
                    .to_owned(),
            }),
        }
    }

    /// Asks the plugin. `Ok(None)`: go on without it, because it is in shadow and failed, or its `on_error` is open.
    ///
    /// # Errors
    /// [`CallError`]: it has no answer, and that has effect.
    pub fn ask<R>(
        &self,
        client: &Client<'_>,
        records: usize,
        ask: impl FnOnce(&mut Hook) -> Result<R, Failure>,
    ) -> Result<Option<R>, CallError> {
        match self.ask_strictly(client, records, ask) {
            Ok(answer) => Ok(Some(answer)),
            Err(_) if self.is_shadow() => Ok(None),
            Err(error) => match self.plugin() {
                Some(plugin) if error.fault.is_some() && *plugin.on_error() == OnError::Open => {
                    plugin.failed_open(&error);
                    Ok(None)
                }
                _ => Err(error),
            },
        }
    }
}

/// What is said of a hook of another kind than was asked for; the keys of [`crate::PluginSet`] exclude it.
#[must_use]
pub fn wrong_hook(hook: &Hook) -> Failure {
    Failure::wrong_answer(format!("it serves {}", hook.kind()))
}

/// All plugins bound to a topic.
#[derive(Clone, Debug, Default)]
pub struct TopicBindings {
    /// What records pass before they enter, in this order.
    pub interceptors: Vec<Binding>,
    /// What defines their order; asked only where a partitioner holds, or records are ranked.
    pub ordering_key: Option<Binding>,
    /// The partitioner that is enforced.
    pub enforced: Option<Binding>,
    /// The partitioner that says where the broker takes records; then none is enforced.
    pub routed: Option<Binding>,
    /// How long after partitions were added records are accepted where they belonged before.
    pub enforce_grace: Duration,
    /// What records pass before a consumer gets them.
    pub fetch_filter: Option<Binding>,
    /// What says how long records stay, by whole segments.
    pub retention: Option<Binding>,
    /// What says how long each record stays.
    pub record_retention: Option<Binding>,
}

impl TopicBindings {
    /// Whether nothing is bound.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.has_admission()
            && [&self.fetch_filter, &self.retention, &self.record_retention].iter().all(|binding| binding.is_none())
    }

    /// Whether produced records are looked at.
    #[must_use]
    pub fn has_admission(&self) -> bool {
        !self.interceptors.is_empty() || self.partitioner().is_some()
    }

    /// The bindings to plugins that are not there.
    pub fn missing(&self) -> impl Iterator<Item = &Binding> {
        let housekeeping = [&self.retention, &self.record_retention];
        let one =
            [&self.ordering_key, &self.enforced, &self.routed, &self.fetch_filter].into_iter().chain(housekeeping);
        self.interceptors.iter().chain(one.flatten()).filter(|binding| binding.plugin().is_none())
    }

    /// The partitioner that is asked.
    pub(crate) fn partitioner(&self) -> Option<&Binding> {
        self.enforced.as_ref().or(self.routed.as_ref())
    }

    fn of_admission(&self) -> impl Iterator<Item = &Binding> {
        let ordering_key = self.ordering_key.iter().filter(|_| self.partitioner().is_some());
        self.interceptors.iter().chain(ordering_key).chain(self.partitioner())
    }

    /// Which columns are read of produced records.
    pub(crate) fn admission_reads(&self) -> Reads {
        self.of_admission().fold(Reads::NOTHING, |reads, binding| reads.and(binding.reads()))
    }

    /// Whether looking at produced records takes too long for a thread that serves connections.
    #[must_use]
    pub fn is_admission_slow(&self) -> bool {
        self.of_admission().filter_map(Binding::plugin).any(|plugin| plugin.is_slow())
    }
}
