//! The last log directory fails under a running broker: nothing false is acknowledged, and the process ends with the reason.

#![allow(clippy::unwrap_used, missing_docs)]

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use watershed::config::{Inputs, load};
use watershed::{Registry, RunError, Sockets};
use watershed_client::{Admin, Client, ClientConfig, NewTopic, Producer, ProducerConfig, ProducerRecord};
use watershed_model::SystemClock;
use watershed_model::record::NewRecord;
use watershed_storage::LogStorage;
use watershed_storage_disk::fs::recording::{Call, RecordingFs};
use watershed_storage_disk::{DiskConfig, DiskStorage};

const PATIENCE: Duration = Duration::from_secs(60);

async fn send(producer: &Producer, value: &str) -> bool {
    let record = NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() };
    let sent = producer.send(ProducerRecord { topic: "t", partition: 0, timestamp: None, record }).await;
    match sent {
        Ok(delivery) => delivery.wait().await.is_ok(),
        Err(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_fsync_that_fails_ends_the_process_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::standard();
    let set = [
        format!("data_dir={}", dir.path().display()),
        "listeners=[{name=\"PLAINTEXT\",address=\"127.0.0.1:0\"}]".to_owned(),
        "http.address=127.0.0.1:0".to_owned(),
    ];
    let inputs = Inputs { file: None, env: Vec::new(), set: set.into(), parts: registry.parts() };
    let config = load(&inputs).unwrap().config;
    let fs = RecordingFs::new();
    let shared = fs.clone();
    let disk = move |_: &_, clock| {
        let config = DiskConfig { ballast_bytes: 0, ..DiskConfig::new(Path::new("/data"), clock) };
        let disk: Arc<dyn LogStorage> = Arc::new(DiskStorage::open_on(config, Arc::new(shared.clone()), 64)?);
        Ok(disk)
    };
    let registry = registry.with_storage("disk", Box::new(disk));
    let sockets = Sockets::bind(&config).await.unwrap();
    let address = sockets.addresses().unwrap().kafka[0];
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let running = watershed::run(config, registry, sockets, CancellationToken::new(), move |_| {
        let _ = ready.send(());
    });
    let clients = async {
        is_ready.await.unwrap();
        lose_the_disk(&address.to_string(), &fs).await;
    };
    let (ended, ()) =
        tokio::time::timeout(PATIENCE, async { tokio::join!(running, clients) }).await.expect("it goes on");
    let Err(RunError::Failed(reason)) = ended else { panic!("{ended:?}") };
    assert!(reason.contains("syncing") && reason.contains(".log"), "{reason}");
}

/// A record that is acknowledged, and one whose sync fails.
async fn lose_the_disk(address: &str, fs: &RecordingFs) {
    let client = ClientConfig { bootstrap: vec![address.to_owned()], ..ClientConfig::default() };
    let client = Client::connect(client).await.unwrap();
    let topic = NewTopic { name: "t".into(), partitions: Some(1), ..NewTopic::default() };
    Admin::new(client.clone()).create_topic(&topic, false).await.unwrap();
    let patient = ProducerConfig { delivery_timeout: Duration::from_secs(3), ..ProducerConfig::default() };
    let producer = Producer::new(client, patient, Arc::new(SystemClock::new())).unwrap();
    assert!(send(&producer, "kept").await);
    fs.fail(Call::Sync, ".log", ErrorKind::Other, 1);
    assert!(!send(&producer, "lost").await, "what is not on the medium is not acknowledged");
}
