//! The factory of one hook of a plugin.

use std::sync::Arc;

use parking_lot::Mutex;
use watershed_hooks::{Environment, Failure, Hook, HookKind, PluginError, PluginFactory, Settings};

use crate::hooks::{NoInstance, Plugin, Recipe};

/// Makes the instances that serve one hook of a plugin.
pub(crate) struct Factory {
    name: String,
    hook: HookKind,
    interface: String,
    /// `None` once it is closed.
    plugin: Mutex<Option<Arc<Plugin>>>,
}

impl Factory {
    pub(crate) fn new(plugin: Arc<Plugin>, hook: HookKind, interface: String) -> Self {
        Self { name: plugin.name.clone(), hook, interface, plugin: Mutex::new(Some(plugin)) }
    }

    fn broken(&self, reason: String) -> PluginError {
        PluginError::Broken { plugin: self.name.clone(), reason }
    }

    fn make(&self, settings: &Settings, environment: Option<Environment>) -> Result<Hook, PluginError> {
        let plugin = self.plugin.lock().clone();
        let plugin = plugin.ok_or_else(|| self.broken("it was closed".to_owned()))?;
        plugin.manifest.check_settings(settings).map_err(|error| self.broken(error.to_string()))?;
        let settings_json = serde_json::to_string(settings).map_err(|error| self.broken(error.to_string()))?;
        let (hook, interface) = (self.hook, self.interface.clone());
        let made = Recipe { plugin, hook, interface, settings_json, environment }.make();
        made.map_err(|none| {
            self.broken(match none {
                NoInstance::Refused(reason) => format!("init: {reason}"),
                NoInstance::Failed(Failure::Fault { kind, message }) => format!("init failed ({kind}): {message}"),
                NoInstance::Failed(failure) => format!("init failed: {failure}"),
            })
        })
    }
}

impl PluginFactory for Factory {
    fn name(&self) -> &str {
        &self.name
    }

    fn hook(&self) -> HookKind {
        self.hook
    }

    fn validate(&self, settings: &Settings) -> Result<(), PluginError> {
        self.make(settings, None).map(drop)
    }

    fn create(&self, settings: &Settings, environment: &Environment) -> Result<Hook, PluginError> {
        self.make(settings, Some(environment.clone()))
    }

    fn close(&self) {
        *self.plugin.lock() = None;
    }
}
