//! The host of plugins that are WebAssembly components.
//!
//! A component exports `lifecycle` and an interface for each hook that it serves, of the WIT package `watershed:plugin@1.0.0`
//! (in `wit/`), and may import what that package says and nothing else. [`WasmHost::load`] makes [`LoadedPlugin`] of it.
//!
//! - `engine`: what guests may do at all; `state`: what one may use. `cache`: compiled code, kept between starts.
//! - `load`: what a file must be. `imports`: the host's functions. `abi`: the types of both directions.
//! - `instance`: running a guest's code, and what its end means. `hooks`: the traits of `watershed-hooks` over it.
//!
//! Invariants: guest code runs within a budget of processor time and a limit of memory only; a guest that did not come back by
//! itself is never entered again; what a guest answers is checked before it is believed.
//!
//! Absent: WASI, threads, fuel, asynchronous calls, and what happens after a failure; that is the broker's policy layer.

mod abi;
mod cache;
mod engine;
mod factory;
mod hooks;
mod imports;
mod instance;
mod load;
mod state;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::component::Linker;
use watershed_hooks::PluginFactory;
use watershed_plugin_host::{LoadError, LoadedPlugin, PluginSource};

pub use cache::CacheError;

use cache::Cache;
use engine::Runtime;
use factory::Factory;
use hooks::Plugin;
use state::State;

/// How a [`WasmHost`] works.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WasmOptions {
    /// Where compiled code is kept, in a directory that only the broker's user may enter; it is made if it is not there, its
    /// parent is not. `None`: every start compiles anew.
    pub cache_dir: Option<PathBuf>,
}

/// A host that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The directory of compiled code cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The engine does not start on this machine.
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
}

/// Loads plugins that are WebAssembly components. All of them share its engine; what they make stays usable without it.
pub struct WasmHost {
    runtime: Arc<Runtime>,
    linker: Linker<State>,
    cache: Option<Cache>,
}

impl WasmHost {
    /// Starts the engine and its watchdog. It reserves address space for every instance that there may be, 4 TiB, and no
    /// memory.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn new(options: WasmOptions) -> Result<Self, HostError> {
        let cache = options.cache_dir.as_deref().map(Cache::open).transpose()?;
        let engine = |error: wasmtime::Error| HostError::Engine(format!("{error:#}"));
        let runtime = Runtime::start().map_err(engine)?;
        let linker = imports::linker(&runtime.engine).map_err(engine)?;
        Ok(Self { runtime, linker, cache })
    }

    /// Loads a plugin: a component, in binary form or as text. It is compiled, linked, instantiated once and asked what it is.
    ///
    /// # Errors
    /// [`LoadError`] where it is not a plugin, or not one for this broker.
    pub fn load(&self, source: PluginSource) -> Result<LoadedPlugin, LoadError> {
        let sha256 = *source.sha256();
        let PluginSource { name, file, contents, limits, .. } = source;
        let engine = &self.runtime.engine;
        let loaded = || {
            let binary = load::binary(&file, &contents)?;
            let component = load::compile(engine, self.cache.as_ref(), &binary, sha256)?;
            let exports = load::inspect(engine, &component)?;
            let code = load::link(&self.runtime, &self.linker, &component, limits)?;
            let manifest = load::describe(&code, &exports)?;
            Ok((exports, code, manifest))
        };
        let (exports, code, manifest) = loaded().map_err(|reason| LoadError { file: file.clone(), reason })?;
        let load::Exports { lifecycle, hooks, imports } = exports;
        let counters = manifest.counters.clone().into();
        let plugin = Arc::new(Plugin { name, code, manifest: manifest.clone(), counters, lifecycle });
        let factory = |(hook, interface)| -> Box<dyn PluginFactory> {
            Box::new(Factory::new(Arc::clone(&plugin), hook, interface))
        };
        Ok(LoadedPlugin { manifest, imports, factories: hooks.into_iter().map(factory).collect() })
    }
}

impl fmt::Debug for WasmHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmHost")
            .field("watchdog", &self.runtime.watchdog)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}
