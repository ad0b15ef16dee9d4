//! A whole broker with the plugin in it: what embedding takes.
//!
//! `cargo run -p watershed-example-plugin --example broker -- FILE [key=value]…` takes the settings of `watershed` itself.

use std::env;
use std::error::Error;
use std::process::ExitCode;

use tokio_util::sync::CancellationToken;
use watershed::config::{Inputs, load};
use watershed::{Addresses, Registry, Sockets, run};
use watershed_example_plugin::SizeLimitFactory;

async fn serve() -> Result<(), Box<dyn Error>> {
    let registry = Registry::standard().with_plugin(SizeLimitFactory);
    let mut args = env::args().skip(1);
    let file = args.next().map(Into::into);
    let inputs = Inputs { file, env: env::vars_os().collect(), set: args.collect(), parts: registry.parts() };
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
    let ready = |addresses: &Addresses| println!("listening on {:?}, with a native plugin", addresses.kafka);
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
