//! The controller as a broker holds it: ask, and the answer comes when it is on disk.
//!
//! All changes go through one task. It takes the requests that wait, judges each by the image as the ones before
//! left it, commits their records as one entry (one sync for all of them) and only then answers. So a request sees
//! the newest state, two requests never contradict each other, and an answer means: committed and applied.
//!
//! The queue is bounded; when it is full, callers wait. Dropping a call's future does not take the call back.

mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use openraft::{Raft, RaftNetworkFactory};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use watershed_metadata::configs::BrokerConfig;
use watershed_metadata::{FeatureRange, MetadataDelta, MetadataImage};
use watershed_model::limits::CONTROLLER_QUEUE_MAX;
use watershed_model::{BrokerId, Clock, ClusterId, Offset, Timestamp, TopicIdPartition};

use writer::{Job, Judged, Turn, Writer};

use crate::controller::{Controller, NewTopicId, Outcome};
use crate::quorum::{self, Failure, NoPeers, OpenError, Peer, Published, RaftTypes, Store};
use crate::{
    ControllerError, CreatePartitions, CreateTopic, CreatedTopic, DeletedTopic, FeatureUpdate, IncrementalAlter,
    ProducerIdBlock, RegisterBroker, ReplaceConfigs, TopicRef,
};

/// How a controller is opened.
pub struct ControllerOptions {
    /// The directory of the metadata: `<data_dir>/metadata`.
    pub dir: PathBuf,
    /// This node (`node.id`).
    pub node: BrokerId,
    /// The cluster it must belong to; `None`: whichever it belongs to, or a new one.
    pub cluster_id: Option<ClusterId>,
    /// The voters of a new quorum; empty: this node alone. Later starts read them from the log.
    pub voters: BTreeMap<BrokerId, Peer>,
    /// The node's settings, from its file: defaults for new topics, and what configs are checked against.
    pub config: BrokerConfig,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// A source of random bytes, for new ids.
    pub random: Box<dyn FnMut() -> [u8; 16] + Send>,
}

impl fmt::Debug for ControllerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControllerOptions").field("dir", &self.dir).field("node", &self.node).finish_non_exhaustive()
    }
}

/// A running controller. Clones are the same one.
#[derive(Clone, Debug)]
pub struct ControllerHandle {
    inner: Arc<Inner>,
}

struct Inner {
    node: BrokerId,
    raft: Raft<RaftTypes>,
    published: Arc<Published>,
    failure: Failure,
    /// The store's own channel, which ends when the file is closed.
    store: Failure,
    features: Vec<FeatureRange>,
    clock: Arc<dyn Clock>,
    jobs: parking_lot::Mutex<Option<mpsc::Sender<Job>>>,
    writer: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("node", &self.node).finish_non_exhaustive()
    }
}

/// The quorum as DescribeQuorum shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumInfo {
    /// The leader, if one is known.
    pub leader: Option<BrokerId>,
    /// The leader's epoch (the term).
    pub leader_epoch: i32,
    /// The offset after the last committed entry.
    pub high_watermark: Offset,
    /// The voters, sorted by id.
    pub voters: Vec<ReplicaInfo>,
    /// Members that follow without a vote, sorted by id.
    pub observers: Vec<ReplicaInfo>,
}

/// A member of the quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaInfo {
    /// The member.
    pub node: BrokerId,
    /// The offset after the last entry it is known to have.
    pub log_end_offset: Offset,
    /// When the leader last heard from it; the leader itself: now. [`Timestamp::NONE`] where nobody knows.
    pub last_fetch: Timestamp,
    /// When it last had everything; the leader itself: now. [`Timestamp::NONE`] where nobody knows.
    pub last_caught_up: Timestamp,
}

impl ControllerHandle {
    /// Opens the metadata of a directory, with no way to reach other members.
    ///
    /// Returns when the image holds every entry this node had committed (more, on a leader: every entry it has).
    ///
    /// # Errors
    ///
    /// When the directory is in use, damaged, not readable or not this node's: see [`OpenError`].
    pub async fn open(options: ControllerOptions) -> Result<Self, OpenError> {
        Self::open_with_network(options, NoPeers).await
    }

    /// The same with a network that reaches the other members.
    ///
    /// # Errors
    ///
    /// As [`ControllerHandle::open`].
    pub async fn open_with_network<N>(options: ControllerOptions, network: N) -> Result<Self, OpenError>
    where
        N: RaftNetworkFactory<RaftTypes>,
    {
        let (dir, node) = (options.dir.clone(), options.node);
        let store = tokio::task::spawn_blocking(move || Store::open(&dir, node)).await;
        let store = store.map_err(|error| OpenError::Quorum(error.to_string()))??;
        Self::start(store, options, network, quorum::SNAPSHOT_EVERY).await
    }

    /// Starts on an open store.
    pub(crate) async fn start<N>(
        store: Store,
        options: ControllerOptions,
        network: N,
        snapshot_every: u64,
    ) -> Result<Self, OpenError>
    where
        N: RaftNetworkFactory<RaftTypes>,
    {
        let ControllerOptions { node, cluster_id, voters, config, clock, mut random, .. } = options;
        let path = store.path().to_owned();
        let voters = match voters.is_empty() {
            true => BTreeMap::from([(node, Peer::default())]),
            false => voters,
        };
        let voters = voters.into_iter().filter_map(|(id, peer)| Some((u64::try_from(id.0).ok()?, peer))).collect();
        let member = quorum::start(store, node, voters, network, snapshot_every).await?;
        let controller = Controller::new(node, config);
        let features = controller.supported_features().to_vec();
        let new_cluster = cluster_id.unwrap_or_else(|| ClusterId::random(&mut random));
        let mut writer = Writer::new(node, &member, controller, random);
        if let Err(error) = writer.join(new_cluster).await {
            drop(member.raft.shutdown().await);
            return Err(error);
        }
        let found = member.published.current().image.cluster_id();
        if let (Some(found), Some(given)) = (found, cluster_id)
            && found != given
        {
            drop(member.raft.shutdown().await);
            let mut store = member.failure;
            while store.changed().await.is_ok() {}
            return Err(OpenError::OtherCluster { path, found, given });
        }
        let (jobs, queue) = mpsc::channel(CONTROLLER_QUEUE_MAX);
        let inner = Inner {
            node,
            raft: member.raft,
            published: member.published,
            failure: watch_failures(member.failure.clone(), &writer.raft),
            store: member.failure,
            features,
            clock,
            jobs: parking_lot::Mutex::new(Some(jobs)),
            writer: tokio::sync::Mutex::new(Some(tokio::spawn(writer.run(queue)))),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// This node.
    #[must_use]
    pub fn node(&self) -> BrokerId {
        self.inner.node
    }

    /// The newest image.
    #[must_use]
    pub fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.inner.published.current().image)
    }

    /// The image now, and every later change in order, without a gap. A follower must keep up: when
    /// [`watershed_model::limits::METADATA_DELTAS_MAX`] deltas wait for it, the next batch waits too. So it must
    /// not itself call the controller and wait for the answer.
    #[must_use]
    pub fn follow(&self) -> (Arc<MetadataImage>, mpsc::Receiver<MetadataDelta>) {
        self.inner.published.follow()
    }

    /// Why the metadata store failed; `None` while it works. When it changes the process must end with an error:
    /// nothing is committed any more, and what the disk holds shows only after a restart.
    #[must_use]
    pub fn failure(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.inner.failure.clone()
    }

    /// The feature levels this program supports.
    #[must_use]
    pub fn supported_features(&self) -> &[FeatureRange] {
        &self.inner.features
    }

    /// Creates topics (CreateTopics). One reply per topic.
    ///
    /// # Errors
    ///
    /// Here and below, as a whole: not the leader, shutting down, or the store failed. Replies of single items
    /// have their own errors.
    pub async fn create_topics(
        &self,
        topics: Vec<CreateTopic>,
        validate_only: bool,
    ) -> Result<Vec<Result<CreatedTopic, ControllerError>>, ControllerError> {
        self.ask(move |controller, image, new_id| controller.create_topics(image, &topics, validate_only, new_id)).await
    }

    /// Deletes topics (DeleteTopics). One reply per topic.
    ///
    /// # Errors
    ///
    /// As [`ControllerHandle::create_topics`].
    pub async fn delete_topics(
        &self,
        topics: Vec<TopicRef>,
    ) -> Result<Vec<Result<DeletedTopic, ControllerError>>, ControllerError> {
        self.ask(move |controller, image, _| controller.delete_topics(image, &topics)).await
    }

    /// Adds partitions to topics (CreatePartitions). One reply per topic.
    ///
    /// # Errors
    ///
    /// As [`ControllerHandle::create_topics`].
    pub async fn create_partitions(
        &self,
        topics: Vec<CreatePartitions>,
        validate_only: bool,
    ) -> Result<Vec<Result<(), ControllerError>>, ControllerError> {
        self.ask(move |controller, image, _| controller.create_partitions(image, &topics, validate_only)).await
    }

    /// Changes single configs (IncrementalAlterConfigs). One reply per resource.
    ///
    /// # Errors
    ///
    /// As [`ControllerHandle::create_topics`].
    pub async fn incremental_alter_configs(
        &self,
        alterations: Vec<IncrementalAlter>,
        validate_only: bool,
    ) -> Result<Vec<Result<(), ControllerError>>, ControllerError> {
        self.ask(move |controller, image, _| controller.incremental_alter_configs(image, &alterations, validate_only))
            .await
    }

    /// Replaces all configs of resources (AlterConfigs). One reply per resource.
    ///
    /// # Errors
    ///
    /// As [`ControllerHandle::create_topics`].
    pub async fn replace_configs(
        &self,
        replacements: Vec<ReplaceConfigs>,
        validate_only: bool,
    ) -> Result<Vec<Result<(), ControllerError>>, ControllerError> {
        self.ask(move |controller, image, _| controller.replace_configs(image, &replacements, validate_only)).await
    }

    /// Sets feature levels, all or none (UpdateFeatures).
    ///
    /// # Errors
    ///
    /// [`ControllerError::InvalidUpdateVersion`], [`ControllerError::InvalidRequest`], and as
    /// [`ControllerHandle::create_topics`].
    pub async fn update_features(
        &self,
        updates: Vec<FeatureUpdate>,
        validate_only: bool,
    ) -> Result<(), ControllerError> {
        self.ask(move |controller, image, _| controller.update_features(image, &updates, validate_only)).await?
    }

    /// Registers a broker, with its first call per process raising the leader epochs of all it leads. Returns the
    /// broker's epoch.
    ///
    /// # Errors
    ///
    /// [`ControllerError::InvalidRequest`], and as [`ControllerHandle::create_topics`].
    pub async fn register_broker(&self, request: RegisterBroker) -> Result<i64, ControllerError> {
        self.ask(move |controller, image, _| controller.register_broker(image, &request)).await?
    }

    /// Gives a registered broker a block of producer ids.
    ///
    /// # Errors
    ///
    /// [`ControllerError::UnknownBroker`], [`ControllerError::StaleBrokerEpoch`], [`ControllerError::Exhausted`],
    /// and as [`ControllerHandle::create_topics`].
    pub async fn allocate_producer_ids(
        &self,
        broker: BrokerId,
        broker_epoch: i64,
    ) -> Result<ProducerIdBlock, ControllerError> {
        self.ask(move |controller, image, _| controller.allocate_producer_ids(image, broker, broker_epoch)).await?
    }

    /// Reserves offsets of partitions in volatile storage, below which nothing is given out after a restart.
    ///
    /// # Errors
    ///
    /// As [`ControllerHandle::create_topics`].
    pub async fn reserve_offsets(&self, until: Vec<(TopicIdPartition, Offset)>) -> Result<(), ControllerError> {
        self.ask(move |controller, image, _| controller.reserve_offsets(image, &until)).await
    }

    /// The quorum as it is now (DescribeQuorum). Offsets are log indexes.
    #[must_use]
    pub fn describe_quorum(&self) -> QuorumInfo {
        let metrics = self.inner.raft.metrics().borrow().clone();
        let now = self.inner.clock.now();
        let end = |index: Option<u64>| Offset(index.map_or(0, |index| i64::try_from(index).unwrap_or(i64::MAX) + 1));
        let members = metrics.membership_config.membership();
        let replica = |id: u64| {
            let own = id == metrics.id;
            let matched = metrics.replication.as_ref().and_then(|r| r.get(&id).copied().flatten()).map(|id| id.index);
            let known = if own && metrics.current_leader == Some(id) { now } else { Timestamp::NONE };
            ReplicaInfo {
                node: broker_id(id),
                log_end_offset: end(if own { metrics.last_log_index } else { matched }),
                last_fetch: known,
                last_caught_up: known,
            }
        };
        let mut voters: Vec<ReplicaInfo> = members.voter_ids().map(replica).collect();
        let mut observers: Vec<ReplicaInfo> = members.learner_ids().map(replica).collect();
        voters.sort_by_key(|replica| replica.node);
        observers.sort_by_key(|replica| replica.node);
        QuorumInfo {
            leader: metrics.current_leader.map(broker_id),
            leader_epoch: i32::try_from(metrics.current_term).unwrap_or(i32::MAX),
            high_watermark: end(metrics.last_applied.map(|id| id.index)),
            voters,
            observers,
        }
    }

    /// Finishes the requests that wait, refuses new ones, and closes the store: when this returns, the directory
    /// can be opened again. A second call does nothing.
    pub async fn shutdown(&self) {
        drop(self.inner.jobs.lock().take());
        self.inner.published.close();
        let mut writer = self.inner.writer.lock().await;
        if let Some(task) = writer.take() {
            if let Err(error) = task.await {
                tracing::error!(%error, "the controller's task did not end well");
            }
            if let Err(error) = self.inner.raft.shutdown().await {
                tracing::error!(%error, "the metadata quorum did not end well");
            }
            // The quorum's own tasks let go of the file one after the other.
            let mut store = self.inner.store.clone();
            while store.changed().await.is_ok() {}
        }
    }

    /// Sends a request through the queue and waits for its answer.
    async fn ask<T, F>(&self, judge: F) -> Result<T, ControllerError>
    where
        T: Send + 'static,
        F: FnOnce(&Controller, &MetadataImage, NewTopicId<'_>) -> Outcome<T> + Send + 'static,
    {
        let jobs = self.inner.jobs.lock().clone().ok_or(ControllerError::ShuttingDown)?;
        let (sender, receiver) = oneshot::channel();
        // A caller that went away does not want the answer, so that sending it cannot fail.
        let job: Job = Box::new(move |turn| match turn {
            Turn::Refuse(error) => {
                drop(sender.send(Err(error)));
                None
            }
            Turn::Judge(controller, image, new_id) => {
                let Outcome { records, reply } = judge(controller, image, new_id);
                let answer = move |committed: Result<(), ControllerError>| drop(sender.send(committed.map(|()| reply)));
                Some(Judged { records, answer: Box::new(answer) })
            }
        });
        jobs.send(job).await.map_err(|_| self.gone())?;
        drop(jobs);
        receiver.await.map_err(|_| self.gone())?
    }

    /// Why there is no answer any more.
    fn gone(&self) -> ControllerError {
        match self.inner.failure.borrow().as_deref() {
            Some(failure) => ControllerError::StoreFailed(failure.to_owned()),
            None => ControllerError::ShuttingDown,
        }
    }
}

/// The store's own failures, and the end of the quorum's task that has another reason.
fn watch_failures(mut store: Failure, raft: &Raft<RaftTypes>) -> Failure {
    let (sender, receiver) = watch::channel(None);
    let mut metrics = raft.metrics();
    tokio::spawn(async move {
        let failure = tokio::select! {
            failed = store.wait_for(Option::is_some) => failed.ok().and_then(|failed| failed.clone()),
            stopped = metrics.wait_for(|metrics| metrics.running_state.is_err()) => match stopped {
                Ok(metrics) => match &metrics.running_state {
                    Err(openraft::error::Fatal::Stopped) | Ok(()) => None,
                    Err(error) => Some(format!("the metadata quorum stopped: {error}").into()),
                },
                // The quorum's task is gone without a word: it was shut down.
                Err(_) => None,
            },
        };
        // A failing store stops the quorum; the store's own words say more.
        let failure = store.borrow().clone().or(failure);
        if failure.is_some() {
            sender.send_replace(failure);
        }
        sender.closed().await;
    });
    receiver
}

fn broker_id(node: u64) -> BrokerId {
    BrokerId(i32::try_from(node).unwrap_or(i32::MAX))
}
