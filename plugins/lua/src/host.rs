//! [`LuaHost`]: from a script to a plugin.

use std::sync::Arc;

use watershed_hooks::{Environment, Failure, PluginFactory};
use watershed_plugin_host::{LoadError, LoadedPlugin, PluginSource, Watchdog};

use crate::factory::{Factory, Plugin};
use crate::script::{self, Script};

/// Loads plugins that are written in Luau.
#[derive(Debug)]
pub struct LuaHost {
    watchdog: Arc<Watchdog>,
}

impl Default for LuaHost {
    fn default() -> Self {
        Self::new()
    }
}

impl LuaHost {
    /// A host with a watchdog of its own, whose thread ends when the host and all that it loaded are gone.
    ///
    /// # Panics
    /// When the system has no thread left.
    #[must_use]
    pub fn new() -> Self {
        Self { watchdog: Arc::new(Watchdog::start(|| {})) }
    }

    /// Loads a plugin: compiles the script, runs it once, and reads the table that it returns.
    ///
    /// # Errors
    /// [`LoadError`], with the file, the line where Luau names one, and what to do.
    pub fn load(&self, source: PluginSource) -> Result<LoadedPlugin, LoadError> {
        let file = source.file.clone();
        let script = Script::new(source, Arc::clone(&self.watchdog))?;
        let nowhere = Environment::with_random(|| 0);
        let described = script.start(&nowhere, &script::no_counters(), false).and_then(|running| {
            // Reading the table calls nothing of the script's.
            script::describe(&running.table).map_err(Failure::Permanent)
        });
        let (manifest, hooks) = described.map_err(|failure| script.refuse(&file, &failure))?;
        let plugin = Arc::new(Plugin::new(script, manifest.clone()));
        let factory = |hook| -> Box<dyn PluginFactory> { Box::new(Factory::new(Arc::clone(&plugin), hook)) };
        Ok(LoadedPlugin { manifest, imports: Vec::new(), factories: hooks.into_iter().map(factory).collect() })
    }
}
