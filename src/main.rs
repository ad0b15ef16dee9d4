//! The `watershed` binary: arguments, logging, signals; nothing else.

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use watershed::Registry;
use watershed::cli::exit::{CliError, Exit};
use watershed::cli::{self, Cli, Command, check, serve, ui::Ui};
use watershed::config::{Log, LogFormat};

/// What a shell reports for a process that an interrupt ended; used when a second signal does.
const INTERRUPTED: i32 = 130;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ui = Ui::new(cli.json);
    let result = cli.into_command().and_then(|command| start(command, ui));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::report(&error, ui);
            ExitCode::from(error.exit.code())
        }
    }
}

fn start(command: Command, ui: Ui) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::new(Exit::Failure, format!("cannot start the runtime: {e}")))?;
    let registry = Registry::standard();
    let parts = registry.parts();
    let result = match command {
        Command::Serve(options) => match options.load(&parts) {
            Ok(loaded) => {
                log(&loaded.config.log)?;
                runtime.block_on(async {
                    let shutdown = stop_on_signal()?;
                    serve::serve(loaded, registry, shutdown, ui).await
                })
            }
            Err(problems) => {
                check::print(&Err(problems), ui.json, &mut std::io::stderr())?;
                Err(CliError::new(Exit::Config, ""))
            }
        },
        command => {
            let quiet = Log { format: LogFormat::Text, level: std::env::var("WATERSHED_LOG").unwrap_or("warn".into()) };
            log(&quiet)?;
            runtime.block_on(cli::run(command, ui, registry))
        }
    };
    // A thread may still wait for standard input; nothing depends on it.
    runtime.shutdown_background();
    result
}

/// Logs to standard error, coloured on a terminal.
fn log(log: &Log) -> Result<(), CliError> {
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|e| CliError::new(Exit::Config, format!("log.level {:?}: {e}", log.level)))?;
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    match log.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

/// A token that the first SIGINT or SIGTERM fires. The second ends the process at once.
fn stop_on_signal() -> Result<CancellationToken, CliError> {
    let shutdown = CancellationToken::new();
    let fail = |e| CliError::new(Exit::Failure, format!("cannot listen for signals: {e}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(fail)?;
    let token = shutdown.clone();
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if first {
                tracing::info!("stopping; a second signal ends at once");
                token.cancel();
            }
        }
        std::process::exit(INTERRUPTED);
    });
    Ok(shutdown)
}
