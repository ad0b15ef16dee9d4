//! `watershed plugin`: what authors and operators of plugins need: new, build, inspect, test, bench, replay, list, status.
//!
//! Files are loaded by the broker's own hosts, so that what passes here loads there.

mod bench;
mod build;
mod file;
mod fixture;
mod new;
mod replay;
mod tools;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use watershed_hooks::{Environment, HookKind, Settings};

use super::config::ConfigOptions;
use super::exit::{CliError, Exit};
use super::http_api;
use super::ui::Ui;
use crate::registry::{PluginOnDisk, Registry};
use file::PluginPath;
use fixture::Case;

/// `watershed plugin …`
#[derive(Debug, clap::Subcommand)]
pub enum PluginCommand {
    /// Write a working plugin with fixtures and a configuration to begin from
    New(new::New),
    /// Build the project in a directory, and show what came of it
    Build(build::Build),
    /// Show what a plugin's file says of itself
    Inspect(Inspect),
    /// Run a plugin's fixtures, and ask everything twice: a fresh instance and a used one have to agree
    Test(Test),
    /// Measure what a plugin costs per record
    Bench(bench::Bench),
    /// Ask a plugin about records that a topic holds, and show what it would change; or compare two versions of it
    Replay(replay::Replay),
    /// List the plugins of a configuration; loads them, starts nothing
    List(ConfigOptions),
    /// Show calls, faults and breakers of the plugins of a running broker
    Status(Status),
}

/// `watershed plugin inspect`
#[derive(Debug, clap::Args)]
pub struct Inspect {
    #[command(flatten)]
    file: PluginPath,
}

/// `watershed plugin test`
#[derive(Debug, clap::Args)]
pub struct Test {
    #[command(flatten)]
    file: PluginPath,
}

/// `watershed plugin status`
#[derive(Debug, clap::Args)]
pub struct Status {
    /// The broker's HTTP API
    #[arg(long, value_name = "URL", default_value = http_api::DEFAULT_URL)]
    http: String,
}

/// How long the broker's HTTP API may take.
const HTTP_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the command.
///
/// # Errors
/// What failed; [`Exit::Failure`] where a fixture did.
pub async fn run(command: PluginCommand, ui: Ui, mut registry: Registry) -> Result<(), CliError> {
    match command {
        PluginCommand::New(args) => new::run(&args, ui),
        PluginCommand::Build(args) => build::run(&registry, &args, ui),
        PluginCommand::Inspect(args) => inspect(&args.file.open(&registry)?, ui),
        PluginCommand::Test(args) => test(&registry, &args, ui),
        PluginCommand::Bench(args) => bench::run(&registry, &args, ui),
        PluginCommand::Replay(args) => replay::run(&registry, &args, ui).await,
        PluginCommand::List(options) => list(&options, ui, &mut registry),
        PluginCommand::Status(args) => status(&args, ui).await,
    }
}

/// What instances are given here: a log on standard error, and counters that nobody reads.
fn environment() -> Environment {
    let log = |level: watershed_hooks::LogLevel, line: &str| eprintln!("plugin says ({level:?}): {line}");
    Environment { log: Arc::new(log), ..Environment::with_random(|| 0) }
}

fn inspect(plugin: &PluginOnDisk, ui: Ui) -> Result<(), CliError> {
    let manifest = &plugin.manifest;
    let hooks: Vec<_> = plugin.factories.iter().map(|factory| factory.hook().name()).collect();
    let reads = &manifest.reads;
    let mut columns = Vec::new();
    for (is_read, name) in [
        (reads.keys, "keys"),
        (reads.values, "values"),
        (reads.timestamps, "timestamps"),
        (reads.ordering_keys, "ordering_keys"),
        (reads.ranks, "ranks"),
    ] {
        columns.extend(is_read.then(|| name.to_owned()));
    }
    match &reads.headers {
        watershed_hooks::HeaderReads::None => {}
        watershed_hooks::HeaderReads::Named(names) => columns.extend(names.iter().map(|name| format!("header {name}"))),
        watershed_hooks::HeaderReads::All => columns.push("headers".to_owned()),
    }
    if ui.json {
        return Ok(ui.json(&json!({
            "name": manifest.name, "version": manifest.version, "hooks": hooks, "reads": columns,
            "deterministic": manifest.deterministic, "counters": manifest.counters,
            "config_schema": manifest.config_schema, "imports": plugin.imports, "bytes": plugin.bytes, "sha256": plugin.sha256,
        }))?);
    }
    let or_none = |items: String| if items.is_empty() { "nothing".to_owned() } else { items };
    ui.line(&format!("{} {}", ui.strong(&manifest.name), manifest.version))?;
    ui.line(&format!("  hooks      {}", hooks.join(", ")))?;
    ui.line(&format!("  reads      {}", or_none(columns.join(", "))))?;
    if hooks.contains(&HookKind::Partitioner.name()) {
        let enforced = if manifest.deterministic { "can be enforced" } else { "cannot be enforced" };
        ui.line(&format!("  partitions {enforced}"))?;
    }
    if !manifest.counters.is_empty() {
        ui.line(&format!("  counts     {}", manifest.counters.join(", ")))?;
    }
    let settings = manifest.config_schema.as_ref().and_then(|schema| schema.get("properties")?.as_object());
    if let Some(settings) = settings {
        ui.line(&format!("  settings   {}", settings.keys().map(String::as_str).collect::<Vec<_>>().join(", ")))?;
    }
    if !plugin.imports.is_empty() {
        ui.line(&format!("  imports    {}", plugin.imports.join(", ")))?;
    }
    ui.line(&format!("  file       {} bytes", plugin.bytes))?;
    Ok(ui.line(&format!("  sha256     {}", plugin.sha256))?)
}

fn test(registry: &Registry, args: &Test, ui: Ui) -> Result<(), CliError> {
    let fixtures = args.file.fixtures()?;
    let plugin = args.file.open(registry)?;
    let mut used = std::collections::BTreeMap::new();
    let mut failed = 0;
    for case in &fixtures.cases {
        let outcome = run_case(&plugin, &fixtures.config, case, &mut used);
        failed += usize::from(outcome.is_err());
        if ui.json {
            ui.json(&json!({ "case": case.name, "hook": case.hook, "ok": outcome.is_ok(), "problem": outcome.err() }))?;
        } else {
            match outcome {
                Ok(()) => ui.line(&format!("ok      {} ({})", case.name, case.hook))?,
                Err(problem) => ui.line(&format!("FAILED  {} ({}): {problem}", case.name, case.hook))?,
            }
        }
    }
    let all = fixtures.cases.len();
    if failed > 0 {
        return Err(CliError::new(Exit::Failure, format!("{failed} of {all} cases failed")));
    }
    if !ui.json {
        ui.line(&format!("{all} cases passed"))?;
    }
    Ok(())
}

/// Asks a fresh instance, then one that has answered before: state between batches must not show.
fn run_case(
    plugin: &PluginOnDisk,
    settings: &Settings,
    case: &Case,
    used: &mut std::collections::BTreeMap<HookKind, watershed_hooks::Hook>,
) -> Result<(), String> {
    let hook = case.hook()?;
    let factory = plugin.factory(hook).ok_or_else(|| format!("the plugin does not serve {hook}"))?;
    factory.validate(settings).map_err(|error| error.to_string())?;
    let fresh = || factory.create(settings, &environment()).map_err(|error| error.to_string());
    let first = case.ask(&mut fresh()?);
    case.judge(&first)?;
    let mut instance = match used.remove(&hook) {
        Some(instance) => instance,
        None => fresh()?,
    };
    for _ in 0..2 {
        let again = case.ask(&mut instance);
        if again != first {
            return Err(format!("it is not deterministic: a fresh instance says {first:?}, a used one {again:?}"));
        }
    }
    if first.is_ok() {
        used.insert(hook, instance);
    }
    Ok(())
}

fn list(options: &ConfigOptions, ui: Ui, registry: &mut Registry) -> Result<(), CliError> {
    let loaded = options.load(&registry.parts());
    let loaded = loaded.and_then(|loaded| match registry.load_plugins(&loaded.config, false) {
        Ok(plugins) => Ok(plugins.clone()),
        Err(problems) => Err(loaded.problems(problems)),
    });
    let plugins = match loaded {
        Ok(plugins) => plugins,
        Err(problems) => {
            super::check::print(&Err(problems), ui.json, &mut std::io::stdout())?;
            return Err(CliError::new(Exit::Config, ""));
        }
    };
    for file in &plugins.files {
        let hooks: Vec<_> = file.hooks.iter().map(|hook| hook.name()).collect();
        if ui.json {
            ui.json(&json!({
                "name": file.name, "title": file.title, "version": file.version, "hooks": hooks,
                "sha256": file.sha256, "memory_bytes": file.memory_bytes,
            }))?;
        } else {
            ui.line(&format!("{:24} {} {}  {}", file.name, file.title, file.version, hooks.join(", ")))?;
        }
    }
    Ok(())
}

async fn status(args: &Status, ui: Ui) -> Result<(), CliError> {
    let found = http_api::plugins(&args.http, HTTP_TIMEOUT).await;
    let Some(plugins) = found else {
        return Err(CliError::new(Exit::Connect, format!("no broker's HTTP API answers at {}", args.http)));
    };
    for plugin in plugins {
        if ui.json {
            ui.json(&plugin)?;
            continue;
        }
        let text = |name: &str| plugin.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        let number = |name: &str| plugin.get(name).and_then(Value::as_f64).unwrap_or(0.0);
        ui.line(&format!(
            "{:24} {:14} {:>10} calls  {:>8.1} us  {:>6} faults  {:>3} breakers open  {}",
            text("name"),
            text("hook"),
            number("calls"),
            number("average_us"),
            number("faults"),
            number("breakers_open"),
            text("last_fault")
        ))?;
    }
    Ok(())
}
