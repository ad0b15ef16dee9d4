//! Every plugin there is, by hook and name.

use std::collections::BTreeMap;
use std::sync::Arc;

use watershed_hooks::{Assignor, Client, Failure, GroupAssignment, GroupSpec, Hook, HookKind, assign_group};

use crate::binding::wrong_hook;
use crate::plugin::{Plugin, PluginStatus};

/// Every plugin there is. It does not change while the broker runs.
#[derive(Clone, Debug, Default)]
pub struct PluginSet {
    plugins: BTreeMap<(HookKind, String), Arc<Plugin>>,
}

impl PluginSet {
    /// Adds a plugin; of two with one name and hook the later stays.
    pub fn add(&mut self, plugin: Plugin) {
        self.plugins.insert((plugin.hook(), plugin.name().to_owned()), Arc::new(plugin));
    }

    /// Adds plugins.
    pub fn extend(&mut self, plugins: impl IntoIterator<Item = Plugin>) {
        plugins.into_iter().for_each(|plugin| self.add(plugin));
    }

    /// The plugin with this name.
    #[must_use]
    pub fn get(&self, hook: HookKind, name: &str) -> Option<&Arc<Plugin>> {
        self.plugins.get(&(hook, name.to_owned()))
    }

    /// Those that serve a hook, by name.
    pub fn of(&self, hook: HookKind) -> impl Iterator<Item = &Arc<Plugin>> {
        self.plugins.iter().filter(move |((of, _), _)| *of == hook).map(|(_, plugin)| plugin)
    }

    /// What is known of each.
    #[must_use]
    pub fn statuses(&self) -> Vec<PluginStatus> {
        self.plugins.values().map(|plugin| plugin.status()).collect()
    }

    /// The assignors of which `which` holds, with what is around a plugin around each.
    pub fn assignors(&self, which: impl Fn(&Plugin) -> bool) -> impl Iterator<Item = (String, Box<dyn Assignor>)> {
        let those = self.of(HookKind::Assignor).filter(move |plugin| which(plugin));
        those.map(|plugin| (plugin.name().to_owned(), guarded_assignor(Arc::clone(plugin))))
    }
}

struct GuardedAssignor(Arc<Plugin>);

impl Assignor for GuardedAssignor {
    fn assign(&mut self, group: &GroupSpec<'_>) -> Result<GroupAssignment, Failure> {
        let answer = self.0.call(&Client::default(), 0, |hook| match hook {
            // The check belongs to the call: an answer that breaks the rules is a fault of the plugin.
            Hook::Assignor(assignor) => assign_group(&mut **assignor, group),
            other => Err(wrong_hook(other)),
        });
        answer.map_err(|error| Failure::Permanent(error.to_string()))
    }
}

/// An assignor that asks this plugin.
#[must_use]
pub fn guarded_assignor(plugin: Arc<Plugin>) -> Box<dyn Assignor> {
    Box::new(GuardedAssignor(plugin))
}
