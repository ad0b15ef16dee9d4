//! A broker on a disk that does as it is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;
use watershed_broker::{BrokerParts, GroupParts, RunningBroker};
use watershed_controller::{ControllerHandle, ControllerOptions};
use watershed_metadata::configs::BrokerConfig;
use watershed_model::{BrokerId, Clock, SystemClock, Timestamp};
use watershed_protocol::messages::fetch::FetchRequest;
use watershed_storage::LogStorage;
use watershed_storage_disk::fs::recording::RecordingFs;
use watershed_storage_disk::{DiskConfig, DiskStorage};
use watershed_storage_memory::MemoryStorage;

use crate::requests::{ALL, FETCH, PRODUCE, bases, batch, fetch, fetched, placed, produce};
use crate::stage::{CALM, Client, NOW, TOPIC, limits, random, registration, wanted};

/// How many partitions the topic on the disk has: more than the runtime has threads.
pub(crate) const PARTITIONS: i32 = 4;

/// Appended bytes that may wait for the disk.
pub(crate) const UNSYNCED_BYTES: u64 = 16 << 10;

/// A clock whose wall time is set by hand and whose other reading is the machine's.
#[derive(Debug)]
pub(crate) struct JumpingClock {
    wall_ms: AtomicI64,
    steady: SystemClock,
}

impl JumpingClock {
    pub(crate) fn jump(&self, by_ms: i64) {
        self.wall_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for JumpingClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.wall_ms.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        self.steady.elapsed()
    }
}

pub(crate) struct World {
    pub(crate) broker: Arc<RunningBroker>,
    pub(crate) fs: RecordingFs,
    pub(crate) clock: Arc<JumpingClock>,
    address: SocketAddr,
    _dir: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(JumpingClock { wall_ms: AtomicI64::new(NOW), steady: SystemClock::new() });
        let shared: Arc<dyn Clock> = clock.clone();
        let controller = ControllerHandle::open(ControllerOptions {
            dir: dir.path().join("metadata"),
            node: BrokerId(1),
            cluster_id: None,
            voters: BTreeMap::new(),
            config: BrokerConfig::default(),
            clock: Arc::clone(&shared),
            random: Box::new(random),
        })
        .await
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let epoch = controller.register_broker(registration(address.port())).await.unwrap();
        let topics = vec![wanted(TOPIC, PARTITIONS, "disk"), wanted(CALM, 1, "memory")];
        for created in controller.create_topics(topics, false).await.unwrap() {
            created.unwrap();
        }
        let fs = RecordingFs::new();
        let config = DiskConfig {
            sync_threads: 2,
            read_threads: 2,
            work_threads: 2,
            unsynced_bytes_max: UNSYNCED_BYTES,
            ballast_bytes: 0,
            ..DiskConfig::new(Path::new("/data"), Arc::clone(&shared))
        };
        let disk: Arc<dyn LogStorage> = Arc::new(DiskStorage::open_on(config, Arc::new(fs.clone()), 64).unwrap());
        let calm: Arc<dyn LogStorage> = Arc::new(MemoryStorage::new(Arc::clone(&shared), None));
        let broker = RunningBroker::start(BrokerParts {
            node_id: BrokerId(1),
            epoch,
            listeners: vec!["PLAINTEXT".to_owned()],
            controller,
            config: BrokerConfig::default(),
            limits: limits(),
            storages: BTreeMap::from([("disk".to_owned(), disk), ("memory".to_owned(), calm)]),
            groups: GroupParts::default(),
            plugins: Arc::default(),
            topic_policy: None,
            clock: shared,
            random: Arc::new(random),
        })
        .await
        .unwrap();
        broker.serve(vec![listener]);
        Self { broker: Arc::new(broker), fs, clock, address, _dir: dir }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// What nobody may ever be kept from: a new connection, metadata, records in and out of a storage that works.
    pub(crate) async fn others_go_on(&self) {
        for _ in 0..5 {
            let mut stranger = self.client().await;
            assert!(stranger.is_admitted().await, "ApiVersions on a new connection");
            stranger.metadata().await;
            let placed_at = put(&mut stranger, CALM, 0).await.unwrap();
            assert!(at_once(&mut stranger, CALM, 0, placed_at).await.unwrap().contains(&placed_at));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A test that fails must not leave threads waiting for the disk.
        self.fs.go_on();
    }
}

/// One batch of one record; its offset, or the error code.
pub(crate) async fn put(client: &mut Client, topic: &str, partition: i32) -> Result<i64, i16> {
    let response = client.call(&produce(topic, partition, ALL, batch(1)), PRODUCE).await;
    let placed = placed(&response);
    if placed.error_code == 0 { Ok(placed.base_offset) } else { Err(placed.error_code) }
}

/// The batches from an offset on, without waiting for more; or the error code.
pub(crate) async fn at_once(client: &mut Client, topic: &str, partition: i32, from: i64) -> Result<Vec<i64>, i16> {
    let request = FetchRequest { max_wait_ms: 0, ..fetch(topic, partition, from) };
    let response = client.call(&request, FETCH).await;
    let data = fetched(&response);
    if data.error_code == 0 { Ok(bases(data)) } else { Err(data.error_code) }
}
