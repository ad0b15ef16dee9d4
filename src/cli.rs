//! The command line: what can be typed, and what each command does, one command a file.
//!
//! Results go to standard output, everything else to standard error; `--json` makes results JSON. Exit codes are in
//! `exit.rs`. Commands that talk to a broker speak Kafka's protocol, so they work with any; what that cannot carry comes
//! from our own HTTP API and is shown as unknown elsewhere (`http_api.rs`).

pub mod bench;
pub mod check;
pub mod completions;
pub mod config;
pub mod consume;
pub mod exit;
pub mod format;
pub mod group;
pub mod http_api;
pub mod input;
pub mod partitions;
pub mod plugin;
pub mod produce;
pub mod remote;
pub mod serve;
pub mod storage;
pub mod text;
pub mod topic;
pub mod ui;
pub mod version;

use std::io;

use clap::{CommandFactory, Parser, Subcommand};

use config::ConfigOptions;
use exit::{CliError, Exit};
use ui::Ui;

use crate::registry::Registry;

/// A message broker that any Kafka client can use unchanged, and its tools
#[derive(Debug, Parser)]
#[command(name = "watershed", version = version::TEXT, max_term_width = 120)]
pub struct Cli {
    /// Print results as JSON
    #[arg(long, global = true)]
    pub json: bool,

    /// What to do; without a command the broker is started
    #[command(subcommand)]
    pub command: Option<Command>,

    #[command(flatten)]
    serve: ConfigOptions,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the broker (the default)
    Serve(ConfigOptions),
    /// Say what is wrong with the configuration, without starting
    Check(ConfigOptions),
    /// Show every value of the configuration and where it comes from
    Config(ConfigOptions),
    /// Create, list, describe, alter and delete topics
    #[command(subcommand)]
    Topic(topic::TopicCommand),
    /// Show groups and how far they are behind; reset and delete offsets, delete groups
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Produce records from standard input or files
    Produce(Box<produce::Produce>),
    /// Consume records
    Consume(Box<consume::Consume>),
    /// Put load on a broker and measure it
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Write, check and measure plugins; show those of a configuration or of a running broker
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Check what a broker has stored
    #[command(subcommand)]
    Storage(storage::StorageCommand),
    /// Print completions for a shell
    Completions(completions::Completions),
}

impl Cli {
    /// What is to be done.
    ///
    /// # Errors
    /// [`Exit::Usage`] for options of the default command in front of another one.
    pub fn into_command(self) -> Result<Command, CliError> {
        let Some(command) = self.command else {
            return Ok(Command::Serve(self.serve));
        };
        if self.serve.config.is_some() || !self.serve.set.is_empty() {
            let message = "--config and --set belong behind the command: watershed serve --config FILE";
            return Err(CliError::new(Exit::Usage, message));
        }
        Ok(command)
    }
}

/// Runs any command but `serve`, which needs the process's signals.
///
/// # Errors
/// Why it failed, with its exit code.
pub async fn run(command: Command, ui: Ui, mut registry: Registry) -> Result<(), CliError> {
    let parts = &registry.parts();
    let factories = registry.hooks().to_vec();
    let factories = factories.as_slice();
    match command {
        Command::Serve(_) => Err(CliError::new(Exit::Failure, "serve is run by main")),
        Command::Check(options) => {
            let mut notes = Vec::new();
            let loaded = options.load(parts).and_then(|loaded| match registry.load_plugins(&loaded.config, false) {
                Ok(plugins) => {
                    notes = plugins.notes();
                    Ok(loaded)
                }
                Err(problems) => Err(loaded.problems(problems)),
            });
            check::print(&loaded, ui.json, &mut io::stdout())?;
            notes.iter().filter(|_| !ui.json).try_for_each(|note| ui.line(note))?;
            loaded.map(drop).map_err(|_| CliError::new(Exit::Config, ""))
        }
        Command::Config(options) => match options.load(parts) {
            Ok(loaded) => Ok(config::print(&loaded, ui.json, &mut io::stdout())?),
            Err(problems) => {
                check::print(&Err(problems), ui.json, &mut io::stdout())?;
                Err(CliError::new(Exit::Config, ""))
            }
        },
        Command::Topic(command) => topic::run(command, ui).await,
        Command::Group(command) => group::run(command, ui).await,
        Command::Produce(args) => produce::run(*args, ui, factories).await,
        Command::Consume(args) => consume::run(*args, ui).await,
        Command::Bench(command) => bench::run(command, ui, factories).await,
        Command::Plugin(command) => plugin::run(command, ui, registry).await,
        Command::Storage(command) => storage::run(&command, ui),
        Command::Completions(args) => Ok(completions::run(&args, &mut Cli::command(), &mut io::stdout())?),
    }
}

/// Says why a command failed, on one line of standard error.
pub fn report(error: &CliError, ui: Ui) {
    if error.message.is_empty() || error.exit == Exit::Ok {
        return;
    }
    if ui.json {
        ui.note(&serde_json::json!({ "error": error.message, "exit": error.exit.code() }).to_string());
    } else {
        ui.note(&format!("watershed: {}", error.message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
