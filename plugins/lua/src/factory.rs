//! A plugin that was loaded, and the factory of one of its hooks.

use std::sync::Arc;

use mlua::Value;
use watershed_hooks::{Environment, Failure, Hook, HookKind, PluginError, PluginFactory, Settings};
use watershed_plugin_host::Manifest;

use crate::call::message;
use crate::convert;
use crate::instance::Instance;
use crate::script::{self, Script};

/// What the factories and the instances of a plugin share.
pub(crate) struct Plugin {
    pub(crate) script: Script,
    pub(crate) manifest: Manifest,
    counters: Arc<[String]>,
}

impl Plugin {
    pub(crate) fn new(script: Script, manifest: Manifest) -> Self {
        let counters = Arc::from(manifest.counters.as_slice());
        Self { script, manifest, counters }
    }

    /// An instance that has taken its settings.
    fn instance(
        self: &Arc<Self>,
        hook: HookKind,
        settings: &Settings,
        environment: &Environment,
    ) -> Result<Instance, Failure> {
        let native = matches!(
            hook,
            HookKind::Interceptor
                | HookKind::OrderingKey
                | HookKind::Partitioner
                | HookKind::FetchFilter
                | HookKind::RecordRetention
        );
        let running = self.script.start(environment, &self.counters, native)?;
        if let Some(init) = script::function(&running.table, "init").map_err(Failure::Permanent)? {
            let returned: (Value, Value) = self.script.run(self.script.limits.init_budget(), || {
                init.call(convert::to_table(&running.sandbox.lua, settings)?)
            })?;
            if let (Value::Nil | Value::Boolean(false), Value::String(reason)) = returned {
                return Err(Failure::Permanent(message(&reason.as_bytes())));
            }
        }
        Instance::new(Arc::clone(self), hook, running)
    }
}

/// Makes the instances of a plugin for one hook.
pub(crate) struct Factory {
    plugin: Arc<Plugin>,
    hook: HookKind,
}

impl Factory {
    pub(crate) fn new(plugin: Arc<Plugin>, hook: HookKind) -> Self {
        Self { plugin, hook }
    }

    fn broken(&self, reason: impl ToString) -> PluginError {
        PluginError::Broken { plugin: self.plugin.script.name.clone(), reason: reason.to_string() }
    }
}

impl PluginFactory for Factory {
    fn name(&self) -> &str {
        &self.plugin.script.name
    }

    fn hook(&self) -> HookKind {
        self.hook
    }

    /// Checks the settings against the schema, and lets an instance take them.
    fn validate(&self, settings: &Settings) -> Result<(), PluginError> {
        self.create(settings, &Environment::with_random(|| 0)).map(drop)
    }

    fn create(&self, settings: &Settings, environment: &Environment) -> Result<Hook, PluginError> {
        self.plugin.manifest.check_settings(settings).map_err(|error| self.broken(error))?;
        let instance = self.plugin.instance(self.hook, settings, environment).map_err(|error| self.broken(error))?;
        let it = Box::new(instance);
        Ok(match self.hook {
            HookKind::Interceptor => Hook::Interceptor(it),
            HookKind::OrderingKey => Hook::OrderingKey(it),
            HookKind::Partitioner => Hook::Partitioner(it),
            HookKind::FetchFilter => Hook::FetchFilter(it),
            HookKind::Retention => Hook::Retention(it),
            HookKind::RecordRetention => Hook::RecordRetention(it),
            HookKind::Assignor => Hook::Assignor(it),
            HookKind::TopicPolicy => Hook::TopicPolicy(it),
            other => return Err(self.broken(format!("scripts cannot serve the hook {other}"))),
        })
    }

    fn close(&self) {
        // Instances share a text and a watchdog, which go with the last of them.
    }
}
