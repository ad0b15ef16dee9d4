//! From a file to a plugin.

use std::path::PathBuf;

use sha2::{Digest, Sha256};
use watershed_hooks::{HookKind, PluginError, PluginFactory, Settings};

use crate::{Limits, Manifest};

/// A plugin as the configuration names it.
#[derive(Clone, Debug)]
pub struct PluginSource {
    /// The name by which it is bound.
    pub name: String,
    /// Where its file lies, for messages.
    pub file: PathBuf,
    /// The file's contents.
    pub contents: Vec<u8>,
    /// What an instance may use.
    pub limits: Limits,
    sha256: [u8; 32],
}

impl PluginSource {
    /// A plugin under a name, with the contents of its file.
    #[must_use]
    pub fn new(name: impl Into<String>, file: impl Into<PathBuf>, contents: Vec<u8>, limits: Limits) -> Self {
        let sha256 = Sha256::digest(&contents).into();
        Self { name: name.into(), file: file.into(), contents, limits, sha256 }
    }

    /// The SHA-256 of the contents that it was made with.
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }
}

/// A file that is no plugin, or not one that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", file.display())]
pub struct LoadError {
    /// The file, with a line behind it where the engine names one.
    pub file: PathBuf,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// A plugin that was loaded: what it says of itself, and a factory for each of its hooks.
pub struct LoadedPlugin {
    /// What it says of itself.
    pub manifest: Manifest,
    /// The interfaces of the host that its code imports, by their names; none for a script, which has the whole library.
    pub imports: Vec<String>,
    /// A factory for each hook that it serves, all with the name of its [`PluginSource`].
    pub factories: Vec<Box<dyn PluginFactory>>,
}

impl LoadedPlugin {
    /// The hooks that it serves.
    #[must_use]
    pub fn hooks(&self) -> Vec<HookKind> {
        self.factories.iter().map(|factory| factory.hook()).collect()
    }

    /// Checks its settings, by its schema and then by making an instance of each hook.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self, settings: &Settings) -> Result<(), PluginError> {
        self.factories.iter().try_for_each(|factory| factory.validate(settings))
    }
}

impl std::fmt::Debug for LoadedPlugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedPlugin").field("manifest", &self.manifest).field("hooks", &self.hooks()).finish()
    }
}
