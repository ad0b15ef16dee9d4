//! A whole broker that keeps its records in this folder's backend: what embedding takes.
//!
//! `cargo run -p watershed-example-storage --example broker [-- --set key=value]…` takes the settings of `watershed`
//! itself, from `watershed.toml`, the environment and options; only the storage of new topics is another by default.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use watershed::config::{Inputs, load};
use watershed::{Addresses, Registry, Sockets, run};
use watershed_example_storage::FileStorage;

/// The name by which `watershed.storage` and `storage.default` choose the backend.
const FILES: &str = "files";

async fn serve() -> Result<(), Box<dyn Error>> {
    let registry = Registry::standard().with_storage(
        FILES,
        Box::new(|config, clock| Ok(Arc::new(FileStorage::open(config.data_dir.join(FILES), clock)?))),
    );
    let mut set = vec![format!("storage.default={FILES}")];
    set.extend(env::args().skip(1).filter(|arg| arg != "--set"));
    let inputs = Inputs { file: None, env: env::vars_os().collect(), set, parts: registry.parts() };
    let config = load(&inputs)?.config;

    let sockets = Sockets::bind(&config).await?;
    let shutdown = CancellationToken::new();
    let on_interrupt = shutdown.clone();
    tokio::spawn(async move {
        // Without the signal's handler the process ends by it all the same.
        if tokio::signal::ctrl_c().await.is_ok() {
            on_interrupt.cancel();
        }
    });
    let ready = |addresses: &Addresses| println!("listening on {:?}, records in `{FILES}`", addresses.kafka);
    Ok(run(config, registry, sockets, shutdown, ready).await?)
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
