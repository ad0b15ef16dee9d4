//! A broker from start to stop.
//!
//! Order of a start: bind the sockets (a port in use is said at once), open the storages (the lock on the directory), open
//! the metadata, register (which raises the epochs of all led partitions), recover the partitions, make the declared topics,
//! and only then listen: whoever can connect finds a broker that is ready. A stop goes the other way.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, lookup_host};
use tokio_util::sync::CancellationToken;
use watershed_broker::{Assignors, BrokerParts, GroupParts, Limits, RunningBroker, StartError};
use watershed_controller::{
    ConfigOp, ConfigTarget, ControllerError, ControllerHandle, ControllerOptions, CreatePartitions, CreateTopic,
    IncrementalAlter, RegisterBroker,
};
use watershed_hooks::HookKind;
use watershed_metadata::configs::{ASSIGNORS_BUILT_IN, BrokerConfig, Parts};
use watershed_metadata::{Endpoint, SecurityProtocol, supported_features};
use watershed_model::{BrokerId, Clock, SystemClock};
use watershed_policy::{Origin, Plugin};
use watershed_storage::{LogStorage, StorageError};

use crate::config::{Config, HostPort, PluginProblem, TopicAction, reconcile_topics};
use crate::http;
use crate::registry::Registry;
use crate::stamp::{self, StampError};

/// Connections that the system keeps for us while we are busy accepting.
const BACKLOG: u32 = 1024;

/// How long a stop waits for clients to get what they are owed.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(10);

/// "No bound", as `connections.max.idle.ms = -1` means it.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A broker that could not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A socket cannot be had.
    #[error("cannot listen on {address} ({setting}): {source}")]
    Bind {
        /// The setting that names the address.
        setting: String,
        /// The address.
        address: HostPort,
        /// What the system said.
        source: io::Error,
    },
    /// Plugins, or what names them, are wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Plugins(Vec<PluginProblem>),
    /// A storage backend cannot be opened.
    #[error("cannot open the storage backend {name}: {reason}")]
    Storage {
        /// The backend.
        name: String,
        /// What it said.
        reason: String,
    },
    /// Records and metadata do not belong together.
    #[error(transparent)]
    Stamp(#[from] StampError),
    /// The metadata cannot be opened.
    #[error(transparent)]
    Metadata(#[from] watershed_controller::OpenError),
    /// The metadata refused what every start does.
    #[error("the metadata refused the start: {0}")]
    Controller(#[from] ControllerError),
    /// The partitions cannot be opened.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A declared topic cannot be had.
    #[error("{0}")]
    Topics(String),
    /// The storage or the metadata store failed while the broker ran.
    #[error("stopping, because nothing can be stored any more: {0}")]
    Failed(String),
    /// The end could not be written.
    #[error("the stop was not clean: {0}; the next start recovers")]
    Stop(#[from] StorageError),
}

/// Where a broker is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The addresses for Kafka clients, in the order of the configuration.
    pub kafka: Vec<SocketAddr>,
    /// The address for HTTP.
    pub http: SocketAddr,
}

/// The sockets of a broker, bound and not yet listening.
pub struct Sockets {
    kafka: Vec<TcpSocket>,
    http: TcpSocket,
}

impl Sockets {
    /// Binds every address of the configuration.
    ///
    /// # Errors
    /// [`RunError::Bind`] for the first that cannot be had.
    pub async fn bind(config: &Config) -> Result<Self, RunError> {
        let mut kafka = Vec::with_capacity(config.listeners.len());
        for listener in &config.listeners {
            kafka.push(bind(&listener.address, &format!("listener {}", listener.name)).await?);
        }
        Ok(Self { kafka, http: bind(&config.http.address, "http.address").await? })
    }

    /// What the sockets are bound to, ports that the system chose included.
    ///
    /// # Errors
    /// What the system says.
    pub fn addresses(&self) -> io::Result<Addresses> {
        let kafka = self.kafka.iter().map(TcpSocket::local_addr).collect::<io::Result<_>>()?;
        Ok(Addresses { kafka, http: self.http.local_addr()? })
    }
}

async fn bind(address: &HostPort, setting: &str) -> Result<TcpSocket, RunError> {
    let failed = |source| RunError::Bind { setting: setting.to_owned(), address: address.clone(), source };
    let mut found = lookup_host((address.host.as_str(), address.port)).await.map_err(failed)?;
    let first =
        found.next().ok_or_else(|| failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address")))?;
    let socket = if first.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(failed)?;
    socket.set_reuseaddr(true).map_err(failed)?;
    socket.bind(first).map_err(failed)?;
    Ok(socket)
}

/// Runs a broker until `shutdown` fires or its storage fails. `ready` is called once clients can connect.
///
/// # Errors
/// [`RunError`]: why it did not start, or why it had to stop.
pub async fn run(
    config: Config,
    mut registry: Registry,
    sockets: Sockets,
    shutdown: CancellationToken,
    ready: impl FnOnce(&Addresses),
) -> Result<(), RunError> {
    http::recorder();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let plugins = registry.load_plugins(&config, true).map_err(RunError::Plugins)?.clone();
    for advice in &plugins.advice {
        tracing::warn!("{advice}");
    }
    let broker_config = config
        .broker_config_with(Parts {
            assignors: plugins.set.of(HookKind::Assignor).map(|p| p.name().to_owned()).collect(),
            ..registry.parts()
        })
        .map_err(|errors| RunError::Topics(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
    let (config, registry) = (Arc::new(config), Arc::new(registry));
    let storages = open_storages(&config, &registry, &clock).await?;
    let metadata_dir = config.data_dir.join("metadata");
    let stamp = stamp::read(&config.data_dir, &metadata_dir)?;
    let node = BrokerId(broker_config.settings().node_id);
    let controller = ControllerHandle::open(ControllerOptions {
        dir: metadata_dir,
        node,
        cluster_id: None,
        voters: Default::default(),
        config: broker_config.clone(),
        clock: Arc::clone(&clock),
        random: Box::new(random_bytes),
    })
    .await?;
    if let Some(cluster) = controller.image().cluster_id() {
        stamp::check(&config.data_dir, stamp, cluster)?;
    }
    let epoch = controller.register_broker(registration(&config, node, &sockets)?).await?;
    let limits = limits(&config, &broker_config);
    let broker = RunningBroker::start(BrokerParts {
        node_id: node,
        epoch,
        listeners: config.listeners.iter().map(|listener| listener.name.clone()).collect(),
        controller: controller.clone(),
        config: broker_config,
        limits,
        storages,
        groups: GroupParts {
            rules: config.group_rules(),
            partitions_max: config.metrics.group_partitions_max.size(),
            // What is built in is quick; whatever else there is may take its time.
            assignors: Assignors::new(
                plugins.set.assignors(is_built_in),
                plugins.set.assignors(|plugin| !is_built_in(plugin)),
            ),
        },
        plugins: plugins.set,
        topic_policy: plugins.topic_policy,
        clock,
        random: Arc::new(random_bytes),
    })
    .await?;
    declare_topics(&config, &controller).await?;
    serve(config, Arc::new(broker), controller, sockets, shutdown, ready).await
}

async fn open_storages(
    config: &Arc<Config>,
    registry: &Arc<Registry>,
    clock: &Arc<dyn Clock>,
) -> Result<BTreeMap<String, Arc<dyn LogStorage>>, RunError> {
    let (config, registry, clock) = (Arc::clone(config), Arc::clone(registry), Arc::clone(clock));
    let opened = tokio::task::spawn_blocking(move || registry.open_storages(&config, &clock)).await;
    let failed = |(name, reason): (String, crate::registry::StorageFailure)| RunError::Storage {
        name,
        reason: reason.to_string(),
    };
    opened.map_err(|error| failed(("?".to_owned(), error.into())))?.map_err(failed)
}

fn limits(config: &Config, broker_config: &BrokerConfig) -> Limits {
    let settings = broker_config.settings();
    Limits {
        frame_bytes: settings.socket_request_max_bytes as usize,
        connections: settings.max_connections as usize,
        connections_per_ip: settings.max_connections_per_ip as usize,
        idle: settings.connections_max_idle_ms.map_or(NEVER, Duration::from_millis),
        in_flight_bytes: usize::try_from(config.in_flight_bytes()).unwrap_or(usize::MAX),
        connection_bytes: config.limits.in_flight_bytes_per_connection.size(),
        network_threads: std::thread::available_parallelism().map_or(1, usize::from),
        shutdown_patience: SHUTDOWN_PATIENCE,
    }
}

fn is_built_in(plugin: &Plugin) -> bool {
    plugin.origin() == Origin::Native && ASSIGNORS_BUILT_IN.contains(&plugin.name())
}

async fn serve(
    config: Arc<Config>,
    broker: Arc<RunningBroker>,
    controller: ControllerHandle,
    sockets: Sockets,
    shutdown: CancellationToken,
    ready: impl FnOnce(&Addresses),
) -> Result<(), RunError> {
    let addresses = addresses(&config, &sockets)?;
    let listen = |(socket, address, setting): (TcpSocket, &HostPort, String)| -> Result<TcpListener, RunError> {
        socket.listen(BACKLOG).map_err(|source| RunError::Bind { setting, address: address.clone(), source })
    };
    let kafka = sockets.kafka.into_iter().zip(&config.listeners);
    let kafka =
        kafka.map(|(socket, listener)| listen((socket, &listener.address, format!("listener {}", listener.name))));
    let kafka = kafka.collect::<Result<Vec<_>, _>>()?;
    let web = listen((sockets.http, &config.http.address, "http.address".to_owned()))?;
    broker.serve(kafka);
    let stop_http = CancellationToken::new();
    let http = tokio::spawn(http::serve(web, Arc::clone(&broker), stop_http.clone()));
    ready(&addresses);

    let mut metadata_failed = controller.failure();
    let failure = tokio::select! {
        () = shutdown.cancelled() => None,
        reason = broker.failed() => Some(reason),
        reason = async {
            let failed = metadata_failed.wait_for(Option::is_some).await;
            let reason = failed.map(|reason| reason.as_deref().unwrap_or_default().to_owned());
            match reason {
                Ok(reason) => reason,
                Err(_) => std::future::pending().await,
            }
        } => Some(reason),
    };
    tracing::info!("stopping: answering what is in flight, then writing everything out");
    stop_http.cancel();
    // A panic of the HTTP task was reported when it happened.
    let _ = http.await;
    let stopped = broker.stop().await;
    controller.shutdown().await;
    match failure {
        Some(reason) => Err(RunError::Failed(reason)),
        None => Ok(stopped?),
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place where randomness enters a running broker")]
fn random_bytes() -> [u8; 16] {
    *uuid::Uuid::new_v4().as_bytes()
}

fn addresses(config: &Config, sockets: &Sockets) -> Result<Addresses, RunError> {
    sockets.addresses().map_err(|source| RunError::Bind {
        setting: "listeners".to_owned(),
        address: config.http.address.clone(),
        source,
    })
}

/// What the broker says of itself: each listener's advertised address, or the one it is bound to.
fn registration(config: &Config, node: BrokerId, sockets: &Sockets) -> Result<RegisterBroker, RunError> {
    let bound = addresses(config, sockets)?.kafka;
    let listeners = config.listeners.iter().zip(bound).map(|(listener, bound)| {
        let address = listener.advertised.as_ref().unwrap_or(&listener.address);
        Endpoint {
            name: listener.name.clone(),
            host: address.host.clone(),
            port: if address.port == 0 { bound.port() } else { address.port },
            security_protocol: SecurityProtocol::Plaintext,
        }
    });
    let kafka = config.broker_config();
    Ok(RegisterBroker {
        broker: node,
        incarnation: random_bytes(),
        listeners: listeners.collect(),
        rack: kafka.settings().broker_rack.clone(),
        features: supported_features(),
    })
}

/// Makes the topics of the configuration as they are declared there.
async fn declare_topics(config: &Config, controller: &ControllerHandle) -> Result<(), RunError> {
    let actions = reconcile_topics(&config.topics, &controller.image()).map_err(|problems| {
        RunError::Topics(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })?;
    for action in actions {
        let (name, outcome) = match action {
            TopicAction::Create { name, partitions, configs } => {
                tracing::info!(topic = %name, "creating a declared topic");
                let topic = CreateTopic {
                    partitions: partitions.unwrap_or(-1),
                    configs: configs.into_iter().map(|(name, value)| (name, Some(value))).collect(),
                    ..CreateTopic::with_defaults(&name)
                };
                let replies = controller.create_topics(vec![topic], false).await?;
                (name, replies.into_iter().try_for_each(|reply| reply.map(drop)))
            }
            TopicAction::Grow { name, partitions } => {
                tracing::info!(topic = %name, partitions, "growing a declared topic");
                let grow = CreatePartitions { name: name.clone(), count: partitions, assignments: None };
                let replies = controller.create_partitions(vec![grow], false).await?;
                (name, replies.into_iter().collect())
            }
            TopicAction::Alter { name, configs } => {
                tracing::info!(topic = %name, ?configs, "applying the declared configs of a topic");
                let ops = configs.into_iter().map(|(name, value)| (name, ConfigOp::Set(value)));
                let alter = IncrementalAlter { target: ConfigTarget::Topic(name.clone()), ops: ops.collect() };
                let replies = controller.incremental_alter_configs(vec![alter], false).await?;
                (name, replies.into_iter().collect())
            }
        };
        outcome.map_err(|error: ControllerError| RunError::Topics(format!("declared topic {name}: {error}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever embeds a broker may spawn it.
    #[test]
    fn a_running_broker_can_move_between_threads() {
        fn is_send(_: impl Send) {}
        let broker = |config, registry, sockets| run(config, registry, sockets, CancellationToken::new(), |_| ());
        let check = |config: Config, registry: Registry, sockets: Sockets| is_send(broker(config, registry, sockets));
        // It is enough that it compiles.
        let _ = check;
    }
}
