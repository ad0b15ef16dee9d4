//! The one place that names concrete parts: storage backends and built-in hooks.
//!
//! A program of one's own embeds the broker by adding to [`Registry::standard`] and calling [`crate::run`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use watershed_hooks::{Assignor, Environment, Hook, PluginFactory, Settings};
use watershed_metadata::configs::Parts;
use watershed_model::Clock;
use watershed_storage::LogStorage;
use watershed_storage_disk::{DiskConfig, DiskStorage};
use watershed_storage_memory::MemoryStorage;

use crate::config::Config;

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
    hooks: Vec<Box<dyn PluginFactory>>,
}

impl Registry {
    /// Everything that comes with Watershed.
    #[must_use]
    pub fn standard() -> Self {
        let registry = Self { storages: BTreeMap::new(), hooks: watershed_builtin::factories() };
        registry.with_storage(DISK, Box::new(disk)).with_storage(MEMORY, Box::new(memory))
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
        let assignors = self.assignors().into_iter().map(|(name, _)| name).collect();
        Parts { storages: self.storages.keys().cloned().collect(), assignors }
    }

    /// An instance of every assignor, by name. Those that need settings are bound by the configuration instead.
    #[must_use]
    pub fn assignors(&self) -> Vec<(String, Box<dyn Assignor>)> {
        let environment = Environment::with_random(|| 0);
        let made = self.hooks.iter().filter_map(|factory| match factory.create(&Settings::new(), &environment) {
            Ok(Hook::Assignor(assignor)) => Some((factory.name().to_owned(), assignor)),
            Ok(_) | Err(_) => None,
        });
        made.collect()
    }

    /// The built-in hooks.
    #[must_use]
    pub fn hooks(&self) -> &[Box<dyn PluginFactory>] {
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

fn memory(config: &Config, clock: Arc<dyn Clock>) -> Result<Arc<dyn LogStorage>, StorageFailure> {
    Ok(Arc::new(MemoryStorage::new(clock, Some(config.storage.memory.bytes_max.get()))))
}

/// Tells the metrics recorder what the backends' metrics mean.
pub(crate) fn describe_metrics() {
    watershed_storage_disk::metrics::describe();
}
