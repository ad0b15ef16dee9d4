//! From `[[plugins]]` to plugins that can be asked.
//!
//! Everything is checked before anything starts: the file, its hash, what the plugin says of itself, its settings, the first
//! instance; then that whatever names a plugin names one that is there.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use watershed_hooks::{HookKind, PluginFactory, Settings};
use watershed_metadata::configs::{BindingState as StateText, KnownPlugins, PluginBinding, PluginFacts};
use watershed_metadata::configs::{ConfigError, Parts, nearest, validate_topic_all};
use watershed_model::{Clock, SystemClock};
use watershed_plugin_host::{Limits, LoadError, LoadedPlugin, Manifest, PluginSource};
use watershed_policy::{Binding, BindingState, BreakerSettings, OnError, Origin, Plugin, PluginParts, PluginSet};

use super::Registry;
use crate::config::{Config, OnErrorSetting, PluginLimits, PluginProblem, PluginTable};

/// The largest file of a plugin that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Loads plugins of one kind.
pub type PluginLoader = Box<dyn Fn(PluginSource) -> Result<LoadedPlugin, LoadError> + Send + Sync>;

/// Makes a [`PluginLoader`] when the first plugin of its kind is loaded.
pub type PluginHostFactory = Box<dyn Fn(&HostOptions) -> Result<PluginLoader, String> + Send + Sync>;

/// What a host may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostOptions {
    /// Where compiled code may be kept for the next start.
    pub cache_dir: Option<PathBuf>,
}

/// The directory of compiled code, in the data directory.
const CACHE: &str = "plugin-cache";

/// What was loaded of a file, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginFile {
    /// The name by which it is bound.
    pub name: String,
    /// What it calls itself.
    pub title: String,
    /// Its version.
    pub version: String,
    /// The file's SHA-256, in hexadecimal.
    pub sha256: String,
    /// The hooks that it serves.
    pub hooks: Vec<HookKind>,
    /// How much memory an instance may have, in bytes.
    pub memory_bytes: usize,
}

/// The plugins of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Plugins {
    /// All that can be asked, those that are built in among them.
    pub set: Arc<PluginSet>,
    /// What says which topics there may be.
    pub topic_policy: Option<Binding>,
    /// What was loaded from files.
    pub files: Vec<PluginFile>,
    /// What works otherwise than it looks.
    pub advice: Vec<String>,
}

impl Plugins {
    /// What a person who checks a configuration wants to know besides: what works otherwise than it looks, and how much memory
    /// the plugins may take.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.advice.clone();
        if !self.files.is_empty() {
            let instances: usize = self.files.iter().map(|file| file.memory_bytes * file.hooks.len()).sum();
            let (count, mib) = (self.files.len(), instances.div_ceil(1 << 20));
            notes.push(format!(
                "plugins: {count} from files; an instance of each hook may take {mib} MiB together, and there are as many \
                 instances as calls at once"
            ));
        }
        notes
    }

    /// The names, and what the checks of the configuration go by.
    #[must_use]
    pub fn known(&self) -> KnownPlugins {
        let mut known = KnownPlugins::new();
        for hook in HookKind::ALL {
            for plugin in self.set.of(hook) {
                let reads_values = plugin.reads().values;
                let facts = PluginFacts { deterministic: plugin.is_deterministic(), reads_values };
                known.entry(hook.name().to_owned()).or_default().insert(plugin.name().to_owned(), facts);
            }
        }
        known
    }
}

/// One file of a plugin, looked at by itself.
pub struct PluginOnDisk {
    /// What it says of itself.
    pub manifest: Manifest,
    /// The interfaces of the host that its code imports, by their names; none for a script.
    pub imports: Vec<String>,
    /// A factory for each hook that it serves.
    pub factories: Vec<Box<dyn PluginFactory>>,
    /// Its size.
    pub bytes: usize,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

impl PluginOnDisk {
    /// The factory for a hook.
    #[must_use]
    pub fn factory(&self, hook: HookKind) -> Option<&dyn PluginFactory> {
        self.factories.iter().find(|factory| factory.hook() == hook).map(|factory| &**factory)
    }
}

/// What an instance may use, checked.
fn limits_of(limits: &PluginLimits) -> Result<Limits, String> {
    Limits::new(limits.memory_bytes()?, limits.budget()?).map_err(|error| error.to_string())
}

/// Loads one file.
pub(super) fn open(registry: &Registry, file: &Path, limits: &PluginLimits) -> Result<PluginOnDisk, String> {
    let limits = limits_of(limits)?;
    let contents = read(file)?;
    let (_, factory) = host_of(registry, file)?;
    let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or("plugin");
    let source = PluginSource::new(name, file, contents, limits);
    let (bytes, sha256) = (source.contents.len(), hex(source.sha256()));
    let LoadedPlugin { manifest, imports, factories } =
        factory(&HostOptions::default())?(source).map_err(|error| error.to_string())?;
    Ok(PluginOnDisk { manifest, imports, factories, bytes, sha256 })
}

/// The host for a file, by the ending of its name.
fn host_of<'a>(registry: &'a Registry, file: &Path) -> Result<(&'a String, &'a PluginHostFactory), String> {
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    registry.hosts.get_key_value(ending).ok_or_else(|| {
        let known: Vec<_> = registry.hosts.keys().map(|ending| format!(".{ending}")).collect();
        format!("{}: the name of a plugin's file ends in {}", file.display(), known.join(", "))
    })
}

/// Loads everything that a configuration names.
pub(super) fn load(registry: &Registry, config: &Config, keeps: bool) -> Result<Plugins, Vec<PluginProblem>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let limits = &config.limits;
    let breaker = BreakerSettings {
        faults: u32::try_from(limits.plugin_breaker_faults.get()).unwrap_or(u32::MAX),
        open: Duration::from_millis(limits.plugin_breaker_open_ms.get()),
    };
    let cache_dir = Some(config.data_dir.join(CACHE)).filter(|_| keeps);
    let options = HostOptions { cache_dir };
    let mut loading =
        Loading { registry, config, clock, breaker, options, hosts: BTreeMap::new(), problems: Vec::new() };
    let mut set = PluginSet::default();
    loading.native(&mut set);
    let files = loading.files(&mut set);
    let mut plugins = Plugins { set: Arc::new(set), topic_policy: None, files, advice: Vec::new() };
    if loading.problems.is_empty() {
        loading.bindings(&mut plugins);
    }
    if loading.problems.is_empty() { Ok(plugins) } else { Err(loading.problems) }
}

struct Loading<'a> {
    registry: &'a Registry,
    config: &'a Config,
    clock: Arc<dyn Clock>,
    breaker: BreakerSettings,
    options: HostOptions,
    /// By the ending of a file's name; why there is none, where it cannot be made.
    hosts: BTreeMap<&'a str, Result<PluginLoader, String>>,
    problems: Vec<PluginProblem>,
}

impl Loading<'_> {
    /// What is built in, with the settings of the entries without a file.
    fn native(&mut self, set: &mut PluginSet) {
        let entries: Vec<_> =
            self.config.plugins.iter().enumerate().filter(|(_, table)| table.file.is_none()).collect();
        for (index, table) in &entries {
            if !self.registry.hooks.iter().any(|factory| factory.name() == table.name) {
                let key = format!("plugins[{index}].name");
                let message = format!("there is no native plugin {:?}; give `file` for one from a file", table.name);
                let near = nearest(&table.name, self.registry.hooks.iter().map(|factory| factory.name()));
                self.problems
                    .push(PluginProblem { nearest: near.map(str::to_owned), ..PluginProblem::new(key, message) });
            }
        }
        for factory in &self.registry.hooks {
            let entry = entries.iter().find(|(_, table)| table.name == factory.name());
            let Some((index, table)) = entry else {
                // Without settings some cannot be made: they are there for those who give them.
                set.extend(self.plugin(Arc::clone(factory), Settings::new(), None, Origin::Native).ok());
                continue;
            };
            let made = settings(table, *index).and_then(|settings| {
                let made = self.plugin(Arc::clone(factory), settings, Some(table), Origin::Native);
                made.map_err(|message| PluginProblem::new(format!("plugins[{index}].config"), message))
            });
            match made {
                Ok(plugin) => set.add(plugin),
                Err(problem) => self.problems.push(problem),
            }
        }
    }

    fn plugin(
        &self,
        factory: Arc<dyn PluginFactory>,
        settings: Settings,
        table: Option<&PluginTable>,
        origin: Origin,
    ) -> Result<Plugin, String> {
        let on_error = match table.map(PluginTable::on_error) {
            None | Some(Ok(OnErrorSetting::Closed)) => OnError::Closed,
            Some(Ok(OnErrorSetting::Open)) => OnError::Open,
            Some(Ok(OnErrorSetting::DeadLetter(topic))) => OnError::DeadLetter(topic),
            Some(Err(message)) => return Err(message),
        };
        let parts = PluginParts {
            factory,
            settings,
            on_error,
            dead_letter_topic: table.and_then(|table| table.dead_letter_topic.clone()),
            origin,
            random: Arc::new(super::random_u32),
            breaker: self.breaker,
            clock: Arc::clone(&self.clock),
        };
        Plugin::new(parts).map_err(|error| error.to_string())
    }

    /// What comes from files, as many at once as there are processors: plugins with large code, or an interpreter, take a while.
    fn files(&mut self, set: &mut PluginSet) -> Vec<PluginFile> {
        let config = self.config;
        let entries = config.plugins.iter().enumerate();
        let entries: Vec<_> =
            entries.filter_map(|(index, table)| Some((index, table, table.file.as_deref()?))).collect();
        for (_, _, file) in &entries {
            self.prepare_host(file);
        }
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(entries.len());
        let (next, loading, entries) = (AtomicUsize::new(0), &*self, &entries[..]);
        let work = || {
            let taken = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
            let taken = taken.map_while(|at| Some((at, entries.get(at)?)));
            taken.map(|(at, (index, table, file))| (at, loading.file(*index, table, file))).collect::<Vec<_>>()
        };
        let mut loaded: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined.flat_map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        // As they stand in the file, whoever was ready first.
        loaded.sort_unstable_by_key(|(at, _)| *at);
        let mut files = Vec::with_capacity(loaded.len());
        for (_, loaded) in loaded {
            match loaded {
                Ok((plugins, file)) => {
                    set.extend(plugins);
                    files.push(file);
                }
                Err(problem) => self.problems.push(problem),
            }
        }
        files
    }

    fn file(&self, index: usize, table: &PluginTable, file: &Path) -> Result<(Vec<Plugin>, PluginFile), PluginProblem> {
        let at = |key: &str| format!("plugins[{index}].{key}");
        let limits = limits_of(&table.limits.clone().unwrap_or_default());
        let limits = limits.map_err(|message| PluginProblem::new(at("limits"), message))?;
        let contents = read(file).map_err(|message| PluginProblem::new(at("file"), message))?;
        let source = PluginSource::new(table.name.as_str(), file, contents, limits);
        let sha256 = hex(source.sha256());
        if let Some(pinned) = table.sha256.as_ref().filter(|pinned| !pinned.eq_ignore_ascii_case(&sha256)) {
            let message = format!("{} has {sha256}, not {pinned}: it is not the file that was pinned", file.display());
            return Err(PluginProblem::new(at("sha256"), message));
        }
        let loaded = self.host(file).and_then(|host| host(source).map_err(|error| error.to_string()));
        let loaded = loaded.map_err(|message| PluginProblem::new(at("file"), message))?;
        let hooks = loaded.hooks();
        let taken = |hook: &HookKind| {
            self.registry.hooks.iter().any(|native| native.hook() == *hook && native.name() == table.name)
        };
        if let Some(hook) = hooks.iter().find(|hook| taken(hook)) {
            let message = format!("{:?} is the name of a native {hook}; give the plugin another one", table.name);
            return Err(PluginProblem::new(at("name"), message));
        }
        let dead_letters =
            matches!(table.on_error(), Ok(OnErrorSetting::DeadLetter(_))) || table.dead_letter_topic.is_some();
        if dead_letters && !hooks.contains(&HookKind::Interceptor) {
            let key = if table.dead_letter_topic.is_some() { "dead_letter_topic" } else { "on_error" };
            return Err(PluginProblem::new(at(key), "dead letters are for interceptors, and it serves none"));
        }
        let settings = settings(table, index)?;
        let manifest = loaded.manifest;
        let make = |factory| self.plugin(Arc::from(factory), settings.clone(), Some(table), Origin::Sandboxed);
        let plugins: Result<Vec<_>, _> = loaded.factories.into_iter().map(make).collect();
        let plugins = plugins.map_err(|message| PluginProblem::new(at("config"), message))?;
        let (title, version, memory_bytes) = (manifest.name, manifest.version, limits.memory_bytes());
        Ok((plugins, PluginFile { name: table.name.clone(), title, version, sha256, hooks, memory_bytes }))
    }

    /// Makes the host for a file, if there is none yet.
    fn prepare_host(&mut self, file: &Path) {
        if let Ok((ending, factory)) = host_of(self.registry, file) {
            self.hosts.entry(ending).or_insert_with(|| factory(&self.options));
        }
    }

    /// The host for a file, which was prepared.
    fn host(&self, file: &Path) -> Result<&PluginLoader, String> {
        let (ending, _) = host_of(self.registry, file)?;
        self.hosts[ending.as_str()].as_ref().map_err(String::clone)
    }

    /// Whatever names a plugin names one that is there.
    fn bindings(&mut self, plugins: &mut Plugins) {
        let mut assignors: Vec<_> = plugins.set.of(HookKind::Assignor).map(|plugin| plugin.name().to_owned()).collect();
        assignors.sort_unstable();
        for (index, group) in self.config.groups.iter().enumerate() {
            if let Some(name) = group.assignor.as_ref().filter(|name| !assignors.contains(name)) {
                let message = format!("{name:?} is no assignor; there are {}", assignors.join(", "));
                self.problems.push(PluginProblem::new(format!("groups[{index}].assignor"), message));
            }
        }
        if let Some(text) = &self.config.topic_policy {
            match self.topic_policy(plugins, text) {
                Ok(binding) => plugins.topic_policy = binding,
                Err(message) => self.problems.push(PluginProblem::new("topic_policy", message)),
            }
        }
        let storages = self.registry.storages.keys().cloned().collect();
        let parts = Parts { storages, assignors, plugins: Some(plugins.known()) };
        let broker = match self.config.broker_config_with(parts) {
            Ok(broker) => broker,
            Err(errors) => {
                self.problems.extend(errors.iter().map(|error| setting(error, "kafka")));
                return;
            }
        };
        for (index, topic) in self.config.topics.iter().enumerate() {
            if let Err(errors) = validate_topic_all(&broker, &topic.config.0) {
                self.problems.extend(errors.iter().map(|error| setting(error, &format!("topics[{index}].config"))));
            }
            plugins.advice.extend(advice(&topic.name, &topic.config.0));
        }
    }

    fn topic_policy(&self, plugins: &Plugins, text: &str) -> Result<Option<Binding>, String> {
        let wanted = PluginBinding::parse(text).ok_or("a plugin's name is expected")?;
        let state = match wanted.state {
            StateText::On => BindingState::On,
            StateText::Shadow => BindingState::Shadow,
            StateText::Off => return Ok(None),
        };
        let found = plugins.set.get(HookKind::TopicPolicy, &wanted.name).ok_or_else(|| {
            let names: Vec<_> = plugins.set.of(HookKind::TopicPolicy).map(|plugin| plugin.name().to_owned()).collect();
            let loaded = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            format!("there is no plugin {:?} for the hook topic-policy; loaded are: {loaded}", wanted.name)
        })?;
        Ok(Some(Binding::new(Arc::clone(found), state)))
    }
}

/// What a topic binds without effect.
fn advice(topic: &str, configs: &BTreeMap<String, String>) -> Option<String> {
    use watershed_metadata::configs::{ORDERING_KEY_CONFIG, PARTITIONER_CONFIG, PARTITIONER_MODE_CONFIG};
    let bound = [ORDERING_KEY_CONFIG, PARTITIONER_CONFIG].into_iter().find(|name| configs.contains_key(*name))?;
    let holds = configs.get(PARTITIONER_MODE_CONFIG).is_some_and(|mode| mode == "enforce" || mode == "broker");
    (!holds).then(|| {
        format!(
            "topic {topic}: {bound} is advice only, because every Kafka client chooses the partition itself; \
             {PARTITIONER_MODE_CONFIG} = \"enforce\" or \"broker\" makes it hold"
        )
    })
}

fn setting(error: &ConfigError, path: &str) -> PluginProblem {
    match error {
        ConfigError::Invalid { name, value, problem } => {
            PluginProblem::new(format!("{path}.\"{name}\""), format!("{value:?} is refused: {problem}"))
        }
        ConfigError::Conflict { name, .. } => PluginProblem::new(format!("{path}.\"{name}\""), error.to_string()),
        ConfigError::Unknown { name, .. } => PluginProblem::new(format!("{path}.\"{name}\""), error.to_string()),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let told = |error: std::io::Error| format!("{} cannot be read: {error}", file.display());
    let metadata = std::fs::metadata(file).map_err(told)?;
    if !metadata.is_file() {
        return Err(format!("{} is not a file", file.display()));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(format!("{} has {} bytes, {FILE_BYTES_MAX} are allowed", file.display(), metadata.len()));
    }
    std::fs::read(file).map_err(told)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A plugin's settings, with what stands elsewhere put in.
fn settings(table: &PluginTable, index: usize) -> Result<Settings, PluginProblem> {
    let mut settings = table.config.0.clone();
    for (key, value) in &mut settings {
        resolve(value).map_err(|message| PluginProblem::new(format!("plugins[{index}].config.{key}"), message))?;
    }
    Ok(settings)
}

/// Puts in what `{ env = "NAME" }` and `{ file = "path" }` stand for, at any depth.
fn resolve(value: &mut serde_json::Value) -> Result<(), String> {
    let serde_json::Value::Object(map) = value else {
        return match value {
            serde_json::Value::Array(items) => items.iter_mut().try_for_each(resolve),
            _ => Ok(()),
        };
    };
    let only = |name: &str| map.get(name).and_then(|v| v.as_str()).filter(|_| map.len() == 1).map(str::to_owned);
    let text = if let Some(name) = only("env") {
        std::env::var(&name).map_err(|_| format!("the environment variable {name} is not set, or is no text"))?
    } else if let Some(path) = only("file") {
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path} cannot be read: {error}"))?;
        text.trim_end_matches(['\r', '\n']).to_owned()
    } else {
        return map.values_mut().try_for_each(resolve);
    };
    *value = serde_json::Value::String(text);
    Ok(())
}
