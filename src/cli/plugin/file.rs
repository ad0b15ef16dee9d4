//! A plugin's file as the command line names it, and what stands beside it: its fixtures, with its settings and limits.

use std::path::{Path, PathBuf};

use watershed_hooks::Settings;

use super::fixture::Fixtures;
use crate::cli::exit::{CliError, Exit};
use crate::config::PluginLimits;
use crate::registry::{PluginOnDisk, Registry};

/// The file of fixtures that is looked for beside a plugin.
pub(super) const FIXTURES: &str = "fixtures.yaml";

/// A plugin's file.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct PluginPath {
    /// The plugin's file
    #[arg(value_name = "FILE")]
    path: PathBuf,
    /// The fixtures, which also say the plugin's settings and limits [default: fixtures.yaml beside the plugin]
    #[arg(long, value_name = "FILE")]
    fixtures: Option<PathBuf>,
    /// The memory that an instance may have, such as 32MiB [default: what the fixtures say, or 16MiB]
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// The time on a processor that a call may take, such as 5ms [default: what the fixtures say, or that of the hook]
    #[arg(long, value_name = "TIME")]
    budget: Option<String>,
}

impl PluginPath {
    /// A file with what is beside it.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, fixtures: None, memory: None, budget: None }
    }

    /// Another file, with the same settings and limits, if this one has any.
    pub(super) fn other(&self, path: PathBuf) -> Self {
        let fixtures = Some(self.fixtures_path()).filter(|fixtures| self.fixtures.is_some() || fixtures.is_file());
        Self { path, fixtures, ..self.clone() }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn fixtures_path(&self) -> PathBuf {
        self.fixtures.clone().unwrap_or_else(|| self.path.with_file_name(FIXTURES))
    }

    /// The fixtures, which have to be there.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn fixtures(&self) -> Result<Fixtures, CliError> {
        let path = self.fixtures_path();
        let text = std::fs::read_to_string(&path)
            .map_err(|error| CliError::new(Exit::NotFound, format!("{}: {error}", path.display())))?;
        Fixtures::parse(&text).map_err(|error| CliError::new(Exit::Usage, format!("{}: {error}", path.display())))
    }

    /// The fixtures, if they are there or were asked for.
    fn some_fixtures(&self) -> Result<Option<Fixtures>, CliError> {
        if self.fixtures.is_none() && !self.fixtures_path().is_file() {
            return Ok(None);
        }
        self.fixtures().map(Some)
    }

    /// The plugin's settings: those of the fixtures.
    ///
    /// # Errors
    /// What is wrong with the file of fixtures.
    pub(super) fn settings(&self) -> Result<Settings, CliError> {
        Ok(self.some_fixtures()?.map(|fixtures| fixtures.config).unwrap_or_default())
    }

    /// Loads it, within its limits.
    ///
    /// # Errors
    /// What is wrong with it, or with what stands beside it.
    pub(super) fn open(&self, registry: &Registry) -> Result<PluginOnDisk, CliError> {
        let beside = match (&self.memory, &self.budget) {
            (Some(_), Some(_)) => PluginLimits::default(),
            _ => self.some_fixtures()?.map(|fixtures| fixtures.limits).unwrap_or_default(),
        };
        let limits = PluginLimits {
            memory: self.memory.clone().or(beside.memory),
            budget: self.budget.clone().or(beside.budget),
        };
        registry.open_plugin(&self.path, &limits).map_err(|message| CliError::new(Exit::Config, message))
    }
}
