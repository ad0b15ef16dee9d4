//! A broker with two topics, and clients that speak raw frames.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use watershed_broker::{BrokerParts, GroupParts, Limits, RunningBroker};
use watershed_controller::{ControllerHandle, ControllerOptions, CreateTopic, RegisterBroker, TopicRef};
use watershed_hooks::HookKind;
use watershed_metadata::configs::{BrokerConfig, KnownPlugins, Parts, PluginFacts};
use watershed_metadata::{Endpoint, SecurityProtocol, supported_features};
use watershed_model::{BrokerId, Clock, ManualClock, Timestamp, TopicId, TopicIdPartition};
use watershed_policy::{Binding, PluginSet};
use watershed_protocol::frame::{api_of, split_frame};
use watershed_protocol::{Request, Response, ResponseHeader, StrBytes, encode_request};
use watershed_storage::LogStorage;
use watershed_storage_memory::MemoryStorage;
use watershed_testkit::{Faults, FaultyStorage, Op};

/// What a test that hangs is given before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

const FRAME_BYTES: usize = 1 << 20;

/// The topic most tests use: two partitions, leader epoch 1, on the storage that misbehaves.
pub(crate) const TOPIC: &str = "tide";
/// One partition on a storage that always works.
pub(crate) const CALM: &str = "calm";

/// The time that the broker's clock shows.
pub(crate) const NOW: i64 = 1_000_000;

pub(crate) fn limits() -> Limits {
    Limits {
        frame_bytes: FRAME_BYTES,
        connections: 100,
        connections_per_ip: 100,
        idle: Duration::from_secs(600),
        in_flight_bytes: 64 << 20,
        connection_bytes: 64 << 20,
        network_threads: 1,
        shutdown_patience: PATIENCE,
    }
}

pub(crate) fn random() -> [u8; 16] {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let four = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    std::array::from_fn(|i| four[i % 4])
}

pub(crate) fn registration(port: u16) -> RegisterBroker {
    let endpoint = Endpoint {
        name: "PLAINTEXT".to_owned(),
        host: "localhost".to_owned(),
        port,
        security_protocol: SecurityProtocol::Plaintext,
    };
    RegisterBroker {
        broker: BrokerId(1),
        incarnation: random(),
        listeners: vec![endpoint],
        rack: None,
        features: supported_features(),
    }
}

pub(crate) fn wanted(name: &str, partitions: i32, storage: &str) -> CreateTopic {
    let configs = vec![("watershed.storage".to_owned(), Some(storage.to_owned()))];
    CreateTopic { partitions, configs, ..CreateTopic::with_defaults(name) }
}

/// The names that the configuration's checks go by.
fn known(plugins: &PluginSet) -> KnownPlugins {
    let mut known = KnownPlugins::new();
    for plugin in HookKind::ALL.into_iter().flat_map(|hook| plugins.of(hook)) {
        let facts = PluginFacts { deterministic: plugin.is_deterministic(), reads_values: plugin.reads().values };
        known.entry(plugin.hook().name().to_owned()).or_default().insert(plugin.name().to_owned(), facts);
    }
    known
}

/// A running broker.
pub(crate) struct Stage {
    pub(crate) broker: RunningBroker,
    pub(crate) controller: ControllerHandle,
    pub(crate) faults: Faults,
    pub(crate) address: SocketAddr,
    _dir: TempDir,
}

impl Stage {
    pub(crate) async fn start() -> Self {
        Self::with(limits()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        Self::with_plugins(limits, PluginSet::default(), None).await
    }

    /// A broker with plugins, and with one that says which topics there may be.
    pub(crate) async fn with_plugins(limits: Limits, plugins: PluginSet, topic_policy: Option<Binding>) -> Self {
        Self::with_settings(limits, &[], plugins, topic_policy).await
    }

    /// The same with settings of the configuration file.
    pub(crate) async fn with_settings(
        limits: Limits,
        settings: &[(&str, &str)],
        plugins: PluginSet,
        topic_policy: Option<Binding>,
    ) -> Self {
        let parts = Parts { plugins: Some(known(&plugins)), ..Parts::default() };
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let config = BrokerConfig::with_parts(settings.collect(), parts).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp(NOW)));
        let controller = ControllerHandle::open(ControllerOptions {
            dir: dir.path().join("metadata"),
            node: BrokerId(1),
            cluster_id: None,
            voters: BTreeMap::new(),
            config: config.clone(),
            clock: Arc::clone(&clock),
            random: Box::new(random),
        })
        .await
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        controller.register_broker(registration(address.port())).await.unwrap();
        let topics = vec![wanted(TOPIC, 2, "disk"), wanted(CALM, 1, "memory")];
        for created in controller.create_topics(topics, false).await.unwrap() {
            created.unwrap();
        }
        // A second start of the same broker: the leader epochs go up to 1.
        let epoch = controller.register_broker(registration(address.port())).await.unwrap();
        let faulty = FaultyStorage::new(MemoryStorage::new(Arc::clone(&clock), None));
        let faults = faulty.faults();
        let calm: Arc<dyn LogStorage> = Arc::new(MemoryStorage::new(Arc::clone(&clock), None));
        let storages =
            BTreeMap::from([("disk".to_owned(), Arc::new(faulty) as Arc<dyn LogStorage>), ("memory".to_owned(), calm)]);
        let broker = RunningBroker::start(BrokerParts {
            node_id: BrokerId(1),
            epoch,
            listeners: vec!["PLAINTEXT".to_owned()],
            controller: controller.clone(),
            config,
            limits,
            storages,
            groups: GroupParts { partitions_max: 100, ..GroupParts::default() },
            plugins: Arc::new(plugins),
            topic_policy,
            clock,
            random: Arc::new(random),
        })
        .await
        .unwrap();
        broker.serve(vec![listener]);
        Self { broker, controller, faults, address, _dir: dir }
    }

    pub(crate) fn topic_id(&self, name: &str) -> TopicId {
        self.controller.image().topic_by_name(name).unwrap().id()
    }

    pub(crate) fn partition(&self, partition: i32) -> TopicIdPartition {
        TopicIdPartition { topic: self.topic_id(TOPIC), partition }
    }

    pub(crate) async fn delete(&self, name: &str) {
        let deleted = self.controller.delete_topics(vec![TopicRef::Name(name.to_owned())]).await.unwrap();
        deleted.into_iter().for_each(|topic| drop(topic.unwrap()));
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Waits until the storage has been asked for this many appends.
    pub(crate) async fn appended(&self, count: usize) {
        guarded(async {
            while self.faults.calls(Op::Append) < count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Gives the broker the time to do whatever it can do: strangers come, ask and are answered.
    pub(crate) async fn settle(&self) {
        for _ in 0..3 {
            self.client().await.metadata().await;
        }
    }

    /// Asserts that nothing has been sent to these clients, although the broker had the time to.
    pub(crate) async fn silent(&self, clients: &mut [&mut Client]) {
        let mut asker = self.client().await;
        self.silent_but_for(clients, &mut asker).await;
    }

    /// The same where no further connection can be had.
    pub(crate) async fn silent_but_for(&self, clients: &mut [&mut Client], asker: &mut Client) {
        for _ in 0..5 {
            asker.metadata().await;
        }
        for client in clients {
            client.assert_silent();
        }
    }
}

/// Fails a test that hangs; what runs in time takes as long as it takes.
pub(crate) async fn guarded<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("what should happen does not happen")
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    received: BytesMut,
    next_id: i32,
}

/// A request that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    id: i32,
    version: i16,
}

impl Sent {
    /// The first request of a client that was sent as bytes.
    pub(crate) fn first(version: i16) -> Self {
        Self { id: 1, version }
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = guarded(TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, received: BytesMut::new(), next_id: 1 }
    }

    pub(crate) async fn send<R: Request>(&mut self, request: &R, version: i16) -> Sent {
        let id = self.next_id;
        self.next_id += 1;
        let frame = encode_request(request, version, id, Some(&StrBytes::from_static("wire-test"))).unwrap();
        guarded(self.stream.write_all(&frame)).await.unwrap();
        Sent { id, version }
    }

    /// Sends bytes as they are.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        guarded(self.stream.write_all(bytes)).await.unwrap();
    }

    /// The next response, which must be the one to `sent`.
    pub(crate) async fn receive<R: Response>(&mut self, sent: Sent) -> R {
        let frame = guarded(async {
            loop {
                if let Some(frame) = split_frame(&mut self.received, FRAME_BYTES).unwrap() {
                    return frame;
                }
                let read = self.stream.read_buf(&mut self.received).await.unwrap();
                assert!(read > 0, "the broker closed the connection instead of answering");
            }
        })
        .await;
        let (header, body) = ResponseHeader::decode(frame, api_of::<R>(), sent.version).unwrap();
        assert_eq!(header.correlation_id, sent.id, "responses come in the order of the requests");
        R::decode(body, sent.version).unwrap()
    }

    /// Asserts that something has arrived that was not asked for yet.
    pub(crate) fn assert_answered(&mut self) {
        if self.received.is_empty() {
            let read = self.stream.try_read_buf(&mut self.received).expect("the answer should be there by now");
            assert!(read > 0, "the broker closed the connection");
        }
    }

    pub(crate) async fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        let sent = self.send(request, version).await;
        self.receive(sent).await
    }

    pub(crate) async fn metadata(&mut self) {
        use watershed_protocol::messages::metadata::{MetadataRequest, MetadataResponse};
        let all: MetadataResponse = self.call(&MetadataRequest { topics: None, ..Default::default() }, 12).await;
        assert_eq!(all.brokers.len(), 1);
    }

    /// Waits for the broker to close the connection; it must not send anything before.
    pub(crate) async fn closed(&mut self) {
        match guarded(self.stream.read_buf(&mut self.received)).await {
            Ok(read) => assert_eq!(read, 0, "an answer instead of a closed connection"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
    }

    fn assert_silent(&mut self) {
        assert!(self.received.is_empty());
        match self.stream.try_read_buf(&mut self.received) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) => panic!("the broker closed the connection"),
            other => panic!("an answer that should not be there yet: {other:?}"),
        }
    }

    /// Whether the broker takes this connection: it answers instead of closing it.
    pub(crate) async fn is_admitted(&mut self) -> bool {
        use watershed_protocol::messages::api_versions::ApiVersionsRequest;
        let id = self.next_id;
        self.next_id += 1;
        let frame = encode_request(&ApiVersionsRequest::default(), 0, id, None).unwrap();
        if guarded(self.stream.write_all(&frame)).await.is_err() {
            return false;
        }
        let answered = guarded(async {
            loop {
                match self.stream.read_buf(&mut self.received).await {
                    Ok(0) | Err(_) => return false,
                    Ok(_) if split_frame(&mut self.received, FRAME_BYTES).unwrap().is_some() => return true,
                    Ok(_) => {}
                }
            }
        });
        answered.await
    }
}
