//! The plugin inside a whole broker, with the configuration of this folder.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use watershed::config::{Inputs, load};
use watershed::{Addresses, Registry, Sockets, run};
use watershed_client::{Client, ClientConfig, ClientError, Delivered, Producer, ProducerConfig, ProducerRecord};
use watershed_example_plugin::SizeLimitFactory;
use watershed_model::SystemClock;
use watershed_model::record::NewRecord;

fn inputs(registry: &Registry, set: Vec<String>) -> Inputs {
    let file = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("watershed.toml"));
    Inputs { file, env: Vec::new(), set, parts: registry.parts() }
}

async fn send(producer: &Producer, value: &[u8]) -> Result<Delivered, ClientError> {
    let record = NewRecord { key: None, value: Some(value), ..NewRecord::default() };
    producer.send(ProducerRecord { topic: "notes", partition: 0, timestamp: None, record }).await?.wait().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_record_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::standard().with_plugin(SizeLimitFactory);
    let set = vec![
        format!("data_dir={}", dir.path().display()),
        "http.address=127.0.0.1:0".to_owned(),
        "listeners=[{ name = \"PLAINTEXT\", address = \"127.0.0.1:0\" }]".to_owned(),
    ];
    let config = load(&inputs(&registry, set)).unwrap().config;
    let sockets = Sockets::bind(&config).await.unwrap();
    let shutdown = CancellationToken::new();
    let (ready, is_ready) = oneshot::channel();
    let on_ready = move |addresses: &Addresses| ready.send(addresses.kafka[0]).unwrap();

    let client = async {
        let bootstrap = vec![is_ready.await.unwrap().to_string()];
        let client = Client::connect(ClientConfig { bootstrap, ..ClientConfig::default() }).await.unwrap();
        let producer = Producer::new(client, ProducerConfig::default(), Arc::new(SystemClock::new())).unwrap();
        send(&producer, b"short").await.unwrap();
        let refused = send(&producer, &[b'x'; 101]).await.unwrap_err().to_string();
        assert!(refused.contains("a record of 101 bytes; notes may have at most 100"), "{refused}");
        producer.close().await;
        shutdown.cancel();
    };
    let (ran, ()) = tokio::join!(run(config, registry, sockets, shutdown.clone(), on_ready), client);
    ran.unwrap();
}

#[test]
fn settings_are_checked_before_the_start() {
    for (config, problem) in [
        ("{ bytes_max = -1 }", "`bytes_max` must be a number of bytes"),
        ("{}", "`bytes_max` must be a number of bytes"),
        ("{ bytes = 1 }", "no setting `bytes`"),
    ] {
        let mut registry = Registry::standard().with_plugin(SizeLimitFactory);
        let set = vec![format!("plugins=[{{ name = \"size-limit\", config = {config} }}]")];
        let config = load(&inputs(&registry, set)).unwrap().config;
        let problems = registry.load_plugins(&config, false).unwrap_err();
        assert!(format!("{problems:?}").contains(problem), "{problems:?}");
    }
}
