//! How plugins come into being: a factory checks the configuration, makes instances, and lets go at the end.
//!
//! The same trait is implemented by native plugins and by the hosts of sandboxed ones, so that whoever binds a plugin to a
//! topic does not know which it has.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{
    Assignor, FetchFilter, Interceptor, OrderingKey, Partitioner, Reads, RecordRetention, Retention, TopicPolicy,
};

/// A plugin's own settings: the table `config` of its entry in the configuration file, as JSON.
pub type Settings = Map<String, Value>;

/// What is wrong with a plugin's settings, or why it cannot be made. The broker does not start then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PluginError {
    /// A setting that the plugin does not know.
    #[error("plugin {plugin} has no setting `{setting}`; it has: {known}")]
    UnknownSetting {
        /// The plugin's name.
        plugin: String,
        /// The setting.
        setting: String,
        /// The settings it has, for people.
        known: String,
    },
    /// A setting of the wrong type or out of range.
    #[error("plugin {plugin}: `{setting}` must be {expected}, not {found}")]
    BadSetting {
        /// The plugin's name.
        plugin: String,
        /// The setting.
        setting: String,
        /// What it takes, for people.
        expected: String,
        /// What was given.
        found: String,
    },
    /// The plugin cannot be made, whatever its settings are, or says itself that it does not like them.
    #[error("plugin {plugin}: {reason}")]
    Broken {
        /// The plugin's name.
        plugin: String,
        /// What is wrong, for people.
        reason: String,
    },
}

/// How much a line of a plugin's log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// For the plugin's author.
    Debug,
    /// Worth knowing.
    Info,
    /// Something is not as it should be.
    Warn,
    /// Something failed.
    Error,
}

/// Takes a line for the broker's log.
pub type LogSink = Arc<dyn Fn(LogLevel, &str) + Send + Sync>;

/// Takes what is to be added to a counter of that name.
pub type CountSink = Arc<dyn Fn(&str, u64) + Send + Sync>;

/// What a plugin is given from outside, because it may not fetch it itself.
#[derive(Clone)]
pub struct Environment {
    /// Random numbers, uniform over all of `u32`. Simulations pass a seeded source. Sandboxed plugins do not get them.
    pub random: Arc<dyn Fn() -> u32 + Send + Sync>,
    /// Where lines for the broker's log go.
    pub log: LogSink,
    /// Adds to one of the counters that the plugin declared.
    pub count: CountSink,
}

impl Environment {
    /// Randomness from this source; log and counters go nowhere.
    #[must_use]
    pub fn with_random(random: impl Fn() -> u32 + Send + Sync + 'static) -> Self {
        Self { random: Arc::new(random), log: Arc::new(|_, _| {}), count: Arc::new(|_, _| {}) }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").finish_non_exhaustive()
    }
}

/// The hooks that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HookKind {
    /// What enters a topic: [`Interceptor`].
    Interceptor,
    /// What defines the order of a record: [`OrderingKey`].
    OrderingKey,
    /// Which partition each record belongs to: [`Partitioner`].
    Partitioner,
    /// What a consumer sees of a topic: [`FetchFilter`].
    FetchFilter,
    /// What a partition need not keep any longer: [`Retention`].
    Retention,
    /// Which records it need not keep any longer: [`RecordRetention`].
    RecordRetention,
    /// Which member of a group gets which partition: [`Assignor`].
    Assignor,
    /// Which topics there may be: [`TopicPolicy`].
    TopicPolicy,
}

impl HookKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Interceptor,
        Self::OrderingKey,
        Self::Partitioner,
        Self::FetchFilter,
        Self::Retention,
        Self::RecordRetention,
        Self::Assignor,
        Self::TopicPolicy,
    ];

    /// The hook's name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Interceptor => "interceptor",
            Self::OrderingKey => "ordering-key",
            Self::Partitioner => "partitioner",
            Self::FetchFilter => "fetch-filter",
            Self::Retention => "retention",
            Self::RecordRetention => "record-retention",
            Self::Assignor => "assignor",
            Self::TopicPolicy => "topic-policy",
        }
    }
}

impl fmt::Display for HookKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An instance of a plugin, by the hook that it serves.
#[non_exhaustive]
pub enum Hook {
    /// Serves the hook `interceptor`.
    Interceptor(Box<dyn Interceptor>),
    /// Serves the hook `ordering-key`.
    OrderingKey(Box<dyn OrderingKey>),
    /// Serves the hook `partitioner`.
    Partitioner(Box<dyn Partitioner>),
    /// Serves the hook `fetch-filter`.
    FetchFilter(Box<dyn FetchFilter>),
    /// Serves the hook `retention`.
    Retention(Box<dyn Retention>),
    /// Serves the hook `record-retention`.
    RecordRetention(Box<dyn RecordRetention>),
    /// Serves the hook `assignor`.
    Assignor(Box<dyn Assignor>),
    /// Serves the hook `topic-policy`.
    TopicPolicy(Box<dyn TopicPolicy>),
}

impl Hook {
    /// Which hook it serves.
    #[must_use]
    pub fn kind(&self) -> HookKind {
        match self {
            Self::Interceptor(_) => HookKind::Interceptor,
            Self::OrderingKey(_) => HookKind::OrderingKey,
            Self::Partitioner(_) => HookKind::Partitioner,
            Self::FetchFilter(_) => HookKind::FetchFilter,
            Self::Retention(_) => HookKind::Retention,
            Self::RecordRetention(_) => HookKind::RecordRetention,
            Self::Assignor(_) => HookKind::Assignor,
            Self::TopicPolicy(_) => HookKind::TopicPolicy,
        }
    }

    /// Which columns it reads; `None` where it is not asked about records.
    #[must_use]
    pub fn reads(&self) -> Option<&Reads> {
        match self {
            Self::Interceptor(plugin) => Some(plugin.reads()),
            Self::OrderingKey(plugin) => Some(plugin.reads()),
            Self::Partitioner(plugin) => Some(plugin.reads()),
            Self::FetchFilter(plugin) => Some(plugin.reads()),
            Self::RecordRetention(plugin) => Some(plugin.reads()),
            Self::Retention(_) | Self::Assignor(_) | Self::TopicPolicy(_) => None,
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().name())
    }
}

/// Makes the instances of one plugin.
pub trait PluginFactory: Send + Sync {
    /// The name by which the configuration binds it; unique within a hook.
    fn name(&self) -> &str;

    /// The hook that its instances serve.
    fn hook(&self) -> HookKind;

    /// Checks settings without making anything; called for every configured plugin before the broker starts, and by
    /// `watershed check`.
    ///
    /// # Errors
    /// [`PluginError`], the first thing that is wrong.
    fn validate(&self, settings: &Settings) -> Result<(), PluginError>;

    /// Makes an instance: one for each call at once, so that no instance is shared. Settings are checked here, too.
    ///
    /// # Errors
    /// [`PluginError`], as [`PluginFactory::validate`].
    fn create(&self, settings: &Settings, environment: &Environment) -> Result<Hook, PluginError>;

    /// Lets go of what instances share (an engine, a cache). Nothing is created afterwards; instances that are still
    /// in use stay usable until they are dropped.
    fn close(&self);
}
