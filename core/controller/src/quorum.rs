//! The quorum: the metadata log, agreed on by a majority of voters (openraft) and kept on disk (redb).
//!
//! What openraft asks of a store, and where it is met: entries and the vote are on disk before they count
//! (`store.rs`: one durable transaction each); the log has no holes; a snapshot is complete or not there. What is
//! proposed is a [`Proposal`]: records with the version of the image they were judged by. A proposal that was
//! judged by an older image than it meets (leadership went away and came back in between) is turned down when it
//! is applied, on every node alike, so that a record can never contradict the image.
//!
//! A quorum of one is a quorum: it elects itself, its log is committed once it is on its own disk. More voters
//! need a network that reaches them ([`openraft::RaftNetworkFactory`]) and a membership, nothing else.
//!
//! Where next: `codec.rs` (what is on disk), `store.rs` (redb), `machine.rs` (the image), `network.rs`.

mod codec;
mod machine;
mod network;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use openraft::{Config, Raft, RaftNetworkFactory, SnapshotPolicy};
use watershed_metadata::MetadataImage;
use watershed_model::limits::METADATA_SNAPSHOT_ENTRIES;
use watershed_model::{BrokerId, ClusterId};

pub(crate) use machine::{Machine, Published};
pub use network::NoPeers;
pub(crate) use store::{Failure, Store};

openraft::declare_raft_types!(
    /// What the consensus is about.
    pub RaftTypes:
        D = Proposal,
        R = Verdict,
        NodeId = u64,
        Node = Peer,
        SnapshotData = SnapshotImage,
);

/// A log id of ours.
pub(crate) type LogId = openraft::LogId<u64>;
/// A store's error, as openraft wants it.
pub(crate) type StorageError = openraft::StorageError<u64>;

/// A member of the quorum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The host other members reach it by; empty for a member that nobody has to reach.
    pub host: String,
    /// The port; zero with an empty host.
    pub port: u16,
}

/// Records to commit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The version of the image that the records were judged by.
    pub base: u64,
    /// The batch ([`watershed_metadata::encode_batch`]).
    pub batch: Vec<u8>,
}

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether its records are part of the image now. Not, if it was judged by an older one.
    pub accepted: bool,
}

/// A snapshot in hand: the image itself. It is shared, so holding one costs next to nothing; it becomes records
/// only on its way to disk or to a peer.
#[derive(Clone, Debug, Default)]
pub struct SnapshotImage {
    /// The metadata.
    pub image: Arc<MetadataImage>,
    /// The image's version.
    pub version: u64,
}

/// Why the metadata of a data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A process has the directory open.
    #[error("another broker runs on this directory: {} is locked. Stop it, or give this one its own data_dir.", path.display())]
    InUse {
        /// The file that is locked.
        path: PathBuf,
    },
    /// What is on disk is damaged.
    #[error(
        "the metadata in {} is damaged: {reason}. Restore the file from a copy of this directory, or, if there is none, \
         move the data directory away and start with an empty one: without the metadata the logs in it belong to no topic.",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file cannot be read or written.
    #[error("cannot open the metadata in {}: {source}. Check that the path exists and is writable.", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Written by a program with another format.
    #[error("the metadata in {} has format {found}, this program reads format {known}: run the version that wrote it.", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format on disk.
        found: u64,
        /// The format of this program.
        known: u64,
    },
    /// The directory belongs to another node.
    #[error("the data in {} belongs to node {found}, this node is {given}: correct node.id or data_dir.", path.display())]
    OtherNode {
        /// The file.
        path: PathBuf,
        /// The node it was made by.
        found: BrokerId,
        /// The node that opens it.
        given: BrokerId,
    },
    /// The directory belongs to another cluster.
    #[error("the data in {} belongs to cluster {found}, this node is told to be in {given}: correct cluster_id or data_dir.", path.display())]
    OtherCluster {
        /// The file.
        path: PathBuf,
        /// The cluster it belongs to.
        found: ClusterId,
        /// The cluster that was asked for.
        given: ClusterId,
    },
    /// The consensus did not start.
    #[error("the metadata quorum does not start: {0}")]
    Quorum(String),
}

/// A running member of the quorum.
pub(crate) struct Member {
    pub(crate) raft: Raft<RaftTypes>,
    pub(crate) published: Arc<Published>,
    pub(crate) failure: Failure,
    pub(crate) log_bytes: Arc<std::sync::atomic::AtomicU64>,
}

/// Starts a member: recovers its image, and forms the quorum if this is its very first start.
pub(crate) async fn start<N>(
    store: Store,
    node: BrokerId,
    voters: BTreeMap<u64, Peer>,
    network: N,
    snapshot_every: u64,
) -> Result<Member, OpenError>
where
    N: RaftNetworkFactory<RaftTypes>,
{
    let failed = |error: &dyn std::fmt::Display| OpenError::Quorum(error.to_string());
    let config = Config {
        cluster_name: "watershed".to_owned(),
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: 3 * HEARTBEAT_MS,
        election_timeout_max: 6 * HEARTBEAT_MS,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(snapshot_every),
        max_in_snapshot_log_to_keep: snapshot_every / 20,
        purge_batch_size: 64,
        ..Config::default()
    };
    let config = config.validate().map_err(|error| failed(&error))?;
    let failure = store.failure();
    let log_bytes = store.log_bytes();
    let store = Arc::new(store);
    let machine = Machine::load(Arc::clone(&store)).await?;
    let published = machine.published();
    let id = u64::try_from(node.0).map_err(|_| OpenError::Quorum(format!("node id {node} is negative")))?;
    let raft = Raft::new(id, Arc::new(config), network, store::LogStore::new(Arc::clone(&store)), machine);
    let raft = raft.await.map_err(|error| store.cause().unwrap_or_else(|| failed(&error)))?;
    drop(store);
    if !raft.is_initialized().await.map_err(|error| failed(&error))? {
        raft.initialize(voters).await.map_err(|error| failed(&error))?;
    }
    let metrics = raft.metrics().borrow().clone();
    let alone = metrics.membership_config.voter_ids().eq([id]);
    if alone && metrics.current_leader.is_none() {
        // Nobody else has a say, so there is no reason to wait for an election timeout.
        raft.trigger().elect().await.map_err(|error| failed(&error))?;
    }
    Ok(Member { raft, published, failure, log_bytes })
}

/// How often a leader shows that it lives, in milliseconds; also how often openraft's timer wakes up.
const HEARTBEAT_MS: u64 = 500;

/// After how many log entries a snapshot is made, unless a test says otherwise.
pub(crate) const SNAPSHOT_EVERY: u64 = METADATA_SNAPSHOT_ENTRIES;
