//! The one place that names concrete parts: storage backends and built-in hooks.
//!
//! A program of one's own embeds the broker by adding to [`Registry::standard`] and calling [`crate::run`].

mod plugins;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use watershed_hooks::{HookKind, PluginFactory};
use watershed_lua::LuaHost;
use watershed_metadata::configs::Parts;
use watershed_model::Clock;
use watershed_storage::LogStorage;
use watershed_storage_disk::{DiskConfig, DiskStorage};
use watershed_storage_memory::MemoryStorage;
use watershed_wasm::{WasmHost, WasmOptions};

use crate::config::{Config, PluginLimits, PluginProblem};

pub use plugins::{HostOptions, PluginFile, PluginHostFactory, PluginLoader, PluginOnDisk, Plugins};

/// The offline check of a directory of the backend [`DISK`], and what it says.
pub use watershed_storage_disk::verify as disk_verify;

/// The name of the backend whose records survive; its directory also holds the lock that keeps a second broker out.
pub const DISK: &str = "disk";

/// The name of the backend in RAM.
pub const MEMORY: &str = "memory";

/// Why a backend could not be opened, for people.
pub type StorageFailure = Box<dyn std::error::Error + Send + Sync>;

/// Opens a storage backend; called on a thread that may block, once per start.
pub type StorageFactory =
    Box<dyn Fn(&Config, Arc<dyn Clock>) -> Result<Arc<dyn LogStorage>, StorageFailure> + Send + Sync>;

/// What a broker is built with.
pub struct Registry {
    storages: BTreeMap<String, StorageFactory>,
    hooks: Vec<Arc<dyn PluginFactory>>,
    /// The hosts of plugins from files, by the ending of the file's name.
    hosts: BTreeMap<String, PluginHostFactory>,
    /// What [`Registry::load_plugins`] loaded.
    loaded: Option<Plugins>,
}

impl Registry {
    /// Everything that comes with Watershed.
    #[must_use]
    pub fn standard() -> Self {
        let hooks = watershed_builtin::factories().into_iter().map(Arc::from).collect();
        let registry = Self { storages: BTreeMap::new(), hooks, hosts: BTreeMap::new(), loaded: None };
        registry
            .with_storage(DISK, Box::new(disk))
            .with_storage(MEMORY, Box::new(memory))
            .with_plugin_host("luau", Box::new(luau))
            .with_plugin_host("wasm", Box::new(wasm))
            .with_plugin_host("wat", Box::new(wasm))
    }

    /// Adds a native plugin: trusted code, without limits. It replaces one of the same name and hook.
    #[must_use]
    pub fn with_plugin(mut self, factory: impl PluginFactory + 'static) -> Self {
        self.hooks.retain(|known| known.hook() != factory.hook() || known.name() != factory.name());
        self.hooks.push(Arc::new(factory));
        self
    }

    /// Adds a host for the plugins whose file's name has this ending.
    #[must_use]
    pub fn with_plugin_host(mut self, ending: impl Into<String>, factory: PluginHostFactory) -> Self {
        self.hosts.insert(ending.into(), factory);
        self
    }

    /// Loads one file of a plugin, for those who look at it; `limits` is what an instance may use.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn open_plugin(&self, file: &Path, limits: &PluginLimits) -> Result<PluginOnDisk, String> {
        plugins::open(self, file, limits)
    }

    /// Loads the plugins of a configuration, and checks whatever names one; [`crate::run`] does it where it was not done.
    /// `keeps` says whether compiled code is kept in the data directory for the next start: who only looks leaves no traces.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn load_plugins(&mut self, config: &Config, keeps: bool) -> Result<&Plugins, Vec<PluginProblem>> {
        // Plugins keep handles of their metrics: there has to be somebody who counts.
        crate::http::recorder();
        let loaded = match self.loaded.take() {
            Some(loaded) => loaded,
            None => plugins::load(self, config, keeps)?,
        };
        Ok(self.loaded.insert(loaded))
    }

    /// Adds a storage backend under the name by which `watershed.storage` chooses it; replaces one of the same name.
    #[must_use]
    pub fn with_storage(mut self, name: impl Into<String>, factory: StorageFactory) -> Self {
        self.storages.insert(name.into(), factory);
        self
    }

    /// The names of what there is, for the configuration to be checked against.
    #[must_use]
    pub fn parts(&self) -> Parts {
        let native = self.hooks.iter().filter(|factory| factory.hook() == HookKind::Assignor);
        let assignors = native.map(|factory| factory.name().to_owned()).collect();
        let plugins = self.loaded.as_ref().map(Plugins::known);
        Parts { storages: self.storages.keys().cloned().collect(), assignors, plugins }
    }

    /// The native hooks.
    #[must_use]
    pub fn hooks(&self) -> &[Arc<dyn PluginFactory>] {
        &self.hooks
    }

    /// Opens every backend.
    ///
    /// # Errors
    /// The backend's name and what it says.
    pub fn open_storages(
        &self,
        config: &Config,
        clock: &Arc<dyn Clock>,
    ) -> Result<BTreeMap<String, Arc<dyn LogStorage>>, (String, StorageFailure)> {
        let open = |(name, factory): (&String, &StorageFactory)| match factory(config, Arc::clone(clock)) {
            Ok(storage) => Ok((name.clone(), storage)),
            Err(error) => Err((name.clone(), error)),
        };
        self.storages.iter().map(open).collect()
    }
}

/// Files of partitions that are deleted while nobody has them open stay for Kafka's default.
const DELETE_DELAY: Duration = Duration::from_secs(60);

fn disk(config: &Config, clock: Arc<dyn Clock>) -> Result<Arc<dyn LogStorage>, StorageFailure> {
    let settings = &config.storage.disk;
    let disk = DiskConfig {
        sync_threads: settings.sync_threads.size(),
        read_threads: settings.read_threads.size(),
        unsynced_bytes_max: settings.unsynced_bytes_max.get(),
        open_files_max: settings.open_files_max.size(),
        delete_delay: DELETE_DELAY,
        ..DiskConfig::new(&config.data_dir, clock)
    };
    Ok(DiskStorage::open(disk)?)
}

fn luau(_: &HostOptions) -> Result<PluginLoader, String> {
    let host = LuaHost::new();
    Ok(Box::new(move |source| host.load(source)))
}

fn wasm(options: &HostOptions) -> Result<PluginLoader, String> {
    // At the first start the data directory is not there yet.
    if let Some(parent) = options.cache_dir.as_deref().and_then(Path::parent) {
        std::fs::create_dir_all(parent).map_err(|error| format!("{} cannot be made: {error}", parent.display()))?;
    }
    let with_cache = WasmHost::new(WasmOptions { cache_dir: options.cache_dir.clone() });
    let host = with_cache.or_else(|error| {
        tracing::warn!(%error, "compiled plugins are not kept: each start compiles them anew");
        WasmHost::new(WasmOptions::default())
    });
    let host = host.map_err(|error| error.to_string())?;
    Ok(Box::new(move |source| host.load(source)))
}

fn memory(config: &Config, clock: Arc<dyn Clock>) -> Result<Arc<dyn LogStorage>, StorageFailure> {
    Ok(Arc::new(MemoryStorage::new(clock, Some(config.storage.memory.bytes_max.get()))))
}

/// Tells the metrics recorder what the backends' metrics mean.
pub(crate) fn describe_metrics() {
    watershed_storage_disk::metrics::describe();
}

#[allow(clippy::disallowed_methods, reason = "randomness enters here: native plugins may ask for it")]
fn random_u32() -> u32 {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    // The upper half of a version 4 id is random but for four bits in its lower part.
    (high >> 32) as u32
}
