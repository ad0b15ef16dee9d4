//! `watershed serve`: the broker, until it is told to stop.

use std::io;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::check;
use super::exit::{CliError, Exit};
use super::ui::Ui;
use crate::config::Loaded;
use crate::{Addresses, Registry, RunError, Sockets, run};

/// The port that clients, and our own commands, use unless told otherwise.
const USUAL_ADDRESS: &str = "127.0.0.1:9092";

/// Runs the broker until `shutdown` fires. Says on a terminal how to send and read a first record; with `--json` prints the
/// bound addresses as one line once clients may connect.
///
/// # Errors
/// Why it could not start, or had to stop.
pub async fn serve(loaded: Loaded, registry: Registry, shutdown: CancellationToken, ui: Ui) -> Result<(), CliError> {
    let mut registry = registry;
    if let Err(problems) = registry.load_plugins(&loaded.config, true) {
        check::print(&Err(loaded.problems(problems)), ui.json, &mut io::stderr())?;
        return Err(CliError::new(Exit::Config, ""));
    }
    let sockets = Sockets::bind(&loaded.config).await.map_err(failed)?;
    let data_dir = loaded.config.data_dir.display().to_string();
    let ready = |addresses: &Addresses| {
        if let Err(error) = announce(addresses, &data_dir, ui) {
            // The broker works without anybody reading this.
            tracing::debug!(%error, "standard output is closed");
        }
    };
    run(loaded.config, registry, sockets, shutdown, ready).await.map_err(failed)
}

fn failed(error: RunError) -> CliError {
    let exit = match &error {
        RunError::Topics(_) | RunError::Plugins(_) => Exit::Config,
        RunError::Stamp(_) => Exit::Corrupt,
        RunError::Bind { .. }
        | RunError::Storage { .. }
        | RunError::Metadata(_)
        | RunError::Controller(_)
        | RunError::Start(_)
        | RunError::Failed(_)
        | RunError::Stop(_) => Exit::Failure,
    };
    CliError::new(exit, error.to_string())
}

fn announce(addresses: &Addresses, data_dir: &str, ui: Ui) -> io::Result<()> {
    let kafka: Vec<_> = addresses.kafka.iter().map(ToString::to_string).collect();
    let http = addresses.http.to_string();
    tracing::info!(listeners = kafka.join(","), http, data_dir, "ready");
    if ui.json {
        return ui.json(&json!({ "ready": true, "listeners": kafka, "http": http, "data_dir": data_dir }));
    }
    let program = std::env::args().next().unwrap_or_else(|| "watershed".to_owned());
    let first = kafka.first().map_or(USUAL_ADDRESS, String::as_str);
    let bootstrap = if first == USUAL_ADDRESS { String::new() } else { format!(" -b {first}") };
    ui.line(&format!(
        "\n{} on {}, data in {data_dir}, metrics on http://{http}/metrics\n",
        ui.strong("Watershed is ready"),
        kafka.join(", ")
    ))?;
    ui.line(&format!("  a first record   echo hello | {program} produce{bootstrap} greetings"))?;
    ui.line(&format!("  and back         {program} consume{bootstrap} greetings"))?;
    ui.line(&format!("  everything else  {program} --help      stop with Ctrl-C\n"))
}
