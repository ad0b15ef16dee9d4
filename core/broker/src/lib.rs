//! A broker: Kafka's APIs over logs and metadata.
//!
//! - `server.rs` accepts, `connection.rs` reads requests and writes responses in order, `answers.rs` holds those that overlap,
//!   `transport.rs` moves the bytes.
//! - `apis/` has one file per API; `apis/mod.rs` the one `match` that lists them.
//! - `replica_manager.rs` owns the partitions, `partition.rs` is one of them, `topic.rs` what they share.
//! - `routing/` takes records to their partitions, for topics where the client's choice does not count.
//! - `reading.rs` is what a consumer reads of a partition.
//! - `groups/` holds the group coordinators.
//! - `admission.rs` is what produced batches pass where a topic has plugins; `topic_policy.rs` says which topics there may be.
//! - `budget.rs` bounds what is in flight, `fetch_session.rs` keeps KIP-227's sessions, `tasks.rs` does the housekeeping.
//! - `errors.rs` maps domain errors to codes, `metrics.rs` names what is counted.
//!
//! Absent: any storage format, any rule about topics and configurations (that is the controller's), any clock but the one
//! passed in.

mod admission;
mod answers;
mod apis;
mod budget;
mod connection;
mod errors;
mod fetch_session;
mod frames;
mod groups;
mod metrics;
mod network;
mod partition;
mod reading;
mod record_retention;
mod replica_manager;
mod routing;
mod server;
mod status;
mod tasks;
mod topic;
mod topic_policy;
mod transport;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use watershed_controller::{ControllerError, ControllerHandle, CreateTopic};
use watershed_metadata::configs::{BrokerConfig, ConfigError, GroupSettings};
use watershed_metadata::{MetadataImage, OFFSETS_TOPIC, Topic};
use watershed_model::{BrokerId, Clock, ProducerId, TopicId};
use watershed_policy::{Binding, PluginSet, PluginStatus};
use watershed_protocol::ErrorCode;
use watershed_storage::{LogStorage, StorageError};

use budget::Budget;
use fetch_session::FetchSessions;
use frames::FramePool;
use groups::Groups;
use metrics::Metrics;
use replica_manager::ReplicaManager;
use topic_policy::TopicPolicy;

pub use groups::{GroupPartition, GroupParts, GroupStatus};
pub use metrics::describe as describe_metrics;
pub use status::{MissingPlugin, PartitionStatus, TopicStatus};
pub use watershed_coordinator::groups::Assignors;

/// How many auto-creations of one name may fail with "exists already" before it is reported: another connection won.
const AUTO_CREATE_TRIES: usize = 2;

/// Whom a client is taken for, as long as nobody proves who it is.
pub(crate) const ANONYMOUS: &str = "User:ANONYMOUS";

/// How many calls of slow plugins run at once, each on a thread of its own.
const PLUGIN_CALLS_MAX: usize = 8;

/// The part of the budget that requests of other APIs share when they are large.
const REQUEST_BUDGET_BYTES: usize = 32 * 1024 * 1024;

/// Sixteen random bytes, from wherever randomness comes.
pub type Random = Arc<dyn Fn() -> [u8; 16] + Send + Sync>;

/// What bounds a broker's connections.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest frame, in bytes (`socket.request.max.bytes`).
    pub frame_bytes: usize,
    /// Open connections (`max.connections`).
    pub connections: usize,
    /// Open connections from one address (`max.connections.per.ip`).
    pub connections_per_ip: usize,
    /// How long a connection may be silent (`connections.max.idle.ms`).
    pub idle: Duration,
    /// Bytes of Produce requests in flight, over all connections.
    pub in_flight_bytes: usize,
    /// The same for one connection.
    pub connection_bytes: usize,
    /// Threads that serve connections; at least one.
    pub network_threads: usize,
    /// How long a stop waits for connections to get what they are owed.
    pub shutdown_patience: Duration,
}

/// What a broker is built from.
pub struct BrokerParts {
    /// Its number.
    pub node_id: BrokerId,
    /// The epoch of its registration.
    pub epoch: i64,
    /// The listeners' names, in the order of the sockets given to [`RunningBroker::serve`].
    pub listeners: Vec<String>,
    /// The metadata.
    pub controller: ControllerHandle,
    /// The settings of the file.
    pub config: BrokerConfig,
    /// The bounds.
    pub limits: Limits,
    /// The storage backends by name.
    pub storages: BTreeMap<String, Arc<dyn LogStorage>>,
    /// What groups are built from.
    pub groups: GroupParts,
    /// The plugins.
    pub plugins: Arc<PluginSet>,
    /// What says which topics there may be.
    pub topic_policy: Option<Binding>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for ids of sessions and members.
    pub random: Random,
}

/// A broker that could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Its metadata failed.
    #[error(transparent)]
    Controller(#[from] ControllerError),
    /// Stored dynamic settings do not go with the file's.
    #[error("stored broker configs contradict the configuration file: {0}")]
    Config(String),
    /// The system gives no threads.
    #[error("cannot start the network threads: {0}")]
    Threads(#[from] std::io::Error),
}

#[derive(Default)]
struct ProducerIds {
    next: i64,
    end: i64,
}

/// The state that all connections share.
pub struct Broker {
    node_id: BrokerId,
    epoch: i64,
    listeners: Vec<String>,
    controller: ControllerHandle,
    fixed_config: BrokerConfig,
    config: ArcSwap<BrokerConfig>,
    limits: Limits,
    replicas: ReplicaManager,
    clock: Arc<dyn Clock>,
    random: Random,
    sessions: FetchSessions,
    frames: Arc<FramePool>,
    produce_budget: Budget,
    request_budget: Budget,
    producer_ids: tokio::sync::Mutex<ProducerIds>,
    /// One auto-creation at a time per broker: many clients ask for the same new topic at once.
    auto_create: tokio::sync::Mutex<()>,
    groups: Groups,
    plugins: Arc<PluginSet>,
    topic_policy: Option<TopicPolicy>,
    plugin_calls: tokio::sync::Semaphore,
    metrics: Metrics,
}

impl Broker {
    /// The metadata as last applied.
    pub(crate) fn image(&self) -> Arc<MetadataImage> {
        self.controller.image()
    }

    /// The metadata's writer.
    pub(crate) fn controller(&self) -> &ControllerHandle {
        &self.controller
    }

    /// The settings in force: the file's under the dynamic ones.
    pub(crate) fn config(&self) -> Arc<BrokerConfig> {
        self.config.load_full()
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The clock, for those who keep it.
    pub(crate) fn clock_handle(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Time since some fixed moment, in milliseconds.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The group coordinators.
    pub(crate) fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The group settings in force.
    pub(crate) fn group_settings(&self) -> Arc<GroupSettings> {
        Arc::new(self.config.load().settings().groups.clone())
    }

    pub(crate) fn node_id(&self) -> BrokerId {
        self.node_id
    }

    pub(crate) fn listener_name(&self, index: usize) -> &str {
        self.listeners.get(index).map_or("", |name| name)
    }

    /// The address of a broker on one of our listeners.
    pub(crate) fn endpoint(&self, listener: usize, broker: BrokerId) -> Option<(String, i32)> {
        let image = self.image();
        let endpoint = image.broker(broker)?.endpoint(self.listener_name(listener))?;
        Some((endpoint.host.clone(), i32::from(endpoint.port)))
    }

    pub(crate) fn replicas(&self) -> &ReplicaManager {
        &self.replicas
    }

    pub(crate) fn sessions(&self) -> &FetchSessions {
        &self.sessions
    }

    pub(crate) fn random_u32(&self) -> u32 {
        let bytes = (self.random)();
        u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// Finds a topic the way a request names it: by id in newer versions, by name in older ones.
    pub(crate) fn find_topic(
        image: &MetadataImage,
        by_id: bool,
        id: TopicId,
        name: &str,
    ) -> Result<Arc<Topic>, ErrorCode> {
        if by_id {
            image.topic_by_id(&id).cloned().ok_or(ErrorCode::UnknownTopicId)
        } else {
            image.topic_by_name(name).cloned().ok_or(ErrorCode::UnknownTopicOrPartition)
        }
    }

    /// The partition of a topic, opened if need be.
    pub(crate) async fn partition(
        &self,
        image: &Arc<MetadataImage>,
        topic: &Topic,
        partition: i32,
    ) -> Result<Arc<partition::Partition>, ErrorCode> {
        let opened = self.replicas.partition(image, &self.config.load(), topic, partition).await?;
        // The caller's image may be older than the topic's deletion: what it opened then must not stay.
        let newest = self.image();
        if !Arc::ptr_eq(image, &newest) && newest.topic_by_id(&topic.id()).is_none() {
            self.replicas.delete(topic.id(), topic.name(), topic.partition_count());
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        Ok(opened)
    }

    /// Creates a topic that the broker itself needs, as [`Broker::auto_create_for`].
    pub(crate) async fn auto_create(&self, name: &str) -> Result<(), ErrorCode> {
        self.auto_create_for(&watershed_hooks::Client::default(), name).await
    }

    /// Creates a topic that a client asked for by name, with the defaults; one of the internal topics as it has to be.
    pub(crate) async fn auto_create_for(
        &self,
        client: &watershed_hooks::Client<'_>,
        name: &str,
    ) -> Result<(), ErrorCode> {
        let _one = self.auto_create.lock().await;
        for _ in 0..AUTO_CREATE_TRIES {
            if self.image().topic_by_name(name).is_some() {
                return Ok(());
            }
            let wanted = match name {
                OFFSETS_TOPIC => {
                    CreateTopic::group_metadata(&self.config().settings().groups, self.image().broker_count())
                }
                _ => CreateTopic::with_defaults(name),
            };
            let create = |topics| self.controller.create_topics(topics, false);
            let created = topic_policy::judged(self, client, vec![wanted], create).await.pop();
            match created.map(|(_, reply)| reply) {
                Some(Ok(_)) => {
                    tracing::info!(topic = name, "created a topic that a client asked for (auto.create.topics.enable)");
                    return Ok(());
                }
                Some(Err(ControllerError::TopicAlreadyExists(_))) => {}
                Some(Err(error)) => {
                    tracing::info!(topic = name, %error, "cannot create a topic that a client asked for");
                    // As in Kafka: a topic that may not be is not there.
                    return Err(match error {
                        ControllerError::PolicyViolation(_) => ErrorCode::UnknownTopicOrPartition,
                        error => errors::controller_code(&error),
                    });
                }
                None => break,
            }
        }
        Err(ErrorCode::UnknownTopicOrPartition)
    }

    /// Asks plugins on a thread that serves no connections; a bounded number at once.
    ///
    /// # Errors
    /// The question panicked, which native plugins can.
    pub(crate) async fn on_plugin_pool<R: Send + 'static>(
        &self,
        ask: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, String> {
        let _permit = self.plugin_calls.acquire().await.map_err(|error| error.to_string())?;
        tokio::task::spawn_blocking(ask).await.map_err(|error| format!("a plugin's call failed: {error}"))
    }

    /// A producer id that nobody has.
    pub(crate) async fn next_producer_id(&self) -> Result<ProducerId, ControllerError> {
        let mut ids = self.producer_ids.lock().await;
        if ids.next >= ids.end {
            let block = self.controller.allocate_producer_ids(self.node_id, self.epoch).await?;
            ids.next = block.first.0;
            ids.end = block.first.0 + i64::from(block.len);
        }
        ids.next += 1;
        Ok(ProducerId(ids.next - 1))
    }

    /// Takes the dynamic settings of an image.
    fn reconfigure(&self, image: &MetadataImage) -> Result<(), Vec<ConfigError>> {
        let own = image.broker_configs(Some(self.node_id)).clone();
        let cluster = image.broker_configs(None).clone();
        self.config.store(Arc::new(self.fixed_config.with_dynamic(own, cluster)?));
        Ok(())
    }
}

/// A broker whose partitions are open; it serves once it has listeners.
pub struct RunningBroker {
    broker: Arc<Broker>,
    server: server::Server,
    stop: CancellationToken,
    tasks: Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

impl RunningBroker {
    /// Opens and recovers every partition, and starts the housekeeping.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(parts: BrokerParts) -> Result<Self, StartError> {
        let (image, changes) = parts.controller.follow();
        let own = image.broker_configs(Some(parts.node_id)).clone();
        let cluster = image.broker_configs(None).clone();
        let config = parts.config.with_dynamic(own, cluster).map_err(|errors| {
            StartError::Config(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })?;
        let (routing, routing_events) = tokio::sync::mpsc::unbounded_channel();
        let (clock, plugins) = (Arc::clone(&parts.clock), Arc::clone(&parts.plugins));
        let mut replicas = ReplicaManager::new(parts.node_id, clock, parts.storages, plugins, routing);
        replicas.start(&image, &config).await?;
        let slots = config.settings().fetch_session_slots as usize;
        let broker = Arc::new(Broker {
            node_id: parts.node_id,
            epoch: parts.epoch,
            listeners: parts.listeners,
            controller: parts.controller,
            fixed_config: parts.config,
            config: ArcSwap::from_pointee(config),
            frames: Arc::default(),
            produce_budget: Budget::new(parts.limits.in_flight_bytes),
            request_budget: Budget::new(REQUEST_BUDGET_BYTES.max(parts.limits.frame_bytes)),
            limits: parts.limits,
            replicas,
            clock: parts.clock,
            random: parts.random,
            sessions: FetchSessions::new(slots),
            producer_ids: tokio::sync::Mutex::default(),
            auto_create: tokio::sync::Mutex::default(),
            groups: Groups::new(parts.groups),
            plugins: parts.plugins,
            topic_policy: parts.topic_policy.map(TopicPolicy::new),
            plugin_calls: tokio::sync::Semaphore::new(PLUGIN_CALLS_MAX),
            metrics: Metrics::new(),
        });
        broker.groups.load_all(&broker);
        let stop = CancellationToken::new();
        let mut tasks = tasks::spawn(&broker, changes, &stop);
        tasks.push(tokio::spawn(routing::run(Arc::clone(&broker), routing_events, stop.clone())));
        let server = server::Server::new(Arc::clone(&broker), stop.clone())?;
        Ok(Self { broker, server, stop, tasks: Mutex::new(tasks) })
    }

    /// Accepts clients on these sockets, the first for the first listener's name and so on.
    pub fn serve(&self, listeners: Vec<TcpListener>) {
        for (index, listener) in listeners.into_iter().enumerate() {
            self.server.listen(listener, index);
        }
    }

    /// What the protocol cannot say about topics, for the HTTP API.
    #[must_use]
    pub fn topics(&self) -> Vec<TopicStatus> {
        status::topics(&self.broker)
    }

    /// What the protocol cannot say about groups, for the HTTP API.
    pub async fn groups(&self) -> Vec<GroupStatus> {
        self.broker.groups.statuses(&self.broker).await
    }

    /// The series of groups, in Prometheus' text format.
    pub async fn group_metrics(&self) -> String {
        self.broker.groups.metrics(&self.broker).await
    }

    /// What is known of the plugins.
    #[must_use]
    pub fn plugins(&self) -> Vec<PluginStatus> {
        self.broker.plugins.statuses()
    }

    /// The bindings of topics to plugins that are not loaded.
    #[must_use]
    pub fn missing_plugins(&self) -> Vec<MissingPlugin> {
        status::missing_plugins(&self.broker)
    }

    /// Brings the gauges up to date that are read only now and then.
    pub fn sample_metrics(&self) {
        status::sample(&self.broker);
    }

    /// Whether every log directory works.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        status::is_healthy(&self.broker)
    }

    /// Resolves when the last log directory has failed, with the reason.
    pub async fn failed(&self) -> String {
        status::failed(&self.broker).await
    }

    /// Stops in order: no new connections, what is in flight is answered, everything is flushed and marked clean.
    ///
    /// # Errors
    /// [`StorageError`] if the end could not be written; the next start recovers then.
    pub async fn stop(&self) -> Result<(), StorageError> {
        self.stop.cancel();
        self.server.finish(self.broker.limits.shutdown_patience).await;
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            // A task that panicked was reported when it did.
            let _ = task.await;
        }
        self.broker.groups.close().await;
        self.broker.replicas.close().await
    }
}
